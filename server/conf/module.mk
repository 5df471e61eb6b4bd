# the configuration of both daemons: needs base only
noinst_LIBRARIES += libconf.a
libconf_a_SOURCES = \
	server/conf/conf.c server/conf/conf.h \
	server/conf/conf_addrs.c server/conf/conf_addrs.h \
	server/conf/conf_check.c \
	server/conf/conf_impl.h \
	server/conf/conf_key.c server/conf/conf_key.h \
	server/conf/conf_pack.c \
	server/conf/conf_rc.c \
	server/conf/conf_script.c server/conf/conf_script.h \
	server/conf/conf_sh.c \
	server/conf/conf_client.c server/conf/conf_client.h \
	server/conf/conf_words.c server/conf/conf_words.h \
	server/conf/keys.def

conf_test_libs = libconf.a libbase.a -lcmocka
conf_tests = tests/unit/test_conf tests/unit/test_conf_samples \
	tests/unit/test_conf_script tests/unit/test_conf_words
check_PROGRAMS += $(conf_tests) tests/fuzz/fuzz_conf
TESTS += $(conf_tests)
conf_fixture = tests/unit/conf_fixture.c tests/unit/conf_fixture.h
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c $(conf_fixture)
tests_unit_test_conf_LDADD = $(conf_test_libs)
tests_unit_test_conf_samples_SOURCES = tests/unit/test_conf_samples.c \
	$(conf_fixture)
tests_unit_test_conf_samples_LDADD = $(conf_test_libs)
tests_unit_test_conf_script_SOURCES = tests/unit/test_conf_script.c
tests_unit_test_conf_script_LDADD = $(conf_test_libs)
tests_unit_test_conf_words_SOURCES = tests/unit/test_conf_words.c \
	$(conf_fixture)
tests_unit_test_conf_words_LDADD = $(conf_test_libs)

tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c
tests_fuzz_fuzz_conf_LDADD = libconf.a libbase.a
tests_fuzz_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_conf_SOURCES += tests/fuzz/replay.c
endif

EXTRA_DIST += tests/unit/data/conf
