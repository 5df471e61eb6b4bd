"""imapd on standard input and output: `ssh host imapd`, without the ssh; and
pop3d the same way."""

import imaplib
import os
import shlex
import subprocess

import pytest
from postern import (PATIENCE, PLAIN_UID, message, need, program, wait_for)


class Account:
    """A Maildir without a server, and how its owner runs imapd."""

    def __init__(self, base):
        self.base = base
        self.maildir = base / "Maildir"
        for sub in ("tmp", "new", "cur"):
            (self.maildir / sub).mkdir(parents=True)
        (base / "etc").mkdir()
        (base / "etc/postern").write_text(f"LOG={base}/log\n")
        self.n = 0

    def deliver(self, subject):
        self.n += 1
        (self.maildir / "new" / f"170000000{self.n}.M1P1.host").write_text(
            message(subject))

    def argv(self, *arguments, name="imapd"):
        """As somebody, for a worker is never root."""
        if os.geteuid() == 0:
            for path in (self.base, *self.base.rglob("*")):
                os.chown(path, PLAIN_UID, PLAIN_UID)
            for path in self.base.parents:
                if str(path).startswith("/tmp/"):
                    path.chmod(path.stat().st_mode | 0o011)
        who = ["setpriv", f"--reuid={PLAIN_UID}", f"--regid={PLAIN_UID}",
               "--clear-groups", "--"] if os.geteuid() == 0 else []
        return [*who, program(name), "-c", str(self.base / "etc"),
                *arguments]

    def run(self, text, *arguments, name="imapd", **env):
        done = subprocess.run(
            self.argv(*arguments, name=name), input=text.encode(), capture_output=True,
            cwd=self.base, timeout=4 * PATIENCE,
            env={"PATH": os.environ["PATH"], "AUTHENTICATED": "joe", **env})
        return done.stdout.decode().split("\r\n")

    def subjects(self):
        return len(list((self.maildir / "new").iterdir())
                   + list((self.maildir / "cur").iterdir()))


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path)


def test_it_is_preauthenticated(account):
    account.deliver("One")
    lines = account.run("1 SELECT INBOX\r\n2 FETCH 1 FLAGS\r\n3 LOGOUT\r\n")
    assert lines[0].startswith("* PREAUTH ")
    assert lines[0].endswith("] Ready.")
    assert "* 1 EXISTS" in lines
    assert "3 OK LOGOUT completed" in lines[-2] or \
        lines[-2].startswith("3 OK"), lines
    assert "user=joe" in (account.base / "log").read_text()


@pytest.mark.parametrize("how", ["argument", "MAILDIR", "default", "path"])
def test_it_finds_the_maildir(account, how):
    account.deliver("One")
    arguments = {"argument": ["./Maildir"],
                 "path": [str(account.maildir)]}.get(how, [])
    env = {"MAILDIR": "./Maildir"} if how == "MAILDIR" else {}
    lines = account.run("1 STATUS INBOX (MESSAGES)\r\n2 LOGOUT\r\n",
                        *arguments, **env)
    assert '* STATUS "INBOX" (MESSAGES 1)' in lines


def test_the_end_of_input_ends_it(account):
    lines = account.run("1 NOOP\r\n")
    assert lines[-2].startswith("1 OK")
    assert account.run("")[0].startswith("* PREAUTH")


def test_files_for_streams(account, tmp_path):
    (tmp_path / "in").write_text("1 CAPABILITY\r\n2 LOGOUT\r\n")
    with open(tmp_path / "in") as given, open(tmp_path / "out", "w") as taken:
        subprocess.run(account.argv(), stdin=given, stdout=taken, check=True,
                       cwd=tmp_path, timeout=4 * PATIENCE)
    assert "2 OK" in (tmp_path / "out").read_text()


