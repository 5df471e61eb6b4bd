"""What an administrator does to a running server, and what clients see."""

import contextlib
import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest
import postern
from postern import ANN, JOE, Lines, imap, pop3, wait_for


def started(fresh, **keys):
    s = fresh(**keys)
    s.add_user(JOE)
    s.add_user(ANN)
    return s


def test_the_same_mail_over_both_protocols(server):
    server.deliver()
    with imap(server) as c, pop3(server, service="pop3d-ssl") as p:
        n = int(p.pop("STAT")[0].split()[1])
        assert f"* {n} EXISTS" in c.ok("SELECT INBOX")
        text = "\n".join(p.pop(f"RETR {n}", multi=True)[1:-1])
        assert "Hello, world." in text
        p.pop("QUIT")
        wait_for(lambda: any(r"\Seen" in line for line in
                             c.ok(f"FETCH {n} FLAGS")),
                 "RETR has marked the message as read")


@pytest.mark.parametrize("uid", [None, "plain"])
def test_nobody_waits_for_what_lies_in_anothers_directory(fresh, uid):
    """authdaemonvar is AUTH_USER's, who may put anything there."""
    if uid is None and os.geteuid() != 0:
        pytest.skip("needs root")
    s = fresh(uid=uid, LOGIN_USER="nobody")
    s.set("postern", LOGIN_CHROOT=s.base / "chroot")
    s.add_user(JOE, uid=postern.PLAIN_UID if uid is None else None)
    s.prepare()
    s.start_auth()
    secret = s.var / "secret"
    secret.rename(s.var / "kept")
    os.mkfifo(secret)
    s.start_server()
    if uid is not None:
        # whom the secret makes a master: until then nobody gets in
        s.wait_log("TICKET_HELLO|may not be one|tickets ended")
        secret.unlink()
        (s.var / "kept").rename(secret)

    def gets_in():
        with Lines(s.connect()) as c:
            c.line()
            return " OK " in c.imap(f'LOGIN {JOE} "{postern.PASSWORD}"')[-1]
    wait_for(gets_in, "a login")


def test_ps_tells_what_a_process_is(server):
    names = set()
    with imap(server):
        for pid, _ in server.children():
            proc = pathlib.Path(f"/proc/{pid}")
            args = (proc / "cmdline").read_text().split("\0")
            names.add(((proc / "comm").read_text().strip(),
                       pathlib.Path(args[0]).name, args[1] == "--login"))
    assert names == {("posternd", "posternd", True),
                     ("holder", "holder", False),
                     ("worker", "worker", False)}


