#!/usr/bin/python3
"""Measure Postern beside Debian's Dovecot and Courier-IMAP.

bench.py [--builddir DIR] [--messages N] [--sessions N] [--repeat N]
         [--server NAME]... [--out FILE]

All serve a copy of the same Maildir to the same user, one after the other, on
loopback, in the clear, with a password in a file or table of their own. Times
are those of the client and the CPU seconds of the whole process tree; the
last columns are ratios to Postern's. Dovecot and Courier are unpacked below
./bench-work, nothing is installed. Needs root, and the apt tools.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "support"))
import postern  # noqa: E402

USER = "bench"
PASSWORD = "bench"
UID = 64301
TICK = os.sysconf("SC_CLK_TCK")
PACKAGES = {
    "dovecot": ["dovecot-core", "dovecot-imapd"],
    "courier": ["courier-base", "courier-imap", "courier-authlib",
                "courier-authdaemon", "courier-authlib-userdb",
                "libcourier-unicode4"],
}


def run(argv, **kwargs):
    done = subprocess.run([str(a) for a in argv], capture_output=True,
                          text=True, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{argv}: {done.stdout}{done.stderr}")
    return done.stdout


def unpack(name, work):
    """The packages' files below work/NAME; cached between runs."""
    root = work / name / "root"
    if (root / "done").exists():
        return root
    debs = work / name / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES[name]:
        run(["apt-get", "download", package], cwd=debs)
    root.mkdir(exist_ok=True)
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg", "-x", deb, root])
    # Libraries that this system lacks come along.
    missing = True
    for _ in range(4):
        missing = missing_libraries(root)
        if not missing:
            break
        for package in missing:
            run(["apt-get", "download", package], cwd=debs)
            for deb in debs.glob(f"{package}_*.deb"):
                run(["dpkg", "-x", deb, root])
    (root / "done").touch()
    return root


LIBRARY_PACKAGES = {"libexttextcat": "libexttextcat-2.0-0",
                    "libstemmer": "libstemmer0d", "libidn.so": "libidn12",
                    "libgdbm": "libgdbm6", "liblua5.4": "liblua5.4-0",
                    "libunwind": "libunwind8", "libwrap": "libwrap0",
                    "libgamin": "libgamin0", "libfam": "libfam0",
                    "libcourier-unicode": "libcourier-unicode4",
                    "libltdl": "libltdl7", "libapparmor": "libapparmor1"}


def library_path(root):
    return ":".join(str(root / p) for p in (
        "usr/lib/dovecot", "usr/lib/dovecot/modules",
        "usr/lib/courier-authlib", "usr/lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu"))


def missing_libraries(root):
    found = set()
    env = dict(os.environ, LD_LIBRARY_PATH=library_path(root))
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and \
                os.access(path, os.X_OK):
            out = subprocess.run(["ldd", str(path)], capture_output=True,
                                 text=True, env=env).stdout
            for line in out.splitlines():
                if "not found" in line:
                    for start, package in LIBRARY_PACKAGES.items():
                        if line.strip().startswith(start):
                            found.add(package)
    return found


# --- the mail ----------------------------------------------------------------

def make_maildir(path, n):
    """n messages of several shapes, always the same ones."""
    rnd = random.Random(1)
    words = [f"w{rnd.randrange(10**6):x}" for _ in range(5000)]
    for sub in ("cur", "new", "tmp"):
        (path / sub).mkdir(parents=True)
    for i in range(n):
        lines = rnd.choice((10, 30, 30, 100, 400))
        body = "".join(" ".join(rnd.choices(words, k=10)) + "\n"
                       for _ in range(lines))
        subject = " ".join(rnd.choices(words, k=5))
        if i % 997 == 0:
            body += "the needle in the hay\n"
        if i % 3 == 0:
            inner = (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n"
                "Content-Type: text/plain; charset=utf-8\n\n" + body +
                "\n--b\nContent-Type: application/octet-stream; name=a.bin\n"
                "Content-Transfer-Encoding: base64\n"
                "Content-Disposition: attachment; filename=a.bin\n\n" +
                "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\n" * 50 + "--b--\n")
        else:
            inner = "Content-Type: text/plain; charset=utf-8\n\n" + body
        text = (f"Return-Path: <a{i % 50}@example.com>\n"
                f"Received: from x by y; Mon, 7 Feb 2022 21:52:25 -0800\n"
                f"From: A {i % 50} <a{i % 50}@example.com>\n"
                f"To: Bench <bench@example.com>\nSubject: {subject}\n"
                f"Date: Mon, {1 + i % 28} Feb 2022 21:52:25 -0800\n"
                f"Message-ID: <{i}@example.com>\nMIME-Version: 1.0\n" + inner)
        data = text.encode()
        name = f"{1644000000 + i}.M{i}P1.bench,S={len(data)}:2,S"
        (path / "cur" / name).write_bytes(data)
        os.utime(path / "cur" / name, (1644000000 + i,) * 2)


