"""Limits and time-outs of docs/limits.md, each set by its key and reached over
the network; how each is judged in detail is in the unit tests and transcripts.
"""
import contextlib
import os
import pathlib
import select
import signal
import time

import pytest
from postern import (ANN, JOE, Lines, PASSWORD, PATIENCE, Server, imap, pop3,
                     wait_for)

LIMITS = {
    "IMAP_LINE_MAX_PREAUTH": 512,
    "IMAP_LITERAL_MAX_PREAUTH": 64,
    "IMAP_COMMANDS_PREAUTH": 5,
    "POP3_LINE_MAX_PREAUTH": 255,
    "POP3_COMMANDS_PREAUTH": 5,
    "IMAP_LINE_MAX": 8192,
    "IMAP_NESTING_MAX": 10,
    "IMAP_SET_MAX": 100,
    "POP3_LINE_MAX": 255,
    "BAD_COMMANDS_MAX": 3,
    "MESSAGE_SIZE_MAX": 1 << 20,
    "MIME_DEPTH_MAX": 10,
    "MIME_PARTS_MAX": 100,
}
TIMES = {
    "LOGIN_TIMEOUT": 3,  # in which others log in here
    "TLS_HANDSHAKE_TIMEOUT": 1,
    "PROXY_TIMEOUT": 1,
    "IMAP_AUTOLOGOUT": 1,
    "POP3_AUTOLOGOUT": 1,
}


@pytest.fixture(scope="module")
def server(directory):
    with Server(directory / "s", **LIMITS) as s:
        s.add_user(JOE)
        s.add_user(ANN)
        yield s


@pytest.fixture(scope="module")
def hasty(directory):
    """A server that waits for nobody."""
    s = Server(directory / "t", PROXY_TRUSTED="127.0.0.1", **TIMES)
    s.set("pop3d", TCPDOPTS=f"-haproxy=port={s.port['pop3d']}")
    s.add_user(JOE)
    s.patience = 25  # the shortest default is 30, PROXY_TIMEOUT's 5
    s.greets = lambda: s.listens("imapd")  # pop3d wants a header first
    with s:
        yield s


def fresh(server, service):
    c = Lines(server.connect(service))
    assert c.line().startswith(("* OK", "+OK"))
    return c


def rest(c):
    """All lines up to the end of the connection."""
    return list(iter(c.line, None))


BEFORE = ["line", "literal", "commands", "pop3 line", "pop3 commands"]
AFTER = ["line", "nesting", "set", "message"]


# --- before login -------------------------------------------------------------

@pytest.mark.parametrize("service, sent, answer", [
    ("imapd", "a NOOP" + " x" * 300 + "\r\n", "BAD Command line too long"),
    ("imapd", "a LOGIN {65}\r\n", "BAD [TOOBIG]"),
    ("imapd", "a NOOP\r\n" * 6, "* BYE"),
    ("pop3d", "USER " + "x" * 300 + "\r\n", "-ERR Line too long"),
    ("pop3d", "NOOP\r\n" * 6, "-ERR Too many commands"),
], ids=BEFORE)
def test_before_login(server, service, sent, answer):
    with fresh(server, service) as c:
        c.send(sent)
        if "TOOBIG" in answer:
            assert answer in c.line()  # it may go on
        else:
            assert any(answer in line for line in rest(c))


@pytest.mark.parametrize("service, sent", [
    ("imapd", "a NOOP" + " x" * 200 + "\r\n"), ("imapd", "a LOGIN {64}\r\n"),
    ("imapd", "a NOOP\r\n" * 4), ("pop3d", "USER " + "x" * 200 + "\r\n"),
    ("pop3d", "NOOP\r\n" * 4)], ids=BEFORE)
def test_just_below(server, service, sent):
    """The same, as long as is allowed: the connection goes on."""
    with fresh(server, service) as c:
        c.send(sent)
        for _ in range(sent.count("\n")):
            line = c.line()
            assert "too long" not in line and "TOOBIG" not in line
            assert "oo many" not in line and not line.startswith("* BYE")


# --- after login --------------------------------------------------------------

