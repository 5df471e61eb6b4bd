/*
 * A state machine over tokens.  The words of the address under way are
 * gathered twice, as a phrase ("John Q. Public", single blanks between) and
 * as a local part (no blanks around dots, RFC 5322 4.4), since only a later
 * "@", "<" or ":" tells which of the two they were.
 */
#include "protocols/mime/address.h"

#include <stdlib.h>

#include "base/mem.h"
#include "protocols/mime/lex.h"

enum state {
	WORDS,	/* phrase or local part */
	DOMAIN, /* behind the "@" of a bare address */
	ANGLE,	/* behind "<": route or local part */
	ROUTE,	/* in "@a,@b:" */
	ANGLE_DOMAIN,
	BEHIND, /* behind ">" */
};

struct scan {
	struct mime_addresses *list;
	struct slice in;
	enum state state;
	bool in_group;
	bool gap;    /* white space or comment since the last word */
	bool any;    /* the address has something, if only "<>" */
	uint8_t end; /* last byte of local: '.' joins, 0 for none */
	struct mime_address_words *w; /* what there is of the address */
	struct slice comment;	      /* the last one, raw */
};

void
mime_addresses_init(struct mime_addresses *list, size_t max)
{
	*list = (struct mime_addresses){ .max = max };
	buf_init(&list->text, UINT32_MAX);
	/* a few times what is added, and no more */
	buf_init(&list->words.phrase, UINT32_MAX);
	buf_init(&list->words.local, UINT32_MAX);
	buf_init(&list->words.host, UINT32_MAX);
	buf_init(&list->words.route, UINT32_MAX);
	buf_init(&list->words.quoted, UINT32_MAX);
}

void
mime_addresses_reset(struct mime_addresses *list)
{
	list->n = 0;
	list->cut = false;
	buf_reset(&list->text);
}

void
mime_addresses_fini(struct mime_addresses *list)
{
	size_t max = list->max;

	free(list->v);
	buf_fini(&list->text);
	buf_fini(&list->words.phrase);
	buf_fini(&list->words.local);
	buf_fini(&list->words.host);
	buf_fini(&list->words.route);
	buf_fini(&list->words.quoted);
	mime_addresses_init(list, max);
}

struct slice
mime_address_text(const struct mime_addresses *list, struct mime_text_ref ref)
{
	return slice_first(slice_skip(buf_slice(&list->text), ref.off), ref.n);
}

/* --- entries ------------------------------------------------------------- */

static struct mime_text_ref
text_put(struct mime_addresses *list, struct slice s)
{
	struct mime_text_ref ref = { (uint32_t)list->text.n, (uint32_t)s.n };

	buf_put(&list->text, s);
	if (!buf_ok(&list->text))
		ref.n = 0;
	return ref;
}

/* A new entry, or NULL beyond the maximum.  The end of a group always fits. */
static struct mime_address *
entry_add(struct scan *sc, enum mime_address_kind kind)
{
	struct mime_addresses *list = sc->list;

	if (kind != MIME_ADDRESS_GROUP_END && list->n >= list->max) {
		list->cut = true;
		return NULL;
	}
	if (list->n == list->cap) {
		list->cap = list->cap == 0 ? 4 : list->cap * 2;
		list->v = mem_realloc(list->v, list->cap, sizeof(*list->v));
	}
	list->v[list->n] = (struct mime_address){ .kind = kind };
	return &list->v[list->n++];
}

static void
scan_reset(struct scan *sc)
{
	sc->state = WORDS;
	sc->gap = sc->any = false;
	sc->end = 0;
	buf_reset(&sc->w->phrase);
	buf_reset(&sc->w->local);
	buf_reset(&sc->w->host);
	buf_reset(&sc->w->route);
	sc->comment = slice_of(NULL, 0);
}

/* The content of a comment, unfolded, without escapes. */
static struct mime_text_ref
comment_put(struct mime_addresses *list, struct slice comment)
{
	struct mime_text_ref ref = { (uint32_t)list->text.n, 0 };

	mime_lex_unescape(slice_trim(comment), &list->text);
	if (buf_ok(&list->text))
		ref.n = (uint32_t)list->text.n - ref.off;
	return ref;
}

