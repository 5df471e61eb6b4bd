"""A database that goes away and comes back, as mail clients see it: a
temporary failure in time, sessions that go on, and service again soon."""
import signal

import postern
import pytest
import waiting
from postern import JOE, PASSWORD, Lines

ANSWER = 5   # seconds until a login is refused
BACK = 2     # and until it is served, once the database is back


@pytest.fixture(scope="module")
def server(directory, mariadb):
    s = postern.Server(directory + "/s", modules="authmysql")
    s.add_user()
    row = s.users[JOE]
    # It is killed, and kept a second of its log in memory.
    mariadb.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1;")
    mariadb.add(JOE, **{k: row[k] for k in (
        "clear", "uid", "gid", "homedir", "maildir")})
    s.deliver()
    # without the indentation, and with the keys of these rows
    s.write("authmysqlrc", "".join(
        line.strip() + "\n" for line in mariadb.rc().splitlines()))
    with s:
        yield s


def try_imap(server):
    with Lines(server.connect("imapd")) as c:
        assert c.line().startswith("* OK")
        return c.imap(f'LOGIN "{JOE}" "{PASSWORD}"')[-1].split(" ", 1)[1]


def try_pop3(server):
    with Lines(server.connect("pop3d")) as c:
        assert c.line().startswith("+OK")
        c.pop(f"USER {JOE}")
        return c.pop(f"PASS {PASSWORD}")[0]


def stopwatch(server, *others):
    return waiting.Watch(server.pid(), server.pid("authdaemond"), *others)


def away(server, sessions):
    """Refused as temporary, in time; nobody who is in notices."""
    for log_in, answer in ((try_imap, "NO [UNAVAILABLE]"),
                           (try_pop3, "-ERR [SYS/TEMP]")):
        watch = stopwatch(server)
        said = log_in(server)
        assert said.startswith(answer), said
        assert watch.seconds() < ANSWER
        imap, pop3 = sessions
        imap.ok("FETCH 1 BODY.PEEK[]")
        assert pop3.pop("RETR 1", multi=True)[0].startswith("+OK")


@pytest.mark.parametrize("how", ("killed", "hung"))
def test_outage(server, mariadb, how):
    with postern.imap(server) as imap, postern.pop3(server) as pop3:
        imap.ok("SELECT INBOX")
        if how == "killed":
            mariadb.kill()
        else:
            mariadb.signal(signal.SIGSTOP)
        away(server, (imap, pop3))
        if how == "killed":
            mariadb.start()
        else:
            mariadb.signal(signal.SIGCONT)
        watch = stopwatch(server, mariadb.process.pid)
        postern.wait_for(lambda: try_imap(server).startswith("OK"),
                         "IMAP is back")
        assert watch.seconds() < BACK
        assert try_pop3(server).startswith("+OK")
        imap.ok("NOOP")
