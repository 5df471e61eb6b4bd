"""MariaDB's deaths and its other failures: a database that is away is a
temporary failure, never a refusal."""

import hmac
import signal
import subprocess
import threading

import pytest

import support
from scram import Scram
from support import JOE, b64, record

pytestmark = pytest.mark.usefixtures("as_it_was")


def assert_temporary(daemon):
    """End of the stream without a byte, FAIL with temp, within 5 s."""
    (answer, seconds), sasl = support.in_threads(2, lambda i: (
        daemon.timed(daemon.login if i == 0 else daemon.sasl_login)))
    assert answer == b"" and seconds < 5
    assert sasl[0] == f"FAIL\t1\tuser={JOE}\ttemp\tcode=temp_fail"
    assert sasl[1] < 5


def cram_request():
    challenge = b"<1@mail.example.com>"
    digest = hmac.new(b"secret", challenge, "md5").hexdigest()
    return support.auth_request(b64(challenge), b64(f"{JOE} {digest}"),
                                authtype="cram-md5")


def test_killed(mysql_daemon, mariadb):
    assert mysql_daemon.login() == record()
    mariadb.kill()
    assert_temporary(mysql_daemon)
    assert_temporary(mysql_daemon)
    # Each request of Courier's protocol: not a byte.
    for request in (cram_request(), f"PRE . imap {JOE}\n".encode(),
                    f"PASSWD imap\t{JOE}\tsecret\tn3w\n".encode()):
        assert mysql_daemon.courier(request) == b"", request
    # A list that isn't whole lacks its end.
    assert mysql_daemon.courier(b"ENUMERATE\n") == b"# authmysql\n\n"
    # SCRAM says so at once, not after the password.
    with mysql_daemon.sasl() as c:
        c.handshake()
        c.send("AUTH", 1, "SCRAM-SHA-256", "service=imap",
               "resp=" + b64(Scram("SCRAM-SHA-256", JOE, "secret").first()))
        assert c.line() == f"FAIL\t1\tuser={JOE}\ttemp\tcode=temp_fail"
    assert "failed to connect to mysql server (server=localhost" in \
        mysql_daemon.log()
    mariadb.start()
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")


def test_restarted(mysql_daemon, mariadb):
    """A connection lost in between is made anew without a failure."""
    assert support.in_threads(6, lambda _: mysql_daemon.login()) == \
        [record()] * 6
    mariadb.kill()
    mariadb.start()
    for _ in range(6):
        assert mysql_daemon.login() == record()


def test_hung(mysql_daemon, mariadb):
    assert support.in_threads(6, lambda _: mysql_daemon.login()) == \
        [record()] * 6
    mariadb.signal(signal.SIGSTOP)
    assert_temporary(mysql_daemon)
    assert_temporary(mysql_daemon)
    mariadb.signal(signal.SIGCONT)
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")


def test_many_while_hung(mysql_daemon, mariadb):
    """More waiting users than helpers: each has its answer in time."""
    mariadb.signal(signal.SIGSTOP)
    results = support.in_threads(
        40, lambda _: mysql_daemon.timed(mysql_daemon.login))
    assert [r for r, _ in results] == [b""] * 40
    assert max(seconds for _, seconds in results) < 5


def test_hung_for_a_moment(mysql_daemon, mariadb):
    """A short pause is a wait, not a failure."""
    assert mysql_daemon.login() == record()
    mariadb.signal(signal.SIGSTOP)
    timer = threading.Timer(0.7, lambda: mariadb.signal(signal.SIGCONT))
    timer.start()
    assert mysql_daemon.login() == record()
    timer.join()


def test_out_of_connections(mysql_daemon, mariadb):
    limit = "ALTER USER 'postfix'@'localhost' WITH MAX_USER_CONNECTIONS %d;"
    mariadb.sql(limit % 1)
    try:
        # New helpers with new connections, of which all but one fail.
        mysql_daemon.reload()
        results = support.in_threads(9, lambda _: mysql_daemon.login())
        assert set(results) <= {record(), b""} and b"" in results
        assert "max_user_connections" in mysql_daemon.log()
    finally:
        mariadb.sql(limit % 0)


