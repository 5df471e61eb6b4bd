"""Postern, Dovecot, Courier, Cyrus: fetched, configured, started, ended.

Each is a subclass of Server.  All but Postern are Debian's packages,
unpacked below the work folder; they see them laid over /usr and /etc, in a
mount namespace of their own, so that nothing is installed and packages that
conflict don't meet.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mails
from imap import Imap, Refused

HERE = Path(__file__).resolve().parent
PASSWORD = "bench-password"
MAIL_UID = 5000
START_SECONDS = 30


class Missing(Exception):
    """A server can't be had here; the text says why."""


def local(user):
    """The name of a user without its domain."""
    return user.partition("@")[0]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def quiet(argv, cwd=None):
    """Run to the end; Missing with the end of the output if it fails."""
    try:
        subprocess.run(argv, cwd=cwd, check=True, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    except FileNotFoundError as error:
        raise Missing(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise Missing(f"{' '.join(map(str, argv[:4]))}: "
                      f"{error.output[-600:].strip()}") from None


def make_table(path, users):
    """The one table of users that all three servers read."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            (HERE.parent / "etc/postfix_users.sqlite.sql").read_text())
        for user, home in users:
            db.execute("INSERT INTO postfix_users (email, clear, uid, gid,"
                       " homedir, maildir) VALUES (?, ?, ?, ?, ?, ?)",
                       (user, PASSWORD, MAIL_UID, MAIL_UID, str(home),
                        "Maildir/"))
        db.commit()
    path.chmod(0o644)


def make_cert(path):
    """A key and its self-signed certificate, in one file."""
    key = path.with_suffix(".key")
    quiet(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
           "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
           path, "-days", "30", "-subj", "/CN=localhost"])
    path.write_text(key.read_text() + path.read_text())


class Server:
    """A server to measure: prepare(), start(), measure, stop()."""

    name = "?"
    packages = []       # of Debian, unpacked with what they need
    mounts = False      # whether it runs on top of those

    def __init__(self, work):
        self.work = work
        self.run = work / "run" / self.name.lower()
        self.home = self.run / "mail"
        self.table = self.run / "users.sqlite"
        self.log = self.run / "log"
        self.root = work / "root" / self.name.lower()
        self.port = self.tls_port = 0   # 0: it serves no TLS here
        self.process = None

    # --- before ---

    def prepare(self):
        """Fetch or build the programs."""
        if self.packages:
            self.unpack()

    def unpack(self):
        """Download and unpack the packages and what is not installed."""
        said = subprocess.run(
            ["apt-get", "-s", "--no-install-recommends", "install",
             *self.packages], capture_output=True, text=True).stdout
        names = {line.split()[1] for line in said.splitlines()
                 if line.startswith("Inst ")} | set(self.packages)
        stamp = self.root / ".packages"
        if stamp.exists() and names <= set(stamp.read_text().split()):
            return
        debs = self.work / "packages" / self.name.lower()
        for folder in (debs, self.root):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        quiet(["apt-get", "download", *sorted(names)], cwd=debs)
        for deb in debs.glob("*.deb"):
            quiet(["dpkg", "-x", deb, self.root])
        stamp.write_text("\n".join(sorted(names)))

    def version(self):
        return self.name

    # --- running ---

    def configure(self):
        """Write the configuration; the nurse's commands."""
        raise NotImplementedError

    def start(self, users):
        """Start on a free port; users are (name, home directory)."""
        self.users = users
        self.port = free_port()
        make_table(self.table, users)
        spec = {"commands": self.configure()}
        if self.mounts:
            self.name_mail_user()
            spec["overlays"] = {
                "/usr": [str(self.root / "usr")],
                "/etc": [str(self.run / "etc"), str(self.root / "etc")],
            }
            spec["empties"] = ["/run"]
        path = self.run / "nurse.json"
        path.write_text(json.dumps(spec))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private",
                 sys.executable, str(HERE / "nurse.py"), str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.wait(users[0][0])

    def name_mail_user(self):
        """
        A line for its uid in the passwd that this server sees: without one,
        Courier's library for watching folders waits a second at each login.
        """
        etc = self.run / "etc"
        etc.mkdir(exist_ok=True)
        for name, line in (("passwd", f"bench:x:{MAIL_UID}:{MAIL_UID}::"
                            f"{self.home}:/bin/false"),
                           ("group", f"bench:x:{MAIL_UID}:")):
            kept = [kept for kept in Path("/etc", name).read_text()
                    .splitlines() if kept.split(":")[2] != str(MAIL_UID)]
            (etc / name).write_text("\n".join([*kept, line]) + "\n")

    def wait(self, user):
        """Until somebody can log in."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                client = Imap(self.port)
                client.login(user, PASSWORD)
                client.logout()
                return
            except (OSError, Refused) as error:
                if self.process.poll() is not None or \
                        time.monotonic() > end:
                    self.stop()
                    said = self.log.read_text(errors="replace")[-800:]
                    raise Missing(f"doesn't start: {error}\n{said}") from None
                time.sleep(0.1)

    def restart(self):
        """The same again, with nothing in memory."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process = None
        self.start(self.users)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    @property
    def pid(self):
        return self.process.pid

    def client(self, user):
        client = Imap(self.port)
        client.login(user, PASSWORD)
        return client


    def deliver(self, account, n, mark):
        """Put n messages into INBOX as a delivery agent does."""
        maildir = self.home / account / "Maildir"
        for i in range(n):
            path = maildir / "tmp" / f"{int(time.time())}.M{i}P{mark}.bench"
            path.write_bytes(mails.message(random.Random(i), i))
            os.chown(path, MAIL_UID, MAIL_UID)
            path.rename(maildir / "new" / path.name)


class Dovecot(Server):
    """Debian's, tuned as its documentation advises for speed on Maildir."""

    name = "Dovecot"
    packages = ["dovecot-core", "dovecot-imapd", "dovecot-sqlite"]
    mounts = True

    def version(self):
        said = subprocess.run(
            [self.root / "usr/sbin/dovecot", "--version"],
            capture_output=True, text=True,
            env=dict(os.environ, LD_LIBRARY_PATH=f"{self.root}/usr/lib/"
                     f"dovecot:{self.root}/usr/lib/x86_64-linux-gnu"))
        return f"Dovecot {said.stdout.split(' ')[0]}"

    def configure(self):
        conf = self.run / "etc" / "bench-dovecot"
        conf.mkdir(parents=True, exist_ok=True)
        self.tls_port = free_port()
        make_cert(self.run / "cert.pem")
        (conf / "sql.conf").write_text(f"""\
driver = sqlite
connect = {self.table}
default_pass_scheme = PLAIN
password_query = SELECT email AS user, clear AS password, \
 uid AS userdb_uid, gid AS userdb_gid, homedir AS userdb_home, \
 'maildir:' || homedir || '/' || maildir AS userdb_mail \
 FROM postfix_users WHERE email = '%u'
""")
        (conf / "dovecot.conf").write_text(f"""\
protocols = imap
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = {self.log}
ssl = yes
ssl_cert = <{self.run}/cert.pem
ssl_key = <{self.run}/cert.pem
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = 10 M
first_valid_uid = 1
default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
default_client_limit = 5000
default_process_limit = 1000
default_vsz_limit = 0
mail_max_userip_connections = 0
mail_fsync = optimized
maildir_very_dirty_syncs = yes
imap_hibernate_timeout = 5s
passdb {{
  driver = sql
  args = {conf}/sql.conf
}}
userdb {{
  driver = prefetch
}}
service imap-login {{
  service_count = 0
  process_min_avail = {os.cpu_count()}
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
service imap {{
  service_count = 256
  idle_kill = 4s
  process_min_avail = 4
  process_limit = 2000
  unix_listener imap-master {{
    user = daemon
  }}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
namespace inbox {{
  inbox = yes
  separator = .
  prefix = INBOX.
}}
""")
        return [["/usr/sbin/dovecot", "-F", "-c", str(conf / "dovecot.conf")]]


class Courier(Server):
    """Debian's, as it is shipped; there is little that could be tuned."""

    name = "Courier"
    packages = ["courier-imap", "courier-authlib-sqlite"]
    mounts = True

    def version(self):
        stamp = self.work / "packages" / "courier"
        deb = next(stamp.glob("courier-imap_*"), None)
        return f"Courier-IMAP {deb.name.split('_')[1].split('+')[0]}" \
            if deb else self.name

    def configure(self):
        conf = self.run / "etc" / "courier"
        conf.mkdir(parents=True, exist_ok=True)
        shipped = self.root / "etc" / "courier"
        (conf / "imapd").write_text(
            (shipped / "imapd").read_text()
            + "MAXDAEMONS=5000\nMAXPERIP=5000\nIMAP_USELOCKS=1\n")
        (conf / "authdaemonrc").write_text(
            (shipped / "authdaemonrc").read_text()
            + 'authmodulelist="authsqlite"\n')
        (conf / "authsqliterc").write_text(f"""\
##NAME: LOCATION:0
##NAME: MARKER:0
SQLITE_DATABASE {self.table}
SQLITE_USER_TABLE postfix_users
SQLITE_CLEAR_PWFIELD clear
SQLITE_UID_FIELD uid
SQLITE_GID_FIELD gid
SQLITE_LOGIN_FIELD email
SQLITE_HOME_FIELD homedir
SQLITE_MAILDIR_FIELD maildir
""")
        return [
            {"wait": ["mkdir", "-p", "/run/courier/authdaemon"]},
            ["sh", "-c", "set -a; . /etc/courier/authdaemonrc; "
             "exec /usr/lib/courier/courier-authlib/authdaemond"],
            ["sh", "-c", "set -a; . /etc/courier/imapd-ssl; "
             ". /etc/courier/imapd; IMAP_STARTTLS=NO; umask $IMAP_UMASK; "
             "exec /usr/sbin/couriertcpd -address=127.0.0.1 "
             "-maxprocs=$MAXDAEMONS -maxperip=$MAXPERIP $TCPDOPTS "
             f"{self.port} /usr/lib/courier/courier/imaplogin "
             "/usr/bin/imapd Maildir"],
        ]


class Cyrus(Server):
    """
    Debian's, with a store of its own: it is given the messages and flags of
    the Maildirs, and parses them all before anything is measured.
    """

    name = "Cyrus"
    packages = ["cyrus-imapd", "cyrus-common", "sasl2-bin"]
    mounts = True
    # Of one STORE, so that its line isn't too long.
    AT_A_TIME = 1000
    FLAGS = {"S": r"\Seen", "R": r"\Answered", "F": r"\Flagged"}

    def version(self):
        deb = next((self.work / "packages" / "cyrus").glob("cyrus-imapd_*"),
                   None)
        return f"Cyrus {deb.name.split('_')[1].split('-')[0]}" \
            if deb else self.name

    def name_mail_user(self):
        """Its daemons run as cyrus, which is the mail user here."""
        super().name_mail_user()
        path = self.run / "etc" / "passwd"
        path.write_text(path.read_text().replace("bench:x:", "cyrus:x:"))

    def configure(self):
        etc = self.run / "etc"
        for folder in (etc, self.run / "conf", self.run / "spool"):
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, MAIL_UID, MAIL_UID)
        passwords = self.run / "sasldb2"
        for name, _ in self.users:
            subprocess.run(
                [self.root / "usr/sbin/saslpasswd2", "-p", "-c", "-f",
                 passwords, "-u", "bench", local(name)],
                input=PASSWORD.encode(), check=True,
                env=dict(os.environ, LD_LIBRARY_PATH=str(
                    self.root / "usr/lib/x86_64-linux-gnu")))
        os.chown(passwords, MAIL_UID, MAIL_UID)
        (etc / "imapd.conf").write_text(f"""\
configdirectory: {self.run}/conf
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
defaultpartition: default
partition-default: {self.run}/spool
servername: bench
sievedir: {self.run}/sieve
mailbox_legacy_dirs: yes
hashimapspool: no
fulldirhash: no
altnamespace: no
unixhierarchysep: no
autocreate_quota: 0
allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {passwords}
maxlogins_per_user: 0
""")
        (etc / "cyrus.conf").write_text(f"""\
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r"
}}
SERVICES {{
  imap cmd="/usr/lib/cyrus/bin/imapd -U 256" \
listen="127.0.0.1:{self.port}" prefork=4 maxchild=2000
}}
EVENTS {{
}}
""")
        return [
            {"wait": ["install", "-d", "-o", "cyrus", "/run/cyrus",
                      "/run/cyrus/proc", "/run/cyrus/lock"]},
            {"wait": ["/usr/lib/cyrus/bin/makedirs"]},
            ["/usr/lib/cyrus/bin/master"],
        ]

    def client(self, user):
        return super().client(local(user))

    def start(self, users):
        super().start([(local(name), home) for name, home in users])
        self.users = users
        if (self.run / "filled").exists():
            return
        for name, home in users:
            self.copy(name, Path(home) / "Maildir")
        (self.run / "filled").touch()

    def copy(self, user, maildir):
        """Give it what an account has as a Maildir."""
        client = self.client(user)
        folders = [(maildir, "INBOX"), *(
            (path, f"INBOX{path.name}") for path in sorted(maildir.iterdir())
            if path.name.startswith(".") and (path / "cur").is_dir())]
        flags = {}
        for path, mailbox in folders:
            if mailbox != "INBOX":
                client.do(f"CREATE {mailbox}")
            spool = self.run / "spool" / "user" / local(user) / \
                mailbox.removeprefix("INBOX").lstrip(".")
            names = sorted((path / "cur").iterdir(),
                           key=lambda p: int(p.name.split(".")[0]))
            for n, source in enumerate(names, 1):
                target = spool / f"{n}."
                target.write_bytes(source.read_bytes().replace(b"\n",
                                                               b"\r\n"))
                os.chown(target, MAIL_UID, MAIL_UID)
                for letter in source.name.rpartition(",")[2]:
                    flags.setdefault((mailbox, letter), []).append(str(n))
        quiet(["nsenter", "--mount", "--target", str(self.pid),
               "/usr/lib/cyrus/bin/reconstruct", "-r",
               f"user.{local(user)}"])
        for (mailbox, letter), numbers in flags.items():
            client.do(f"SELECT {mailbox}")
            for at in range(0, len(numbers), self.AT_A_TIME):
                which = ",".join(numbers[at:at + self.AT_A_TIME])
                client.do(f"STORE {which} +FLAGS.SILENT "
                          f"({self.FLAGS[letter]})")
        client.logout()

    def deliver(self, account, n, _mark):
        client = self.client(account)
        for i in range(n):
            text = mails.message(random.Random(i), i)
            client.append("INBOX", text.replace(b"\n", b"\r\n"))
        client.logout()


class Postern(Server):
    """This source folder, built as a package would be."""

    name = "Postern"
    settings = ""       # more lines of the file postern

    def prepare(self):
        build = self.work / "build"
        build.mkdir(parents=True, exist_ok=True)
        if not (build / "Makefile").exists():
            quiet([HERE.parent / "configure",
                   f"--prefix={self.work / 'postern'}"], cwd=build)
        quiet(["make", f"-j{os.cpu_count()}", "install"], cwd=build)

    def version(self):
        said = subprocess.run([self.work / "postern/sbin/posternd", "-V"],
                              capture_output=True, text=True).stdout
        return said.strip() or self.name

    def configure(self):
        conf = self.run / "etc"
        for folder in ("etc", "run", "run/empty", "auth"):
            (self.run / folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(self.run / "auth", "daemon", "daemon")
        self.tls_port = free_port()
        make_cert(self.run / "cert.pem")
        files = {
            "imapd": f"""\
ADDRESS=127.0.0.1
PORT={self.port}
IMAPDSTART=YES
MAXPERIP=20000
MAXDAEMONS=20000
PIDFILE={self.run}/run/imapd.pid
IMAP_TLS_REQUIRED=0
""",
            "imapd-ssl": f"""\
SSLADDRESS=127.0.0.1
SSLPORT={self.tls_port}
IMAPDSSLSTART=YES
SSLPIDFILE={self.run}/run/imapd-ssl.pid
TLS_CERTFILE={self.run}/cert.pem
""",
            "postern": f"""\
RUNDIR={self.run}/run
LOGIN_CHROOT={self.run}/run/empty
LOGIN_USER=nobody
AUTH_USER=daemon
{os.environ.get("BENCH_POSTERN", "")}
{self.settings}
""",
            "authdaemonrc": f"""\
authmodulelist="authsqlite"
authdaemonvar="{self.run}/auth"
""",
            "authsqliterc": f"""\
SQLITE_DATABASE {self.table}
SQLITE_USER_TABLE postfix_users
SQLITE_CLEAR_PWFIELD clear
SQLITE_LOGIN_FIELD email
SQLITE_HOME_FIELD homedir
SQLITE_MAILDIR_FIELD maildir
""",
        }
        for name, text in files.items():
            (conf / name).write_text(text)
        sbin = self.work / "postern" / "sbin"
        return [[str(sbin / name), "-c", str(conf), "-f"]
                for name in ("authdaemond", "posternd")]


# Those that have the same Maildirs.
ALL = [Postern, Dovecot, Courier]
