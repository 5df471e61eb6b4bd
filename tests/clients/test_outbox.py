"""OUTBOX: an APPEND to that mailbox sends the message by sendmail."""

import os
import pathlib
import subprocess

import postern
import pytest
from postern import ANN, JOE, imap, message, wait_for

SENDMAIL = """#!/bin/sh
cd {dir} || exit 9
printf '%s\\n' "$0" "$@" >args.$$; env | sort >env.$$; id -u >id.$$
ls /proc/self/fd >fds.$$
cat >mail.$$
case $(cat mail.$$) in
*"Subject: refuse"*) echo "user unknown: <nobody>" >&2; exit 67 ;;
*"Subject: mute"*) exit 3 ;;
*"Subject: hang"*) echo $$ >hangs; exec sleep 1000 ;;
*"Subject: vanish"*) rm -r {outbox}; : >{outbox} ;;
*"Subject: crash"*) kill -KILL $$ ;;
*"Subject: behind"*) (trap '' HUP; read x <{dir}/fifo; echo $x >later) & ;;
esac
mv mail.$$ sent.$$
"""


class Outbox:
    def __init__(self, server, **keys):
        self.server = server
        self.dir = pathlib.Path(server.base, "sendmail.d")
        self.dir.mkdir()
        self.dir.chmod(0o777)
        os.mkfifo(self.dir / "fifo")
        (self.dir / "fifo").chmod(0o666)
        server.add_user(JOE)
        self.program = self.dir / "sendmail"
        self.program.write_text(SENDMAIL.format(
            dir=self.dir, outbox=server.maildir(JOE) / ".Outbox"))
        self.program.chmod(0o755)
        server.set("imapd", OUTBOX=".Outbox", SENDMAIL=str(self.program),
                   **keys)
        server.deliver()

    def sent(self):
        return [p.read_text() for p in sorted(self.dir.glob("sent.*"))]

    def last(self, what):
        found = sorted(self.dir.glob(what + ".*"))
        return found[-1].read_text()


def append(c, text, mailbox="INBOX.Outbox"):
    data = text.replace("\n", "\r\n").encode()
    c.send(b"t APPEND %s {%d+}\r\n%s\r\n" % (
        mailbox.encode(), len(data), data))
    while True:
        line = c.line()
        if line.startswith("t "):
            return line


@pytest.fixture
def outbox(fresh):
    def make(keys=None, **postern_keys):
        server = fresh(**postern_keys)
        box = Outbox(server, **(keys or {}))
        server.start()
        return box
    return make


def test_sends(outbox):
    box = outbox()
    s = box.server
    with imap(s) as c:
        assert "XCOURIEROUTBOX=INBOX.Outbox" in c.ok("CAPABILITY")[0].split()
        # As with Courier, it must be there.
        assert "NO [TRYCREATE]" in append(c, message("early"))
        c.ok("CREATE INBOX.Outbox")
        text = message("one", sender="forged@example.net", to=ANN)
        assert "t OK [APPENDUID" in append(c, text)
        assert box.sent() == [f"X-IMAP-Sender: {JOE}\n" + text]
        assert box.last("args").splitlines()[1:] == ["-oi", "-t", "-f", JOE]
        names = {line.split("=")[0] for line in
                 box.last("env").splitlines()}
        assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}
        assert int(box.last("id")) == s.users[JOE]["uid"]
        assert len(box.last("fds").split()) == 4    # and its own
        assert "MESSAGES 1" in c.ok("STATUS INBOX.Outbox (MESSAGES)")[0]
        # The copy that is kept has no field of ours.
        (kept,) = s.maildir().glob(".Outbox/cur/*")
        assert kept.read_text() == text
        # Larger than any pipe, and than what is kept in memory.
        big = message("big", body="0123456789abcde\n" * 40000)
        assert "t OK" in append(c, big)
        assert any(m.endswith(big) for m in box.sent())
        # Other mailboxes are not for sending.
        assert "t OK" in append(c, message("plain"), "INBOX")
        assert len(box.sent()) == 2
    s.wait_log(rf"SENT, user={JOE}, ip=.*, mailbox=INBOX.Outbox")


def test_failures_store_nothing(outbox):
    box = outbox(SENDMAIL_TIMEOUT=1)
    box.server.patience = 40  # 60 is the default
    with imap(box.server) as c:
        c.ok("CREATE INBOX.Outbox")
        assert append(c, message("refuse")).endswith(
            "NO [ALERT] Message was not sent: user unknown: <nobody>.")
        assert append(c, message("mute")).endswith(
            "NO [ALERT] Message was not sent: sendmail failed, status 3.")
        assert append(c, message("crash")).endswith(
            "NO [ALERT] Message was not sent: "
            "sendmail was ended by signal 9.")
        assert append(c, message("hang")).endswith(
            "NO [ALERT] Message was not sent: it took too long, and may "
            "have been sent.")
        pid = (box.dir / "hangs").read_text().strip()
        wait_for(lambda: not pathlib.Path("/proc", pid).exists(), "its end")
        box.program.unlink()
        assert "No such file or directory." in append(c, message("gone"))
        assert "MESSAGES 0" in c.ok("STATUS INBOX.Outbox (MESSAGES)")[0]
    assert not list(box.server.maildir().glob(".Outbox/tmp/*"))
    box.server.wait_log(
        rf"error sending a message, user={JOE}: user unknown: <nobody>")


