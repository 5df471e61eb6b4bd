#include "auth/app_password.h"

#include "auth/network.h"
#include "auth/passwd.h"
#include "base/ascii.h"
#include "base/log.h"

enum { LABEL_MAX = 64 };

static bool
scope_has(struct slice scope, struct slice service)
{
	if (slice_trim(scope).n == 0)
		return true;
	while (scope.n != 0) {
		size_t at = 0;

		while (at < scope.n && scope.p[at] != ' ' && scope.p[at] != ',')
			at++;
		if (slice_ieq(slice_first(scope, at), service))
			return true;
		scope = slice_skip(scope, at + 1);
	}
	return false;
}

static bool
networks_have(struct slice networks, struct slice rip)
{
	uint8_t address[16];

	if (slice_trim(networks).n == 0)
		return true;
	return network_address(rip, address) &&
	    network_list_has(networks, address);
}

enum verdict
app_password_check(const struct slice row[APP_N_COLUMNS], const struct query *q,
    bool slow_allowed, struct account *account)
{
	if (row[APP_HASH].n == 0 || !scope_has(row[APP_SCOPE], q->service))
		return VERDICT_REJECTED;
	if (slice_trim(row[APP_NETWORKS]).n != 0)
		account->by_address = true;
	if (!networks_have(row[APP_NETWORKS], q->rip))
		return VERDICT_REJECTED;
	if (!slow_allowed && passwd_is_slow(row[APP_HASH]))
		return VERDICT_SLOW;
	return passwd_check_crypt(row[APP_HASH], q->password)
	    ? VERDICT_OK
	    : VERDICT_REJECTED;
}

void
app_password_used(struct account *a, const struct query *q, struct slice label)
{
	char user[128], rip[64], service[32], safe[LABEL_MAX];
	struct buf options;

	(void)log_safe(label, safe, sizeof(safe));
	log_info("auth: app-password user=%s, label=%s, service=%s, ip=[%s]",
	    log_safe(q->user, user, sizeof(user)), safe,
	    log_safe(q->service, service, sizeof(service)),
	    log_safe(q->rip, rip, sizeof(rip)));
	for (char *p = safe; *p != '\0'; p++)
		if (*p == ',' || *p == '=')
			*p = '.';
	buf_init(&options, account_get(a, ACCOUNT_OPTIONS).n + LABEL_MAX + 32);
	buf_put(&options, account_get(a, ACCOUNT_OPTIONS));
	if (buf_len(&options) != 0)
		buf_putc(&options, ',');
	buf_putf(&options, "apppassword=%s", safe);
	if (buf_ok(&options))
		account_set(a, ACCOUNT_OPTIONS, buf_slice(&options));
	buf_fini(&options);
}
