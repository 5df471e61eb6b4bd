/* authdaemond's keeper: how many processes it makes. */
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/front.h"
#include "auth/helper.h"
#include "auth/keeper_impl.h"
#include "auth/log_target.h"
#include "auth/pam.h"
#include "base/mem.h"
#include "tests/unit/conf_fixture.h"

/* --- what the processes would be ------------------------------------------ */

void
front_run(int keeper_sock)
{
	(void)keeper_sock;
	_exit(0);
}

void
helper_run(int sock, const struct settings *s)
{
	(void)sock;
	(void)s;
	_exit(0);
}

void
pam_run(int sock)
{
	(void)sock;
	_exit(0);
}

void
log_target_open(const struct settings *s, bool foreground)
{
	(void)s;
	(void)foreground;
}

void
log_target_forget(void)
{
}

/* Not what is tested here. */
bool
keeper_send_listener(struct keeper *k, const struct bound *b)
{
	(void)k;
	(void)b;
	return true;
}

bool
keeper_send_config(struct keeper *k)
{
	(void)k;
	return true;
}

void
keeper_want_no_helpers(struct keeper *k)
{
	(void)k;
}

/* --- tests ---------------------------------------------------------------- */

/* With PAM each helper is two processes: the last place is too little. */
static void
makes_no_more_than_there_is_room_for(void **state)
{
	struct keeper *k = MEM_NEW(struct keeper);
	struct fixture f;

	(void)state;
	fixture_begin(&f);
	fixture_write(&f, "authdaemonrc", "authmodulelist=\"authpam\"\n");
	assert_true(settings_load(&k->settings, f.dir));
	k->uid = (uid_t)-1;
	k->front = -1;
	k->n_helpers = HELPERS_MAX - 2;
	keeper_spawn_helper(k, false);
	assert_int_equal(k->n_helpers, HELPERS_MAX);
	k->n_helpers = HELPERS_MAX - 1;
	keeper_spawn_helper(k, false);
	assert_int_equal(k->n_helpers, HELPERS_MAX - 1);
	while (wait(NULL) > 0)
		continue;
	settings_free(&k->settings);
	free(k);
	fixture_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_no_more_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
