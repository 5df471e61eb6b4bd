#include "config.h"

#include <sys/utsname.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/paths.h"
#include "protocols/imap/capability.h"
#include "protocols/imap/session.h"
#include "protocols/pop3/session.h"
#include "server/conf/conf_client.h"
#include "server/worker.h"

/* Bits of IMAP_ID_FIELDS; most bytes of what CAPABILITY tells. */
enum { ID_VERSION = 1, ID_OS = 2, ID_RELEASE = 4, WORDS_MAX = 4096 };

/* By service, as the files of a pair are read in another order for each. */
struct protocol_options {
	struct imap_options imap[N_SERVICES];
	struct pop3_options pop3[N_SERVICES];
	bool owner[N_SERVICES];	       /* IMAP_MAILBOX_SANITY_CHECK */
	char *strings[7 * N_SERVICES]; /* what the options point to */
	unsigned n_strings;
	/* of an access file, for one service; NULL: for all other clients */
	char *vars;
	enum service service;
	struct protocol_options *older;
};

static const char *
keep(struct protocol_options *o, const char *s)
{
	assert(o->n_strings < NELEMS(o->strings));
	return o->strings[o->n_strings++] = mem_strdup(s);
}

/* ".Outbox", as Courier has it of the directory, or "INBOX.Outbox". */
static const char *
keep_outbox(struct protocol_options *o, const char *value)
{
	char *name;
	const char *kept;

	if (value[0] == '\0')
		return NULL;
	name = mem_printf("%s%s",
	    strncmp(value, "INBOX.", 6) == 0 ? ""
		: value[0] == '.'	     ? "INBOX"
					     : "INBOX.",
	    value);
	kept = keep(o, name);
	free(name);
	return kept;
}

/* The words of CAPABILITY, which each login and many clients ask for. */
static const char *
keep_words(struct protocol_options *o, const char *filter, bool acl)
{
	const char *kept;
	struct buf words;

	buf_init(&words, WORDS_MAX);
	imap_capability_words(filter, acl, &words);
	kept = keep(o, buf_cstr(&words));
	buf_fini(&words);
	return kept;
}

static size_t
size_of(const struct conf *c, enum conf_key key)
{
	return (size_t)conf_num(c, key);
}

/* RFC 2971 3.3: the name, and what IMAP_ID_FIELDS adds. */
static void
fill_id(struct imap_options *i, unsigned fields)
{
	static struct utsname system;

	if ((fields & (ID_OS | ID_RELEASE)) != 0 && system.sysname[0] == '\0' &&
	    uname(&system) < 0)
		fields &= ID_VERSION;
	i->id_version = fields & ID_VERSION ? PACKAGE_VERSION : NULL;
	i->id_os = fields & ID_OS ? system.sysname : NULL;
	i->id_os_version = fields & ID_RELEASE ? system.release : NULL;
}

static void
fill_mime(struct mime_options *mime, const struct conf *c)
{
	*mime = mime_options_default;
	mime->max_depth = (unsigned)conf_num(c, CONF_POSTERN_MIME_DEPTH_MAX);
	mime->max_parts = (unsigned)conf_num(c, CONF_POSTERN_MIME_PARTS_MAX);
}

static void
fill_imap(struct protocol_options *o, const struct conf *c, enum service s)
{
	const enum conf_file f = (enum conf_file)s;
	struct imap_options *i = &o->imap[s];
	char *trash;

	*i = imap_options_default;
	i->capability =
	    keep(o, conf_service_str(c, f, CONF_IMAPD_IMAP_CAPABILITY));
	i->capability_tls =
	    keep(o, conf_service_str(c, f, CONF_IMAPD_IMAP_CAPABILITY_TLS));
	i->timeout_ms = 1000 * conf_num(c, CONF_POSTERN_IMAP_AUTOLOGOUT);
	i->line_max = size_of(c, CONF_POSTERN_IMAP_LINE_MAX);
	i->nesting_max = (unsigned)conf_num(c, CONF_POSTERN_IMAP_NESTING_MAX);
	i->set_max = (unsigned)conf_num(c, CONF_POSTERN_IMAP_SET_MAX);
	i->bad_max = (unsigned)conf_num(c, CONF_POSTERN_BAD_COMMANDS_MAX);
	i->message_max = (uint64_t)conf_num(c, CONF_POSTERN_MESSAGE_SIZE_MAX);
	i->keywords = conf_service_num(c, f, CONF_IMAPD_IMAP_KEYWORDS) != 0;
	trash = mem_printf(
	    "INBOX.%s", conf_str(c, CONF_IMAPD_IMAP_TRASHFOLDERNAME));
	i->trash = keep(o, trash);
	free(trash);
	if (conf_service_bool(c, f, CONF_IMAPD_IMAP_MOVE_EXPUNGE_TO_TRASH))
		i->trash_mailbox = i->trash;
	i->outbox = keep_outbox(o, conf_service_str(c, f, CONF_IMAPD_OUTBOX));
	i->outbox_multiple =
	    conf_service_bool(c, f, CONF_IMAPD_OUTBOX_MULTIPLE_SEND);
	i->acl = conf_service_bool(c, f, CONF_IMAPD_IMAP_ACL);
	i->words = keep_words(o, i->capability, i->acl);
	i->words_tls = keep_words(o, i->capability_tls, i->acl);
	i->shared_index =
	    keep(o, conf_service_str(c, f, CONF_IMAPD_IMAP_SHAREDINDEXFILE));
	i->shared_links = POSTERN_SYSCONFDIR "/maildirshared";
	i->shared_munge =
	    conf_service_bool(c, f, CONF_IMAPD_IMAP_SHAREDMUNGENAMES);
	i->no_thread_sort =
	    conf_service_bool(c, f, CONF_IMAPD_IMAP_DISABLETHREADSORT);
	i->mark_all =
	    conf_service_bool(c, f, CONF_IMAPD_IMAP_CHECK_ALL_FOLDERS);
	i->no_inferiors =
	    conf_service_bool(c, f, CONF_IMAPD_IMAP_OBSOLETE_CLIENT);
	i->no_prefix =
	    *conf_service_str(c, f, CONF_IMAPD_IMAP_NAMESPACE_PREFIX) == '\0';
	i->ascii_headers = conf_bool(c, CONF_POSTERN_IMAP_APPEND_ASCII_HEADERS);
	i->id_name = "Postern";
	fill_id(i, (unsigned)conf_service_num(c, f, CONF_IMAPD_IMAP_ID_FIELDS));
	i->log_deletions =
	    conf_service_bool(c, f, CONF_IMAPD_IMAP_LOG_DELETIONS);
	fill_mime(&i->mime, c);
}

