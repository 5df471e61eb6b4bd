#!/usr/bin/python3
"""Measure Postern against Debian's Dovecot, Courier and Cyrus.

Every case is run on each server in turn, round after round; the report has
the medians, of wall time and of the CPU seconds of all of a server's
processes.  Needs root (mount namespaces, uids) and apt-get download; about
five minutes.  Nothing is installed, all stays in the work folder.
"""
import argparse
import os
import platform
import shutil
import statistics
import sys
import time
import traceback
from pathlib import Path

import cases
import cases_messages
import mails
import servers
import usage


SETS = {"general": cases.CASES, "messages": cases_messages.CASES}


class Meter:
    """Wall and CPU time of one server while the block runs."""

    def __init__(self, server):
        self.pid = server.pid
        self.wall = self.cpu = None

    def __enter__(self):
        self.cpu = -usage.settled_cpu(self.pid)
        self.wall = -time.perf_counter()

    def __exit__(self, *_):
        self.wall += time.perf_counter()
        self.cpu += usage.settled_cpu(self.pid)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--builddir", default=".", type=Path,
                   help="the work folder is bench-work in it")
    p.add_argument("--messages", default=10000, type=int,
                   help="in INBOX (10000)")
    p.add_argument("--cold", default=1000, type=int,
                   help="in each mailbox that is read for the first time")
    # More would need more inotify instances for one uid than Linux gives,
    # and Dovecot then keeps its processes.
    p.add_argument("--idlers", default=60, type=int,
                   help="idle sessions, each of its own account (60)")
    p.add_argument("--rounds", default=5, type=int)
    p.add_argument("--server", action="append", default=[],
                   help="only this one (may be given more than once)")
    p.add_argument("--case", default="", help="only cases with this text")
    p.add_argument("--set", default="general", choices=SETS,
                   help="which cases (general)")
    return p.parse_args()


