#include "config.h"

#include "server/conf/conf_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/num.h"
#include "base/paths.h"
#include "server/conf/conf_addrs.h"
#include "server/conf/conf_words.h"

/* The names of keys.def's columns, for the table below only. */
#define HONOUR	CONF_HONOUR
#define IGNORE	CONF_IGNORE
#define WARN	CONF_WARN
#define REFUSE	CONF_REFUSE
#define RELOAD	CONF_RELOAD

static const struct conf_key_info keys[] = {
#define CONF_KEY(file, name, type, min, max, def, flags, text)                 \
 { CONF_FILE_##file, CONF_TYPE_##type, #name, min, max, def, flags, text },
#include "server/conf/keys.def"
#undef CONF_KEY
};

static const char *const file_names[CONF_N_FILES] = {
	[CONF_FILE_IMAPD] = "imapd",
	[CONF_FILE_IMAPD_SSL] = "imapd-ssl",
	[CONF_FILE_POP3D] = "pop3d",
	[CONF_FILE_POP3D_SSL] = "pop3d-ssl",
	[CONF_FILE_AUTHDAEMONRC] = "authdaemonrc",
	[CONF_FILE_AUTHMYSQLRC] = "authmysqlrc",
	[CONF_FILE_AUTHSQLITERC] = "authsqliterc",
	[CONF_FILE_POSTERN] = "postern",
};

/* Two names for one value: the first counts if both are set. */
static const struct {
	enum conf_key key;
	enum conf_key other;
} aliases[] = {
	{ CONF_POP3D_SSL_POP3_STARTTLS, CONF_POP3D_SSL_POP3DSTARTTLS },
	{ CONF_AUTHMYSQLRC_MYSQL_SSL_CIPHER,
	    CONF_AUTHMYSQLRC_MYSQL_SSL_CIPHERS },
	{ CONF_AUTHMYSQLRC_MYSQL_DEFAULTDELIVERY_FIELD,
	    CONF_AUTHMYSQLRC_MYSQL_DEFAULTDELIVERY },
};

/* What autoconf left in the files of some builds of Courier. */
static const char *const free_names[] = { "prefix", "exec_prefix",
	"install_prefix", "bindir", "sbindir", "libexecdir", "sysconfdir",
	"datadir", "datarootdir", "localstatedir", "mailuser", "mailgroup",
	"piddir", "certsdir", "PATH", "SHELL", "LANG", "LC_ALL", "TZ" };

static const char *const verifypeer_words[] = { "NONE", "PEER", "REQUIREPEER",
	NULL };
/* In the order of enum log_level. */
static const char *const log_level_words[] = { "alert", "error", "warn", "info",
	"debug", "trace", NULL };
static const char *const facility_words[] = { "", "auth", "authpriv", "cron",
	"daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user",
	"uucp", "local0", "local1", "local2", "local3", "local4", "local5",
	"local6", "local7", NULL };
static const char *const fsync_words[] = { "normal", "always", NULL };
static const char *const prefix_words[] = { "INBOX.", "", NULL };

const struct conf_key_info *
conf_key_info(enum conf_key key)
{
	assert(key < CONF_N_KEYS);
	return &keys[key];
}

const char *
conf_file_name(enum conf_file file)
{
	assert(file < CONF_N_FILES);
	return file_names[file];
}

enum conf_file
conf_file_partner(enum conf_file file)
{
	switch (file) {
	case CONF_FILE_IMAPD:
		return CONF_FILE_IMAPD_SSL;
	case CONF_FILE_IMAPD_SSL:
		return CONF_FILE_IMAPD;
	case CONF_FILE_POP3D:
		return CONF_FILE_POP3D_SSL;
	case CONF_FILE_POP3D_SSL:
		return CONF_FILE_POP3D;
	case CONF_FILE_AUTHDAEMONRC:
	case CONF_FILE_AUTHMYSQLRC:
	case CONF_FILE_AUTHSQLITERC:
	case CONF_FILE_POSTERN:
	case CONF_N_FILES:
		break;
	}
	return file;
}

static bool
find_own(enum conf_file file, const char *name, enum conf_key *key)
{
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		if (keys[i].file == file && strcmp(keys[i].name, name) == 0) {
			*key = (enum conf_key)i;
			return true;
		}
	}
	return false;
}

