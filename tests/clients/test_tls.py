"""Certificates of the server and of its clients."""

import base64
import contextlib
import os
import socket
import ssl
import subprocess

import pytest
import postern
from postern import ANN, JOE, Lines, imap, wait_for


def started(fresh, **keys):
    s = fresh(**keys)
    s.add_user(JOE)
    s.add_user(ANN)
    return s


def shown(server, name="localhost", service="imapd-ssl"):
    """The certificate that a client is shown, PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port[service]),
                                  10) as sock, \
            context.wrap_socket(sock, server_hostname=name) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))


def pem(path):
    return path.with_suffix(".crt").read_text()


def own(server, path):
    if server.uid is not None and os.geteuid() == 0:
        os.chown(path, server.uid, server.uid)


def renew(server, path):
    """A new certificate under the old name, as an ACME client leaves it."""
    fresh = path.with_name("fresh.pem")
    postern.make_cert(fresh)
    own(server, fresh)
    fresh.replace(path)
    fresh.with_suffix(".crt").replace(path.with_suffix(".crt"))


def test_certificates_are_read_again_when_they_change(fresh):
    s = started(fresh)
    s.start()
    first = pem(s.cert)
    with imap(s, service="imapd-ssl") as open_one:
        assert shown(s) == first
        renew(s, s.cert)
        assert pem(s.cert) != first
        for service in ("imapd-ssl", "pop3d-ssl"):
            wait_for(lambda x=service: shown(s, service=x) == pem(s.cert),
                     "the new certificate")
        # One for a name of its own, while nothing is restarted.
        other = s.base / "other.pem"
        postern.make_cert(other)
        named = s.cert.with_name("server.pem.mail.example.com")
        other.replace(named)
        own(s, named)
        wait_for(lambda: shown(s, "mail.example.com") == pem(other),
                 "the certificate of the name")
        assert shown(s) == pem(s.cert)
        # And one for an address: clients that send no name get it.
        by_address = s.base / "address.pem"
        postern.make_cert(by_address)
        named = s.cert.with_name("server.pem.127.0.0.1")
        by_address.replace(named)
        own(s, named)
        wait_for(lambda: shown(s, None) == pem(by_address),
                 "the certificate of the address")
        assert shown(s, "mail.example.com") == pem(other)
        open_one.ok("NOOP")


def test_a_broken_certificate_does_not_end_tls(fresh):
    s = started(fresh)
    s.start()
    good = pem(s.cert)
    s.cert.write_text(good)  # the key is gone
    s.wait_log(r"tls: IMAP: no certificate can be used; the one of before")
    assert shown(s) == good
    with Lines(s.connect()) as c:
        assert "STARTTLS" in c.line()
    renew(s, s.cert)
    wait_for(lambda: shown(s) == pem(s.cert), "the good one")


# --- certificates of clients --------------------------------------------------

class Authority:
    """An authority, and certificates of users that it has signed."""

    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.pem = folder / "ca.pem"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3",
                 "-subj", f"/CN={name}", "-keyout", folder / "ca.key",
                 "-out", self.pem)

    @staticmethod
    def run(*words):
        subprocess.run(["openssl", *[str(w) for w in words]], check=True,
                       capture_output=True)

    def user(self, email, name="User"):
        """Paths of certificate and key."""
        base = self.folder / email
        self.run("req", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                 f"/CN={name}/emailAddress={email}", "-keyout", f"{base}.key",
                 "-out", f"{base}.csr")
        self.run("x509", "-req", "-in", f"{base}.csr", "-CA", self.pem,
                 "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                 "-days", "2", "-out", f"{base}.pem")
        return f"{base}.pem", f"{base}.key"


def connect_as(server, certificate, service="imapd-ssl"):
    context = server.context()
    if certificate is not None:
        context.load_cert_chain(*certificate)
    sock = socket.create_connection(("127.0.0.1", server.port[service]), 15)
    return Lines(context.wrap_socket(sock, server_hostname="localhost"))


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def certified(fresh):
    """A server that trusts an authority, and that authority."""
    s = started(fresh)
    ca = Authority(s.base / "ca")
    for name in ("imapd-ssl", "pop3d-ssl"):
        s.set(name, TLS_VERIFYPEER="PEER", TLS_TRUSTCERTS=ca.pem,
              TLS_EXTERNAL="emailaddress")
    return s, ca


def capabilities(c):
    return c.ok("CAPABILITY")[0].split()


def test_external(certified):
    s, ca = certified
    s.start()
    joe = ca.user(JOE)
    with connect_as(s, joe) as c:
        c.line()
        assert "AUTH=EXTERNAL" in capabilities(c)
        c.ok("AUTHENTICATE EXTERNAL =")
        c.ok("SELECT INBOX")
    s.wait_log(r"LOGIN, user=joe@example\.com, .*protocol=IMAP, starttls=1")
    # The name may be said, if it is the right one; and asked for.
    with connect_as(s, joe) as c:
        c.line()
        assert " NO " in c.imap(f"AUTHENTICATE EXTERNAL {b64(ANN)}")[-1]
        c.send("x AUTHENTICATE EXTERNAL\r\n")
        assert c.line().startswith("+")
        c.send(b64(JOE) + "\r\n")
        while not (line := c.line()).startswith("x "):
            pass
        assert line.startswith("x OK")
    s.wait_log(r"LOGIN FAILED, user=joe@example\.com, method=EXTERNAL")
    with connect_as(s, ca.user(ANN), "pop3d-ssl") as p:
        p.line()
        assert any("EXTERNAL" in x for x in p.pop("CAPA", multi=True))
        assert p.pop("AUTH EXTERNAL =")[0].startswith("+OK")
        p.pop("QUIT")
    # STARTTLS asks for one as well.
    with Lines(s.connect()) as c:
        c.line()
        assert "AUTH=EXTERNAL" not in capabilities(c)
        c.ok("STARTTLS")
        context = s.context()
        context.load_cert_chain(*joe)
        c.sock = context.wrap_socket(c.sock, server_hostname="localhost")
        assert "AUTH=EXTERNAL" in capabilities(c)
        c.ok("AUTHENTICATE EXTERNAL =")


def test_no_certificate_is_no_name(certified):
    s, ca = certified
    s.start()
    with connect_as(s, None) as c:
        c.line()
        assert "AUTH=EXTERNAL" not in capabilities(c)
        assert c.imap("AUTHENTICATE EXTERNAL =")[-1].split()[1] != "OK"
        c.ok(f'LOGIN {JOE} "{postern.PASSWORD}"')
    # One of another authority ends the handshake.
    stranger = Authority(s.base / "other", "Other CA")
    with pytest.raises((OSError, AssertionError)), \
            connect_as(s, stranger.user(JOE)) as c:
        assert c.line() is not None
    # A certificate for nobody that is known logs in nobody.
    with connect_as(s, ca.user("who@example.com")) as c:
        c.line()
        assert " NO " in c.imap("AUTHENTICATE EXTERNAL =")[-1]


def test_a_certificate_is_required(certified):
    s, ca = certified
    s.set("imapd-ssl", TLS_VERIFYPEER="REQUIREPEER", TLS_EXTERNAL="")
    s.greets = lambda: s.listens("imapd-ssl")
    # A directory is good too, as c_rehash makes it.
    trust = s.base / "trust"
    trust.mkdir()
    (trust / "mine.pem").write_text(ca.pem.read_text())
    other = Authority(s.base / "other", "Other CA")
    (trust / "0badcafe.0").write_text(other.pem.read_text())
    s.set("imapd-ssl", TLS_TRUSTCERTS=trust)
    s.start()
    for authority in (ca, other):
        def logs_in(authority=authority):
            with contextlib.suppress(OSError), \
                    connect_as(s, authority.user(JOE)) as c:
                c.line()
                assert "AUTH=EXTERNAL" not in capabilities(c)
                c.ok(f'LOGIN {JOE} "{postern.PASSWORD}"')
                return True
        wait_for(logs_in, "login with a certificate")
    with pytest.raises((OSError, AssertionError)), \
            connect_as(s, None) as c:
        assert c.line() is not None
