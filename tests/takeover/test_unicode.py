"""Messages whose headers aren't ASCII (MIME_UNICODE_MESSAGE_TYPE), beside
Courier: a POP3 client that did not say UTF8 gets them as an attachment, an
IMAP client, and one that did, gets them as they are."""
import email
import os
import poplib
import re
import subprocess

import postern
import pytest
import servers
from servers import ok

O = "\u00f6".encode()
MULTI = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
INNER = b"MIME-Version: 1.0\nContent-Type: message/rfc822\n"
# name: (bytes, whether a header isn't ASCII)
MESSAGES = {
    "ascii": (b"Subject: x\n\n.dot\nlast\n", False),
    "subject": (b"Subject: " + O + b"\n\n.dot\nlast\n", True),
    "latin-1": (b"From: J\xf6rg <j@example.org>\n\nx\n", True),
    "body": (b"Subject: x\n\n" + O + b"\n", False),
    "no end": (b"Subject: " + O + b"\n\nlast", True),
    "long": (b"Subject: " + O + b"\n\n" + 3000 * b"a line of text\n", True),
    "part": (MULTI + b"--b\nContent-Description: " + O + b"\n\nx\n--b--\n",
             True),
    "second part": (MULTI + b"--b\n\nx\n--b\nX: " + O + b"\n\nx\n--b--\n",
                    True),
    "body of a part": (MULTI + b"--b\n\n" + O + b"\n--b--\n", False),
    "preamble": (MULTI + O + b"\n--b\n\nx\n--b--\n" + O + b"\n", False),
    "encapsulated": (INNER + b"\nSubject: " + O + b"\n\nx\n", True),
    "encapsulated, body": (INNER + b"\nSubject: x\n\n" + O + b"\n", False),
    "encapsulated, part": (INNER + b"\n" + MULTI + b"--b\nX: " + O +
                           b"\n\nx\n--b--\n", True),
}
WIRE = {name: text.replace(b"\n", b"\r\n")
        for name, (text, _) in MESSAGES.items()}


def fill(maildir):
    for sub in ("new", "tmp", "cur"):
        (maildir / sub).mkdir(parents=True, exist_ok=True)
    for n, (text, _) in enumerate(MESSAGES.values()):
        (maildir / "cur" / f"{1700000000 + n}.M1P1.host:2,").write_bytes(text)
    for path in [maildir.parent, maildir, *maildir.rglob("*")]:
        os.chown(path, servers.UID, servers.UID)


class Session:
    """POP3 to a program on a pipe, or to a server."""

    def __init__(self, read, write):
        self.read, self.write = read, write

    def say(self, line):
        self.write(line.encode() + b"\r\n")
        said = self.read()
        assert said.startswith(b"+OK"), (line, said)
        return said.decode().strip()

    def text(self, line):
        """The announced octets, and the message."""
        head, lines = self.say(line), []
        while (got := self.read()) != b".\r\n":
            lines.append(got[1:] if got.startswith(b".") else got)
        found = re.match(r"\+OK (\d+) octets", head)
        return found and int(found[1]), b"".join(lines)


def of_courier(courier, **env):
    process = subprocess.Popen(
        courier.argv(courier.pop3_command, **courier.environment(), **env),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, bufsize=0)
    reader = process.stdout
    lines = os.fdopen(os.dup(reader.fileno()), "rb")
    session = Session(lines.readline, process.stdin.write)
    assert lines.readline().startswith(b"+OK logged in")
    return session


def of_postern(server, utf8=False):
    client = poplib.POP3("127.0.0.1", server.port["pop3d"])
    if utf8:
        client.utf8()
    client.user(postern.JOE)
    client.pass_(postern.PASSWORD)
    return Session(client.file.readline, client.sock.sendall)


def retrieve(session):
    return {name: session.text(f"RETR {n + 1}")
            for n, name in enumerate(MESSAGES)}


def attached(text, kind):
    """The message within a surrogate, or None if there is none around it."""
    outer = email.message_from_bytes(text)
    if outer["Subject"] != "Cannot display Unicode content":
        return None
    assert [p.get_content_type() for p in outer.walk()][:3] == [
        "multipart/mixed", "text/plain", kind]
    assert outer.defects == []
    end = b"\r\n--" + outer.get_boundary().encode() + b"--\r\n"
    assert text.endswith(end)
    return text[text.index(f"\r\nContent-Type: {kind}\r\n\r\n".encode()) +
                len(kind) + 20:-len(end)]


