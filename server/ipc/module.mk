noinst_LIBRARIES += libipc.a
libipc_a_SOURCES = \
	server/ipc/messages.def \
	server/ipc/msg.c server/ipc/msg.h

check_PROGRAMS += tests/fuzz/fuzz_ipc
tests_fuzz_fuzz_ipc_SOURCES = tests/fuzz/fuzz_ipc.c
tests_fuzz_fuzz_ipc_LDADD = libipc.a libbase.a
tests_fuzz_fuzz_ipc_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_ipc_SOURCES += tests/fuzz/replay.c
endif
