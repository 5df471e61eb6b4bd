"""Clients that send and never read: what all processes hold for one of them,
and that it is cut after WRITE_TIMEOUT."""
import contextlib
import random
import string
import zlib

import memory
import postern
import pytest
from postern import JOE, PASSWORD, Lines, wait_for

HELD_MAX = 256  # KiB of all processes for one client
EACH = 10       # clients of a kind
LARGE = 3 * 1024 * 1024


def settled(server):
    """Memory of all processes, KiB, once it grows no more."""
    if not memory.measurable():
        return 0
    seen = []

    def rests():
        seen.append(memory.tree(server))
        return len(seen) > 10 and max(seen[-10:]) - min(seen[-10:]) < 16
    wait_for(rests, "memory that rests")
    return seen[-1]


def connect(server, service):
    return Lines(server.connect(service))


def before_login(server, service):
    """More commands than one may give; the end is not waited for."""
    c = connect(server, service)
    word = b"a CAPABILITY\r\n" if service.startswith("imap") else b"CAPA\r\n"
    with contextlib.suppress(OSError):
        c.send(word * 50000)
    return c


def imap(server, service, compressed=False):
    c = connect(server, service)
    assert c.line().startswith("* OK")
    c.ok(f'LOGIN "{JOE}" "{PASSWORD}"')
    c.ok("SELECT INBOX")
    data = b"x FETCH 1 BODY.PEEK[]\r\n" * 100
    if compressed:
        c.ok("COMPRESS DEFLATE")
        z = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH)
    c.send(data)
    return c


def compressed(server, service):
    return imap(server, service, True)


def pop3(server, service):
    c = connect(server, service)
    assert c.line().startswith("+OK")
    c.pop(f"USER {JOE}")
    assert c.pop(f"PASS {PASSWORD}")[0].startswith("+OK")
    c.send(b"RETR 1\r\n" * 60)
    return c


def large_message():
    """What no compressor makes small."""
    rng = random.Random(1)
    letters = string.ascii_letters + string.digits + "+/"
    return postern.message(body="".join(
        "".join(rng.choices(letters, k=76)) + "\n"
        for _ in range(LARGE // 77)))


# Compressors are given back after a while: those that have some come last.
KINDS = [(imap, "imapd"), (imap, "imapd-ssl"), (pop3, "pop3d"),
         (pop3, "pop3d-ssl"), (compressed, "imapd"),
         (compressed, "imapd-ssl")]


def start(path, **keys):
    s = postern.Server(path, WORKERS=1, **keys)
    for service in postern.SERVICES:
        s.set(service, MAXPERIP=1000)
    s.add_user()
    s.deliver(large_message())
    return s


@pytest.fixture(scope="module")
def server(directory):
    with start(directory / "s") as s:
        yield s


def users(server):
    return server.ctl("who").stdout.count(JOE)


def test_before_login(server):
    settled(server)
    for service in postern.SERVICES:
        before = settled(server)
        held = [before_login(server, service) for _ in range(EACH)]
        if memory.measurable():
            assert (memory.tree(server) - before) / EACH <= HELD_MAX, service
        for c in held:
            c.close()


def test_after_login(server):
    """Each kind behind the others, whose clients are still there."""
    for begin, service in KINDS:  # what the first one costs
        begin(server, service).close()
    wait_for(lambda: users(server) == 0, "all have gone")
    with contextlib.ExitStack() as stack:
        before = settled(server)
        for begin, service in KINDS:
            for _ in range(EACH):
                stack.enter_context(begin(server, service))
            now = settled(server)
            print(begin.__name__, service, (now - before) / EACH)
            if memory.measurable():
                assert (now - before) / EACH <= HELD_MAX, (begin, service)
            before = now
        assert users(server) == EACH * len(KINDS)
    wait_for(lambda: users(server) == 0, "all have gone")


def test_cut(directory):
    with start(directory / "t", WRITE_TIMEOUT=1) as server, \
            contextlib.ExitStack() as stack:
        for begin, service in KINDS:
            stack.enter_context(begin(server, service))
        wait_for(lambda: users(server) == 0, "all are cut")
