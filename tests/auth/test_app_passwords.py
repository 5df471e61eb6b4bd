"""App passwords, in SQLite and in MariaDB."""

import hashlib

import pytest

import support
from support import JOE, record

TABLE = """CREATE TABLE postfix_app_passwords (
  id INTEGER PRIMARY KEY {auto}, email VARCHAR(255) NOT NULL,
  label VARCHAR(64) NOT NULL, hash VARCHAR(255) NOT NULL,
  scope VARCHAR(64) NOT NULL DEFAULT '',
  networks VARCHAR(255) NOT NULL DEFAULT '',
  expires {time} NULL, first_used {time} NULL, last_used {time} NULL);"""


class Sqlite:
    """The two backends by one face; this one has the shipped schema."""

    def __init__(self, table):
        self.table = table

    def sql(self, text):
        return "\n".join("\t".join("NULL" if c is None else str(c)
                                   for c in row)
                         for row in self.table.db.execute(text))


@pytest.fixture(scope="module")
def sqlite_backend(directory, table):
    d = support.Authdaemond(directory + "/as", "authsqlite")
    d.write("authsqliterc", table.rc() +
            "SQLITE_APP_PASSWORD_TABLE postfix_app_passwords\n")
    d.start()
    d.sql = Sqlite(table).sql
    d.past, d.future = "datetime('now', '-1 hour')", "datetime('now', '+1 hour')"
    yield d
    d.stop()


@pytest.fixture(scope="module")
def mysql_backend(directory, mariadb):
    mariadb.sql(TABLE.format(auto="AUTO_INCREMENT", time="DATETIME"))
    d = support.Authdaemond(directory + "/am", "authmysql")
    d.write("authmysqlrc", mariadb.rc() +
            "MYSQL_APP_PASSWORD_TABLE postfix_app_passwords\n")
    d.start()
    d.sql = lambda text: mariadb.sql(text + ";").strip()
    d.past, d.future = "NOW() - INTERVAL 1 HOUR", "NOW() + INTERVAL 1 HOUR"
    yield d
    d.stop()


@pytest.fixture(params=["sqlite", "mysql"])
def backend(request):
    d = request.getfixturevalue(request.param + "_backend")
    d.sql("DELETE FROM postfix_app_passwords")
    return d


def add(daemon, label, password, **columns):
    values = {"email": f"'{JOE}'", "label": f"'{label}'",
              "hash": "'{MD5RAW}%s'" % hashlib.md5(
                  password.encode()).hexdigest(), **columns}
    daemon.sql(f"INSERT INTO postfix_app_passwords ({','.join(values)}) "
               f"VALUES ({','.join(values.values())})")


def login(daemon, password, service="imap", rip="192.0.2.7"):
    return daemon.courier(f"TCPREMOTEIP={rip}\n".encode() +
                          support.auth_request(JOE, password, service))


def good(password, label):
    return record(PASSWD2=password, OPTIONS="apppassword=" + label)


def test_app_password(backend):
    add(backend, "phone", "one")
    add(backend, "laptop, old", "two")
    assert login(backend, "one") == good("one", "phone")
    assert login(backend, "two") == good("two", "laptop. old")
    assert login(backend, "secret") == record()
    assert login(backend, "three") == b"FAIL\n"
    assert ("auth: app-password user=joe@example.com, label=phone, "
            "service=imap, ip=[192.0.2.7]") in backend.log()


def test_scope(backend):
    add(backend, "reader", "one", scope="'imap,pop3'")
    assert login(backend, "one", "imap") == good("one", "reader")
    assert login(backend, "one", "pop3") == good("one", "reader")
    assert login(backend, "one", "smtp") == b"FAIL\n"


def test_networks(backend):
    add(backend, "office", "one", networks="'192.0.2.0/24, 2001:db8::/32'")
    for rip in ("192.0.2.7", "::ffff:192.0.2.255", "2001:db8:1::1"):
        assert login(backend, "one", rip=rip) == good("one", "office")
    for rip in ("192.0.3.7", "2001:db9::1", "", "x"):
        assert login(backend, "one", rip=rip) == b"FAIL\n"


def test_expiry(backend):
    add(backend, "old", "one", expires=backend.past)
    add(backend, "new", "two", expires=backend.future)
    assert login(backend, "one") == b"FAIL\n"
    assert login(backend, "two") == good("two", "new")


