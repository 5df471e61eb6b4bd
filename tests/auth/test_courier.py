"""Courier's authdaemon protocol, byte for byte, on an SQLite table."""

import contextlib
import os
import pathlib
import select
import socket
import subprocess
import time

import pytest

import support
from support import FAILURE_MS, JOE, auth_request, read_all, record


def test_login(daemon):
    assert daemon.login() == record()


def test_login_with_the_clients_address(daemon):
    request = b"TCPREMOTEIP=::ffff:192.0.2.7\n" + auth_request(JOE, "secret")
    assert daemon.courier(request) == record()


@pytest.mark.parametrize("user, password", [
    (JOE, "wrong"), (JOE, "secre"), (JOE, "secrets"), (JOE, "Secret"),
    ("nobody@example.com", "secret"), (JOE + "'", "secret"),
    ("x' OR '1'='1", "secret"), (JOE, ""), ("", "secret"), ("\t", "x"),
    ("a" * 600, "x"),
])
def test_refused(daemon, user, password):
    begun = time.monotonic()
    assert daemon.login(user, password) == b"FAIL\n"
    assert time.monotonic() - begun >= FAILURE_MS / 1000 * 0.9


def test_cyrus_extra_newline(daemon):
    """Cyrus SASL sends one newline more than it announces, reads to the end
    of the stream, and takes ECONNRESET for a failure."""
    for _ in range(50):
        assert daemon.courier(auth_request(JOE, "secret", "smtp") + b"\n") == \
            record()


def test_cyrus_newline_comes_late(daemon):
    with daemon.connect() as s:
        s.sendall(auth_request(JOE, "secret", "smtp"))
        got = s.recv(8192)
        s.sendall(b"\n")
        while True:
            piece = s.recv(8192)
            if not piece:
                break
            got += piece
        assert got == record()


def test_much_is_drained(daemon):
    request = auth_request(JOE, "secret") + b"x" * 20000
    assert daemon.courier(request) == record()


def test_half_close(daemon):
    with daemon.connect() as s:
        s.sendall(auth_request(JOE, "secret"))
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == record()
    with daemon.connect() as s:
        s.sendall(auth_request(JOE, "wrong"))
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"FAIL\n"


def test_half_close_before_the_end(daemon):
    with daemon.connect() as s:
        s.sendall(auth_request(JOE, "secret")[:-3])
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""


def test_byte_by_byte(daemon):
    with daemon.connect() as s:
        for byte in auth_request(JOE, "secret"):
            s.sendall(bytes([byte]))
        assert read_all(s) == record()


def test_closed_after_the_answer(daemon):
    with daemon.connect() as s:
        s.sendall(auth_request(JOE, "secret") * 2)
        assert read_all(s) == record()


@pytest.mark.parametrize("request_bytes", [
    b"x" * 8191, b"PRE . imap " + b"x" * 8180 + b"\n",
    b"AUTH 8192\n", b"AUTH -1\n", b"AUTH x\n", b"AUTH 99999999999\n",
    b"HELO\n", b"\n", b"AUTH 4\nimap", b"AUTH 10\nimap\nlogin",
    b"PRE . imap\n", b"PRE .\n", b"PASSWD imap\tjoe\told\n", b"\0\n",
    b"A=1\n" * 1000, b"\xff" * 100 + b"\n",
])
def test_closed_without_an_answer(daemon, request_bytes):
    assert daemon.courier(request_bytes) == b""
    assert daemon.login() == record()


def test_unknown_authtype(daemon):
    assert daemon.courier(
        auth_request(JOE, "secret", authtype="kerberos")) == b"FAIL\n"


def test_pre(daemon):
    assert daemon.courier(b"PRE . smtp joe@example.com\n") == record()
    assert daemon.courier(b"PRE authsqlite smtp joe@example.com\n") == record()
    assert daemon.courier(b"PRE   .   smtp   joe@example.com\n") == record()
    assert daemon.courier(b"PRE authmysql smtp joe@example.com\n") == \
        b"FAIL\n"


