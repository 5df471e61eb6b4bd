/* ledger: what is there, against what was promised. */
#include <sys/stat.h>

#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "maildir/internal.h"
#include "maildir/quota.h"
#include "maildir/quota_file.h"
#include "tests/crash/ledger_impl.h"

/* What is left of a lock would be waited for much longer than for a disk. */
enum { FIRST_SELECT_CPU_MS = 1000, FIRST_SELECT_MS = 20000 };

struct present {
	char word[WORD_MAX];
	uint32_t uid, flags;
	uint64_t modseq;
};

struct snapshot {
	bool there;
	struct present v[SHOWN_MAX];
	unsigned n;
	uint32_t validity, uidnext;
	uint64_t modseq;
};

#define CHECK(what, rule, name)                                                \
 do {                                                                          \
  if (!(what))                                                                 \
   fail_msg("%s: " rule ": " #what " (%s)", where, name);                      \
 } while (0)

/* Whether somebody else delivered it without a sync: what became of it after
 * power loss is no promise. */
static bool
is_loose(struct mailbox *m, uint32_t uid)
{
	struct chunk *c;
	struct buf b;
	uint32_t i;
	bool loose;

	if (!mailbox_find(m, uid, &c, &i))
		return false;
	buf_init(&b, 1024);
	loose = strstr(message_name(&b, c, i), "Qloose") != NULL;
	buf_fini(&b);
	return loose;
}

static int64_t
cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
take_snapshot(struct fixture *f, const char *name, const char *where,
    struct snapshot *out)
{
	int64_t began = clock_now(), work = cpu_ms();
	struct mailbox *m;
	struct view *v;
	int rc;

	*out = (struct snapshot){ 0 };
	m = try_open(f, name, &rc);
	if (rc != 0)
		return;
	CHECK(try_refresh(f, m, true) == 0, "usable", name);
	CHECK(cpu_ms() - work < FIRST_SELECT_CPU_MS, "I10", name);
	CHECK(clock_now() - began < FIRST_SELECT_MS, "I10", name);
	v = mailbox_view(m);
	out->there = true;
	out->validity = mailbox_uidvalidity(m);
	out->uidnext = view_uidnext(v);
	out->modseq = view_highest_modseq(v);
	for (uint32_t seq = 1; seq <= view_count(v); seq++) {
		struct present *p = &out->v[out->n++];
		const char *word;
		struct slice cached;
		char *text;

		p->uid = view_get(v, seq)->uid;
		p->flags = view_get(v, seq)->flags;
		p->modseq = view_get(v, seq)->modseq;
		text = message_text(m, p->uid);
		word = word_of(text);
		if (word == NULL && is_loose(m, p->uid))
			word = "";
		CHECK(word != NULL, "I7", name);
		strcpy(p->word, word);
		CHECK(!mailbox_cache_get(m, p->uid, CACHE_ENVELOPE, &cached) ||
			slice_eq(cached, slice_str(word)),
		    "cache", name);
		free(text);
	}
	view_unref(&v);
	mailbox_close(&m);
}

static const struct present *
find_uid(const struct snapshot *s, uint32_t uid)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->v[i].uid == uid)
			return &s->v[i];
	return NULL;
}

static bool
has_word(const struct snapshot *s, const char *word)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].word, word) == 0)
			return true;
	return false;
}

struct box {
	char name[WORD_MAX];
	struct snapshot s;
};

struct check {
	struct state s;
	struct box box[8];
	unsigned n;
	const struct promise_rules *rules;
	const char *where;
};

static const struct snapshot *
box_of(struct check *c, struct fixture *f, const char *name)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->box[i].name, name) == 0)
			return &c->box[i].s;
	assert_true(c->n < NELEMS(c->box));
	strcpy(c->box[c->n].name, name);
	take_snapshot(f, name, c->where, &c->box[c->n].s);
	return &c->box[c->n++].s;
}

static bool
anywhere(struct check *c, const char *word)
{
	for (unsigned i = 0; i < c->n; i++)
		if (has_word(&c->box[i].s, word))
			return true;
	return false;
}

/* A RENAME that was under way may be done on disk. */
static void
settle_rename(struct check *c, struct fixture *f)
{
	struct state *s = &c->s;

	if (s->renaming[0] == '\0')
		return;
	/* both are there if the old one has young messages (young_round.c) */
	(void)box_of(c, f, s->renaming_to);
	if (strcmp(s->renaming, "INBOX") != 0 &&
	    box_of(c, f, s->renaming)->there)
		return;
	if (box_of(c, f, s->renaming_to)->there &&
	    strcmp(s->renaming, "INBOX") != 0)
		ledger_rename_all(s, s->renaming, s->renaming_to);
}

