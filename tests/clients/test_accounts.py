"""Accounts that may not, or can't, be served: a clear answer each time."""

import contextlib
import errno
import os
import re
import sqlite3
import subprocess

import postern
import pytest
from postern import ANN, JOE, PASSWORD, Lines, imap, pop3, wait_for


@pytest.fixture
def started(fresh):
    """A server with joe, whose home is his own."""
    def start(**columns):
        s = fresh()
        home = s.home / "joe"
        home.mkdir()
        s.add_user(JOE, **{"homedir": str(home), "maildir": "Maildir/",
                           **columns})
        s.add_user(ANN)
        s.joe = home
        s.start()
        return s
    return start


def imap_login(server, user=JOE, service="imapd"):
    """The tagged answer to LOGIN, and what comes after it."""
    with Lines(server.connect(service)) as c:
        c.line()
        tagged = c.imap(f'LOGIN {user} "{PASSWORD}"')[-1].split(" ", 1)[1]
        after = None
        if not tagged.startswith("OK"):
            c.sock.settimeout(0.5)
            try:
                after = c.line()
            except OSError:
                after = ""
        return tagged, after


def pop_login(server, user=JOE, service="pop3d"):
    with Lines(server.connect(service)) as p:
        p.line()
        p.pop(f"USER {user}")
        return p.pop(f"PASS {PASSWORD}")[0]


def set_options(server, text, user=JOE):
    with contextlib.closing(sqlite3.connect(server.table)) as db, db:
        db.execute("UPDATE postfix_users SET auxoptions = ? WHERE email = ?",
                   (text, user))


@pytest.fixture
def optioned(fresh):
    s = fresh()
    s.add_user(JOE)
    with contextlib.closing(sqlite3.connect(s.table)) as db, db:
        columns = [r[1] for r in db.execute(
            "PRAGMA table_info(postfix_users)")]
        if "auxoptions" not in columns:
            db.execute("ALTER TABLE postfix_users ADD auxoptions TEXT "
                       "DEFAULT ''")
    s.write_conf()
    rc = s.conf / "authsqliterc"
    rc.write_text(rc.read_text() + "SQLITE_AUXOPTIONS_FIELD\tauxoptions\n")
    s.set("postern", AUTH_CACHE_FAILED_TIME=0)
    s.start()
    return s


def test_options_of_accounts(optioned):
    s = optioned
    secure = {"service": "imapd-ssl"}
    set_options(s, "disableimap=1")
    assert imap_login(s)[0] == ("NO [ALERT] IMAP access "
                                "disabled for this account.")
    assert imap_login(s, **secure)[0].startswith("NO ")
    assert pop_login(s).startswith("+OK")
    set_options(s, "disablewebmail=1,disablepop3=yes")
    assert pop_login(s).endswith("POP3 access disabled for this account.")
    assert pop_login(s).startswith("-ERR")
    assert imap_login(s)[0].startswith("OK")
    set_options(s, "disableinsecureimap=T,disableinsecurepop3=2")
    assert imap_login(s)[0].endswith(
        "IMAP access disabled via insecure connection.")
    assert pop_login(s).endswith(
        "POP3 access disabled via insecure connection.")
    assert imap_login(s, **secure)[0].startswith("OK")
    assert pop_login(s, service="pop3d-ssl").startswith("+OK")
    # Of two the first counts; a name alone and 0 mean no.
    for none in ("disableimap", "disableimap=0", "disableimap=0,disableimap=1",
                 "disableimap=no", "xdisableimap=1"):
        set_options(s, none)
        assert imap_login(s)[0].startswith("OK"), none
    assert "LOGIN FAILED" not in s.log()


