"""Who may connect, and as whom: access files, PROXY headers, DEFDOMAIN."""

import base64
import hmac
import os
import socket
import ssl
import struct

import pytest
import postern
from postern import ANN, JOE, PASSWORD, Lines, imap, pop3, wait_for
from scram import Scram

V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def made(fresh):
    """A server whose access file is `access` in its directory."""
    def make(text="", **keys):
        s = fresh(services=("imapd", "imapd-ssl", "pop3d"), **keys)
        s.add_user(JOE)
        s.access = s.base / "access"
        s.access.write_text(text)
        s.set("imapd", IMAPACCESSFILE=s.access)
        return s
    return make


def greeting(server, service="imapd", source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", server.port[service]), 10,
                                  source_address=(source, 0)) as sock:
        if service.endswith("-ssl"):
            sock = server.context().wrap_socket(sock,
                                                server_hostname="localhost")
        with Lines(sock) as c:
            return c.line() or ""


def ready(server):
    """start() has to see greetings: the file allows this machine then."""
    server.start()
    return server


def test_access_file(made):
    s = ready(made("127.0.0.2\tdeny\n127.0.0\tallow\n"))
    assert greeting(s).startswith("* OK")
    for service in ("imapd", "imapd-ssl"):
        assert greeting(s, service, "127.0.0.2").startswith("* BYE [ALERT]")
    s.wait_log(r"access denied, ip=\[::ffff:127\.0\.0\.2\]")
    # Courier's POP3 has no access file of its own.
    assert greeting(s, "pop3d", "127.0.0.2").startswith("+OK")
    # A changed file counts by itself; the session that is open stays.
    with imap(s) as c:
        s.access.write_text("127.0.0.1\tdeny\n")
        wait_for(lambda: greeting(s).startswith("* BYE"), "the new rules")
        assert greeting(s, source="127.0.0.2").startswith("* OK")
        c.ok("NOOP")
        # What can't be understood is told, and the others count.
        s.access.write_text("127.0.0.2\tperhaps\n127.0.0.3\tdeny\n")
        s.wait_log(r"access:1: .*left out")
        wait_for(lambda: greeting(s).startswith("* OK"), "those are gone")
        assert greeting(s, source="127.0.0.3").startswith("* BYE")


def test_access_file_that_cannot_be_read(made):
    s = ready(made("127.0.0.2\tdeny\n"))
    s.access.unlink()
    s.access.mkdir()
    (s.access / "one").symlink_to("loop")
    (s.access / "loop").symlink_to("one")
    s.wait_log(r"the rules of before stay")
    assert greeting(s, source="127.0.0.2").startswith("* BYE")
    s.stop()
    s.log_path.write_text("")
    with pytest.raises(AssertionError):
        s.start()
    s.processes.pop("posternd")
    assert str(s.access) in s.log()


def test_posternd_checks_access_files(made):
    import subprocess
    s = made("127.0.0.2\tdeny\n\nnowhere\tdeny\n")
    s.prepare()
    argv = s.as_user([postern.program("posternd"), "-c", str(s.conf), "-t"])
    bad = subprocess.run(argv, capture_output=True, text=True)
    assert bad.returncode == 1
    assert f"{s.access}:3: error:" in bad.stderr
    s.access.write_text("127.0.0.2\tdeny\n")
    good = subprocess.run(argv, capture_output=True, text=True)
    assert good.returncode == 0, good.stderr


def test_words_of_tcpdopts(made):
    s = made()
    other = s.base / "pop-access"
    other.write_text(f"127.0.0.2\tdeny\n*.{s.port['pop3d']}\tallow\n"
                     f"127.0.0.1.{s.port['imapd']}\tdeny\n")
    s.set("pop3d", TCPDOPTS=f"'-nodnslookup -access={other}.dat "
                            "-denymsg=Begone. -warn=2'")
    s.set("imapd", TCPDOPTS="-maxperc=2")
    ready(s)
    assert greeting(s, "pop3d").startswith("+OK")
    assert greeting(s, "pop3d", "127.0.0.2") == "-ERR [SYS/PERM] Begone."
    with pop3(s), Lines(s.connect("pop3d")) as second:
        second.line()
        s.wait_log(r"pop3d: \w+: 2 active connections\.")
    wait_for(lambda: greeting(s).startswith("* OK"), "slots")
    held = []
    for last in (1, 2):
        sock = socket.create_connection(
            ("127.0.0.1", s.port["imapd"]), 10,
            source_address=(f"127.0.0.{last}", 0))
        held.append(Lines(sock))
        assert held[-1].line().startswith("* OK")
    wait_for(lambda: greeting(s, source="127.0.0.3").startswith(
        "* BYE [UNAVAILABLE]"), "the /24 is full")
    for c in held:
        c.close()