def chown_tree(path):
    for root, dirs, names in os.walk(path):
        for name in [*dirs, *names, "."]:
            os.chown(os.path.join(root, name), UID, UID,
                     follow_symlinks=False)


# --- the servers -------------------------------------------------------------

class Process:
    """A server's processes: all that descend from, or share a session with,
    what was started."""

    def __init__(self, work):
        self.work = work
        self.roots = []
        (self.port,) = postern.free_ports(1)
        self.log = work / "log"

    def spawn(self, argv, **kwargs):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, **kwargs)
        self.roots.append(process)

    def tree(self):
        parents = {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(path.name))
        todo = [p.pid for p in self.roots]
        found = []
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += parents.get(pid, [])
        return found

    def cpu(self):
        """CPU seconds of the tree, with those of children it has waited
        for."""
        total = 0
        for pid in self.tree():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text() \
                    .rpartition(")")[2].split()
            except OSError:
                continue
            total += sum(int(x) for x in fields[11:15])
        return total / TICK

    def memory(self):
        """Proportional set size of the tree, in KiB."""
        total = 0
        for pid in self.tree():
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total

    def connect(self):
        c = postern.Lines(socket.create_connection(
            ("127.0.0.1", self.port), timeout=600))
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = c.line()
        if greeting is None or not greeting.startswith("* OK"):
            c.close()
            raise ConnectionError(f"greeting: {greeting}")
        return c

    def login(self):
        c = self.connect()
        c.ok(f"LOGIN {USER} {PASSWORD}")
        return c

    def ready(self):
        def answers():
            for p in self.roots:
                if p.poll() is not None:
                    raise RuntimeError(self.log.read_text())
            try:
                self.login().close()
                return True
            except (OSError, AssertionError):
                return False
        postern.wait_for(answers, f"{self.name} answers", 60)

    def stop(self):
        pids = self.tree()
        for p in reversed(self.roots):
            p.send_signal(signal.SIGTERM)
        for p in self.roots:
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for pid in pids:
            if os.path.exists(f"/proc/{pid}"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass


class Postern(Process):
    name = "postern"

    def __init__(self, work, maildir):
        super().__init__(work)
        s = postern.Server(work / "s", services=("imapd",), uid=None,
                           LOGIN_USER="nobody", LOGIN_PROCESSES=0, WORKERS=0,
                           AUTH_USER="", LOG=work / "s/log",
                           LOGIN_CHROOT=work / "s/empty")
        s.set("imapd", MAXPERIP=0)
        s.add_user("bench@example.com", PASSWORD, uid=UID,
                   homedir=str(maildir.parent), maildir=maildir.name)
        s.prepare()
        import contextlib
        import sqlite3
        with contextlib.closing(sqlite3.connect(s.table)) as db, db:
            db.execute("UPDATE postfix_users SET email = ?", (USER,))
        self.port = s.port["imapd"]
        for name in ("authdaemond", "posternd"):
            self.spawn([postern.program(name), "-c", s.conf, "-f"])
            if name == "authdaemond":
                postern.wait_for(s._auth_up, "authdaemond is up")


class Dovecot(Process):
    name = "dovecot"

    def __init__(self, work, maildir):
        super().__init__(work)
        root = unpack("dovecot", work.parent)
        lib = root / "usr/lib/dovecot"
        (work / "users").write_text(
            f"{USER}:{{PLAIN}}{PASSWORD}:{UID}:{UID}::{maildir.parent}::\n")
        (work / "conf").write_text(f"""\
base_dir = {work}/run
state_dir = {work}/state
libexec_dir = {lib}
mail_plugin_dir = {lib}/modules
auth_worker_max_count = 2
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{maildir}
mail_max_userip_connections = 0
first_valid_uid = 1
first_valid_gid = 1
log_path = {work}/log
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
default_process_limit = 3000
default_client_limit = 10000
import_environment = LD_LIBRARY_PATH
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  process_min_avail = {os.cpu_count()}
  chroot =
}}
service anvil {{
  chroot =
}}
service imap {{
  process_limit = 3000
  service_count = 1
}}
passdb {{
  driver = passwd-file
  args = {work}/users
}}
userdb {{
  driver = passwd-file
  args = {work}/users
}}
""")
        self.spawn([root / "usr/sbin/dovecot", "-F", "-c", work / "conf"],
                   env=dict(os.environ,
                            LD_LIBRARY_PATH=library_path(root)))


class Courier(Process):
    name = "courier"

    def __init__(self, work, maildir):
        super().__init__(work)
        root = unpack("courier", work.parent)
        env = dict(os.environ, LD_LIBRARY_PATH=library_path(root))
        # Its paths are compiled in: a mount namespace of its own gives it
        # /etc/courier and /run/courier without touching this system's.
        etc = work / "etc"
        shutil.copytree(root / "etc/courier", etc, symlinks=False)
        (etc / "authdaemonrc").write_text(
            'authmodulelist="authuserdb"\nauthmodulelistorig="authuserdb"\n'
            'daemons=5\nauthdaemonvar=/run/courier/authdaemon\n'
            'DEBUG_LOGIN=0\nDEFAULTOPTIONS=""\nLOGGEROPTS=""\n')
        secret = run(["openssl", "passwd", "-1", PASSWORD]).strip()
        (etc / "userdb").write_text(
            f"{USER}\tuid={UID}|gid={UID}|home={maildir.parent}|"
            f"mail={maildir}|systempw={secret}\n")
        (etc / "userdb").chmod(0o600)
        script = work / "start"
        lib = "/usr/lib/courier"
        script.write_text(f"""\
#!/bin/sh -e
mount --make-rprivate /
mkdir -p /run/courier /etc/courier {lib} /usr/lib/courier-authlib
mount -t tmpfs tmpfs /run/courier
mkdir -p /run/courier/authdaemon
chmod 755 /run/courier /run/courier/authdaemon
mount --bind {etc} /etc/courier
mount --bind {root}/usr/lib/courier {lib}
mount --bind {root}/usr/lib/courier-authlib /usr/lib/courier-authlib
cd /etc/courier
{root}/usr/sbin/makeuserdb -f /etc/courier/userdb || {root}/usr/sbin/makeuserdb
{lib}/courier-authlib/authdaemond &
set -a
. /etc/courier/imapd-ssl
. /etc/courier/imapd
IMAP_STARTTLS=NO IMAP_TLS_REQUIRED=0
set +a
exec {root}/usr/sbin/couriertcpd -address=127.0.0.1 -maxprocs=5000 \\
    -maxperip=5000 -nodnslookup -noidentlookup {self.port} \\
    {lib}/courier/imaplogin {root}/usr/bin/imapd Maildir
""")
        script.chmod(0o755)
        for made in ("/etc/courier", "/run/courier", lib,
                     "/usr/lib/courier-authlib"):
            pathlib.Path(made).mkdir(parents=True, exist_ok=True)
        self.spawn(["unshare", "--mount", script], env=env)


# --- what is measured --------------------------------------------------------

def measure(server, function):
    """(wall seconds, CPU seconds of the server)."""
    cpu = server.cpu()
    begun = time.monotonic()
    function()
    wall = time.monotonic() - begun
    # A process that ends just now is counted when it has been waited for.
    time.sleep(0.1)
    return wall, server.cpu() - cpu


def bench_login(server, n):
    for _ in range(n):
        c = server.login()
        c.imap("LOGOUT")
        c.close()


def in_session(command, n):
    def work(server):
        c = server.login()
        try:
            c.ok("SELECT INBOX")
            for i in range(n):
                c.ok(command.replace("#", str(i + 1)))
        finally:
            c.close()
    return work


def bench_append(server, n):
    text = postern.message("Appended", body="x" * 70 + "\n" * 30).replace(
        "\n", "\r\n").encode()

    def one(_):
        c = server.login()
        for i in range(n // 4):
            c.send(f"a{i} APPEND INBOX.Bench {{{len(text)}}}\r\n")
            assert c.line().startswith("+")
            c.send(text + b"\r\n")
            while not (line := c.line()).startswith(f"a{i} "):
                pass
            assert line.startswith(f"a{i} OK"), line
        c.close()
    c = server.login()
    c.imap("CREATE INBOX.Bench")
    c.close()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))


