"""What happens around a login: loginexec, home directories from a skeleton."""

import contextlib
import fcntl
import os
import select
import signal
import stat

import postern
import pytest
from postern import ANN, JOE, Lines, PASSWORD, imap, pop3, wait_for

EVE = "eve@example.com"


# --- loginexec ---------------------------------------------------------------

@pytest.fixture
def hooked(fresh):
    """A server, and a way to give joe a loginexec."""
    def make(**keys):
        s = fresh(**keys)
        s.add_user(JOE)
        s.add_user(ANN)
        s.deliver(email=ANN)
        s.deliver()
        s.hook = s.maildir() / "loginexec"

        def put(text, mode=0o700):
            s.hook.write_text("#!/bin/sh\n" + text)
            s.hook.chmod(mode)
            s._own(s.hook, s.users[JOE])
        s.put = put
        return s
    return make


def test_loginexec_runs_once(hooked):
    s = hooked(LOGINEXEC=1)
    s.set("imapd", SOME_NAME="value")
    s.start()
    s.put("env >seen; pwd >>seen; id -u >>seen; echo x >>times\n")
    with imap(s) as c:
        # It was there before the session: what it made can be selected.
        assert "* 1 EXISTS" in c.ok("SELECT INBOX")
        seen = (s.maildir() / "seen").read_text().splitlines()
        port = c.sock.getsockname()[1]
    assert not s.hook.exists()
    for line in (f"AUTHENTICATED={JOE}", "PROTOCOL=IMAP",
                 "TCPREMOTEIP=::ffff:127.0.0.1", f"TCPREMOTEPORT={port}",
                 "TCPLOCALIP=::ffff:127.0.0.1",
                 f"TCPLOCALPORT={s.port['imapd']}", "OPTIONS=",
                 "SOME_NAME=value", f"IMAPDSTART=YES", str(s.maildir()),
                 str(s.users[JOE]["uid"])):
        assert line.rstrip("/") in [x.rstrip("/") for x in seen], line
    with imap(s) as c, pop3(s):
        c.ok("NOOP")
    assert (s.maildir() / "times").read_text() == "x\n"
    s.wait_log(r"loginexec: done, path=")


def test_loginexec_that_fails_stays(hooked):
    s = hooked(LOGINEXEC=1).start()
    s.put("echo x >>times; exit 3\n")
    with pop3(s) as p:
        assert p.pop("STAT")[0].startswith("+OK 1 ")
    s.wait_log(r"loginexec: exit status 3, path=")
    assert s.hook.exists()
    with imap(s) as c:
        c.ok("NOOP")
    assert (s.maildir() / "times").read_text() == "x\nx\n"


