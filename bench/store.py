#!/usr/bin/python3
"""What the store costs: large mailboxes, changes of many messages, APPEND.

Each case is run on each server in turn, round after round, and beside it the
bare system calls that its work comes down to.  Needs root, as bench.py does.
"""
import argparse
import os
import random
import resource
import shutil
import signal
import statistics
import sys
import threading
import time
from pathlib import Path

import append
import bench
import imap
import mails
import reading
import servers
import usage
from cases_store import (APPENDS, CASES, CHANGES, CLIENTS, CORPUS, FLOORED,
                         HELD, JOE, KINDS, LITERALS, MESSAGE, NOOP_PAUSE, OLD,
                         OWNERS, TITLES, WIRE, Bare, Floor, Watch, fill,
                         fill_own, folder, make_folder, session)

# --- layers of APPEND ------------------------------------------------------------

def layers(server, args):
    """What one client waits for, piece by piece; pieces in turn."""
    rows = {}

    def keep(title, wall, cpu):
        rows.setdefault(title, []).append(
            (wall / args.appends, cpu / args.appends))
    bare = Bare(args.work)
    for round_ in range(args.rounds):
        for k, title in enumerate(append.LAYERS):
            path = make_folder(bare, f"INBOX.Layer{round_}x{k}")
            keep(title, *append.Load(args.load, "floor", k, args.appends,
                                     path).go())
        for literal, ending in LITERALS.items():
            name = f"INBOX.Layer{literal}{round_}"
            fill(server, name, args.corpus, 0)
            watch = Watch(server)
            load = append.imap(args.load, server.port, literal, args.appends,
                               [(JOE, name)])
            with watch:
                wall, _ = load.go()
            keep(f"{server.name}{ending or ', synchronizing literal'}", wall,
                 watch.cpu)
    return append.layers_table(rows)


# --- neighbours ---------------------------------------------------------------

def noops_during(server, args, work):
    """Run work(client) on a large mailbox; the slowest NOOP of another
    session of the same account (and so of the same worker), in ms."""
    worker = server.client(JOE)
    worker.sock.settimeout(600)
    other = server.client(JOE)
    other.do("NOOP")
    done = threading.Event()
    slowest = [0.0, 0]

    def ask():
        while not done.is_set():
            start = time.perf_counter()
            other.do("NOOP")
            slowest[0] = max(slowest[0], time.perf_counter() - start)
            slowest[1] += 1
            time.sleep(NOOP_PAUSE)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        start = time.perf_counter()
        work(worker)
        took = time.perf_counter() - start
    finally:
        done.set()
        thread.join()
    worker.logout()
    other.logout()
    return slowest[0] * 1000, took


def put_courier_list(server, name, step=2):
    """courierimapuiddb, as Courier left it."""
    path = folder(server, name)
    bases = sorted(n.split(":")[0] for n in os.listdir(path / "cur"))
    table = path / "courierimapuiddb"
    table.unlink(missing_ok=True)
    table.write_text(f"1 {mails.EPOCH} {step * len(bases) + 1}\n" + "".join(
        f"{step * i + 1} {base}\n" for i, base in enumerate(bases)))
    os.chown(table, servers.MAIL_UID, servers.MAIL_UID)


def neighbours(server, args):
    lines = []
    name = "INBOX.Busy"
    fill_own(server, name, args.large)
    fill_own(server, "INBOX.Old", args.large)
    put_courier_list(server, "INBOX.Old")
    make_folder(server, "INBOX.Target")
    os.sync()
    time.sleep(OLD)

    def run(title, *commands, pause=0):
        def work(client):
            for command in commands:
                client.do(command)
            time.sleep(pause)
        try:
            slowest, took = noops_during(server, args, work)
        except imap.Refused:  # Courier has no MOVE
            lines.append(f"{server.name:9}{title:40}{'refused':>10}")
            return
        lines.append(f"{server.name:9}{title:40}{slowest:10.1f}"
                     f"{took:10.2f}")
    run("first SELECT", f"SELECT {name}")
    run("STORE", f"SELECT {name}", r"STORE 1:* +FLAGS.SILENT (\Draft)")
    run("COPY", f"SELECT {name}", "COPY 1:* INBOX.Target")
    run("STORE \\Deleted", f"SELECT {name}",
        r"STORE 1:* +FLAGS.SILENT (\Deleted)")
    run("EXPUNGE", f"SELECT {name}", "EXPUNGE")
    run("MOVE", "SELECT INBOX.Target", f"MOVE 1:* {name}")
    run("FETCH FLAGS", f"SELECT {name}", "FETCH 1:* (FLAGS)")
    run("first SELECT of what was Courier's", "SELECT INBOX.Old")
    if isinstance(server, servers.Postern):
        server.restart()
    run("SELECT in a new worker", "SELECT INBOX.Old")
    if isinstance(server, servers.Postern):
        # two of three have another UID, half of those one that was given
        put_courier_list(server, "INBOX.Old", 3)
        run("SELECT, Courier's UIDs differ", "SELECT INBOX.Old")
    run("FETCH ENVELOPE, first time", "SELECT INBOX.Old",
        "FETCH 1:* (ENVELOPE)")
    # what it leaves is removed then
    run("DELETE, and 10 s after it", "DELETE INBOX.Old", pause=10)
    return lines