def note(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def check_place(work):
    """The servers give up root: they must be able to reach the folder."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for mount namespaces and uids")
    for folder in (work, *work.parents):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            sys.exit(f"bench: {folder} is closed to other users; name a "
                     "folder elsewhere with --builddir")


def bring_up(kinds, work, args):
    """The servers that could be started, with the mail of each laid out."""
    corpus = work / "corpus"
    note(f"making {args.messages} messages")
    mails.make_corpus(corpus, max(args.messages, args.cold,
                                  mails.IDLER_MESSAGES))
    running, missing = [], []
    owner = (servers.MAIL_UID, servers.MAIL_UID)
    for kind in kinds:
        server = kind(work)
        shutil.rmtree(server.run, ignore_errors=True)
        server.run.mkdir(parents=True)
        note(f"preparing {server.name}")
        try:
            server.prepare()
            mails.build(server.home, corpus, messages=args.messages,
                        rounds=args.rounds, cold=args.cold,
                        idlers=args.idlers, owner=owner,
                        more=cases_messages if args.set == "messages"
                        else None, sizes=args)
            names = ["joe", *(f"idle{i}" for i in range(args.idlers))]
            server.start([(f"{name}@example.com", server.home / name)
                          for name in names])
            running.append(server)
        except servers.Missing as error:
            missing.append(f"{server.name} is missing: {error}")
            note(missing[-1])
    return running, missing


def compare(title, sent, problems):
    """A server that answers with much less than another one did not work."""
    most = max(sent.values(), default=0)
    for name, n in sent.items():
        if n < most * 0.6 and most > 2000:
            problems.setdefault((name, title), f"sent {n} bytes, another one "
                                f"{most}: the times don't compare")


def measure(running, args, results, problems):
    """Round 0 warms up and isn't counted."""
    for round_ in range(args.rounds + 1):
        note(f"round {round_} of {args.rounds}")
        for title, function in SETS[args.set].items():
            if args.case not in title:
                continue
            turn = round_ % len(running)
            sent = {}
            for server in running[turn:] + running[:turn]:
                meter = Meter(server)
                try:
                    n = function(server, round_, meter, args)
                except Exception as error:  # told in the report
                    problems.setdefault(
                        (server.name, title), f"{type(error).__name__}: "
                        f"{error}"[:200])
                    if os.environ.get("BENCH_DEBUG"):
                        traceback.print_exc()
                    continue
                if n is not None:
                    sent[server.name] = n
                if round_ > 0:
                    results.setdefault((title, server.name), []).append(
                        (meter.wall, meter.cpu))
            compare(title, sent, problems)


def measure_idle(running, args, problems):
    """
    {server: bytes of all processes without a session} and {server: bytes of
    an idle session}.  The second half of the sessions is what is measured:
    the first one wakes processes that were there in any case.
    """
    base, half, found, clients = {}, {}, {}, {}
    for server in running:
        base[server.name] = usage.settled_pss(server.pid)
    for first in (True, False):
        note(f"{args.idlers // 2} {'' if first else 'more '}idle sessions")
        for server in running:
            try:
                clients.setdefault(server.name, []).extend(cases.open_idle(
                    server, 0 if first else args.idlers // 2,
                    args.idlers // 2))
            except Exception as error:
                problems[server.name, "idle"] = f"{error}"[:200]
        # Dovecot hands idle sessions over after five seconds, and ends
        # processes that serve none after four more.
        time.sleep(15)
        for server in running:
            pss = usage.settled_pss(server.pid)
            if first:
                half[server.name] = pss
            elif (server.name, "idle") not in problems:
                found[server.name] = ((pss - half[server.name]) /
                                      (args.idlers // 2))
    for held in clients.values():
        cases.close_idle(held)
    return base, found


def ratio(ours, theirs):
    return f"{ours / theirs:12.2f}" if ours is not None and theirs else \
        f"{'-':>12}"


def number(value):
    return f"{value:9.1f}" if value is not None else f"{'-':>9}"


def table(results, names, which, titles):
    """Milliseconds of each, then the first one's in those of the others."""
    head = "".join(f"{name:>9}" for name in names)
    ratios = "".join(f"{'to ' + name:>12}" for name in names[1:])
    lines = [f"{'':52}{head}{ratios}"]
    for title in titles:
        values = []
        for name in names:
            runs = results.get((title, name))
            values.append(statistics.median(run[which] for run in runs) * 1000
                          if runs else None)
        if any(value is not None for value in values):
            lines.append(f"{title:52}" + "".join(map(number, values)) +
                         "".join(ratio(values[0], v) for v in values[1:]))
    return lines


def memory(idle, base, names):
    lines = []
    for title, values in (("one idle session", idle),
                          ("all processes before", base)):
        kib = [values[name] / 1024 if name in values else None
               for name in names]
        lines.append(f"{title:52}" + "".join(map(number, kib)) +
                     "".join(ratio(kib[0], v) for v in kib[1:]))
    return lines


def report(running, missing, results, idle, base, problems, args):
    names = [server.name for server in running]
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = next((line.split(":")[1].strip() for line in f
                    if line.startswith("model name")), platform.machine())
    lines = [
        f"Benchmark of {time.strftime('%Y-%m-%d')}: "
        + ", ".join(server.version() for server in running),
        f"{os.cpu_count()} x {cpu}, Linux {platform.release()}",
        f"{args.messages} messages in INBOX, {args.cold} in those read for "
        f"the first time; medians of {args.rounds}, servers in turn",
        f"Ratios are {names[0]}'s value in that of the other: "
        "0.50 is half.", "",
        "Wall time, ms", *table(results, names, 0, SETS[args.set]), "",
        "CPU time of all processes, ms",
        *table(results, names, 1, SETS[args.set]), "",
        f"Memory (PSS), KiB; {args.idlers} sessions, each of its own account",
        *memory(idle, base, names), ""]
    lines += missing
    lines += [f"{name}: {title}: {why}"
              for (name, title), why in problems.items()]
    return "\n".join(lines).rstrip() + "\n"


def main():
    args = arguments()
    work = args.builddir.resolve() / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    check_place(work)
    wanted = [name.lower() for name in args.server]
    kinds = [kind for kind in [*servers.ALL, servers.Cyrus]
             if not wanted or kind.name.lower() in wanted]
    running, missing = bring_up(kinds, work, args)
    results, problems, idle, base = {}, {}, {}, {}
    try:
        if not running:
            sys.exit("bench: no server could be started")
        measure(running, args, results, problems)
        if args.set == "general":
            base, idle = measure_idle(running, args, problems)
    finally:
        for server in running:
            server.stop()
    text = report(running, missing, results, idle, base, problems, args)
    (work / "report.txt").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
