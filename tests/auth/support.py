"""A private authdaemond, its user tables, and clients that speak bytes."""

import base64
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import threading

import waiting
from waiting import PATIENCE, wait_for

FAILURE_MS = 150
MARIADBD = shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/sbin")
INSTALL_DB = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")

COLUMNS = ("email", "clear", "crypt", "name", "uid", "gid", "homedir",
           "maildir", "quota", "access")
DEFAULTS = {"clear": "", "crypt": "", "name": "", "uid": 5000, "gid": 5000,
            "homedir": "/home/vmail", "maildir": "example.com/joe/",
            "quota": "10000000S", "access": "Y"}
JOE = "joe@example.com"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program():
    """The authdaemond to test."""
    build = pathlib.Path(os.environ.get("BUILD_DIR", os.getcwd()))
    path = os.environ.get("AUTHDAEMOND", build / "sbin" / "authdaemond")
    return str(pathlib.Path(path).resolve())


class Authdaemond:
    """authdaemond with a configuration of its own, in the foreground."""

    def __init__(self, base, modules="authsqlite", **postern):
        self.base = pathlib.Path(base)
        self.conf = self.base / "etc"
        self.var = self.base / "var"
        self.conf.mkdir(parents=True, exist_ok=True)
        self.log_path = waiting.watch(self.base / "log")
        self.process = None
        self.before = []   # words to start it with
        self.write("authdaemonrc", f"""\
            authmodulelist="{modules}"
            daemons=3
            authdaemonvar={self.var}
            DEBUG_LOGIN=1
            """)
        values = {"AUTH_FAILURE_DELAY": FAILURE_MS, "AUTH_USER": "",
                  "AUTH_PENALTY": 0, "AUTH_CACHE_FAILED_TIME": 0}
        values.update(postern)
        self.write("postern", "".join(f"{k}={v}\n" for k, v in values.items()))

    def write(self, name, text):
        lines = [line.lstrip(" ") for line in text.splitlines(True)]
        (self.conf / name).write_text("".join(lines), newline="")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.before, program(), "-c", str(self.conf), "-f"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_up, "authdaemond is up")
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("authdaemond ended:\n" + self.log())
        try:
            return self.courier(b"PRE none none none\n") == b"FAIL\n"
        except OSError:
            return False

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process = None
        assert "Sanitizer" not in self.log(), self.log()
        assert status == 0, self.log()

    def reload(self):
        """SIGHUP, and wait until it has been worked on."""
        before = self.log().count("modules=")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("modules=") > before, "reload")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def children(self):
        out = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o",
                              "pid=,comm="], capture_output=True, text=True)
        return [(int(pid), name) for pid, name in
                (line.split() for line in out.stdout.splitlines())]

    def children_named(self, name):
        return [pid for pid, comm in self.children() if comm == name]

    # --- clients ---------------------------------------------------------

    def connect(self, name="socket", kind=socket.SOCK_STREAM):
        s = socket.socket(socket.AF_UNIX, kind)
        s.settimeout(PATIENCE)
        s.connect(str(self.var / name))
        return s

    def courier(self, request):
        """One request; everything up to the end of the stream."""
        with self.connect() as s:
            s.sendall(request)
            return read_all(s)

    def login(self, user=JOE, password="secret", service="imap"):
        return self.courier(auth_request(user, password, service))

    def sasl(self, name="login"):
        return Sasl(self.connect(name))

    def sasl_login(self, user=JOE):
        with self.sasl() as c:
            c.handshake()
            c.plain(1, user, "secret", "nologin")
            return c.line()

    def timed(self, work):
        """What work() gave, and the seconds it took."""
        watch = waiting.Watch(self.process.pid)
        result = work()
        return result, watch.seconds()

    def tickets(self):
        return Tickets(self)


def readable(s):
    """An answer, or the end, is there."""
    return bool(select.select([s], [], [], 0)[0])


def read_all(s):
    out = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return out
        out += piece


def auth_request(user, password, service="imap", authtype="login"):
    body = f"{service}\n{authtype}\n{user}\n{password}\n".encode()
    return b"AUTH %d\n" % len(body) + body


def record(**fields):
    """The success record that is expected, in Courier's order."""
    values = {"UID": 5000, "GID": 5000, "HOME": "/home/vmail", "ADDRESS": JOE,
              "NAME": None, "MAILDIR": "example.com/joe/",
              "QUOTA": "10000000S", "PASSWD": None, "PASSWD2": "secret",
              "OPTIONS": None}
    values.update(fields)
    return ("".join(f"{k}={v}\n" for k, v in values.items() if v is not None)
            + ".\n").encode()


