"""Start, stop, reload, and what dies on the way."""

import os
import pathlib
import pwd
import re
import signal
import subprocess
import sys

import pytest

import memory
import support
from memory import needs_root
from support import JOE, record
from waiting import is_gone


@pytest.fixture
def own(directory, table, tmp_path_factory):
    """An authdaemond of this test alone."""
    n = len(list(pathlib.Path(directory).glob("p*")))
    d = support.Authdaemond(f"{directory}/p{n}", "authsqlite")
    d.write("authsqliterc", table.rc())
    d.start()
    yield d
    d.stop()


def run(daemon, *words):
    return subprocess.run([support.program(), "-c", str(daemon.conf), *words],
                          capture_output=True, text=True,
                          timeout=support.PATIENCE)


def test_words(directory, table):
    """As libexec/authlib/authdaemond start|stop|restart of old."""
    d = support.Authdaemond(directory + "/w", "authsqlite")
    d.write("authsqliterc", table.rc())
    with open(d.conf / "postern", "a") as f:
        f.write(f"LOG={d.log_path}\n")
    assert run(d, "status").returncode == 3
    assert run(d, "stop").returncode == 0
    assert run(d, "start").returncode == 0
    # start has returned: clients are served.
    assert d.login() == record()
    pid = int((d.var / "pid").read_text())
    assert run(d, "start").returncode == 0
    assert run(d).returncode == 0
    assert int((d.var / "pid").read_text()) == pid
    assert run(d, "status").returncode == 0
    assert run(d, "restart").returncode == 0
    assert d.login() == record()
    assert run(d, "nonsense").returncode == 1
    assert run(d, "stop").returncode == 0
    assert not (d.var / "pid").exists() and not (d.var / "socket").exists()
    assert run(d, "stop").returncode == 0
    support.wait_for(lambda: is_gone(pid), "the end of the daemon")


def test_start_after_one_that_was_killed(directory, table):
    """What it was writing then doesn't keep the next one from it."""
    d = support.Authdaemond(directory + "/left", "authsqlite")
    d.write("authsqliterc", table.rc())
    os.mkdir(d.var, 0o750)
    for name in "pid.tmp", "secret.tmp", "socket.tmp":
        (d.var / name).write_text("half")
    d.start()
    try:
        assert d.login() == record()
        assert (d.var / "pid").read_text() == f"{d.process.pid}\n"
        assert not list(d.var.glob("*.tmp"))
    finally:
        d.stop()


def test_bad_configuration(directory):
    d = support.Authdaemond(directory + "/b", "authsqlite",
                            AUTH_FAILURE_DELAY="soon")
    done = run(d, "-f")
    assert done.returncode == 1 and "AUTH_FAILURE_DELAY" in done.stderr


def test_stop_answers_what_is_open(own):
    with own.connect() as s:
        s.sendall(support.auth_request(JOE, "wrong"))
        own.process.send_signal(signal.SIGTERM)
        assert support.read_all(s) == b"FAIL\n"
    assert own.process.wait(support.PATIENCE) == 0


def stop_while_asked(d, user, change=lambda: None):
    """What one hears whose question the helpers have when it begins."""
    helpers = d.children_named("authd-helper")
    with d.connect() as s, d.sasl() as idle:
        idle.handshake()
        for pid in helpers:
            os.kill(pid, signal.SIGSTOP)
        change()
        s.sendall(support.auth_request(user, "secret"))
        d.process.send_signal(signal.SIGTERM)
        assert idle.line() is None
        for pid in helpers:
            os.kill(pid, signal.SIGCONT)
        answer = support.read_all(s)
    assert d.process.wait(support.PATIENCE) == 0
    return answer


def test_stop_answers_what_needs_another_helper(own, table):
    """The first slow hash of all: those who work on it are made for it."""
    table.add("late", crypt="$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHn"
                            "S4UpFFP8WIrW")
    assert stop_while_asked(own, "late").startswith(b"UID=")


