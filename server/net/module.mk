# addresses, limits, PROXY headers, access files: pure, needs base only
noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	server/net/access.c server/net/access.h \
	server/net/addr.c server/net/addr.h \
	server/net/limits.c server/net/limits.h \
	server/net/proxy.c server/net/proxy.h