def test_a_locked_home(started):
    s = started()
    s.joe.chmod(0o1700)
    tagged, after = imap_login(s)
    assert tagged.startswith("NO [UNAVAILABLE] Your account is temporarily "
                             "unavailable (+t bit set on home directory)")
    assert after.startswith("* BYE")
    assert pop_login(s).startswith("-ERR [SYS/TEMP] Your account is temp")
    for ident in ("imapd", "pop3d"):
        s.wait_log(rf"{ident}: info: LOCKED, user=joe@example\.com, "
                   r"ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]\n")
    assert "LOGIN FAILED" not in s.log()
    # Nobody else is touched, and it's over when the bit is gone.
    with imap(s, ANN) as c:
        c.ok("NOOP")
    s.joe.chmod(0o700)
    with imap(s) as c, pop3(s):
        c.ok("SELECT INBOX")
    # A refused session is counted no longer than it lasts.
    wait_for(lambda: JOE not in s.ctl("who").stdout, "no session is left")


@pytest.mark.parametrize("columns, why", [
    ({"uid": 99}, "uid is below UID_MIN"), ({"uid": "x"}, "not a number"),
    ({"gid": 99}, "gid is below GID_MIN"), ({"homedir": ""}, "no home"),
    ({"homedir": "/" + 70_000 * "x"}, "longer than 32 KiB"),
    ({"homedir": "/" + 140_000 * "x"}, "longer than 32 KiB")],
    ids=["low uid", "no uid", "low gid", "no home", "long", "longer"])
def test_a_row_that_cant_be_used(fresh, columns, why):
    """Nothing that goes away by itself: the admin is to be told."""
    s = fresh()
    s.set("postern", UID_MIN=100, GID_MIN=100)
    s.add_user(ANN)
    s.add_user(JOE, **columns)
    s.start()
    told = "Your account is set up wrongly, tell your administrator."
    assert imap_login(s)[0] == f"NO [CONTACTADMIN] {told}"
    assert pop_login(s) == f"-ERR [SYS/PERM] {told}"
    for ident in ("imapd", "pop3d"):
        s.wait_log(rf"{ident}: error: authentication error: account can't be "
                   r"used, ip=\[::ffff:127\.0\.0\.1\]\n")
    s.wait_log(rf"account joe@example\.com can't be used: .*{why}")
    assert "LOGIN FAILED" not in s.log()
    assert not s.maildir(ANN).exists()
    with imap(s, ANN) as c:
        c.ok("NOOP")


def test_a_file_where_the_maildir_should_be(started):
    s = started()
    (s.joe / "Maildir").write_text("no directory")
    assert imap_login(s)[0].startswith("NO [CONTACTADMIN] The mailbox dir")
    assert pop_login(s).startswith("-ERR [SYS/PERM]")
    s.wait_log(r"imapd: error: Fatal error, user=joe@example\.com, .*"
               r"path=\S+/joe/Maildir uid=\d+ gid=\d+\n")
    with imap(s, ANN) as c:
        c.ok("NOOP")


def test_an_unreadable_maildir(started):
    s = started()
    (s.joe / "Maildir").mkdir()
    s._own(s.joe / "Maildir", s.users[JOE])
    (s.joe / "Maildir").chmod(0o000)
    try:
        assert "Permission denied" in imap_login(s)[0]
        s.wait_log(r"Permission denied on the mailbox directory")
    finally:
        (s.joe / "Maildir").chmod(0o700)
    assert imap_login(s)[0].startswith("OK")


def test_somebody_elses_maildir(started):
    if os.geteuid() != 0:
        pytest.skip("needs root to give it away")
    s = started()
    box = s.joe / "Maildir"
    for path in (box, *(box / x for x in ("cur", "new", "tmp"))):
        path.mkdir()
        path.chmod(0o777)
    os.chown(box, 64250, s.uid)
    assert imap_login(s)[0].startswith(
        "NO [CONTACTADMIN] Account's mailbox directory is not owned")
    s.set("imapd", IMAP_MAILBOX_SANITY_CHECK=0)
    s.write_conf()
    s.ctl("reload")
    assert imap_login(s)[0].startswith("OK")


def test_a_missing_maildir_is_made(started):
    s = started()
    with imap(s) as c:
        c.ok("SELECT INBOX")
    assert (s.joe / "Maildir/cur").is_dir()


# --- a full disk --------------------------------------------------------------