# --- growth -------------------------------------------------------------------

def growth(server, args):
    """
    The first SELECT ever of LARGE messages and of ten times as many, one in a
    new worker, and what reads them all: time, CPU time and memory, to be ten
    times as much.
    """
    lines = []
    for n in (args.large, 10 * args.large):
        name = f"INBOX.Grown{n}"
        fill(server, name, args.corpus, n)
        time.sleep(2.2)
        for title in ("first SELECT ever", "SELECT in a new worker"):
            client = server.client(JOE)
            client.sock.settimeout(600)
            client.do("STATUS INBOX.Small (MESSAGES)")
            memory = -usage.pss(server.pid)
            watch = Watch(server)
            with watch:
                client.do(f"SELECT {name}")
            memory += usage.pss(server.pid)
            lines.append(f"{title:37}{n:9}"
                         f"{watch.wall * 1000:10.0f}{watch.cpu * 1000:10.0f}"
                         f"{memory / 2**20:10.1f}")
            if title == "SELECT in a new worker":
                lines += reading.measure(server, client, n)
            client.logout()
            server.restart()
        shutil.rmtree(folder(server, name))
    return lines


# --- restarts -----------------------------------------------------------------

def kill_everything(server):
    """SIGKILL to all processes of the server, as by the kernel."""
    for pid in usage.descendants(server.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    server.stop()


def restarts(server, args):
    """ms of the first SELECT after everything was killed under load."""
    name = "INBOX.Killed"
    fill(server, name, args.corpus, args.changes)
    session(server, name).logout()
    found = []
    rng = random.Random(9)
    for _ in range(args.restarts):
        def load():
            try:
                client = session(server, name)
                while True:
                    at = rng.randrange(1, args.changes)
                    client.do(f"STORE {at} FLAGS.SILENT (\\Flagged)")
                    client.append(name, WIRE)
            except (OSError, imap.Refused):
                pass
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1 + rng.random() / 5)
        kill_everything(server)
        for thread in threads:
            thread.join()
        server.start(server.users)
        client = server.client(JOE)
        start = time.perf_counter()
        client.do(f"SELECT {name}")
        found.append((time.perf_counter() - start) * 1000)
        # what was appended goes: the mailbox has the same size each time
        client.do(f"STORE {args.changes}:* +FLAGS.SILENT (\\Deleted)")
        client.do("EXPUNGE")
        client.append(name, WIRE)
        client.logout()
    found.sort()
    return (f"{server.name:9}{args.restarts} times{'':32}"
            f"{statistics.median(found):10.1f}"
            f"{found[int(len(found) * 0.99)]:10.1f}{found[-1]:10.1f}")


# --- notifications ------------------------------------------------------------

def notifications(server, args, appending):
    """ms from a rename into new/ to the EXISTS of a client in IDLE."""
    clients = []
    for i in range(args.idlers):
        client = Plain(server.port)
        client.do(f"LOGIN {user(i % args.accounts)} {servers.PASSWORD}")
        client.do("SELECT INBOX")
        client.idle()
        clients.append(client)
    stop = threading.Event()
    threads = []
    if appending:
        for k in range(CLIENTS):
            def work(k=k):
                client = server.client(JOE)
                while not stop.is_set():
                    client.append(f"INBOX.Append{k}", WIRE)
            threads.append(threading.Thread(target=work))
        for k in range(CLIENTS):
            fill(server, f"INBOX.Append{k}", args.corpus, 0)
        for thread in threads:
            thread.start()
        time.sleep(1)
    found = []
    rng = random.Random(5)
    for i in range(args.deliveries):
        k = rng.randrange(min(args.accounts, args.idlers))
        path = server.home / f"u{k}" / "Maildir"
        tmp = path / "tmp" / f"{int(time.time())}.M{i}P9.bench{appending}"
        tmp.write_bytes(MESSAGE)
        os.chown(tmp, servers.MAIL_UID, servers.MAIL_UID)
        start = time.perf_counter()
        os.rename(tmp, path / "new" / tmp.name)
        clients[k].until_text(b"EXISTS")
        found.append((time.perf_counter() - start) * 1000)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    found.sort()
    return (f"{server.name:9}{args.idlers} sessions"
            f"{', 16 clients APPEND' if appending else '':22}"
            f"{statistics.median(found):10.1f}"
            f"{found[int(len(found) * 0.99)]:10.1f}{found[-1]:10.1f}")


