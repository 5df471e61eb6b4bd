"""A private Postern: authdaemond and posternd of an installed tree, with a
configuration, ports, users and mail of their own.

The tree is found through POSTERN_PREFIX (what `make install` filled). Every
wait is for a condition; every process that was started is ended by its id;
a sanitizer's report in any log fails the test that caused it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import time

import waiting
from waiting import PATIENCE, wait_for

SERVICES = ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl")
START_KEY = {"imapd": "IMAPDSTART", "imapd-ssl": "IMAPDSSLSTART",
             "pop3d": "POP3DSTART", "pop3d-ssl": "POP3DSSLSTART"}
# A uid that no passwd file knows, for servers that run without root.
PLAIN_UID = 64123
PASSWORD = "Geheim 7%"
JOE = "joe@example.com"
ANN = "ann@example.com"
SCHEMA = (pathlib.Path(__file__).resolve().parents[2] / "etc" /
          "postfix_users.sqlite.sql")
REPORT = re.compile(r"(ERROR: \w+Sanitizer|runtime error: |"
                    r"Assertion .* failed|SUMMARY: \w+Sanitizer)")


def prefix():
    path = os.environ.get("POSTERN_PREFIX")
    if path is None:
        raise RuntimeError("POSTERN_PREFIX is not set: ./run-tests sets it, "
                           "or name a tree that make install has filled")
    return pathlib.Path(path)


def program(name):
    """The path of an installed program or script."""
    for folder in ("sbin", "bin", "libexec", "libexec/postern", "share"):
        path = prefix() / folder / name
        if path.exists():
            return str(path)
    raise RuntimeError(f"{name} is not installed below {prefix()}")


def free_ports(n):
    """n ports of 127.0.0.1 that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in socks:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in socks]


def make_cert(path):
    """Key and self-signed certificate for localhost in one file."""
    path = pathlib.Path(path)
    key = path.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj",
         "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
         "-out", str(path)],
        check=True, capture_output=True)
    cert = path.read_text()
    path.write_text(key.read_text() + cert)
    path.chmod(0o600)
    key.unlink()
    ca = path.with_suffix(".crt")
    ca.write_text(cert)
    return path