def bench_idle(server, n):
    """KiB for each session that waits in IDLE."""
    before = server.memory()
    sessions = []
    try:
        for _ in range(n):
            c = server.login()
            c.ok("SELECT INBOX")
            c.send("i IDLE\r\n")
            assert c.line().startswith("+")
            sessions.append(c)
        time.sleep(2)
        return (server.memory() - before) / n
    finally:
        for c in sessions:
            c.close()


def tasks(messages):
    n = messages
    return [
        ("login+logout x100", lambda s: bench_login(s, 100)),
        ("first SELECT", in_session("NOOP", 1)),
        ("SELECT x50", in_session("SELECT INBOX", 50)),
        ("FETCH FLAGS all x5", in_session("UID FETCH 1:* (FLAGS)", 5)),
        ("FETCH ENVELOPE, first", in_session("FETCH 1:* (ENVELOPE)", 1)),
        ("FETCH ENVELOPE, again", in_session("FETCH 1:* (ENVELOPE)", 1)),
        ("FETCH BODYSTRUCTURE", in_session("FETCH 1:* (BODYSTRUCTURE)", 1)),
        ("FETCH header fields", in_session(
            "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])",
            1)),
        ("FETCH BODY[] all", in_session("FETCH 1:* (BODY.PEEK[])", 1)),
        ("SEARCH SUBJECT", in_session('SEARCH SUBJECT "needle"', 1)),
        ("SEARCH BODY", in_session('SEARCH BODY "the needle"', 1)),
        ("STORE one by one x200", in_session(
            r"STORE # +FLAGS.SILENT (\Flagged)", min(200, n))),
        ("APPEND 4x50", lambda s: bench_append(s, 200)),
    ]


