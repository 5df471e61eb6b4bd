"""The SASL protocol of Postfix and of the login processes, and tickets."""

import os
import socket
import stat
import time

import pytest

import support
from support import FAILURE_MS, JOE, b64


@pytest.fixture
def postfix(daemon):
    with daemon.sasl("../postfix") as c:
        c.handshake()
        yield c


@pytest.fixture
def login(daemon):
    with daemon.sasl() as c:
        c.handshake()
        yield c


@pytest.fixture
def master(daemon):
    with daemon.tickets() as m:
        yield m


def test_handshake_comes_before_the_clients(daemon):
    """Exim reads to DONE, then sends its own with the request."""
    with daemon.sasl("../postfix") as c:
        lines = []
        while not lines or lines[-1] != "DONE":
            lines.append(c.line())
        c.s.sendall(("VERSION\t1\t0\nCPID\t7\nAUTH\t1\tPLAIN\tservice=smtp\t"
                     "rip=192.0.2.7\tlip=192.0.2.1\tnologin\tresp=\n").encode())
        assert c.line() == "CONT\t1\t"
        c.send("CONT", 1, b64(f"\0{JOE}\0secret"))
        assert c.line() == f"OK\t1\tuser={JOE}"
    assert lines[0] == "VERSION\t1\t2"
    names = [line.split("\t")[0] for line in lines]
    assert names.index("MECH") < names.index("SPID")
    assert "MECH\tPLAIN\tplaintext" in lines
    assert "MECH\tLOGIN\tplaintext" in lines
    assert lines[-1] == "DONE"
    cookie, = [line for line in lines if line.startswith("COOKIE\t")]
    assert len(cookie.split("\t")[1]) == 32


def test_connections_have_ids_of_their_own(daemon):
    seen = set()
    for _ in range(3):
        with daemon.sasl("../postfix") as c:
            seen.update(line for line in c.handshake()
                        if line.startswith(("CUID", "COOKIE")))
    assert len(seen) == 6


def test_plain(postfix):
    postfix.plain(1, JOE, "secret", "nologin", "lip=192.0.2.1",
                  "rip=192.0.2.7", "secured", service="smtp")
    assert postfix.line() == f"OK\t1\tuser={JOE}"


def test_user_is_the_tables(postfix):
    postfix.plain(1, JOE.upper(), "secret")
    assert postfix.line() == f"OK\t1\tuser={JOE}"


def test_login(postfix):
    postfix.send("AUTH", 2, "LOGIN", "service=smtp", "nologin")
    assert postfix.line() == "CONT\t2\tVXNlcm5hbWU6"
    postfix.send("CONT", 2, b64(JOE))
    assert postfix.line() == "CONT\t2\tUGFzc3dvcmQ6"
    postfix.send("CONT", 2, b64("wrong"))
    assert postfix.line() == f"FAIL\t2\tuser={JOE}"
    postfix.send("AUTH", 3, "LOGIN", "service=smtp", "resp=" + b64(JOE))
    assert postfix.line() == "CONT\t3\tUGFzc3dvcmQ6"
    postfix.send("CONT", 3, b64("secret"))
    assert postfix.line() == f"OK\t3\tuser={JOE}"


@pytest.mark.parametrize("user, password", [
    (JOE, "wrong"), ("nobody@example.com", "secret"), ("x'--", "secret"),
])
def test_refused_at_the_deadline(postfix, user, password):
    begun = time.monotonic()
    postfix.plain(1, user, password)
    assert postfix.line() == f"FAIL\t1\tuser={user}"
    assert FAILURE_MS * 0.9 < (time.monotonic() - begun) * 1000 < \
        FAILURE_MS + 500