def ended(text):
    return text if text.endswith(b"\r\n") else text + b"\r\n"


@pytest.mark.parametrize("kind", ["message/global", "message/rfc822"])
def test_pop3(root, home, kind):
    """The same messages are wrapped, and come out of it as they went in."""
    fill(home / "Maildir")
    fill(home / "courier" / "Maildir")
    os.chown(home, servers.UID, servers.UID)
    courier = servers.Courier(root, home / "courier" / "Maildir")
    theirs = of_courier(courier, UTF8=0, MIME_UNICODE_MESSAGE_TYPE=kind)
    p = servers.Postern(home.parent / "s", home / "Maildir")
    p.server.set("pop3d", MIME_UNICODE_MESSAGE_TYPE=kind)
    with p:
        ours = of_postern(p.server)
        listed = dict(line.split() for line in
                      ours.text("LIST")[1].decode().splitlines())
        total = int(ours.say("STAT").split()[2])
        got, courier_got = retrieve(ours), retrieve(theirs)
        for n, (name, (octets, text)) in enumerate(got.items()):
            wanted = attached(courier_got[name][1], kind)
            assert (wanted is not None) == MESSAGES[name][1], name
            found = attached(text, kind)
            if wanted is not None:
                # Courier adds no line end to a last line without one
                assert found == ended(wanted) == ended(WIRE[name]), name
            else:
                assert found is None and text == WIRE[name], name
            assert octets == len(text) == int(listed[str(n + 1)]), name
        assert total == sum(len(text) for _, text in got.values())
        # Both take UTF8 after login.
        for session in (ours, theirs):
            assert session.say("UTF8") == "+OK UTF8 enabled"
            for name, (_, text) in retrieve(session).items():
                assert ended(text) == ended(WIRE[name])
            session.say("QUIT")
        ours = of_postern(p.server, utf8=True)
        assert int(ours.say("STAT").split()[2]) == sum(
            len(ended(text)) for text in WIRE.values())
        assert {n: t for n, (_, t) in retrieve(ours).items()} == {
            n: ended(t) for n, t in WIRE.items()}
        capa = ours.text("CAPA")[1].split(b"\r\n")
        ours.say("QUIT")
    assert b"UTF8 USER" in capa


def test_what_courier_knew(root, home, courier, postern_):
    """Its list of sizes says which messages these are; ours says the same."""
    fill(courier.maildir)
    os.chown(home, servers.UID, servers.UID)
    listed = courier.maildir / "courierpop3dsizelist"

    def flags():
        return [line.rsplit(":", 1)[1] == "1"
                for line in listed.read_text().splitlines()[1:]]

    courier.pop3()
    assert flags() == [wide for _, wide in MESSAGES.values()]
    lines = listed.read_text().splitlines()
    odd = list(MESSAGES).index("body")
    assert lines[1 + odd].endswith(":0")
    lines[1 + odd] = lines[1 + odd][:-1] + "1"
    listed.write_text("\n".join([*lines, ""]))
    with postern_ as p:
        got = retrieve(of_postern(p.server))
        assert attached(got["body"][1], "message/global") == WIRE["body"]
        assert attached(got["ascii"][1], "message/global") is None
    assert flags() == [name == "body" or wide
                       for name, (_, wide) in MESSAGES.items()]


def test_own_list(root, home, courier, postern_):
    """What Postern found out itself stands in the list that it leaves."""
    fill(courier.maildir)
    os.chown(home, servers.UID, servers.UID)
    with postern_ as p:
        retrieve(of_postern(p.server))
    text = (courier.maildir / "courierpop3dsizelist").read_text()
    assert [line.endswith(":1") for line in text.splitlines()[1:]] == [
        wide for _, wide in MESSAGES.values()]


def test_imap(root, home, courier, postern_):
    """IMAP has no surrogates: neither here nor there."""
    def bodies(server):
        with server.imap() as client:
            ok(client.select("INBOX"))
            reply = ok(client.fetch("1:*", "(RFC822.SIZE BODY.PEEK[])"))
        parts = [p for p in reply if isinstance(p, tuple)]
        return [(int(re.search(rb"RFC822.SIZE (\d+)", head)[1]), text)
                for head, text in parts]

    fill(courier.maildir)
    os.chown(home, servers.UID, servers.UID)
    seen = bodies(courier)
    assert seen == [(len(t), t) for t in WIRE.values()]
    with postern_ as p:
        assert bodies(p) == seen