class SmallDisk:
    def __init__(self, path):
        self.path, self.filler = path, path / "filler"

    def fill(self):
        with open(self.filler, "ab", buffering=0) as f:
            size = 65536
            while size:
                try:
                    f.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    size //= 2

    def empty(self):
        self.filler.unlink()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB, mounted where only this machine sees it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    path = tmp_path / "small"
    path.mkdir()
    for above in (path, *path.parents[:3]):
        above.chmod(above.stat().st_mode | 0o055)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755",
                           "tmpfs", path], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no right to mount: {done.stderr}")
    yield SmallDisk(path)
    subprocess.run(["umount", "-l", path], check=True)


def flags(c):
    """The flags of each message, by its UID."""
    found = {}
    for line in c.ok("UID FETCH 1:* (FLAGS)"):
        m = re.search(r"FETCH \(.*UID (\d+)", line)
        if m:
            words = re.search(r"FLAGS \(([^)]*)\)", line)[1].split()
            found[int(m[1])] = set(words) - {"\\Recent"}
    return found


def test_a_full_disk(fresh, small_disk):
    """Each refusal is a clear one; what was acknowledged is there after it."""
    s = fresh()
    home = small_disk.path / "joe"
    home.mkdir()
    s.add_user(JOE, homedir=str(home), maildir="Maildir/")
    s._own(home, s.users[JOE])
    s.start()
    for _ in range(6):
        s.deliver()
    letter = "Subject: big\r\n\r\n" + "x" * 5000
    append = f"APPEND INBOX {{{len(letter)}+}}\r\n{letter}"
    with imap(s) as c, pop3(s) as p:
        assert p.pop("STAT")[0].startswith("+OK 6 ")
        c.ok("SELECT INBOX")
        want = flags(c)
        assert len(want) == 6
        small_disk.fill()
        assert c.imap(append)[-1].split(" ", 1)[1] == \
            "NO [UNAVAILABLE] No space on the disk."
        s.wait_log(r"imapd: error: imap: APPEND failed .* "
                   r"user=joe@example\.com: no space\n")
        for uid in range(1, 7):
            answer = c.imap(f"UID STORE {uid} +FLAGS ($Keyword{uid})")[-1]
            if answer.split(" ")[1] == "OK":
                want[uid].add(f"$Keyword{uid}")
            else:
                assert "NO [UNAVAILABLE] No space" in answer
        assert flags(c) == want
        assert p.pop("DELE 1")[0].startswith("+OK")
        quit_answer = p.pop("QUIT")[0]
    assert re.match(r"\+OK|-ERR \[SYS/", quit_answer), quit_answer
    assert len(s.files()) == (5 if quit_answer.startswith("+OK") else 6)
    small_disk.empty()
    with imap(s) as c:
        c.ok("SELECT INBOX")
        if quit_answer.startswith("+OK"):
            del want[1]
        now = flags(c)
        assert now.keys() == want.keys()
        for uid, words in want.items():
            assert now[uid] - {"\\Seen"} == words
        c.ok(append)
        assert len(flags(c)) == len(want) + 1
    assert not list((home / "Maildir/tmp").glob("[0-9]*"))


def test_keywords_max(fresh):
    s = fresh(KEYWORDS_MAX=26)
    s.add_user(JOE)
    s.deliver()
    s.start()
    names = [f"kw{k}" for k in range(27)]
    with imap(s) as c:
        c.ok("SELECT INBOX")
        c.ok(f"STORE 1 +FLAGS.SILENT ({' '.join(names[:26])})")
        said = c.imap(f"STORE 1 +FLAGS.SILENT ({names[26]})")[-1]
        assert " NO [LIMIT]" in said, said
        c.send(b"x APPEND INBOX (%s) {3+}\r\nabc\r\n" % names[26].encode())
        while not (said := c.line()).startswith("x "):
            pass
        assert " NO [LIMIT]" in said, said
        # Those that are there go on.
        c.ok(f"STORE 1 FLAGS ({names[25]})")