bool
conf_key_find(enum conf_file file, const char *name, enum conf_key *key)
{
	return find_own(file, name, key) ||
	    find_own(conf_file_partner(file), name, key);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(keys[*(const enum conf_key *)a].name,
	    keys[*(const enum conf_key *)b].name);
}

/* All keys in the order of their names. */
static const enum conf_key *
keys_by_name(void)
{
	static enum conf_key sorted[CONF_N_KEYS];
	static bool done;

	if (done)
		return sorted;
	for (unsigned i = 0; i < CONF_N_KEYS; i++)
		sorted[i] = (enum conf_key)i;
	qsort(sorted, CONF_N_KEYS, sizeof(sorted[0]), compare_names);
	done = true;
	return sorted;
}

size_t
conf_keys_named(const char *name, const enum conf_key **out)
{
	const enum conf_key *sorted = keys_by_name();
	size_t from = 0, to = CONF_N_KEYS, n = 0;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (strcmp(keys[sorted[mid]].name, name) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	while (from + n < CONF_N_KEYS &&
	    strcmp(keys[sorted[from + n]].name, name) == 0)
		n++;
	*out = sorted + from;
	return n;
}

enum conf_key
conf_key_alias(enum conf_key key)
{
	for (size_t i = 0; i < NELEMS(aliases); i++) {
		if (aliases[i].key == key)
			return aliases[i].other;
	}
	return CONF_N_KEYS;
}

bool
conf_is_auth_service(struct slice name)
{
	struct slice service = SLICE("AUTHSERVICE");
	uint32_t port;

	return slice_starts(name, service) &&
	    num_u32(slice_skip(name, service.n), &port) && port <= 65535;
}

bool
conf_is_service_word(struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_is_alnum(value.p[i]) &&
		    (i == 0 || memchr("-_.", value.p[i], 3) == NULL))
			return false;
	return value.n != 0 && value.n <= 64;
}

bool
conf_name_is_free(enum conf_file file, const char *name)
{
	struct slice s = slice_str(name);

	if (file == CONF_FILE_AUTHMYSQLRC || file == CONF_FILE_AUTHSQLITERC)
		return false;
	/* Courier's module for LDAP hands them to its library. */
	if (file == CONF_FILE_AUTHDAEMONRC &&
	    slice_starts(s, SLICE("LDAPTLS_")))
		return true;
	if (conf_is_auth_service(s))
		return true;
	for (size_t i = 0; i < NELEMS(free_names); i++) {
		if (strcmp(name, free_names[i]) == 0)
			return true;
	}
	return false;
}

/* --- nearest name -------------------------------------------------------- */

enum { NAME_MAX_COMPARED = 64 };

/* Levenshtein's distance of two names, letters of either case alike. */
static size_t
distance(struct slice a, struct slice b)
{
	size_t row[NAME_MAX_COMPARED + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best = corner;
			size_t above = row[j];

			if (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]))
				best++;
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			corner = above;
		}
	}
	return row[b.n];
}

const char *
conf_name_nearest(enum conf_file file, const char *name)
{
	struct slice s = slice_str(name);
	enum conf_file partner = conf_file_partner(file);
	const char *found = NULL;
	size_t best;

	if (s.n > NAME_MAX_COMPARED)
		return NULL;
	best = s.n / 2; /* farther is no help */
	for (unsigned i = 0; i < CONF_N_KEYS; i++) {
		struct slice known = slice_str(keys[i].name);
		size_t d;

		if (keys[i].file != file && keys[i].file != partner)
			continue;
		if (known.n > NAME_MAX_COMPARED)
			continue;
		d = distance(s, known);
		if (d < best) {
			best = d;
			found = keys[i].name;
		}
	}
	return found;
}