@pytest.mark.parametrize("command, answer", [
    ("NOOP" + " x" * 4200, "BAD"),
    ("SEARCH " + "(" * 11 + "ALL" + ")" * 11, "BAD [LIMIT]"),
    ("FETCH " + ",".join("1" * 101) + " FLAGS", "BAD [LIMIT]"),
    (f"APPEND INBOX {{{(1 << 20) + 1}}}", "NO [TOOBIG]"),
], ids=AFTER)
def test_imap_commands(server, command, answer):
    server.deliver()
    with imap(server) as c:
        c.ok("SELECT INBOX")
        assert c.imap(command)[-1].split(" ", 1)[1].startswith(answer)
        c.ok("NOOP")


@pytest.mark.parametrize("command", [
    "SEARCH " + "(" * 9 + "ALL" + ")" * 9,
    "FETCH " + ",".join("1" * 100) + " FLAGS"], ids=AFTER[1:3])
def test_imap_commands_just_below(server, command):
    server.deliver()
    with imap(server) as c:
        c.ok("SELECT INBOX")
        c.ok(command)


def test_few_descriptors(directory):
    """A worker gets no more sessions than it has descriptors for, and those
    that it has go on."""
    s = Server(directory / "few", WORKERS=1)
    s.before["posternd"] = ["prlimit", "--nofile=256:256"]
    s.set("imapd", MAXPERIP=1000)
    s.add_user(JOE)
    with s, contextlib.ExitStack() as stack:
        first = stack.enter_context(imap(s))
        for n in range(1, 257):
            c = stack.enter_context(fresh(s, "imapd"))
            answer = c.imap(f'LOGIN {JOE} "{PASSWORD}"')[-1]
            if " OK " not in answer:
                break
        assert n == 128 - 32 and " NO [UNAVAILABLE] " in answer
        first.ok("SELECT INBOX")


def test_bad_commands(server):
    with imap(server) as c:
        c.send("a X\r\n" * 2 + "b NOOP\r\n" + "c X\r\n" * 3)
        lines = rest(c)
    assert [x[:5] for x in lines[:3]] == ["a BAD", "a BAD", "b OK "]
    assert any(x.startswith("* BYE [CLIENTBUG]") for x in lines[3:])
    with pop3(server) as c:
        c.send("X\r\n" * 3)
        assert len(rest(c)) >= 3


def test_pop3_line(server):
    with pop3(server) as c:
        assert c.pop("NOOP " + "x" * 300)[0].startswith("-ERR Line too long")
        assert c.pop("NOOP")[0].startswith("+OK")


def nested(depth):
    """multipart in multipart; the innermost is text."""
    head, tail = "", ""
    for n in range(depth):
        head += f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n'
        tail = f"--b{n}--\n" + tail
    return head + "\nx\n" + tail


def test_mime(server):
    """A message beyond them is served, its rest as one part."""
    server.deliver("Subject: deep\n" + nested(20), ANN)
    server.deliver("Subject: wide\nContent-Type: multipart/mixed; "
                   "boundary=b\n\n" + "--b\n\nx\n" * 200 + "--b--\n", ANN)
    with imap(server, ANN) as c:
        c.ok("SELECT INBOX")
        by_subject = {}
        for n in "12":
            text = "".join(c.ok(f"FETCH {n} (BODYSTRUCTURE)")[:-1])
            by_subject["wide" if text.count('"text"') +
                       text.count('"TEXT"') > 1 else "deep"] = text.lower()
    assert by_subject["deep"].count('"mixed"') <= 10
    assert 50 < by_subject["wide"].count('"plain"') <= 100


def test_connections_of_a_login_process(directory):
    """Those that it has no room for wait in the listen queue."""
    with Server(directory / "q", LOGIN_PROCESSES=1,
                LOGIN_MAX_CONNECTIONS=1) as s:
        s.add_user(JOE)
        with Lines(s.connect()) as first, Lines(s.connect()) as second:
            assert first.line().startswith("* OK")
            first.ok("NOOP")
            assert not select.select([second.sock], [], [], 0)[0]
            first.ok("LOGOUT")
            assert second.line().startswith("* OK")
            second.ok(f'LOGIN "{JOE}" "{PASSWORD}"')
            # What is logged in is a worker's.
            with imap(s) as third:
                third.ok("NOOP")
                second.ok("NOOP")