def test_copy_sends(outbox):
    box = outbox(keys={"OUTBOX_MULTIPLE_SEND": 1, "HEADERFROM": ""})
    with imap(box.server) as c:
        c.ok("CREATE INBOX.Outbox")
        for n in range(2):
            assert "t OK" in append(c, message(f"copy {n}"), "INBOX")
        c.ok("SELECT INBOX")
        assert "COPYUID" in c.ok("COPY 1:3 INBOX.Outbox")[-1]
        assert sorted(box.sent()) == sorted(
            p.read_text() for p in box.server.maildir().glob("cur/*"))
        assert sum("Subject: copy" in m for m in box.sent()) == 2
        assert "MESSAGES 3" in c.ok("STATUS INBOX.Outbox (MESSAGES)")[0]


def test_append_of_several_sends(outbox):
    """All are here before the first is sent, also those in memory."""
    box = outbox(keys={"OUTBOX_MULTIPLE_SEND": 1, "HEADERFROM": ""})
    texts = [message("one"), message("big", body="0123456789abcde\n" * 40000),
             message("three")]

    def several(c, texts):
        c.send(b"t APPEND INBOX.Outbox" + b"".join(
            b" {%d+}\r\n%s" % (len(data), data) for data in
            (t.replace("\n", "\r\n").encode() for t in texts)))
        assert not box.sent()
        c.send(b"\r\n")
        while True:
            line = c.line()
            if line.startswith("t "):
                return line

    with imap(box.server) as c:
        c.ok("CREATE INBOX.Outbox")
        assert "t OK [APPENDUID" in several(c, texts)
        assert sorted(box.sent()) == sorted(texts)
        assert sorted(texts) == sorted(
            p.read_text() for p in box.server.maildir().glob(".Outbox/cur/*"))
        for sent in box.dir.glob("sent.*"):
            sent.unlink()
        assert several(c, [texts[0], message("refuse"), texts[2]]).endswith(
            "NO [ALERT] 1 of 3 messages were sent, and nothing was stored: "
            "user unknown: <nobody>.")
        assert box.sent() == texts[:1]
        assert "MESSAGES 3" in c.ok("STATUS INBOX.Outbox (MESSAGES)")[0]
    assert not list(box.server.maildir().glob(".Outbox/tmp/*"))


@pytest.mark.parametrize("word", ["APPEND", "COPY"])
def test_sent_but_not_stored(outbox, word):
    """While sendmail runs a file takes the place of the mailbox."""
    box = outbox()
    text = message("vanish")
    with imap(box.server) as c:
        c.ok("CREATE INBOX.Outbox")
        if word == "APPEND":
            said = append(c, text)
            assert said.endswith(
                "NO [ALERT] The message was sent, but can't be stored.")
        else:
            c.ok("SELECT INBOX")
            assert "t OK" in append(c, text, "INBOX")
            said = c.imap("COPY 2 INBOX.Outbox")[-1]
            assert said.endswith("NO [ALERT] What was to be sent was sent, "
                                 "but can't be copied.")
        assert len(box.sent()) == 1
        c.ok("SELECT INBOX")


def test_what_it_leaves_behind_lives_on(outbox):
    box = outbox(keys={"HEADERFROM": ""})
    with imap(box.server) as c:
        c.ok("CREATE INBOX.Outbox")
        text = message("behind")
        assert "t OK" in append(c, text)
        assert box.sent() == [text]
        (box.dir / "fifo").write_text("x\n")
        wait_for((box.dir / "later").exists, "what runs in the background")


def test_at_most_so_many(outbox):
    box = outbox(SENDMAIL_MAX=1, SENDMAIL_TIMEOUT=600)
    with imap(box.server) as c, imap(box.server) as d:
        c.ok("CREATE INBOX.Outbox")
        data = message("hang").replace("\n", "\r\n").encode()
        c.send(b"t APPEND INBOX.Outbox {%d+}\r\n%s\r\n" %
               (len(data), data))
        wait_for((box.dir / "hangs").exists, "the first one")
        assert "too many messages are being sent" in append(d, message("two"))
        # Others' commands don't wait for it.
        d.ok("SELECT INBOX")
        os.kill(int((box.dir / "hangs").read_text()), 15)
        assert "ended by signal 15" in c.line()


def test_imapd_by_hand(outbox):
    box = outbox()
    s = box.server
    (s.maildir() / ".Outbox").mkdir()
    for name in ("cur", "new", "tmp"):
        (s.maildir() / ".Outbox" / name).mkdir()
    s.chown_all()
    text = message("by hand").replace("\n", "\r\n")
    said = subprocess.run(
        s.as_user([postern.program("imapd"), "-c", str(s.conf),
                   str(s.maildir())]),
        input=(f"a APPEND INBOX.Outbox {{{len(text)}+}}\r\n{text}\r\n"
               "b LOGOUT\r\n").encode(), capture_output=True,
        env={**s.environment(), "AUTHENTICATED": JOE}).stdout.decode()
    assert "a OK [APPENDUID" in said
    assert "Subject: by hand" in box.sent()[0]
    assert box.last("args").splitlines()[1:] == ["-oi", "-t", "-f", JOE]