@pytest.mark.parametrize("resp", [
    "!!!!", "AAA", b64("joe"), b64("\0joe"), b64("\0\0x"), b64("\0joe\0"),
    b64("\0j\noe\0x"), b64("\0joe\0a\0b"), "=",
])
def test_bad_responses(postfix, resp):
    postfix.send("AUTH", 1, "PLAIN", "service=smtp", "resp=" + resp)
    assert postfix.line().startswith("FAIL\t1")
    postfix.plain(2, JOE, "secret")
    assert postfix.line() == f"OK\t2\tuser={JOE}"


def test_authorization_identity(postfix):
    for authzid, want in ((JOE, "OK"), ("other", "FAIL")):
        postfix.send("AUTH", 1, "PLAIN", "service=smtp",
                     "resp=" + b64(f"{authzid}\0{JOE}\0secret"))
        assert postfix.line().split("\t")[0] == want


def test_side_by_side(postfix):
    for i in range(200):
        postfix.plain(i, JOE, "secret" if i % 2 else "wrong")
    answers = [postfix.line().split("\t") for _ in range(200)]
    assert {a[1]: a[0] for a in answers} == \
        {str(i): "OK" if i % 2 else "FAIL" for i in range(200)}


def test_byte_by_byte(daemon):
    with daemon.sasl("../postfix") as c:
        for byte in (f"VERSION\t1\t0\nCPID\t1\nAUTH\t1\tPLAIN\tservice=x\t"
                     f"resp={b64(chr(0) + JOE + chr(0) + 'secret')}\n"):
            c.s.sendall(byte.encode())
        while not (line := c.line()).startswith("OK"):
            assert line is not None
        assert line == f"OK\t1\tuser={JOE}"


@pytest.mark.parametrize("line", [
    "AUTH\t1\tPLAIN", "AUTH\tx\tPLAIN\tservice=x", "CONT\t1", "VERSION\t1\t1",
    "", "AUTH\t1\tPLAIN\tservice=\x01q", "x" * 20000,
])
def test_bad_lines_end_the_connection(daemon, postfix, line):
    postfix.send(line)
    assert postfix.line() is None
    with daemon.sasl("../postfix") as c:
        c.handshake()
        c.plain(1, JOE, "secret")
        assert c.line() == f"OK\t1\tuser={JOE}"


def test_unknown_mechanism(postfix):
    postfix.send("AUTH", 1, "GSSAPI", "service=smtp")
    assert postfix.line().startswith("FAIL\t1\t")


def test_user_with_odd_bytes_is_escaped(postfix):
    postfix.plain(1, "a\tb", "x")
    assert postfix.line() in ("FAIL\t1", "FAIL\t1\tuser=a\x01tb")


# --- tickets -------------------------------------------------------------

def test_ticket(login, master):
    login.plain(7, JOE, "secret", "rip=192.0.2.7", "secured")
    ok = login.line().split("\t")
    got = master.next()
    assert ok[:3] == ["OK", "7", f"user={JOE}"]
    assert ok[3] == "ticket=" + got["ticket"].hex() and len(ok) == 4
    assert len(got["ticket"]) == 16
    assert got == {
        "ticket": got["ticket"], "service": b"imap", "rip": b"192.0.2.7",
        "uid": 5000, "gid": 5000, "address": JOE.encode(),
        "home": b"/home/vmail", "maildir": b"example.com/joe/",
        "quota": b"10000000S", "options": b""}


def test_master_hears_first(login, master):
    """When login reads the OK the ticket is there already."""
    for i in range(50):
        login.plain(i, JOE, "secret")
        assert login.line().startswith("OK")
        master.s.setblocking(False)
        master.next()
        master.s.setblocking(True)


def test_tickets_differ(login, master):
    for i in range(20):
        login.plain(i, JOE, "secret")
    assert len({master.next()["ticket"] for _ in range(20)}) == 20


def test_every_master_gets_it(daemon, login, master):
    with daemon.tickets() as other:
        login.plain(1, JOE, "secret")
        login.line()
        assert master.next() == other.next()