def test_accesslocal(made):
    s = made()
    # What start() itself needs stays open until the rule is there.
    s.set("imapd", TCPDOPTS="-accesslocal")
    ready(s)
    s.access.write_text(f"*.{s.port['imapd']}\tdeny\n")
    wait_for(lambda: greeting(s).startswith("* BYE"), "denied by port")
    assert greeting(s, "imapd-ssl").startswith("* OK")


def test_maxcperip(made):
    s = made("127.0.0.2\tallow,MAXCPERIP=1\n*\tallow\n")
    ready(s)
    with socket.create_connection(
            ("127.0.0.1", s.port["imapd"]), 10,
            source_address=("127.0.0.2", 0)) as sock, Lines(sock) as c:
        assert c.line().startswith("* OK")
        assert greeting(s, source="127.0.0.2").startswith(
            "* BYE [UNAVAILABLE]")
        assert greeting(s).startswith("* OK")


# --- DEFDOMAIN ---------------------------------------------------------------

def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_defdomain(made):
    s = made("127.0.0.2\tallow,DEFDOMAIN=@example.com\n")
    s.set("pop3d", DEFDOMAIN="@example.com")
    ready(s)
    s.set("imapd", DEFDOMAIN="@example.com")
    with Lines(s.connect()) as c:
        c.line()
        assert " NO " in c.imap(f'LOGIN joe "{PASSWORD}"')[-1]
    # The access file has one for this address only.
    with socket.create_connection(
            ("127.0.0.1", s.port["imapd"]), 10,
            source_address=("127.0.0.2", 0)) as sock, Lines(sock) as c:
        c.line()
        c.ok(f'LOGIN joe "{PASSWORD}"')
    s.write_conf()
    s.ctl("reload")
    for words in ((f"AUTHENTICATE PLAIN {b64(chr(0) + 'joe' + chr(0) + PASSWORD)}",),
                  ("AUTHENTICATE PLAIN", b64(f"\0joe\0{PASSWORD}")),
                  ("AUTHENTICATE LOGIN", b64("joe"), b64(PASSWORD)),
                  (f"AUTHENTICATE LOGIN {b64('joe')}", b64(PASSWORD)),
                  (f'LOGIN joe "{PASSWORD}"',),
                  (f'LOGIN {JOE} "{PASSWORD}"',)):
        with Lines(s.connect()) as c:
            c.line()
            c.send(f"a {words[0]}\r\n")
            for word in words[1:]:
                assert c.line().startswith("+")
                c.send(f"{word}\r\n")
            line = c.line()
            while line.startswith("*"):
                line = c.line()
            assert line.startswith("a OK"), (words, line)
    with pop3(s, user="joe") as p:
        p.pop("QUIT")


def test_domainsep(made):
    s = made()
    s.set("imapd", DEFDOMAIN="@example.com", DOMAINSEP="%@")
    ready(s)
    with imap(s, user="joe") as c:
        c.ok("NOOP")
    with Lines(s.connect()) as c:
        c.line()
        assert " NO " in c.imap(f'LOGIN "joe%x" "{PASSWORD}"')[-1]
    s.wait_log(r"LOGIN FAILED, user=joe%x,")


def exchange(c, name, first, final):
    """AUTHENTICATE with one challenge that final() answers."""
    c.send(f"a AUTHENTICATE {name}" + (f" {b64(first)}" if first else "")
           + "\r\n")
    line = c.line()
    assert line.startswith("+ "), line
    c.send(b64(final(base64.b64decode(line[2:]).decode())) + "\r\n")
    line = c.line()
    if line.startswith("+ "):  # the server's proof
        c.send("\r\n")
        line = c.line()
    while line.startswith("*"):
        line = c.line()
    return line


