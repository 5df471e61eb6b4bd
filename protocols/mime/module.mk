noinst_LIBRARIES += libmime.a
libmime_a_SOURCES = \
	protocols/mime/address.c protocols/mime/address.h \
	protocols/mime/boundary.c protocols/mime/boundary.h \
	protocols/mime/charset.c protocols/mime/charset.h \
	protocols/mime/charset_name.c protocols/mime/charset_name.h \
	protocols/mime/date.c protocols/mime/date.h \
	protocols/mime/header.c protocols/mime/header.h \
	protocols/mime/keep.c protocols/mime/keep.h \
	protocols/mime/lex.c protocols/mime/lex.h \
	protocols/mime/message.c protocols/mime/message.h \
	protocols/mime/msgid.c protocols/mime/msgid.h \
	protocols/mime/param.c protocols/mime/param.h \
	protocols/mime/parser.c protocols/mime/parser.h \
	protocols/mime/section.c protocols/mime/section.h \
	protocols/mime/table.c protocols/mime/table.h \
	protocols/mime/text.c protocols/mime/text.h \
	protocols/mime/transfer.c protocols/mime/transfer.h \
	protocols/mime/wire.c protocols/mime/wire.h \
	protocols/mime/words.c protocols/mime/words.h

# What imap makes of mime and nothing else: a library of its own, so that the
# tests of the parser can look at its results without a whole session.
noinst_LIBRARIES += libimapmime.a
libimapmime_a_SOURCES = \
	protocols/imap/bodystructure.c protocols/imap/bodystructure.h \
	protocols/imap/envelope.c protocols/imap/envelope.h \
	protocols/imap/nstring.c protocols/imap/nstring.h

check_LIBRARIES += libmimecheck.a
libmimecheck_a_SOURCES = tests/support/mime_check.c tests/support/mime_check.h

MIME_TEST_LIBS = libmimecheck.a libimapmime.a libmime.a libbase.a

check_PROGRAMS += tests/unit/test_mime_parser
TESTS += tests/unit/test_mime_parser
tests_unit_test_mime_parser_SOURCES = tests/unit/test_mime_parser.c
tests_unit_test_mime_parser_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_mime_envelope
TESTS += tests/unit/test_mime_envelope
tests_unit_test_mime_envelope_SOURCES = tests/unit/test_mime_envelope.c
tests_unit_test_mime_envelope_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_mime_header
TESTS += tests/unit/test_mime_header
tests_unit_test_mime_header_SOURCES = tests/unit/test_mime_header.c
tests_unit_test_mime_header_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_mime_address
TESTS += tests/unit/test_mime_address
tests_unit_test_mime_address_SOURCES = tests/unit/test_mime_address.c
tests_unit_test_mime_address_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_mime_date
TESTS += tests/unit/test_mime_date
tests_unit_test_mime_date_SOURCES = tests/unit/test_mime_date.c
tests_unit_test_mime_date_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_mime_wire
TESTS += tests/unit/test_mime_wire
tests_unit_test_mime_wire_SOURCES = tests/unit/test_mime_wire.c
tests_unit_test_mime_wire_LDADD = $(MIME_TEST_LIBS) -lcmocka

# It counts what is opened.
check_PROGRAMS += tests/unit/test_mime_charset
TESTS += tests/unit/test_mime_charset
tests_unit_test_mime_charset_SOURCES = tests/unit/test_mime_charset.c
tests_unit_test_mime_charset_LDADD = $(MIME_TEST_LIBS) -lcmocka
tests_unit_test_mime_charset_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=iconv_open

check_PROGRAMS += tests/unit/test_mime_hostile
TESTS += tests/unit/test_mime_hostile
tests_unit_test_mime_hostile_SOURCES = tests/unit/test_mime_hostile.c
tests_unit_test_mime_hostile_LDADD = $(MIME_TEST_LIBS) -lcmocka

check_PROGRAMS += tests/fuzz/fuzz_mime tests/fuzz/fuzz_mime_header
tests_fuzz_fuzz_mime_SOURCES = tests/fuzz/fuzz_mime.c
tests_fuzz_fuzz_mime_LDADD = $(MIME_TEST_LIBS)
tests_fuzz_fuzz_mime_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_mime_header_SOURCES = tests/fuzz/fuzz_mime_header.c
tests_fuzz_fuzz_mime_header_LDADD = $(MIME_TEST_LIBS)
tests_fuzz_fuzz_mime_header_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_mime_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_mime_header_SOURCES += tests/fuzz/replay.c
endif