class Sasl:
    """A client of the SASL protocol, line by line."""

    def __init__(self, s):
        self.s = s
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, *fields):
        self.s.sendall("\t".join(str(f) for f in fields).encode() + b"\n")

    def line(self):
        """The next line; None at the end of the stream."""
        while b"\n" not in self.rest:
            try:
                piece = self.s.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert self.rest == b"", self.rest
                return None
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode("latin-1")

    def handshake(self):
        self.send("VERSION", 1, 0)
        self.send("CPID", os.getpid())
        lines = []
        while not lines or lines[-1] != "DONE":
            line = self.line()
            assert line is not None, lines
            lines.append(line)
        return lines

    def plain(self, request_id, user, password, *fields, service="imap"):
        self.send("AUTH", request_id, "PLAIN", f"service={service}", *fields,
                  "resp=" + b64(f"\0{user}\0{password}"))


def b64(text):
    if isinstance(text, str):
        text = text.encode()
    return base64.b64encode(text).decode()


class Tickets:
    """A master on the ticket socket."""

    HELLO, TICKET = None, None

    def __init__(self, daemon, secret=None):
        self.s = daemon.connect("tickets", socket.SOCK_SEQPACKET)
        if secret is None:
            secret = (daemon.var / "secret").read_bytes()
        self.s.send(pack_message("TICKET_HELLO", "s", secret))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def next(self):
        fields = unpack_message("TICKET", self.s.recv(1 << 17), "sssuusssss")
        names = ("ticket", "service", "rip", "uid", "gid", "address", "home",
                 "maildir", "quota", "options")
        return dict(zip(names, fields))


def message_type(name):
    """The number of a message, from the table that the programs use."""
    root = pathlib.Path(__file__).resolve().parents[2]
    table = (root / "server" / "ipc" / "messages.def").read_text()
    return re.findall(r"^MSG\((\w+),", table, re.M).index(name) + 1


def pack_message(name, fields, *values):
    out = struct.pack("=II", message_type(name), 0)
    for kind, value in zip(fields, values):
        if kind == "s":
            out += struct.pack("=I", len(value)) + value + b"\0"
        else:
            out += struct.pack("=I" if kind == "u" else "=Q", value)
    return out


def unpack_message(name, packet, fields):
    kind, _ = struct.unpack_from("=II", packet)
    assert kind == message_type(name)
    at, out = 8, []
    for field in fields:
        if field == "s":
            n, = struct.unpack_from("=I", packet, at)
            out.append(packet[at + 4:at + 4 + n])
            at += 4 + n + 1
        else:
            form = "=I" if field == "u" else "=Q"
            out.append(struct.unpack_from(form, packet, at)[0])
            at += struct.calcsize(form)
    assert at == len(packet)
    return out


# --- user tables ---------------------------------------------------------