def test_sessions_of_a_worker(directory):
    with Server(directory / "w", SESSIONS_PER_WORKER=1, WORKERS=1) as s:
        s.add_user(JOE)
        with imap(s) as c, fresh(s, "imapd") as other, \
                fresh(s, "pop3d") as third:
            refused = other.imap(f"LOGIN {JOE} \"{PASSWORD}\"")[-1]
            assert refused.split(" ", 1)[1].startswith("NO [UNAVAILABLE]")
            third.pop(f"USER {JOE}")
            assert third.pop(f"PASS {PASSWORD}")[0].startswith("-ERR [SYS/TEMP]")
            c.ok("NOOP")


def test_workers_of_all(directory):
    """Accounts that would have a worker of their own are refused, until the
    one worker there may be has no session."""
    with Server(directory / "x", WORKERS=16, WORKERS_TOTAL=1) as s:
        users = [s.add_user(f"user{n}@example.com") for n in range(6)]
        with imap(s, users[0]) as c:
            said = []
            for user in users[1:]:
                with fresh(s, "imapd") as other:
                    said.append(other.imap(f"LOGIN {user} \"{PASSWORD}\"")[-1])
            assert any("NO [UNAVAILABLE]" in line for line in said), said
            c.ok("NOOP")
            assert len(s.workers()) == 1

        def all_can():
            with contextlib.suppress(AssertionError):
                for user in users:
                    imap(s, user).close()
                return True
        wait_for(all_can, "one after the other, they can all log in")
        wait_for(lambda: len(s.workers()) == 1, "one worker is left")


def open_indexes(server):
    """How many databases the server's one worker has open."""
    worker, = server.workers()
    links = []
    for fd in pathlib.Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(fd))
    return sum(link.endswith("/postern.db") for link in links)


@pytest.mark.skipif(os.geteuid() != 0, reason="looks into a sandboxed worker")
@pytest.mark.parametrize("most", [1, 2])
def test_accounts_that_are_open(directory, most):
    with Server(directory / f"y{most}", ACCOUNTS_OPEN_MAX=most,
                WORKERS=1) as s:
        users = [s.add_user(f"user{n}@example.com") for n in range(3)]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(imap(s, user)) for user in users]
            for c in clients:
                c.ok("SELECT INBOX")
                c.ok("STATUS INBOX (MESSAGES)")
            assert open_indexes(s) == most
            for c, user in zip(clients, users):
                s.deliver(email=user)
                wait_for(lambda: any("1 EXISTS" in line
                                     for line in c.ok("NOOP")), "the mail")
            assert open_indexes(s) == most


# --- time ---------------------------------------------------------------------

def test_time_to_log_in(hasty):
    with fresh(hasty, "imapd") as c:
        assert any(line.startswith("* BYE") for line in rest(c))


def test_time_of_a_handshake(hasty):
    with fresh(hasty, "imapd") as c:
        c.send("a STARTTLS\r\n")
        assert c.line().startswith("a OK")
        assert rest(c) == []


def test_time_of_a_proxy_header(hasty):
    with Lines(hasty.connect("pop3d")) as c:
        c.send("PROXY TCP4")
        assert rest(c) == []


def test_time_without_a_command(hasty):
    with imap(hasty) as c:
        assert any(line.startswith("* BYE") for line in rest(c))
    with Lines(hasty.connect("pop3d")) as c:
        c.send("PROXY TCP4 127.0.0.1 127.0.0.1 1 110\r\n")
        c.line()
        c.pop(f"USER {JOE}")
        assert c.pop(f"PASS {PASSWORD}")[0].startswith("+OK")
        hasty.deliver()
        rest(c)
    wait_for(lambda: "TIMEOUT" in hasty.log(), "the end in the log")


def test_time_to_end(directory):
    """A worker that doesn't end when it is told to is ended."""
    with Server(directory / "z", SHUTDOWN_TIMEOUT=1) as s:
        s.add_user(JOE)
        with imap(s) as c:
            worker, = s.workers()
            os.kill(worker, signal.SIGSTOP)
            begun = time.monotonic()
            s.signal(signal.SIGTERM)
            assert s.processes["posternd"].wait(PATIENCE) == 0
            assert time.monotonic() - begun < 8  # 10 is the default
            assert not pathlib.Path(f"/proc/{worker}").exists()
            rest(c)