def test_stop_answers_by_a_changed_file(directory):
    """Those who know it are made for it, and not others again and again."""
    d = support.Authdaemond(directory + "/changed", "authuserdb")
    line = "joe\tuid=5000|gid=5000|home=/h|systempw={MD5RAW}"

    def write(digest):
        d.write("userdb", line + digest + "\n")
    write("0" * 32)
    d.start()
    try:
        answer = stop_while_asked(
            d, "joe", lambda: write("5ebe2294ecd0e0f08eab7690d2a6ee69"))
        assert answer.startswith(b"UID=")
    finally:
        d.stop()


def test_reload_keeps_connections_and_requests(own):
    with own.sasl() as c:
        c.handshake()
        c.plain(1, JOE, "wrong", "nologin")
        helpers = own.children_named("authd-helper")
        own.reload()
        c.plain(2, JOE, "secret", "nologin")
        assert {c.line(), c.line()} == \
            {f"FAIL\t1\tuser={JOE}", f"OK\t2\tuser={JOE}"}
    assert own.login() == record()
    support.wait_for(lambda: not set(helpers) & set(
        own.children_named("authd-helper")), "new helpers")


def test_reload_under_load(own):
    def work(i):
        if i == 0:
            for _ in range(5):
                own.reload()
            return []
        return [own.login() for _ in range(30)]
    for results in support.in_threads(4, work):
        assert all(r == record() for r in results)


def test_reload_takes_sockets_and_settings(own, directory):
    extra = f"{directory}/extra"
    with open(own.conf / "postern", "a") as f:
        f.write(f"AUTH_SASL_SOCKETS={extra}:0600\n")
    own.reload()
    support.wait_for(lambda: os.path.exists(extra), "the new socket")
    assert os.stat(extra).st_mode & 0o777 == 0o600
    with own.sasl(extra) as c:
        c.handshake()
        c.plain(1, JOE, "secret")
        assert c.line() == f"OK\t1\tuser={JOE}"
    own.write("postern", f"AUTH_FAILURE_DELAY={support.FAILURE_MS}\n")
    own.reload()
    support.wait_for(lambda: not os.path.exists(extra), "its end")


@needs_root()
@pytest.mark.parametrize("name", ["nobody-of-that-name", "", "daemon"])
def test_another_user_counts_at_the_next_start(directory, table, name):
    """No process made after the reload has other rights."""
    os.chmod(table.path, 0o644)
    d = support.Authdaemond(f"{directory}/u{os.urandom(4).hex()}",
                            "authsqlite", AUTH_USER="nobody")
    d.write("authsqliterc", table.rc())
    d.start()
    try:
        d.write("postern", f"AUTH_USER={name}\n")
        d.reload()
        assert "AUTH_USER: counts at the next start" in d.log()
        front = d.children_named("authd-front")
        os.kill(front[0], signal.SIGKILL)
        support.wait_for(lambda: d.children_named("authd-front") not in
                         ([], front), "another front")
        support.wait_for(lambda: answers(d), "its sockets")
        nobody = pwd.getpwnam("nobody")
        for pid, comm in d.children():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t" in status, comm
            assert f"Gid:\t{nobody.pw_gid}\t" in status, comm
    finally:
        d.stop()


def answers(daemon):
    try:
        return daemon.login() == record()
    except OSError:
        return False


def test_another_directory_counts_at_the_next_start(own):
    rc = (own.conf / "authdaemonrc").read_text()
    own.write("authdaemonrc", rc.replace(f"{own.var}", f"{own.base}/new"))
    for _ in range(2):
        own.reload()
        assert own.login() == record()
        with own.sasl() as c:
            c.handshake()
    assert own.log().count("authdaemonvar: counts at the next start") == 2


def test_log_file_that_is_rotated(directory, table):
    """After SIGHUP every process writes to the new file."""
    d = support.Authdaemond(directory + "/rot", "authsqlite")
    d.write("authsqliterc", table.rc())
    with open(d.conf / "postern", "a", encoding="ascii") as f:
        f.write(f"LOG={d.log_path}\n")
    assert run(d, "start").returncode == 0
    try:
        assert d.login() == record()
        old = d.log_path.rename(d.base / "log.1")
        assert run(d, "restart").returncode == 0
        support.wait_for(d.log_path.exists, "the new log")
        support.wait_for(lambda: d.login() == record() and
                         "received auth request" in d.log() and
                         "trying this module" in d.log(), "lines in it")
        size = old.stat().st_size
        assert d.login() == record()
        assert old.stat().st_size == size
    finally:
        assert run(d, "stop").returncode == 0


