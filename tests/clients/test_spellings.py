"""One Maildir under several names: rows that spell its path differently, or
lead to it by symbolic links, or have another address. Sessions by all of them
see one mailbox."""
import imaplib
import os
import poplib
import re

import postern
import pytest
from postern import JOE, PASSWORD, message, wait_for

# address -> home below the server's, maildir
NAMES = {
    JOE: ("", "example.com/joe/"),
    "joe.long@example.com": ("", "example.com/joe"),
    "slash@example.com": ("//", "example.com//./joe//"),
    "home@example.com": ("/./example.com/", "joe/."),
    "link@example.com": ("", "example.com/link/"),
    "moved@example.com": ("/moved", "joe/"),
}


@pytest.fixture(scope="module", params=[1, 4])
def server(request, directory):
    """With one worker all meet in one process; with four they need not."""
    s = postern.Server(directory / f"s{request.param}", WORKERS=request.param)
    for email, (home, maildir) in NAMES.items():
        s.add_user(email, homedir=f"{s.home}{home}", maildir=maildir)
    (s.home / "example.com").mkdir()
    (s.home / "example.com/link").symlink_to("joe")
    (s.home / "moved").symlink_to(s.home / "example.com")
    with s:
        yield s


def ok(reply):
    assert reply[0] == "OK", reply
    return reply[1]


class Reader:
    """A session that has INBOX selected, and what it has been shown."""

    def __init__(self, server, email):
        self.c = imaplib.IMAP4("127.0.0.1", server.port["imapd"])
        ok(self.c.login(email, PASSWORD))
        ok(self.c.select("INBOX"))

    def messages(self):
        """{Message-ID: uid}, and each only once."""
        ok(self.c.noop())
        found = {}
        for part in ok(self.c.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER."
                                  "FIELDS (MESSAGE-ID)])")):
            if isinstance(part, tuple):
                uid = int(re.search(rb"UID (\d+)", part[0]).group(1))
                name = part[1].split()[1]
                assert name not in found
                found[name] = uid
        return found

    def flags(self):
        ok(self.c.noop())
        return {int(re.search(rb"UID (\d+)", line).group(1)):
                set(re.search(rb"FLAGS \(([^)]*)", line).group(1).split())
                - {rb"\Recent"}
                for line in ok(self.c.uid("FETCH", "1:*", "(FLAGS)"))}


def text(n):
    return message(f"Spelt {n}", n=n).replace("\n", "\r\n").encode()


def test_one_mailbox(server):
    # before there is a Maildir
    readers = [Reader(server, email) for email in NAMES]
    n = 0
    for round_ in range(3):
        # each brings one, and so does a deliverer, while all look on
        for reader in readers:
            n += 1
            ok(reader.c.append("INBOX", None, None, text(n)))
            server.deliver(message(f"Delivered {n}", n=1000 + n))
            ok(readers[n % len(readers)].c.noop())
        seen = [wait_for(lambda r=r: (lambda m: m if len(m) == 2 * n else None)
                         (r.messages()), "all messages") for r in readers]
        assert all(one == seen[0] for one in seen)
        # what one sets, all see
        for uid, reader in zip(sorted(seen[0].values())[-6:], readers):
            ok(reader.c.uid("STORE", str(uid), "+FLAGS", f"(\\Seen Word{uid})"))
        flags = [r.flags() for r in readers]
        assert all(one == flags[0] for one in flags)
        assert sum(rb"\Seen" in f for f in flags[0].values()) == \
            6 * (round_ + 1)
    # what one expunges is gone for all, and its UID with it
    uids = sorted(seen[0].values())
    for uid, reader in zip(uids, readers):
        ok(reader.c.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)"))
        ok(reader.c.expunge())
    for reader in readers:
        assert sorted(wait_for(
            lambda r=reader: (lambda m: m if len(m) == 2 * n - 6 else None)
            (r.messages()), "all expunged").values()) == uids[6:]
    assert len({str(ok(r.c.status("INBOX", "(UIDVALIDITY UIDNEXT MESSAGES)")))
                for r in readers}) == 1
    for reader in readers:
        reader.c.logout()


def test_told_while_idle(server):
    idle = [Reader(server, email) for email in NAMES]
    for reader in idle:
        reader.c.sock.settimeout(postern.PATIENCE)
        reader.c.send(b"x IDLE\r\n")
        assert reader.c.readline().startswith(b"+")
    for email in NAMES:
        other = Reader(server, email)
        before = len(other.messages())
        ok(other.c.append("INBOX", None, None, text(5000 + before)))
        for reader in idle:
            line = b""
            while line != b"* %d EXISTS\r\n" % (before + 1):
                line = reader.c.readline()
                assert line.startswith(b"* "), line
        other.c.logout()
    for reader in idle:
        reader.c.send(b"DONE\r\n")
        while not reader.c.readline().startswith(b"x OK"):
            pass
        reader.c.logout()


def test_pop3(server):
    """The same unique-ids by all names; what one removes is gone for all."""
    def ids(email, remove=None):
        p = poplib.POP3("127.0.0.1", server.port["pop3d"])
        p.user(email)
        p.pass_(PASSWORD)
        found = [line.split()[1] for line in p.uidl()[1]]
        if remove is not None:
            p.dele(remove)
        p.quit()
        return found
    first = ids(JOE)
    assert first
    for email in NAMES:
        assert ids(email, remove=1) == first
        del first[0]


def test_one_state(server):
    """Where all are served by one process, the account is opened once."""
    readers = [Reader(server, email) for email in NAMES]
    real = os.path.realpath(server.maildir() / "postern.db")
    for pid in server.workers():
        fds = [os.path.realpath(f"/proc/{pid}/fd/{fd}")
               for fd in os.listdir(f"/proc/{pid}/fd")]
        assert fds.count(real) <= 1
    for reader in readers:
        reader.c.logout()
