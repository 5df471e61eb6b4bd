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
    """The one of before is kept, of the default and of a name; and it is said
    once, with file and line."""
    s = started(fresh)
    other = s.base / "other.pem"
    postern.make_cert(other)
    named = s.cert.with_name("server.pem.mail.example.com")
    other.replace(named)
    own(s, named)
    s.start()
    good, good_named = pem(s.cert), pem(other)
    assert shown(s, "mail.example.com") == good_named
    renewed = s.base / "renewed.pem"
    postern.make_cert(renewed)
    # The key is gone; and the key of another.
    s.cert.write_text(good)
    keys = renewed.read_text().replace(pem(renewed), "")
    named.write_text(good_named + keys)
    for service in ("IMAP", "POP3"):
        s.wait_log(rf"tls: {service}: {s.cert}: expected a private key, "
                   "-----BEGIN PRIVATE KEY-----; the one of before is kept")
        s.wait_log(rf"tls: {service}: {named}:\d+: expected the key of the "
                   rf"certificate in {named}:1: .*; the one of before is kept")
    assert shown(s) == good
    assert shown(s, "mail.example.com") == good_named
    with Lines(s.connect()) as c:
        assert "STARTTLS" in c.line()
    # What is there no more, too, but for that of a name.
    s.cert.rename(s.base / "away")
    named.unlink()
    s.wait_log(rf"tls: IMAP: {s.cert}: No such file or directory; expected a "
               "certificate and its key; the one of before is kept")
    assert shown(s) == good == shown(s, "mail.example.com")
    for text in ("expected a private key", "expected the key of",
                 "No such file or directory; expected"):
        for service in ("IMAP", "POP3"):
            assert len([line for line in s.log().splitlines()
                        if f"tls: {service}:" in line and text in line]) == 1
    renew(s, s.cert)
    wait_for(lambda: shown(s) == pem(s.cert), "the good one")


def test_start_without_a_certificate_is_told(fresh):
    s = started(fresh)
    s.set("imapd-ssl", TLS_CERTFILE=s.base / "none.pem")
    s.greets = lambda: s.listens("imapd")
    s.start()
    s.wait_log(rf"tls: IMAP: {s.base}/none.pem: No such file or directory; "
               "expected a certificate and its key; there is no TLS")
    with Lines(s.connect()) as c:
        assert "STARTTLS" not in c.line()


def told(server):
    """Status of posternd -t, and what it says without its notes."""
    done = subprocess.run(
        server.as_user([postern.program("posternd"), "-c", str(server.conf),
                        "-t"]), capture_output=True, text=True)
    return done.returncode, [line for line in done.stderr.splitlines()
                             if ": note: " not in line]


def expired(key):
    """A certificate of a key that was good yesterday, PEM."""
    crypto = pytest.importorskip("OpenSSL.crypto")
    pkey = crypto.load_privatekey(crypto.FILETYPE_PEM, key)
    cert = crypto.X509()
    cert.set_serial_number(1)
    cert.get_subject().CN = "old"
    cert.set_issuer(cert.get_subject())
    cert.gmtime_adj_notBefore(-3 * 86400)
    cert.gmtime_adj_notAfter(-86400)
    cert.set_pubkey(pkey)
    cert.sign(pkey, "sha256")
    return crypto.dump_certificate(crypto.FILETYPE_PEM, cert).decode()


