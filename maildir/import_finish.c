/*
 * After a scan: keywords and POP3 unique-ids, of messages that got their UIDs
 * only now, too.
 */
#include "base/mem.h"
#include "maildir/import_impl.h"

enum {
	FINISH_BEGIN,
	FINISH_READ_UIDS,
	FINISH_READ_LIST,
	FINISH_READ_KEYWORDS, /* of one server, then of the other */
	FINISH_ADOPT_KEYWORDS,
	FINISH_LOOK_UP,
	FINISH_IDS,
	FINISH_NOTE,
	FINISH_DONE,
};

/*
 * Whether Courier's keywords count beside Dovecot's, which has files that are
 * new.  If Dovecot was there last, and had its UIDs from Courier, it had the
 * keywords as well: those that Courier had before the first look are old then,
 * and may have been removed.  1, 0, or ERR_*.
 */
static int
courier_counts(const struct import *in, bool dovecot_last, struct err *e)
{
	const struct mailbox *m = in->m;
	uint32_t validity;
	int rc;

	if (!in->changed[PRINT_COURIER_KEYWORDS])
		return 0;
	if (!dovecot_last || m->imported.known[PRINT_COURIER_KEYWORDS].ino != 0)
		return 1;
	rc = courier_uidvalidity(m->account->root_fd, m->dir, &validity, e);
	return rc < 0 ? rc : rc == 0 || validity != m->uidvalidity;
}

static int
open_keywords(struct import *in, bool dovecot_last, struct err *e)
{
	bool dovecot = dovecot_last || in->changed[PRINT_DOVECOT_KEYWORDS];
	int rc = import_open_keywords(in, dovecot, e);

	if (rc != 0 || !dovecot)
		return rc;
	rc = courier_counts(in, dovecot_last, e);
	in->courier_too = rc == 1;
	return rc < 0 ? rc : 0;
}

/* Those of one server are there, and perhaps there is another one. */
static int
next_keywords(struct import *in, struct err *e)
{
	if (!in->courier_too) {
		in->phase = FINISH_LOOK_UP;
		return 0;
	}
	in->courier_too = false;
	foreign_keywords_close(&in->keywords);
	in->phase = FINISH_READ_KEYWORDS;
	return import_open_keywords(in, false, e);
}

static int
begin(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	int root_fd = m->account->root_fd;
	int rc = import_compare(in, PRINT_N_UIDS, PRINT_N_KINDS, e);
	bool dovecot;

	if (rc != 0)
		return rc;
	in->phase = in->any ? FINISH_READ_UIDS : FINISH_DONE;
	if (!in->any)
		return 0;
	dovecot =
	    import_dovecot_last(in, PRINT_COURIER_UIDS, PRINT_DOVECOT_IDS);
	if ((rc = open_keywords(in, dovecot, e)) != 0)
		return rc;
	if (dovecot && m->dir[0] == '\0') {
		in->has_uids =
		    foreign_uids_open(&in->uids, root_fd, m->dir, true);
		rc = in->has_uids ? 0 : foreign_file_failed(&in->uids.file, e);
	} else if (!dovecot && in->changed[PRINT_COURIER_SIZELIST]) {
		in->has_list = foreign_sizelist_open(&in->list, root_fd);
		rc = in->has_list ? 0 : foreign_file_failed(&in->list.file, e);
	}
	return rc;
}

/* What came of reading a file; 1: there is more of it. */
static int
is_read(enum foreign_step step, const struct foreign_file *f, bool *has,
    struct err *e)
{
	if (step == FOREIGN_MORE)
		return 1;
	if (step != FOREIGN_NONE)
		return 0;
	*has = false;
	return foreign_file_failed(f, e);
}

/* The UIDs of the entries of a list for POP3; true: all are there.  They stay
 * those of these messages, whatever happens to the mailbox until they are
 * used. */
