"""What no client should send, before and after login: each time a proper
answer or the end, replies that nothing splits, another session served
meanwhile, and little memory."""
import pathlib
import random
import re
import threading

import memory
import postern
import pytest
from postern import ANN, JOE

CORPUS = pathlib.Path(__file__).parents[1] / "fuzz" / "corpus"
TREE_MAX = 256 * 1024  # KiB of all processes
HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(506) + b"\r\n"
NOISE = random.Random(3).randbytes(60000)

# Name, what is sent, what must come: before login, and after it.
IMAP = [
    ("long line", b"a NOOP " + b"x" * (1 << 20) + b"\r\n", b"BAD", b"BAD"),
    ("no end", b"a NOOP " + b"x" * (1 << 20), b"BAD", b"BAD"),
    ("literal", b"a LOGIN {4294967295}\r\n", b"a BAD|a NO", b"a BAD|a NO"),
    ("longer", b"a LOGIN {18446744073709551616}\r\n", b"a BAD", b"a BAD"),
    ("APPEND", b"a APPEND INBOX {18446744073709551615}\r\n", b"a BAD|a NO",
     b"a BAD|a NO"),
    ("unasked", b"a LOGIN {99999999+}\r\n" + b"x" * 65536, b"BAD|BYE",
     b"BAD|BYE"),
    ("literals", b"a LOGIN" + (b" {4096+}\r\n" + b"y" * 4096) * 20 + b"\r\n",
     b"BAD|BYE", b"BAD"),
    ("nesting", b"a SEARCH " + b"(" * 60000 + b"\r\n", b"BAD", b"a BAD"),
    ("set", b"a FETCH " + b"1," * 20000 + b"1 FLAGS\r\n", b"BAD", b"a BAD"),
    ("NUL", b'a SELECT "x\0y"\r\n', b"BAD", b"BAD"),
    ("quote", b'a LIST "" "x\r\nb NOOP\r\n', b"BAD", b"a BAD"),
    ("UTF-8", b"a SELECT \xff\xfe\r\n", b"BAD", b"a BAD|a NO"),
    ("line feed", b"a SELECT &AAo-b OK-\r\n", b"BAD", b"a BAD|a NO"),
    ("bare CR", b'a SELECT "x\ry"\r\n', b"BAD", b"BAD"),
    ("noise", NOISE, b"BAD|BYE", b"BAD|BYE"),
    ("TLS", HELLO, b"BAD|BYE", b"BAD|BYE"),
    ("base64", b"a AUTHENTICATE PLAIN\r\n!!!!\r\n", b"a BAD|a NO", b"a BAD"),
    ("flood", b"a NOOP\r\n" * 50000, b"BYE", b"a OK"),
    ("bad flood", b"a X\r\n" * 50000, b"BYE", b"BYE"),
]
POP3 = [
    ("long line", b"NOOP " + b"x" * (1 << 20) + b"\r\n", b"-ERR", b"-ERR"),
    ("no end", b"NOOP " + b"x" * (1 << 20), b"-ERR", b"-ERR"),
    ("lines", b"TOP 1 99999999999999999999\r\n", b"-ERR", b"-ERR"),
    ("number", b"RETR 4294967297\r\n", b"-ERR", b"-ERR"),
    ("negative", b"DELE -1\r\n", b"-ERR", b"-ERR"),
    ("NUL", b"USER x\0y\r\n", b"-ERR", b"-ERR"),
    ("colon", b"X:Y:Z\r\n", b"-ERR", b"-ERR"),
    ("bare LF", b"NOOP\n.\nNOOP\r\n", b"-ERR|\\+OK", b"-ERR|\\+OK"),
    ("noise", NOISE, b"-ERR", b"-ERR"),
    ("TLS", HELLO, b"-ERR", b"-ERR"),
    ("base64", b"AUTH PLAIN\r\n!!!!\r\n", b"-ERR", b"-ERR"),
    ("flood", b"NOOP\r\n" * 50000, b"-ERR", b"\\+OK"),
    ("bad flood", b"X\r\n" * 50000, b"-ERR", b"-ERR"),
]