def test_loginexec_is_bounded_and_hinders_nobody(hooked):
    s = hooked(LOGINEXEC=1, LOGINEXEC_TIMEOUT=4)
    s.patience = 25  # 30 is the default
    s.start()
    s.put("echo $$ >pid; trap '' TERM; sleep 1000 & wait\n")
    with Lines(s.connect()) as first, Lines(s.connect()) as second:
        for c in (first, second):
            c.line()
            c.send(f'a LOGIN {JOE} "{PASSWORD}"\r\n')
        wait_for((s.maildir() / "pid").exists, "it runs")
        with imap(s, ANN) as other:
            assert "* 1 EXISTS" in other.ok("SELECT INBOX")
        assert not select.select([first.sock, second.sock], [], [], 0)[0]
        # Two logins wait for the one that runs.
        for c in (first, second):
            line = c.line()
            while line.startswith("*"):
                line = c.line()
            assert line.startswith("a OK")
    s.wait_log(r"loginexec: exit status 124, path=")
    assert s.log().count("loginexec: ") == 1
    pid = int((s.maildir() / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")


@pytest.mark.parametrize("how", ["off", "mode", "link", "plain"])
def test_loginexec_that_is_not_run(hooked, how):
    s = hooked(**({} if how == "off" else {"LOGINEXEC": 1})).start()
    s.put("echo x >times\n", {"mode": 0o722, "plain": 0o600}.get(how, 0o700))
    if how == "link":
        s.hook.rename(s.maildir() / "elsewhere")
        s.hook.symlink_to("elsewhere")
    with imap(s) as c:
        c.ok("SELECT INBOX")
    assert not (s.maildir() / "times").exists()
    if how == "off":
        s.wait_log(r"loginexec is not run: LOGINEXEC is off")
    if how == "mode":
        s.wait_log(r"loginexec: exit status 126")


def test_a_client_that_leaves_meanwhile(hooked):
    s = hooked(LOGINEXEC=1).start()
    s.put("echo $$ >pid; read x <fifo\n")
    fifo = s.maildir() / "fifo"
    os.mkfifo(fifo)
    s._own(fifo, s.users[JOE])
    with Lines(s.connect()) as c:
        c.line()
        c.send(f'a LOGIN {JOE} "{PASSWORD}"\r\n')
        wait_for((s.maildir() / "pid").exists, "it runs")
    with open(fifo, "w") as f:
        f.write("go\n")
    s.wait_log(r"loginexec: done, path=")
    with imap(s) as c:
        c.ok("SELECT INBOX")
    wait_for(lambda: JOE not in s.ctl("who").stdout, "no session is left")


@pytest.mark.parametrize("how", ["service", "server"])
def test_what_stops_tells_a_login_that_waits(hooked, how):
    """And no session begins in a service that is off."""
    s = hooked(LOGINEXEC=1, SHUTDOWN_TIMEOUT=60).start()
    s.put("echo $$ >pid; read x <fifo\n")
    fifo = s.maildir() / "fifo"
    os.mkfifo(fifo)
    s._own(fifo, s.users[JOE])
    with Lines(s.connect()) as c:
        c.line()
        c.send(f'a LOGIN {JOE} "{PASSWORD}"\r\n')
        wait_for((s.maildir() / "pid").exists, "it runs")
        if how == "service":
            s.ctl("service", "stop", "imapd")
        else:
            s.signal(signal.SIGTERM)
        try:
            assert c.line().startswith("* BYE [UNAVAILABLE] Server is shutting")
            assert c.line() is None
        finally:
            with open(fifo, "w") as f:
                f.write("go\n")
    if how == "service":
        s.wait_log(r"loginexec: done, path=")
        with pop3(s) as p:
            assert p.pop("STAT")[0].startswith("+OK 1 ")
        assert " imapd " not in s.ctl("who").stdout


# --- AUTH_MKHOMEDIR_SKEL ------------------------------------------------------

@pytest.fixture
def skeleton(fresh):
    """A server with a skeleton; homes are below its directory `homes`."""
    def make(root=False, **keys):
        if root and os.geteuid() != 0:
            pytest.skip("needs root")
        s = fresh(uid=None if root else "plain", **keys)
        s.skel = s.base / "skel"
        (s.skel / "sub").mkdir(parents=True)
        (s.skel / ".profile").write_text("profile\n")
        (s.skel / ".profile").chmod(0o664)
        (s.skel / "sub/file").write_text("deep\n")
        (s.skel / "link").symlink_to("/etc/shadow")
        s.homes = s.base / "homes"
        s.homes.mkdir()
        s.set("imapd", AUTH_MKHOMEDIR_SKEL=s.skel)
        if root:
            s.set("postern", LOGIN_USER="nobody", AUTH_USER="",
                  LOGIN_CHROOT=s.base / "empty")
        return s
    return make


def check_home(home, uid):
    st = home.stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (uid, 0o700)
    assert (home / ".profile").read_text() == "profile\n"
    assert stat.S_IMODE((home / ".profile").stat().st_mode) == 0o664
    assert (home / "sub/file").read_text() == "deep\n"
    assert (home / "sub/file").stat().st_uid == uid
    assert not os.path.lexists(home / "link")
    assert (home / "Maildir/cur").is_dir()


def test_a_home_made_with_the_users_rights(skeleton):
    s = skeleton()
    home = s.homes / "example.com/joe"
    s.add_user(JOE, homedir=str(home), maildir="")
    s.start()
    with imap(s) as c:
        c.ok("SELECT INBOX")
    check_home(home, s.uid or os.geteuid())
    # Once there it is left alone.
    (home / ".profile").unlink()
    with imap(s) as c:
        c.ok("SELECT INBOX")
    assert not (home / ".profile").exists()
    s.wait_log(r"home directory \S+/joe made from \S+/skel, files=4, links")


@pytest.fixture
def large(skeleton):
    """Joe and Ann share a home, which takes many steps to be made; their only
    worker runs, and has no session."""
    s = skeleton(WORKERS=1)
    for i in range(900):
        (s.skel / f"sub/{i}").write_text("x" * 1000)
    s.shared = s.homes / "joe"
    s.add_user(EVE)
    s.add_user(JOE, homedir=str(s.shared), maildir="")
    s.add_user(ANN, homedir=str(s.shared), maildir=str(s.shared / "Ann"))
    s.start()
    with imap(s, user=EVE) as c:
        c.ok("LOGOUT")
    wait_for(lambda: " imapd " not in s.ctl("who").stdout, "its end")
    s.worker, = s.workers()
    return s


@contextlib.contextmanager
def open_directory(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def hand_over(s, user, commands=""):
    """A login that its worker doesn't know of yet."""
    c = Lines(s.connect())
    c.line()
    c.send(f'1 LOGIN {user} "{PASSWORD}"\r\n{commands}')
    wait_for(lambda: user in s.ctl("who").stdout, "its handover")
    return c


def is_whole(home):
    return len(list((home / "sub").iterdir())) == 901


def test_a_home_under_way_when_the_server_stops(large):
    """It isn't left half made: who comes next would find it so."""
    with stopped(large.worker):
        c = hand_over(large, JOE)
        large.signal(signal.SIGTERM)
        large.wait_log("stopping")
    with c:
        lines = list(iter(c.line, None))
    assert any(line.startswith("* BYE") for line in lines), lines
    assert is_whole(large.shared)


def test_a_client_that_leaves_before_its_home_is_made(large):
    """Another one waits for the same home, and finds it whole."""
    with stopped(large.worker):
        hand_over(large, JOE).close()
        c = hand_over(large, ANN, "2 SELECT INBOX\r\n3 LOGOUT\r\n")
    with c:
        lines = [c.line(), *iter(c.line, None)]
        assert is_whole(large.shared)
    assert any(line.startswith("2 OK") for line in lines), lines
    wait_for(lambda: " imapd " not in large.ctl("who").stdout, "their end")
    assert large.workers() == [large.worker]


def test_a_home_that_another_process_makes(skeleton):
    """Its user waits, nobody else does, and then it is left as it is."""
    s = skeleton(WORKERS=1)
    home = s.homes / "joe"
    home.mkdir()
    s.add_user(EVE)
    s.add_user(JOE, homedir=str(home), maildir="")
    s._own(home, s.users[JOE])
    home.chmod(0o4700)
    s.start()
    with open_directory(home) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        c = hand_over(s, JOE, "2 SELECT INBOX\r\n3 LOGOUT\r\n")
        for _ in range(2):
            with imap(s, user=EVE) as eve:
                eve.ok("SELECT INBOX")
        assert not select.select([c.sock], [], [], 0)[0]
        home.chmod(0o700)
    with c:
        lines = [c.line(), *iter(c.line, None)]
    assert any(line.startswith("2 OK") for line in lines), lines
    assert os.listdir(home) == ["Maildir"]


def test_homes_beside_one_that_is_waited_for(skeleton):
    """Each waits for its own."""
    s = skeleton(WORKERS=1)
    homes = {user: s.homes / user for user in (JOE, ANN, EVE)}
    for user, home in homes.items():
        s.add_user(user, homedir=str(home), maildir="")
    homes[JOE].mkdir()
    s._own(homes[JOE], s.users[JOE])
    homes[JOE].chmod(0o4700)
    s.start()
    with open_directory(homes[JOE]) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        c = hand_over(s, JOE, "2 SELECT INBOX\r\n3 LOGOUT\r\n")
        for user in (ANN, EVE):
            with imap(s, user=user) as their:
                their.ok("SELECT INBOX")
            assert (homes[user] / "sub/file").read_text() == "deep\n"
        assert not select.select([c.sock], [], [], 0)[0]
        homes[JOE].chmod(0o700)
    with c:
        lines = [c.line(), *iter(c.line, None)]
    assert any(line.startswith("2 OK") for line in lines), lines


def test_a_home_that_nobody_makes_any_more(skeleton):
    """Whoever comes next makes the rest."""
    s = skeleton()
    home = s.homes / "joe"
    (home / "sub").mkdir(parents=True)
    s.add_user(JOE, homedir=str(home), maildir="")
    s._own(home, s.users[JOE])
    home.chmod(0o4700)
    s.start()
    with imap(s) as c:
        c.ok("SELECT INBOX")
    check_home(home, s.uid or os.geteuid())


@pytest.fixture
def as_root(skeleton):
    """Homes whose parent only root may write, and each user's own uid."""
    def make():
        s = skeleton(root=True)
        for path in (s.base, s.homes):
            path.chmod(0o755)
        return s
    return make


def system_directory():
    """Below /tmp everybody may write: not root's alone."""
    import tempfile
    return tempfile.mkdtemp(prefix="postern-homes-", dir="/var/lib")


def test_a_home_made_by_root(as_root):
    import pathlib
    import shutil
    s = as_root()
    top = pathlib.Path(system_directory())
    top.chmod(0o755)
    uid = postern.PLAIN_UID
    try:
        (top / "real").mkdir()
        (top / "real").chmod(0o755)
        (top / "linked").symlink_to("real")
        s.add_user(JOE, uid=uid, homedir=str(top / "linked/joe"), maildir="")
        # A directory of a user, with a link of that user's to root's.
        theirs = top / "theirs"
        theirs.mkdir()
        os.chown(theirs, uid + 1, uid + 1)
        (theirs / "astray").symlink_to(top / "real")
        s.add_user(ANN, uid=uid, homedir=str(theirs / "astray/ann"),
                   maildir="")
        s.start()
        with imap(s) as c:
            c.ok("SELECT INBOX")
        check_home(top / "real/joe", uid)
        s.wait_log(rf"home directory {top}/linked/joe made for uid={uid}")
        with Lines(s.connect()) as c:
            c.line()
            tagged = c.imap(f'LOGIN {ANN} "{PASSWORD}"')[-1]
            assert " NO [" in tagged, tagged
        assert not (top / "real/ann").exists()
        s.wait_log(rf"home directory {theirs}/astray/ann: not made by root")
        # What the user may not read ends the copy, with a line that says so.
        (top / "real").rename(top / "before")
        (top / "real").mkdir(mode=0o755)
        (s.skel / ".profile").chmod(0o600)
        with imap(s) as c:
            c.ok("SELECT INBOX")
        s.wait_log(r"home directory \S+/joe from AUTH_MKHOMEDIR_SKEL \S+/skel: "
                   r"\.profile: Permission denied")
    finally:
        shutil.rmtree(top)
