"""UTF8=ACCEPT (RFC 6855), beside Courier's imapd: the same mailboxes by the same
names, before and after ENABLE, made by either of the two."""
import os
import subprocess

import postern
import pytest
import servers

O = "\u00f6".encode()
NAMES = [b"INBOX.Gr" + O + b"\xc3\x9fe", b"INBOX.R&D", b"INBOX.\xe2\x82\xac"]
LATIN1 = b"Subject: J\xf6rg\r\n\r\nx\r\n"


def make(maildir):
    for sub in ("new", "tmp", "cur"):
        (maildir / sub).mkdir(parents=True, exist_ok=True)
        os.chown(maildir / sub, servers.UID, servers.UID)
    os.chown(maildir, servers.UID, servers.UID)


def courier_argv(courier):
    return courier.argv(courier.imap_command, **courier.environment())


def postern_argv(courier):
    etc = courier.maildir.parent.parent / "conf"
    etc.mkdir(exist_ok=True)
    (etc / "postern").write_text("LOG=/dev/null\n")
    return courier.argv([postern.program("imapd"), "-c", str(etc), "Maildir"],
                        AUTHENTICATED="joe")


BOTH = pytest.mark.parametrize("first,second", [
    (courier_argv, postern_argv), (postern_argv, courier_argv)])


class Session:
    """IMAP to a program, one command at a time."""

    def __init__(self, argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.n = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()

    def say(self, *pieces):
        """Pieces after the first are sent one at a time, as literals' bytes
        are; the untagged lines, and OK, NO or BAD."""
        self.n += 1
        tag, lines = b"%d" % self.n, []
        text = [tag + b" " + pieces[0], *pieces[1:]]
        while True:
            if text:
                self.process.stdin.write(text.pop(0) + b"\r\n")
                self.process.stdin.flush()
            while True:
                line = self.process.stdout.readline().rstrip(b"\r\n")
                assert line or self.process.poll() is None
                if line.startswith(tag + b" "):
                    return lines, line.split()[1].decode()
                if line.startswith(b"+"):
                    break
                lines.append(line)

    def names(self):
        lines, state = self.say(b'LIST "" "INBOX.*"')
        assert state == "OK"
        return sorted(line.split(b'"." ', 1)[1].strip(b'"')
                      for line in lines if line.startswith(b"* LIST"))


@BOTH
def test_names(courier, first, second):
    make(courier.maildir)
    with Session(first(courier)) as one:
        assert one.say(b"ENABLE UTF8=ACCEPT")[0][-1:] == [
            b"* ENABLED UTF8=ACCEPT"]
        for name in NAMES:
            assert one.say(b'CREATE "%s"' % name)[1] == "OK"
            assert one.say(b'SUBSCRIBE "%s"' % name)[1] == "OK"
        assert one.names() == sorted(NAMES)
    with Session(second(courier)) as other:
        assert other.names() == sorted(
            [b"INBOX.Gr&APYA3w-e", b"INBOX.R&-D", b"INBOX.&IKw-"])
        assert other.say(b"ENABLE UTF8=ACCEPT")[1] == "OK"
        assert other.names() == sorted(NAMES)
        for name in NAMES:
            lines, state = other.say(b'STATUS "%s" (MESSAGES)' % name)
            assert state == "OK"
            assert b'* STATUS "%s" (MESSAGES 0)' % name in lines
            assert other.say(b'SELECT "%s"' % name)[1] == "OK"
        lines, state = other.say(b'LSUB "" "*"')
        assert state == "OK"
        for name in NAMES:
            assert any(b'"%s"' % name in line for line in lines)


@pytest.mark.parametrize("who", [courier_argv, postern_argv])
def test_rules(courier, who):
    """What both refuse; Courier says NO to a syntax error now and then."""
    make(courier.maildir)
    with Session(who(courier)) as s:
        assert any(b"ENABLE UTF8=ACCEPT" in line
                   for line in s.say(b"CAPABILITY")[0])
        assert s.say(b'CREATE "INBOX.\xff"')[1] != "OK"
        # neither loses what an old program has written
        assert s.say(b"APPEND INBOX {%d}" % len(LATIN1), LATIN1)[1] == "OK"
        assert s.say(b"SELECT INBOX")[1] == "OK"
        assert s.say(b"ENABLE UTF8=ACCEPT")[1] == "OK"
        assert s.say(b"SEARCH CHARSET UTF-8 ALL")[1] != "OK"
        assert s.say(b"SORT (ARRIVAL) ISO-8859-1 ALL")[1] == "BAD"
        assert s.say(b"SORT (ARRIVAL) UTF-8 ALL")[1] == "OK"
        assert s.say(b'SEARCH SUBJECT "%s"' % O)[1] == "OK"