def user(i):
    return f"u{i}@example.com"


class Plain:
    """A client without a buffer of its own, as there are thousands."""

    def __init__(self, port):
        self.sock = imap.socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setsockopt(imap.socket.IPPROTO_TCP,
                             imap.socket.TCP_NODELAY, 1)
        self.until_text(b"\r\n")

    def until_text(self, text):
        held = b""
        while text not in held or not held.endswith(b"\r\n"):
            got = self.sock.recv(65536)
            if not got:
                raise ConnectionError("closed by the server")
            held += got
        return held

    def do(self, command):
        self.sock.sendall(b"a " + command.encode() + b"\r\n")
        if b"a OK" not in self.until_tag():
            raise imap.Refused(command)

    def until_tag(self):
        held = b""
        while not (held.endswith(b"\r\n") and
                   (held.startswith(b"a ") or b"\r\na " in held)):
            got = self.sock.recv(65536)
            if not got:
                raise ConnectionError("closed by the server")
            held += got
        return held

    def idle(self):
        self.sock.sendall(b"a IDLE\r\n")
        self.until_text(b"+ ")

    def close(self):
        self.sock.close()


# --- the run -------------------------------------------------------------------

def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--builddir", default=".", type=Path)
    p.add_argument("--large", default=100000, type=int)
    p.add_argument("--changes", default=CHANGES, type=int)
    p.add_argument("--appends", default=APPENDS, type=int)
    p.add_argument("--idlers", default=2000, type=int)
    p.add_argument("--accounts", default=200, type=int)
    p.add_argument("--deliveries", default=300, type=int)
    p.add_argument("--rounds", default=5, type=int)
    p.add_argument("--server", action="append", default=[])
    p.add_argument("--case", default="")
    p.add_argument("--layers", action="store_true",
                   help="what an APPEND waits for, piece by piece")
    p.add_argument("--growth", action="store_true",
                   help="also ten times LARGE messages; some minutes")
    p.add_argument("--restarts", default=0, type=int,
                   help="kill everything so many times")
    p.add_argument("--skip", action="append", default=[], choices=[
        "cases", "neighbours", "notifications"])
    return p.parse_args()


def titled(title, args):
    return title.format(large=args.large, changes=args.changes,
                        appends=args.appends, held=HELD)


def prepare_changes(running, args):
    """
    Mail that has been there for a while: what was written within the last
    minute is synced before it is copied.  The mailboxes are new to the servers.
    """
    wanted = [kind for kind in KINDS if args.case in TITLES[kind]]
    # those first for which the age matters
    for kind in sorted(wanted, key=("copy", "move", "store", "expunge").index):
        for server in running:
            fill_own(server, f"INBOX.{kind.title()}{args.round}", args.changes)
        if kind in ("copy", "move"):
            made = time.monotonic()
    os.sync()
    if "copy" in wanted or "move" in wanted:
        time.sleep(max(0, made + OLD - time.monotonic()))


def cases_table(running, args):
    results = {}
    for round_ in range(args.rounds):
        args.round = round_
        bench.note(f"round {round_}")
        if any(args.case in title for title in CASES
               if title.endswith("of {changes}")):
            prepare_changes(running, args)
        turn = round_ % len(running)
        for title, function in CASES.items():
            if args.case not in title:
                continue
            for server in running[turn:] + running[:turn]:
                watch = Watch(server)
                if isinstance(server, Floor) and title not in FLOORED:
                    continue
                try:
                    function(server, args, watch)
                    results.setdefault((title, server.name), []).append(
                        (watch.wall, watch.cpu))
                except Exception as error:  # told in the report
                    bench.note(f"{server.name}: {title}: {error!r}"[:300])
    names = [server.name for server in running]
    lines = []
    for which, what in enumerate(("Wall time, ms", "CPU time, ms")):
        lines.append(f"{what:52}" + "".join(f"{n:>10}" for n in names) +
                     "".join(f"{'to ' + n:>12}" for n in names[1:]))
        for title in CASES:
            values = [statistics.median(r[which] for r in
                                        results[title, n]) * 1000
                      if (title, n) in results else None for n in names]
            if any(v is not None for v in values):
                lines.append(
                    f"{titled(title, args):52}" +
                    "".join(f"{v:10.1f}" if v is not None else f"{'-':>10}"
                            for v in values) +
                    "".join(bench.ratio(values[0], v) for v in values[1:]))
        lines.append("")
    return lines


