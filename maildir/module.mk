noinst_LIBRARIES += libmaildir.a
libmaildir_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
libmaildir_a_SOURCES = \
	maildir/account.c \
	maildir/account_acl.c \
	maildir/account_change.c maildir/account_change.h \
	maildir/account_change_impl.h \
	maildir/account_listing.c \
	maildir/acl.c maildir/acl.h \
	maildir/acl_file.c maildir/acl_file.h \
	maildir/adopt.c maildir/adopt.h \
	maildir/ahead.c maildir/ahead.h \
	maildir/append.c maildir/append.h \
	maildir/append_commit.c maildir/append_impl.h \
	maildir/background.c maildir/background.h \
	maildir/blob.c maildir/blob.h \
	maildir/cache.c maildir/cache.h \
	maildir/cache_file.c maildir/cache_pool.c maildir/cache_impl.h \
	maildir/cache_row.c maildir/cache_row.h \
	maildir/change.h \
	maildir/checkpoint.c \
	maildir/chunk.c maildir/chunk.h maildir/chunk_code.c \
	maildir/chunk_impl.h maildir/chunk_names.c maildir/chunk_old.c \
	maildir/collect.c maildir/collect.h \
	maildir/copy.c maildir/copy_impl.h \
	maildir/copy_bytes.c maildir/copy_file.c maildir/copy_look.c \
	maildir/copy_sync.c \
	maildir/create.c \
	maildir/courier_lock.c maildir/courier_lock.h \
	maildir/db.c maildir/db_open.c maildir/db_schema.c maildir/db.h \
	maildir/deliver.c maildir/deliver.h \
	maildir/dir.c maildir/dir.h \
	maildir/durable.c maildir/durable.h \
	maildir/edit.c maildir/edit.h \
	maildir/expunge.c maildir/twins.c maildir/twins.h \
	maildir/account_lock.c maildir/account_lock.h \
	maildir/export.c maildir/export.h \
	maildir/export_files.c maildir/export_files.h \
	maildir/facts.c \
	maildir/file_name.c maildir/file_name.h \
	maildir/flags.c \
	maildir/group.c maildir/group.h \
	maildir/hibernate.c \
	maildir/foreign.c maildir/foreign.h maildir/foreign_impl.h \
	maildir/import.c maildir/import_subscriptions.c maildir/import.h \
	maildir/import_check.c maildir/import_finish.c maildir/import_impl.h \
	maildir/import_courier.c maildir/import_dovecot.c \
	maildir/import_keywords.c maildir/import_placing.c \
	maildir/import_uids.c \
	maildir/import_updates.c maildir/import_update_files.c \
	maildir/index.c maildir/index.h \
	maildir/intent.c maildir/intent.h \
	maildir/internal.h \
	maildir/keywords.c maildir/keywords.h maildir/keywords_unused.c \
	maildir/layout.c maildir/layout.h \
	maildir/link_target.c maildir/link_target.h \
	maildir/mailbox.c maildir/mailbox.h maildir/mailbox_open.c \
	maildir/listing.c maildir/listing.h \
	maildir/maintain.c maildir/maintain.h \
	maildir/message.c \
	maildir/message_names.c \
	maildir/name.c maildir/name.h \
	maildir/name_table.c maildir/name_table.h \
	maildir/open.c \
	maildir/piece_sort.c maildir/piece_sort.h \
	maildir/pop3.c maildir/pop3_ids.c maildir/pop3_ids.h \
	maildir/pop3_import.c maildir/pop3_import.h \
	maildir/pop3_sizes.c maildir/pop3_sizes.h \
	maildir/quota.c maildir/quota.h maildir/quota_count.c \
	maildir/quota_file.c maildir/quota_file.h \
	maildir/record.c maildir/record.h \
	maildir/reload.c \
	maildir/rename.c \
	maildir/room.c \
	maildir/row.c maildir/row.h \
	maildir/scan.c maildir/scan.h \
	maildir/scan_change.c \
	maildir/scan_missing.c \
	maildir/scan_read.c \
	maildir/scan_sort.c \
	maildir/shared_index.c maildir/shared_index.h \
	maildir/shared_link.c maildir/shared_link.h \
	maildir/shared_list.c \
	maildir/shared_subscription.c \
	maildir/store.c maildir/store.h \
	maildir/store_tick.c \
	maildir/subscription.c maildir/subscription.h \
	maildir/sync.c maildir/sync.h \
	maildir/takeover.c maildir/takeover.h \
	maildir/tidy.c \
	maildir/vanished.c \
	maildir/trash.c maildir/trash.h \
	maildir/view.c maildir/view.h \
	maildir/watch.c maildir/watch.h \
	maildir/young.c maildir/young.h maildir/young_impl.h \
	maildir/young_disk.c maildir/young_help.c maildir/young_mend.c \
	maildir/young_round.c maildir/young_row.c maildir/young_search.c \
	maildir/work.c maildir/work.h

