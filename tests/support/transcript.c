#include "tests/support/transcript.h"

#include <sys/stat.h>

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/mem.h"
#include "base/num.h"
#include "tests/support/transcript_pattern.h"

enum {
	FILE_MAX = 1024 * 1024,
	EXPECT_MAX = 4096, /* S lines in a row */
};

/* Expected lines of one connection, up to the next line that isn't S. */
struct expect {
	struct slice pattern;
	size_t line;
	bool any_order, many, met;
};

struct transcript {
	const struct transcript_driver *d;
	const char *path;
	bool verbose;
	struct slice rest; /* of the file */
	size_t line;	   /* number of the present one */
	bool failed;
	bool open[TRANSCRIPT_CONNS];
	struct transcript_vars vars;
	struct slice message; /* path of the message being read; n 0: none */
	struct buf bytes;     /* of the message */
	struct expect expect[EXPECT_MAX];
	size_t n_expect;
	int expect_conn;
};

/* --- reports ------------------------------------------------------------- */

static void
show(FILE *f, struct slice s)
{
	for (size_t i = 0; i < s.n && i < 400; i++) {
		if (s.p[i] >= 0x20 && s.p[i] < 0x7f)
			(void)fputc(s.p[i], f);
		else
			(void)fprintf(f, "<%02x>", s.p[i]);
	}
	if (s.n > 400)
		(void)fprintf(f, "... %zu bytes", s.n);
}

static void
fail_at(struct transcript *t, size_t line, const char *what, struct slice want,
    struct slice got)
{
	if (t->failed)
		return;
	t->failed = true;
	printf("not ok %s:%zu: %s\n", t->path, line, what);
	printf("  expected: ");
	show(stdout, want);
	printf("\n  got:      ");
	show(stdout, got);
	printf("\n");
}

static void
broken(struct transcript *t, const char *what, struct slice line)
{
	fail_at(t, t->line, what, slice_str("a line of a transcript"), line);
}

static void
trace(const struct transcript *t, const char *who, int conn, struct slice s)
{
	if (!t->verbose)
		return;
	printf("%d%s ", conn, who);
	show(stdout, s);
	printf("\n");
}

/* --- S lines ------------------------------------------------------------- */

/* The server's next line without its CRLF; false: there is no whole line. */
static bool
take_line(struct transcript *t, int conn, struct slice *line, size_t *n)
{
	struct slice out = buf_slice(t->d->output(conn));
	size_t lf = slice_find(out, '\n');

	*n = lf + 1;
	*line = slice_first(out, lf);
	if (lf == out.n)
		return false;
	if (slice_ends(*line, SLICE("\r")))
		line->n--;
	else
		line->n++; /* shows, and matches nothing but <any> */
	return true;
}

/* The expectation that the line meets: a free S* line, or the next S line, or
 * else an S+ line. */
static struct expect *
expect_find(struct transcript *t, struct slice line)
{
	struct expect *next = NULL, *many = NULL;

	for (size_t i = 0; i < t->n_expect; i++) {
		struct expect *e = &t->expect[i];
		if (e->met)
			continue;
		if (e->many) {
			if (many == NULL &&
			    transcript_matches(&t->vars, e->pattern, line))
				many = e;
			continue;
		}
		if (!e->any_order && next != NULL)
			continue;
		if (!e->any_order)
			next = e;
		if (transcript_matches(&t->vars, e->pattern, line))
			return e;
	}
	return many;
}

/* Compare what was expected so far with what the server says. */
static void
settle(struct transcript *t)
{
	int conn = t->expect_conn;
	size_t left = 0;

	for (size_t i = 0; i < t->n_expect; i++)
		left += !t->expect[i].many;
	while (t->n_expect != 0 && !t->failed) {
		struct slice line;
		struct expect *e, *first = t->expect;
		size_t n;
		bool whole = take_line(t, conn, &line, &n);

		e = whole ? expect_find(t, line) : NULL;
		if (e == NULL && left == 0)
			break;
		while (first->met || (first->many && left != 0))
			first++;
		if (e == NULL) {
			fail_at(t, first->line, "another reply", first->pattern,
			    line);
			break;
		}
		e->met = !e->many;
		left -= e->met;
		trace(t, "S", conn, line);
		buf_drain(t->d->output(conn), n);
	}
	t->n_expect = 0;
}

