"""Log lines, as old scripts, log reports and fail2ban read them."""

import base64
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest
import postern
from postern import ANN, JOE, PASSWORD, Lines, imap, need, pop3, wait_for
from waiting import is_gone

FILTER = "/etc/fail2ban/filter.d/courier-auth.conf"
HOST = re.compile(r"(?:::ffff:)?127\.0\.0\.1")


@pytest.fixture
def logged(fresh, directory):
    """A server with a log file, as LOG=path makes it."""
    path = directory / "mail.log"
    path.unlink(missing_ok=True)
    path.touch()
    path.chmod(0o666)
    s = fresh(LOG=path)
    s.add_user(JOE)
    s.add_user(ANN)
    s.spawn = daemon_spawn(s)
    s.log = lambda: path.read_text(errors="replace")
    s.file = path
    return s


def daemon_spawn(server, *before):
    """-f logs on standard error whatever LOG says: so without it."""
    original = type(server).spawn

    def spawn(name, *args):
        if name != "posternd":
            return original(server, name, *args)
        done = subprocess.run(
            [*before, *server.as_user(
                [postern.program(name), "-c", str(server.conf), *args])],
            capture_output=True, text=True, cwd="/", timeout=60,
            env=server.environment())
        assert done.returncode == 0, done.stderr
        server.processes[name] = Daemon(
            int((server.run / "posternd.pid").read_text()))
        return server.processes[name]
    return spawn


# A /dev of its own, with the socket of the test as its log.
OWN_DEV = """
for name in null zero urandom full tty; do
	: >"$0/$name" && mount --bind "/dev/$name" "$0/$name" || exit 1
done
mount --rbind "$0" /dev && exec "$@"
"""


def syslog_socket(folder):
    folder.mkdir()
    before = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
              OWN_DEV, str(folder)]
    done = subprocess.run([*before, "true"], capture_output=True, text=True,
                          timeout=60)
    if done.returncode != 0:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(folder / "log"))
    (folder / "log").chmod(0o666)
    log.settimeout(postern.PATIENCE)
    return log, before


class Daemon:
    """A process that is not our child, with what Server asks of one."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = 0

    def poll(self):
        return 0 if is_gone(self.pid) else None

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds=30):
        wait_for(lambda: self.poll() is not None, "end of posternd", seconds)
        return 0


def fail_imap_login(server):
    with Lines(server.connect()) as c:
        c.line()
        assert " NO " in c.imap(f"LOGIN {JOE} wrong")[-1]


def plain(user=JOE, password="wrong"):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def fail_imap_plain(server):
    with Lines(server.connect("imapd-ssl")) as c:
        c.line()
        c.send(f"a AUTHENTICATE PLAIN {plain()}\r\n")
        assert c.line().startswith("a NO")


def fail_imap_scram(server):
    """A wrong proof, without a word of who it is after the first message."""
    with Lines(server.connect()) as c:
        c.line()
        first = base64.b64encode(b"n,,n=joe@example.com,r=abc").decode()
        c.send(f"a AUTHENTICATE SCRAM-SHA-256 {first}\r\n")
        challenge = c.line()
        assert challenge.startswith("+ "), challenge
        nonce = re.search(r"r=([^,]+)", base64.b64decode(
            challenge[2:]).decode()).group(1)
        proof = base64.b64encode(b"x" * 32).decode()
        last = f"c=biws,r={nonce},p={proof}".encode()
        c.send(base64.b64encode(last).decode() + "\r\n")
        assert c.line().startswith("a NO")


def fail_pop_pass(server):
    with Lines(server.connect("pop3d")) as p:
        p.line()
        p.pop(f"USER {JOE}")
        assert p.pop("PASS wrong")[0].startswith("-ERR")


def fail_pop_auth(server):
    with Lines(server.connect("pop3d-ssl")) as p:
        p.line()
        assert p.pop(f"AUTH PLAIN {plain()}")[0].startswith("-ERR")


FAILURES = [fail_imap_login, fail_imap_plain, fail_imap_scram, fail_pop_pass,
            fail_pop_auth]


def fail2ban(lines, work):
    """How many of the lines Debian's filter takes for a failed login."""
    tool = need("fail2ban-regex", "fail2ban")
    path = work / "lines"
    path.write_text("".join(line + "\n" for line in lines))
    done = subprocess.run([tool, str(path), FILTER], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.search(r"(\d+) matched", done.stdout).group(1))