static void
check_shown(struct check *c, struct fixture *f, const struct shown *s)
{
	const char *where = c->where;
	const struct snapshot *now = box_of(c, f, s->mailbox);
	bool moved = c->s.renaming[0] != '\0' &&
	    (strcmp(c->s.renaming, s->mailbox) == 0 ||
		strcmp(c->s.renaming_to, s->mailbox) == 0);
	const struct present *p;
	uint32_t maybe = s->maybe;

	if (!now->there && s->free)
		return;
	if (now->there && now->validity == s->validity) {
		CHECK(now->uidnext > s->uid, "I4", s->word);
		p = find_uid(now, s->uid);
		CHECK(
		    p == NULL || strcmp(p->word, s->word) == 0, "I3", s->word);
	} else {
		/* UIDs are made anew by a RENAME cut short, and as long as
		 * the index of a full disk is one in memory */
		moved = moved || f->account->in_memory || s->memory;
		CHECK(moved || s->free, "I3", s->word);
		p = NULL;
	}
	if (s->free)
		return;
	if (s->fate == FATE_THERE)
		CHECK(p != NULL || (moved && anywhere(c, s->word)), "I1",
		    s->word);
	if (s->fate == FATE_GONE && c->rules->stores)
		CHECK(p == NULL, "I8", s->word);
	if (p != NULL && c->rules->stores)
		CHECK(((p->flags ^ s->flags) & ~maybe) == 0, "I5", s->word);
}

/* Nothing comes twice into one mailbox. */
static void
check_once(const struct box *b, const char *where)
{
	for (unsigned i = 0; i < b->s.n; i++)
		for (unsigned k = i + 1; k < b->s.n; k++)
			CHECK(b->s.v[i].word[0] == '\0' ||
				strcmp(b->s.v[i].word, b->s.v[k].word) != 0,
			    "once", b->s.v[i].word);
}

static bool
was_let_go(const struct state *s, const char *word)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->v[i].word, word) == 0 &&
		    (s->v[i].fate != FATE_THERE ||
			(s->v[i].free &&
			    strcmp(s->v[i].mailbox, "INBOX.U") != 0)))
			return true;
	return false;
}

/* RFC 3502: of an APPEND of several messages all are there, or none. */
static void
check_together(struct check *c, struct fixture *f)
{
	const struct snapshot *now;
	const char *where = c->where;
	unsigned n = 0;

	if (c->s.n_together == 0 || !c->rules->together)
		return;
	now = box_of(c, f, c->s.together_in);
	for (unsigned i = 1; i <= c->s.n_together; i++) {
		char word[2 * WORD_MAX];

		(void)snprintf(word, sizeof(word), "%s%u", c->s.together, i);
		n += has_word(now, word);
	}
	CHECK(n == 0 || n == c->s.n_together, "all or none", c->s.together);
}

static void
check_others(struct check *c, struct fixture *f)
{
	struct state *s = &c->s;
	const char *where = c->where;
	struct mailbox_list list;
	bool found = false;

	for (unsigned i = 0; i < s->n_words; i++)
		if (!was_let_go(s, s->words[i]))
			CHECK(anywhere(c, s->words[i]), "I1", s->words[i]);
	if (s->moving[0] != '\0')
		CHECK(anywhere(c, s->moving), "I2", s->moving);
	for (unsigned i = 0; i < s->n_boxes; i++)
		CHECK(box_of(c, f, s->boxes[i])->there, "I1", s->boxes[i]);
	if (c->rules->refused && s->refused[0] != '\0')
		CHECK(!has_word(box_of(c, f, s->refused_from), s->refused),
		    "refused", s->refused);
	/* another one may be on its way out; Dovecot's come with a database */
	if (s->subscribed[0] == '\0' || strcmp(s->subscribed, "INBOX") == 0 ||
	    f->account->in_memory)
		return;
	assert_int_equal(account_subscriptions(f->account, &list, NULL), 0);
	for (size_t i = 0; i < list.n; i++)
		found =
		    found || slice_eq(list.v[i].name, slice_str(s->subscribed));
	mailbox_list_fini(&list);
	CHECK(found, "subscription", s->subscribed);
}

static void
check_quota(struct check *c, struct fixture *f)
{
	struct account_quota before, after;
	struct quota_usage counted;
	const char *where = c->where;
	uint64_t slack = c->s.flight;

	CHECK(account_quota(f->account, &before, NULL) == 0, "I9", "");
	CHECK(quota_count(f->account, true, &counted, NULL) == 0, "I9", "");
	CHECK(account_quota(f->account, &after, NULL) == 0, "I9", "");
	CHECK(before.messages <= after.messages + slack &&
		after.messages <= before.messages + slack,
	    "I9", "messages");
	CHECK(before.bytes <= after.bytes + slack * MESSAGE_BYTES &&
		after.bytes <= before.bytes + slack * MESSAGE_BYTES,
	    "I9", "bytes");
}