def test_configtest_looks_at_the_files(fresh):
    """Certificates of each form, authorities, the skeleton of homes, access
    files: file, line if there is one, and what was expected."""
    s = started(fresh)
    postern.make_cert(s.cert)
    own(s, s.cert)
    s.write_conf()
    assert told(s) == (0, [])
    # Copies that lie beside it are no certificates of a name.
    copies = [s.cert.with_name(f"server.pem.{name}") for name in (
        "bak", "BAK", "old", "mail.example.com.bak", "mail.example.com~",
        "dpkg-old", "rpmsave", "tmp", "mail.example.com.", "-x.org", "a..b",
        ".example.com", "x" * 64, "a b")]
    for copy in copies:
        copy.write_text("hello\n")
    assert told(s) == (0, [])
    for copy in copies:
        copy.unlink()
    for name in ("192.0.2.1", "2001:db8::1", "localhost", "a-b_c.example.org",
                 "bak.example.org"):
        copy = s.cert.with_name(f"server.pem.{name}")
        copy.write_text("hello\n")
        assert told(s)[0] == 1, name
        copy.unlink()
    good, certificate = s.cert.read_text(), pem(s.cert)
    key = good.replace(certificate, "")
    lines = good.count("\n")
    named = s.cert.with_name("server.pem.mail.example.com")
    encrypted = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-passout", "pass:x"], input=key,
        capture_output=True, text=True, check=True).stdout
    other = s.base / "other.pem"
    postern.make_cert(other)
    cases = [
        (named, "hello\n", ": error: expected a certificate, "
         "-----BEGIN CERTIFICATE-----"),
        (named, certificate, ": error: expected a private key, "
         "-----BEGIN PRIVATE KEY-----"),
        (named, good + "-----BEGIN CERTIFICATE-----\n!\n",
         f":{lines + 1}: error: expected a certificate: "),
        (named, certificate + encrypted, f":{certificate.count(chr(10)) + 1}: "
         "error: expected a private key without a passphrase"),
        (named, other.read_text().replace(pem(other), "") + certificate,
         ":1: error: expected the key of the certificate in"),
        (s.cert, certificate, ": error: expected a private key, "),
    ]
    for path, text, said in cases:
        path.write_text(text)
        status, lines = told(s)
        assert status == 1
        # both protocols have this file
        assert [line.startswith(f"{path}{said}") for line in lines] == \
            [True, True], (said, lines)
        named.unlink(missing_ok=True)
    s.cert.write_text(good)
    named.write_text(key + expired(key))
    own(s, named)
    status, lines = told(s)
    assert status == 0 and len(lines) == 2 and all(
        line.startswith(f"{named}: warning: the certificate has expired, ")
        for line in lines), lines
    named.unlink()
    # A key of its own, and what is missing.
    key_file = s.base / "key.pem"
    s.set("imapd-ssl", TLS_PRIVATE_KEYFILE=key_file)
    s.set("pop3d-ssl", TLS_CERTFILE=s.base / "none.pem")
    s.write_conf()
    status, lines = told(s)
    assert status == 1 and sorted(lines) == sorted([
        f"{key_file}: error: No such file or directory; expected a "
        "certificate and its key",
        f"{s.base}/none.pem: warning: expected a certificate and its key: "
        "there is no TLS for POP3"])
    key_file.write_text(key)
    own(s, key_file)
    s.set("pop3d-ssl", TLS_CERTFILE=s.cert)
    s.write_conf()
    assert told(s) == (0, [])
    # Authorities, homes, access files.
    s.set("imapd-ssl", TLS_VERIFYPEER="PEER", TLS_TRUSTCERTS=s.base / "ca")
    s.set("imapd", AUTH_MKHOMEDIR_SKEL=s.base / "skel",
          IMAPACCESSFILE=s.base / "access")
    s.set("pop3d", AUTH_MKHOMEDIR_SKEL=s.cert)
    (s.base / "access.dat").write_text("")
    s.write_conf()
    status, lines = told(s)
    assert status == 1 and sorted(lines) == sorted([
        f"{s.base}/ca: error: No such file or directory; expected the "
        "authorities of TLS_TRUSTCERTS",
        f"{s.base}/skel: error: No such file or directory; expected the "
        "directory of AUTH_MKHOMEDIR_SKEL",
        f"{s.cert}: error: expected a directory for AUTH_MKHOMEDIR_SKEL",
        f"{s.base}/access: warning: expected the text that its .dat was made "
        "from: the .dat is not read, so every address may connect"]), lines
    (s.base / "skel").mkdir(mode=0o700)
    (s.base / "access").write_text("10.0.0.1\tmaybe\n")
    s.set("imapd-ssl", TLS_VERIFYPEER="NONE", TLS_CIPHER_LIST="NONSENSE")
    s.set("pop3d", AUTH_MKHOMEDIR_SKEL="")
    s.write_conf()
    status, lines = told(s)
    assert status == 1
    assert any(line.startswith(f"{s.base}/access:1: error: ")
               for line in lines), lines
    assert any("TLS_CIPHER_LIST: expected a list of ciphers" in line
               for line in lines), lines


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


@pytest.mark.parametrize("service, words, greeting, bye", [
    ("imapd-ssl", [], "* OK ", "a LOGOUT"),
    ("imapd", ["-starttls", "imap"], "", "a LOGOUT"),
    ("pop3d-ssl", [], "+OK ", "QUIT"),
    ("pop3d", ["-starttls", "pop3"], "", "QUIT")])
def test_s_client(fresh, service, words, greeting, bye):
    """What docs/takeover.md has for those who looked by couriertls."""
    with started(fresh) as s:
        # s_client takes a line that begins with Q for a word to itself
        done = subprocess.run(
            ["openssl", "s_client", "-quiet", "-no_ign_eof", "-ign_eof",
             "-connect", f"localhost:{s.port[service]}",
             "-servername", "localhost", "-CAfile",
             s.cert.with_suffix(".crt"), "-verify_return_error", *words],
            input=f"{bye}\r\n", capture_output=True, text=True,
            timeout=postern.PATIENCE)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(greeting), done.stdout
        assert "a OK" in done.stdout or "+OK Bye." in done.stdout


def test_a_client_cannot_negotiate_again(fresh):
    """A handshake costs the server most, so TLS 1.2 gets one a connection."""
    with started(fresh) as s:
        client = subprocess.Popen(
            ["openssl", "s_client", "-tls1_2", "-connect",
             f"127.0.0.1:{s.port['imapd-ssl']}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # a greeting in the midst of it would be what ends the connection
        assert any(line.startswith("* OK") for line in client.stdout)
        said, errors = client.communicate("R\n", timeout=postern.PATIENCE)
        assert "RENEGOTIATING" in said + errors
        assert "no renegotiation" in errors, errors
        with imap(s, service="imapd-ssl") as c:
            c.ok("SELECT INBOX")


def resumed(server, context, session):
    """Whether a session was gone on with, and the one to go on with next."""
    with socket.create_connection(("127.0.0.1", server.port["imapd-ssl"]),
                                  10) as sock, \
            context.wrap_socket(sock, server_hostname="localhost",
                                session=session) as tls:
        assert tls.recv(100).startswith(b"* OK")
        return tls.session_reused, tls.session


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_reload_ends_session_tickets(fresh, version):
    """Their keys are shared by all login processes, and not for ever."""
    s = fresh(services=("imapd", "imapd-ssl"), LOGIN_PROCESSES=3)
    s.start()
    context = s.context()
    context.maximum_version = getattr(ssl.TLSVersion, version)
    _, session = resumed(s, context, None)
    for _ in range(6):
        assert resumed(s, context, session)[0]
    s.ctl("reload")
    for _ in range(6):
        assert not resumed(s, context, session)[0]
    _, session = resumed(s, context, None)
    for _ in range(6):
        assert resumed(s, context, session)[0]