/* --- values -------------------------------------------------------------- */

static void PRINTF_LIKE(2, 3) say(struct buf *why, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return;
	va_start(ap, fmt);
	buf_vputf(why, fmt, ap);
	va_end(ap);
}

static bool
check_length(const struct conf_key_info *k, struct slice s, struct buf *why)
{
	if (s.n < (uint64_t)k->min) {
		say(why, "a value that is not empty");
		return false;
	}
	if (s.n > (uint64_t)k->max) {
		say(why, "at most %lld bytes", (long long)k->max);
		return false;
	}
	if (!conf_type_is_list(k->type) && slice_has(s, '\n')) {
		say(why, "a value without a line break");
		return false;
	}
	return true;
}

static bool
check_word(const struct conf_key_info *k, struct slice s, struct buf *why)
{
	if (slice_has(s, ' ') || slice_has(s, '\t')) {
		say(why, "one word");
		return false;
	}
	return check_length(k, s, why);
}

/* yes: 1 and other numbers but 0, y…, t…, on; no: 0, n…, f…, off, nothing. */
static bool
check_bool(struct slice s, int64_t *num, struct buf *why)
{
	uint32_t v;

	if (s.n == 0) {
		*num = 0;
		return true;
	}
	if (num_u32(s, &v)) {
		*num = v != 0;
		return true;
	}
	if (slice_ieq(s, SLICE("on")) || slice_istarts(s, SLICE("y")) ||
	    slice_istarts(s, SLICE("t"))) {
		*num = 1;
		return true;
	}
	if (slice_ieq(s, SLICE("off")) || slice_istarts(s, SLICE("n")) ||
	    slice_istarts(s, SLICE("f"))) {
		*num = 0;
		return true;
	}
	say(why, "1 or yes, 0 or no");
	return false;
}

/* The factor of a suffix letter, 0 if the type has no such suffix. */
static int64_t
suffix_factor(enum conf_type type, uint8_t letter)
{
	if (type == CONF_TYPE_TIME) {
		switch (letter) {
		case 's':
			return 1;
		case 'm':
			return 60;
		case 'h':
			return 3600;
		case 'd':
			return 86400;
		default:
			return 0;
		}
	}
	switch (type == CONF_TYPE_SIZE ? ascii_upper(letter) : 0) {
	case 'K':
		return 1 << 10;
	case 'M':
		return 1 << 20;
	case 'G':
		return 1 << 30;
	default:
		return 0;
	}
}

static bool
scan_number(enum conf_type type, struct slice s, int64_t *num)
{
	int64_t factor = 1;

	if (s.n > 1 && suffix_factor(type, s.p[s.n - 1]) != 0) {
		factor = suffix_factor(type, s.p[s.n - 1]);
		s = slice_first(s, s.n - 1);
	}
	return num_i64(s, num) && !__builtin_mul_overflow(*num, factor, num);
}

static bool
check_number(const struct conf_key_info *k, struct slice s, int64_t *num,
    struct buf *why)
{
	const char *unit = "";
	int64_t v;

	if (k->type == CONF_TYPE_TIME)
		unit = " seconds (or with s, m, h, d)";
	else if (k->type == CONF_TYPE_SIZE)
		unit = " bytes (or with K, M, G)";
	if (!scan_number(k->type, s, &v) || v < k->min || v > k->max) {
		say(why, "a number from %lld to %lld%s", (long long)k->min,
		    (long long)k->max, unit);
		return false;
	}
	*num = v;
	return true;
}

static bool
check_mode(const struct conf_key_info *k, struct slice s, int64_t *num,
    struct buf *why)
{
	int64_t v = 0;

	for (size_t i = 0; i < s.n && v <= k->max; i++) {
		if (s.p[i] < '0' || s.p[i] > '7') {
			v = k->max + 1;
			break;
		}
		v = v * 8 + (s.p[i] - '0');
	}
	if (s.n == 0 || v < k->min || v > k->max) {
		say(why, "an octal number from 0%llo to 0%llo",
		    (unsigned long long)k->min, (unsigned long long)k->max);
		return false;
	}
	*num = v;
	return true;
}

