#include "config.h"

#include "ctl/what_counts.h"

#include <stdio.h>

#include "base/paths.h"
#include "server/conf/conf.h"

#ifdef WITH_TRASHQUOTA
enum { TRASH_QUOTA_BUILT = true };
#else
enum { TRASH_QUOTA_BUILT = false };
#endif

void
what_counts(struct quota_usage *u)
{
	static char trash_dir[300] = ".Trash";
	struct conf *c = conf_load(POSTERN_SYSCONFDIR,
	    CONF_BIT(CONF_FILE_IMAPD) | CONF_BIT(CONF_FILE_POSTERN), NULL,
	    NULL);

	u->all = TRASH_QUOTA_BUILT;
	if (c != NULL) {
		u->all = u->all || conf_bool(c, CONF_POSTERN_TRASH_QUOTA);
		(void)snprintf(trash_dir, sizeof(trash_dir), ".%s",
		    conf_str(c, CONF_IMAPD_IMAP_TRASHFOLDERNAME));
		conf_free(&c);
	}
	u->trash_dir = trash_dir;
}