def test_no_ticket_without_login(login, postfix, master):
    login.plain(1, JOE, "secret", "nologin")
    assert login.line() == f"OK\t1\tuser={JOE}"
    postfix.plain(1, JOE, "secret")
    assert postfix.line() == f"OK\t1\tuser={JOE}"
    login.plain(2, JOE, "wrong")
    assert login.line().startswith("FAIL")
    master.s.setblocking(False)
    with pytest.raises(BlockingIOError):
        master.next()


def test_no_master_is_a_temporary_failure(login):
    login.plain(1, JOE, "secret")
    assert login.line() == f"FAIL\t1\tuser={JOE}\ttemp\tcode=temp_fail"


def test_login_socket_says_temporary_failures(daemon, table, login, master):
    table.add("unusable", clear="secret", uid=0)
    login.plain(1, "unusable", "secret")
    assert login.line() == "FAIL\t1\tuser=unusable\ttemp\tcode=unusable"
    login.plain(2, JOE, "secret")
    assert login.line().startswith("OK\t2")
    login.plain(3, "unusable", "wrong")
    assert login.line() == "FAIL\t3\tuser=unusable"


def test_postfix_socket_closes_for_temporary_failures(table, postfix):
    """Postfix takes every FAIL for a wrong password: only a connection that
    ends makes it say 454."""
    table.add("unusable", clear="secret", uid=0)
    postfix.plain(1, "unusable", "secret")
    assert postfix.line() is None


@pytest.mark.skipif(os.getuid() == 0, reason="root needs no secret")
def test_wrong_secret(daemon, login):
    with support.Tickets(daemon, b"0" * 32) as m:
        assert m.s.recv(100) == b""
    login.plain(1, JOE, "secret")
    assert "temp" in login.line()


def test_a_master_that_says_nonsense(daemon, login):
    s = daemon.connect("tickets", socket.SOCK_SEQPACKET)
    s.send(b"nonsense")
    assert s.recv(100) == b""
    s.close()
    s = daemon.connect("tickets", socket.SOCK_SEQPACKET)
    s.send(support.pack_message("AUTHD_STOP", ""))
    assert s.recv(100) == b""
    s.close()
    login.plain(1, JOE, "secret")
    assert "temp" in login.line()


def test_files(daemon):
    def mode(name):
        return stat.S_IMODE(os.stat(daemon.var / name).st_mode)
    assert mode("secret") == 0o600 and mode("tickets") == 0o600
    assert mode("login") == 0o666 and mode(".") == 0o750
    assert mode("pid.lock") == 0o600 and mode("../postfix") == 0o660
    assert int((daemon.var / "pid").read_text()) == daemon.process.pid


def test_external(login, postfix, master):
    """A login process says whom a client's certificate names."""
    login.send("AUTH", 1, "EXTERNAL", "service=imap",
               f"cert_username={JOE}", "resp==")
    assert login.line().startswith(f"OK\t1\tuser={JOE}\tticket=")
    login.send("AUTH", 2, "EXTERNAL", "service=imap",
               f"cert_username={JOE}")
    assert login.line() == "CONT\t2\t"
    login.send("CONT", 2, b64(JOE))
    assert login.line().startswith("OK\t2\t")
    for n, fields in enumerate((
            [],  # no certificate
            ["cert_username="],
            ["cert_username=nobody@example.com"],
            [f"cert_username={JOE}", "resp="
             + b64("ann@example.com")]), 3):
        if not any(f.startswith("resp=") for f in fields):
            fields = [*fields, "resp=="]
        login.send("AUTH", n, "EXTERNAL", "service=imap", *fields)
        assert login.line().startswith(f"FAIL\t{n}")
    # Postfix can vouch for nobody.
    postfix.send("AUTH", 1, "EXTERNAL", "service=smtp",
                 f"cert_username={JOE}", "resp==")
    assert postfix.line().startswith("FAIL\t1\treason=Unsupported")
