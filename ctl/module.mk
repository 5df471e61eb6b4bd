sbin_PROGRAMS += posternctl
posternctl_SOURCES = ctl/posternctl.c \
	ctl/accounts.c ctl/accounts.h \
	ctl/as_user.c ctl/as_user.h \
	ctl/export.c ctl/export.h \
	ctl/maintain.c ctl/maintain.h
posternctl_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
posternctl_LDADD = libmaildir.a libconf.a libipc.a libbase.a $(SQLITE_LIBS)

bin_PROGRAMS += maildirmake
maildirmake_SOURCES = ctl/maildirmake.c
maildirmake_LDADD = libmaildir.a libbase.a
