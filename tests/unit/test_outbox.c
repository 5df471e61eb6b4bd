/* A message is given to a program, which may do with it what it likes. */
#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "server/outbox.h"

#define SENDER "joe@example.com"

static char directory[] = "/tmp/pn-outbox-XXXXXX";

struct sent {
	int status;
	char report[OUTBOX_REPORT_MAX + 1];
	char *got; /* what the program left in "got", or NULL */
};

static int
make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
	char *command = mem_printf("rm -r %s", directory);
	int rc = system(command);

	(void)state;
	free(command);
	return rc;
}

static char *
in_directory(const char *name)
{
	return mem_printf("%s/%s", directory, name);
}

static int
file_of(struct slice message)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	while (message.n != 0) {
		ssize_t n = write(fd, message.p, message.n);

		assert_true(n > 0);
		message = slice_skip(message, (size_t)n);
	}
	return fd;
}

static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct buf b;
	char *text;
	int c;

	if (f == NULL)
		return NULL;
	buf_init(&b, 1 << 24);
	while ((c = getc(f)) != EOF)
		buf_putc(&b, (uint8_t)c);
	(void)fclose(f);
	text = slice_dup(buf_slice(&b));
	buf_fini(&b);
	return text;
}

/* Run a program of this text; fd: the message, which is closed. */
static void
run(struct sent *s, const char *script, const char *header, int fd,
    uint32_t seconds)
{
	char *path = in_directory("sendmail"), *got = in_directory("got");
	struct outbox o = { path, SENDER, header, seconds };
	FILE *f = fopen(path, "w");
	int report[2];
	ssize_t n;

	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\ncd %s || exit 9\n%s\n", directory, script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0755), 0);
	(void)unlink(got);
	assert_int_equal(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
	s->status = outbox_run(&o, fd, report[1]);
	n = read(report[0], s->report, sizeof(s->report) - 1);
	s->report[n > 0 ? n : 0] = '\0';
	(void)close(report[0]);
	(void)close(report[1]);
	(void)close(fd);
	s->got = read_file(got);
	free(path);
	free(got);
}

static const struct outbox_case {
	const char *name, *script, *header, *message;
	int status;
	const char *report, *got;
} cases[] = {
	{ "sent", "cat >got", "X-S", "To: x\n\ny\n", 0, "",
	    "X-S: " SENDER "\nTo: x\n\ny\n" },
	{ "without a field", "cat >got", "", "To: x\n\ny\n", 0, "",
	    "To: x\n\ny\n" },
	{ "no final newline", "cat >got", "", "To: x\n\ny", 0, "",
	    "To: x\n\ny" },
	{ "empty", "cat >got", "", "", 0, "", "" },
	{ "arguments", "echo \"$@\" >got", "", "x", 0, "",
	    "-oi -t -f " SENDER "\n" },
	{ "environment", "env | grep -c . >got; echo $PATH >>got", "", "x", 0,
	    "", NULL },
	{ "refused", "cat >/dev/null; echo user unknown >&2; exit 67", "", "x",
	    67, "user unknown\n", NULL },
	{ "reads nothing", "exit 3", "", "x", 3, "", NULL },
	{ "says something, and is content", "cat >got; echo queued", "", "x", 0,
	    "queued\n", "x" },
	{ "killed", "kill -9 $$", "", "x", 128 + SIGKILL, "", NULL },
	{ "closes all, goes on for a while",
	    "exec </dev/null >/dev/null 2>&1; echo x >got", "", "y", 0, "",
	    "x\n" },
};

static void
test_programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		const struct outbox_case *c = &cases[i];
		struct sent s;

		run(&s, c->script, c->header, file_of(slice_str(c->message)),
		    60);
		if (s.status != c->status)
			fail_msg("%s: status %d", c->name, s.status);
		if (strcmp(s.report, c->report) != 0)
			fail_msg("%s: said %s", c->name, s.report);
		if (c->got != NULL &&
		    (s.got == NULL || strcmp(s.got, c->got) != 0))
			fail_msg("%s: got %s", c->name, s.got);
		free(s.got);
	}
}

/* More than any pipe holds, whoever of the two is slow. */
static void
test_large(void **state)
{
	struct sent s;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 22);
	while (buf_len(&b) < 3 << 20)
		buf_puts(&b, "a line of a large message\n");
	run(&s, "cat >got", "", file_of(buf_slice(&b)), 60);
	assert_int_equal(s.status, OUTBOX_SENT);
	assert_true(slice_eq(slice_str(s.got), buf_slice(&b)));
	free(s.got);
	/* It ends without having read all: its status counts. */
	run(&s, "head -c 10 >got", "", file_of(buf_slice(&b)), 60);
	assert_int_equal(s.status, OUTBOX_SENT);
	free(s.got);
	/* It says very much before it reads. */
	run(&s, "head -c 3000000 /dev/zero | tr '\\0' x; cat >got; exit 5", "",
	    file_of(buf_slice(&b)), 60);
	assert_int_equal(s.status, 5);
	assert_int_equal(strlen(s.report), OUTBOX_REPORT_MAX);
	assert_true(slice_eq(slice_str(s.got), buf_slice(&b)));
	free(s.got);
	buf_fini(&b);
}

