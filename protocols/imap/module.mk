noinst_LIBRARIES += libimap.a
libimap_a_SOURCES = \
	protocols/imap/base_subject.c protocols/imap/base_subject.h \
	protocols/imap/capability.c protocols/imap/capability.h \
	protocols/imap/casemap.c protocols/imap/casemap.h \
	protocols/imap/append.h \
	protocols/imap/append_binary.c \
	protocols/imap/acl.h \
	protocols/imap/cmd_acl.c \
	protocols/imap/cmd_acl2.c \
	protocols/imap/cmd_append.c \
	protocols/imap/cmd_basic.c \
	protocols/imap/cmd_compress.c \
	protocols/imap/cmd_copy.c \
	protocols/imap/cmd_expunge.c \
	protocols/imap/cmd_fetch.c \
	protocols/imap/cmd_idle.c \
	protocols/imap/cmd_list.c \
	protocols/imap/cmd_mailbox.c \
	protocols/imap/cmd_quota.c \
	protocols/imap/cmd_search.c \
	protocols/imap/cmd_select.c \
	protocols/imap/cmd_sort.c \
	protocols/imap/cmd_status.c \
	protocols/imap/cmd_store.c \
	protocols/imap/cmd_thread.c \
	protocols/imap/command.c \
	protocols/imap/condstore.c protocols/imap/condstore.h \
	protocols/imap/date_time.c \
	protocols/imap/date_time.h \
	protocols/imap/fetch.h \
	protocols/imap/fields.c protocols/imap/fields.h \
	protocols/imap/fetch_binary.c \
	protocols/imap/fetch_body.c \
	protocols/imap/fetch_items.c \
	protocols/imap/fetch_look.c \
	protocols/imap/fetch_parts.c \
	protocols/imap/fetch_plain.c \
	protocols/imap/flags.c \
	protocols/imap/forest.c protocols/imap/forest.h \
	protocols/imap/hits.c protocols/imap/hits.h \
	protocols/imap/input.c \
	protocols/imap/kept.c protocols/imap/kept.h \
	protocols/imap/keys.c protocols/imap/keys.h \
	protocols/imap/lex.c \
	protocols/imap/lex.h \
	protocols/imap/look.c \
	protocols/imap/names.c protocols/imap/names.h \
	protocols/imap/node_table.c protocols/imap/node_table.h \
	protocols/imap/order.c protocols/imap/order.h \
	protocols/imap/outbox.c \
	protocols/imap/pattern.c \
	protocols/imap/pattern.h \
	protocols/imap/progress.c \
	protocols/imap/resync.c \
	protocols/imap/rights.c protocols/imap/rights.h \
	protocols/imap/saved.c protocols/imap/saved.h \
	protocols/imap/preview.c protocols/imap/preview.h \
	protocols/imap/search.h \
	protocols/imap/search_eval.c \
	protocols/imap/search_find.c \
	protocols/imap/search_keys.c \
	protocols/imap/search_tree.c protocols/imap/search_tree.h \
	protocols/imap/search_return.c \
	protocols/imap/search_raw.c \
	protocols/imap/search_text.c \
	protocols/imap/seqset.c \
	protocols/imap/seqset.h \
	protocols/imap/session.c \
	protocols/imap/session.h \
	protocols/imap/session_impl.h \
	protocols/imap/sets.c \
	protocols/imap/shared.c protocols/imap/shared.h \
	protocols/imap/sort.h \
	protocols/imap/sort_order.c \
	protocols/imap/sort_run.c \
	protocols/imap/sorter.c protocols/imap/sorter.h \
	protocols/imap/sync.c \
	protocols/imap/thread.c protocols/imap/thread.h \
	protocols/imap/trash.c \
	protocols/imap/writer.c \
	protocols/imap/writer.h

# --- tests ------------------------------------------------------------------
imap_unit_tests = tests/unit/test_imap_lex tests/unit/test_imap_parts \
	tests/unit/test_imap_session tests/unit/test_imap_keys \
	tests/unit/test_imap_sort tests/unit/test_imap_thread \
	tests/unit/test_imap_preview tests/unit/test_imap_computed
