"""authmysql against a real MariaDB: the howto's table, and the server's
deaths.  A database that is away is a temporary failure, never a refusal."""

import pathlib
import signal
import threading
import time

import pytest

import support
from support import JOE, record


@pytest.fixture(autouse=True)
def as_it_was(mariadb, mysql_daemon):
    """Whatever a test did to the server or to authmysqlrc is undone."""
    yield
    mysql_daemon.write("authmysqlrc", mariadb.rc())
    if mariadb.process is None:
        mariadb.start()
    mariadb.signal(signal.SIGCONT)
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery")


def timed(work):
    begun = time.monotonic()
    result = work()
    return result, time.monotonic() - begun


def test_login(mysql_daemon):
    assert mysql_daemon.login() == record()
    assert mysql_daemon.login(password="wrong") == b"FAIL\n"
    assert mysql_daemon.login("nobody@example.com") == b"FAIL\n"
    assert mysql_daemon.courier(b"PRE authmysql smtp " + JOE.encode() +
                                b"\n") == record()


@pytest.mark.parametrize("user", [
    "x' OR '1'='1", "x\\' OR 1=1 -- ", '"', "joe@example.com'#", "\\", "%",
    "joe@example.com\\", "é'", "\xbf' OR 1=1 -- ",
])
def test_injection(mysql_daemon, user):
    assert mysql_daemon.login(user) == b"FAIL\n"


def test_name_with_a_quote(mysql_daemon, mariadb):
    mariadb.add("o'brien\\@example.com", clear="it's \\ me")
    assert mysql_daemon.login("o'brien\\@example.com", "it's \\ me") == \
        record(ADDRESS="o'brien\\@example.com", PASSWD2="it's \\ me")


def test_utf8(mysql_daemon, mariadb):
    mariadb.add("utf8", clear="pässwörd→")
    assert mysql_daemon.login("utf8", "pässwörd→").startswith(b"UID=")


def test_collation(mysql_daemon):
    assert mysql_daemon.login("JOE@Example.COM") == record()


def test_crypted(mysql_daemon, mariadb):
    mariadb.add("crypted", crypt="{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
                clear="ignored")
    assert mysql_daemon.login("crypted").startswith(b"UID=")
    assert mysql_daemon.login("crypted", "ignored") == b"FAIL\n"


def test_passwd(mysql_daemon, mariadb):
    mariadb.add("changer", clear="old")
    assert mysql_daemon.courier(
        b"PASSWD imap\tchanger\told\tn'w\n") == b"OK\n"
    assert mysql_daemon.login("changer", "n'w").startswith(b"UID=")
    # Nobody else's changed.
    assert mysql_daemon.login() == record()


def test_enumerate(mysql_daemon):
    out = mysql_daemon.courier(b"ENUMERATE\n").decode()
    assert out.startswith("# authmysql\n\n")
    assert f"{JOE}\t5000\t5000\t/home/vmail\texample.com/joe/\t\n" in out
    assert out.endswith("\n.\n")


@pytest.mark.parametrize("fields, log", [
    ({"uid": 0}, "uid is 0"), ({"uid": 99}, "below UID_MIN"),
    ({"gid": 0}, "gid is 0"), ({"homedir": ""}, "no home directory"),
    ({"homedir": "vmail"}, "isn't an absolute path"),
    ({"homedir": "/home/../etc"}, ".. in the home directory"),
    ({"maildir": "../../etc/"}, ".. in the maildir"),
    ({"maildir": "/home/vmail/../joe/"}, ".. in the maildir"),
])
def test_unusable_row(mysql_daemon, mariadb, fields, log):
    mariadb.add("unusable", clear="secret", **fields)
    assert mysql_daemon.login("unusable") == b""
    assert log in mysql_daemon.log()


# --- authmysqlrc ---------------------------------------------------------

def test_howto_with_trailing_blanks_and_crlf(mysql_daemon, mariadb):
    """The howto's trap: what the old parser kept is not part of a value."""
    for end in (" \n", "\t \n", "\r\n", " \r\n"):
        text = "".join(line.strip() + end
                       for line in mariadb.rc().splitlines())
        mysql_daemon.write("authmysqlrc", text)
        assert mysql_daemon.login() == record(), repr(end)


