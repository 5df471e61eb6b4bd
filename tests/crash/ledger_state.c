/* ledger: what all that was noted amounts to. */
#include "tests/crash/ledger_impl.h"

static struct shown *
find_shown(
    struct state *s, const char *mailbox, uint32_t validity, uint32_t uid)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].mailbox, mailbox) == 0 &&
		    s->v[i].uid == uid &&
		    (validity == 0 || s->v[i].validity == validity))
			return &s->v[i];
	return NULL;
}

static void
take_shown(struct state *s, const struct note *n)
{
	struct shown *p = find_shown(s, n->mailbox, n->validity, n->uid);

	if (p == NULL) {
		assert_true(s->n < SHOWN_MAX);
		p = &s->v[s->n++];
		strcpy(p->mailbox, n->mailbox);
		strcpy(p->word, n->word);
		p->validity = n->validity;
		p->uid = n->uid;
		p->flags = n->flags;
		p->memory = n->memory;
	}
	/* what a client sees of others' STOREs is as good as its own */
	if (p->fate != FATE_GONE) {
		p->maybe &= ~(p->flags ^ n->flags);
		p->flags = n->flags;
	}
}

void
ledger_rename_all(struct state *s, const char *from, const char *to)
{
	/* the messages of INBOX go, and get UIDs of another UIDVALIDITY */
	for (unsigned i = 0; strcmp(from, "INBOX") == 0 && i < s->n; i++)
		if (strcmp(s->v[i].mailbox, from) == 0 && !s->v[i].free &&
		    s->v[i].fate == FATE_THERE) {
			strcpy(s->words[s->n_words++], s->v[i].word);
			s->v[i].free = true;
		}
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].mailbox, from) == 0)
			strcpy(s->v[i].mailbox, to);
	for (unsigned i = 0; i < s->n_boxes; i++)
		if (strcmp(s->boxes[i], from) == 0)
			strcpy(s->boxes[i], to);
}

static void
delete_box(struct state *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].mailbox, name) == 0)
			s->v[i].free = true;
	for (unsigned i = 0; i < s->n_boxes; i++)
		if (strcmp(s->boxes[i], name) == 0)
			memmove(s->boxes[i], s->boxes[--s->n_boxes], WORD_MAX);
}

static void
take_fate(struct state *s, const struct note *n)
{
	struct shown *p = find_shown(s, n->mailbox, n->validity, n->uid);

	if (p == NULL)
		return;
	switch ((int)n->kind) {
	case NOTE_STORING:
		p->maybe |= n->flags;
		break;
	case NOTE_STORED:
		p->flags |= n->flags;
		p->maybe &= ~n->flags;
		break;
	case NOTE_LEAVING:
		p->fate = FATE_LEAVING;
		break;
	case NOTE_GONE:
		p->fate = FATE_GONE;
		break;
	default:
		break;
	}
}

static void
take_box(struct state *s, const struct note *n)
{
	switch ((int)n->kind) {
	case NOTE_RENAMING:
		strcpy(s->renaming, n->mailbox);
		strcpy(s->renaming_to, n->word);
		break;
	case NOTE_RENAMED:
		ledger_rename_all(s, n->mailbox, n->word);
		s->renaming[0] = '\0';
		break;
	case NOTE_DELETING:
	case NOTE_DELETED:
		delete_box(s, n->mailbox);
		break;
	case NOTE_CREATED:
		strcpy(s->boxes[s->n_boxes++], n->mailbox);
		break;
	default:
		break;
	}
}

static void
take_unique(struct unique *v, unsigned *n_v, const struct note *n)
{
	assert_true(*n_v < SHOWN_MAX);
	v[*n_v].validity = n->validity;
	v[*n_v].uid = n->uid;
	strcpy(v[(*n_v)++].word, n->word);
}

void
ledger_take(struct state *s, const struct note *n)
{
	switch (n->kind) {
	case NOTE_SHOWN:
		take_shown(s, n);
		break;
	case NOTE_MODSEQ:
		if (strcmp(n->mailbox, "INBOX") == 0) {
			s->modseq = n->modseq;
			s->modseq_validity = n->validity;
		}
		break;
	case NOTE_DELIVERED:
		strcpy(s->words[s->n_words++], n->word);
		break;
	case NOTE_STORING:
	case NOTE_STORED:
	case NOTE_LEAVING:
	case NOTE_GONE:
		take_fate(s, n);
		break;
	case NOTE_MOVING:
		strcpy(s->moving, n->word);
		break;
	case NOTE_MOVED:
		s->moving[0] = '\0';
		break;
	case NOTE_RENAMING:
	case NOTE_RENAMED:
	case NOTE_DELETING:
	case NOTE_DELETED:
	case NOTE_CREATED:
		take_box(s, n);
		break;
	case NOTE_SUBSCRIBING:
		strcpy(s->subscribing, n->mailbox);
		break;
	case NOTE_SUBSCRIBED:
		strcpy(s->subscribed, n->mailbox);
		break;
	case NOTE_REFUSED:
		strcpy(s->refused_from, n->mailbox);
		strcpy(s->refused, n->word);
		break;
	case NOTE_TOGETHER:
		strcpy(s->together_in, n->mailbox);
		strcpy(s->together, n->word);
		s->n_together = n->uid;
		break;
	case NOTE_FLIGHT:
		s->flight = n->uid;
		break;
	case NOTE_UNIQUE:
		take_unique(s->unique, &s->n_unique, n);
		break;
	case NOTE_KEYWORD:
		take_unique(s->keyword, &s->n_keywords, n);
		break;
	}
}
