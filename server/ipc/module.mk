noinst_LIBRARIES += libipc.a
libipc_a_SOURCES = \
	server/ipc/messages.def \
	server/ipc/msg.c server/ipc/msg.h