def test_reload_with_an_error_changes_nothing(own):
    own.write("postern", "AUTH_FAILURE_DELAY=soon\n")
    own.process.send_signal(signal.SIGHUP)
    support.wait_for(lambda: "stays in force" in own.log(), "the complaint")
    assert own.login() == record()


@pytest.mark.parametrize("name, text, said", [
    ("authdaemonrc", "\ndaemons=many\n", "authdaemonrc:2: .*daemons: expected "
     "a number"),
    ("authdaemonrc", "authmodulelist=\"authsqlite\n", "authdaemonrc:1: "
     ".*expected"),
    ("authdaemonrc", "no equals sign\n", "authdaemonrc:1: .*expected"),
])
def test_errors_name_file_line_and_what_was_expected(own, name, text, said):
    """At a reload the old configuration goes on; at a start nothing begins."""
    own.write(name, text)
    own.process.send_signal(signal.SIGHUP)
    support.wait_for(lambda: "stays in force" in own.log(), "the complaint")
    assert re.search(rf"{own.conf}/{said}", own.log()), own.log()
    assert own.login() == record()
    again = run(own, "-f")
    assert again.returncode != 0
    assert re.search(rf"{own.conf}/{said}", again.stdout + again.stderr)


def test_killed_helpers_come_back(own):
    for _ in range(3):
        for pid in own.children_named("authd-helper"):
            os.kill(pid, signal.SIGKILL)
        support.wait_for(lambda: own.login() == record(), "new helpers")


def test_stopped_helpers_harm_nobody(own):
    for pid in own.children_named("authd-helper")[:2]:
        os.kill(pid, signal.SIGSTOP)
    answers = support.in_threads(12, lambda _: own.login())
    assert set(answers) <= {record(), b""}
    assert answers.count(record()) >= 10


def test_killed_front_comes_back(own):
    pid, = own.children_named("authd-front")
    os.kill(pid, signal.SIGKILL)
    support.wait_for(own.is_up, "a new front")
    assert own.login() == record()


def test_children_end_with_the_keeper(own):
    children = [pid for pid, _ in own.children()]
    own.process.kill()
    own.process.wait(support.PATIENCE)
    own.process = None

    support.wait_for(lambda: all(map(is_gone, children)),
                     "the end of the children")


def test_second_one_in_the_foreground(own):
    done = run(own, "-f")
    assert done.returncode == 0
    assert own.login() == record()


