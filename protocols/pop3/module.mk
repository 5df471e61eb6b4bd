# What the login process needs, of both protocols: free of maildir.
noinst_LIBRARIES += libpreauth.a
libpreauth_a_SOURCES = \
	protocols/preauth.h \
	protocols/preauth_impl.c protocols/preauth_impl.h \
	protocols/imap/preauth.c protocols/imap/preauth.h \
	protocols/imap/preauth_args.c protocols/imap/preauth_args.h \
	protocols/pop3/capa.c protocols/pop3/capa.h \
	protocols/pop3/preauth.c protocols/pop3/preauth.h

noinst_LIBRARIES += libpop3.a
libpop3_a_SOURCES = \
	protocols/session.h \
	protocols/pop3/capa.c protocols/pop3/capa.h \
	protocols/pop3/commands.c \
	protocols/pop3/maildrop.c protocols/pop3/maildrop.h \
	protocols/pop3/message.c \
	protocols/pop3/session.c protocols/pop3/session.h \
	protocols/pop3/session_impl.h \
	protocols/pop3/stuff.c protocols/pop3/stuff.h \
	protocols/pop3/update.c
