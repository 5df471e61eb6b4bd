"""An SQLite table that hasn't changed isn't asked for the same login again."""

import os
import resource
import shutil
import sqlite3
import subprocess

import pytest

import support
from support import JOE, record, wait_for

WATCHED = "the user table's file is watched"
LOST = "AUTHD_WATCH: no descriptor left"
FAIL = b"FAIL\n"


class Server:
    """A table and an authdaemond of its own."""

    def __init__(self, base, modules="authsqlite", path="users.sqlite"):
        os.makedirs(base)
        self.table = support.SqliteTable(f"{base}/users.sqlite")
        self.rc = self.table.rc().replace("users.sqlite", path)
        self.daemon = support.Authdaemond(base, modules,
                                          AUTH_FAILURE_DELAY=0)
        self.daemon.write("authsqliterc", self.rc)
        self.daemon.write("userdb", "")
        os.chmod(self.daemon.conf / "userdb", 0o600)
        self.daemon.start()

    def sql(self, text):
        self.table.db.execute(text)

    def login(self, *words):
        return self.daemon.login(*words)

    def asked(self):
        return self.daemon.log().count("trying this module")

    def is_known(self, password="secret", **fields):
        """This login is answered without a look at the table."""
        before = self.asked()
        good = record(PASSWD2=password, **fields)
        assert self.login(JOE, password) == good
        return self.asked() == before

    def wait_until_known(self, password="secret"):
        wait_for(lambda: self.is_known(password), "a login that is known")

    def wait_for_watch(self):
        """There is a watch, and a login since then."""
        watches = self.daemon.log().count(WATCHED)

        def again():
            self.login()
            return self.daemon.log().count(WATCHED) > watches
        wait_for(again, "a watch")
        assert self.login() == record()


@pytest.fixture
def serve(directory):
    servers = []

    def start(**how):
        servers.append(Server(f"{directory}/u{os.urandom(4).hex()}", **how))
        return servers[-1]
    yield start
    for server in servers:
        server.daemon.stop()
        server.table.db.close()


@pytest.fixture
def server(serve):
    s = serve()
    s.login()
    wait_for(lambda: s.login() and "watched" in s.daemon.log(), "a watch")
    if WATCHED not in s.daemon.log():
        pytest.skip("a file system on which changes aren't seen")
    return s


def test_known_logins_dont_need_the_table(server):
    server.wait_until_known()
    server.sql("BEGIN EXCLUSIVE")
    assert server.login() == record()
    server.sql("ROLLBACK")
    # what isn't known is asked
    assert server.login(JOE, "wrong") == FAIL
    before = server.asked()
    assert server.login(JOE, "secret", "pop3") == record()
    assert server.asked() == before + 1


def test_known_logins_cost_no_hashing(server):
    hashed = subprocess.run(["openssl", "passwd", "-6", "secret"], check=True,
                            capture_output=True, text=True).stdout.strip()
    server.sql(f"UPDATE postfix_users SET clear = '', crypt = '{hashed}'")
    wait_for(lambda: server.is_known(PASSWD=hashed),
             "a login that is known")
    assert server.login(JOE, "wrong") == FAIL


def update(server):
    server.sql("UPDATE postfix_users SET clear = 'other'")


def update_from_elsewhere(server):
    db = sqlite3.connect(server.table.path, isolation_level=None)
    db.execute("UPDATE postfix_users SET clear = 'other'")
    db.close()


def replace_file(server):
    path = server.table.path
    copy = path.with_suffix(".new")
    shutil.copyfile(path, copy)
    db = sqlite3.connect(copy, isolation_level=None)
    db.execute("UPDATE postfix_users SET clear = 'other'")
    db.close()
    copy.rename(path)