def message(subject="Hello", sender=ANN, to=JOE, body="Hello, world.\n",
            n=0):
    return (f"From: Ann <{sender}>\nTo: <{to}>\nSubject: {subject}\n"
            f"Date: Mon, 7 Feb 1994 21:52:25 -0800\n"
            f"Message-ID: <m{n}.{abs(hash(subject)) % 10**9}@example.com>\n"
            f"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            f"\n{body}")


class Server:
    """authdaemond and posternd. Use as a context, or start() and stop().

    uid: whom both run as; None: the caller. Keyword arguments are keys of the
    file postern; set() gives keys of the other files.
    """

    n_delivered = 0

    def __init__(self, base, services=SERVICES, uid="plain",
                 modules="authsqlite", **postern):
        self.base = pathlib.Path(base)
        self.conf = self.base / "etc"
        self.run = self.base / "run"
        self.var = self.base / "auth"
        self.home = self.base / "vmail"
        self.services = services
        if uid == "plain":
            uid = PLAIN_UID if os.geteuid() == 0 else None
        self.uid = uid
        for path in (self.base, self.conf, self.run, self.var, self.home):
            path.mkdir(parents=True, exist_ok=True)
        self.base.chmod(0o755)
        self.run.chmod(0o755)
        self.var.chmod(0o755)
        self.home.chmod(0o777 if uid is None and os.geteuid() == 0 else 0o755)
        self.log_path = waiting.watch(self.base / "log")
        # Shorter where a test proves that some time isn't the default's.
        self.patience = PATIENCE
        self.log_path.touch()
        self.port = dict(zip(SERVICES, free_ports(4)))
        self.processes = {}
        self.before = {}  # by program: what is to exec it
        self.keys = {name: {} for name in SERVICES}
        self.keys["postern"] = {
            "RUNDIR": self.run, "LOG": "stderr", "LOGIN_PROCESSES": 1,
            "WORKERS": 2, "AUTH_FAILURE_DELAY": 100, "AUTH_USER": "",
        }
        if os.geteuid() != 0 or uid is not None:
            self.keys["postern"]["LOGIN_USER"] = "nobody"
        self.keys["postern"].update(postern)
        self.keys["authdaemonrc"] = {
            "authmodulelist": f'"{modules}"', "daemons": 2,
            "authdaemonvar": self.var,
        }
        self.cert = self.base / "server.pem"
        self._configure()
        self.table = self.base / "users" / "users.sqlite"
        self.table.parent.mkdir(exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.table)) as db:
            db.executescript(SCHEMA.read_text())
        self.users = {}

    def _configure(self):
        for name in SERVICES:
            tls = name.endswith("-ssl")
            mine = self.keys[name]
            mine["SSLADDRESS" if tls else "ADDRESS"] = "127.0.0.1"
            mine["SSLPORT" if tls else "PORT"] = self.port[name]
            mine["SSLPIDFILE" if tls else "PIDFILE"] = \
                self.run / f"{name}.pid"
            mine[START_KEY[name]] = "YES" if name in self.services else "NO"
            if tls:
                mine["TLS_CERTFILE"] = self.cert

    def set(self, file, **keys):
        self.keys[file].update(keys)
        return self

    def write(self, name, text):
        (self.conf / name).write_text(text)

    def write_conf(self):
        """Write what set() has gathered; files of write() stay."""
        for name, keys in self.keys.items():
            self.write(name, "".join(f"{k}={v}\n" for k, v in keys.items()))
        if not (self.conf / "authsqliterc").exists():
            self.write("authsqliterc", "".join(f"{k}\t{v}\n" for k, v in {
                "SQLITE_DATABASE": self.table,
                "SQLITE_USER_TABLE": "postfix_users",
                "SQLITE_CRYPT_PWFIELD": "crypt",
                "SQLITE_CLEAR_PWFIELD": "clear",
                "SQLITE_UID_FIELD": "uid",
                "SQLITE_GID_FIELD": "gid",
                "SQLITE_LOGIN_FIELD": "email",
                "SQLITE_HOME_FIELD": "homedir",
                "SQLITE_NAME_FIELD": "name",
                "SQLITE_MAILDIR_FIELD": "maildir",
                "SQLITE_QUOTA_FIELD": "quota",
                "SQLITE_WHERE_CLAUSE": "access='Y'",
            }.items()))

    # --- users and mail ---------------------------------------------------

    def add_user(self, email=JOE, password=PASSWORD, uid=None, **columns):
        uid = uid or self.uid or os.geteuid()
        user, domain = email.split("@")
        row = {"email": email, "clear": password, "uid": uid, "gid": uid,
               "homedir": str(self.home), "maildir": f"{domain}/{user}/"}
        row.update(columns)
        with contextlib.closing(sqlite3.connect(self.table)) as db, db:
            db.execute(
                f"INSERT INTO postfix_users ({', '.join(row)}) "
                f"VALUES ({', '.join('?' * len(row))})", list(row.values()))
        self.users[email] = row
        return email

    def maildir(self, email=JOE):
        row = self.users[email]
        return pathlib.Path(row["homedir"]) / row["maildir"]

    def deliver(self, text=None, email=JOE, folder=""):
        """Deliver as Postfix's virtual(8) does: tmp, then new."""
        Server.n_delivered += 1
        n = Server.n_delivered
        text = message(f"Message {n}", to=email, n=n) if text is None else text
        data = text if isinstance(text, bytes) else text.encode()
        row = self.users[email]
        root = self.maildir(email)
        parts = [root.parent, root]
        if folder:
            parts.append(root / folder)
        box = parts[-1]
        for path in parts + [box / "tmp", box / "new", box / "cur"]:
            if not path.exists():
                path.mkdir(mode=0o700, parents=True)
                self._own(path, row)
        if folder and not (box / "maildirfolder").exists():
            (box / "maildirfolder").touch()
            self._own(box / "maildirfolder", row)
        name = f"{int(time.time())}.V1I{n}M{n:06d}.test"
        path = box / "tmp" / name
        path.write_bytes(data)
        path.chmod(0o600)
        self._own(path, row)
        path.rename(box / "new" / name)
        return name

    def own(self, path, email=JOE):
        """Give a file to the account's owner."""
        self._own(path, self.users[email])

    @staticmethod
    def _own(path, row):
        if os.geteuid() == 0:
            os.chown(path, int(row["uid"]), int(row["gid"]))

    def files(self, email=JOE, folder=""):
        """Names of messages on disk, of new and cur."""
        box = self.maildir(email) / folder
        return sorted(p.name for sub in ("new", "cur")
                      if (box / sub).is_dir() for p in (box / sub).iterdir())

    # --- processes --------------------------------------------------------

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("LC_", "LANG"))}
        path = self.base / "sanitizer"
        env["ASAN_OPTIONS"] = ":".join(filter(None, (
            env.get("ASAN_OPTIONS"), f"log_path={path}", "detect_leaks=0")))
        env["UBSAN_OPTIONS"] = f"log_path={path}:print_stacktrace=1"
        return env

    def as_user(self, argv):
        if self.uid is None:
            return argv
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}",
                "--clear-groups", "--"] + argv

    def chown_all(self):
        """Give the tree to the one who runs it."""
        if self.uid is None or os.geteuid() != 0:
            return
        for root, dirs, names in os.walk(self.base):
            for name in dirs + names + ["."]:
                os.chown(os.path.join(root, name), self.uid, self.uid,
                         follow_symlinks=False)

    def spawn(self, name, *args):
        with open(self.log_path, "ab") as log:
            process = subprocess.Popen(
                self.as_user([*self.before.get(name, []), program(name), "-c",
                              str(self.conf), "-f", *args]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", env=self.environment())
        self.processes[name] = process
        return process

    def prepare(self):
        if not self.cert.exists():
            make_cert(self.cert)
        self.write_conf()
        self.chown_all()

    def start_auth(self):
        process = self.spawn("authdaemond")
        wait_for(lambda: self._up(process, self._auth_up), "authdaemond is up")

    def start(self, *args):
        self.prepare()
        self.start_auth()
        self.start_server(*args)
        return self

    def start_server(self, *args):
        process = self.spawn("posternd", *args)
        wait_for(lambda: self._up(process, self.greets), "posternd greets")

    def _up(self, process, condition):
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}:\n"
                                 + self.log())
        return condition()

    def _auth_up(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.var / "socket"))
                return True
            except OSError:
                return False

    def listens(self, service):
        with socket.socket() as s:
            s.settimeout(PATIENCE)
            return s.connect_ex(("127.0.0.1", self.port[service])) == 0

    def greets(self):
        for service in self.services:
            try:
                with self.connect(service, timeout=PATIENCE / 4) as s:
                    if not s.recv(1):
                        return False
            except OSError:
                return False
        return True

    def context(self):
        context = ssl.create_default_context(
            cafile=str(self.cert.with_suffix(".crt")))
        return context

    def connect(self, service="imapd", timeout=None):
        """A connected socket, TLS for the -ssl services."""
        s = socket.create_connection(
            ("127.0.0.1", self.port[service]), timeout=timeout or self.patience)
        if service.endswith("-ssl"):
            try:
                s = self.context().wrap_socket(s, server_hostname="localhost")
            except BaseException:
                s.close()
                raise
        return s

    def pid(self, name="posternd"):
        return self.processes[name].pid

    def children(self, pid=None):
        """(pid, name) of all processes below, depth first."""
        found = []
        for child in waiting.below(pid or self.pid()):
            with contextlib.suppress(OSError):
                exe = os.readlink(f"/proc/{child}/exe")
                found.append((child, os.path.basename(exe)))
        return found

    def workers(self):
        return [pid for pid, name in self.children() if name == "worker"]

    def ctl(self, *args, check=True, timeout=PATIENCE):
        return subprocess.run(
            self.as_user([program("posternctl"), "-c", str(self.conf), *args]),
            check=check, capture_output=True, text=True, timeout=timeout,
            cwd="/", env=self.environment())

    def signal(self, number, name="posternd"):
        self.processes[name].send_signal(number)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=PATIENCE):
        return wait_for(lambda: re.search(pattern, self.log()), pattern,
                        seconds)

    def stop_one(self, name):
        process = self.processes.pop(name, None)
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                for pid, _ in self.children(process.pid):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                process.kill()
                process.wait(10)
                raise AssertionError(
                    f"{name} did not end:\n{self.log()}") from None
        return process.returncode

    def reports(self):
        """Sanitizer reports, failed assertions, workers that crashed."""
        texts = [self.log()]
        texts += [p.read_text(errors="replace")
                  for p in self.base.glob("sanitizer.*")]
        return "\n".join(t for t in texts if REPORT.search(t))

    def stop(self):
        errors = []
        for name in ("posternd", "authdaemond"):
            try:
                status = self.stop_one(name)
                if status != 0:
                    errors.append(f"{name} ended with {status}")
            except AssertionError as error:
                errors.append(str(error))
        report = self.reports()
        if report:
            errors.append(report)
        if errors:
            raise AssertionError("\n".join(errors) + "\n" + self.log()[-4000:])

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()


