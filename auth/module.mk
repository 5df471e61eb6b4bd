noinst_LIBRARIES += libauth.a
libauth_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS) \
	$(SQLITE_CFLAGS) $(MYSQL_CFLAGS) $(CRYPT_CFLAGS) $(ARGON2_CFLAGS) \
	$(SECCOMP_CFLAGS)
libauth_a_SOURCES = \
	auth/answer.c auth/answer.h \
	auth/app_password.c auth/app_password.h \
	auth/cache.c auth/cache.h \
	auth/cram.c auth/cram.h \
	auth/defdomain.c auth/defdomain.h \
	auth/file_watch.c auth/file_watch.h \
	auth/mech.c auth/mech.h auth/mech_cram.c auth/mech_external.c auth/mech_login.c \
	auth/mech_plain.c auth/mech_scram.c \
	auth/module.c auth/module.h auth/module_pam.c auth/module_sqlite.c \
	auth/module_userdb.c auth/userdb.h \
	auth/network.c auth/network.h \
	auth/passwd.c auth/passwd.h \
	auth/protocol_courier.c auth/protocol_courier.h \
	auth/protocol_sasl.c auth/protocol_sasl.h auth/sasl_line.c \
	auth/scram.c auth/scram.h \
	auth/settings.c auth/settings.h auth/settings_image.c \
	auth/sql.c auth/sql.h \
	auth/table_watch.c auth/table_watch.h \
	auth/throttle.c auth/throttle.h
if AUTHMYSQL
libauth_a_SOURCES += auth/module_mysql.c
endif

sbin_PROGRAMS += sbin/authdaemond
sbin_authdaemond_CPPFLAGS = $(libauth_a_CPPFLAGS)
sbin_authdaemond_SOURCES = \
	auth/asking.c auth/asking.h \
	auth/conn.c auth/conn.h auth/conn_courier.c auth/conn_sasl.c \
	auth/front.c auth/front.h \
	auth/helper.c auth/helper.h \
	auth/keeper.c auth/keeper.h auth/keeper_impl.h \
	auth/keeper_read.c auth/keeper_sockets.c auth/keeper_spawn.c \
	auth/log_target.c auth/log_target.h \
	auth/main.c \
	auth/pidfile.c auth/pidfile.h \
	auth/pool.c auth/pool.h \
	auth/sandbox.c auth/sandbox.h \
	auth/sockets.c auth/sockets.h \
	auth/tickets.c
if AUTHPAM
sbin_authdaemond_SOURCES += auth/pam.c auth/pam.h
endif
sbin_authdaemond_LDADD = libauth.a libconf.a libipc.a libbase.a \
	$(EVENT_LIBS) $(MYSQL_LIBS) $(PAM_LIBS) $(SECCOMP_LIBS) $(SQLITE_LIBS) $(CRYPT_LIBS) \
	$(ARGON2_LIBS) $(OPENSSL_LIBS)

# --- tests ------------------------------------------------------------------
libauth_a_test_libs = libauth.a libconf.a libipc.a libbase.a $(MYSQL_LIBS) \
	$(SQLITE_LIBS) $(CRYPT_LIBS) $(ARGON2_LIBS) $(OPENSSL_LIBS)
auth_unit_tests = tests/unit/test_auth_asking tests/unit/test_auth_conn tests/unit/test_auth_courier \
	tests/unit/test_auth_passwd tests/unit/test_auth_pool \
	tests/unit/test_auth_sasl tests/unit/test_auth_scram \
	tests/unit/test_auth_settings tests/unit/test_auth_sockets tests/unit/test_auth_sql \
	tests/unit/test_auth_throttle
if AUTHPAM
auth_unit_tests += tests/unit/test_auth_spawn
endif
check_PROGRAMS += $(auth_unit_tests)
TESTS += $(auth_unit_tests)
tests_unit_test_auth_asking_SOURCES = tests/unit/test_auth_asking.c \
	auth/asking.c