# Tests
MAILDIR_TEST_LIBS = libmaildir.a libbase.a $(SQLITE_LIBS) -lcmocka
ACCOUNT_NOW = tests/support/account_now.c tests/support/account_now.h
MAILDIR_FIXTURE = tests/support/maildir_fixture.c \
	tests/support/maildir_fixture_files.c \
	tests/support/maildir_fixture.h \
	tests/support/kept_log.h tests/support/quiet.h \
	tests/support/syncs.c tests/support/syncs.h $(ACCOUNT_NOW)

check_PROGRAMS += tests/unit/test_maildir
TESTS += tests/unit/test_maildir
tests_unit_test_maildir_SOURCES = tests/unit/test_maildir.c $(MAILDIR_FIXTURE)
tests_unit_test_maildir_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_cache
TESTS += tests/unit/test_maildir_cache
tests_unit_test_maildir_cache_SOURCES = tests/unit/test_maildir_cache.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_cache_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsx_unlink
tests_unit_test_maildir_cache_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_names
TESTS += tests/unit/test_maildir_names
tests_unit_test_maildir_names_SOURCES = tests/unit/test_maildir_names.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_names_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_message_names
TESTS += tests/unit/test_maildir_message_names
tests_unit_test_maildir_message_names_SOURCES = \
	tests/unit/test_maildir_message_names.c $(MAILDIR_FIXTURE)
tests_unit_test_maildir_message_names_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_chunk
TESTS += tests/unit/test_maildir_chunk
tests_unit_test_maildir_chunk_SOURCES = tests/unit/test_maildir_chunk.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_chunk_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_view
TESTS += tests/unit/test_maildir_view
tests_unit_test_maildir_view_SOURCES = tests/unit/test_maildir_view.c \
	tests/support/dice.h $(MAILDIR_FIXTURE)
tests_unit_test_maildir_view_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_account
TESTS += tests/unit/test_maildir_account
tests_unit_test_maildir_account_SOURCES = tests/unit/test_maildir_account.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_account_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_pop3
TESTS += tests/unit/test_maildir_pop3
tests_unit_test_maildir_pop3_SOURCES = tests/unit/test_maildir_pop3.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_pop3_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_quota
TESTS += tests/unit/test_maildir_quota
tests_unit_test_maildir_quota_SOURCES = tests/unit/test_maildir_quota.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_quota_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fsx_stat
tests_unit_test_maildir_quota_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_database
TESTS += tests/unit/test_maildir_database
tests_unit_test_maildir_database_SOURCES = tests/unit/test_maildir_database.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_database_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_checkpoint
TESTS += tests/unit/test_maildir_checkpoint
tests_unit_test_maildir_checkpoint_SOURCES = tests/unit/test_maildir_checkpoint.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_checkpoint_LDADD = $(MAILDIR_TEST_LIBS)

change_fixture = tests/unit/change_fixture.c tests/unit/change_fixture.h \
	$(MAILDIR_FIXTURE)