static bool
look_up(struct import *in, int *work)
{
	struct mailbox *m = in->m;
	size_t n = in->has_uids ? in->uids.u.n
	    : in->has_list	? in->list.l.n
				: 0;

	if (in->ids == NULL)
		in->ids = mem_alloc((n + 1) * sizeof(*in->ids));
	for (; in->at<n && * work> 0; in->at++, (*work)--)
		in->ids[in->at] = mailbox_find_base(m,
		    in->has_uids ? in->uids.u.v[in->at].base
				 : in->list.l.v[in->at].base);
	if (in->at < n)
		return false;
	pop3_import_begin(&in->pop3, in->has_uids ? &in->uids.u : NULL,
	    in->has_list ? &in->list.l : NULL, in->ids);
	return true;
}

static int
note(struct import *in, struct err *e)
{
	struct mailbox *m = in->m;
	struct edit ed;
	int rc = edit_begin(&ed, m, e);

	if (rc != 0)
		return rc;
	if (in->has_keywords)
		rc = import_end_keywords(in, e);
	if (rc == 0)
		rc = import_note_changed(in, PRINT_N_UIDS, PRINT_N_KINDS, e);
	return import_commit(&ed, rc, e);
}

static int
advance(struct import *in, int *work, struct err *e)
{
	int rc = 0;

	switch (in->phase) {
	case FINISH_BEGIN:
		return begin(in, e);
	case FINISH_READ_UIDS:
		if (in->has_uids)
			rc = is_read(foreign_uids_step(&in->uids, work),
			    &in->uids.file, &in->has_uids, e);
		if (rc == 0)
			in->phase = FINISH_READ_LIST;
		return rc == 1 ? 0 : rc;
	case FINISH_READ_LIST:
		if (in->has_list)
			rc = is_read(foreign_sizelist_step(&in->list, work),
			    &in->list.file, &in->has_list, e);
		if (rc == 0)
			in->phase = FINISH_READ_KEYWORDS;
		return rc == 1 ? 0 : rc;
	case FINISH_READ_KEYWORDS:
		if (in->has_keywords)
			rc = import_read_keywords(in, work, e);
		if (rc == 0)
			in->phase = FINISH_ADOPT_KEYWORDS;
		return rc == 1 ? 0 : rc;
	case FINISH_ADOPT_KEYWORDS:
		if (in->has_keywords)
			rc = import_adopt_keywords(in, 0, work, e);
		if (rc == 0)
			rc = next_keywords(in, e);
		return rc == 1 ? 0 : rc;
	case FINISH_LOOK_UP:
		if ((rc = mailbox_need_names(in->m, work, e)) != 0)
			return rc;
		if (look_up(in, work))
			in->phase = in->has_uids || in->has_list ? FINISH_IDS
								 : FINISH_NOTE;
		return 0;
	case FINISH_IDS:
		rc = account_db_failed(in->m->account,
		    pop3_import_step(&in->pop3, in->m, work, e));
		if (rc == 0)
			in->phase = FINISH_NOTE;
		return rc == 1 ? 0 : rc;
	case FINISH_NOTE:
		if ((rc = note(in, e)) == 0)
			in->phase = FINISH_DONE;
		return rc;
	default:
		break;
	}
	return 0;
}

int
import_finish(struct mailbox *m, struct err *e)
{
	struct imported *im = &m->imported;
	int work = PIECE_WORK, rc = 0;

	if (!im->rest)
		return 0;
	if (im->finish == NULL)
		im->finish = import_new(m);
	im->finish->tick = m->account->store->tick;
	while (rc == 0 && im->finish->phase != FINISH_DONE) {
		if (work <= 0)
			return err_set(e, ERR_MORE, "it is being taken over");
		if ((rc = account_open(m->account, e)) == 0)
			rc = advance(im->finish, &work, e);
	}
	if (rc == ERR_BUSY)
		return rc;
	import_free(&im->finish);
	if (rc == 0)
		im->rest = false;
	return rc;
}