check_PROGRAMS += $(imap_unit_tests)
TESTS += $(imap_unit_tests)
IMAP_LIBS = libimap.a libimapmime.a libmime.a
fake_store = tests/support/fake_account.c \
	tests/support/fake_store.c tests/support/fake_store.h \
	tests/support/fake_change.c tests/support/fake_view.c \
	tests/support/fake_shared.c tests/support/fake_cache.c \
	tests/support/fake_impl.h \
	maildir/acl.c maildir/acl.h
tests_unit_test_imap_session_SOURCES = tests/unit/test_imap_session.c \
	$(fake_store)
tests_unit_test_imap_session_LDADD = $(IMAP_LIBS) libbase.a \
	$(UTF8PROC_LIBS) -lcmocka
tests_unit_test_imap_lex_SOURCES = tests/unit/test_imap_lex.c
tests_unit_test_imap_lex_LDADD = libimap.a libbase.a -lcmocka
tests_unit_test_imap_keys_SOURCES = tests/unit/test_imap_keys.c
tests_unit_test_imap_keys_LDADD = $(IMAP_LIBS) libbase.a \
	$(UTF8PROC_LIBS) -lcmocka
tests_unit_test_imap_sort_SOURCES = tests/unit/test_imap_sort.c \
	tests/support/dice.h
tests_unit_test_imap_sort_LDADD = $(tests_unit_test_imap_thread_LDADD)
tests_unit_test_imap_thread_SOURCES = tests/unit/test_imap_thread.c \
	tests/support/dice.h
tests_unit_test_imap_thread_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS) -lcmocka
tests_unit_test_imap_preview_SOURCES = tests/unit/test_imap_preview.c
tests_unit_test_imap_preview_LDADD = $(IMAP_LIBS) libbase.a -lcmocka
tests_unit_test_imap_computed_SOURCES = tests/unit/test_imap_computed.c
tests_unit_test_imap_computed_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=iconv_open,--wrap=iconv,--wrap=iconv_close
tests_unit_test_imap_computed_LDADD = $(tests_unit_test_imap_keys_LDADD)
EXTRA_DIST += tests/unit/data/computed tests/unit/data/values
# after CACHE_REVISION was raised, or messages were added
computed: tests/unit/test_imap_computed
	COMPUTED_WRITE=1 srcdir=$(abs_srcdir) tests/unit/test_imap_computed
.PHONY: computed
tests_unit_test_imap_parts_SOURCES = tests/unit/test_imap_parts.c
tests_unit_test_imap_parts_LDADD = $(IMAP_LIBS) libbase.a \
	$(UTF8PROC_LIBS) -lcmocka

check_PROGRAMS += tests/transcripts/run_imap
TESTS += tests/transcripts/run_imap
tests_transcripts_run_imap_SOURCES = tests/transcripts/run_imap.c \
	$(maildir_worker)
tests_transcripts_run_imap_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS)

check_PROGRAMS += tests/unit/test_imap_consistency
TESTS += tests/unit/test_imap_consistency
tests_unit_test_imap_consistency_SOURCES = tests/unit/test_imap_consistency.c \
	tests/unit/consistency_client.c tests/unit/consistency_view.c \
	tests/unit/consistency.h \
	tests/support/quiet.h tests/support/syncs.c tests/support/syncs.h
tests_unit_test_imap_consistency_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS)

check_PROGRAMS += tests/unit/test_imap_memory
TESTS += tests/unit/test_imap_memory
tests_unit_test_imap_memory_SOURCES = tests/unit/test_imap_memory.c \
	tests/support/quiet.h tests/support/syncs.c tests/support/syncs.h
tests_unit_test_imap_memory_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_imap_hibernate
TESTS += tests/unit/test_imap_hibernate
tests_unit_test_imap_hibernate_SOURCES = tests/unit/test_imap_hibernate.c \
	tests/support/dice.h tests/support/quiet.h \
	tests/support/syncs.c tests/support/syncs.h
tests_unit_test_imap_hibernate_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS) -lcmocka

check_PROGRAMS += tests/unit/test_imap_turns
TESTS += tests/unit/test_imap_turns
tests_unit_test_imap_turns_SOURCES = tests/unit/test_imap_turns.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_imap_turns_LDADD = $(IMAP_LIBS) libmaildir.a libbase.a \
	$(SQLITE_LIBS) $(UTF8PROC_LIBS) -lcmocka

imap_fixture = tests/unit/imap_fixture.c tests/unit/imap_fixture.h \
	$(MAILDIR_FIXTURE)