def test_fail2ban_sees_failed_logins(logged, work):
    s = logged.start()
    for fail in FAILURES:
        fail(s)
    s.wait_log(r"pop3d-ssl: LOGIN FAILED")
    lines = [x for x in s.log().splitlines() if "LOGIN FAILED" in x]
    assert len(lines) == len(FAILURES), lines
    assert fail2ban(lines, work) == len(FAILURES)
    # As syslog writes them, with the name of the machine.
    assert fail2ban([re.sub(r"^(.{15}) ", r"\1 mail ", x) for x in lines],
                    work) == len(FAILURES)
    # Nothing that went well is one.
    with imap(s) as c, pop3(s, ANN) as p:
        c.ok("LOGOUT")
        p.pop("QUIT")
    s.wait_log(r"pop3d: LOGOUT")
    others = [x for x in s.log().splitlines() if "LOGIN FAILED" not in x]
    assert others and fail2ban(others, work) == 0


def test_fail2ban_sees_no_temporary_failure(logged, work):
    """A database that is away must not get anybody banned."""
    s = logged.start()
    s.stop_one("authdaemond")
    for fail in FAILURES:
        with contextlib.suppress(AssertionError):
            fail(s)
    s.wait_log(r"authentication error: Input/output error")
    assert fail2ban(s.log().splitlines(), work) == 0


def test_idents_and_addresses_as_configured(logged):
    logged.set("imapd", LOGGEROPTS='"-name=courierimapd -facility=local1"')
    logged.set("imapd-ssl", SSLLOGGEROPTS="-name=imaplogin")
    logged.set("postern", LOG_IP_MAPPED=0)
    s = logged.start()
    fail_imap_login(s)
    s.wait_log(r" courierimapd: LOGIN FAILED, user=joe@example\.com, "
               r"ip=\[127\.0\.0\.1\], port=\[\d+\]\n")
    with imap(s, service="imapd-ssl") as c:
        c.ok("LOGOUT")
    s.wait_log(r" imaplogin: LOGOUT, user=joe@example\.com, "
               r"ip=\[127\.0\.0\.1\], port=\[\d+\], headers=0")
    assert "::ffff:" not in s.log()


def test_lines_before_a_crash(logged):
    """What a worker had put off is told when it ends by its own fault."""
    s = logged.start()
    with imap(s) as c:
        port = c.sock.getsockname()[1]
        for worker in s.workers():
            os.kill(worker, signal.SIGABRT)
        s.wait_log(rf"imapd: LOGIN, user={re.escape(JOE)}, .*"
                   rf"port=\[{port}\]")
        s.wait_log(r"worker.* signal")


def test_debug_login(logged):
    logged.set("imapd", DEBUG_LOGIN=1)
    s = logged.start()
    with Lines(s.connect()) as c:
        c.line()
    s.wait_log(r"imapd: Connection, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]")
    s.wait_log(r"imapd: Disconnected, ip=\[\S+\], port=\[\d+\], time=\d+\n")
    with Lines(s.connect("pop3d")) as c:
        c.line()
    s.wait_log(r"pop3d: Disconnected, ip=\[\S+\], port=\[\d+\]\n")


def test_logout_before_login(logged):
    s = logged.start()
    with Lines(s.connect()) as c, Lines(s.connect("pop3d")) as p:
        c.line()
        c.ok("LOGOUT")
        p.line()
        p.pop("QUIT")
    s.wait_log(r"imapd: LOGOUT, ip=\[\S+\], port=\[\d+\], rcvd=11, sent=\d+\n")
    s.wait_log(r"pop3d: LOGOUT, ip=\[\S+\], port=\[\d+\]\n")