tests_unit_test_auth_asking_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_auth_asking_LDADD = $(libauth_a_test_libs) $(EVENT_LIBS) -lcmocka
tests_unit_test_auth_conn_SOURCES = tests/unit/test_auth_conn.c auth/conn.c
tests_unit_test_auth_conn_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_auth_conn_LDADD = libbase.a $(EVENT_LIBS) -lcmocka
tests_unit_test_auth_courier_SOURCES = tests/unit/test_auth_courier.c
tests_unit_test_auth_courier_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_passwd_SOURCES = tests/unit/test_auth_passwd.c
tests_unit_test_auth_passwd_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_pool_SOURCES = tests/unit/test_auth_pool.c auth/pool.c
tests_unit_test_auth_pool_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_auth_pool_LDADD = $(libauth_a_test_libs) $(EVENT_LIBS) -lcmocka
tests_unit_test_auth_sasl_SOURCES = tests/unit/test_auth_sasl.c
tests_unit_test_auth_sasl_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_scram_SOURCES = tests/unit/test_auth_scram.c
tests_unit_test_auth_scram_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_settings_SOURCES = tests/unit/test_auth_settings.c \
	$(conf_fixture)
tests_unit_test_auth_settings_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_sockets_SOURCES = tests/unit/test_auth_sockets.c auth/sockets.c
tests_unit_test_auth_sockets_LDADD = libbase.a -lcmocka
tests_unit_test_auth_sockets_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=bind
tests_unit_test_auth_spawn_SOURCES = tests/unit/test_auth_spawn.c \
	auth/keeper_spawn.c $(conf_fixture)
tests_unit_test_auth_spawn_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
tests_unit_test_auth_spawn_LDADD = $(libauth_a_test_libs) -lcmocka
tests_unit_test_auth_sql_SOURCES = tests/unit/test_auth_sql.c
tests_unit_test_auth_sql_LDADD = $(libauth_a_test_libs) -lcmocka

tests_unit_test_auth_throttle_SOURCES = tests/unit/test_auth_throttle.c
tests_unit_test_auth_throttle_LDADD = $(libauth_a_test_libs) -lcmocka

auth_fuzz_targets = tests/fuzz/fuzz_auth_courier \
	tests/fuzz/fuzz_auth_mech tests/fuzz/fuzz_auth_sasl \
	tests/fuzz/fuzz_auth_userdb
check_PROGRAMS += $(auth_fuzz_targets)
tests_fuzz_fuzz_auth_courier_SOURCES = tests/fuzz/fuzz_auth_courier.c
tests_fuzz_fuzz_auth_courier_LDADD = $(libauth_a_test_libs)
tests_fuzz_fuzz_auth_courier_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_auth_mech_SOURCES = tests/fuzz/fuzz_auth_mech.c
tests_fuzz_fuzz_auth_mech_LDADD = $(libauth_a_test_libs)
tests_fuzz_fuzz_auth_mech_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_auth_sasl_SOURCES = tests/fuzz/fuzz_auth_sasl.c
tests_fuzz_fuzz_auth_sasl_LDADD = $(libauth_a_test_libs)
tests_fuzz_fuzz_auth_sasl_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_auth_userdb_SOURCES = tests/fuzz/fuzz_auth_userdb.c
tests_fuzz_fuzz_auth_userdb_LDADD = $(libauth_a_test_libs)
tests_fuzz_fuzz_auth_userdb_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
TESTS += $(auth_fuzz_targets)
tests_fuzz_fuzz_auth_courier_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_auth_mech_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_auth_sasl_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_auth_userdb_SOURCES += tests/fuzz/replay.c
endif
EXTRA_DIST += tests/fuzz/corpus/auth_courier tests/fuzz/corpus/auth_mech \
	tests/fuzz/corpus/auth_sasl tests/fuzz/corpus/auth_userdb
