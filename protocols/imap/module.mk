noinst_LIBRARIES += libimap.a
libimap_a_SOURCES = \
	protocols/imap/lex.c protocols/imap/lex.h \
	protocols/imap/writer.c protocols/imap/writer.h