def test_the_ends_of_sessions(logged):
    s = logged.start()
    s.deliver()
    with imap(s, service="imapd-ssl") as c:
        c.ok("SELECT INBOX")
        c.ok("FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT])")
    s.wait_log(r"imapd-ssl: DISCONNECTED, user=joe@example\.com, ip=\[\S+\], "
               r"port=\[\d+\], headers=[1-9]\d*, body=[1-9]\d*, rcvd=\d+, "
               r"sent=\d+, time=\d+, starttls=1\n")
    with pop3(s, service="pop3d-ssl") as p:
        p.pop("RETR 1", multi=True)
        p.pop("TOP 1 1", multi=True)
        p.pop("DELE 1")
        p.pop("QUIT")
    s.wait_log(r"pop3d-ssl: LOGIN, user=\S+, ip=\[\S+\], port=\[\d+\], "
               r"stls=1\n")
    s.wait_log(r"pop3d-ssl: LOGOUT, user=joe@example\.com, ip=\[\S+\], "
               r"port=\[\d+\], top=[1-9]\d*, retr=[1-9]\d*, rcvd=\d+, "
               r"sent=\d+, time=\d+, stls=1\n")
    with imap(s, ANN) as c:
        c.ok("NOOP")
        s.ctl("service", "stop", "imapd")
    s.wait_log(r"imapd: NOTICE: Disconnected during shutdown by signal, "
               r"user=ann@example\.com, ip=\[\S+\], port=\[\d+\], headers=0, "
               r"body=0, rcvd=\d+, sent=\d+, time=\d+\n")


