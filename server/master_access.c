/*
 * master_access: who may connect, by access files, and how many.
 *
 * The files are read here, as the login processes can't, and read again when
 * they change.  What can't be read leaves the rules that are in force.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/conf/conf_client.h"
#include "server/master.h"
#include "server/service_log.h"

enum { LOOK_MS = 1000 };

/* -access of TCPDOPTS; for IMAP else IMAPACCESSFILE, as imapd.rc had it. */
const char *
master_access_path(const struct conf *c, enum service s)
{
	static struct conf_tcpdopts opts;

	if (conf_tcpdopts_parse(&opts,
		conf_service_str(c, (enum conf_file)s,
		    service_is_pop3(s) ? CONF_POP3D_TCPDOPTS
				       : CONF_IMAPD_TCPDOPTS),
		NULL, NULL, NULL) == 0 &&
	    opts.access[0] != '\0')
		return opts.access;
	return service_is_pop3(s)
	    ? ""
	    : conf_service_str(c, (enum conf_file)s, CONF_IMAPD_IMAPACCESSFILE);
}

static void
report(void *arg, const char *file, int line, bool left_out, const char *text)
{
	(void)arg;
	log_warn("%s:%d: %s%s", file, line, text,
	    left_out ? "; the line is left out" : "");
}

const char *
master_access_check(void *arg, struct slice name, struct slice value, bool *bad)
{
	static char text[400];
	const enum service *s = arg;
	struct buf why;
	bool good;

	buf_init(&why, sizeof(text) - 1);
	good = conf_client_check((enum conf_file) * s, name, value, bad, &why);
	(void)snprintf(text, sizeof(text), "%s", buf_cstr(&why));
	buf_fini(&why);
	return good ? NULL : text;
}

int
master_access_load(struct master *m, enum service s, struct err *e)
{
	struct service_state *state = &m->services[s];
	const char *path = master_access_path(m->conf, s);
	uint64_t seen = *path != '\0' ? access_fingerprint(path) : 0;
	const struct access_reader reader = { report, master_access_check, &s };
	struct access *fresh;

	if (state->access != NULL && seen == state->access_seen)
		return 0;
	fresh = *path != '\0' ? access_load(path, &reader) : NULL;
	if (*path != '\0' && fresh == NULL)
		return err_sys(e, "%s", path);
	if (fresh == NULL) {
		fresh = access_new();
		access_seal(fresh);
	}
	if (access_text_is_missing(path))
		log_warn("%s: expected the text that its .dat was made from: "
			 "every address may connect",
		    path);
	if (access_count(fresh) != 0 || state->access != NULL)
		log_line_as(service_ident(s), LOG_LEVEL_INFO,
		    "access: rules=%zu file=%s", access_count(fresh), path);
	access_free(&state->access);
	state->access = fresh;
	state->access_seen = seen;
	return 0;
}

void
master_access_tick(struct master *m, int64_t now_ms)
{
	struct err e;

	if (now_ms < m->access_look_ms)
		return;
	m->access_look_ms = now_ms + LOOK_MS;
	for (int s = 0; s < N_SERVICES; s++) {
		struct service_state *state = &m->services[s];

		if (!state->on)
			continue;
		if (master_access_load(m, (enum service)s, &e) == 0) {
			state->access_said = false;
			continue;
		}
		if (!state->access_said)
			log_error("%s; the rules of before stay", e.text);
		state->access_said = true;
	}
}

static bool
denies(const struct access_rule *r)
{
	return r != NULL && r->deny;
}

bool
master_access_allows(const struct master *m, const struct conn_record *r,
    const struct access_rule **rule)
{
	const struct service_state *state = &m->services[r->service];
	struct addr local;

	*rule = NULL;
	if (state->access == NULL)
		return true;
	*rule = access_find(state->access, &r->addr);
	if (denies(*rule))
		return false;
	if (!state->opts.access_local ||
	    !addr_parse(&local, slice_str(r->local_addr)))
		return true;
	return !denies(
	    access_find_local(state->access, &local, (uint16_t)r->local_port));
}

char *
master_access_vars(const struct master *m, const struct conn_record *r,
    const struct access_rule *rule)
{
	const struct service_state *state = &m->services[r->service];
	const struct access_rule *here = NULL;
	const char *of_client = rule != NULL ? rule->vars : "";
	const char *of_local;
	struct addr local;

	if (state->access != NULL && state->opts.access_local &&
	    addr_parse(&local, slice_str(r->local_addr)))
		here = access_find_local(
		    state->access, &local, (uint16_t)r->local_port);
	of_local = here != NULL ? here->vars : "";
	if (*of_client == '\0' && *of_local == '\0')
		return NULL;
	/* Of two values for a name the first counts. */
	return *of_local == '\0' || *of_client == '\0'
	    ? mem_strdup(*of_local == '\0' ? of_client : of_local)
	    : mem_printf("%s,%s", of_client, of_local);
}