check_PROGRAMS += tests/unit/test_imap_pieces
TESTS += tests/unit/test_imap_pieces
tests_unit_test_imap_pieces_SOURCES = \
	tests/unit/test_imap_pieces.c $(imap_fixture)
tests_unit_test_imap_pieces_LDADD = $(tests_unit_test_imap_turns_LDADD)

# It counts how often names are compared.
check_PROGRAMS += tests/unit/test_imap_keywords
TESTS += tests/unit/test_imap_keywords
tests_unit_test_imap_keywords_SOURCES = tests/unit/test_imap_keywords.c \
	$(imap_fixture)
tests_unit_test_imap_keywords_LDADD = $(tests_unit_test_imap_turns_LDADD)
tests_unit_test_imap_keywords_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=slice_icmp

# It has the database fail.
check_PROGRAMS += tests/unit/test_imap_log
TESTS += tests/unit/test_imap_log
tests_unit_test_imap_log_SOURCES = tests/unit/test_imap_log.c $(imap_fixture)
tests_unit_test_imap_log_LDADD = $(tests_unit_test_imap_turns_LDADD)
tests_unit_test_imap_log_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=db_begin_read

# The transcripts once more, hibernated whenever nothing is left to do.
check_PROGRAMS += tests/transcripts/run_imap_hibernated
TESTS += tests/transcripts/run_imap_hibernated
tests_transcripts_run_imap_hibernated_SOURCES = \
	$(tests_transcripts_run_imap_SOURCES)
tests_transcripts_run_imap_hibernated_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTRANSCRIPT_HIBERNATES=true
tests_transcripts_run_imap_hibernated_LDADD = \
	$(tests_transcripts_run_imap_LDADD)

imap_fuzz_targets = tests/fuzz/fuzz_imap_lex tests/fuzz/fuzz_imap_session \
	tests/fuzz/fuzz_imap_sets tests/fuzz/fuzz_imap_pattern \
	tests/fuzz/fuzz_imap_search
check_PROGRAMS += $(imap_fuzz_targets)
tests_fuzz_fuzz_imap_lex_SOURCES = tests/fuzz/fuzz_imap_lex.c
tests_fuzz_fuzz_imap_lex_LDADD = $(IMAP_LIBS) libbase.a
tests_fuzz_fuzz_imap_lex_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_imap_sets_SOURCES = tests/fuzz/fuzz_imap_sets.c
tests_fuzz_fuzz_imap_sets_LDADD = libimap.a libbase.a
tests_fuzz_fuzz_imap_sets_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_imap_pattern_SOURCES = tests/fuzz/fuzz_imap_pattern.c
tests_fuzz_fuzz_imap_pattern_LDADD = libimap.a libbase.a
tests_fuzz_fuzz_imap_pattern_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_imap_session_SOURCES = tests/fuzz/fuzz_imap_session.c \
	tests/fuzz/imap_client.c tests/fuzz/imap_client.h \
	$(fake_store)
tests_fuzz_fuzz_imap_session_LDADD = $(IMAP_LIBS) libbase.a $(UTF8PROC_LIBS)
tests_fuzz_fuzz_imap_session_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_imap_search_SOURCES = tests/fuzz/fuzz_imap_search.c \
	$(fake_store)
tests_fuzz_fuzz_imap_search_LDADD = $(IMAP_LIBS) libbase.a $(UTF8PROC_LIBS)
tests_fuzz_fuzz_imap_search_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_imap_lex_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_imap_sets_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_imap_pattern_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_imap_session_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_imap_search_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_imap_keys tests/fuzz/fuzz_imap_thread
tests_fuzz_fuzz_imap_keys_SOURCES = tests/fuzz/fuzz_imap_keys.c
tests_fuzz_fuzz_imap_keys_LDADD = $(IMAP_LIBS) libbase.a $(UTF8PROC_LIBS)
tests_fuzz_fuzz_imap_keys_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_imap_thread_SOURCES = tests/fuzz/fuzz_imap_thread.c
tests_fuzz_fuzz_imap_thread_LDADD = $(IMAP_LIBS) libbase.a $(UTF8PROC_LIBS)
tests_fuzz_fuzz_imap_thread_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_imap_keys_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_imap_thread_SOURCES += tests/fuzz/replay.c
endif