# --- clients that speak lines ---------------------------------------------

class Lines:
    """A connection of lines: what a test says and reads by hand."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.n = 0

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """The next line without CRLF; None at the end."""
        while b"\n" not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest.decode("utf-8", "replace") if rest else None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def imap(self, command):
        """Send a command; all lines up to and with the tagged answer."""
        self.n += 1
        tag = f"t{self.n}"
        self.send(f"{tag} {command}\r\n")
        lines = []
        while True:
            line = self.line()
            if line is None:
                raise AssertionError(f"connection ended in {command}: {lines}")
            lines.append(line)
            if line.startswith(tag + " "):
                return lines

    def ok(self, command):
        lines = self.imap(command)
        assert lines[-1].split(" ")[1] == "OK", (command, lines)
        return lines

    def pop(self, command, multi=False):
        self.send(command + "\r\n")
        lines = [self.line()]
        while multi and lines[0].startswith("+OK") and lines[-1] != ".":
            lines.append(self.line())
        return lines

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def imap(server, user=JOE, password=PASSWORD, service="imapd"):
    """A logged-in IMAP connection."""
    c = Lines(server.connect(service))
    greeting = c.line()
    assert greeting is not None and greeting.startswith("* OK"), greeting
    c.ok(f'LOGIN "{user}" "{password}"')
    return c


def pop3(server, user=JOE, password=PASSWORD, service="pop3d"):
    c = Lines(server.connect(service))
    assert c.line().startswith("+OK")
    assert c.pop(f"USER {user}")[0].startswith("+OK")
    answer = c.pop(f"PASS {password}")[0]
    assert answer.startswith("+OK"), answer
    return c


def need(name, package):
    """The path of a client program; a test without it is skipped aloud."""
    import pytest
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is missing: apt-get install {package}")
    return path


def mbsync_account(server, user):
    """The part of an mbsyncrc that says where the server is."""
    return f"""\
