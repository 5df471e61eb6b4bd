# addresses, limits, PROXY headers, access files: pure, needs base only
noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	server/net/access.c server/net/access.h server/net/access_files.c \
	server/net/addr.c server/net/addr.h \
	server/net/limits.c server/net/limits.h \
	server/net/proxy.c server/net/proxy.h \
	server/net/tls_record.c server/net/tls_record.h

net_test_libs = libnet.a libbase.a -lcmocka
net_tests = tests/unit/test_access tests/unit/test_net tests/unit/test_proxy \
	tests/unit/test_tls_record
check_PROGRAMS += $(net_tests) tests/fuzz/fuzz_proxy tests/fuzz/fuzz_tls_record
TESTS += $(net_tests)
tests_unit_test_access_SOURCES = tests/unit/test_access.c
tests_unit_test_access_LDADD = $(net_test_libs)
tests_unit_test_net_SOURCES = tests/unit/test_net.c
tests_unit_test_net_LDADD = $(net_test_libs)
tests_unit_test_proxy_SOURCES = tests/unit/test_proxy.c
tests_unit_test_proxy_LDADD = $(net_test_libs)
tests_unit_test_tls_record_SOURCES = tests/unit/test_tls_record.c
tests_unit_test_tls_record_LDADD = $(net_test_libs)

tests_fuzz_fuzz_proxy_SOURCES = tests/fuzz/fuzz_proxy.c
tests_fuzz_fuzz_proxy_LDADD = libnet.a libbase.a
tests_fuzz_fuzz_proxy_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_proxy_SOURCES += tests/fuzz/replay.c
endif

tests_fuzz_fuzz_tls_record_SOURCES = tests/fuzz/fuzz_tls_record.c
tests_fuzz_fuzz_tls_record_LDADD = libnet.a libbase.a
tests_fuzz_fuzz_tls_record_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_tls_record_SOURCES += tests/fuzz/replay.c
endif
