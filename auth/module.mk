noinst_LIBRARIES += libauth.a
libauth_a_CPPFLAGS = $(AM_CPPFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS) \
	$(SQLITE_CFLAGS) $(MYSQL_CFLAGS) $(CRYPT_CFLAGS)
libauth_a_SOURCES = \
	auth/answer.c auth/answer.h \
	auth/mech.c auth/mech.h auth/mech_login.c auth/mech_plain.c \
	auth/module.c auth/module.h auth/module_sqlite.c \
	auth/passwd.c auth/passwd.h \
	auth/protocol_courier.c auth/protocol_courier.h \
	auth/protocol_sasl.c auth/protocol_sasl.h auth/sasl_line.c \
	auth/settings.c auth/settings.h \
	auth/sql.c auth/sql.h
if AUTHMYSQL
libauth_a_SOURCES += auth/module_mysql.c
endif

sbin_PROGRAMS += sbin/authdaemond
sbin_authdaemond_CPPFLAGS = $(libauth_a_CPPFLAGS)
sbin_authdaemond_SOURCES = \
	auth/conn.c auth/conn.h auth/conn_courier.c auth/conn_sasl.c \
	auth/front.c auth/front.h \
	auth/helper.c auth/helper.h \
	auth/keeper.c auth/keeper.h \
	auth/log_target.c auth/log_target.h \
	auth/main.c \
	auth/pidfile.c auth/pidfile.h \
	auth/pool.c auth/pool.h \
	auth/sockets.c auth/sockets.h \
	auth/tickets.c
sbin_authdaemond_LDADD = libauth.a libconf.a libipc.a libbase.a \
	$(EVENT_LIBS) $(MYSQL_LIBS) $(SQLITE_LIBS) $(CRYPT_LIBS) \
	$(OPENSSL_LIBS)