check_PROGRAMS += tests/unit/test_maildir_changes
TESTS += tests/unit/test_maildir_changes
tests_unit_test_maildir_changes_SOURCES = tests/unit/test_maildir_changes.c \
	$(change_fixture)
tests_unit_test_maildir_changes_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_acl_change
TESTS += tests/unit/test_maildir_acl_change
tests_unit_test_maildir_acl_change_SOURCES = tests/unit/test_maildir_acl_change.c \
	$(change_fixture)
tests_unit_test_maildir_acl_change_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_commands
TESTS += tests/unit/test_maildir_commands
tests_unit_test_maildir_commands_SOURCES = tests/unit/test_maildir_commands.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_commands_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_objects
TESTS += tests/unit/test_maildir_objects
tests_unit_test_maildir_objects_SOURCES = tests/unit/test_maildir_objects.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_objects_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_shared
TESTS += tests/unit/test_maildir_shared
tests_unit_test_maildir_shared_SOURCES = tests/unit/test_maildir_shared.c \
	tests/support/dice.h $(MAILDIR_FIXTURE)
tests_unit_test_maildir_shared_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_copy
TESTS += tests/unit/test_maildir_copy
tests_unit_test_maildir_copy_SOURCES = tests/unit/test_maildir_copy.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_copy_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsx_stat,--wrap=dir_reader_open
tests_unit_test_maildir_copy_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_scan
TESTS += tests/unit/test_maildir_scan
tests_unit_test_maildir_scan_SOURCES = tests/unit/test_maildir_scan.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_scan_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsx_stat,--wrap=dir_reader_open,--wrap=fsx_open_read
tests_unit_test_maildir_scan_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_twins
TESTS += tests/unit/test_maildir_twins
tests_unit_test_maildir_twins_SOURCES = tests/unit/test_maildir_twins.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_twins_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsx_unlink,--wrap=dir_reader_next
tests_unit_test_maildir_twins_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_watch
TESTS += tests/unit/test_maildir_watch
tests_unit_test_maildir_watch_SOURCES = tests/unit/test_maildir_watch.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_watch_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_link
TESTS += tests/unit/test_maildir_link
tests_unit_test_maildir_link_SOURCES = tests/unit/test_maildir_link.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_link_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_hibernate
TESTS += tests/unit/test_maildir_hibernate
tests_unit_test_maildir_hibernate_SOURCES = \
	tests/unit/test_maildir_hibernate.c tests/support/dice.h \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_hibernate_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=inotify_add_watch
tests_unit_test_maildir_hibernate_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_foreign
TESTS += tests/unit/test_maildir_foreign
tests_unit_test_maildir_foreign_SOURCES = tests/unit/test_maildir_foreign.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_foreign_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_import
TESTS += tests/unit/test_maildir_import
tests_unit_test_maildir_import_SOURCES = tests/unit/test_maildir_import.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_import_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_import_meanwhile
TESTS += tests/unit/test_maildir_import_meanwhile
tests_unit_test_maildir_import_meanwhile_SOURCES = \
	tests/unit/test_maildir_import_meanwhile.c $(MAILDIR_FIXTURE)
tests_unit_test_maildir_import_meanwhile_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_updates
TESTS += tests/unit/test_maildir_updates
tests_unit_test_maildir_updates_SOURCES = tests/unit/test_maildir_updates.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_updates_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_update_pieces
TESTS += tests/unit/test_maildir_update_pieces
tests_unit_test_maildir_update_pieces_SOURCES = \
	tests/unit/test_maildir_update_pieces.c $(MAILDIR_FIXTURE)