class SqliteTable:
    """A user table in a file, made by the shipped schema."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        root = pathlib.Path(__file__).resolve().parents[2]
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.executescript((root / "etc" / "postfix_users.sqlite.sql").read_text())
        self.add(JOE, clear="secret")

    def add(self, email, **fields):
        row = {**DEFAULTS, "email": email, **fields}
        marks = ",".join("?" * len(COLUMNS))
        self.db.execute("PRAGMA ignore_check_constraints = 1")
        self.db.execute(f"INSERT OR REPLACE INTO postfix_users "
                        f"({','.join(COLUMNS)}) VALUES ({marks})",
                        [row[c] for c in COLUMNS])

    def add_many(self, rows):
        """(email, uid, gid, homedir, maildir) of each, in one transaction."""
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO postfix_users (email, uid, gid, "
                            "homedir, maildir) VALUES (?, ?, ?, ?, ?)", rows)
        self.db.execute("COMMIT")

    def rc(self):
        return f"""\
            SQLITE_DATABASE {self.path}
            SQLITE_USER_TABLE postfix_users
            SQLITE_LOGIN_FIELD email
            SQLITE_CLEAR_PWFIELD clear
            SQLITE_CRYPT_PWFIELD crypt
            SQLITE_HOME_FIELD homedir
            SQLITE_MAILDIR_FIELD maildir
            SQLITE_QUOTA_FIELD quota
            SQLITE_NAME_FIELD name
            SQLITE_WHERE_CLAUSE access = 'Y'
            """


class MariaDB:
    """A server of its own: data, socket, loopback, no privilege."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.data = self.base / "data"
        self.socket = self.base / "s"
        self.process = None
        self.user = "root" if os.getuid() == 0 else ""
        self.base.mkdir(parents=True, exist_ok=True)
        self.own = []
        if os.getuid() == 0:
            # mariadbd refuses to be root unless told who to be.
            shutil.chown(self.base, "nobody")
            self.own = ["--user=nobody"]
        self.port = free_port()
        self.make_certificate()
        subprocess.run(
            [INSTALL_DB, "--no-defaults", f"--datadir={self.data}",
             "--auth-root-authentication-method=normal", "--skip-test-db",
             *self.own], check=True, capture_output=True)

    def make_certificate(self):
        """For localhost, signed by itself."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.base / "key.pem", "-out", self.base / "cert.pem"], check=True, capture_output=True)
        os.chmod(self.base / "key.pem", 0o644)

    def start(self):
        with open(waiting.watch(self.base / "log"), "ab") as log:
            self.process = subprocess.Popen(
                [MARIADBD, "--no-defaults", f"--datadir={self.data}",
                 f"--socket={self.socket}", "--bind-address=127.0.0.1",
                 f"--port={self.port}", f"--ssl-cert={self.base}/cert.pem",
                 f"--ssl-key={self.base}/key.pem",
                 f"--ssl-ca={self.base}/cert.pem",
                 f"--pid-file={self.base}/pid", "--skip-log-bin",
                 "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M",
                 "--innodb-flush-log-at-trx-commit=0", *self.own],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_up, "mariadbd is up", 2 * PATIENCE)
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError((self.base / "log").read_text())
        return self.socket.exists() and self.try_sql("SELECT 1")

    def client(self, text, database=""):
        return subprocess.run(
            ["mariadb", "--no-defaults", "-u", "root",
             f"--socket={self.socket}", "--default-character-set=utf8mb4",
             "-N", "-B", database],
            input=text.encode(), capture_output=True)

    def try_sql(self, text):
        return self.client(text).returncode == 0

    def sql(self, text, database="postfix"):
        done = self.client(text, database)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def create(self, password="dbsecret"):
        """The howto's table and user."""
        self.sql(f"""
            CREATE DATABASE postfix;
            CREATE USER 'postfix'@'localhost' IDENTIFIED BY '{password}';
            GRANT SELECT, UPDATE ON postfix.* TO 'postfix'@'localhost';
            """, database="")
        self.sql("""
            CREATE TABLE postfix_users (
              id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
              email   VARCHAR(255) NOT NULL UNIQUE,
              clear   VARCHAR(255) NOT NULL DEFAULT '',
              crypt   VARCHAR(255) NOT NULL DEFAULT '',
              name    VARCHAR(255) NOT NULL DEFAULT '',
              uid     INT UNSIGNED NOT NULL DEFAULT 65534,
              gid     INT UNSIGNED NOT NULL DEFAULT 65534,
              homedir VARCHAR(255) NOT NULL DEFAULT '/home/vmail',
              maildir VARCHAR(255) NOT NULL DEFAULT '',
              quota   VARCHAR(255) NOT NULL DEFAULT '',
              access  ENUM('Y','N') NOT NULL DEFAULT 'Y',
              postfix ENUM('Y','N') NOT NULL DEFAULT 'Y')
            DEFAULT CHARACTER SET utf8mb4;
            """)
        # It may be killed, and keeps a second of its log in memory: so all up
        # to this row is written.
        flush = "SET GLOBAL innodb_flush_log_at_trx_commit = %d;"
        self.sql(flush % 1)
        self.add(JOE, clear="secret")
        self.sql(flush % 0)

    def add(self, email, **fields):
        row = {**DEFAULTS, "email": email, **fields}
        quoted = ",".join("'" + str(row[c]).replace("\\", "\\\\")
                          .replace("'", "\\'") + "'" for c in COLUMNS)
        self.sql(f"REPLACE INTO postfix_users ({','.join(COLUMNS)}) "
                 f"VALUES ({quoted});")

    def rc(self, password="dbsecret"):
        return f"""\
            MYSQL_SERVER localhost
            MYSQL_SOCKET {self.socket}
            MYSQL_USERNAME postfix
            MYSQL_PASSWORD {password}
            MYSQL_PORT 0
            MYSQL_OPT 0
            MYSQL_DATABASE postfix
            MYSQL_USER_TABLE postfix_users
            MYSQL_CLEAR_PWFIELD clear
            MYSQL_CRYPT_PWFIELD crypt
            MYSQL_UID_FIELD uid
            MYSQL_GID_FIELD gid
            MYSQL_LOGIN_FIELD email
            MYSQL_HOME_FIELD homedir
            MYSQL_MAILDIR_FIELD maildir
            MYSQL_QUOTA_FIELD quota
            MYSQL_NAME_FIELD name
            MYSQL_WHERE_CLAUSE access='Y'
            """

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None

    def stop(self):
        if self.process is None:
            return
        self.signal(signal.SIGCONT)
        self.kill()


def in_threads(count, work):
    """Run work(i) for i below count side by side; the results in order."""
    results = [None] * count

    def run(i):
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results