@pytest.mark.parametrize("separators", ["", "%@"])
def test_defdomain_of_signed_names(made, separators):
    """CRAM and SCRAM sign what the client sent: only the lookup changes."""
    s = made()
    s.set("imapd", DEFDOMAIN="@example.com", DOMAINSEP=separators)
    ready(s)

    def cram(user, hash_name):
        return lambda challenge: user + " " + hmac.new(
            PASSWORD.encode(), challenge.encode(), hash_name).hexdigest()

    for user, good in (("joe", True), (JOE, True),
                       ("joe%x", False)):
        for name, hash_name in (("CRAM-MD5", "md5"), ("CRAM-SHA256",
                                                      "sha256")):
            with Lines(s.connect()) as c:
                c.line()
                line = exchange(c, name, "", cram(user, hash_name))
                assert line.startswith("a OK" if good else "a NO"), line
        for name in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
            scram = Scram(name, user, PASSWORD)
            with Lines(s.connect()) as c:
                c.line()
                line = exchange(c, name, scram.first(), scram.final)
                assert line.startswith("a OK" if good else "a NO"), line
    assert f"LOGIN, user={JOE}," in s.log()


def test_authservice(made):
    """AUTHSERVICE<port> is what authdaemond is asked for."""
    s = made("127.0.0.2\tallow,AUTHSERVICE"
             "%d=lan\n")
    s.access.write_text(s.access.read_text() % s.port["imapd"])
    s.set("imapd", **{f"AUTHSERVICE{s.port['imapd-ssl']}": "imaps"})
    s.set("pop3d", **{f"AUTHSERVICE{s.port['pop3d']}": "pop"})
    s.prepare()
    rc = s.conf / "authsqliterc"
    rc.write_text(
        f"SQLITE_DATABASE\t{s.table}\nSQLITE_SELECT_CLAUSE\tSELECT email, "
        "crypt, '$(service)', uid, gid, homedir, maildir FROM postfix_users "
        "WHERE email = '$(local_part)@$(domain)'\n")
    s.start()

    def login(password, service, source="127.0.0.1"):
        with socket.create_connection(
                ("127.0.0.1", s.port[service]), 10,
                source_address=(source, 0)) as sock:
            if service.endswith("-ssl"):
                sock = s.context().wrap_socket(sock,
                                               server_hostname="localhost")
            with Lines(sock) as c:
                c.line()
                return c.imap(f"LOGIN {JOE} {password}")[-1].split()[1]
    # The password is the name of the service.
    assert login("imap", "imapd") == "OK"
    assert login("imaps", "imapd") == "NO"
    assert login("imaps", "imapd-ssl") == "OK"
    assert login("lan", "imapd", "127.0.0.2") == "OK"
    with pop3(s, password="pop") as p:
        p.pop("QUIT")
    # A bad word is refused with its place, and the server goes on.
    s.set("imapd", **{f"AUTHSERVICE{s.port['imapd-ssl']}": "'../x'"})
    s.write_conf()
    assert s.ctl("reload", check=False).returncode != 0
    s.wait_log(rf"{s.conf}/imapd:\d+: AUTHSERVICE\d+: expected a word")
    assert login("imaps", "imapd-ssl") == "OK"


# --- what else an access file sets --------------------------------------------