def test_pre_of_an_unknown_user_is_not_delayed(daemon):
    """It overtakes a refusal that is; on a busy machine not always."""
    for _ in range(200):
        with daemon.connect() as refused:
            refused.sendall(auth_request(JOE, "wrong"))
            assert daemon.courier(b"PRE . courier nobody\n") == b"FAIL\n"
            if not support.readable(refused):
                return
    raise AssertionError("never answered before a refusal")


def test_login_name_is_the_tables(daemon):
    """The column's spelling is what counts from here on."""
    assert daemon.login("JOE@Example.COM") == record()


def test_forms_of_passwords(daemon, table):
    hashed = subprocess.run(["openssl", "passwd", "-6", "-salt", "abcdefgh",
                             "pässword"], capture_output=True, text=True)
    forms = {
        "md5": "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
        "raw": "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
        "sha": "{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "crypt": "{CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
        "md5crypt": "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    }
    for name, form in forms.items():
        table.add(name, crypt=form, clear="other")
        assert daemon.login(name) == record(ADDRESS=name, PASSWD=form)
        assert daemon.login(name, "other") == b"FAIL\n"
    table.add("sha512crypt", crypt=hashed.stdout.strip())
    assert daemon.login("sha512crypt", "pässword").startswith(b"UID=")


def test_no_password_is_no_way_in(daemon, table):
    table.add("empty", clear="", crypt="")
    assert daemon.login("empty", "x") == b"FAIL\n"
    assert daemon.login("empty", "") == b"FAIL\n"


def test_where_clause(daemon, table):
    table.add("locked", clear="secret", access="N")
    assert daemon.login("locked") == b"FAIL\n"


@pytest.mark.parametrize("name, fields, log", [
    ("root", {"uid": 0}, "uid is 0"), ("wheel", {"gid": 0}, "gid is 0"),
    ("word", {"uid": "x"}, "uid is 0 or not a number"),
    ("low", {"uid": 99}, "uid is below UID_MIN"),
    ("lowg", {"gid": 99}, "gid is below GID_MIN"),
    ("homeless", {"homedir": ""}, "no home directory"),
    ("lines", {"maildir": "a\nUID=0"}, "control character in the maildir"),
])
def test_unusable_row(daemon, table, name, fields, log):
    """An error, not an unknown user: no answer, and a line in the log.  Who
    doesn't know the password isn't told."""
    table.add(name, clear="secret", **fields)
    assert daemon.login(name) == b""
    assert f"account {name} can't be used: {log}" in daemon.log()
    assert daemon.login(name, "wrong") == b"FAIL\n"
    assert daemon.courier(
        f"PASSWD imap\t{name}\twrong\tn3w\n".encode()) == b"FAIL\n"


def test_full_name(daemon, table):
    table.add("named", clear="secret", name="Joe, the plumber")
    assert daemon.login("named") == record(ADDRESS="named", NAME="Joe")


def test_passwd(daemon, table):
    table.add("changer", clear="old")
    change = b"PASSWD imap\tchanger\t%s\t%s\n"
    assert daemon.courier(change % (b"wrong", b"n3w")) == b"FAIL\n"
    assert daemon.courier(change % (b"old", b"it's")) == b"OK\n"
    assert daemon.login("changer", "old") == b"FAIL\n"
    assert daemon.login("changer", "it's").startswith(b"UID=")
    assert daemon.courier(change % (b"it's", b"a\x07b")) == b"FAIL\n"


def test_passwd_keeps_the_form_of_the_hash(daemon, table):
    table.add("hashed", crypt="{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")
    assert daemon.courier(b"PASSWD imap\thashed\tsecret\tn3w\n") == b"OK\n"
    got, = table.db.execute(
        "SELECT crypt FROM postfix_users WHERE email = 'hashed'").fetchone()
    assert got.startswith("{SHA}")
    assert daemon.login("hashed", "n3w").startswith(b"UID=")


def test_enumerate(daemon):
    out = daemon.courier(b"ENUMERATE\n").decode()
    assert out.startswith("# authsqlite\n\n")
    assert f"{JOE}\t5000\t5000\t/home/vmail\texample.com/joe/\t\n" in out
    assert out.endswith("\n.\n")


def test_enumerate_many(daemon, table):
    rows = [(f"u{i}", 5000, 5000, "/home/vmail", "m" * 50 + f"{i}/")
            for i in range(5000)]
    table.add_many(rows)
    lines = daemon.courier(b"ENUMERATE\n").decode().splitlines()
    table.db.execute("DELETE FROM postfix_users WHERE email GLOB 'u[0-9]*'")
    for row in (rows[0], rows[-1]):
        assert "\t".join(map(str, row)) + "\t" in lines
    assert lines[-1] == "."


def peak(pid):
    """The most memory that a process ever had, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f
                    if line.startswith("VmHWM:"))


def test_enumerate_is_sent_as_it_comes(daemon, clauses):
    """A list of 20 MB takes no memory; who doesn't read it is cut off, and the
    helper goes on."""
    clauses("SQLITE_ENUMERATE_CLAUSE WITH RECURSIVE n(i) AS (SELECT 1 UNION "
            "ALL SELECT i + 1 FROM n LIMIT 300000) SELECT 'user' || i || "
            "'@example.com', 5000, 5000, '/home/vmail', "
            "'example.com/user' || i || '/', '' FROM n\n")
    assert daemon.login() == record()
    front, = daemon.children_named("authd-front")
    before = peak(front)
    with daemon.connect() as s:
        s.sendall(b"ENUMERATE\n")
        assert s.recv(1) == b"#"
        out = read_all(s)
    assert out.count(b"\n") == 300000 + 3 and out.endswith(b"\n.\n")
    with daemon.connect() as deaf:
        deaf.sendall(b"ENUMERATE\n")
        assert deaf.recv(1) == b"#"
        poll = select.poll()
        poll.register(deaf, select.POLLHUP | select.POLLERR)
        assert poll.poll(support.PATIENCE * 1000)
        assert not read_all(deaf).endswith(b"\n.\n")
    assert daemon.login() == record()
    # with sanitizers freed memory is kept for a while
    sanitized = b"__asan_init" in pathlib.Path(support.program()).read_bytes()
    assert peak(front) - before < (16 if sanitized else 4) * 1024


def test_many_at_once(daemon):
    wants = [record() if i % 2 else b"FAIL\n" for i in range(60)]
    got = support.in_threads(
        60, lambda i: daemon.login(JOE, "secret" if i % 2 else "wrong"))
    assert got == wants


def test_idle_clients_harm_nobody(daemon):
    idle = [daemon.connect() for _ in range(300)]
    for s in idle[:100]:
        s.sendall(b"AUTH 100\nimap\n")
    assert daemon.login() == record()
    for s in idle:
        s.close()


def test_socket(daemon):
    mode = os.stat(daemon.var / "socket").st_mode & 0o777
    assert mode == 0o777
    assert not (daemon.var / "socket.tmp").exists()


# --- whole statements in authsqliterc -----------------------------------------

@pytest.fixture
def clauses(daemon, table):
    """Add lines to authsqliterc, and take them away again."""
    yield lambda text: daemon.write("authsqliterc", table.rc() + text)
    daemon.write("authsqliterc", table.rc())


def test_select_clause(daemon, clauses):
    clauses("SQLITE_SELECT_CLAUSE SELECT email, crypt, clear, uid, gid, "
            "homedir, \\\n '$(service)/' || maildir, NULL, '', 'a=1' \\\n"
            " FROM postfix_users WHERE email = '$(local_part)@$(domain)'\n")
    assert daemon.login() == record(MAILDIR="imap/example.com/joe/",
                                    QUOTA=None, OPTIONS="a=1")
    for user in ("x' OR '1'='1", "joe' OR '1'='1@example.com", "joe", "@",
                 "joe@example.com@", "$(domain)@x"):
        assert daemon.login(user) == b"FAIL\n", user


def test_enumerate_clause(daemon, clauses):
    clauses("SQLITE_ENUMERATE_CLAUSE SELECT email, uid, gid, homedir, maildir,"
            f" 'x=$(nothing)' FROM postfix_users WHERE email = '{JOE}'\n")
    assert daemon.courier(b"ENUMERATE\n").decode() == (
        f"# authsqlite\n\n{JOE}\t5000\t5000\t/home/vmail\t"
        "example.com/joe/\tx=\n.\n")


@pytest.mark.parametrize("clause", [
    "UPDATE postfix_users SET clear '$(newpass)'",
    "UPDATE postfix_users SET clear = $(newpass)",
])
def test_new_password_in_no_error(daemon, table, clauses, clause):
    """SQLite's words about a statement quote from it."""
    table.add("changer", clear="old")
    clauses(f"SQLITE_CHPASS_CLAUSE {clause}\n")
    before = len(daemon.log())
    assert daemon.courier(b"PASSWD imap\tchanger\told\tn3wpass\n") == b""
    log = daemon.log()[before:]
    assert "the password isn't changed" in log and "n3w" not in log


def test_chpass_clause(daemon, table, clauses):
    table.add("o'chpass@x", clear="old")
    clauses("SQLITE_CHPASS_CLAUSE UPDATE postfix_users SET clear = "
            "'$(newpass)', name = '$(newpass_crypt)' WHERE email = "
            "'$(local_part)@$(domain)'\n")
    assert daemon.courier(
        b"PASSWD imap\to'chpass@x\told\tn'w\" -- \n") == b"OK\n"
    clear, hashed = table.db.execute(
        "SELECT clear, name FROM postfix_users WHERE email = ?",
        ["o'chpass@x"]).fetchone()
    assert clear == "n'w\" -- " and hashed.startswith("{SSHA}")
    assert daemon.login() == record()


def test_default_domain_and_delivery(daemon, clauses):
    clauses("DEFAULT_DOMAIN example.com\n"
            "SQLITE_DEFAULTDELIVERY_FIELD '| maildrop'\n")
    assert daemon.login("joe") == record()
    assert daemon.login("joe@example.org") == b"FAIL\n"
    assert daemon.courier(b"PRE . courier joe\n") == \
        record(MAILDIR="| maildrop")


def test_options(daemon, table, clauses):
    """DEFAULTOPTIONS: each that the account lacks."""
    table.add("optional", clear="secret")
    rc = (daemon.conf / "authdaemonrc").read_text()
    clauses("SQLITE_AUXOPTIONS_FIELD CASE email WHEN 'optional' THEN "
            "'a=1,group=x' ELSE '' END\n")
    (daemon.conf / "authdaemonrc").write_text(
        rc + 'DEFAULTOPTIONS="a=2,disableshared,b=3"\n')
    daemon.reload()
    try:
        assert daemon.login() == record(OPTIONS="a=2,disableshared,b=3")
        assert daemon.login("optional") == record(
            ADDRESS="optional", OPTIONS="a=1,group=x,disableshared,b=3")
        assert daemon.courier(b"PRE . imap optional\n") == record(
            ADDRESS="optional", OPTIONS="a=1,group=x,disableshared,b=3")
    finally:
        (daemon.conf / "authdaemonrc").write_text(rc)
        daemon.reload()


# --- time -----------------------------------------------------------------------

@pytest.mark.skipif(not os.environ.get("POSTERN_LONG"), reason="takes 40 s")
def test_time_limits(daemon, table):
    """10 s for each piece of a request, 30 s for each of an answer."""
    rows = [(f"u{i}", 5000, 5000, "/home/vmail", "m" * 200) for i in
            range(20000)]
    table.add_many(rows)
    begun = time.monotonic()
    silent, slow, deaf = (daemon.connect() for _ in range(3))
    deaf.sendall(b"ENUMERATE\n")
    slow.sendall(b"AUTH 34\n")
    silent.settimeout(60)
    assert silent.recv(1) == b"" and 9 < time.monotonic() - begun < 13
    slow.settimeout(60)
    assert slow.recv(1) == b""
    # Half of the request in time, half of it late: each in its own 10 s.
    with daemon.connect() as patient:
        request = auth_request(JOE, "secret")
        patient.sendall(request[:8])
        time.sleep(6)
        patient.sendall(request[8:20])
        time.sleep(6)
        patient.sendall(request[20:])
        assert read_all(patient) == record()
    time.sleep(max(0, begun + 40 - time.monotonic()))
    with contextlib.suppress(ConnectionResetError):
        assert not read_all(deaf).endswith(b"\n.\n")
    table.db.execute("DELETE FROM postfix_users WHERE email GLOB 'u[0-9]*'")