def name_another_file(server):
    path = server.table.path.with_suffix(".second")
    shutil.copyfile(server.table.path, path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE postfix_users SET clear = 'other'")
    db.close()
    server.daemon.write("authsqliterc", server.rc.replace(
        "users.sqlite", "users.second"))


@pytest.mark.parametrize("change", [update, update_from_elsewhere,
                                    replace_file, name_another_file])
def test_a_change_counts_at_once(server, change):
    server.wait_until_known()
    change(server)
    assert server.login() == FAIL
    assert server.login(JOE, "other") == record(PASSWD2="other")
    server.wait_until_known("other")


def test_changes_again_and_again(server):
    """Also while a watch is being made."""
    for n in range(200):
        server.sql(f"UPDATE postfix_users SET clear = 'n{n}'")
        assert server.login(JOE, f"n{n - 1}") == FAIL
        assert server.login(JOE, f"n{n}") == record(PASSWD2=f"n{n}")
        assert server.login(JOE, f"n{n}") == record(PASSWD2=f"n{n}")


def test_a_user_who_goes(server):
    server.wait_until_known()
    server.sql("DELETE FROM postfix_users")
    assert server.login() == FAIL


def test_a_table_that_goes(server):
    server.wait_until_known()
    server.table.path.rename(server.table.path.with_suffix(".away"))
    assert server.login() == b""  # nothing is known: no verdict
    server.table.path.with_suffix(".away").rename(server.table.path)
    assert server.login() == record()


def assert_always_asked(server, table="postfix_users"):
    for n in range(3):
        server.wait_for_watch()
        assert not server.is_known()
        # a change, so that there is another watch
        server.sql(f"UPDATE {table} SET name = '{n}'")
        server.sql(f"UPDATE {table} SET name = ''")
        server.sql("PRAGMA wal_checkpoint")


def test_a_write_ahead_log_is_always_asked(server):
    server.sql("PRAGMA journal_mode = wal")
    assert_always_asked(server)


def test_a_view_of_the_time_is_always_asked(server):
    server.sql("ALTER TABLE postfix_users RENAME TO everybody")
    server.sql("CREATE VIEW postfix_users AS SELECT * FROM everybody "
               "WHERE '9999-01-01' > date('now')")
    assert_always_asked(server, "everybody")


def test_a_clause_of_the_time_is_always_asked(server):
    server.daemon.write("authsqliterc", server.rc.replace(
        "access = 'Y'", "'9999-01-01' > CURRENT_TIMESTAMP"))
    assert_always_asked(server)


def test_a_name_for_the_file_is_always_asked(serve):
    s = serve(path="name.sqlite")
    (s.table.path.parent / "name.sqlite").symlink_to("users.sqlite")
    s.login()
    wait_for(lambda: s.login() and "can't be watched" in s.daemon.log(), "a look")
    assert not s.is_known()


def table_of(directory, password):
    """A table two levels below this directory."""
    (directory / "tables").mkdir(parents=True)
    table = support.SqliteTable(directory / "tables" / "users.sqlite")
    table.db.execute("UPDATE postfix_users SET clear = ?", (password,))
    table.db.close()


def served_below(serve, name):
    """A server, and the directory that its table is two levels below."""
    s = serve(path=f"{name}/tables/users.sqlite")
    base = s.table.path.parent
    table_of(base / name, "secret")
    wait_for(lambda: s.login() == record() and WATCHED in s.daemon.log(),
             "a watch")
    s.wait_until_known()
    return s, base


def test_a_directory_on_the_way_that_is_another_one(serve):
    s, base = served_below(serve, "now")
    table_of(base / "next", "other")
    (base / "now").rename(base / "before")
    (base / "next").rename(base / "now")
    assert s.login() == FAIL
    assert s.login(JOE, "other") == record(PASSWD2="other")


def test_no_descriptor_left_for_a_watch(server):
    """The front does without one until there is."""
    front, = server.daemon.children_named("authd-front")
    with server.daemon.sasl() as c:
        c.handshake()
        soft, hard = resource.prlimit(front, resource.RLIMIT_NOFILE)
        resource.prlimit(front, resource.RLIMIT_NOFILE, (3, hard))
        for n in range(2):
            server.sql(f"UPDATE postfix_users SET name = '{n}'")
            lost = server.daemon.log().count(LOST)

            def is_lost():
                c.plain(1, JOE, "secret", "nologin")
                assert c.line() == f"OK\t1\tuser={JOE}"
                return server.daemon.log().count(LOST) > lost
            wait_for(is_lost, "a watch that is lost")
        resource.prlimit(front, resource.RLIMIT_NOFILE, (soft, hard))
    server.sql("UPDATE postfix_users SET name = ''")
    server.wait_until_known()
    assert server.daemon.children_named("authd-front") == [front]


def test_another_module_before_it_is_always_asked(serve):
    s = serve(modules="authuserdb authsqlite")
    assert s.login() == record()
    for _ in range(3):
        assert not s.is_known()
    assert "watched" not in s.daemon.log()