IMAPAccount account
Host localhost
Port {server.port['imapd-ssl']}
User {user}
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {server.cert.with_suffix('.crt')}
AuthMechs LOGIN

IMAPStore far
Account account
"""


def run_mutt(server, user, work, keys, program="mutt"):
    """Have mutt (or neomutt) open the user's INBOX over IMAPS and press these
    keys."""
    mutt = need(program, program)
    (work / "home").mkdir(exist_ok=True)
    rc = work / "muttrc"
    url = f"imaps://localhost:{server.port['imapd-ssl']}/"
    rc.write_text(
        f"set imap_user='{user}'\nset imap_pass='{PASSWORD}'\n"
        f"set certificate_file={server.cert.with_suffix('.crt')}\n"
        "set ssl_force_tls=yes\nset ssl_verify_host=no\n"
        "set ssl_usesystemcerts=no\nset mbox_type=Maildir\n"
        "set confirmcreate=no\nset confirmappend=no\nset sleep_time=0\n"
        "set delete=yes\nset move=no\nset record=''\nset wait_key=no\n"
        "set quit=yes\nset sort=mailbox-order\nset mark_old=no\n"
        f"set folder={url}\nset spoolfile={url}INBOX\npush '{keys}'\n")
    # It wants a terminal; script(1) is one.
    done = subprocess.run(
        ["script", "-qec", f"{mutt} -n -F {rc}", "/dev/null"],
        cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=4 * PATIENCE, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(work / "home"),
             "TERM": "xterm", "LC_ALL": "C.UTF-8"})
    return done.stdout.decode(errors="replace")