def test_it_passes_much_both_ways(account):
    size = 5_000_000
    body = ("x" * 98 + "\r\n") * (size // 100)
    lines = account.run(
        f"1 APPEND INBOX {{{size}+}}\r\n{body}\r\n"
        + "2 SELECT INBOX\r\n" + "3 FETCH 1 BODY[]\r\n" * 10
        + "4 LOGOUT\r\n")
    assert sum(line == "x" * 98 for line in lines) == 10 * size // 100
    assert lines[-2].startswith("4 OK")


def test_a_locked_account(account):
    """By the sticky bit of its home, as with a login."""
    account.deliver("One")
    account.base.chmod(0o1755)
    lines = account.run("1 NOOP\r\n", HOME=str(account.base))
    assert lines[0].startswith("* BYE") and "+t bit" in lines[0]


def test_names_that_are_too_long(account):
    long = "/" + 100_000 * "x"
    for env in ({"HOME": long, "MAILDIR": long}, {"AUTHENTICATED": long}):
        assert account.run("1 NOOP\r\n", **env) == [
            "* BYE [CONTACTADMIN] The name of the user, HOME or the Maildir is too long.", ""]


def test_the_end_is_logged(account):
    """Also where nobody takes the answers any more."""
    with subprocess.Popen(account.argv(), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, cwd=account.base) as p:
        assert p.stdout.readline().startswith(b"* PREAUTH")
        p.stdout.close()
        p.stdin.write(b"1 NOOP\r\n")
        p.stdin.flush()
        assert p.wait(PATIENCE) == 0
    log = (account.base / "log").read_text()
    assert "LOGIN, user=" in log
    assert "Disconnected during shutdown" in log or "DISCONNECTED" in log


@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_version(name):
    said = subprocess.run([program(name), "--version"],
                          capture_output=True, text=True).stdout
    assert name in said


def test_pop3(account):
    """From the transaction state on; QUIT alone removes (RFC 1939 6)."""
    account.deliver("One")
    account.deliver("Two")
    lines = account.run("STAT\r\nDELE 1\r\n", name="pop3d")
    assert lines[0] == "+OK logged in."
    assert lines[1].startswith("+OK 2 ")
    assert lines[2].startswith("+OK")
    assert account.subjects() == 2
    lines = account.run("DELE 1\r\nQUIT\r\n", "./Maildir", name="pop3d",
                        TCPREMOTEIP="192.0.2.7", TCPREMOTEPORT="4321")
    assert lines[-2].startswith("+OK")
    assert account.subjects() == 1
    log = (account.base / "log").read_text()
    assert "LOGIN, user=joe, ip=[192.0.2.7], port=[4321]" in log.replace(
        "::ffff:", "")


def test_pop3_of_nobody(account):
    lines = account.run("STAT\r\n", "/nonexistent/Maildir", name="pop3d")
    assert len(lines) == 2 and lines[0].startswith("-ERR [SYS/PERM]")


def test_no_place_of_a_client(account):
    """What the environment says is foreign: an address or nothing."""
    account.run("1 LOGOUT\r\n", TCPREMOTEIP="a, user=ann",
                TCPREMOTEPORT="99999")
    log = (account.base / "log").read_text()
    assert "ip=[127.0.0.1], port=[0]" in log.replace("::ffff:", "")
    assert "ann" not in log


def test_imaplib(account):
    account.deliver("One")
    c = imaplib.IMAP4_stream(
        f"cd {account.base} && exec {shlex.join(account.argv())}")
    assert c.state == "AUTH"
    assert c.select()[1] == [b"1"]
    assert c.store("1", "+FLAGS", r"(\Seen)")[0] == "OK"
    c.logout()
    assert any(p.name.endswith(":2,S")
               for p in (account.maildir / "cur").iterdir())


def test_mutt_tunnel(account):
    mutt = need("mutt", "mutt")
    account.deliver("First")
    account.deliver("Second")
    tunnel = f"cd {account.base} && exec {shlex.join(account.argv())}"
    rc = account.base / "muttrc"
    rc.write_text(
        f"set tunnel=\"{tunnel}\"\nset ssl_starttls=no\n"
        "set folder=imap://joe@localhost/\n"
        "set spoolfile=imap://joe@localhost/INBOX\nset delete=yes\n"
        "set sleep_time=0\nset wait_key=no\nset quit=yes\n"
        "push '<last-entry><delete-message><sync-mailbox><quit>'\n")
    subprocess.run(
        ["script", "-qec", f"{mutt} -n -F {rc}", "/dev/null"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * PATIENCE,
        env={"PATH": os.environ["PATH"], "HOME": str(account.base),
             "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    wait_for(lambda: account.subjects() == 1, "mutt has expunged one")


@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_an_option_is_no_maildir(tmp_path, name):
    """One that isn't known makes no Maildir of that name."""
    for args, status in ((["--help"], 0), (["-h"], 1), (["-c"], 1),
                         (["-c", "/", "--no"], 1)):
        done = subprocess.run([program(name), *args], cwd=tmp_path,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == status
        assert "[MAILDIR]" in (done.stdout if status == 0 else done.stderr)
    assert not list(tmp_path.iterdir())