/* A route that never got its ":" was the domain of an empty local part. */
static void
route_end(struct scan *sc)
{
	if (sc->state != ROUTE)
		return;
	buf_put(&sc->w->host, slice_skip(buf_slice(&sc->w->route), 1));
	buf_reset(&sc->w->route);
	sc->state = ANGLE_DOMAIN;
}

/* End the address under way, if there's anything of it. */
static void
address_end(struct scan *sc)
{
	struct mime_addresses *list = sc->list;
	struct mime_address *a;
	bool named = sc->state != WORDS && sc->state != DOMAIN;
	struct slice name =
	    named ? buf_slice(&sc->w->phrase) : slice_of(NULL, 0);
	struct slice mailbox = buf_slice(&sc->w->local);

	route_end(sc);
	/* several words and no address can only be a name */
	if (sc->state == WORDS && slice_has(buf_slice(&sc->w->phrase), ' ')) {
		name = buf_slice(&sc->w->phrase);
		mailbox = slice_of(NULL, 0);
	}
	if (sc->any && (a = entry_add(sc, MIME_ADDRESS_MAILBOX)) != NULL) {
		a->name = name.n != 0 || sc->comment.n == 0
		    ? text_put(list, name)
		    : comment_put(list, sc->comment);
		a->route = text_put(list, buf_slice(&sc->w->route));
		a->mailbox = text_put(list, mailbox);
		a->host = text_put(list, buf_slice(&sc->w->host));
	}
	scan_reset(sc);
}

static void
group_begin(struct scan *sc)
{
	struct mime_address *a = entry_add(sc, MIME_ADDRESS_GROUP);

	if (a != NULL) {
		a->mailbox = text_put(sc->list, buf_slice(&sc->w->phrase));
		sc->in_group = true;
	}
	scan_reset(sc);
}

static void
group_end(struct scan *sc)
{
	address_end(sc);
	if (sc->in_group)
		(void)entry_add(sc, MIME_ADDRESS_GROUP_END);
	sc->in_group = false;
}

/* --- words --------------------------------------------------------------- */

/* Append a word to the phrase, behind a blank if there was a gap. */
static void
phrase_put(struct scan *sc, struct slice word)
{
	if (sc->gap && buf_len(&sc->w->phrase) != 0)
		buf_putc(&sc->w->phrase, ' ');
	buf_put(&sc->w->phrase, word);
}

/* Append to the local part; blanks around dots are dropped. */
static void
local_put(struct scan *sc, struct slice word, bool quoted)
{
	bool dot = !quoted && word.n != 0 && word.p[0] == '.';

	if (sc->gap && sc->end != 0 && sc->end != '.' && !dot)
		buf_putc(&sc->w->local, ' ');
	buf_put(&sc->w->local, word);
	sc->end = '"';
	if (!quoted && word.n != 0)
		sc->end = word.p[word.n - 1];
}

static void
word_put(struct scan *sc, struct slice word, bool quoted)
{
	switch (sc->state) {
	case WORDS:
		phrase_put(sc, word);
		local_put(sc, word, quoted);
		break;
	case ANGLE:
		local_put(sc, word, quoted);
		break;
	case DOMAIN:
		/* it may yet turn out to be a phrase: a@b <a@b> */
		phrase_put(sc, word);
		buf_put(&sc->w->host, word);
		break;
	case ANGLE_DOMAIN:
		buf_put(&sc->w->host, word);
		break;
	case ROUTE:
		buf_put(&sc->w->route, word);
		break;
	case BEHIND:
		break;
	}
	sc->any = true;
	sc->gap = false;
}

static void
quoted_take(struct scan *sc)
{
	struct buf *word = &sc->w->quoted;

	buf_reset(word);
	(void)mime_lex_quoted(&sc->in, word);
	word_put(sc, buf_slice(word), true);
}

/* "[" in a domain: everything up to "]" (RFC 5322 3.4.1), if there is one. */
static void
literal_take(struct scan *sc)
{
	size_t n = 0;

	while (n < sc->in.n && sc->in.p[n] != ']' && sc->in.p[n] != ',' &&
	    sc->in.p[n] != '>')
		n++;
	if (n < sc->in.n && sc->in.p[n] == ']')
		n++;
	word_put(sc, slice_first(sc->in, n), false);
	sc->in = slice_skip(sc->in, n);
}

