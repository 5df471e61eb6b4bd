/* Lines of the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"

static char last[64];
static int n_lines;

static void
on_log(void *arg, enum log_level level, const char *ident, const char *line)
{
	(void)arg;
	(void)level;
	(void)ident;
	(void)snprintf(last, sizeof(last), "%s", line);
	n_lines++;
}

/* As the words of a database's server, which may quote a statement. */
static void
a_line_is_one_line(void **state)
{
	(void)state;
	log_set_sink(on_log, NULL);
	log_error("%s", "near 'x\r\nLOGIN, user=joe\n'");
	assert_string_equal(last, "near 'x\r LOGIN, user=joe '");
	log_line_as("imapd", LOG_LEVEL_WARN, "\n");
	assert_string_equal(last, " ");
	assert_int_equal(n_lines, 2);
	log_set_sink(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
