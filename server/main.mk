# posternd (master and login processes), the worker and the holder.

include server/login.mk

sbin_PROGRAMS += posternd
posternd_SOURCES = \
	server/main.c \
	server/hook.c \
	server/check.c server/check.h \
	server/child.c server/child.h \
	server/master.c server/master.h \
	server/master_accept.c \
	server/master_access.c \
	server/master_auth.c \
	server/master_conns.c \
	server/master_control.c \
	server/master_handover.c \
	server/master_home.c \
	server/master_hook.c \
	server/master_login.c \
	server/master_outbox.c \
	server/master_proxied.c \
	server/master_service.c \
	server/master_spawn.c \
	server/master_worker.c \
	server/outbox.c server/outbox_why.c server/outbox.h \
	server/peer.c server/peer.h \
	server/service.c server/service.h \
	server/service_log.c server/service_log.h \
	server/tickets.c server/tickets.h \
	$(postern_login_sources)
posternd_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS) \
	$(SECCOMP_CFLAGS)
posternd_LDADD = libpreauth.a libconf.a libnet.a libipc.a libbase.a \
	$(EVENT_LIBS) $(OPENSSL_LIBS) $(SECCOMP_LIBS)

# One for each service: small, and without what posternd is linked with.
pkglibexec_PROGRAMS += holder
holder_SOURCES = server/holder.c server/child.h
holder_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
holder_LDADD = libipc.a libbase.a

# The worker is linked without TLS and without any SQL client.
pkglibexec_PROGRAMS += worker
worker_SOURCES = \
	server/worker.c server/worker.h \
	server/child.c server/child.h \
	server/deflate.c server/deflate.h \
	server/peer.c server/peer.h \
	server/sandbox.c server/sandbox.h \
	server/service.c server/service.h \
	server/service_log.c server/service_log.h \
	server/syncpool.c server/syncpool.h \
	server/outbox_why.c server/outbox.h \
	server/worker_send.c \
	server/worker_home.c server/worker_home.h \
	server/worker_options.c \
	server/worker_refuse.c server/worker_refuse.h server/worker_session.c \
	server/worker_stream.c \
	server/zip.c server/zip.h
worker_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(SECCOMP_CFLAGS)
worker_LDADD = libimap.a libimapmime.a libpop3.a libmime.a libmaildir.a \
	libconf.a libipc.a libbase.a \
	$(EVENT_LIBS) $(SQLITE_LIBS) $(UTF8PROC_LIBS) $(SECCOMP_LIBS) \
	$(ZLIB_LIBS) -lpthread

# IMAP and POP3 for one who is logged in: what ssh starts.
postern_piped_sources = \
	server/child.c server/child.h \
	server/outbox.c server/outbox_why.c server/outbox.h \
	server/peer.c server/peer.h \
	server/piped.c server/piped.h \
	server/service.c server/service.h \
	server/service_log.c server/service_log.h
bin_PROGRAMS += imapd
imapd_SOURCES = server/imapd.c $(postern_piped_sources)
imapd_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
imapd_LDADD = libnet.a libconf.a libipc.a libbase.a $(EVENT_LIBS)

# Called pop3d in all layouts but Debian's.
pop3ddir = $(POSTERN_POP3DDIR)
pop3d_PROGRAMS = courierpop3d
courierpop3d_SOURCES = server/courierpop3d.c $(postern_piped_sources)
courierpop3d_CFLAGS = $(imapd_CFLAGS)
courierpop3d_LDADD = $(imapd_LDADD)

