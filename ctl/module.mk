sbin_PROGRAMS += posternctl
posternctl_SOURCES = ctl/posternctl.c
posternctl_LDADD = libconf.a libipc.a libbase.a
