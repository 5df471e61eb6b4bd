#include "tests/crash/ledger.h"

#include <sys/mman.h>

#include <stdlib.h>

#include "maildir/internal.h"

unsigned (*ledger_clock)(void);

struct ledger *
ledger_new(void)
{
	void *p = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void
ledger_note(struct ledger *l, const struct note *n)
{
	assert_true(l->n < NOTES_MAX);
	l->v[l->n] = *n;
	l->v[l->n].at = ledger_clock != NULL ? ledger_clock() : 0;
	__atomic_store_n(&l->n, l->n + 1, __ATOMIC_SEQ_CST);
}

void
make_text(char out[MESSAGE_BYTES + 1], const char *word)
{
	int n = sprintf(out, "Subject: %s\n\n", word);

	memset(out + n, 'x', (size_t)(MESSAGE_BYTES - n));
	out[MESSAGE_BYTES - 1] = '\n';
	out[MESSAGE_BYTES] = '\0';
}

const char *
word_of(const char *text)
{
	static char word[WORD_MAX], whole[MESSAGE_BYTES + 1];

	if (text == NULL || sscanf(text, "Subject: %23s", word) != 1)
		return NULL;
	make_text(whole, word);
	return strcmp(whole, text) == 0 ? word : NULL;
}

void
ledger_show(struct ledger *l, struct mailbox *m, const char *name)
{
	struct view *v = mailbox_view(m);
	struct note n = { .kind = NOTE_MODSEQ,
		.validity = mailbox_uidvalidity(m),
		.modseq = view_highest_modseq(v),
		.memory = m->account->in_memory };

	(void)snprintf(n.mailbox, sizeof(n.mailbox), "%s", name);
	ledger_note(l, &n);
	n.kind = NOTE_SHOWN;
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		const struct message *msg = view_get(v, seq);
		char *text = message_text(m, msg->uid);
		const char *word = word_of(text);

		if (word != NULL) {
			n.uid = msg->uid;
			n.flags = msg->flags;
			n.modseq = msg->modseq;
			(void)snprintf(n.word, sizeof(n.word), "%s", word);
			ledger_note(l, &n);
		}
		free(text);
	}
	view_unref(&v);
}

void
ledger_show_pop3(
    struct ledger *l, struct mailbox *m, const struct pop3_entry *v, size_t n)
{
	struct note note = { .kind = NOTE_UNIQUE,
		.mailbox = "INBOX",
		.validity = mailbox_uidvalidity(m) };

	for (size_t i = 0; i < n; i++) {
		note.uid = v[i].uid;
		(void)snprintf(
		    note.word, sizeof(note.word), "%s", v[i].unique_id);
		ledger_note(l, &note);
	}
}