def test_slow_hashes_delay_nobody_else(directory, table):
    """A crowd with bcrypt, and some with clear passwords: of the crowd the
    quick helpers do no more than to look that its hashes are slow.  So while
    the helpers for slow work do nothing at all, the others are served."""
    d = support.Authdaemond(directory + "/slow", "authsqlite",
                            AUTH_TIMEOUT=20)
    d.write("authsqliterc", table.rc())
    d.start()
    # of the least cost, for a machine that is slow itself
    hashed = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
    table.add("slow", crypt=hashed)
    try:
        assert d.login("slow").startswith(b"UID=")
        slow = d.children_named("authd-slow")
        assert len(slow) == 3
        for pid in slow:
            os.kill(pid, signal.SIGSTOP)
        crowd = [d.connect() for _ in range(20)]
        for s in crowd:
            s.sendall(support.auth_request("slow", "secret"))
        for _ in range(20):
            assert d.login() == record()
        assert not [s for s in crowd if support.readable(s)]
        for pid in slow:
            os.kill(pid, signal.SIGCONT)
        for s in crowd:
            assert support.read_all(s).startswith(b"UID=")
            s.close()
    finally:
        d.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_rights(directory, table):
    """Only the keeper is root; a secret authmysqlrc is its alone to read."""
    os.chmod(table.path, 0o644)
    d = support.Authdaemond(directory + "/r", "authsqlite",
                            AUTH_USER="nobody")
    d.write("authsqliterc", table.rc())
    d.write("authmysqlrc", "MYSQL_PASSWORD verysecret\n")
    for name in ("authmysqlrc", "authsqliterc"):
        os.chmod(d.conf / name, 0o600)
    d.start()
    try:
        assert d.login() == record()
        nobody = pwd.getpwnam("nobody")
        for pid, name in d.children():
            status = dict(line.split(":\t", 1) for line in pathlib.Path(
                f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line)
            assert status["Uid"].split() == [str(nobody.pw_uid)] * 4, name
            assert status["Gid"].split() == [str(nobody.pw_gid)] * 4, name
            assert "0" not in status["Groups"].split(), name
            assert status["NoNewPrivs"] == "1", name
            assert int(status["CapEff"], 16) == 0, name
        # A change of a file only root may read still counts at once.
        d.write("authsqliterc", table.rc() + "DEFAULT_DOMAIN example.com\n")
        assert d.login("joe") == record()
        sock = os.stat(d.var / "socket")
        assert sock.st_uid == nobody.pw_uid
    finally:
        d.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_passwords_of_pre(directory, table):
    """AUTH_PRE_PASSWORDS=0: only root and authdaemond's user see them."""
    d = support.Authdaemond(directory + "/pre", "authsqlite",
                            AUTH_USER="nobody", AUTH_PRE_PASSWORDS=0)
    d.write("authsqliterc", table.rc())
    os.chmod(table.path, 0o644)
    d.start()
    os.chmod(d.var, 0o755)
    pre = b"PRE . imap " + JOE.encode() + b"\n"
    try:
        assert d.courier(pre) == record()
        assert as_user("nobody", d, pre) == record()
        assert as_user("daemon", d, pre) == record(PASSWD2=None)
        assert as_user("daemon", d, support.auth_request(JOE, "secret")) == \
            record()
    finally:
        d.stop()


def as_user(name, daemon, request):
    """What a process of another user is answered."""
    user = pwd.getpwnam(name)
    code = ("import socket, sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n"
            "s.sendall(sys.stdin.buffer.read())\n"
            "while data := s.recv(9000): sys.stdout.buffer.write(data)\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(daemon.var / "socket")],
        input=request, capture_output=True, user=user.pw_uid,
        group=user.pw_gid, extra_groups=[], timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sandbox(own):
    """The front is behind a filter of system calls (but not in a build with
    sanitizers)."""
    pid, = own.children_named("authd-front")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    if b"__asan_init" in pathlib.Path(support.program()).read_bytes():
        pytest.skip("built with sanitizers")
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert "without a sandbox" not in own.log()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: the process can't "
                    "be looked into by its own user")
def test_descriptors(own):
    """The front holds sockets and nothing of the disk."""
    pid, = own.children_named("authd-front")
    files = [os.readlink(f"/proc/{pid}/fd/{n}")
             for n in os.listdir(f"/proc/{pid}/fd") if int(n) > 2]
    assert all(f.startswith(("socket:", "anon_inode:", "pipe:"))
               for f in files), files


# --- what each process may touch, by /proc ---------------------------------------

def opened(pid):
    """What its descriptors lead to, without the three standard ones."""
    return [os.readlink(f"/proc/{pid}/fd/{n}")
            for n in os.listdir(f"/proc/{pid}/fd") if int(n) > 2]


def sockets_of(pid):
    """{inode: path or peer} of the unix sockets that a process has."""
    inodes = {f[8:-1] for f in opened(pid) if f.startswith("socket:")}
    table = pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]
    rows = (line.split() for line in table)
    return {row[6]: row[7] if len(row) > 7 else "" for row in rows
            if row[6] in inodes}


@pytest.fixture
def guarded(directory, table, mariadb):
    """As root starts it: SQL with a secret, SQLite, PAM; AUTH_USER nobody."""
    os.chmod(table.path, 0o644)
    d = support.Authdaemond(directory + "/touch",
                            "authmysql authsqlite authpam",
                            AUTH_USER="nobody")
    d.write("authmysqlrc", mariadb.rc())
    d.write("authsqliterc", table.rc())
    for name in ("authmysqlrc", "authsqliterc"):
        os.chmod(d.conf / name, 0o600)
    d.start()
    assert d.login() == record()
    assert d.login(password="wrong") == b"FAIL\n"
    table.add("slow", crypt="$2b$04$abcdefghijklmnopqrstuuVZ9SChpbcSWZ9BTYe0Zb"
                            "NQcuMfSXQ0u")
    d.login("slow")
    yield d
    d.stop()


