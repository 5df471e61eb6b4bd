"""COMPRESS=DEFLATE (RFC 4978), against the installed server."""

import pathlib
import socket
import zlib

import pytest
from postern import imap, prefix, wait_for


class Deflated:
    """A socket below a Lines, compressed in both directions."""

    def __init__(self, sock):
        self.sock = sock
        self.out = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.into = zlib.decompressobj(-15)
        self.sent = self.received = 0

    def sendall(self, data):
        data = (self.out.compress(data) +
                self.out.flush(zlib.Z_SYNC_FLUSH))
        self.sent += len(data)
        self.sock.sendall(data)

    def recv(self, n):
        while True:
            data = self.sock.recv(n)
            self.received += len(data)
            if not data:
                return b""
            if text := self.into.decompress(data):
                return text

    def close(self):
        self.sock.close()


def compress(client):
    """RFC 4978 3: what follows the OK is compressed, both ways."""
    client.ok("COMPRESS DEFLATE")
    assert client.buffer == b""
    client.sock = Deflated(client.sock)
    return client.sock


@pytest.mark.parametrize("service", ("imapd", "imapd-ssl"))
def test_commands_and_mail_go_through(server, service):
    user = server.add_user(f"deflate-{service}@example.com")
    mail = b"Subject: long\r\n\r\n" + b"line after line\r\n" * 20000
    with imap(server, user, service=service) as c:
        assert any(" COMPRESS=DEFLATE" in line for line in
                   c.ok("CAPABILITY"))
        wire = compress(c)
        c.send(b"a APPEND INBOX {%d+}\r\n%s\r\n" % (len(mail), mail))
        while not (line := c.line()).startswith("a "):
            pass
        assert line.startswith("a OK")
        c.ok("SELECT INBOX")
        text = c.ok("FETCH 1 BODY.PEEK[]")
        assert sum(line == "line after line" for line in text) == 20000
        assert wire.sent < len(mail) / 20
        assert wire.received < len(mail) / 20
        # many small ones in one go, and one after the other
        c.send("".join(f"p{i} NOOP\r\n" for i in range(500)))
        for i in range(500):
            assert c.line().startswith(f"p{i} OK")
        for _ in range(20):
            c.ok("FETCH 1 FLAGS")
        # RFC 4978 3: once is enough
        assert c.imap("COMPRESS DEFLATE")[-1].split()[1] == "BAD"
        c.ok("LOGOUT")


def test_what_came_before_the_end_is_carried_out(server):
    """RFC 3501 5.5: many commands in few bytes, and no more to come."""
    user = server.add_user("deflate-half@example.com")
    n = 50000
    with imap(server, user) as c:
        wire = compress(c)
        c.send("".join(f"p{i} NOOP\r\n" for i in range(n)))
        wire.sock.shutdown(socket.SHUT_WR)
        for i in range(n):
            assert (c.line() or "end").startswith(f"p{i} OK")


def test_unknown_mechanisms_are_refused(server):
    user = server.add_user("deflate-bad@example.com")
    with imap(server, user) as c:
        for args in ("", " GZIP", " DEFLATE DEFLATE"):
            assert c.imap("COMPRESS" + args)[-1].split()[1] == "BAD"
        c.ok("NOOP")


@pytest.mark.parametrize("garbage", (b"x CREATE INBOX.Evil\r\n",
                                     b"\x03\x00", b"\xff" * 100))
def test_what_is_not_compressed_ends_the_session(server, garbage):
    """A command sent in the clear behind COMPRESS is not carried out."""
    user = server.add_user(f"deflate-early-{len(garbage)}@example.com")
    with imap(server, user) as c:
        c.send(b"a COMPRESS DEFLATE\r\n" + garbage)
        assert c.line().startswith("a OK")
        while c.line() is not None:
            pass
    with imap(server, user) as c:
        assert not any("Evil" in line for line in c.ok('LIST "" *'))


def test_a_bomb_is_input_like_any_other(server):
    """64 MiB of one line in some 64 KiB: refused, and held nowhere."""
    user = server.add_user("deflate-bomb@example.com")
    with imap(server, user) as c:
        wire = compress(c)
        pids = server.workers()
        for _ in range(64):
            wire.sendall(b"A" * 1024 * 1024)
        wire.sendall(b"\r\nlast NOOP\r\n")
        lines = []
        while (line := c.line()) is not None:
            lines.append(line)
            if line.startswith("last "):
                break
        assert lines, "a proper end or answer"
        peak = max(int(line.split()[1]) for pid in pids
                   for line in pathlib.Path(f"/proc/{pid}/status")
                   .read_text().splitlines() if "VmHWM" in line)
        assert peak < 64 * 1024, "KiB"


def test_an_idle_session_gives_its_windows_back(server):
    program = prefix() / "libexec/postern/worker"
    if b"__asan_init" in program.read_bytes():
        pytest.skip("built with sanitizers, which keep freed memory")
    user = server.add_user("deflate-idle@example.com")

    def resident():
        return sum(int(line.split()[1]) for pid in server.workers()
                   for line in pathlib.Path(f"/proc/{pid}/status")
                   .read_text().splitlines() if "VmRSS" in line)
    clients = [imap(server, user) for _ in range(30)]
    try:
        for c in clients:
            compress(c)
            c.ok("SELECT INBOX")
        most = resident()
        wait_for(lambda: resident() < most - 30 * 30,
                 "the windows have been given back")
        for c in clients:
            c.ok("NOOP")
            c.ok("FETCH 1:* FLAGS")
    finally:
        for c in clients:
            c.sock.close()
