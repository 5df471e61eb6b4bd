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
	server/conf/conf_words.c server/conf/conf_words.h \
	server/conf/keys.def