@needs_root()
def test_what_each_process_may_touch(guarded, table, mariadb):
    """No file but the user table, no socket but those of the job, no root
    but where PAM needs it, and nothing of mail anywhere."""
    names = {}
    for pid, name in guarded.children():
        names.setdefault(name, []).append(pid)
    assert set(names) == {"authd-front", "authd-helper", "authd-slow",
                          "authd-pam"}
    front, = names["authd-front"]
    for f in opened(front):
        assert f.startswith(("socket:", "anon_inode:", "pipe:")), f
    listening = {path for path in sockets_of(front).values() if path}
    assert {os.path.basename(p).removesuffix(".tmp") for p in listening} <= {
        "socket", "login", "tickets"}
    for pid in names["authd-helper"] + names["authd-slow"]:
        for f in opened(pid):
            assert f.startswith(("socket:", "pipe:", "anon_inode:")) or \
                f.removesuffix("-journal") == str(table.path), f
        # Of sockets with a name it has none: it listens nowhere.
        assert not any(sockets_of(pid).values()), sockets_of(pid)
    for name, pids in names.items():
        for pid in pids:
            status = dict(line.split(":\t", 1) for line in pathlib.Path(
                f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line)
            is_root = status["Uid"].split()[1] == "0"
            assert is_root == (name == "authd-pam"), name
            # Closed to debuggers and dumps of its own user: /proc is root's.
            assert os.stat(f"/proc/{pid}/fd").st_uid == 0, name
            if not is_root:
                for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    assert int(status[capabilities], 16) == 0, name
                assert status["NoNewPrivs"] == "1", name
                # It could not even read what the keeper has read.
                assert subprocess.run(
                    ["setpriv", f"--reuid={status['Uid'].split()[1]}",
                     f"--regid={status['Gid'].split()[1]}", "--clear-groups",
                     "cat", guarded.conf / "authmysqlrc"],
                    capture_output=True).returncode != 0


@needs_root()
def test_no_password_stays_in_memory(guarded, table):
    """The processes that clients and the master talk to keep none.  (What a
    helper has asked for stands in the database library's own buffers until
    the next answer; it may ask for every password anyway.)"""
    password = "unique-" + os.urandom(8).hex()
    table.add("secretive", clear=password)
    assert guarded.login("secretive", password).startswith(b"UID=")
    assert guarded.login("secretive", password + "x") == b"FAIL\n"
    assert guarded.courier(b"PRE . imap secretive\n").startswith(
        b"UID=")
    with guarded.sasl() as c:
        c.handshake()
        c.plain(1, "secretive", password, "nologin")
        assert c.line() == "OK\t1\tuser=secretive"
        c.send("AUTH", 2, "LOGIN", "service=imap", "nologin",
               "resp=" + support.b64("secretive"))
        c.line()
        c.send("CONT", 2, support.b64(password))
        assert c.line() == "OK\t2\tuser=secretive"
        c.plain(3, "secretive", password + "x", "nologin")
        assert c.line().startswith("FAIL")
        watched = guarded.children_named("authd-front") + \
            guarded.children_named("authd-pam") + [guarded.process.pid]
        for text in (password, support.b64(f"\0secretive\0{password}"),
                     support.b64(password)):
            for pid in watched:
                assert not memory.holds(pid, text.encode()), pid
    # The test can see it.
    assert any(memory.holds(pid, b"authsqlite") for pid in watched)
    assert password not in guarded.log()


def test_debug_login_2_tells_no_password(directory, table):
    d = support.Authdaemond(directory + "/dl", "authsqlite")
    d.write("authsqliterc", table.rc())
    with open(d.conf / "authdaemonrc", "a", encoding="ascii") as f:
        f.write("DEBUG_LOGIN=2\n")
    d.start()
    try:
        table.add("loud", clear="hushhush")
        assert d.login("loud", "hushhush").startswith(b"UID=")
        assert d.login("loud", "hushwrong") == b"FAIL\n"
        d.courier(b"PASSWD imap\tloud\thushhush\thushnew\n")
        assert "trying this module" in d.log() and "hush" not in d.log()
    finally:
        d.stop()
