# What the login process needs, of both protocols: free of maildir.
noinst_LIBRARIES += libpreauth.a
libpreauth_a_SOURCES = \
	protocols/preauth.h \
	protocols/preauth_impl.c protocols/preauth_impl.h \
	protocols/imap/capability.c protocols/imap/capability.h \
	protocols/imap/preauth.c protocols/imap/preauth.h \
	protocols/imap/preauth_cmd.c protocols/imap/preauth_cmd.h \
	protocols/imap/lex.c protocols/imap/lex.h \
	protocols/pop3/capa.c protocols/pop3/capa.h \
	protocols/pop3/preauth.c protocols/pop3/preauth.h

noinst_LIBRARIES += libpop3.a
libpop3_a_SOURCES = \
	protocols/session.h \
	protocols/pop3/capa.c protocols/pop3/capa.h \
	protocols/pop3/commands.c \
	protocols/pop3/headers.c protocols/pop3/headers.h \
	protocols/pop3/maildrop.c protocols/pop3/maildrop.h \
	protocols/pop3/message.c \
	protocols/pop3/session.c protocols/pop3/session.h \
	protocols/pop3/session_impl.h \
	protocols/pop3/stuff.c protocols/pop3/stuff.h \
	protocols/pop3/surrogate.c protocols/pop3/surrogate.h \
	protocols/pop3/update.c \
	protocols/pop3/wrap.c

# --- tests ------------------------------------------------------------------
pop3_unit_tests = tests/unit/test_pop3_session tests/unit/test_pop3_failures \
	tests/unit/test_pop3_stuff tests/unit/test_pop3_utf8 \
	tests/unit/test_preauth_imap tests/unit/test_preauth_pop3
check_PROGRAMS += $(pop3_unit_tests)
TESTS += $(pop3_unit_tests)
preauth_login = tests/support/preauth_login.c tests/support/preauth_login.h
preauth_fixture = tests/unit/preauth_fixture.c tests/unit/preauth_fixture.h \
	$(preauth_login)
tests_unit_test_preauth_imap_SOURCES = tests/unit/test_preauth_imap.c \
	$(preauth_fixture)
tests_unit_test_preauth_imap_LDADD = libpreauth.a libbase.a -lcmocka
tests_unit_test_preauth_pop3_SOURCES = tests/unit/test_preauth_pop3.c \
	$(preauth_fixture)
tests_unit_test_preauth_pop3_LDADD = libpreauth.a libbase.a -lcmocka
fake_mailbox = tests/support/fake_mailbox.c tests/support/fake_mailbox.h
pop3_fixture = tests/unit/pop3_fixture.c tests/unit/pop3_fixture.h \
	$(fake_mailbox)
tests_unit_test_pop3_session_SOURCES = tests/unit/test_pop3_session.c \
	$(pop3_fixture)
tests_unit_test_pop3_session_LDADD = libpop3.a libmime.a libbase.a -lcmocka
tests_unit_test_pop3_failures_SOURCES = tests/unit/test_pop3_failures.c \
	$(pop3_fixture)
tests_unit_test_pop3_failures_LDADD = libpop3.a libmime.a libbase.a -lcmocka
tests_unit_test_pop3_utf8_SOURCES = tests/unit/test_pop3_utf8.c \
	$(fake_mailbox)
tests_unit_test_pop3_utf8_LDADD = libpop3.a libmime.a libbase.a -lcmocka
tests_unit_test_pop3_stuff_SOURCES = tests/unit/test_pop3_stuff.c
tests_unit_test_pop3_stuff_LDADD = libpop3.a libmime.a libbase.a -lcmocka

# Of both protocols, with the store itself.
check_PROGRAMS += tests/unit/test_session_busy
TESTS += tests/unit/test_session_busy
tests_unit_test_session_busy_SOURCES = tests/unit/test_session_busy.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_session_busy_LDADD = $(IMAP_LIBS) libpop3.a libmime.a \
	libmaildir.a libbase.a $(SQLITE_LIBS) $(UTF8PROC_LIBS) -lcmocka

pop3_fuzz_targets = tests/fuzz/fuzz_pop3 tests/fuzz/fuzz_preauth
check_PROGRAMS += $(pop3_fuzz_targets)
tests_fuzz_fuzz_pop3_SOURCES = tests/fuzz/fuzz_pop3.c $(fake_mailbox)
tests_fuzz_fuzz_pop3_LDADD = libpop3.a libmime.a libbase.a
tests_fuzz_fuzz_pop3_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_preauth_SOURCES = tests/fuzz/fuzz_preauth.c
tests_fuzz_fuzz_preauth_LDADD = libpreauth.a libbase.a
tests_fuzz_fuzz_preauth_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_pop3_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_preauth_SOURCES += tests/fuzz/replay.c
endif

# One engine, one driver a protocol.
transcript = tests/support/transcript.c tests/support/transcript.h \
	tests/support/transcript_pattern.c tests/support/transcript_pattern.h
pop3_transcripts = tests/transcripts/run_pop3 tests/transcripts/run_preauth
check_PROGRAMS += $(pop3_transcripts)
TESTS += $(pop3_transcripts)
maildir_worker = tests/support/maildir_worker.c \
	tests/support/maildir_worker.h \
	tests/support/quiet.h \
	tests/support/syncs.c tests/support/syncs.h \
	tests/support/maildir_tree.c tests/support/maildir_tree.h $(transcript)
tests_transcripts_run_pop3_SOURCES = tests/transcripts/run_pop3.c \
	$(maildir_worker)
tests_transcripts_run_pop3_LDADD = libpop3.a libmime.a libmaildir.a libbase.a \
	$(SQLITE_LIBS)
tests_transcripts_run_preauth_SOURCES = tests/transcripts/run_preauth.c \
	$(transcript) $(preauth_login)
tests_transcripts_run_preauth_LDADD = libpreauth.a libbase.a