def test_variables(made):
    s = made("127.0.0.2\tallow,IMAP_TLS_REQUIRED=1\n"
             "127.0.0.3\tallow,IMAP_CAPABILITY=IMAP4rev1 UIDPLUS,"
             "MAILDIRPATH=elsewhere,IMAP_LOG_DELETIONS=1,"
             "IMAP_ID_FIELDS=1,IMAPDSTARTTLS=0,IMAP_NAMESPACE_PREFIX=\n"
             "127.0.0.4\tallow,IMAP_MAILBOX_SANITY_CHECK=0,MAXDAEMONS=3,"
             "UNHEARD_OF=1\n"
             "127.0.0.5\tallow,IMAP_TLS_REQUIRED=perhaps\n")
    s.add_user(ANN, maildir="")
    ready(s)
    s.wait_log(rf"{s.access}:3: MAXDAEMONS has no effect here")
    s.wait_log(rf"{s.access}:3: UNHEARD_OF has no effect here")
    s.wait_log(rf"{s.access}:4: IMAP_TLS_REQUIRED: expected 1 or yes, 0 or "
               r"no; the line is left out")

    def session(source):
        return Lines(socket.create_connection(
            ("127.0.0.1", s.port["imapd"]), 10, source_address=(source, 0)))
    with session("127.0.0.2") as c:
        assert "LOGINDISABLED" in c.line()
        assert " NO " in c.imap(f'LOGIN {JOE} "{PASSWORD}"')[-1]
    for source in ("127.0.0.1", "127.0.0.5"):
        with session(source) as c:
            assert "LOGINDISABLED" not in c.line()
            c.ok(f'LOGIN {JOE} "{PASSWORD}"')
            assert " SORT" in c.ok("CAPABILITY")[0]
            assert '(("INBOX." "."))' in c.ok("NAMESPACE")[0]
            c.ok("LOGOUT")
    assert "EXPUNGED" not in s.log()
    for _ in range(2):  # the second time what was made is used again
        with session("127.0.0.3") as c:
            words = c.line()
            assert "UIDPLUS" in words
            assert "SORT" not in words and "STARTTLS" not in words
            c.ok(f'LOGIN {ANN} "{PASSWORD}"')
            words = c.ok("CAPABILITY")[0]
            assert "UIDPLUS" in words and "SORT" not in words
            assert '"version"' in c.ok("ID NIL")[0]
            assert '(("" "."))' in c.ok("NAMESPACE")[0]
            c.ok("SUBSCRIBE Sent")
            assert c.ok('LSUB "" *')[0] == '* LSUB () "." "Sent"'
            c.ok('APPEND INBOX (\\Deleted) {3+}\r\nx\r\n')
            c.ok("SELECT INBOX")
            c.ok("EXPUNGE")
            c.ok("LOGOUT")
        assert (s.home / "elsewhere/cur").is_dir()
        subscribed = s.home / "elsewhere/courierimapsubscribed"
        assert subscribed.read_text() == "INBOX.Sent\n"
    s.wait_log(r"EXPUNGED, user=ann@example\.com")


def test_variables_stand_beside_a_changed_configuration(made):
    """After a reload the clients that have some see the rest anew."""
    s = made("127.0.0.2\tallow,IMAP_ID_FIELDS=1\n*\tallow\n")
    s.add_user(ANN, maildir="")
    ready(s)
    for path in "one", "two", "three":
        s.set("imapd", MAILDIRPATH=path)
        s.write_conf()
        s.ctl("reload")
        for _ in range(2):
            with Lines(socket.create_connection(
                    ("127.0.0.1", s.port["imapd"]), 10,
                    source_address=("127.0.0.2", 0))) as c:
                c.line()
                c.ok(f'LOGIN {ANN} "{PASSWORD}"')
                c.ok(f"CREATE INBOX.{path}")
                c.ok(f"DELETE INBOX.{path}")
        assert (s.home / path / "cur").is_dir()


def test_variables_are_checked(made):
    import subprocess
    s = made("127.0.0.2\tallow,MAXDAEMONS=3\n")
    s.prepare()
    argv = s.as_user([postern.program("posternd"), "-c", str(s.conf), "-t"])
    warned = subprocess.run(argv, capture_output=True, text=True)
    assert warned.returncode == 0
    assert f"{s.access}:1: warning: MAXDAEMONS has no effect" in warned.stderr
    s.access.write_text("127.0.0.2\tallow,IMAP_KEYWORDS=many\n")
    bad = subprocess.run(argv, capture_output=True, text=True)
    assert bad.returncode == 1
    assert f"{s.access}:1: error: IMAP_KEYWORDS: expected" in bad.stderr


def test_variables_of_the_local_address(made):
    """-accesslocal: a default domain by the address that was connected to."""
    s = made()
    s.set("imapd", TCPDOPTS="-accesslocal")
    ready(s)
    s.access.write_text(f"127.0.0.1.{s.port['imapd']}\tallow,"
                        "DEFDOMAIN=@example.com\n")

    def named():
        with Lines(s.connect()) as c:
            c.line()
            return " OK " in c.imap(f'LOGIN joe "{PASSWORD}"')[-1]
    wait_for(named, "the rule counts")


# --- PROXY -------------------------------------------------------------------

def v2(source, port, command=1):
    packed = (socket.inet_aton(source) + socket.inet_aton("192.0.2.1")
              + struct.pack("!HH", port, 143))
    tlv = b"\x04\0\x03abc"
    return (V2 + bytes([0x20 | command, 0x11])
            + struct.pack("!H", len(packed) + len(tlv)) + packed + tlv)


