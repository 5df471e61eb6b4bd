"""Where the parts of a large message are is kept: whoever comes later for one
of them doesn't have all of the message read again, and what was kept of a
file says nothing of another one in its place."""

import pathlib
import os
import re
import shutil
import tempfile

import compare
import imapread
import postern
import pytest

PARTS = 20
PART = 1024 * 1024


def large(letter):
    """Attachments of 1 MiB each, of lines with a letter and their number."""
    lines = [b"Content-Type: multipart/mixed; boundary=b\n\n"]
    for n in range(1, PARTS + 1):
        line = b"%02d %s\n" % (n, letter * 60)
        lines.append(b"--b\nContent-Type: application/x-%d\n\n" % n
                     + line * (PART // len(line)) + b"\n")
    return b"".join([*lines, b"--b--\n"])


@pytest.fixture(scope="module")
def server():
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    s = postern.Server(base / "s")
    s.add_user(postern.JOE)
    compare.fill(s.maildir(), [("large", large(b"a"))])
    s.start()
    yield s
    s.stop()
    assert not s.reports()
    shutil.rmtree(base, ignore_errors=True)


def connect(server):
    c = imapread.Client(server.port["imapd"])
    c.do(f'LOGIN {postern.JOE} "{postern.PASSWORD}"')
    c.do("SELECT INBOX")
    return c


def has_read(server):
    """Bytes that the workers have read so far."""
    return sum(
        int(re.search(r"rchar: (\d+)", pathlib.Path(f"/proc/{pid}/io")
                      .read_text()).group(1))
        for pid in server.workers())


def fetch(server, item):
    """An item of the message in a session of its own, and the bytes that
    the server read for it."""
    c = connect(server)
    before = has_read(server)
    got, tagged = c.fetch(1, item)
    after = has_read(server)
    c.close()
    assert tagged.startswith(b"OK"), tagged
    (value,) = got[1].values()
    return value, after - before


def test_a_later_session_reads_only_the_part(server):
    fetch(server, "BODYSTRUCTURE")
    last = large(b"a").replace(b"\n", b"\r\n").split(b"--b\r\n")[-1]
    body = last.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--b--")[0]
    value, read = fetch(server, f"BODY.PEEK[{PARTS}]<0.65536>")
    assert value == body[:65536]
    assert read < 500_000
    value, read = fetch(server, f"BODY.PEEK[{PARTS}.MIME]")
    assert value == b"Content-Type: application/x-%d\r\n\r\n" % PARTS
    assert read < 200_000
    value, read = fetch(server, f"BINARY.PEEK[{PARTS}]")
    assert value == body
    assert read < 3 * PART


def test_sizes_without_encoding_are_kept(server):
    fetch(server, "BODYSTRUCTURE")
    size, read = fetch(server, "BINARY.SIZE[7]")
    assert read > PART
    again, read = fetch(server, "BINARY.SIZE[7]")
    assert again == size
    assert read < 200_000
    # with what was counted before it, the next is kept as well
    other, _ = fetch(server, "BINARY.SIZE[8]")
    assert fetch(server, "BINARY.SIZE[8]") == (other, pytest.approx(
        0, abs=200_000))
    again, read = fetch(server, "BINARY.SIZE[7]")
    assert again == size
    assert read < 200_000


def test_another_file_in_its_place_is_read(server):
    fetch(server, "BODYSTRUCTURE")
    c = connect(server)
    c.fetch(1, "BODY.PEEK[2.MIME]")
    (path,) = (p for folder in ("cur", "new")
               for p in (server.maildir() / folder).iterdir())
    first = b"--b\nContent-Type: application/x-1\n\n"
    new = large(b"a").replace(first, b"." * (len(first) - 1) + b"\n", 1)
    assert len(new) == len(large(b"a"))
    fresh = path.parent.parent / "tmp" / path.name
    fresh.write_bytes(new)
    shutil.copystat(path, fresh)
    shutil.chown(fresh, path.stat().st_uid, path.stat().st_gid)
    fresh.rename(path)
    for client in (c, connect(server)):
        got, _ = client.fetch(1, "BODY.PEEK[1.MIME]")
        assert got[1]["BODY[1.MIME]"] == \
            b"Content-Type: application/x-2\r\n\r\n"
        client.close()


HEADERS = ("BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]", "BODY.PEEK[HEADER]",
           "BODY.PEEK[HEADER.FIELDS (X-UNHEARD-OF SUBJECT)]",
           "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]<5.40>",
           "BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]<3.20>",
           "BODY.PEEK[HEADER]<2.9>", "RFC822.HEADER",
           "RFC822.SIZE BODY.PEEK[HEADER.FIELDS.NOT (TO)]",
           "BODY.PEEK[HEADER]<0.7> BODY.PEEK[TEXT]<0.9>")


def has_called(server):
    """How often the workers have called read() and the like so far."""
    return sum(
        int(re.search(r"syscr: (\d+)", pathlib.Path(f"/proc/{pid}/io")
                      .read_text()).group(1))
        for pid in server.workers())


def headers(server, items):
    """What two sessions get of all messages, and the calls of the second."""
    found = []
    for _ in range(2):
        c = connect(server)
        before = has_called(server)
        got, tagged = c.fetch("1:*", items)
        calls = has_called(server) - before
        c.close()
        assert tagged.startswith(b"OK"), tagged
        found.append(got)
    return *found, calls


@pytest.fixture(scope="module")
def many():
    """A server with the whole corpus in INBOX."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    s = postern.Server(base / "s")
    s.add_user(postern.JOE)
    compare.fill(s.maildir(), compare.corpus())
    s.start()
    yield s
    s.stop()
    assert not s.reports()
    shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("items", HEADERS)
def test_headers_are_the_same_from_the_cache(many, items):
    first, again, _ = headers(many, items)
    assert first == again
    assert len(first) == len(compare.corpus())


@pytest.mark.parametrize("items", HEADERS[:-1])
def test_headers_are_read_once(many, items):
    *_, calls = headers(many, items)
    files = sum(len(os.listdir(many.maildir() / folder))
                for folder in ("cur", "new"))
    assert files > 300
    # headers of more than 16 KiB aren't kept, and rows are read
    assert calls < files / 2