static void
atom_take(struct scan *sc)
{
	size_t n = 0;

	if (sc->in.p[0] == '[' &&
	    (sc->state == DOMAIN || sc->state == ANGLE_DOMAIN)) {
		literal_take(sc);
		return;
	}
	while (n < sc->in.n && !mime_lex_is_special(sc->in.p[n]))
		n++;
	word_put(sc, slice_first(sc->in, n), false);
	sc->in = slice_skip(sc->in, n);
}

/* --- specials ------------------------------------------------------------ */

/* A further "@": what stood behind the one before was still local part. */
static void
domain_again(struct scan *sc)
{
	buf_putc(&sc->w->local, '@');
	buf_put(&sc->w->local, buf_slice(&sc->w->host));
	buf_reset(&sc->w->host);
}

static void
on_at(struct scan *sc)
{
	switch (sc->state) {
	case WORDS:
		phrase_put(sc, SLICE("@"));
		sc->state = DOMAIN;
		break;
	case DOMAIN:
		phrase_put(sc, SLICE("@"));
		domain_again(sc);
		break;
	case ANGLE:
		/* RFC 5322 4.4: obs-route = "@" domain *("," "@" domain) ":" */
		if (buf_len(&sc->w->local) == 0 &&
		    buf_len(&sc->w->route) == 0 && sc->end == 0) {
			buf_putc(&sc->w->route, '@');
			sc->state = ROUTE;
		} else {
			sc->state = ANGLE_DOMAIN;
		}
		break;
	case ROUTE:
		buf_putc(&sc->w->route, '@');
		break;
	case ANGLE_DOMAIN:
		domain_again(sc);
		break;
	case BEHIND:
		break;
	}
	sc->any = true;
	sc->gap = false;
}

static void
on_angle(struct scan *sc)
{
	switch (sc->state) {
	case WORDS:
	case DOMAIN:
		buf_reset(&sc->w->local);
		buf_reset(&sc->w->host);
		sc->end = 0;
		sc->state = ANGLE;
		break;
	case BEHIND:
		address_end(sc); /* a comma is missing */
		sc->state = ANGLE;
		break;
	case ANGLE:
	case ROUTE:
	case ANGLE_DOMAIN:
		break;
	}
	sc->any = true;
	sc->gap = false;
}

static void
on_angle_close(struct scan *sc)
{
	route_end(sc);
	if (sc->state == ANGLE || sc->state == ANGLE_DOMAIN)
		sc->state = BEHIND;
	sc->gap = true;
}

static void
on_colon(struct scan *sc)
{
	switch (sc->state) {
	case WORDS:
		if (sc->in_group)
			word_put(sc, SLICE(":"), false);
		else
			group_begin(sc);
		break;
	case ROUTE:
		sc->state = ANGLE;
		sc->end = 0;
		break;
	case DOMAIN:
	case ANGLE:
	case ANGLE_DOMAIN:
		word_put(sc, SLICE(":"), false);
		break;
	case BEHIND:
		break;
	}
}

static void
on_comma(struct scan *sc)
{
	if (sc->state == ROUTE) {
		buf_putc(&sc->w->route, ',');
		return;
	}
	address_end(sc);
}

static void
token_take(struct scan *sc)
{
	uint8_t c = sc->in.p[0];

	if (c == '(') {
		(void)mime_lex_comment(&sc->in, &sc->comment);
		sc->gap = true;
		return;
	}
	if (c == '"') {
		quoted_take(sc);
		return;
	}
	if (!mime_lex_is_special(c)) {
		atom_take(sc);
		return;
	}
	sc->in = slice_skip(sc->in, 1);
	if (c == '@')
		on_at(sc);
	else if (c == '<')
		on_angle(sc);
	else if (c == '>')
		on_angle_close(sc);
	else if (c == ':')
		on_colon(sc);
	else if (c == ',')
		on_comma(sc);
	else if (c == ';')
		group_end(sc);
	else
		sc->gap = true;
}

void
mime_addresses_add(struct mime_addresses *list, struct slice value)
{
	struct scan sc = { .list = list, .in = value, .w = &list->words };

	scan_reset(&sc);
	while (sc.in.n != 0 && !list->cut)
		token_take(&sc);
	group_end(&sc);
}