tests_unit_test_maildir_update_pieces_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_keywords
TESTS += tests/unit/test_maildir_keywords
tests_unit_test_maildir_keywords_SOURCES = tests/unit/test_maildir_keywords.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_keywords_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=mailbox_reload,--wrap=account_lock
tests_unit_test_maildir_keywords_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_ahead
TESTS += tests/unit/test_maildir_ahead
tests_unit_test_maildir_ahead_SOURCES = tests/unit/test_maildir_ahead.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_ahead_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_pieces
TESTS += tests/unit/test_maildir_pieces
tests_unit_test_maildir_pieces_SOURCES = tests/unit/test_maildir_pieces.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_pieces_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_idle
TESTS += tests/unit/test_maildir_idle
tests_unit_test_maildir_idle_SOURCES = tests/unit/test_maildir_idle.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_idle_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_tidy
TESTS += tests/unit/test_maildir_tidy
tests_unit_test_maildir_tidy_SOURCES = tests/unit/test_maildir_tidy.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_tidy_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_adopt
TESTS += tests/unit/test_maildir_adopt
tests_unit_test_maildir_adopt_SOURCES = tests/unit/test_maildir_adopt.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_adopt_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_listing
TESTS += tests/unit/test_maildir_listing
tests_unit_test_maildir_listing_SOURCES = tests/unit/test_maildir_listing.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_listing_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_export
TESTS += tests/unit/test_maildir_export
tests_unit_test_maildir_export_SOURCES = tests/unit/test_maildir_export.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_export_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_export_courier
TESTS += tests/unit/test_maildir_export_courier
tests_unit_test_maildir_export_courier_SOURCES = \
	tests/unit/test_maildir_export_courier.c $(MAILDIR_FIXTURE)
tests_unit_test_maildir_export_courier_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_export_placing
TESTS += tests/unit/test_maildir_export_placing
tests_unit_test_maildir_export_placing_SOURCES = tests/unit/test_maildir_export_placing.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_export_placing_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fsx_stat
tests_unit_test_maildir_export_placing_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_acl
TESTS += tests/unit/test_maildir_acl
tests_unit_test_maildir_acl_SOURCES = tests/unit/test_maildir_acl.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_acl_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_shared_index
TESTS += tests/unit/test_maildir_shared_index
tests_unit_test_maildir_shared_index_SOURCES = tests/unit/test_maildir_shared_index.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_shared_index_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_trash
TESTS += tests/unit/test_maildir_trash
tests_unit_test_maildir_trash_SOURCES = tests/unit/test_maildir_trash.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_trash_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/unit/test_maildir_deliver
TESTS += tests/unit/test_maildir_deliver
tests_unit_test_maildir_deliver_SOURCES = tests/unit/test_maildir_deliver.c \
	$(MAILDIR_FIXTURE)
tests_unit_test_maildir_deliver_LDADD = $(MAILDIR_TEST_LIBS)

check_PROGRAMS += tests/fuzz/fuzz_quota
tests_fuzz_fuzz_quota_SOURCES = tests/fuzz/fuzz_quota.c
tests_fuzz_fuzz_quota_LDADD = libmaildir.a libbase.a
tests_fuzz_fuzz_quota_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_quota_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_foreign
tests_fuzz_fuzz_foreign_SOURCES = tests/fuzz/fuzz_foreign.c
tests_fuzz_fuzz_foreign_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
tests_fuzz_fuzz_foreign_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_foreign_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_chunk
tests_fuzz_fuzz_chunk_SOURCES = tests/fuzz/fuzz_chunk.c
tests_fuzz_fuzz_chunk_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
tests_fuzz_fuzz_chunk_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_chunk_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_cache_row
tests_fuzz_fuzz_cache_row_SOURCES = tests/fuzz/fuzz_cache_row.c
tests_fuzz_fuzz_cache_row_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
tests_fuzz_fuzz_cache_row_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_cache_row_SOURCES += tests/fuzz/replay.c
endif

check_PROGRAMS += tests/fuzz/fuzz_shared
tests_fuzz_fuzz_shared_SOURCES = tests/fuzz/fuzz_shared.c
tests_fuzz_fuzz_shared_LDADD = libmaildir.a libbase.a $(SQLITE_LIBS)
tests_fuzz_fuzz_shared_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
if !FUZZING
tests_fuzz_fuzz_shared_SOURCES += tests/fuzz/replay.c
endif