static void
fill_pop3(struct protocol_options *o, const struct conf *c, enum service s)
{
	const enum conf_file f = (enum conf_file)s;
	struct pop3_options *p = &o->pop3[s];

	p->sasl = keep(o, conf_service_str(c, f, CONF_POP3D_POP3AUTH));
	p->sasl_tls = keep(o, conf_service_str(c, f, CONF_POP3D_POP3AUTH_TLS));
	p->bad_max = (unsigned)conf_num(c, CONF_POSTERN_BAD_COMMANDS_MAX);
	p->user = true;
	p->stls = conf_service_bool(c, f, CONF_POP3D_SSL_POP3_STARTTLS);
	p->timeout_ms = 1000 * conf_num(c, CONF_POSTERN_POP3_AUTOLOGOUT);
	p->line_max = size_of(c, CONF_POSTERN_POP3_LINE_MAX);
	p->log_deletions =
	    conf_service_bool(c, f, CONF_POP3D_POP3_LOG_DELETIONS);
	p->unicode_type = keep(
	    o, conf_service_str(c, f, CONF_POP3D_MIME_UNICODE_MESSAGE_TYPE));
	fill_mime(&p->mime, c);
}

static struct protocol_options *
options_new(const struct conf *c)
{
	struct protocol_options *o = MEM_NEW(struct protocol_options);

	for (int s = 0; s < N_SERVICES; s++) {
		if (service_is_pop3((enum service)s))
			fill_pop3(o, c, (enum service)s);
		else
			fill_imap(o, c, (enum service)s);
		o->owner[s] = !service_is_pop3((enum service)s) &&
		    conf_service_bool(c, (enum conf_file)s,
			CONF_IMAPD_IMAP_MAILBOX_SANITY_CHECK);
	}
	return o;
}

void
protocol_options_add(struct protocol_options **o, const struct conf *c)
{
	struct protocol_options *fresh = options_new(c);

	fresh->older = *o;
	*o = fresh;
}

void
protocol_options_free(struct protocol_options **oo)
{
	struct protocol_options *o, *older;

	for (o = *oo; o != NULL; o = older) {
		older = o->older;
		for (unsigned i = 0; i < o->n_strings; i++)
			free(o->strings[i]);
		free(o->vars);
		free(o);
	}
	*oo = NULL;
}

/* Those in force for a client: made at its first session since a reload. */
static struct protocol_options *
options_for(struct worker *w, enum service s, const char *vars)
{
	struct protocol_options *o;
	struct conf *own;

	/* Those of the configuration before are behind its plain ones. */
	for (o = w->options; o->vars != NULL; o = o->older)
		if (o->service == s && strcmp(o->vars, vars) == 0)
			return o;
	if (*vars == '\0')
		return o;
	own = conf_client_with(w->conf, (enum conf_file)s, vars);
	protocol_options_add(&w->options, own);
	conf_free(&own);
	w->options->vars = mem_strdup(vars);
	w->options->service = s;
	return w->options;
}

bool
protocol_checks_owner(struct worker *w, enum service s, const char *vars)
{
	return options_for(w, s, vars)->owner[s];
}

struct session *
protocol_session_new(struct worker *w, enum service s, const char *vars,
    const struct session_peer *peer, const char *tag, const char *command,
    struct account *account)
{
	const struct protocol_options *o = options_for(w, s, vars);

	if (service_is_pop3(s))
		return pop3_session_new(
		    &o->pop3[s], peer, account, clock_now());
	return imap_session_new(
	    &o->imap[s], peer, account, tag, command, clock_now());
}