static void
nothing_left(struct transcript *t, int conn)
{
	struct slice out = buf_slice(t->d->output(conn));

	if (out.n != 0)
		fail_at(t, t->line, "a reply that nobody expected",
		    slice_str(""), out);
}

/* --- lines of the file --------------------------------------------------- */

static void
message_done(struct transcript *t)
{
	if (t->message.n == 0)
		return;
	t->d->message(t->message, buf_slice(&t->bytes));
	t->message.n = 0;
	buf_reset(&t->bytes);
}

static void
connect_once(struct transcript *t, int conn)
{
	message_done(t);
	if (t->open[conn])
		return;
	t->open[conn] = true;
	t->d->open(conn);
}

static void
client_line(struct transcript *t, int conn, uint8_t kind, struct slice text)
{
	struct buf b;

	settle(t);
	if (t->failed)
		return;
	connect_once(t, conn);
	nothing_left(t, conn);
	trace(t, "C", conn, text);
	if (kind == '!') {
		if (!t->failed && !t->d->act(conn, text))
			broken(t, "can't do that", text);
		return;
	}
	buf_init(&b, TRANSCRIPT_BYTES_MAX);
	transcript_write_out(&t->vars, text, &b);
	if (kind == ':')
		buf_puts(&b, "\r\n");
	if (!t->failed)
		t->d->send(conn, buf_slice(&b));
	buf_fini(&b);
}

static void
server_line(struct transcript *t, int conn, uint8_t kind, struct slice text)
{
	if (t->n_expect != 0 && t->expect_conn != conn)
		settle(t);
	if (t->failed)
		return;
	connect_once(t, conn);
	if (kind == '!') {
		settle(t);
		nothing_left(t, conn);
		if (!t->failed && !t->d->state(conn, text))
			fail_at(t, t->line, "it isn't so", text, slice_str(""));
		return;
	}
	if (t->n_expect == EXPECT_MAX) {
		broken(t, "too many lines", text);
		return;
	}
	t->expect_conn = conn;
	t->expect[t->n_expect++] = (struct expect){ .pattern = text,
		.line = t->line,
		.any_order = kind == '*',
		.many = kind == '+' };
}

/* Behind the "|"; "|-" has no line end. */
static void
message_line(struct transcript *t, struct slice line)
{
	bool open = slice_starts(line, SLICE("- "));

	line = slice_skip(line, open ? 2 : slice_starts(line, SLICE(" ")));
	transcript_write_out(&t->vars, line, &t->bytes);
	if (!open)
		buf_putc(&t->bytes, '\n');
}

static void
fixture_line(struct transcript *t, struct slice line)
{
	struct slice value = line, word;

	if (line.p[0] == '|') {
		if (t->message.n == 0)
			broken(t, "a line of no message", line);
		message_line(t, slice_skip(line, 1));
		return;
	}
	message_done(t);
	(void)slice_split(&value, ':', &word);
	value = slice_trim(value);
	if (value.n == 0)
		broken(t, "no such line", line);
	else if (slice_eq(word, SLICE("message")))
		t->message = value;
	else if (!t->d->fixture(word, value))
		broken(t, "no such fixture", line);
}