def proxied(server, header, service="imapd", source="127.0.0.1"):
    """A connection that begins with these bytes."""
    sock = socket.create_connection(("127.0.0.1", server.port[service]), 15,
                                    source_address=(source, 0))
    for piece in header if isinstance(header, list) else [header]:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(piece)
    if service.endswith("-ssl"):
        sock = server.context().wrap_socket(sock, server_hostname="localhost")
    return Lines(sock)


@pytest.fixture
def proxy(made):
    """Headers are taken from 127.0.0.1 on the ports of IMAP."""
    s = made(PROXY_TRUSTED='"127.0.0.1 192.0.2.0/24"', LOG_LEVEL="debug")
    ports = f"{s.port['imapd']},127.0.0.1.{s.port['imapd-ssl']}"
    for name in ("imapd", "imapd-ssl"):
        s.set(name, TCPDOPTS=f"-haproxy=timeout=2/port={ports}",
              MAXPERIP=3)
    # Without a header a connection to the others isn't greeted.
    s.greets = lambda: s.listens("pop3d")
    s.start()
    return s


def test_proxy_headers(proxy):
    s = proxy
    v1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 40001 143\r\n"
    command = f'a LOGIN {JOE} "{PASSWORD}"\r\n'.encode()
    # IMAP_TLS_REQUIRED isn't set, so only clients of this machine may log in
    # without TLS: now the client is somebody else.
    with proxied(s, v1 + command) as c:
        assert "LOGINDISABLED" in c.line()
        assert c.line().startswith("a NO")
        assert "198.51.100.7 40001" in s.ctl("who").stdout
    for header, address in (
            (v1, "::ffff:198.51.100.7"),
            ([v1[:3], v1[3:20], v1[20:]], "::ffff:198.51.100.7"),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 40001 143\r\n",
             "2001:db8::7"),
            (v2("203.0.113.9", 40002), "::ffff:203.0.113.9"),
            ([bytes([b]) for b in v2("203.0.113.9", 40003)],
             "::ffff:203.0.113.9")):
        with proxied(s, header, "imapd-ssl") as c:
            assert c.line().startswith("* OK")
            c.ok(f'LOGIN {JOE} "{PASSWORD}"')
            c.ok("LOGOUT")
        wait_for(lambda a=address: f"LOGOUT, user={JOE}, ip=[{a}]" in s.log(),
                 address)
    # A check by the proxy itself, and a client that it doesn't know.
    for header in (b"PROXY UNKNOWN\r\n", v2("203.0.113.9", 1, command=0)):
        with proxied(s, header) as c:
            c.line()
            c.ok(f'LOGIN {JOE} "{PASSWORD}"')


def test_proxied_clients_are_counted_apart(proxy):
    s = proxy
    held = []
    for n in range(5):
        c = proxied(s, f"PROXY TCP4 198.51.100.{n} 192.0.2.1 4000 143\r\n"
                    .encode())
        assert c.line().startswith("* OK")
        held.append(c)
    header = b"PROXY TCP4 198.51.100.0 192.0.2.1 4001 143\r\n"
    for expected in ("* OK", "* OK", "* BYE"):
        c = proxied(s, header)
        held.append(c)
        assert c.line().startswith(expected)
    s.wait_log(r"Maximum connection limit reached for ::ffff:198\.51\.100\.0")
    for c in held:
        c.close()


def test_no_header_no_service(proxy):
    s = proxy
    for first in (b"a NOOP\r\n", b"PROXY TCP4 nonsense\r\n", V2 + b"\x11\x11",
                  b"PROXY " + b"x" * 200 + b"\r\n"):
        with proxied(s, first) as c:
            assert c.line() is None, first
    s.wait_log(r"no PROXY header")
    # One that says nothing is cut off; others are served meanwhile.
    with proxied(s, b"PROX") as slow:
        with proxied(s, b"PROXY UNKNOWN\r\n") as c:
            assert c.line().startswith("* OK")
        assert slow.line() is None


def test_header_of_a_stranger_is_no_header(proxy):
    """Only the addresses of PROXY_TRUSTED may say whose connection it is."""
    with proxied(proxy, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 143\r\n",
                 source="127.0.0.9") as c:
        assert c.line().startswith("* OK")
        assert c.line().split()[1] == "BAD"
    with proxied(proxy, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 110\r\n",
                 "pop3d") as p:
        assert p.line().startswith("+OK")
        assert p.line().startswith("-ERR")
    assert "198.51.100.7" not in proxy.log()
