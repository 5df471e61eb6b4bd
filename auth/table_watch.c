#include "auth/table_watch.h"

#include <stdlib.h>

#include "auth/file_watch.h"
#include "base/log.h"
#include "base/slice.h"
#include "server/conf/conf.h"
#include "server/conf/conf_words.h"

bool
table_watch_is_of_use(const struct settings *s)
{
	struct slice rest =
	    slice_str(conf_str(s->conf, CONF_AUTHDAEMONRC_authmodulelist));
	struct slice word;

	return conf_word_next(&rest, &word) &&
	    slice_eq(word, SLICE("authsqlite"));
}

static bool
add_all(int fd, const struct settings *s)
{
	const char *table =
	    conf_str(s->conf, CONF_AUTHSQLITERC_SQLITE_DATABASE);
	char *path;
	bool ok = file_watch_add(fd, table);

	for (unsigned n = 0; ok &&
	     (path = conf_place(s->dir, CONF_FILE_AUTHSQLITERC, n)) != NULL;
	     n++) {
		ok = file_watch_add(fd, path);
		free(path);
	}
	return ok;
}

bool
table_watch_add(int fd, const struct settings *s)
{
	if (add_all(fd, s))
		return true;
	log_debug(
	    "the user table's file can't be watched: it is asked each time");
	return false;
}