/* A message keeps its unique-id, and no other one gets it. */
static void
check_unique(struct check *c, struct fixture *f)
{
	struct mailbox *m;
	const char *where = c->where;
	struct pop3_entry *v;
	size_t n;

	if (c->s.n_unique == 0)
		return;
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	CHECK(run_pop3(m, &v, &n) == 0, "usable", "POP3");
	for (unsigned k = 0; k < c->s.n_unique; k++) {
		const struct unique *u = &c->s.unique[k];

		for (size_t i = 0; i < n; i++)
			CHECK(u->validity != mailbox_uidvalidity(m) ||
				(v[i].uid == u->uid) ==
				    (strcmp(v[i].unique_id, u->word) == 0),
			    "I3", u->word);
	}
	free(v);
	mailbox_close(&m);
}

/* What another server noted of a message is there. */
static void
check_keywords(struct check *c, struct fixture *f)
{
	struct mailbox *m;
	const char *where = c->where;

	if (c->s.n_keywords == 0)
		return;
	m = open_mailbox(f, "INBOX");
	refresh(f, m);
	for (unsigned k = 0; k < c->s.n_keywords; k++) {
		const struct unique *u = &c->s.keyword[k];
		char *all = mem_printf(" %s ", listing(m));
		char *one = mem_printf(" %u:S(%s) ", u->uid, u->word);

		CHECK(u->validity != mailbox_uidvalidity(m) ||
			strstr(all, one) != NULL,
		    "keyword", one);
		free(one);
		free(all);
	}
	mailbox_close(&m);
}

/* It goes on: with UIDs and mod-sequences never used before. */
static void
check_goes_on(struct check *c, struct fixture *f, const struct snapshot *before)
{
	struct snapshot *after = MEM_NEW(struct snapshot);
	const char *where = c->where;
	char text[MESSAGE_BYTES + 1];
	const struct present *p;
	struct mailbox *m;
	uint32_t uid = 0;
	int rc;

	make_text(text, "afterwards");
	rc = run_append(f, "INBOX", text, 0, NULL, &uid);
	if (rc == ERR_QUOTA && strchr(f->quota, 'C') != NULL)
		goto out;
	CHECK(rc == 0, "goes on", "");
	CHECK(uid >= before->uidnext, "I4", "");
	m = open_mailbox(f, "INBOX");
	CHECK(run_flags(f, m, &uid, 1, FLAGS_ADD, MESSAGE_SEEN, NULL) == 0,
	    "goes on", "");
	mailbox_close(&m);
	take_snapshot(f, "INBOX", where, after);
	CHECK(after->n == before->n + 1, "goes on", "");
	CHECK(after->modseq > before->modseq, "I6", "");
	p = find_uid(after, uid);
	CHECK(p != NULL, "goes on", "");
	if (p != NULL && c->s.modseq_validity == after->validity)
		CHECK(p->modseq > c->s.modseq, "I6", "");
out:
	free(after);
}

/* What a crash left in tmp/ goes after 36 hours. */
static void
check_tmp(struct fixture *f, const char *where)
{
	struct mailbox *m = open_mailbox(f, "INBOX");

	f->wall_ms += 40 * 3600 * INT64_C(1000);
	for (int i = 0; i < 3; i++)
		store_tick(f->store, clock_now(), f->wall_ms);
	mailbox_close(&m);
	CHECK(count_files(fixture_path(f, "tmp")) == 0, "I10", "tmp/");
}

void
ledger_check(const struct ledger *l, struct fixture *f,
    const struct promise_rules *r, const char *where)
{
	struct check *c = MEM_NEW(struct check);
	const struct snapshot *inbox;

	c->rules = r;
	c->where = where;
	for (unsigned i = 0; i < l->n && l->v[i].at <= r->upto; i++)
		ledger_take(&c->s, &l->v[i]);
	inbox = box_of(c, f, "INBOX");
	CHECK(inbox->there, "I1", "INBOX");
	(void)box_of(c, f, "INBOX.T");
	settle_rename(c, f);
	for (unsigned i = 0; i < c->s.n; i++)
		check_shown(c, f, &c->s.v[i]);
	check_others(c, f);
	check_together(c, f);
	check_unique(c, f);
	check_keywords(c, f);
	for (unsigned i = 0; i < c->n; i++)
		check_once(&c->box[i], where);
	if (r->modseq && c->s.modseq_validity == inbox->validity)
		CHECK(inbox->modseq >= c->s.modseq, "I6", "");
	if (r->quota)
		check_quota(c, f);
	check_goes_on(c, f, inbox);
	check_tmp(f, where);
	free(c);
}