def test_uses_are_noted(backend):
    query = "SELECT first_used, last_used FROM postfix_app_passwords"
    add(backend, "phone", "one")
    assert backend.sql(query) == "NULL\tNULL"
    assert login(backend, "wrong") == b"FAIL\n"
    assert backend.sql(query) == "NULL\tNULL"
    assert login(backend, "one") == good("one", "phone")
    first, last = backend.sql(query).split("\t")
    assert first == last and first.startswith("2")
    # Once a minute is enough; the first one stays.
    backend.sql("UPDATE postfix_app_passwords SET "
                f"first_used = {backend.past}, last_used = {backend.past}")
    assert login(backend, "one") == good("one", "phone")
    first, last = backend.sql(query).split("\t")
    assert first < last


def test_slow_hash(backend):
    add(backend, "phone", "x",
        hash="'$2b$09$abcdefghijklmnopqrstuuHGaj8X0gyV0nNYEM.J5pTQDq3AfkM3W'",
        email="'nopassword'")
    backend.sql("DELETE FROM postfix_users WHERE email = 'nopassword'")
    backend.sql("INSERT INTO postfix_users (email, uid, gid) "
                "VALUES ('nopassword', 5000, 5000)")
    answer = backend.courier(support.auth_request("nopassword", "secret"))
    assert b"OPTIONS=apppassword=phone\n" in answer
    assert backend.courier(
        support.auth_request("nopassword", "wrong")) == b"FAIL\n"


def test_only_for_logins(backend):
    """An app password changes no password, and shows nothing to PRE."""
    add(backend, "phone", "one")
    assert backend.courier(
        f"PASSWD imap\t{JOE}\tone\tn3w\n".encode()) == b"FAIL\n"
    assert backend.courier(f"PRE . imap {JOE}\n".encode()) == record()


def test_table_that_lacks(backend):
    """What can't be known is no refusal."""
    backend.sql("ALTER TABLE postfix_app_passwords RENAME TO elsewhere")
    try:
        assert login(backend, "secret") == record()
        assert login(backend, "one") == b""
    finally:
        backend.sql("ALTER TABLE elsewhere RENAME TO postfix_app_passwords")


@pytest.fixture
def cached(directory, table, request):
    """authdaemond that remembers, on the SQLite table."""
    d = support.Authdaemond(f"{directory}/{request.node.name[:20]}",
                            "authsqlite",
                            AUTH_CACHE_TIME=60, AUTH_CACHE_FAILED_TIME=10,
                            AUTH_CACHE_OUTAGE_TIME=60)
    d.write("authsqliterc", table.rc() +
            "SQLITE_APP_PASSWORD_TABLE postfix_app_passwords\n")
    d.start()
    d.sql = Sqlite(table).sql
    d.sql("DELETE FROM postfix_app_passwords")
    yield d
    d.stop()


def test_the_cache_keeps_to_the_networks(cached):
    """What got in, or didn't, at one address says nothing about another."""
    add(cached, "office", "one", networks="'192.0.2.0/24'")
    inside, outside = "192.0.2.7", "198.51.100.1"
    for _ in range(2):
        assert login(cached, "one", rip=inside) == good("one", "office")
        assert login(cached, "one", rip=outside) == b"FAIL\n"
    # What has nothing to do with networks is known everywhere.
    asked = cached.log().count("trying this module")
    assert login(cached, "secret", rip=inside) == record()
    assert login(cached, "secret", rip=outside) == record()
    assert cached.log().count("trying this module") == asked + 1


def test_each_use_is_logged_and_a_deleted_one_is_gone(cached):
    add(cached, "phone", "one")
    for _ in range(3):
        assert login(cached, "one") == good("one", "phone")
    assert cached.log().count("auth: app-password") == 3
    cached.sql("DELETE FROM postfix_app_passwords")
    assert login(cached, "one") == b"FAIL\n"


def test_outage(cached):
    """Known by the own password and by an app password, side by side."""
    add(cached, "phone", "one", networks="'192.0.2.0/24'")
    assert login(cached, "one") == good("one", "phone")
    assert login(cached, "secret") == record()
    rc = (cached.conf / "authsqliterc").read_text()
    (cached.conf / "authsqliterc").write_text(
        rc.replace("users.sqlite", "away.sqlite"))
    assert login(cached, "one") == good("one", "phone")
    assert login(cached, "secret") == record()
    assert login(cached, "one", rip="198.51.100.1") == b""
    assert "joe@example.com, label=phone is judged by what was" in cached.log()


def test_unusable_account(backend):
    """Only who has one of its passwords is told."""
    add(backend, "phone", "one")
    backend.sql(f"UPDATE postfix_users SET uid = 0 WHERE email = '{JOE}'")
    try:
        assert login(backend, "one") == b""
        assert login(backend, "wrong") == b"FAIL\n"
    finally:
        backend.sql(
            f"UPDATE postfix_users SET uid = 5000 WHERE email = '{JOE}'")