def test_names_of_clients_cannot_forge_lines(logged, work):
    """No other address can be smuggled into a line that a ban is made of."""
    s = logged.start()
    with Lines(s.connect()) as c:
        c.line()
        evil = "x, ip=[192.0.2.66], user=y"
        c.imap(f'LOGIN "{evil}" wrong')
        c.send(f"a LOGIN {{{len(evil) + 1}+}}\r\n{evil}\n wrong\r\n")
        c.line()
    with Lines(s.connect("pop3d")) as p:
        p.line()
        p.pop("USER x\x1b, ip=[192.0.2.66]")
        p.pop("PASS wrong")
    s.wait_log(r"pop3d: LOGIN FAILED")
    text = s.log()
    assert "192.0.2.66]" not in text and "\x1b" not in text
    tool = need("fail2ban-regex", "fail2ban")
    done = subprocess.run([tool, "-o", "ip", str(s.file), FILTER],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_deletions(logged):
    logged.set("imapd", IMAP_LOG_DELETIONS=1).set("pop3d", POP3_LOG_DELETIONS=1)
    s = logged.start()
    for _ in range(4):
        s.deliver()
    box = s.maildir()
    with imap(s) as c:
        c.ok("SELECT INBOX")
        c.ok("CREATE INBOX.Other")
        c.ok("COPY 1 INBOX.Other")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        names = s.files()
        c.ok("EXPUNGE")
        (gone,) = set(names) - set(s.files())
        s.wait_log(rf"imapd: EXPUNGED, user=joe@example\.com, ip=\[\S+\], "
                   rf"port=\[\d+\], old_name={re.escape(str(box))}/cur/"
                   rf"{re.escape(gone)}\n")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        c.ok("UID EXPUNGE 2")
        c.ok("SELECT INBOX.Other")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        c.ok("CLOSE")
        s.wait_log(rf"old_name={re.escape(str(box))}/\.Other/cur/")
    assert s.log().count("EXPUNGED, ") == 3
    with pop3(s) as p:
        p.pop("DELE 1")
        p.pop("QUIT")
    s.wait_log(r"pop3d: DELETED, user=joe@example\.com, ip=\[\S+\], "
               r"port=\[\d+\], filename=cur/\S+\n")
    # As IMAP marks what it removes, so does the log of the next reload.
    logged.set("imapd", IMAP_LOG_DELETIONS=0)
    s.write_conf()
    s.ctl("reload")
    with imap(s) as c:
        c.ok("SELECT INBOX")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        c.ok("EXPUNGE")
    assert s.log().count("EXPUNGED, ") == 3


def test_deletions_into_the_trash(logged):
    logged.set("imapd", IMAP_LOG_DELETIONS=1, IMAP_MOVE_EXPUNGE_TO_TRASH=1)
    s = logged.start()
    s.deliver()
    with imap(s) as c:
        c.ok("SELECT INBOX")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        c.ok("EXPUNGE")
        (kept,) = s.files(folder=".Trash")
        s.wait_log(rf"EXPUNGED, .*old_name={re.escape(str(s.maildir()))}/cur/"
                   rf"\S+, new_name={re.escape(str(s.maildir()))}/\.Trash/cur/"
                   rf"{re.escape(kept)}: only new_name will be left\n")
        # In the trash itself it goes for good.
        c.ok("SELECT INBOX.Trash")
        c.ok(r"STORE 1 +FLAGS (\Deleted)")
        c.ok("EXPUNGE")
        s.wait_log(r"EXPUNGED, .*old_name=\S+/\.Trash/cur/\S+\n")
    assert s.log().count("EXPUNGED, ") == 2


def is_zombie(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


def test_last_words_of_a_worker(logged):
    """The master comes to read them when the worker has ended already."""
    s = logged.start()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(imap(s)) for _ in range(20)]
        workers = s.workers()
        s.processes["posternd"].send_signal(signal.SIGSTOP)
        try:
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
            for c in clients:
                while c.line() is not None:
                    pass
            for pid in workers:
                wait_for(lambda pid=pid: is_zombie(pid), "the worker's end")
        finally:
            s.processes["posternd"].send_signal(signal.SIGCONT)
    wait_for(lambda: s.log().count("Disconnected during shutdown") == 20,
             "a line of each session")


def test_id_fields(logged):
    s = logged.start()

    def said():
        with imap(s) as c:
            return c.ok('ID ("name" "Thunder, bird" "version" "1\x1b")')[0]
    answer = said()
    assert '"name"' in answer and "version" not in answer
    s.wait_log(r"imapd: ID, user=joe@example\.com, ip=\[\S+\], "
               r"port=\[\d+\], name=Thunder, bird, version=1\.\n")
    logged.set("imapd", IMAP_ID_FIELDS=3)
    s.write_conf()
    s.ctl("reload")
    answer = said()
    assert '"version"' in answer and '"os" "Linux"' in answer
    assert "os-version" not in answer


def test_lines_reach_syslog(fresh, directory):
    """Priority, time, ident and text, as RFC 3164 and /dev/log have them."""
    s = fresh(LOG="syslog")
    s.add_user(JOE)
    s.set("imapd", LOGGEROPTS='"-name=courierimapd -facility=local1"')
    s.set("pop3d", LOGGEROPTS="-facility=news")
    log, before = syslog_socket(directory / "dev")
    s.spawn = daemon_spawn(s, *before)

    def line(text):
        while not re.search(text, got := log.recv(4096).decode()):
            pass
        found = re.fullmatch(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d "
                             r"([\w-]+): (.*)", got)
        assert found, got
        return found.groups()
    mail, news, local1, info = 2 << 3, 7 << 3, 17 << 3, 6
    address = r"ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]"
    with log:
        s.start()
        for service, ident, facility in (("imapd", "courierimapd", local1),
                                         ("imapd-ssl", "imapd-ssl", mail),
                                         ("pop3d", "pop3d", news)):
            with (pop3 if service == "pop3d" else imap)(s, service=service):
                got = line("LOGIN, user=")
            assert got[:2] == (str(facility | info), ident), got
            assert re.match(rf"LOGIN, user=joe@example\.com, {address}",
                            got[2]), got
        for fail, ident, facility in (
                (fail_imap_login, "courierimapd", local1),
                (fail_pop_pass, "pop3d", news)):
            fail(s)
            got = line("LOGIN FAILED")
            assert got[:2] == (str(facility | info), ident), got
            assert re.fullmatch(
                rf"LOGIN FAILED, user=joe@example\.com, {address}",
                got[2]), got
