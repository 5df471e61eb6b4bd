#include "config.h"

#include "server/conf/conf_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "server/conf/conf_impl.h"
#include "server/conf/conf_key.h"

enum { NAME_MAX_LEN = 64 };

/* Looked at for each connection or login. */
static const enum conf_key per_client[] = {
	CONF_IMAPD_DEFDOMAIN,
	CONF_IMAPD_DOMAINSEP,
	CONF_IMAPD_IMAP_CAPABILITY,
	CONF_IMAPD_IMAP_CAPABILITY_TLS,
	CONF_IMAPD_IMAP_KEYWORDS,
	CONF_IMAPD_IMAP_ACL,
	CONF_IMAPD_IMAP_MAILBOX_SANITY_CHECK,
	CONF_IMAPD_IMAP_DISABLETHREADSORT,
	CONF_IMAPD_IMAP_CHECK_ALL_FOLDERS,
	CONF_IMAPD_IMAP_OBSOLETE_CLIENT,
	CONF_IMAPD_IMAP_NAMESPACE_PREFIX,
	CONF_IMAPD_IMAP_MOVE_EXPUNGE_TO_TRASH,
	CONF_IMAPD_IMAP_LOG_DELETIONS,
	CONF_IMAPD_IMAP_ID_FIELDS,
	CONF_IMAPD_AUTH_MKHOMEDIR_SKEL,
	CONF_IMAPD_MAILDIRPATH,
	CONF_IMAPD_TIMEOUT_READ,
	CONF_IMAPD_SSL_IMAPDSTARTTLS,
	CONF_IMAPD_SSL_IMAP_TLS_REQUIRED,
	CONF_IMAPD_SSL_TLS_EXTERNAL,
	CONF_POP3D_DEFDOMAIN,
	CONF_POP3D_DOMAINSEP,
	CONF_POP3D_AUTH_MKHOMEDIR_SKEL,
	CONF_POP3D_MAILDIRPATH,
	CONF_POP3D_POP3AUTH,
	CONF_POP3D_POP3AUTH_TLS,
	CONF_POP3D_POP3_LOG_DELETIONS,
	CONF_POP3D_TIMEOUT_READ,
	CONF_POP3D_SSL_POP3_STARTTLS,
	CONF_POP3D_SSL_POP3DSTARTTLS,
	CONF_POP3D_SSL_POP3_TLS_REQUIRED,
	CONF_POP3D_SSL_TLS_EXTERNAL,
};

static bool
is_per_client(enum conf_key key)
{
	if ((conf_key_info(key)->flags & CONF_HONOUR) == 0)
		return false;
	for (size_t i = 0; i < NELEMS(per_client); i++)
		if (per_client[i] == key)
			return true;
	return false;
}

static bool
take_text(char *out, size_t size, struct slice s)
{
	if (s.n >= size || slice_has(s, '\0'))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

bool
conf_client_check(enum conf_file service, struct slice name, struct slice value,
    bool *bad, struct buf *why)
{
	char key_name[NAME_MAX_LEN], *text;
	enum conf_key key;
	int64_t num;
	bool good;

	*bad = false;
	if (take_text(key_name, sizeof(key_name), name) &&
	    conf_is_auth_service(name)) {
		*bad = !conf_is_service_word(value);
		if (*bad)
			buf_putf(
			    why, "%s: expected " CONF_SERVICE_WORD, key_name);
		return !*bad;
	}
	if (!take_text(key_name, sizeof(key_name), name) ||
	    !conf_key_find(service, key_name, &key) || !is_per_client(key)) {
		buf_putf(why,
		    "%.*s has no effect here: it can't differ between clients",
		    SLICE_ARG(slice_first(name, NAME_MAX_LEN)));
		return false;
	}
	buf_putf(why, "%s: expected ", key_name);
	text = slice_dup(value);
	good = conf_value_check(key, text, &num, why);
	free(text);
	*bad = !good;
	return good;
}

/* Set one; what was found wrong when the file was read is left out. */
static void
set_var(struct conf *c, enum conf_file service, struct slice name,
    struct slice value)
{
	char key_name[NAME_MAX_LEN];
	struct buf why;
	char *text;
	bool bad;

	buf_init(&why, 400);
	if (conf_client_check(service, name, value, &bad, &why) &&
	    take_text(key_name, sizeof(key_name), name)) {
		text = slice_dup(value);
		conf_view_set(c, service,
		    &(struct conf_var){
			.name = key_name, .value = text, .from = service });
		free(text);
	}
	buf_fini(&why);
}

struct conf *
conf_client_with(const struct conf *c, enum conf_file service, const char *vars)
{
	struct slice rest = slice_str(vars), piece;
	struct conf *out;
	struct buf packed;

	buf_init(&packed, 4 * 1024 * 1024);
	conf_pack(c, &packed);
	assert(buf_ok(&packed));
	out = conf_unpack(buf_slice(&packed));
	buf_fini(&packed);
	assert(out != NULL);
	/* Of two the first counts, as in access_var(). */
	for (size_t n = rest.n; n != 0;) {
		size_t from = slice_rfind(slice_first(rest, n), ',');
		size_t eq;

		from = from == n ? 0 : from + 1;
		piece = slice_skip(slice_first(rest, n), from);
		eq = slice_find(piece, '=');
		if (eq < piece.n)
			set_var(out, service, slice_first(piece, eq),
			    slice_skip(piece, eq + 1));
		n = from != 0 ? from - 1 : 0;
	}
	if (!conf_settle(out))
		assert(0);
	return out;
}

static void
client_fini(struct conf_client *one)
{
	free(one->vars);
	conf_free(&one->conf);
}

const struct conf *
conf_clients_get(struct conf_clients *t, const struct conf *c,
    enum conf_file service, const char *vars)
{
	struct conf_client one;
	size_t at = 0;

	if (vars == NULL || *vars == '\0')
		return c;
	while (at < t->n &&
	    (t->kept[at].service != service ||
		strcmp(t->kept[at].vars, vars) != 0))
		at++;
	if (at < t->n) {
		one = t->kept[at];
	} else {
		if (at == CONF_CLIENTS_MAX)
			client_fini(&t->kept[--at]);
		else
			t->n++;
		one = (struct conf_client){ service, mem_strdup(vars),
			conf_client_with(c, service, vars) };
	}
	memmove(&t->kept[1], &t->kept[0], at * sizeof(one));
	t->kept[0] = one;
	return one.conf;
}

void
conf_clients_clear(struct conf_clients *t)
{
	while (t->n > 0)
		client_fini(&t->kept[--t->n]);
}

const char *
conf_auth_service(const struct conf *c, enum conf_file service, uint32_t port,
    const char *otherwise)
{
	char name[NAME_MAX_LEN];
	const char *set;

	assert(c->settled);
	if (!c->view[service].has_auth_service)
		return otherwise;
	(void)snprintf(name, sizeof(name), "AUTHSERVICE%u", port);
	set = conf_any(c, service, name);
	return set != NULL && *set != '\0' ? set : otherwise;
}