def measure_server(kind, work, original, args):
    place = work / kind.name
    shutil.rmtree(place / "run-files", ignore_errors=True)
    files = place / "run-files"
    files.mkdir(parents=True)
    for path in (files, *files.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path != pathlib.Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    home = files / "home"
    home.mkdir()
    shutil.copytree(original, home / "Maildir", copy_function=shutil.copy2)
    chown_tree(home)
    server = kind(files, home / "Maildir")
    try:
        server.ready()
        result = {}
        for name, function in tasks(args.messages):
            runs = [measure(server, lambda f=function: f(server))
                    for _ in range(1 if "first" in name else args.repeat)]
            result[name] = (min(w for w, _ in runs), min(c for _, c in runs))
            print(f"  {kind.name:8} {name:24} {result[name][0]:8.3f} s "
                  f"{result[name][1]:8.2f} cpu", flush=True)
        result["idle KiB a session"] = (bench_idle(server, args.sessions),)
        return result
    finally:
        server.stop()


def ratio(mine, other):
    return f"{other / mine:7.2f}" if mine > 0 else "      -"


def report(results, args, out):
    names = list(results)
    lines = [f"{args.messages} messages, {args.sessions} idle sessions, "
             f"best of {args.repeat}; x: how many times Postern's", ""]
    head = f"{'':26}"
    for name in names:
        head += f"{name:>10}"
    head += "".join(f"{n + ' x':>10}" for n in names if n != "postern")
    for index, title in ((0, "wall seconds (idle: KiB)"), (1, "CPU seconds")):
        lines += [title, head]
        first = next(iter(results.values()))
        for task in first:
            if len(first[task]) <= index:
                continue
            row = f"{task:26}"
            values = {n: results[n].get(task) for n in names}
            for n in names:
                v = values[n]
                row += f"{v[index]:10.3f}" if v else f"{'-':>10}"
            for n in names:
                if n != "postern" and values[n] and values.get("postern"):
                    row += f"{ratio(values['postern'][index], values[n][index]):>10}"
            lines.append(row)
        lines.append("")
    text = "\n".join(lines)
    print("\n" + text)
    if out:
        pathlib.Path(out).write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--builddir", default=".")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--server", action="append",
                        choices=["postern", "dovecot", "courier"])
    parser.add_argument("--out")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench.py needs root: every server runs as it would")
    build = pathlib.Path(args.builddir).resolve()
    work = build / "bench-work"
    work.mkdir(exist_ok=True)
    if "POSTERN_PREFIX" not in os.environ:
        # The worker is found where configure was told.
        run(["make", "install"], cwd=build)
        prefix = run(["sed", "-n", "s/^prefix = //p", "Makefile"],
                     cwd=build).strip()
        os.environ["POSTERN_PREFIX"] = prefix
    original = work / f"mail-{args.messages}"
    if not original.exists():
        print(f"making {args.messages} messages", flush=True)
        make_maildir(original, args.messages)
    kinds = {"postern": Postern, "dovecot": Dovecot, "courier": Courier}
    results = {}
    for name in args.server or kinds:
        try:
            results[name] = measure_server(kinds[name], work, original, args)
        except (RuntimeError, AssertionError, OSError) as error:
            print(f"{name}: could not be measured: {error}", file=sys.stderr)
    report(results, args, args.out)


if __name__ == "__main__":
    main()
