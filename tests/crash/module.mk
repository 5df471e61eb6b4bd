# Each is linked with calls_libc.c, whose names come before the C library's; so they
# must be seen by the libraries.
TESTS_CRASH_SRC = tests/crash/calls.c tests/crash/calls.h \
	tests/crash/calls_libc.c tests/crash/calls_impl.h \
	tests/crash/ledger.c tests/crash/ledger.h tests/crash/ledger_impl.h \
	tests/crash/ledger_check.c tests/crash/ledger_state.c \
	tests/crash/script.c tests/crash/script.h tests/crash/script_imap.c \
	tests/crash/script_do.c tests/crash/script_impl.h tests/crash/world.c \
	tests/crash/child.c tests/crash/child.h \
	tests/crash/client.c tests/crash/client.h \
	$(MAILDIR_FIXTURE)
TESTS_CRASH_LIBS = $(IMAP_LIBS) $(MAILDIR_TEST_LIBS) $(UTF8PROC_LIBS)
TESTS_CRASH_LD = $(AM_LDFLAGS) -rdynamic

check_PROGRAMS += tests/crash/test_kill
TESTS += tests/crash/test_kill
tests_crash_test_kill_SOURCES = tests/crash/test_kill.c \
	tests/crash/kill.c tests/crash/kill.h $(TESTS_CRASH_SRC)
tests_crash_test_kill_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_kill_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_fault
TESTS += tests/crash/test_fault
tests_crash_test_fault_SOURCES = tests/crash/test_fault.c $(TESTS_CRASH_SRC)
tests_crash_test_fault_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_fault_LDADD = $(TESTS_CRASH_LIBS)

TESTS_CRASH_LOSSES = tests/crash/losses.c tests/crash/losses.h \
	tests/crash/power.c tests/crash/power.h $(TESTS_CRASH_SRC)

check_PROGRAMS += tests/crash/test_courier
TESTS += tests/crash/test_courier
tests_crash_test_courier_SOURCES = tests/crash/test_courier.c \
	tests/crash/kill.c tests/crash/kill.h \
	$(TESTS_CRASH_LOSSES)
tests_crash_test_courier_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_courier_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_keywords
TESTS += tests/crash/test_keywords
tests_crash_test_keywords_SOURCES = tests/crash/test_keywords.c \
	$(TESTS_CRASH_LOSSES)
tests_crash_test_keywords_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_keywords_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_sweep
TESTS += tests/crash/test_sweep
tests_crash_test_sweep_SOURCES = tests/crash/test_sweep.c $(TESTS_CRASH_SRC)
tests_crash_test_sweep_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_sweep_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_power
TESTS += tests/crash/test_power
tests_crash_test_power_SOURCES = tests/crash/test_power.c \
	tests/crash/power.c tests/crash/power.h $(TESTS_CRASH_SRC)
tests_crash_test_power_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_power_LDADD = $(TESTS_CRASH_LIBS)

TESTS_CRASH_ORDER = tests/crash/order.c tests/crash/order.h $(TESTS_CRASH_SRC)

check_PROGRAMS += tests/crash/test_order
TESTS += tests/crash/test_order
tests_crash_test_order_SOURCES = tests/crash/test_order.c \
	$(TESTS_CRASH_ORDER)
tests_crash_test_order_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_order_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_young
TESTS += tests/crash/test_young
tests_crash_test_young_SOURCES = tests/crash/test_young.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_young_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_young_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_young_help
TESTS += tests/crash/test_young_help
tests_crash_test_young_help_SOURCES = tests/crash/test_young_help.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_young_help_LDFLAGS = $(TESTS_CRASH_LD) -Wl,--wrap=db_step
tests_crash_test_young_help_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_young_left
TESTS += tests/crash/test_young_left
tests_crash_test_young_left_SOURCES = tests/crash/test_young_left.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_young_left_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_young_left_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_young_meanwhile
TESTS += tests/crash/test_young_meanwhile
tests_crash_test_young_meanwhile_SOURCES = \
	tests/crash/test_young_meanwhile.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_young_meanwhile_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_young_meanwhile_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_young_mend
TESTS += tests/crash/test_young_mend
tests_crash_test_young_mend_SOURCES = tests/crash/test_young_mend.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_young_mend_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_young_mend_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_waiting
TESTS += tests/crash/test_waiting
tests_crash_test_waiting_SOURCES = tests/crash/test_waiting.c \
	$(TESTS_CRASH_ORDER)
tests_crash_test_waiting_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_waiting_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_append_group
TESTS += tests/crash/test_append_group
tests_crash_test_append_group_SOURCES = tests/crash/test_append_group.c \
	tests/crash/young.c tests/crash/young.h $(TESTS_CRASH_ORDER)
tests_crash_test_append_group_LDFLAGS = $(TESTS_CRASH_LD)
tests_crash_test_append_group_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_odd
TESTS += tests/crash/test_odd
tests_crash_test_odd_SOURCES = tests/crash/test_odd.c tests/crash/client.c \
	tests/crash/client.h $(MAILDIR_FIXTURE)
tests_crash_test_odd_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_database
TESTS += tests/crash/test_database
tests_crash_test_database_SOURCES = tests/crash/test_database.c \
	tests/crash/child.c tests/crash/child.h \
	tests/crash/client.c tests/crash/client.h $(MAILDIR_FIXTURE)
tests_crash_test_database_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_alloc
TESTS += tests/crash/test_alloc
tests_crash_test_alloc_SOURCES = tests/crash/test_alloc.c \
	tests/crash/alloc.c tests/crash/alloc.h $(MAILDIR_FIXTURE)
tests_crash_test_alloc_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=reallocarray
tests_crash_test_alloc_LDADD = $(TESTS_CRASH_LIBS)

check_PROGRAMS += tests/crash/test_alloc_session
TESTS += tests/crash/test_alloc_session
tests_crash_test_alloc_session_SOURCES = tests/crash/test_alloc_session.c \
	tests/crash/alloc.c tests/crash/alloc.h \
	tests/crash/client.c tests/crash/client.h $(MAILDIR_FIXTURE)
tests_crash_test_alloc_session_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=reallocarray
tests_crash_test_alloc_session_LDADD = $(TESTS_CRASH_LIBS)