def started(kind, args):
    """A server of that kind, with mail, running; Missing if it can't be."""
    owner = servers.MAIL_UID
    server = kind(args.work)
    server.run = args.work / "store" / kind.name.lower()
    server.home = args.work / "store-mail" / kind.name.lower()
    server.table = server.run / "users.sqlite"
    server.log = server.run / "log"
    for path in (server.run, server.home):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    server.prepare()
    mails.build(server.home, args.corpus, messages=10, rounds=0, cold=10,
                idlers=0, owner=(owner, owner))
    names = ["joe", *OWNERS]
    for name in OWNERS:
        mails.fill(server.home / name / "Maildir", args.corpus, 0, 10)
    if "notifications" not in args.skip:
        for i in range(args.accounts):
            mails.fill(server.home / f"u{i}" / "Maildir", args.corpus, 0, 100)
            names.append(f"u{i}")
    for path in server.home.rglob("*"):
        if path.stat().st_uid != owner:
            os.chown(path, owner, owner)
    server.start([(f"{n}@example.com", server.home / n) for n in names])
    return server


def bare_calls(args):
    alone = [Bare(args.work), Floor(args.work)]
    for bare in alone:
        shutil.rmtree(bare.home, ignore_errors=True)
        bare.box.mkdir(parents=True)
    return alone


def neighbours_table(running, args):
    yield (f"{'NOOP of another session, during':49}"
           f"{'most, ms':>10}{'took, s':>10}")
    for server in running:
        bench.note(f"neighbours of {server.name}")
        yield from neighbours(server, args)
    yield ""


def growth_table(running, args):
    for server in running:
        bench.note(f"growth of {server.name}")
        yield (f"{server.name:37}{'messages':>9}"
               f"{'wall, ms':>10}{'CPU, ms':>10}{'MiB':>10}")
        yield from growth(server, args)
    yield ""


def restarts_table(running, args):
    yield (f"{'First SELECT after SIGKILL, ms':48}{'median':>10}"
           f"{'p99':>10}{'most':>10}")
    for server in running:
        bench.note(f"restarts of {server.name}")
        yield restarts(server, args)
    yield ""


def notifications_table(running, args):
    yield (f"{'From rename to EXISTS, ms':50}{'median':>8}"
           f"{'p99':>10}{'most':>10}")
    for appending in (False, True):
        for server in running:
            bench.note(f"notifications of {server.name}")
            yield notifications(server, args, appending)


def tables(running, args):
    if "cases" not in args.skip:
        yield from cases_table([*running, *bare_calls(args)], args)
    if args.layers:
        yield from [*layers(running[0], args), ""]
    if "neighbours" not in args.skip:
        yield from neighbours_table(running, args)
    if args.growth:
        yield from growth_table(running, args)
    if args.restarts != 0:
        yield from restarts_table(running, args)
    if "notifications" not in args.skip:
        yield from notifications_table(running, args)


def main():
    args = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = args.builddir.resolve() / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    bench.check_place(work)
    args.corpus = work / "corpus"
    args.work, args.load = work, append.compile_load(work)
    mails.make_corpus(args.corpus, CORPUS)
    # Removed at the end: see APPEND for what it costs before.
    aside = work / "store-mail.old"
    if (work / "store-mail").exists() and not aside.exists():
        (work / "store-mail").rename(aside)
    wanted = [name.lower() for name in args.server]
    running, lines = [], []
    try:
        for kind in servers.ALL:
            if wanted and kind.name.lower() not in wanted:
                continue
            try:
                running.append(started(kind, args))
            except servers.Missing as error:
                lines.append(f"{kind.name} is missing: {error}")
        lines += tables(running, args)
    finally:
        for server in running:
            server.stop()
        shutil.rmtree(aside, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    (work / "store.txt").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
