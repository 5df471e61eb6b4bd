/* All messages that match a search, for commands that do more with them. */
#include "protocols/imap/condstore.h"
#include "protocols/imap/search.h"
#include "protocols/imap/shared.h"

void
imap_search_begin(struct imap_session *i)
{
	struct search_args *a = i->args;

	if (a->by_modseq)
		imap_condstore_enable(i);
	a->newest = mailbox_view(i->mailbox);
	a->seq = 1;
}

void
imap_search_end(struct imap_session *i)
{
	struct search_args *a = i->args;

	imap_search_close(i);
	if (a->newest != NULL)
		view_unref(&a->newest);
}

void
imap_search_found_fini(struct search_found *f)
{
	imap_shared_free(f->v, f->cap, sizeof(*f->v));
	*f = (struct search_found){ .n = 0 };
}

static bool
keep(struct search_found *f, uint32_t seq, uint64_t modseq)
{
	uint32_t *v = imap_shared_grow(f->v, &f->cap, f->n + 1, sizeof(*v));

	if (v == NULL)
		return false;
	f->v = v;
	f->v[f->n++] = seq;
	if (modseq > f->modseq)
		f->modseq = modseq;
	return true;
}

enum step
imap_search_find(struct imap_session *i, struct search_found *f, int *rc)
{
	struct search_args *a = i->args;
	uint32_t count = view_count(i->view);
	enum step st;
	bool match;

	*rc = 0;
	for (; a->seq <= count; a->seq++) {
		if (a->m == NULL) {
			if (imap_spend(i, 64)) {
				imap_progress(i, 0, 0);
				return STEP_YIELD;
			}
			a->m = view_get(i->view, a->seq);
			if (a->newest != i->view)
				a->m = imap_newest(a->newest, a->m);
			a->at = a->start;
		}
		st = imap_search_eval(i, &match);
		if (st != STEP_DONE)
			return st;
		if (match && !keep(f, a->seq, a->m->modseq)) {
			*rc = ERR_LIMIT;
			return STEP_DONE;
		}
		imap_search_close(i);
	}
	return STEP_DONE;
}