static const char *const *
choices(enum conf_type type)
{
	if (type == CONF_TYPE_VERIFYPEER)
		return verifypeer_words;
	if (type == CONF_TYPE_LOG_LEVEL)
		return log_level_words;
	if (type == CONF_TYPE_FACILITY)
		return facility_words;
	if (type == CONF_TYPE_PREFIX)
		return prefix_words;
	assert(type == CONF_TYPE_FSYNC);
	return fsync_words;
}

static bool
check_choice(const struct conf_key_info *k, struct slice s, int64_t *num,
    struct buf *why)
{
	const char *const *words = choices(k->type);

	for (size_t i = 0; words[i] != NULL; i++) {
		if (slice_ieq(s, slice_str(words[i]))) {
			*num = (int64_t)i;
			return true;
		}
	}
	say(why, "one of");
	for (size_t i = 0; words[i] != NULL; i++)
		say(why, " %s", *words[i] != '\0' ? words[i] : "\"\"");
	return false;
}

static bool
check_addresses(enum conf_type type, const char *value, struct buf *why)
{
	struct conf_addrs addrs;
	struct err e;
	int rc;

	if (type == CONF_TYPE_ADDRESS)
		rc = conf_addrs_parse(&addrs, value, "0", &e);
	else
		rc = conf_addrs_parse(&addrs, "0", value, &e);
	if (rc != 0)
		say(why, "%s", e.text);
	return rc == 0;
}

static bool
check_tls_protocol(const char *value, struct buf *why)
{
	enum conf_tls_version v;

	if (conf_tls_parse(value, &v))
		return true;
	say(why, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3");
	return false;
}

static bool
check_tcpdopts(const char *value, struct buf *why)
{
	struct conf_tcpdopts o;
	struct err e;

	if (conf_tcpdopts_parse(&o, value, NULL, NULL, &e) == 0)
		return true;
	say(why, "%s", e.text);
	return false;
}

bool
conf_type_is_list(enum conf_type type)
{
	return type == CONF_TYPE_LIST || type == CONF_TYPE_CAPABILITY ||
	    type == CONF_TYPE_TCPDOPTS;
}

bool
conf_value_check(
    enum conf_key key, const char *value, int64_t *num, struct buf *why)
{
	const struct conf_key_info *k = conf_key_info(key);
	struct slice s = slice_str(value);

	*num = 0;
	switch (k->type) {
	case CONF_TYPE_STRING:
	case CONF_TYPE_PATH:
	case CONF_TYPE_LIST:
	case CONF_TYPE_CAPABILITY:
	case CONF_TYPE_AUTHMODULES:
		return check_length(k, s, why);
	case CONF_TYPE_WORD:
		return check_word(k, s, why);
	case CONF_TYPE_BOOL:
		return check_bool(s, num, why);
	case CONF_TYPE_NUM:
	case CONF_TYPE_TIME:
	case CONF_TYPE_SIZE:
		return check_number(k, s, num, why);
	case CONF_TYPE_MODE:
		return check_mode(k, s, num, why);
	case CONF_TYPE_ADDRESS:
	case CONF_TYPE_PORTS:
		return check_length(k, s, why) &&
		    check_addresses(k->type, value, why);
	case CONF_TYPE_TLS_PROTOCOL:
		return check_length(k, s, why) &&
		    check_tls_protocol(value, why);
	case CONF_TYPE_TCPDOPTS:
		return check_length(k, s, why) && check_tcpdopts(value, why);
	case CONF_TYPE_VERIFYPEER:
	case CONF_TYPE_LOG_LEVEL:
	case CONF_TYPE_FACILITY:
	case CONF_TYPE_FSYNC:
	case CONF_TYPE_PREFIX:
		return check_choice(k, s, num, why);
	}
	return false;
}