/* The whole message goes out, wherever the file was read last. */
static void
test_offset(void **state)
{
	struct sent s;
	int fd = file_of(SLICE("To: x\n\ny\n"));

	(void)state;
	assert_int_equal(lseek(fd, 0, SEEK_END), 9);
	run(&s, "cat >got", "", fd, 60);
	assert_string_equal(s.got, "To: x\n\ny\n");
	free(s.got);
}

/* What it runs is ended with it. */
static void
test_time(void **state)
{
	struct sent s;
	int64_t began = clock_now();
	pid_t child;

	(void)state;
	run(&s, "sleep 1000 & echo $! >got; wait", "", file_of(SLICE("x")), 1);
	assert_int_equal(s.status, OUTBOX_TIMEOUT);
	assert_true(clock_now() - began >= 1000);
	assert_non_null(s.got);
	child = (pid_t)atoi(s.got);
	assert_true(child > 1);
	/* its new parent may not have waited for it yet */
	for (int i = 0; kill(child, 0) == 0 && i < 1000; i++) {
		char *path = mem_printf("/proc/%d/stat", (int)child);
		char *stat = read_file(path);
		bool gone = stat == NULL || strstr(stat, ") Z ") != NULL;

		free(path);
		free(stat);
		if (gone)
			break;
		(void)usleep(10000);
		assert_true(i < 999);
	}
	free(s.got);
}

/* A message that can't be read is not sent by half. */
static void
test_unreadable(void **state)
{
	char *path = in_directory("message");
	struct sent s;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	run(&s, "cat >got", "", fd, 60);
	assert_int_equal(s.status, OUTBOX_NOT_RUN);
	free(s.got);
	free(path);
}

static void
test_not_there(void **state)
{
	struct outbox o = { "/nowhere/sendmail", SENDER, "", 60 };
	int fd = file_of(SLICE("x")), report[2];
	char text[200];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	assert_int_equal(outbox_run(&o, fd, report[1]), OUTBOX_NOT_RUN);
	n = read(report[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(
	    text, "/nowhere/sendmail: No such file or directory\n");
	o.sender = "-oQ/tmp";
	assert_int_equal(outbox_run(&o, fd, report[1]), OUTBOX_NOT_RUN);
	(void)close(report[0]);
	(void)close(report[1]);
	(void)close(fd);
}

static void
test_may_send(void **state)
{
	static const struct {
		const char *sender, *header;
		bool want;
	} senders[] = { { SENDER, "X-S", true }, { SENDER, "", true },
		{ "", "X-S", false }, { "-x", "X-S", false },
		{ "a\nb", "X-S", false }, { "a\177", "X-S", false },
		{ SENDER, "X S", false }, { SENDER, "X:", false },
		{ SENDER, "X\n", false }, { SENDER, "\303\266", false } };
	char *long_name = mem_zalloc(600, 1);
	struct outbox o = { .header = "" };

	(void)state;
	for (size_t i = 0; i < NELEMS(senders); i++) {
		o.sender = senders[i].sender;
		o.header = senders[i].header;
		if (outbox_may_send(&o) != senders[i].want)
			fail_msg("%s, %s", o.sender, o.header);
	}
	memset(long_name, 'a', 321);
	o = (struct outbox){ .sender = long_name, .header = "" };
	assert_false(outbox_may_send(&o));
	long_name[320] = '\0';
	assert_true(outbox_may_send(&o));
	memset(long_name, 'a', 599);
	o = (struct outbox){ .sender = SENDER, .header = long_name };
	assert_false(outbox_may_send(&o));
	free(long_name);
}

static void
test_why(void **state)
{
	static const struct {
		uint32_t status;
		const char *report, *want;
	} said[] = { { 67, "user unknown\n \n", "user unknown" },
		{ 3, "", "sendmail failed, status 3" },
		{ 3, " \n", "sendmail failed, status 3" },
		{ 137, "", "sendmail was ended by signal 9" },
		{ OUTBOX_BUSY, "x",
		    "too many messages are being sent; try again" },
		{ OUTBOX_TIMEOUT, "x",
		    "it took too long, and may have been sent" },
		{ OUTBOX_NOT_RUN, "", "sendmail can't be run" },
		{ OUTBOX_NOT_RUN, "no such file", "no such file" } };
	char room[100];

	(void)state;
	for (size_t i = 0; i < NELEMS(said); i++)
		assert_string_equal(
		    outbox_why(said[i].status, slice_str(said[i].report), room,
			sizeof(room)),
		    said[i].want);
}

/* Words that the master didn't give. */
static void
test_main(void **state)
{
	static const char *const words[][6] = {
		{ "x", "1", "1", "/x", SENDER, "" },
		{ "1", "", "1", "/x", SENDER, "" },
		{ "1", "1", "-1", "/x", SENDER, "" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(words); i++) {
		char *argv[7] = { NULL };

		for (size_t k = 0; k < 6; k++)
			argv[k] = mem_strdup(words[i][k]);
		assert_int_equal(outbox_main(argv), OUTBOX_NOT_RUN);
		for (size_t k = 0; k < 6; k++)
			free(argv[k]);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_offset),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_may_send),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_main),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