check_PROGRAMS += tests/unit/test_deflate
TESTS += tests/unit/test_deflate
tests_unit_test_deflate_SOURCES = tests/unit/test_deflate.c server/deflate.c
tests_unit_test_deflate_LDADD = libbase.a $(ZLIB_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_ipc tests/unit/test_peer tests/unit/test_server
tests_unit_test_ipc_SOURCES = tests/unit/test_ipc.c
tests_unit_test_ipc_LDADD = libipc.a libbase.a -lcmocka
tests_unit_test_peer_SOURCES = tests/unit/test_peer.c server/peer.c
tests_unit_test_peer_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_peer_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=free
tests_unit_test_peer_LDADD = libipc.a libbase.a $(EVENT_LIBS) -lcmocka
tests_unit_test_server_SOURCES = tests/unit/test_server.c \
	server/syncpool.c server/tickets.c
tests_unit_test_server_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_server_LDADD = libipc.a libbase.a $(EVENT_LIBS) \
	-lcmocka -lpthread
TESTS += tests/unit/test_ipc tests/unit/test_peer tests/unit/test_server

check_PROGRAMS += tests/unit/test_tls
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c \
	server/net/relay.c server/net/tls.c server/net/tls_pem.c
tests_unit_test_tls_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_test_tls_LDADD = libbase.a $(EVENT_LIBS) $(OPENSSL_LIBS) -lcmocka
TESTS += tests/unit/test_tls

# A login process, with its surroundings played by the tests.
login_tests = tests/unit/test_login tests/unit/test_login_auth \
	tests/unit/test_login_tls
check_PROGRAMS += $(login_tests)
TESTS += $(login_tests)
check_LIBRARIES += liblogintest.a
liblogintest_a_SOURCES = $(postern_login_sources) \
	server/child.c server/peer.c server/service.c \
	server/service_log.c \
	tests/unit/conf_fixture.c tests/unit/conf_fixture.h \
	tests/unit/login_client.c \
	tests/unit/login_fixture.c tests/unit/login_fixture.h
liblogintest_a_CFLAGS = $(posternd_CFLAGS)
login_test_libs = liblogintest.a $(posternd_LDADD) -lcmocka
tests_unit_test_login_SOURCES = tests/unit/test_login.c
tests_unit_test_login_LDADD = $(login_test_libs)
tests_unit_test_login_auth_SOURCES = tests/unit/test_login_auth.c
tests_unit_test_login_auth_LDADD = $(login_test_libs)
tests_unit_test_login_tls_SOURCES = tests/unit/test_login_tls.c
tests_unit_test_login_tls_LDADD = $(login_test_libs)

check_PROGRAMS += tests/unit/test_handover
TESTS += tests/unit/test_handover
tests_unit_test_handover_SOURCES = tests/unit/test_handover.c \
	tests/unit/conf_fixture.c tests/unit/conf_fixture.h \
	server/master_handover.c server/peer.c server/service.c \
	server/service_log.c server/tickets.c
tests_unit_test_handover_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_handover_LDADD = libconf.a libnet.a libipc.a libbase.a \
	$(EVENT_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_sandbox
tests_unit_test_sandbox_SOURCES = tests/unit/test_sandbox.c server/sandbox.c
tests_unit_test_sandbox_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
tests_unit_test_sandbox_LDADD = libbase.a $(SECCOMP_LIBS) -lcmocka
TESTS += tests/unit/test_sandbox

check_PROGRAMS += tests/fuzz/fuzz_deflate
tests_fuzz_fuzz_deflate_SOURCES = tests/fuzz/fuzz_deflate.c server/deflate.c
tests_fuzz_fuzz_deflate_LDADD = libbase.a $(ZLIB_LIBS)
tests_fuzz_fuzz_deflate_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_deflate_SOURCES += tests/fuzz/replay.c
endif
check_PROGRAMS += tests/unit/test_worker_stream
TESTS += tests/unit/test_worker_stream
tests_unit_test_worker_stream_SOURCES = tests/unit/test_worker_stream.c \
	server/deflate.c server/worker_stream.c server/worker_send.c \
	server/outbox_why.c server/peer.c server/zip.c
tests_unit_test_worker_stream_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_worker_stream_LDADD = libconf.a libipc.a libbase.a \
	$(EVENT_LIBS) $(ZLIB_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_worker_home
TESTS += tests/unit/test_worker_home
tests_unit_test_worker_home_SOURCES = tests/unit/test_worker_home.c \
	server/worker_home.c server/worker_home.h
tests_unit_test_worker_home_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=flock
tests_unit_test_worker_home_LDADD = libbase.a -lcmocka

check_PROGRAMS += tests/unit/test_outbox
TESTS += tests/unit/test_outbox
tests_unit_test_outbox_SOURCES = tests/unit/test_outbox.c server/outbox.c \
	server/outbox_why.c server/child.c server/peer.c
tests_unit_test_outbox_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_outbox_LDADD = libconf.a libipc.a libbase.a $(EVENT_LIBS) \
	-lcmocka
check_PROGRAMS += tests/fuzz/fuzz_outbox
tests_fuzz_fuzz_outbox_SOURCES = tests/fuzz/fuzz_outbox.c server/outbox_why.c
tests_fuzz_fuzz_outbox_LDADD = libbase.a
tests_fuzz_fuzz_outbox_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_outbox_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_tls_pem
tests_fuzz_fuzz_tls_pem_SOURCES = tests/fuzz/fuzz_tls_pem.c \
	server/net/tls_pem.c
tests_fuzz_fuzz_tls_pem_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
tests_fuzz_fuzz_tls_pem_LDADD = libbase.a $(OPENSSL_LIBS)
tests_fuzz_fuzz_tls_pem_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_tls_pem_SOURCES += tests/fuzz/replay.c
endif