def test_expressions_as_fields(mysql_daemon, mariadb):
    rc = (mariadb.rc()
          .replace("MYSQL_HOME_FIELD homedir", "MYSQL_HOME_FIELD '/srv/mail'")
          .replace("MYSQL_UID_FIELD uid", "MYSQL_UID_FIELD 1000+1")
          .replace("MYSQL_GID_FIELD gid", "MYSQL_GID_FIELD '1002'")
          .replace("MYSQL_MAILDIR_FIELD maildir",
                   "MYSQL_MAILDIR_FIELD CONCAT(email, '/')"))
    mysql_daemon.write("authmysqlrc", rc)
    assert mysql_daemon.login() == record(
        UID=1001, GID=1002, HOME="/srv/mail", MAILDIR=JOE + "/")


def test_without_the_optional_fields(mysql_daemon, mariadb):
    keep = ("MYSQL_SERVER", "MYSQL_SOCKET", "MYSQL_USERNAME",
            "MYSQL_PASSWORD", "MYSQL_DATABASE", "MYSQL_USER_TABLE",
            "MYSQL_LOGIN_FIELD", "MYSQL_CLEAR_PWFIELD", "MYSQL_HOME_FIELD")
    rc = "".join(line.strip() + "\n" for line in mariadb.rc().splitlines()
                 if line.split()[:1] and line.split()[0] in keep)
    mysql_daemon.write("authmysqlrc", rc)
    assert mysql_daemon.login() == record(MAILDIR=None, QUOTA=None)


def test_default_domain(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "DEFAULT_DOMAIN example.com\n")
    assert mysql_daemon.login("joe") == record()
    assert mysql_daemon.login("joe@example.org") == b"FAIL\n"


def test_select_clause(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() + (
        "MYSQL_SELECT_CLAUSE SELECT email, crypt, clear, uid, gid, homedir, "
        "\\\n CONCAT('$(service)/', maildir), NULL, '', 'a=1' \\\n"
        " FROM postfix_users WHERE email = '$(local_part)@$(domain)'\n"))
    assert mysql_daemon.login() == record(
        MAILDIR="imap/example.com/joe/", QUOTA=None, OPTIONS="a=1")
    assert mysql_daemon.login("x' OR '1'='1") == b"FAIL\n"
    assert mysql_daemon.login("joe' OR '1'='1@example.com") == b"FAIL\n"


def test_too_few_columns(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() +
                       "MYSQL_SELECT_CLAUSE SELECT 1, 2, 3\n")
    assert mysql_daemon.login() == b""
    assert "fewer than 6 columns" in mysql_daemon.log()


def test_edits_count_at_once(mysql_daemon, mariadb):
    for _ in range(3):
        mysql_daemon.write("authmysqlrc", mariadb.rc("wrong"))
        assert mysql_daemon.login() == b""
        mysql_daemon.write("authmysqlrc", mariadb.rc())
        assert mysql_daemon.login() == record()
    assert "Access denied" in mysql_daemon.log()


def test_a_broken_file_changes_nothing(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
        "MYSQL_PORT 0", "MYSQL_PORT many"))
    for _ in range(5):
        assert mysql_daemon.login() == record()
    assert "stays in force" in mysql_daemon.log()


@pytest.mark.parametrize("old, new, log", [
    ("MYSQL_USER_TABLE postfix_users", "MYSQL_USER_TABLE nowhere",
     "doesn't exist"),
    ("MYSQL_LOGIN_FIELD email", "MYSQL_LOGIN_FIELD nocolumn",
     "Unknown column"),
    ("MYSQL_DATABASE postfix", "MYSQL_DATABASE nodb", "nodb"),
    ("MYSQL_SOCKET ", "MYSQL_SOCKET /nowhere", "nowhere"),
    ("MYSQL_USERNAME postfix", "MYSQL_USERNAME nobody", "Access denied"),
    ("MYSQL_DATABASE postfix", "", "doesn't name MYSQL_DATABASE"),
    ("MYSQL_USER_TABLE postfix_users", "", "doesn't name a user table"),
])
def test_mistakes(mysql_daemon, mariadb, old, new, log):
    mysql_daemon.write("authmysqlrc", mariadb.rc().replace(old, new))
    assert mysql_daemon.login() == b""
    assert log in mysql_daemon.log()


