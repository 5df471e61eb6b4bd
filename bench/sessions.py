#!/usr/bin/python3
"""Many idle sessions: what they cost to set up and to keep.

N sessions in IDLE on the INBOX of A accounts of one uid, whose mailboxes hold
up to 1000 messages and have been opened before.  The report has the memory of
all of a server's processes (PSS) without and with them, and the CPU time of
logging in, SELECT and IDLE.  Needs root, as bench.py does.
"""
import argparse
import json
import os
import resource
import shutil
import socket
import ssl
import sys
import time
from pathlib import Path

import bench
import mails
import servers
import usage

# Messages in the mailboxes of the accounts, one after the other.
SIZES = (10, 50, 200, 500, 1000)


class Small:
    """A client without a buffer of its own."""

    def __init__(self, port, tls=None):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock)
        self.until(b"* ")

    def until(self, start):
        held = b""
        while True:
            got = self.sock.recv(65536)
            if not got:
                raise ConnectionError("closed by the server")
            held += got
            if held.endswith(b"\r\n"):
                line = held[held.rfind(b"\r\n", 0, -2) + 2:] \
                    if held.count(b"\r\n") > 1 else held
                if line.startswith(start):
                    return line

    def do(self, text):
        self.sock.sendall(b"a " + text.encode() + b"\r\n")
        line = self.until(b"a ")
        if not line.startswith(b"a OK"):
            raise servers.Refused(line.decode(errors="replace"))

    def idle(self):
        self.sock.sendall(b"a IDLE\r\n")
        self.until(b"+ ")

    def close(self):
        self.sock.close()


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--builddir", default=".", type=Path)
    p.add_argument("--plain", default=10000, type=int)
    p.add_argument("--tls", default=4000, type=int)
    p.add_argument("--accounts", default=1000, type=int)
    p.add_argument("--settle", default=130, type=int,
                   help="seconds of quiet before memory is measured (130)")
    p.add_argument("--share", default=10, type=int, help="the other servers "
                   "get one session in so many: theirs are large (10)")
    p.add_argument("--server", action="append", default=[])
    p.add_argument("--keep", action="store_true",
                   help="wait for Enter before the end")
    return p.parse_args()


def build(server, corpus, accounts):
    """The accounts' Maildirs; kept from run to run."""
    stamp = server.home / "sessions.json"
    facts = [accounts, SIZES]
    try:
        if json.loads(stamp.read_text()) == json.loads(json.dumps(facts)):
            return
    except (OSError, ValueError):
        pass
    shutil.rmtree(server.home, ignore_errors=True)
    for i in range(accounts):
        mails.fill(server.home / f"u{i}" / "Maildir", corpus, 0,
                   SIZES[i % len(SIZES)])
    for path in [server.home, *server.home.rglob("*")]:
        if path.stat().st_uid != servers.MAIL_UID:
            os.chown(path, servers.MAIL_UID, servers.MAIL_UID)
    stamp.write_text(json.dumps(facts))


def user(i):
    return f"u{i}@example.com"


def visit(server, accounts):
    for i in range(accounts):
        client = Small(server.port)
        client.do(f"LOGIN {user(i)} {servers.PASSWORD}")
        client.do("SELECT INBOX")
        client.do("LOGOUT")
        client.close()
    time.sleep(3)


def warm(server, accounts):
    """
    Every mailbox has been opened some times, and is known to be clean.  Twice
    nobody comes for so long that what a server does of itself is done: Postern
    closes some twenty accounts a second, and copies a log that was there when
    an account was opened, and closed.
    """
    rest = 5 + accounts / 15
    visit(server, accounts)
    visit(server, accounts)
    time.sleep(rest)
    visit(server, accounts)
    time.sleep(rest)


def open_sessions(server, n, accounts, tls):
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    held = []
    for i in range(n):
        client = Small(server.tls_port if tls else server.port, context)
        client.do(f"LOGIN {user(i % accounts)} {servers.PASSWORD}")
        client.do("SELECT INBOX")
        client.idle()
        held.append(client)
    return held


def by_process(root):
    """PSS of each kind of process below root, in KiB."""
    found = {}
    for pid in usage.descendants(root):
        try:
            args = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        name = Path(args[0].decode()).name + (
            " " + args[1].decode() if args[1:2] and
            args[1].startswith(b"--") else "")
        pss = next(int(line.split()[1]) for line in rollup.splitlines()
                   if line.startswith("Pss:"))
        n, total = found.get(name, (0, 0))
        found[name] = n + 1, total + pss
    return found


def measure(server, n, accounts, tls, args):
    base = usage.settled_pss(server.pid) / 1024
    meter = bench.Meter(server)
    with meter:
        held = open_sessions(server, n, accounts, tls)
    bench.note(f"{server.name}: {len(held)} sessions in {meter.wall:.1f} s, "
               f"CPU {meter.cpu:.2f} s")
    time.sleep(args.settle)
    pss = usage.settled_pss(server.pid) / 1024
    kinds = by_process(server.pid)
    if args.keep:
        print(f"below {server.pid}; Enter ends", file=sys.stderr)
        sys.stdin.readline()
    for client in held:
        client.close()
    lines = [f"{server.name:9}{'TLS' if tls else 'plain':>6}{n:8}"
             f"{base:12.0f}{pss:12.0f}{pss / n:12.2f}"
             f"{(pss - base) / n:12.2f}{meter.cpu / n * 1000:12.2f}"
             f"{meter.wall / n * 1000:12.2f}"]
    lines += [f"{'':15}{name}: {count} x {total / count:.0f}"
              for name, (count, total) in sorted(kinds.items())]
    return lines


def main():
    args = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = args.builddir.resolve() / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    bench.check_place(work)
    corpus = work / "corpus"
    mails.make_corpus(corpus, max(SIZES))
    wanted = [name.lower() for name in args.server]
    lines = [f"{'':9}{'':>6}{'number':>8}{'without KiB':>12}{'with KiB':>12}"
             f"{'KiB each':>12}{'more each':>12}{'CPU ms each':>12}"
             f"{'ms each':>12}"]
    for kind in servers.ALL:
        if wanted and kind.name.lower() not in wanted:
            continue
        server = kind(work)
        server.run = work / "sessions" / kind.name.lower()
        server.home = work / "sessions-mail" / kind.name.lower()
        server.table = server.run / "users.sqlite"
        server.log = server.run / "log"
        shutil.rmtree(server.run, ignore_errors=True)
        server.run.mkdir(parents=True)
        share = 1 if kind is servers.Postern else args.share
        accounts = max(1, args.accounts // share)
        try:
            bench.note(f"preparing {kind.name}")
            server.prepare()
            build(server, corpus, accounts)
            for n, tls in ((args.plain // share, False),
                           (args.tls // share, True)):
                if n == 0:
                    continue
                server.settings = "ACCOUNT_IDLE_TIME=1"
                server.start([(user(i), server.home / f"u{i}")
                              for i in range(accounts)])
                server.settings = ""
                if tls and not server.tls_port:
                    server.stop()
                    continue
                warm(server, accounts)
                server.stop()
                # a fresh start on what the first one left
                server.start([(user(i), server.home / f"u{i}")
                              for i in range(accounts)])
                lines += measure(server, n, accounts, tls, args)
                server.stop()
        except servers.Missing as error:
            lines.append(f"{kind.name} is missing: {error}")
        finally:
            server.stop()
    text = "\n".join(lines) + "\n"
    (work / "sessions.txt").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
