#include "server/worker_refuse.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { OUT_MAX = 1024 };

struct refused {
	struct session s;
	bool pop3, locked, said;
	const char *ident, *why;
	char *tag, *line;
	struct account *account;
};

static struct refused *
of(struct session *s)
{
	return CONTAINER_OF(s, struct refused, s);
}

/* Whether the nearest directory above that exists may be written to. */
static bool
can_be_made(const char *path)
{
	char *above = mem_strdup(path), *slash;
	bool can = false;

	while ((slash = strrchr(above, '/')) != NULL) {
		slash[slash == above ? 1 : 0] = '\0';
		can = access(above, W_OK | X_OK) == 0;
		if (can || errno != ENOENT || slash == above)
			break;
	}
	free(above);
	return can;
}

struct refusal
account_refusal(
    const char *home, const char *path, bool owner, struct stat *found)
{
	struct stat st;

	*found = (struct stat){ 0 };
	/* Courier's lock, which backup scripts set. */
	if (*home != '\0' && stat(home, &st) == 0 && (st.st_mode & S_ISVTX))
		return (struct refusal){
			"Your account is temporarily unavailable (+t bit set "
			"on home directory).",
			true
		};
	if (stat(path, &st) < 0)
		return (struct refusal){ errno == EACCES
			    ? "Permission denied on the mailbox "
			      "directory."
			    : errno != ENOENT
			    ? "The mailbox directory can't be read."
			    : !can_be_made(path)
			    ? "The mailbox directory doesn't exist and can't "
			      "be made."
			    : NULL,
			false };
	*found = st;
	if (!S_ISDIR(st.st_mode))
		return (
		    struct refusal){ "The mailbox directory is none.", false };
	if (owner && (st.st_uid != geteuid() || st.st_gid != getegid()))
		return (struct refusal){
			"Account's mailbox directory is not owned by the "
			"correct uid or gid.",
			false
		};
	if (access(path, R_OK | W_OK | X_OK) < 0)
		return (struct refusal){
			"Permission denied on the mailbox directory.", false
		};
	return (struct refusal){ NULL, false };
}

static enum step
run(struct session *s, int64_t now_ms, int64_t wall_ms)
{
	struct refused *r = of(s);

	(void)now_ms;
	(void)wall_ms;
	if (r->said)
		return STEP_DONE;
	r->said = true;
	log_line_as(r->ident, r->locked ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
	    "%s", r->line);
	/* RFC 2449 8.1.2, RFC 3206 4, RFC 5530 3. */
	if (r->pop3)
		buf_putf(&s->out, "-ERR [SYS/%s] %s\r\n",
		    r->locked ? "TEMP" : "PERM", r->why);
	else if (r->tag[0] == '\0') /* RFC 3501 7.1.5: as a greeting */
		buf_putf(&s->out, "* BYE [%s] %s\r\n",
		    r->locked ? "UNAVAILABLE" : "CONTACTADMIN", r->why);
	else
		buf_putf(&s->out, "%s NO [%s] %s\r\n* BYE [UNAVAILABLE] %s\r\n",
		    r->tag, r->locked ? "UNAVAILABLE" : "CONTACTADMIN", r->why,
		    r->why);
	return STEP_DONE;
}

static void
eof(struct session *s)
{
	(void)s;
}

static void
end(struct session *s, enum session_end why)
{
	(void)s;
	(void)why;
}

static int64_t
deadline(const struct session *s)
{
	(void)s;
	return INT64_MAX;
}

static void
refused_free(struct session *s)
{
	struct refused *r = of(s);

	buf_fini(&s->in);
	buf_fini(&s->out);
	account_release(&r->account);
	free(r->tag);
	free(r->line);
	free(r);
}

static const struct session_ops ops = { "refusal", run, eof, end, deadline,
	refused_free };

struct session *
refusal_session_new(enum service s, const struct session_peer *peer,
    const char *tag, struct account *account, const struct refusal *why)
{
	struct refused *r = MEM_NEW(struct refused);
	char user[300], where[600];

	r->s.ops = &ops;
	buf_init(&r->s.in, OUT_MAX);
	buf_init(&r->s.out, OUT_MAX);
	r->pop3 = service_is_pop3(s);
	r->ident = peer->ident;
	r->why = why->why;
	r->locked = why->locked;
	r->tag = mem_strdup(tag);
	r->account = account;
	(void)log_safe(slice_str(peer->user), user, sizeof(user));
	(void)log_safe(slice_str(account_path(account)), where, sizeof(where));
	r->line = why->locked
	    ? mem_printf("LOCKED, user=%s, ip=[%s], port=[%u]", user,
		  peer->client_addr, peer->client_port)
	    : mem_printf("Fatal error, user=%s, ip=[%s], port=[%u]: %s "
			 "path=%s uid=%u gid=%u",
		  user, peer->client_addr, peer->client_port, why->why, where,
		  (unsigned)geteuid(), (unsigned)getegid());
	return &r->s;
}
