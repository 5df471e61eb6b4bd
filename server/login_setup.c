/*
 * login_setup: everything a login process makes of what the master sent:
 * TLS contexts and the options of preauths.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "protocols/imap/capability.h"
#include "server/certificates.h"
#include "server/conf/conf_client.h"
#include "server/conf/conf_words.h"
#include "server/login_impl.h"
#include "server/service_log.h"

enum { MATERIAL_MAX = 4096, CAPABILITY_MAX = 4096, LOGIN_VIEWS_MAX = 256 };

struct material {
	struct material *next;
	unsigned family, kind;
	bool unreadable; /* bytes: why, for the log */
	char *name;
	struct secret bytes;
};

struct material_store {
	struct material *first;
	unsigned n;
};

void
login_take_material(struct login *l, struct msg_in *in)
{
	struct material *m = MEM_NEW(struct material);

	if (l->material == NULL)
		l->material = MEM_NEW(struct material_store);
	m->family = msg_get_u32(in);
	m->kind = msg_get_u32(in);
	m->name = mem_strdup(msg_get_str(in));
	secret_set(&m->bytes, msg_get_bytes(in));
	if (!msg_get_end(in) || m->family >= N_FAMILIES ||
	    l->material->n >= MATERIAL_MAX) {
		log_error("login: bad TLS_MATERIAL message");
		secret_fini(&m->bytes);
		free(m->name);
		free(m);
		return;
	}
	if (m->kind == MATERIAL_NO_CERT || m->kind == MATERIAL_NO_KEY) {
		m->kind -= MATERIAL_NO_CERT - MATERIAL_CERT;
		m->unreadable = true;
	}
	m->next = l->material->first;
	l->material->first = m;
	l->material->n++;
}

static void
material_free(struct material_store **ss)
{
	struct material *m, *next;

	if (*ss == NULL)
		return;
	for (m = (*ss)->first; m != NULL; m = next) {
		next = m->next;
		secret_fini(&m->bytes);
		free(m->name);
		free(m);
	}
	free(*ss);
	*ss = NULL;
}

