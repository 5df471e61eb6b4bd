noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	base/account_option.c base/account_option.h \
	base/arena.c base/arena.h \
	base/ascii.h \
	base/base64.c base/base64.h \
	base/buf.c base/buf.h \
	base/clock.c base/clock.h \
	base/defs.h \
	base/err.c base/err.h \
	base/fsx.c base/fsx.h \
	base/help.h \
	base/le.h \
	base/log.c base/log.h \
	base/log_out.c base/log_out.h \
	base/mem.c base/mem.h \
	base/num.c base/num.h \
	base/parse.h \
	base/pool.c base/pool.h \
	base/secret.c base/secret.h \
	base/siphash.c base/siphash.h \
	base/slice.c base/slice.h \
	base/step.h \
	base/syncer.h \
	base/utf7.c base/utf7.h

check_PROGRAMS += tests/unit/test_fsx
TESTS += tests/unit/test_fsx
tests_unit_test_fsx_SOURCES = tests/unit/test_fsx.c
tests_unit_test_fsx_LDADD = libbase.a -lcmocka

check_PROGRAMS += tests/unit/test_buf
TESTS += tests/unit/test_buf
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_LDADD = libbase.a -lcmocka
tests_unit_test_buf_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=free

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = libbase.a -lcmocka

check_PROGRAMS += tests/unit/test_pool
TESTS += tests/unit/test_pool
tests_unit_test_pool_SOURCES = tests/unit/test_pool.c tests/support/dice.h
tests_unit_test_pool_LDADD = libbase.a -lcmocka

check_PROGRAMS += tests/unit/test_siphash
TESTS += tests/unit/test_siphash
tests_unit_test_siphash_SOURCES = tests/unit/test_siphash.c
tests_unit_test_siphash_LDADD = libbase.a -lcmocka

check_PROGRAMS += tests/fuzz/fuzz_utf7
tests_fuzz_fuzz_utf7_SOURCES = tests/fuzz/fuzz_utf7.c
tests_fuzz_fuzz_utf7_LDADD = libbase.a
tests_fuzz_fuzz_utf7_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_utf7_SOURCES += tests/fuzz/replay.c
endif