@pytest.fixture
def over_tcp(mariadb):
    """authmysqlrc for a connection by TCP, which must use TLS."""
    mariadb.sql("ALTER USER 'postfix'@'localhost' REQUIRE SSL;")
    yield "".join(line for line in mariadb.rc().splitlines(True)
                  if "MYSQL_SOCKET" not in line).replace(
                      "MYSQL_PORT 0", f"MYSQL_PORT {mariadb.port}").replace(
                          "MYSQL_SERVER localhost", "MYSQL_SERVER 127.0.0.1")
    mariadb.sql("ALTER USER 'postfix'@'localhost' REQUIRE NONE;")


def test_tls(mysql_daemon, mariadb, over_tcp):
    mysql_daemon.write("authmysqlrc", over_tcp + (
        f"MYSQL_SSL_CACERT {mariadb.base}/cert.pem\n"))
    assert mysql_daemon.login() == record()
    # Without it the server says no.
    mysql_daemon.write("authmysqlrc", over_tcp)
    assert mysql_daemon.login() == b""


def test_tls_with_a_foreign_certificate(
        mysql_daemon, mariadb, over_tcp, directory):
    """Somebody else's server doesn't get the password."""
    other = support.MariaDB.__new__(support.MariaDB)
    other.base = pathlib.Path(directory) / "foreign"
    other.base.mkdir()
    other.make_certificate()
    mysql_daemon.write("authmysqlrc", over_tcp + (
        f"MYSQL_SSL_CACERT {other.base}/cert.pem\n"))
    before = mysql_daemon.log()
    assert mysql_daemon.login() == b""
    assert "certificate" in mysql_daemon.log()[len(before):].lower()


def test_character_set(mysql_daemon, mariadb):
    """A name is escaped for the connection's character set."""
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "MYSQL_CHARACTER_SET latin1\n")
    assert mysql_daemon.login() == record()
    assert mysql_daemon.login("x' OR '1'='1") == b"FAIL\n"
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "MYSQL_CHARACTER_SET nosuchset\n")
    assert mysql_daemon.login() == b""


def test_several_servers(mysql_daemon, mariadb):
    """Tried in turn: a name that doesn't exist costs nothing for long."""
    port = support.free_port()
    for servers in (f"127.0.0.1:{port} localhost",
                    f"127.0.0.1:{port},localhost",
                    f"localhost [::1]:{port}"):
        mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
            "MYSQL_SERVER localhost", f"MYSQL_SERVER {servers}"))
        for _ in range(4):
            answer, seconds = timed(mysql_daemon.login)
            assert answer == record() and seconds < 3


# --- the server's deaths ---------------------------------------------------

def assert_temporary(daemon):
    """End of the stream without a byte, FAIL with temp, within 5 s."""
    (answer, seconds), sasl = support.in_threads(2, lambda i: (
        timed(daemon.login) if i == 0 else timed(lambda: sasl_login(daemon))))
    assert answer == b"" and seconds < 5
    assert sasl[0] == f"FAIL\t1\tuser={JOE}\ttemp\tcode=temp_fail"
    assert sasl[1] < 5


def sasl_login(daemon):
    with daemon.sasl() as c:
        c.handshake()
        c.plain(1, JOE, "secret", "nologin")
        return c.line()


def test_killed(mysql_daemon, mariadb):
    assert mysql_daemon.login() == record()
    mariadb.kill()
    assert_temporary(mysql_daemon)
    assert_temporary(mysql_daemon)
    mariadb.start()
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery", 2)


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
    support.wait_for(lambda: mysql_daemon.login() == record(), "recovery", 5)


def test_many_while_hung(mysql_daemon, mariadb):
    """More waiting users than helpers: each has its answer in time."""
    mariadb.signal(signal.SIGSTOP)
    results = support.in_threads(
        40, lambda _: timed(mysql_daemon.login))
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


def test_table_locked(mysql_daemon, mariadb):
    """A query that doesn't end counts as a database that is away."""
    locker = threading.Thread(target=lambda: mariadb.sql(
        "LOCK TABLES postfix_users WRITE; SELECT SLEEP(6);"))
    locker.start()
    support.wait_for(
        lambda: "SLEEP" in mariadb.sql("SHOW PROCESSLIST;"), "the lock")
    answer, seconds = timed(mysql_daemon.login)
    assert answer == b"" and seconds < 5
    locker.join()


def test_no_password_in_the_log(mysql_daemon):
    log = mysql_daemon.log()
    assert "dbsecret" not in log and "secret" not in log