static const struct material *
find(const struct login *l, unsigned family, enum tls_material kind,
    const char *name)
{
	const struct material *m;

	for (m = l->material != NULL ? l->material->first : NULL; m != NULL;
	     m = m->next)
		if (m->family == family && m->kind == kind &&
		    strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

int
login_min_version(const struct login *l, enum service s)
{
	return certificates_min_version(l->conf, s);
}

/*
 * Said by the first login process only: all have got the same.  What the
 * master could not read comes as the reason, in place of the bytes.
 */
static int
add_certificate(const struct login *l, struct tls_config *c,
    const struct material *cert, struct err *e)
{
	const struct material *key =
	    find(l, cert->family, MATERIAL_KEY, cert->name);
	struct tls_pem_where where; /* the text tells it */
	char *cert_path, *key_path;
	int r;

	if (key == NULL)
		key = cert;
	if (cert->unreadable || key->unreadable)
		return err_set(e, ERR_NOT_FOUND,
		    "%.*s; expected a certificate and its key",
		    SLICE_ARG(secret_slice(
			cert->unreadable ? &cert->bytes : &key->bytes)));
	cert_path = certificates_path(l->conf, cert->family, cert->name, false);
	key_path = certificates_path(l->conf, cert->family, cert->name, true);
	r = tls_config_add(c, cert->name,
	    (struct tls_pem){ cert_path, secret_slice(&cert->bytes) },
	    (struct tls_pem){ key_path, secret_slice(&key->bytes) }, &where, e);
	free(cert_path);
	free(key_path);
	return r;
}

/* A bad certificate is logged, and the one of before stays, if there is. */
static void
take_certificate(
    const struct login *l, struct tls_config *c, const struct material *cert)
{
	const struct tls_config *before = l->tls[cert->family];
	const char *family = certificates_family(cert->family);
	struct err e;
	bool kept;

	if (add_certificate(l, c, cert, &e) == 0)
		return;
	kept = before != NULL && tls_config_keep(c, before, cert->name);
	if (l->index != 0)
		return;
	if (kept)
		log_error(
		    "tls: %s: %s; the one of before is kept", family, e.text);
	else if (*cert->name == '\0')
		log_error("tls: %s: %s; there is no TLS", family, e.text);
	else
		log_error("tls: %s: %s; clients that ask for %s are shown "
			  "another",
		    family, e.text, cert->name);
}

static struct tls_config *
make_tls(struct login *l, unsigned family)
{
	const struct tls_options opt = certificates_options(l->conf, family);
	struct tls_config *c = tls_config_new(&opt);
	const char *name = certificates_family(family);
	const struct material *m;
	unsigned n_trusted = 0;
	struct err e;

	for (m = l->material != NULL ? l->material->first : NULL; m != NULL;
	     m = m->next)
		if (m->family == family && m->kind == MATERIAL_TRUST)
			n_trusted +=
			    tls_config_trust(c, secret_slice(&m->bytes));
	if (opt.verify != TLS_VERIFY_NONE && n_trusted == 0 && l->index == 0)
		log_error("tls: %s: TLS_VERIFYPEER is set, but TLS_TRUSTCERTS "
			  "names no authority: no certificate of a client can "
			  "be good",
		    name);
	for (m = l->material != NULL ? l->material->first : NULL; m != NULL;
	     m = m->next)
		if (m->family == family && m->kind == MATERIAL_CERT)
			take_certificate(l, c, m);
	if ((m = find(l, family, MATERIAL_TICKET_KEYS, "")) != NULL)
		tls_config_ticket_keys(c, secret_slice(&m->bytes));
	if (tls_config_usable(c) && tls_config_warm(c, &e) != 0)
		log_error("tls: %s: %s", name, e.text);
	return c;
}

/*
 * What a preauth may say of itself: for POP3 the mechanisms as configured;
 * for IMAP the words of what Postern can that the configuration lets through,
 * and its AUTH= words.  Unset, IMAP_CAPABILITY has Courier's default, which
 * is for an admin to edit and no list of what we can.  The string lives as
 * long as the configuration.
 */
static const char *
capability(
    const struct conf *conf, enum conf_file file, enum conf_key key, bool pop3)
{
	const char *set = conf_service_str(conf, file, key);
	struct slice rest, word;
	struct buf out;
	char *words;

	if (pop3)
		return set;
	if (!conf_service_is_set(conf, file, key))
		set = "";
	buf_init(&out, CAPABILITY_MAX);
	imap_capability_words(
	    set, conf_service_bool(conf, file, CONF_IMAPD_IMAP_ACL), &out);
	rest = slice_str(set);
	while (slice_split(&rest, ' ', &word))
		if (slice_istarts(word, SLICE("AUTH="))) {
			buf_putc(&out, ' ');
			buf_put(&out, word);
		}
	words = slice_dup(buf_slice(&out));
	buf_fini(&out);
	return words;
}

static void
make_options(const struct login *l, const struct conf *conf, enum service s,
    struct preauth_options *o)
{
	const enum conf_file file = (enum conf_file)s;
	bool pop3 = service_is_pop3(s);
	enum conf_key plain =
	    pop3 ? CONF_POP3D_POP3AUTH : CONF_IMAPD_IMAP_CAPABILITY;
	enum conf_key tls =
	    pop3 ? CONF_POP3D_POP3AUTH_TLS : CONF_IMAPD_IMAP_CAPABILITY_TLS;
	enum conf_key start =
	    pop3 ? CONF_POP3D_SSL_POP3_STARTTLS : CONF_IMAPD_SSL_IMAPDSTARTTLS;
	enum conf_key required = pop3 ? CONF_POP3D_SSL_POP3_TLS_REQUIRED
				      : CONF_IMAPD_SSL_IMAP_TLS_REQUIRED;

	o->capability = capability(conf, file, plain, pop3);
	o->capability_tls = capability(conf, file, tls, pop3);
	o->greeting_name = "Postern";
	o->offer_starttls = tls_config_usable(l->tls[pop3]) &&
	    conf_service_bool(conf, file, start);
	o->tls_required = conf_service_bool(conf, file, required);
	o->line_max = (size_t)conf_num(conf,
	    pop3 ? CONF_POSTERN_POP3_LINE_MAX_PREAUTH
		 : CONF_POSTERN_IMAP_LINE_MAX_PREAUTH);
	o->literal_max =
	    (size_t)conf_num(conf, CONF_POSTERN_IMAP_LITERAL_MAX_PREAUTH);
	o->commands_max = (unsigned)conf_num(conf,
	    pop3 ? CONF_POSTERN_POP3_COMMANDS_PREAUTH
		 : CONF_POSTERN_IMAP_COMMANDS_PREAUTH);
}

struct login_view *
login_view(struct login *l, enum service s, const char *vars)
{
	struct login_view *v;

	for (v = l->views; v != NULL; v = v->next)
		if (v->service == s && strcmp(v->vars, vars) == 0)
			return v;
	if (l->n_views == LOGIN_VIEWS_MAX) {
		log_warn("login: more than %d kinds of variables in access "
			 "files, the others have no effect",
		    LOGIN_VIEWS_MAX);
		return NULL;
	}
	v = MEM_NEW(struct login_view);
	v->service = s;
	v->vars = mem_strdup(vars);
	v->conf = conf_client_with(l->conf, (enum conf_file)s, vars);
	make_options(l, v->conf, s, &v->options);
	v->next = l->views;
	l->views = v;
	l->n_views++;
	return v;
}

/* Connections may have them still. */
static void
retire_views(struct login *l)
{
	struct login_view *v;

	while ((v = l->views) != NULL) {
		l->views = v->next;
		v->next = l->old_views;
		l->old_views = v;
	}
	l->n_views = 0;
}

static void
take_tcpdopts(struct login *l, enum service s)
{
	const char *value = conf_service_str(l->conf, (enum conf_file)s,
	    service_is_pop3(s) ? CONF_POP3D_TCPDOPTS : CONF_IMAPD_TCPDOPTS);
	struct err e;

	/* conf_load() has refused what can't be parsed. */
	if (conf_tcpdopts_parse(&l->tcpdopts[s], value, NULL, NULL, &e) != 0)
		log_error("login: %s", e.text);
}

/*
 * Preauths point to options, which point into the configuration: so options
 * change in place, and a configuration that connections began with stays
 * until the process ends.  Reloads are rare, configurations small.
 */
int
login_apply(struct login *l, struct err *e)
{
	if (l->next_conf != NULL) {
		retire_views(l);
		l->conf = l->next_conf;
		l->next_conf = NULL;
	}
	if (l->conf == NULL)
		return err_set(e, ERR_INVALID, "no configuration came");
	service_log_setup(l->conf);
	for (unsigned family = 0; family < N_FAMILIES; family++) {
		struct tls_config *fresh = make_tls(l, family);

		tls_config_free(&l->tls[family]);
		l->tls[family] = fresh;
	}
	material_free(&l->material);
	login_greetings_forget(l);
	for (int s = 0; s < N_SERVICES; s++) {
		make_options(l, l->conf, (enum service)s, &l->options[s]);
		take_tcpdopts(l, (enum service)s);
	}
	return 0;
}
