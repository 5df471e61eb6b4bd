#!/usr/bin/python3
"""Measure logins: connect, LOGIN, LOGOUT, by many clients side by side.

Postern and Debian's Dovecot as it is by default (a process for each
connection, no cache of logins), both with the same MariaDB whose user table
holds clear passwords, in turn, round after round; in the clear, and over TLS
with a full handshake each time, with certificates of P-256 and of RSA-2048.
CPU is that of all processes of a server; that of the database and of the
clients stands apart.  Needs root and apt-get download; about two minutes.
"""
import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import servers
import usage
from bench import check_place, note

sys.path.insert(0, str(servers.HERE.parent / "tests" / "auth"))
import support  # noqa: E402

USERS = 200
CASES = {
    "clear": ("clear", []),
    "TLS, P-256": ("tls", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    "TLS, RSA-2048": ("tls", ["rsa:2048"]),
}
# What the figures are held against: at most so much of Dovecot's CPU time,
# at least so many times its rate.
CPU_WANTED = {"clear": 0.1, "TLS, P-256": 1 / 3, "TLS, RSA-2048": 1 / 3}
RATE_WANTED = {"clear": 6.0}


class Table(support.MariaDB):
    """The user table; its process is a child of this one."""

    def fill(self, home):
        rows = ",".join(
            f"('user{i}@example.com', '{servers.PASSWORD}', {servers.MAIL_UID},"
            f" {servers.MAIL_UID}, '{home}/user{i}', 'Maildir/')"
            for i in range(USERS))
        self.sql("REPLACE INTO postfix_users (email, clear, uid, gid, homedir,"
                 f" maildir) VALUES {rows};")

    def cpu(self):
        return usage.own_cpu(self.process.pid)


def make_homes(server):
    for i in range(USERS):
        folder = server.home / f"user{i}"
        for name in ("cur", "new", "tmp"):
            (folder / "Maildir" / name).mkdir(parents=True, exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, servers.MAIL_UID, servers.MAIL_UID)


class Login:
    """What is the same for both servers: a table, perhaps a certificate."""

    def of_case(self, table, pem, load):
        self.mysql, self.pem, self.load = table, pem, load
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(parents=True)
        make_homes(self)
        self.start([("user0@example.com", self.home)])
        return self

    def wait(self, user):
        """Until somebody can log in."""
        words = ["1", "1", "tls" if self.pem else "clear", "1",
                 servers.PASSWORD]
        end = time.monotonic() + servers.START_SECONDS
        while subprocess.run([self.load, str(self.port), *words],
                             capture_output=True).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise servers.Missing(f"{self.name} doesn't start: "
                                      f"{self.log.read_text()[-800:]}")
            time.sleep(0.1)


class Postern(Login, servers.Postern):
    def configure(self):
        commands = super().configure()
        conf = self.run / "etc"
        text = (conf / "authdaemonrc").read_text()
        (conf / "authdaemonrc").write_text(
            text.replace('"authsqlite"', '"authmysql"'))
        (conf / "authmysqlrc").write_text("".join(
            line.strip() + "\n" for line in self.mysql.rc().splitlines()))
        if self.pem:
            (conf / "imapd").write_text(
                (conf / "imapd").read_text()
                .replace("IMAPDSTART=YES", "IMAPDSTART=NO"))
            (conf / "imapd-ssl").write_text(
                f"SSLADDRESS=127.0.0.1\nSSLPORT={self.port}\n"
                f"IMAPDSSLSTART=YES\nTLS_CERTFILE={self.pem}\n"
                f"SSLPIDFILE={self.run}/run/imapd-ssl.pid\n")
        return commands


class Dovecot(Login, servers.Dovecot):
    packages = ["dovecot-core", "dovecot-imapd", "dovecot-mysql"]

    def __init__(self, work):
        super().__init__(work)
        self.root = work / "root" / "dovecot-mysql"

    def configure(self):
        conf = self.run / "etc" / "bench-dovecot"
        conf.mkdir(parents=True, exist_ok=True)
        listener = ("port = {0}\n  }}\n  inet_listener imaps {{\n    port = 0"
                    if not self.pem else
                    "port = 0\n  }}\n  inet_listener imaps {{\n"
                    "    port = {0}\n    ssl = yes").format(self.port)
        tls = (f"ssl = yes\nssl_cert = <{self.pem}\nssl_key = <{self.pem}\n"
               if self.pem else "ssl = no\n")
        (conf / "sql.conf").write_text(f"""\
driver = mysql
connect = host={self.mysql.socket} dbname=postfix user=postfix \
 password=dbsecret
default_pass_scheme = PLAIN
password_query = SELECT email AS user, clear AS password, \
 uid AS userdb_uid, gid AS userdb_gid, homedir AS userdb_home, \
 CONCAT('maildir:', homedir, '/', maildir) AS userdb_mail \
 FROM postfix_users WHERE email = '%u' AND access = 'Y'
""")
        # The rest is what it does by itself.
        (conf / "dovecot.conf").write_text(f"""\
protocols = imap
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = {self.log}
{tls}disable_plaintext_auth = no
first_valid_uid = 1
default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
default_vsz_limit = 0
mail_max_userip_connections = 0
passdb {{
  driver = sql
  args = {conf}/sql.conf
}}
userdb {{
  driver = prefetch
}}
service imap-login {{
  inet_listener imap {{
    {listener}
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
""")
        return [["/usr/sbin/dovecot", "-F", "-c", str(conf / "dovecot.conf")]]


def make_certificate(work, name, newkey):
    pem = work / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *newkey, "-nodes", "-days",
         "2", "-subj", "/CN=localhost", "-keyout", pem, "-out",
         work / "cert.pem"], check=True, capture_output=True)
    with open(pem, "a", encoding="ascii") as f:
        f.write((work / "cert.pem").read_text())
    pem.chmod(0o600)
    return pem


