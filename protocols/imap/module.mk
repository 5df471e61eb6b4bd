noinst_LIBRARIES += libimap.a
libimap_a_SOURCES = \
	protocols/imap/capability.c protocols/imap/capability.h \
	protocols/imap/cmd_append.c \
	protocols/imap/cmd_basic.c \
	protocols/imap/cmd_copy.c \
	protocols/imap/cmd_expunge.c \
	protocols/imap/cmd_fetch.c \
	protocols/imap/cmd_idle.c \
	protocols/imap/cmd_list.c \
	protocols/imap/cmd_mailbox.c \
	protocols/imap/cmd_search.c \
	protocols/imap/cmd_select.c \
	protocols/imap/cmd_status.c \
	protocols/imap/cmd_store.c \
	protocols/imap/command.c \
	protocols/imap/date_time.c \
	protocols/imap/date_time.h \
	protocols/imap/fetch.h \
	protocols/imap/fetch_body.c \
	protocols/imap/fetch_items.c \
	protocols/imap/fetch_look.c \
	protocols/imap/flags.c \
	protocols/imap/fold.c \
	protocols/imap/fold.h \
	protocols/imap/input.c \
	protocols/imap/lex.c \
	protocols/imap/lex.h \
	protocols/imap/look.c \
	protocols/imap/names.c \
	protocols/imap/pattern.c \
	protocols/imap/pattern.h \
	protocols/imap/search.h \
	protocols/imap/search_eval.c \
	protocols/imap/search_keys.c \
	protocols/imap/search_text.c \
	protocols/imap/seqset.c \
	protocols/imap/seqset.h \
	protocols/imap/session.c \
	protocols/imap/session.h \
	protocols/imap/session_impl.h \
	protocols/imap/sets.c \
	protocols/imap/sync.c \
	protocols/imap/writer.c \
	protocols/imap/writer.h