def test_append_holds_no_message(server):
    """100 MB, in two messages of one command, go to the disk as they come."""
    user = server.add_user("big@example.com")
    half, piece = 50_000_000, b"x" * 998 + b"\r\n"

    def peak():
        return max(int(line.split()[1]) for pid in server.workers()
                   for line in pathlib.Path(f"/proc/{pid}/status")
                   .read_text().splitlines() if "VmHWM" in line)
    with imap(server, user) as c:
        c.ok("SELECT INBOX")
        before = peak()
        c.send(f"a APPEND INBOX {{{half}}}\r\n")
        assert c.line().startswith("+")
        for tail in (f" (\\Seen) {{{half}}}\r\n", "\r\n"):
            for _ in range(0, half, 1_000_000):
                c.send(piece * 1000)
            c.send(tail)
            while not (line := c.line()).startswith(("+", "a ")):
                assert line.startswith("* ")
        assert line.startswith("a OK [APPENDUID"), line
        assert peak() - before < 20_000, "KiB"
    assert [path.stat().st_size for path in
            (server.maildir(user) / "cur").iterdir()] == \
        [half * 999 // 1000] * 2


def test_pop3_sizes_are_what_is_sent(server):
    """With and without a final line end, by APPEND and by delivery."""
    user = server.add_user("sizes@example.com")
    server.deliver("Subject: x\n\none\ntwo", email=user)
    server.deliver("Subject: x\n\none\r\ntwo\r\n", email=user)
    with imap(server, user) as c:
        for text in ("Subject: y\r\n\r\nlast", "Subject: y\r\n\r\n.\r\n"):
            c.send(f"a APPEND INBOX {{{len(text)}+}}\r\n{text}\r\n")
            assert c.line().startswith("a OK")
        # What IMAP says and keeps of sizes leaves POP3's right.
        c.ok("SELECT INBOX")
        c.ok("FETCH 1:* (RFC822.SIZE)")
    for _ in range(2):
        with pop3(server, user) as p:
            listed = p.pop("LIST", multi=True)[1:-1]
            assert len(listed) == 4
            for row in listed:
                n, size = row.split()
                lines = p.pop(f"RETR {n}", multi=True)[1:-1]
                lines = [x[1:] if x.startswith(".") else x for x in lines]
                assert int(size) == sum(len(x) + 2 for x in lines), lines
            p.pop("QUIT")


def idle_until_exists(c, deliver):
    c.ok("SELECT INBOX")
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    deliver()
    lines = []
    while not any("EXISTS" in line for line in lines):
        lines.append(c.line())
    c.send("DONE\r\n")
    while not (line := c.line()).startswith("i "):
        assert line.startswith("* ")
    assert line.startswith("i OK")


@pytest.mark.parametrize("service", ["imapd", "imapd-ssl"])
def test_idle_sees_a_delivery(server, service):
    with imap(server, ANN, service=service) as c:
        idle_until_exists(c, lambda: server.deliver(email=ANN))


# In a user namespace of its own, where the kernel gives nobody an inotify.
NO_INOTIFY = [
    "unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
    "echo 0 >/proc/sys/user/max_inotify_instances && "
    'exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"', "sh"]


def test_idle_polls_as_often_as_configured(fresh):
    """Without watches; the minute that is the default would be too long."""
    s = started(fresh)
    done = subprocess.run(s.as_user([*NO_INOTIFY, "true"]), cwd="/",
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    s.set("imapd", IMAP_IDLE_TIMEOUT=2)
    s.patience = 40
    s.before["posternd"] = NO_INOTIFY
    s.start()
    with imap(s) as c:
        s.wait_log("maildir: no watches, polling instead")
        idle_until_exists(c, s.deliver)


def test_a_killed_worker_comes_back_alone(fresh):
    s = started(fresh, WORKERS=2)
    # Enough accounts that both workers have one.
    users = [JOE, ANN] + [s.add_user(f"u{n}@example.com") for n in range(10)]
    s.start()
    with contextlib.ExitStack() as stack:
        sessions = {u: stack.enter_context(imap(s, u)) for u in users}
        for c in sessions.values():
            c.ok("SELECT INBOX")
        workers = s.workers()
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        alive = []
        for user, c in sessions.items():
            with contextlib.suppress(AssertionError, OSError):
                c.ok("NOOP")
                alive.append(user)
        assert 0 < len(alive) < len(users)
        s.wait_log(r"(?i)worker.*(signal|KILL|killed)")
        # Who was hit logs in again, and the others never noticed.
        for user in users:
            with imap(s, user) as again:
                again.ok("SELECT INBOX")
        for user in alive:
            sessions[user].ok("NOOP")


def test_sigterm_says_bye(fresh):
    s = started(fresh)
    s.start()
    with imap(s) as c, imap(s, service="imapd-ssl") as t, \
            Lines(s.connect("imapd")) as greeted, pop3(s) as p:
        greeted.line()
        c.ok("SELECT INBOX")
        t.ok("SELECT INBOX")
        s.signal(signal.SIGTERM)
        for client in (c, t, greeted):
            assert client.line().startswith("* BYE"), s.log()
            assert client.line() is None
        while (line := p.line()) is not None:
            assert line.startswith("-ERR")
    assert s.processes["posternd"].wait(postern.PATIENCE) == 0
    assert not any(s.listens(name) for name in postern.SERVICES)
    assert not [n for n in postern.SERVICES if (s.run / f"{n}.pid").exists()]


def test_reload_keeps_connections(fresh):
    s = started(fresh)
    s.start()
    with imap(s) as c, imap(s, ANN, service="imapd-ssl") as t:
        c.ok("SELECT INBOX")
        old = s.cert.with_suffix(".crt").read_text()
        postern.make_cert(s.cert)
        s.set("imapd", MAXPERIP=3)
        s.write_conf()
        s.chown_all()
        s.signal(signal.SIGHUP)
        assert s.cert.with_suffix(".crt").read_text() != old

        def new_certificate():
            with contextlib.suppress(OSError), s.connect("imapd-ssl"):
                return True
        wait_for(new_certificate, "the new certificate is served")
        c.ok("NOOP")
        t.ok("NOOP")


def test_reload_with_an_error_keeps_the_configuration(fresh):
    s = started(fresh)
    s.start()
    with imap(s) as c:
        s.set("imapd", MAXDAEMONS="many")
        s.write_conf()
        s.signal(signal.SIGHUP)
        s.wait_log(r"MAXDAEMONS")
        c.ok("NOOP")
        with imap(s, ANN) as other:
            other.ok("NOOP")


def test_maxperip_says_why(fresh):
    s = started(fresh, services=("imapd", "pop3d"))
    s.set("imapd", MAXPERIP=2).set("pop3d", MAXPERIP=1)
    s.start()

    def first(service):
        with Lines(s.connect(service)) as c:
            return c.line()
    # What start() itself connected with may linger for a moment.
    wait_for(lambda: (first("imapd") or "").startswith("* OK"), "slot free")
    wait_for(lambda: (first("pop3d") or "").startswith("+OK"), "slot free")
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(2):
            c = stack.enter_context(Lines(s.connect("imapd")))
            wait_for(lambda c=c: c.line(), "greeting")
            held.append(c)
        wait_for(lambda: (first("imapd") or "").startswith(
            "* BYE [UNAVAILABLE]"), "refusal")
        c = stack.enter_context(Lines(s.connect("pop3d")))
        c.line()
        wait_for(lambda: (first("pop3d") or "").startswith(
            "-ERR [SYS/TEMP]"), "refusal")
        s.wait_log(r"Maximum connection limit reached for")
    wait_for(lambda: (first("imapd") or "").startswith("* OK"), "slots back")


def test_maxdaemons_says_why(fresh):
    s = started(fresh, services=("imapd", "pop3d"))
    s.set("imapd", MAXDAEMONS=2)
    s.start()

    def first(service="imapd"):
        with Lines(s.connect(service)) as c:
            return c.line() or ""

    def session(user):
        """That who was here before has gone may not be known yet."""
        def attempt():
            try:
                return imap(s, user)
            except AssertionError:
                return None
        return wait_for(attempt, "slot free")
    with session(JOE), session(ANN):
        wait_for(lambda: first().startswith("* BYE [UNAVAILABLE]"), "refusal")
        assert "onnections" in first()
        assert first("pop3d").startswith("+OK")
        s.wait_log(r"2 maximum active connections\.")
    wait_for(lambda: first().startswith("* OK"), "slots back")


def test_maildirpath_is_for_accounts_without_a_maildir(fresh):
    s = fresh()
    s.set("imapd", MAILDIRPATH="Mail/Dir")
    home = s.home / "joe"
    home.mkdir()
    (home / "Mail").mkdir()
    s.add_user(JOE, maildir="", homedir=str(home))
    s.start()
    with imap(s) as c:
        c.ok("SELECT INBOX")
    assert (home / "Mail/Dir/cur").is_dir()


def test_pid_files_name_a_holder(fresh):
    s = started(fresh)
    s.start()
    pids = {name: int((s.run / f"{name}.pid").read_text())
            for name in postern.SERVICES}
    assert len(set(pids.values())) == 4
    assert s.pid() not in pids.values()
    for pid in pids.values():
        os.kill(pid, 0)
    with imap(s) as c, pop3(s) as p:
        # An old script that knows nothing of posternd.
        os.kill(pids["pop3d"], signal.SIGTERM)
        wait_for(lambda: not s.listens("pop3d"), "POP3 is off")
        wait_for(lambda: not (s.run / "pop3d.pid").exists(), "no pid file")
        c.ok("NOOP")
        assert p.line() is None or True
        assert s.listens("imapd")
        os.kill(pids["imapd"], signal.SIGHUP)
        s.wait_log(r"(?i)reload|configuration")
        c.ok("NOOP")


def test_a_stopped_service_leaves_the_others(fresh):
    s = started(fresh)
    s.start()
    with imap(s) as c, pop3(s) as p:
        assert s.ctl("service", "status", "imapd").returncode == 0
        s.ctl("service", "stop", "pop3d")
        wait_for(lambda: not s.listens("pop3d"), "POP3 is off")
        assert s.ctl("service", "status", "pop3d",
                     check=False).returncode == 3
        c.ok("NOOP")
        assert (p.line() or "-ERR").startswith("-ERR")
        s.ctl("service", "start", "pop3d")
        with pop3(s, ANN):
            c.ok("NOOP")
        s.ctl("service", "start", "pop3d")


def test_who_and_stop(fresh):
    s = started(fresh)
    s.start()
    with imap(s), pop3(s, ANN):
        listed = s.ctl("who").stdout
        assert JOE in listed and ANN in listed
        s.ctl("reload")
        s.ctl("stop")
        assert s.processes["posternd"].wait(postern.PATIENCE) == 0


def test_log_lines_are_couriers(fresh):
    s = started(fresh)
    s.start()
    with imap(s) as c:
        c.ok("LOGOUT")
    s.wait_log(r"LOGIN, user=joe@example\.com, ip=\[::ffff:127\.0\.0\.1\], "
               r"port=\[\d+\], protocol=IMAP")
    s.wait_log(r"LOGOUT, user=joe@example\.com, ip=\[::ffff:127\.0\.0\.1\], "
               r"port=\[\d+\], headers=0, body=0, rcvd=\d+, sent=\d+, "
               r"time=\d+")
    with pop3(s) as p:
        p.pop("QUIT")
    s.wait_log(r"LOGIN, user=joe@example\.com, ip=\[::ffff:127\.0\.0\.1\], "
               r"port=\[\d+\]\n")
    s.wait_log(r"LOGOUT, user=joe@example\.com, ip=\[\S+\], "
               r"port=\[\d+\], top=0, retr=0, rcvd=\d+, sent=\d+, time=\d+")
    with Lines(s.connect()) as c:
        c.line()
        assert c.imap(f'LOGIN {JOE} wrong')[-1].split(" ")[1] == "NO"
    s.wait_log(r"LOGIN FAILED, user=joe@example\.com, "
               r"ip=\[::ffff:127\.0\.0\.1\]")
    assert "wrong" not in s.log()


def test_authdaemond_away_is_told_apart_from_a_wrong_password(fresh):
    s = started(fresh)
    s.start()
    s.stop_one("authdaemond")
    begun = time.monotonic()
    with Lines(s.connect()) as c:
        c.line()
        answer = c.imap(f'LOGIN {JOE} "{postern.PASSWORD}"')[-1]
        assert "[UNAVAILABLE]" in answer
    with Lines(s.connect("pop3d")) as p:
        p.line()
        p.pop(f"USER {JOE}")
        assert p.pop("PASS x")[0].startswith("-ERR [SYS/TEMP]")
    assert time.monotonic() - begun < 30
    assert "LOGIN FAILED" not in s.log()
    s.start_auth()

    def back():
        with contextlib.suppress(AssertionError, OSError), imap(s):
            return True
    wait_for(back, "logins work again")


def test_a_restart_of_authdaemond_is_waited_for(fresh):
    """No login hears of it: neither one under way nor one in between."""
    s = started(fresh)
    s.start()
    with Lines(s.connect()) as c:
        c.line()
        s.stop_one("authdaemond")
        c.send(f'1 LOGIN {JOE} "{postern.PASSWORD}"\r\n2 NOOP\r\n')
        s.start_auth()
        assert c.line().startswith("1 OK")
        assert c.line().startswith("2 OK")


def test_an_authdaemond_that_hangs_is_waited_for_so_long(fresh):
    s = started(fresh, services=("imapd", "pop3d"))
    s.set("imapd", TIMEOUT_READ=1)
    s.start()
    hanging = [s.pid("authdaemond"),
               *(pid for pid, _ in s.children(s.pid("authdaemond")))]
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with Lines(s.connect()) as c:
            c.line()
            answer = c.imap(f'LOGIN {JOE} "{postern.PASSWORD}"')[-1]
        assert "[UNAVAILABLE]" in answer
        assert time.monotonic() - begun < 25  # 30 is the default
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGCONT)


def test_check_and_show_configuration(fresh):
    s = started(fresh)
    s.prepare()
    import subprocess
    good = subprocess.run(
        s.as_user([postern.program("posternd"), "-c", str(s.conf), "-t"]),
        capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    shown = subprocess.run(
        s.as_user([postern.program("posternd"), "-c", str(s.conf), "-n"]),
        capture_output=True, text=True)
    assert shown.returncode == 0
    assert str(s.port["imapd"]) in shown.stdout
    s.set("imapd", PORT="not a port")
    s.write_conf()
    bad = subprocess.run(
        s.as_user([postern.program("posternd"), "-c", str(s.conf), "-t"]),
        capture_output=True, text=True)
    assert bad.returncode != 0
    assert "imapd:" in bad.stderr + bad.stdout and \
        "PORT" in bad.stderr + bad.stdout


def linked_with(program):
    import subprocess
    path = pathlib.Path(postern.program(program))
    return subprocess.run(["ldd", str(path)], capture_output=True,
                          text=True).stdout


def test_workers_have_no_tls_and_no_sql():
    linked = linked_with("worker")
    assert "libsqlite3" in linked
    for name in ("libssl", "libcrypto", "libmariadb", "libmysqlclient"):
        assert name not in linked


def test_the_holder_is_linked_with_libc_alone():
    """It lives as long as the master, and each library costs memory."""
    linked = linked_with("holder")
    assert "libc.so" in linked
    for name in ("libssl", "libcrypto", "libevent", "libsqlite3"):
        assert name not in linked


def test_a_failed_start_says_why(fresh):
    import subprocess
    s = started(fresh)
    s.start()
    done = subprocess.run(
        s.as_user([postern.program("posternd"), "-c", str(s.conf)]),
        capture_output=True, text=True, timeout=postern.PATIENCE)
    assert done.returncode != 0
    assert "another posternd runs" in done.stderr


def test_umask_of_messages(fresh):
    """IMAP_UMASK says who may read what is appended and copied."""
    s = fresh()
    s.set("imapd", IMAP_UMASK="027")
    s.add_user(JOE)
    s.start()
    with imap(s) as c:
        c.ok("CREATE INBOX.copies")
        for text in ("a: b\r\n\r\n", "a: b\r\n\r\n" + "x\r\n" * 50000):
            c.send(f"a APPEND INBOX {{{len(text)}+}}\r\n{text}\r\n")
            assert c.line().startswith("a OK")
        c.ok("SELECT INBOX")
        c.ok("COPY 1:* INBOX.copies")
    for folder in ("cur", ".copies/cur"):
        modes = [stat.S_IMODE(p.stat().st_mode)
                 for p in (s.maildir() / folder).iterdir()]
        assert modes == [0o640] * 2
    assert stat.S_IMODE(
        (s.maildir() / "postern.db").stat().st_mode) == 0o600


def test_children_without_a_terminal(fresh):
    """Nobody has what posternd was started with as its standard input and
    output, also where it stays in the foreground."""
    s = started(fresh)
    s.before["posternd"] = ["sh", "-c", 'exec "$@" </dev/zero >/dev/full', "-"]
    s.start()
    with imap(s):
        for pid in (s.pid(), *(pid for pid, _ in s.children())):
            assert [os.readlink(f"/proc/{pid}/fd/{fd}")
                    for fd in (0, 1)] == ["/dev/null"] * 2


def test_reload_reaches_a_worker(fresh):
    """With a session that goes on; the umask stands for what the store of a
    worker is told."""
    s = fresh()
    s.set("imapd", IMAP_UMASK="027")
    s.add_user(JOE)
    s.start()
    with imap(s) as c:
        def modes():
            c.send("a APPEND INBOX {6+}\r\na: b\r\n\r\n")
            assert c.line().startswith("a OK")
            return {stat.S_IMODE(p.stat().st_mode)
                    for p in (s.maildir() / "cur").iterdir()}
        assert modes() == {0o640}
        s.set("imapd", IMAP_UMASK="007")
        s.write_conf()
        s.ctl("reload")
        wait_for(lambda: modes() == {0o640, 0o660}, "the new umask")
