/*
 * authuserdb: Courier's text file userdb, read as it is; the compiled
 * userdb.dat isn't needed.
 *
 *	address TAB field=value|field=value|…
 *
 * Fields: uid gid home mail (the maildir) quota gecos options; passwords
 * SERVICEpw (imappw, pop3pw), else systempw; for CRAM the two halves of the
 * HMAC, made before, SERVICE-hmac-md5pw, else hmac-md5pw (sha1, sha256 alike).
 *
 * The keeper reads the file, which only root may, and its children inherit
 * the text; a changed file is noticed as a changed authmysqlrc is.
 */
#include <stdlib.h>

#include "auth/module.h"
#include "auth/userdb.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

enum { MAGIC = 0x05e4db00, FIELD_NAME_MAX = 128 };

struct userdb_module {
	uint32_t magic;
	const struct settings *settings;
};

static void *
module_open(const struct settings *settings)
{
	struct userdb_module *m = MEM_NEW(struct userdb_module);

	m->magic = MAGIC;
	m->settings = settings;
	return m;
}

static void
module_close(void *self)
{
	struct userdb_module *m = self;

	MAGIC_CHECK(m, MAGIC);
	m->magic = 0;
	free(m);
}

/* The next line with an address; false at the end. */
static bool
next_entry(struct slice *rest, struct slice *address, struct slice *fields)
{
	struct slice line;

	while (slice_split(rest, '\n', &line)) {
		size_t at = slice_find(line, '\t');

		if (line.n == 0 || line.p[0] == '#' || at == line.n || at == 0)
			continue;
		*address = slice_first(line, at);
		*fields = slice_trim(slice_skip(line, at + 1));
		return true;
	}
	return false;
}

/* The value of a field; empty when it isn't there. */
static struct slice
field(struct slice fields, struct slice name)
{
	struct slice piece;

	while (slice_split(&fields, '|', &piece)) {
		size_t at = slice_find(piece, '=');

		if (slice_eq(slice_first(piece, at), name))
			return slice_skip(piece, at + 1);
	}
	return slice_of("", 0);
}

const char *
userdb_line_error(struct slice line)
{
	size_t at = slice_find(line, '\t');
	struct slice fields = slice_trim(slice_skip(line, at + 1)), home;
	uint32_t id;

	if (line.n == 0 || line.p[0] == '#')
		return NULL;
	if (at == line.n || at == 0)
		return "expected an address, a tab and fields";
	if (!num_u32(field(fields, SLICE("uid")), &id) || id == 0)
		return "expected uid=NUMBER, not 0";
	if (!num_u32(field(fields, SLICE("gid")), &id) || id == 0)
		return "expected gid=NUMBER, not 0";
	home = field(fields, SLICE("home"));
	return home.n == 0 || home.p[0] != '/' ? "expected home=/PATH" : NULL;
}

/* prefix of the service first, then the plain name: imap-hmac-md5pw. */
static struct slice
service_field(struct slice fields, struct slice service, const char *between,
    struct slice suffix)
{
	struct slice value = slice_of("", 0);
	struct buf name;

	buf_init(&name, FIELD_NAME_MAX);
	buf_put(&name, service);
	buf_puts(&name, between);
	buf_put(&name, suffix);
	if (buf_ok(&name) && service.n != 0)
		value = field(fields, buf_slice(&name));
	buf_fini(&name);
	return value;
}

static void
set_passwords(const struct query *q, struct slice fields, struct account *out)
{
	struct slice value = service_field(fields, q->service, "", SLICE("pw"));
	struct buf name;

	if (value.n == 0)
		value = field(fields, SLICE("systempw"));
	account_set(out, ACCOUNT_PASSWD, value);
	if (q->op != QUERY_CRAM)
		return;
	buf_init(&name, FIELD_NAME_MAX);
	buf_puts(&name, "hmac-");
	buf_put(&name, q->mechanism);
	buf_puts(&name, "pw");
	value = service_field(fields, q->service, "-", buf_slice(&name));
	if (value.n == 0)
		value = field(fields, buf_slice(&name));
	secret_set(&out->hmac, value);
	buf_fini(&name);
}

static void
set_account(const struct query *q, struct slice address, struct slice fields,
    struct account *out)
{
	if (!num_u32(field(fields, SLICE("uid")), &out->uid))
		out->uid = 0;
	if (!num_u32(field(fields, SLICE("gid")), &out->gid))
		out->gid = 0;
	account_set(out, ACCOUNT_ADDRESS, address);
	account_set(out, ACCOUNT_HOME, field(fields, SLICE("home")));
	account_set(out, ACCOUNT_MAILDIR, field(fields, SLICE("mail")));
	account_set(out, ACCOUNT_QUOTA, field(fields, SLICE("quota")));
	account_set(out, ACCOUNT_NAME, field(fields, SLICE("gecos")));
	account_set(out, ACCOUNT_OPTIONS, field(fields, SLICE("options")));
	set_passwords(q, fields, out);
}

static bool
is_there(const struct userdb_module *m)
{
	if (m->settings->userdb.there)
		return true;
	log_error("authuserdb: %s/userdb can't be read", m->settings->dir);
	return false;
}

static enum verdict
lookup(void *self, const struct module_call *call, struct account *out)
{
	struct userdb_module *m = self;
	struct slice rest, address, fields;

	MAGIC_CHECK(m, MAGIC);
	if (!is_there(m))
		return VERDICT_TEMPORARY;
	rest = buf_slice(&m->settings->userdb.text);
	while (next_entry(&rest, &address, &fields))
		if (slice_eq(address, call->query->user)) {
			set_account(call->query, address, fields, out);
			return VERDICT_OK;
		}
	return VERDICT_REJECTED;
}

static enum verdict
enumerate(
    void *self, const struct module_call *call, module_sink *sink, void *arg)
{
	static const struct slice names[] = { SLICE_INIT("uid"),
		SLICE_INIT("gid"), SLICE_INIT("home"), SLICE_INIT("mail"),
		SLICE_INIT("options") };
	struct userdb_module *m = self;
	struct slice rest, address, fields;
	bool heard = true;
	struct buf line;

	(void)call;
	MAGIC_CHECK(m, MAGIC);
	if (!is_there(m))
		return VERDICT_TEMPORARY;
	buf_init(&line, 64 * 1024);
	rest = buf_slice(&m->settings->userdb.text);
	while (heard && next_entry(&rest, &address, &fields)) {
		buf_reset(&line);
		buf_put(&line, address);
		for (size_t i = 0; i < NELEMS(names); i++) {
			buf_putc(&line, '\t');
			buf_put(&line, field(fields, names[i]));
		}
		buf_putc(&line, '\n');
		heard = sink(arg, buf_slice(&line));
	}
	buf_fini(&line);
	return heard ? VERDICT_OK : VERDICT_TEMPORARY;
}

const struct auth_module module_userdb = {
	.name = "authuserdb",
	.open = module_open,
	.close = module_close,
	.lookup = lookup,
	.enumerate = enumerate,
};
