"""Messages made to cost much: each answer is well formed, BODY[] is the file,
and no command takes more than five seconds of CPU."""

import os
import pathlib
import re
import shutil
import tempfile

import compare
import imapread
import make
import postern
import pytest

CPU_SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")


def parameters(n):
    return b"Content-Type: text/plain" + b"".join(
        b";\n name*%d*=%%41" % i for i in reversed(range(n))) + b"\n\nx\n"


def in_multiparts(n, body):
    return make.chain(n).replace(b"innermost", body)


HOSTILE = {
    "10 000 levels": lambda: make.chain(10_000),
    "10 000 messages in messages":
        lambda: b"Content-Type: message/rfc822\n\n" * 10_000 + b"x\n",
    "100 000 parts": lambda: b"Content-Type: multipart/mixed; boundary=b\n\n"
        + b"--b\n\nx\n" * 100_000 + b"--b--\n",
    "1 000 000 header lines": lambda: b"X: y\n" * 1_000_000 + b"\nx\n",
    "100 000 fields": lambda: b"".join(
        b"X-%d: y\n" % i for i in range(100_000)) + b"\nx\n",
    "a field of 1 000 000 lines":
        lambda: b"Subject: a\n" + b" b\n" * 1_000_000 + b"\nx\n",
    "a line of 10 MB": lambda: b"Subject: a\n\n" + b"x" * 10_000_000 + b"\n",
    "a header line of 10 MB":
        lambda: b"Subject: " + b"x" * 10_000_000 + b"\n\nx\n",
    "20 000 parameters": lambda: parameters(20_000),
    "100 000 addresses": lambda: b"To: " + b",\n ".join(
        b"u%d@example.com" % i for i in range(100_000)) + b"\n\nx\n",
    "100 000 comments": lambda: b"From: " + b"(" * 100_000 + b"\n\nx\n",
    "quotes": lambda: b"From: " + b'"\\' * 100_000 + b"\n\nx\n",
    "dashes": lambda: in_multiparts(90, b"--\n--b\n" * 500_000),
    "100 000 empty fields": lambda: b":\n" * 100_000 + b"\nx\n",
    "words": lambda: b"Subject: " + b"=?utf-8?Q?=C3=A4?= " * 3000 + b"\n\nx\n",
    "NULs": lambda: b"\0" * 1_000_000,
    "line ends": lambda: b"\n" * 3_000_000,
}


@pytest.fixture(scope="module")
def server():
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    s = postern.Server(base / "s")
    s.add_user(postern.JOE)
    compare.fill(s.maildir(), [(name, f()) for name, f in HOSTILE.items()])
    s.start()
    yield s
    s.stop()
    assert not s.reports()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def client(server):
    c = imapread.Client(server.port["imapd"])
    c.do(f'LOGIN {postern.JOE} "{postern.PASSWORD}"')
    c.do("SELECT INBOX")
    yield c
    c.close()


def cpu(server):
    """Seconds that the workers have had."""
    total = 0
    for pid in server.workers():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text()
        total += sum(map(int, fields.rsplit(")", 1)[1].split()[11:13]))
    return total / TICKS


@pytest.fixture(params=range(len(HOSTILE)), ids=list(HOSTILE))
def number(request):
    return request.param + 1


COMMANDS = ("RFC822.SIZE ENVELOPE", "BODY BODYSTRUCTURE",
            "BODY.PEEK[HEADER.FIELDS (SUBJECT X-99999)]",
            "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]",
            "BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[1.1.1.1]",
            "BODY.PEEK[9999]", "BODY.PEEK[]<1000000.1000>",
            "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]")


def test_each_answer_is_well_formed_and_soon(server, client, number):
    for what in COMMANDS:
        before = cpu(server)
        got, tagged = client.fetch(number, what)
        assert tagged.startswith(b"OK"), (what, tagged)
        assert len(got[number]) == len(re.findall(r"[A-Z](?:[A-Z0-9.]|\[.*?\])+",
                                                  what)), what
        assert cpu(server) - before <= CPU_SECONDS, what


def test_body_is_the_file(server, client, number):
    data = HOSTILE[list(HOSTILE)[number - 1]]()
    before = cpu(server)
    got, _ = client.fetch(number, "BODY.PEEK[]")
    assert cpu(server) - before <= CPU_SECONDS
    assert got[number]["BODY[]"] == data.replace(b"\n", b"\r\n")


def test_search_looks_into_all(server, client):
    for keys in ("TEXT innermosty", "SUBJECT nothing", "HEADER X-99999 y",
                 "FROM nobody", "BODY zzz"):
        for n in range(1, len(HOSTILE) + 1):
            before = cpu(server)
            client.do(f"SEARCH {n} {keys}")
            assert cpu(server) - before <= CPU_SECONDS, (n, keys)