class Run:
    """One turn of the load on one server."""

    def __init__(self, load, server, table, kind, args):
        def client_cpu():
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            return used.ru_utime + used.ru_stime

        before = usage.settled_cpu(server.pid), table.cpu(), client_cpu()
        said = subprocess.run(
            [load, str(server.port), str(args.clients), str(args.logins), kind,
             str(USERS), servers.PASSWORD], capture_output=True, text=True,
            timeout=300)
        after = usage.settled_cpu(server.pid), table.cpu(), client_cpu()
        if said.returncode != 0:
            raise RuntimeError(f"{server.name}: {said.stdout}{said.stderr}"
                               f"{server.log.read_text()[-2000:]}")
        n, _, seconds, self.median, self.slowest = map(
            float, said.stdout.split())
        self.rate = n / seconds
        self.cpu, self.table, self.client = (
            (b - a) / n * 1e3 for a, b in zip(before, after))


FIELDS = (("logins a second", "rate", 0), ("CPU of the server, ms", "cpu", 3),
          ("CPU of the database, ms", "table", 3),
          ("CPU of the client, ms", "client", 3),
          ("connect to OK, median, ms", "median", 1),
          ("connect to OK, 99 of 100, ms", "slowest", 1))


def report(case, runs):
    """Both servers' medians, and the ratio of the first to the second."""
    names = list(runs)
    lines = [f"{case:30}" + "".join(f"{n:>10}" for n in names) +
             f"{'ratio':>10}"]
    for title, field, digits in FIELDS:
        values = [statistics.median(getattr(r, field) for r in runs[n])
                  for n in names]
        line = f"  {title:28}" + "".join(f"{v:10.{digits}f}" for v in values)
        if len(values) == 2 and values[1]:
            ratio = values[0] / values[1]
            line += f"{ratio:10.3f}"
            if field == "cpu":
                line += f"   wanted: at most {CPU_WANTED[case]:.3f}"
            if field == "rate" and case in RATE_WANTED:
                line += f"   wanted: at least {RATE_WANTED[case]:.1f}"
        lines.append(line)
    return lines


def compile_load(work):
    """The client is in C: it should cost less than what it measures."""
    program = work / "loginload"
    servers.quiet([os.environ.get("CC", "cc"), "-O2", "-o", program,
                   servers.HERE / "loginload.c", "-lssl", "-lcrypto"])
    return program


def measure_case(case, kinds, work, table, load, args):
    kind, newkey = CASES[case]
    pem = make_certificate(work, "key", newkey) if newkey else None
    running, runs = [], {}
    try:
        for make in kinds:
            server = make(work)
            server.prepare()
            table.fill(server.home)
            running.append(server.of_case(table, pem, load))
        for round_ in range(args.rounds + 1):
            turn = round_ % len(running)
            note(f"{case}: round {round_} of {args.rounds}")
            for server in running[turn:] + running[:turn]:
                table.fill(server.home)
                run = Run(load, server, table, kind, args)
                if round_ > 0:
                    runs.setdefault(server.name, []).append(run)
    finally:
        for server in running:
            server.stop()
    return report(case, {s.name: runs[s.name] for s in running})


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--builddir", default=".", type=Path,
                   help="the work folder is bench-work in it")
    p.add_argument("--clients", default=32, type=int)
    p.add_argument("--logins", default=2000, type=int,
                   help="in each round (2000)")
    p.add_argument("--rounds", default=3, type=int)
    p.add_argument("--case", default="", help="only cases with this text")
    p.add_argument("--server", action="append", default=[],
                   help="only this one (may be given more than once)")
    return p.parse_args()


def main():
    args = arguments()
    work = args.builddir.resolve() / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    check_place(work)
    wanted = [name.lower() for name in args.server]
    kinds = [kind for kind in (Postern, Dovecot)
             if not wanted or kind.name.lower() in wanted]
    load = compile_load(work)
    shutil.rmtree(work / "db", ignore_errors=True)
    table = Table(work / "db")
    lines = [f"Logins, {time.strftime('%Y-%m-%d')}: {args.clients} clients, "
             f"{args.logins} logins a round, medians of {args.rounds}; "
             f"{os.cpu_count()} cores, Linux {platform.release()}"]
    try:
        table.start()
        table.create()
        for case in CASES:
            if args.case in case:
                lines += ["", *measure_case(case, kinds, work, table, load,
                                            args)]
    except servers.Missing as error:
        sys.exit(f"bench: {error}")
    finally:
        table.stop()
    text = "\n".join(lines) + "\n"
    (work / "login-report.txt").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
