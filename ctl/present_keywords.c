#include "ctl/present_keywords.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir/file_name.h"
#include "maildir/mailbox.h"
#include "maildir/name.h"

enum { PAUSE_NS = 2000000, PATIENCE_MS = 5000 };

static void
pause_a_little(void)
{
	const struct timespec pause = { 0, PAUSE_NS };

	(void)nanosleep(&pause, NULL);
}

/* What has been changed by files is among what is then known. */
static int
refresh(struct mailbox *m)
{
	int rc = 0;
	enum step step;

	do {
		step = mailbox_refresh(m, false, (struct waker){ 0 },
		    clock_now(), clock_wall(), &rc);
		if (step != STEP_DONE && step != STEP_YIELD)
			pause_a_little();
	} while (step != STEP_DONE);
	return rc;
}

static bool
is_message(struct mailbox *m, uint32_t uid, struct slice base, struct buf *path)
{
	struct file_name f;
	struct slice name;

	buf_reset(path);
	if (mailbox_message_path(m, uid, path) != 0)
		return false;
	name = buf_slice(path);
	name = slice_skip(name, slice_rfind(name, '/') + 1);
	file_name_parse(name, false, &f);
	return slice_eq(f.base, base);
}

static void
put_set(struct mailbox *m, uint32_t set, struct buf *out)
{
	size_t n;
	const uint16_t *v = mailbox_keyword_set(m, set, &n);

	for (size_t i = 0; i < n; i++) {
		buf_put(out, mailbox_keyword(m, v[i]));
		buf_putc(out, '\n');
	}
}

static int
find(struct mailbox *m, struct slice base, struct buf *out)
{
	struct view *v = mailbox_view(m);
	struct buf path;
	int found = 0;

	buf_init(&path, 4096);
	/* most likely it came of late */
	for (uint32_t seq = view_count(v); seq > 0 && !found; seq--) {
		const struct message *one = view_get(v, seq);

		if (is_message(m, one->uid, base, &path)) {
			put_set(m, one->keywords, out);
			found = 1;
		}
	}
	buf_fini(&path);
	view_unref(&v);
	return found;
}

static int
look(struct account *a, struct slice name, struct slice base, struct buf *out,
    struct err *e)
{
	int64_t since_ms = clock_now();
	struct mailbox *m;
	int rc;

	while ((rc = mailbox_open(a, name, &m, e)) == ERR_MORE ||
	    (rc == ERR_BUSY && clock_now() - since_ms < PATIENCE_MS))
		if (rc == ERR_BUSY)
			pause_a_little();
	if (rc != 0)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	rc = refresh(m);
	rc = rc == 0 ? find(m, base, out)
		     : err_set(e, rc, "%.*s can't be read", SLICE_ARG(name));
	mailbox_close(&m);
	return rc;
}

int
present_keywords(const char *root, const char *dir, struct slice base,
    struct buf *out, struct err *e)
{
	const struct store_options opt = {
		.hostname = "localhost", .quiet_ms = 60000, .no_watches = true
	};
	int fd = fsx_open_dir(AT_FDCWD, root), rc = 0;
	struct account *a;
	struct store *s;
	struct buf name;
	struct stat st;

	if (fd < 0)
		return err_sys(e, "open %s", root);
	buf_init(&name, 4096);
	name_put_from_dir(fd, slice_str(dir), &name);
	if (fsx_stat(fd, "postern.db", &st) == 0) {
		log_set_level(LOG_LEVEL_ERROR);
		s = store_new(&opt);
		a = account_get(s, root, "");
		rc = look(a, buf_slice(&name), base, out, e);
		account_release(&a);
		store_free(&s);
	}
	buf_fini(&name);
	(void)close(fd);
	return rc;
}
