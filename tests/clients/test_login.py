"""Logging in by every mechanism over real connections, with clients of other
people and one written from the RFCs; and what a login costs and touches."""

import base64
import contextlib
import hashlib
import os
import pathlib
import socket
import subprocess

import memory
import pytest
from postern import JOE, PASSWORD, Lines, imap, need
from scram import Scram, b64

NAMES = ("SCRAM-SHA-256", "SCRAM-SHA-1")
SERVICES = ("imapd-ssl", "pop3d-ssl", "imapd", "pop3d")


# --- GNU SASL and curl -------------------------------------------------------

@pytest.mark.parametrize("mech", [
    "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1",
    "CRAM-MD5", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("password, good", [(PASSWORD, True), ("x", False)])
def test_gsasl(server, mech, password, good):
    """GNU SASL with GnuTLS: its tls-exporter must be ours."""
    plus = [] if mech.endswith("-PLUS") else ["--no-cb"]
    done = subprocess.run(
        [need("gsasl", "gsasl"), "--imap", "--connect",
         f"localhost:{server.port['imapd']}", "--starttls",
         "--x509-ca-file", server.cert.with_suffix(".crt"), "--mechanism",
         mech, "-a", JOE, "-p", password, *plus],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    assert f"AUTHENTICATE {mech}\n" in done.stdout
    if good and mech.startswith("SCRAM"):
        assert "server trusted" in done.stderr


@pytest.mark.parametrize("mech", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_curl(server, scheme, mech):
    service = f"{scheme}d-ssl"
    for password, good in ((PASSWORD, True), ("wrong", False)):
        done = subprocess.run(
            [need("curl", "curl"), "-sSv", "--cacert",
             server.cert.with_suffix(".crt"), "--login-options",
             f"AUTH={mech}", "-u", f"{JOE}:{password}",
             f"{scheme}s://localhost:{server.port[service]}/"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)
        assert (done.returncode == 0) == good, done.stderr
        word = "AUTHENTICATE" if scheme == "imap" else "AUTH"
        assert f"{word} {mech}" in done.stderr


# --- channel bindings --------------------------------------------------------

class Bound:
    """A TLS connection that tells what a channel can be bound by."""

    def __init__(self, sock):
        self.sock = sock

    @classmethod
    def over(cls, plain, server):
        openssl = pytest.importorskip(
            "OpenSSL.SSL", reason="apt-get install python3-openssl")
        context = openssl.Context(openssl.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(server.cert.with_suffix(".crt")))
        context.set_verify(openssl.VERIFY_PEER)
        plain.settimeout(None)
        sock = openssl.Connection(context, plain)
        sock.set_connect_state()
        sock.do_handshake()
        return cls(sock)

    def binding(self, name):
        if name == "tls-exporter":      # RFC 9266 2
            return self.sock.export_keying_material(
                b"EXPORTER-Channel-Binding", 32, b"")
        # RFC 5929 4: the hash of the certificate
        from OpenSSL import crypto
        der = crypto.dump_certificate(
            crypto.FILETYPE_ASN1, self.sock.get_peer_certificate())
        return hashlib.sha256(der).digest()


def connect(server, service):
    """A connection over TLS after its greeting, by STARTTLS where it isn't
    TLS from the start."""
    raw = socket.create_connection(("127.0.0.1", server.port[service]), 30)
    if not service.endswith("-ssl"):
        c = Lines(raw)
        c.line()
        if service == "imapd":
            c.ok("STARTTLS")
        else:
            assert c.pop("STLS")[0].startswith("+OK")
    bound = Bound.over(raw, server)
    c = Lines(bound.sock)
    c.bound = bound
    c.is_imap = service.startswith("imap")
    if service.endswith("-ssl"):
        c.line()
    return c


def authenticate(c, mech, header, binding, password=PASSWORD):
    """The last line of the server, and the client."""
    client = Scram(mech, JOE, password, header=header, binding=binding)
    verb = "t AUTHENTICATE" if c.is_imap else "AUTH"
    c.send(f"{verb} {mech}\r\n")
    for answer in (lambda _: client.first(), client.final, lambda _: ""):
        line = c.line()
        if not line.startswith("+ "):
            return line, client
        challenge = base64.b64decode(line[2:]).decode()
        if challenge.startswith("v="):
            assert challenge == client.verifier
        c.send(b64(answer(challenge)) + "\r\n")
    return c.line(), client


def is_good(line):
    return line.startswith(("t OK", "+OK"))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mech", NAMES)
@pytest.mark.parametrize("name", ["tls-exporter", "tls-server-end-point"])
def test_channel_binding(server, service, mech, name):
    with connect(server, service) as c:
        line, client = authenticate(c, mech + "-PLUS", f"p={name},,",
                                    c.bound.binding(name))
        assert is_good(line), line
        if c.is_imap:
            c.ok("NOOP")
        else:
            assert c.pop("STAT")[0].startswith("+OK")


@pytest.mark.parametrize("service", ["imapd-ssl", "pop3d-ssl"])
@pytest.mark.parametrize("mech", NAMES)
def test_man_in_the_middle(server, service, mech):
    """Who sits between two TLS connections can pass everything on but what
    binds it to his own: that of another connection is refused."""
    with connect(server, service) as c, connect(server, service) as other:
        line, _ = authenticate(c, mech + "-PLUS", "p=tls-exporter,,",
                               other.bound.binding("tls-exporter"))
        assert not is_good(line), line
        # The same connection, rightly.
        line, _ = authenticate(c, mech + "-PLUS", "p=tls-exporter,,",
                               c.bound.binding("tls-exporter"))
        assert is_good(line), line


@pytest.mark.parametrize("header, mech, good", [
    ("n,,", "SCRAM-SHA-256", True),         # doesn't know of it
    ("y,,", "SCRAM-SHA-256", False),        # was told of no -PLUS: by whom?
    ("n,,", "SCRAM-SHA-256-PLUS", False),   # -PLUS without a binding
    ("p=tls-unique,,", "SCRAM-SHA-256-PLUS", False),
    ("p=tls-exporter,,", "SCRAM-SHA-256", False)])
def test_downgrades(server, header, mech, good):
    with connect(server, "imapd-ssl") as c:
        binding = c.bound.binding("tls-exporter") if header[0] == "p" else b""
        line, _ = authenticate(c, mech, header, binding)
        assert is_good(line) == good, line


def test_no_plus_without_tls(server):
    """What can't be bound is neither offered nor taken."""
    with contextlib.closing(server.connect("imapd")) as sock:
        c = Lines(sock)
        c.is_imap = True
        assert "-PLUS" not in c.line()
        line, _ = authenticate(c, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,",
                               b"x" * 32)
        assert not is_good(line), line
        line, _ = authenticate(c, "SCRAM-SHA-256", "n,,", b"")
        assert is_good(line), line


@pytest.mark.parametrize("service", SERVICES)
def test_offered_by_the_same_rules(server, service):
    """The same names on IMAP and POP3, there after login, too; -PLUS over TLS
    only."""
    with connect(server, service) as c:
        if c.is_imap:
            words = c.ok("CAPABILITY")[0].split()
            offered = [w[5:] for w in words if w.startswith("AUTH=")]
        else:
            capa = c.pop("CAPA", multi=True)
            line, = [x for x in capa if x.startswith("SASL ")]
            offered = line.split()[1:]
            c.pop(f"USER {JOE}")
            c.pop(f"PASS {PASSWORD}")
            assert c.pop("CAPA", multi=True) == capa
    assert offered == [
        "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
        "SCRAM-SHA-1", "CRAM-SHA256", "CRAM-SHA1", "CRAM-MD5", "PLAIN",
        "LOGIN"]


# --- what a login touches and costs --------------------------------------------

@pytest.mark.parametrize("service", ["imapd", "imapd-ssl"])
def test_neither_login_nor_logout_opens_the_account(server, service):
    """Nothing is made in the Maildir, and no file of it is open.  (POP3 has
    to open the maildrop at the login: RFC 1939 4.)"""
    user = server.add_user(f"{service}.quiet@example.com")
    root = server.maildir(user)

    def is_open():
        for pid in server.workers():
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(root) in str(fd.readlink()):
                        return True
        return False

    before = sorted(root.rglob("*")) if root.exists() else None
    with imap(server, user, service=service) as c:
        assert not is_open()
        c.ok("LOGOUT")
        while c.line() is not None:
            pass
    assert (sorted(root.rglob("*")) if root.exists() else None) == before
    # The test can see it.
    with imap(server, user, service=service) as c:
        c.ok("SELECT INBOX")
        assert is_open()


@memory.needs_root()
@pytest.mark.parametrize("service", ["imapd", "imapd-ssl", "pop3d",
                                     "pop3d-ssl"])
def test_no_password_stays_in_memory(server, service):
    """After a login, right or wrong, by whatever command, no process of
    posternd has the password any more."""
    word = "unique-" + os.urandom(8).hex()
    user = server.add_user(f"{word[:12]}@example.com", word)
    is_imap = service.startswith("imap")
    with Lines(server.connect(service)) as c:
        c.line()
        if is_imap:
            c.imap(f"LOGIN {user} {word}x")
            c.imap("AUTHENTICATE PLAIN " + b64(f"\0{user}\0{word}x"))
            c.ok(f"LOGIN {user} {word}")
        else:
            c.pop(f"USER {user}")
            c.pop(f"PASS {word}x")
            c.pop("AUTH PLAIN " + b64(f"\0{user}\0{word}x"))
            c.pop(f"USER {user}")
            assert c.pop(f"PASS {word}")[0].startswith("+OK")
        pids = [server.pid()] + [pid for pid, _ in server.children()]
        for text in (word, b64(f"\0{user}\0{word}"),
                     b64(f"\0{user}\0{word}x")):
            for pid in pids:
                assert not memory.holds(pid, text.encode()), (pid, text)
        # The test can see it: the worker has the name.
        assert any(memory.holds(pid, user.encode()) for pid in pids)


def switches(server):
    """{(pid, name): times it has waited}."""
    found = {}
    for name in ("posternd", "authdaemond"):
        for pid in [server.pid(name)] + [p for p, _ in
                                         server.children(server.pid(name))]:
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                fields = dict(line.split(":\t", 1)
                              for line in status.splitlines() if ":\t" in line)
                found[pid] = int(fields["voluntary_ctxt_switches"])
    return found


def test_turns_of_a_login(fresh):
    """From LOGIN to its OK: login, front, helper, front, login, master and
    worker wake up once each; and login once more to close its copy."""
    s = fresh(LOG_LEVEL="error")
    s.keys["imapd"]["MAXPERIP"] = 500
    s.add_user(JOE)
    s.start()
    count = 100
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(Lines(s.connect()))
                 for _ in range(count + 1)]
        for c in conns:
            c.line()
        conns.pop().ok(f'LOGIN {JOE} "{PASSWORD}"')
        before = switches(s)
        for c in conns:
            c.ok(f'LOGIN {JOE} "{PASSWORD}"')
        after = switches(s)
    turns = {pid: (n - before[pid]) / count for pid, n in after.items()
             if pid in before}
    # The rest are timers, which a slow machine has more of.
    assert sum(turns.values()) < 8.5, turns