def seeds(*names):
    """(name, bytes) of the fuzz targets' corpora: the commands alone."""
    for name in names:
        for path in sorted((CORPUS / name).iterdir()):
            data = path.read_bytes()
            if name in ("imap_session", "pop3"):
                data = data.partition(b"\xff")[2]
            elif name == "preauth":
                data = data[2:]
            yield f"{name}/{path.name}", data


@pytest.fixture(scope="module")
def server(directory):
    with postern.Server(directory / "s") as s:
        s.add_user(JOE)
        s.add_user(ANN)
        s.deliver(email=JOE)
        yield s


@pytest.fixture(scope="module")
def other(server):
    with postern.imap(server, ANN) as c:
        c.ok("SELECT INBOX")
        yield c


def everything(c):
    """All that comes up to the end, however it ends."""
    got = [c.buffer]
    try:
        while data := c.sock.recv(65536):
            got.append(data)
    except ConnectionError:
        pass
    return b"".join(got)


def talk(server, other, c, data):
    """Send it and the end; what comes, while somebody else is served."""
    def send():
        try:
            c.sock.sendall(data)
            c.sock.shutdown(1)
        except OSError:
            pass  # the server has closed
    sender = threading.Thread(target=send)
    sender.start()
    other.ok("NOOP")
    got = everything(c)
    sender.join(postern.PATIENCE)
    assert not sender.is_alive()
    other.ok("NOOP")
    if memory.measurable():
        assert memory.tree(server) <= TREE_MAX
    return got


def check_imap(got, what):
    """A row of whole responses, each with its literals."""
    fresh, at = True, 0
    while at < len(got):
        end = got.find(b"\r\n", at)
        line, at = got[at:end], end + 2
        assert end >= 0 and not re.search(rb"[\r\n\0]", line), (
            what, line[:200])
        if fresh:
            assert re.match(
                rb"\* |\+ |[!#-')-\[\]^-z|}~.,/0-9A-Za-z-]+ (OK|NO|BAD) ",
                line), (what, line[:200])
        literal = re.search(rb"\{(\d+)\}$", line)
        fresh = not literal
        if literal:
            at += int(literal[1])
            assert at <= len(got), what
        if re.match(rb"\S+ OK .*(TLS|COMPRESS|DEFLATE)", line):
            return  # what follows is no text
    assert fresh, what


def check_pop3(got, what):
    """Replies of a line, or of several up to a dot."""
    within = False
    assert not got or got.endswith(b"\r\n"), what
    for line in got.split(b"\r\n")[:-1]:
        assert not re.search(rb"[\r\n\0]", line), (what, line[:200])
        if line == b".":
            within = False
        elif not re.match(rb"\+OK|-ERR|\+ ", line):
            within = True
    assert not within, what


def connect(server, service, log_in):
    if log_in:
        return (postern.imap if service == "imapd" else postern.pop3)(server)
    c = postern.Lines(server.connect(service))
    assert c.line().startswith(("* OK", "+OK"))
    return c


@pytest.mark.parametrize("log_in", (False, True), ids=("before", "after"))
@pytest.mark.parametrize("service", ("imapd", "pop3d"))
def test_malformed(server, other, service, log_in):
    check = check_imap if service == "imapd" else check_pop3
    for name, data, before, after in IMAP if service == "imapd" else POP3:
        with connect(server, service, log_in) as c:
            if log_in and service == "imapd":
                c.ok("SELECT INBOX")
            got = talk(server, other, c, data)
        check(got, name)
        wanted = after if log_in else before
        assert re.search(wanted, got), (name, got[:300])


@pytest.mark.parametrize("log_in", (False, True), ids=("before", "after"))
@pytest.mark.parametrize("service, names", [
    ("imapd", ("imap_session", "imap_lex", "preauth", "imap_sets",
               "imap_keys", "imap_search")),
    ("pop3d", ("pop3", "preauth"))], ids=("imapd", "pop3d"))
def test_seeds(server, other, service, names, log_in):
    check = check_imap if service == "imapd" else check_pop3
    for name, data in seeds(*names):
        with connect(server, service, log_in) as c:
            check(talk(server, other, c, data), name)