static void
file_line(struct transcript *t, struct slice line)
{
	struct slice rest = line;
	int conn = 1;

	if (line.n == 0 || line.p[0] == '#')
		return;
	if (rest.p[0] >= '1' && rest.p[0] <= '9') {
		conn = rest.p[0] - '0';
		rest = slice_skip(rest, 1);
	}
	if (rest.n >= 2 && (rest.p[0] == 'C' || rest.p[0] == 'S') &&
	    slice_has(
		rest.p[0] == 'C' ? SLICE(":-!") : SLICE(":*+!"), rest.p[1])) {
		struct slice text = slice_skip(rest, 2);
		text = slice_skip(text, slice_starts(text, SLICE(" ")));
		if (rest.p[0] == 'C')
			client_line(t, conn, rest.p[1], text);
		else
			server_line(t, conn, rest.p[1], text);
	} else {
		fixture_line(t, line);
	}
}

/* --- files --------------------------------------------------------------- */

static bool
run_bytes(const struct transcript_driver *d, const char *path,
    struct slice bytes, bool verbose)
{
	struct transcript *t = MEM_NEW(struct transcript);
	struct slice line;
	bool ok;

	t->d = d;
	t->path = path;
	t->verbose = verbose;
	t->rest = bytes;
	buf_init(&t->bytes, TRANSCRIPT_BYTES_MAX);
	d->begin(path);
	while (!t->failed && slice_split(&t->rest, '\n', &line)) {
		t->line++;
		file_line(t, line);
	}
	settle(t);
	for (int i = 1; i < TRANSCRIPT_CONNS; i++)
		if (t->open[i])
			nothing_left(t, i);
	d->end();
	ok = !t->failed;
	if (ok)
		printf("ok %s\n", path);
	transcript_vars_cut(&t->vars, 0);
	buf_fini(&t->bytes);
	free(t);
	return ok;
}

static bool
run_file(const struct transcript_driver *d, const char *path, bool verbose)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	size_t n;
	bool ok;

	if (f == NULL) {
		printf("not ok %s: can't be opened\n", path);
		return false;
	}
	p = mem_alloc(FILE_MAX);
	n = fread(p, 1, FILE_MAX, f);
	(void)fclose(f);
	ok = n < FILE_MAX;
	if (ok)
		ok = run_bytes(d, path, slice_of(p, n), verbose);
	else
		printf("not ok %s: too large\n", path);
	free(p);
	return ok;
}

static int
is_transcript(const struct dirent *e)
{
	return slice_ends(slice_str(e->d_name), SLICE(".txt"));
}

struct tally {
	size_t passed, failed;
};

static void
count_file(const struct transcript_driver *d, const char *path, bool verbose,
    struct tally *t)
{
	if (run_file(d, path, verbose))
		t->passed++;
	else
		t->failed++;
}

static void
run_path(const struct transcript_driver *d, const char *path, bool verbose,
    struct tally *t)
{
	struct dirent **names;
	int found = scandir(path, &names, is_transcript, alphasort);

	if (found < 0) {
		count_file(d, path, verbose, t);
		return;
	}
	for (int i = 0; i < found; i++) {
		char *file = mem_printf("%s/%s", path, names[i]->d_name);

		count_file(d, file, verbose, t);
		free(file);
		free(names[i]);
	}
	free(names);
}

int
transcript_main(int argc, char **argv, const struct transcript_driver *driver)
{
	const char *src = getenv("top_srcdir");
	bool verbose = false, named = false;
	struct tally t = { .passed = 0 };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0) {
			verbose = true;
		} else {
			named = true;
			run_path(driver, argv[i], verbose, &t);
		}
	}
	for (size_t i = 0; !named && driver->directories[i] != NULL; i++) {
		char *path = mem_printf("%s/tests/transcripts/%s",
		    src != NULL ? src : ".", driver->directories[i]);
		size_t before = t.passed + t.failed;

		run_path(driver, path, verbose, &t);
		if (t.passed + t.failed == before)
			t.failed++; /* an empty directory tests nothing */
		free(path);
	}
	printf("%zu passed, %zu failed, 0 skipped\n", t.passed, t.failed);
	return t.failed == 0 && t.passed != 0 ? 0 : 1;
}
