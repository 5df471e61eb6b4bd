/*
 * authenumerate [-c confdir] [-s] [-o]: every account that authdaemond can
 * list, a line each: name, uid, gid, home, maildir, and with -o its options,
 * separated by TABs.  -s: without those that have disableshared.  Exit status
 * 1 if the list lacks its end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/help.h"
#include "base/num.h"
#include "ctl/authd.h"

enum { LIST_MAX = 64 * 1024 * 1024, N_FIELDS = 6, FIELD_OPTIONS = 5 };

static NORETURN void
usage(void)
{
	(void)fputs("Usage: authenumerate [-s] [-o]\n", stderr);
	exit(1);
}

/* Options as Courier tests them: a number, or t, T, y, Y. */
static bool
is_set(struct slice options, const char *name)
{
	struct slice one;

	while (slice_split(&options, ',', &one)) {
		size_t at = slice_find(one, '=');
		uint8_t v = at + 1 < one.n ? one.p[at + 1] : '0';

		if (slice_eq(slice_first(one, at), slice_str(name)))
			return (v >= '1' && v <= '9') || v == 't' || v == 'T' ||
			    v == 'y' || v == 'Y';
	}
	return false;
}

static void
print_line(struct slice line, bool shared, bool options)
{
	struct slice field[N_FIELDS], rest = line;
	uint32_t uid, gid;

	for (size_t i = 0; i < N_FIELDS; i++)
		if (!slice_split(&rest, '\t', &field[i]))
			field[i] = slice_of("", 0);
	/* Remarks, and rows that are nobody's. */
	if (!num_u32(field[1], &uid) || !num_u32(field[2], &gid) || uid == 0 ||
	    gid == 0 ||
	    (shared && is_set(field[FIELD_OPTIONS], "disableshared")))
		return;
	for (size_t i = 0; i < FIELD_OPTIONS; i++)
		(void)printf("%s%.*s", i != 0 ? "\t" : "", (int)field[i].n,
		    (const char *)field[i].p);
	if (options)
		(void)printf("\t%.*s", (int)field[FIELD_OPTIONS].n,
		    (const char *)field[FIELD_OPTIONS].p);
	(void)putchar('\n');
}

int
main(int argc, char *argv[])
{
	const char *confdir = NULL;
	bool shared = false, options = false, whole = false;
	struct buf request, answer;
	struct slice rest, line;
	int c;

	if (help_asked(
		argc, argv, "Usage: authenumerate [-c confdir] [-s] [-o]\n"))
		return 0;
	opterr = 0;
	while ((c = getopt(argc, argv, "c:so")) != -1)
		if (c == 'c')
			confdir = optarg;
		else if (c == 's')
			shared = true;
		else if (c == 'o')
			options = true;
		else
			usage();
	buf_init(&request, AUTHD_REQUEST_MAX);
	buf_init(&answer, LIST_MAX);
	buf_puts(&request, "ENUMERATE\n");
	if (authd_ask(confdir, &request, &answer) != 0) {
		(void)fprintf(
		    stderr, "authenumerate: %s\n", strerrordesc_np(errno));
		return 1;
	}
	rest = buf_slice(&answer);
	while (!whole && slice_split(&rest, '\n', &line)) {
		whole = slice_eq(line, SLICE("."));
		if (line.n != 0 && line.p[0] != '#' && !whole)
			print_line(line, shared, options);
	}
	buf_fini(&request);
	buf_fini(&answer);
	return whole ? 0 : 1;
}