def test_out_of_all_connections(mysql_daemon, mariadb):
    """max_connections of the server, used up by others."""
    was = mariadb.sql("SELECT @@GLOBAL.max_connections").strip()
    mariadb.sql("CREATE USER IF NOT EXISTS 'other'@'localhost';")
    mysql_daemon.reload()
    mariadb.sql("SET GLOBAL max_connections = 10;")
    others = []

    def is_full():
        """One more, unless the last to ask was turned away."""
        if mariadb_lets_in(mariadb):
            others.append(subprocess.Popen(
                ["mariadb", "--no-defaults", "-u", "other",
                 f"--socket={mariadb.socket}", "-e", "SELECT SLEEP(600)"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            return False
        return True

    def is_turned_away():
        """Those that are the pool's already go on working: it looks for new
        ones, when others have what it gave up."""
        mysql_daemon.reload()
        support.wait_for(is_full, "a full house", 2 * support.PATIENCE)
        return mysql_daemon.login() == b""

    try:
        support.wait_for(is_turned_away, "no connection")
        assert "Too many connections" in mysql_daemon.log()
    finally:
        for other in others:
            other.kill()
            other.wait(support.PATIENCE)
        support.wait_for(lambda: mariadb_lets_in(mariadb), "room")
        mariadb.sql(f"SET GLOBAL max_connections = {was};")
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")


def mariadb_lets_in(mariadb):
    return subprocess.run(
        ["mariadb", "--no-defaults", "-u", "other",
         f"--socket={mariadb.socket}", "-e", "SELECT 1"],
        capture_output=True).returncode == 0


@pytest.mark.parametrize("away, back, log", [
    ("RENAME TABLE postfix_users TO elsewhere",
     "RENAME TABLE elsewhere TO postfix_users",
     "Table 'postfix.postfix_users' doesn't exist"),
    ("ALTER TABLE postfix_users CHANGE homedir elsewhere VARCHAR(255)",
     "ALTER TABLE postfix_users CHANGE elsewhere homedir VARCHAR(255)",
     "Unknown column 'homedir'"),
    ("REVOKE SELECT ON postfix.* FROM 'postfix'@'localhost'",
     "GRANT SELECT ON postfix.* TO 'postfix'@'localhost'", "denied"),
])
def test_lost_meanwhile(mysql_daemon, mariadb, away, back, log):
    """A table, a column, a right that were there: temporary, and said."""
    assert mysql_daemon.login() == record()
    mariadb.sql(away + "; FLUSH PRIVILEGES;")
    try:
        if "REVOKE" in away:
            # Of a connection the server looks at rights when it begins.
            mysql_daemon.reload()
            support.wait_for(lambda: mysql_daemon.login() == b"", "refusal")
        assert_temporary(mysql_daemon)
        assert log in mysql_daemon.log()
    finally:
        mariadb.sql(back + "; FLUSH PRIVILEGES;")
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")


def test_table_locked(mysql_daemon, mariadb):
    """A query that doesn't end counts as a database that is away."""
    # Not one of those that another test left, whose end the server hasn't seen.
    sleep = "SELECT SLEEP(600) AS locked"
    find = ("SELECT id FROM information_schema.processlist"
            f" WHERE info = '{sleep}';")
    locker = threading.Thread(target=lambda: mariadb.try_sql(
        f"USE postfix; LOCK TABLES postfix_users WRITE; {sleep};"))
    locker.start()
    support.wait_for(lambda: mariadb.sql(find), "the lock")
    try:
        answer, seconds = mysql_daemon.timed(mysql_daemon.login)
        assert answer == b"" and seconds < 5
    finally:
        mariadb.sql(f"KILL {mariadb.sql(find).strip()};")
        locker.join()
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")
