#include "config.h"

#include "server/conf/conf_addrs.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/num.h"
#include "server/conf/conf_words.h"

static const struct {
	const char *name;
	uint16_t port;
} services[] = { { "imap", 143 }, { "imap2", 143 }, { "imaps", 993 },
	{ "pop3", 110 }, { "pop-3", 110 }, { "pop3s", 995 } };

/* The canonical text of an address, "" for all; false if it is none. */
static bool
parse_address(struct slice s, char out[CONF_ADDR_TEXT])
{
	uint8_t bytes[16];
	char text[CONF_ADDR_TEXT];

	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = slice_of(s.p + 1, s.n - 2);
	if (s.n == 0 || slice_eq(s, SLICE("0")) || slice_eq(s, SLICE("*"))) {
		out[0] = '\0';
		return true;
	}
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		return inet_ntop(AF_INET, bytes, out, CONF_ADDR_TEXT) != NULL;
	if (inet_pton(AF_INET6, text, bytes) == 1)
		return inet_ntop(AF_INET6, bytes, out, CONF_ADDR_TEXT) != NULL;
	return false;
}

static bool
parse_port(struct slice s, uint16_t *port)
{
	uint32_t v;

	for (size_t i = 0; i < NELEMS(services); i++) {
		if (slice_eq(s, slice_str(services[i].name))) {
			*port = services[i].port;
			return true;
		}
	}
	if (!num_u32(s, &v) || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

static int
add(struct conf_addrs *a, const struct conf_addr *item, struct err *e)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->item[i].port == item->port && item->port != 0 &&
		    strcmp(a->item[i].addr, item->addr) == 0)
			return 0;
	}
	if (a->n == CONF_ADDRS_MAX)
		return err_set(e, ERR_LIMIT, "at most %d places to listen at",
		    CONF_ADDRS_MAX);
	a->item[a->n++] = *item;
	return 0;
}

/* A port without an address: one listener for each address of ADDRESS. */
static int
add_everywhere(
    struct conf_addrs *a, const char *address, uint16_t port, struct err *e)
{
	struct slice rest = slice_str(address);
	struct slice word;
	struct conf_addr item = { .port = port };
	bool any = false;

	while (conf_word_next(&rest, &word)) {
		any = true;
		if (!parse_address(word, item.addr))
			return err_set(e, ERR_FORMAT,
			    "an address of this machine, or 0 for all");
		if (add(a, &item, e) != 0)
			return ERR_LIMIT;
	}
	return any ? 0 : add(a, &item, e);
}

bool
conf_addr_parse_item(struct conf_addr *item, bool *has_addr, struct slice word)
{
	size_t dot = slice_rfind(word, '.');
	struct slice port = dot < word.n ? slice_skip(word, dot + 1) : word;
	struct conf_addr parsed = { .port = 0 };

	if (!parse_port(port, &parsed.port))
		return false;
	if (dot < word.n &&
	    (dot == 0 || !parse_address(slice_first(word, dot), parsed.addr)))
		return false;
	*has_addr = dot < word.n;
	*item = parsed;
	return true;
}

int
conf_addrs_parse(
    struct conf_addrs *a, const char *address, const char *ports, struct err *e)
{
	struct slice rest = slice_str(ports);
	struct slice word;
	struct conf_addr item;
	bool has_addr;
	int rc = 0;

	a->n = 0;
	while (rc == 0 && conf_word_next(&rest, &word)) {
		if (!conf_addr_parse_item(&item, &has_addr, word))
			return err_set(e, ERR_FORMAT,
			    "ports separated by commas, each as port or "
			    "address.port (with a dot), port from 0 to 65535");
		rc = has_addr ? add(a, &item, e)
			      : add_everywhere(a, address, item.port, e);
	}
	return rc;
}
