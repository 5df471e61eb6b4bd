"""The cases of store.py: large mailboxes, changes of many messages, APPEND;
and what its other measurements fill mailboxes with.

A case gets a server, or the bare system calls in place of one, the arguments
of the program, and a Watch for what is to be measured.
"""
import os
import random
import shutil
import time

import append
import imap
import mails
import servers
import usage

JOE = "joe@example.com"
CHANGES = 10000
APPENDS = 300
CLIENTS = 16
CORPUS = 1000
OLD = 62            # seconds
EACH = 40           # appends of each of the clients
HELD = 4000         # messages that an APPEND finds in a mailbox
# What Postern puts off until after the OK counts as CPU time: seconds.
PUT_OFF = 3.2
OWNERS = [f"own{k}" for k in range(CLIENTS)]
NOOP_PAUSE = 0.002
MESSAGE = mails.message(random.Random(3), 3)[:4000].ljust(4000, b"x")
WIRE = MESSAGE.replace(b"\n", b"\r\n")
CASES = {}


def case(title):
    def keep(function):
        CASES[title] = function
        return function
    return keep


class Bare:
    """Stands for a server: the system calls alone."""

    name = "bare"

    def __init__(self, work):
        self.home = work / "store-mail" / "bare"
        self.box = self.home / "joe" / "Maildir"


def folder(server, name, account="joe"):
    base = server.home / account / "Maildir"
    return base if name == "INBOX" else base / name[len("INBOX"):]


def make_folder(server, name, account="joe"):
    path = folder(server, name, account)
    shutil.rmtree(path, ignore_errors=True)
    for sub in ("tmp", "new", "cur"):
        (path / sub).mkdir(parents=True)
    (path / "maildirfolder").touch()
    for p in (path, path / "cur", path / "new", path / "tmp",
              path / "maildirfolder"):
        os.chown(p, servers.MAIL_UID, servers.MAIL_UID)
    return path


def fill(server, name, corpus, n, account="joe"):
    """A mailbox of n messages that is new to the server; links to few."""
    path = make_folder(server, name, account)
    sizes = [(corpus / str(k)).stat().st_size for k in range(CORPUS)]
    cur = os.open(path / "cur", os.O_RDONLY)
    source = os.open(corpus, os.O_RDONLY)
    for i in range(n):
        os.link(str(i % CORPUS),
                f"{mails.EPOCH + i}.M{i}P1.bench,S={sizes[i % CORPUS]}:2,"
                f"{'S' * (i % 4 != 0)}", src_dir_fd=source, dst_dir_fd=cur)
    os.close(cur)
    os.close(source)


def fill_own(server, name, n):
    """The same, but each message is a file of its own, as in real life."""
    path = make_folder(server, name)
    cur = os.open(path / "cur", os.O_RDONLY)
    for i in range(n):
        fd = os.open(f"{mails.EPOCH + i}.M{i}P1.bench,S={len(MESSAGE)}:2,"
                     f"{'S' * (i % 4 != 0)}", os.O_WRONLY | os.O_CREAT, 0o600,
                     dir_fd=cur)
        os.write(fd, MESSAGE)
        os.fchown(fd, servers.MAIL_UID, servers.MAIL_UID)
        os.close(fd)
    os.close(cur)


class Floor(Bare):
    """Those, and the changes between threads, the log and the round trips that
    a server can't do without (appendfloor.c); of one client only."""

    name = "floor"

    def __init__(self, work):
        self.home = work / "store-mail" / "floor"
        self.box = self.home / "joe" / "Maildir"


class Watch:
    """Wall and CPU time of a block; of this process if it is bare."""

    def __init__(self, server):
        self.server = server
        self.wall = self.cpu = None

    def __enter__(self):
        bare = isinstance(self.server, Bare)
        self.cpu = -(time.process_time() if bare
                     else usage.settled_cpu(self.server.pid))
        self.wall = -time.perf_counter()

    def __exit__(self, *_):
        bare = isinstance(self.server, Bare)
        self.wall += time.perf_counter()
        self.cpu += (time.process_time() if bare
                     else usage.settled_cpu(self.server.pid))


def session(server, mailbox):
    client = server.client(JOE)
    client.do(f"SELECT {mailbox}")
    return client


# --- large mailboxes ---------------------------------------------------------

@case("first SELECT ever of {large}")
def first_select(server, args, watch):
    name = "INBOX.Large"
    if not isinstance(server, Bare):
        try:
            server.client(JOE).do(f"DELETE {name}")
        except imap.Refused:
            pass
    fill(server, name, args.corpus, args.large)
    time.sleep(2.2)
    if isinstance(server, Bare):
        with watch:
            for _ in os.scandir(folder(server, name) / "cur"):
                pass
        return
    client = server.client(JOE)
    with watch:
        client.do(f"SELECT {name}")
    client.logout()


def look_bare(server, watch):
    """What says that nothing changed since."""
    with watch:
        for sub in "cur", "new":
            os.stat(folder(server, "INBOX.Large") / sub)


@case("SELECT of {large}, new worker, clean record")
def clean_select(server, args, watch):
    if isinstance(server, Bare):
        look_bare(server, watch)
        return
    time.sleep(2.2)
    session(server, "INBOX.Large").logout()
    # a process that served one session and can serve the next is given time
    # to be ready, and still has the mailbox's index in memory
    time.sleep(1)
    if isinstance(server, servers.Postern):
        server.restart()
    client = server.client(JOE)
    client.do("STATUS INBOX.Small (MESSAGES)")
    with watch:
        client.do("SELECT INBOX.Large")
    client.logout()


@case("SELECT of {large}, open already")
def open_select(server, args, watch):
    if isinstance(server, Bare):
        look_bare(server, watch)
        return
    client = session(server, "INBOX.Large")
    client.do("SELECT INBOX.Small")
    with watch:
        client.do("SELECT INBOX.Large")
    client.logout()


def put_new(server, name, mark):
    path = folder(server, name)
    tmp = path / "tmp" / f"{int(time.time())}.M{mark}P7.bench"
    tmp.write_bytes(MESSAGE)
    os.chown(tmp, servers.MAIL_UID, servers.MAIL_UID)
    tmp.rename(path / "new" / tmp.name)


@case("SELECT of {large} after one delivery")
def delivered(server, args, watch):
    if isinstance(server, Bare):
        with watch:
            list(os.scandir(folder(server, "INBOX.Large") / "new"))
        return
    time.sleep(2.2)
    client = session(server, "INBOX.Large")
    client.do("SELECT INBOX.Small")
    put_new(server, "INBOX.Large", f"{args.round}{random.randrange(10**6)}")
    with watch:
        client.do("SELECT INBOX.Large")
    client.logout()


# --- changes -----------------------------------------------------------------

def change(kind, server, args, watch):
    """kind of CHANGES messages in a mailbox of so many."""
    name = f"INBOX.{kind.title()}{args.round}"
    target = f"INBOX.To{kind}{args.round}"
    fill(server, target, args.corpus, 0)
    if isinstance(server, Bare):
        cur = folder(server, name) / "cur"
        to = folder(server, target) / "cur"
        a, b = os.open(cur, os.O_RDONLY), os.open(to, os.O_RDONLY)
        names = os.listdir(cur)
        with watch:
            for n in names:
                if kind == "store":
                    os.rename(n, n + "T", src_dir_fd=a, dst_dir_fd=a)
                elif kind in ("copy", "move"):
                    os.link(n, n, src_dir_fd=a, dst_dir_fd=b)
            if kind in ("copy", "move"):
                os.fsync(b)
            if kind in ("expunge", "move"):
                for n in names:
                    os.unlink(n, dir_fd=a)
        os.close(a)
        os.close(b)
        return
    client = session(server, name)
    if kind == "expunge":
        client.do(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
    with watch:
        if kind == "store":
            client.do(r"STORE 1:* +FLAGS.SILENT (\Draft)")
        elif kind == "expunge":
            client.do("EXPUNGE")
        else:
            client.do(f"{kind.upper()} 1:* {target}")
    client.logout()


KINDS = ("store", "copy", "move", "expunge")
TITLES = {kind: f"{kind.upper()} of {{changes}}" for kind in KINDS}
for _kind in KINDS:
    CASES[TITLES[_kind]] = \
        lambda server, args, watch, kind=_kind: change(
            kind, server, args, watch)


# --- APPEND ------------------------------------------------------------------
#
# Each round has mailboxes of its own: where many files were removed a moment
# ago ext4 without a journal takes half a millisecond to create one, as it
# passes over inodes that it used lately.

def open_once(server, mailboxes):
    """As it is with mail that has been there for a while."""
    time.sleep(2.2)
    for account, name in mailboxes:
        client = server.client(f"{account}@example.com")
        client.do(f"SELECT {name}")
        client.logout()


def run_appends(server, args, watch, literal, each, pairs, held=0):
    """Each of pairs, an account and a mailbox of held, gets so many messages."""
    mailboxes = dict.fromkeys(pairs)
    for account, name in mailboxes:
        fill(server, name, args.corpus, held, account)
    if held > 0 and not isinstance(server, Bare):
        open_once(server, mailboxes)
    paths = [folder(server, name, account) for account, name in pairs]
    if isinstance(server, Floor):
        load = append.Load(args.load, "floor", append.LAYER_OF[literal], each,
                           paths[0])
    elif isinstance(server, Bare):
        load = append.Load(args.load, "bare", each, *paths)
    else:
        load = append.imap(args.load, server.port, literal, each, [
            (f"{account}@example.com", name) for account, name in pairs])
    with watch:
        wall, cpu = load.go()
        if isinstance(server, servers.Postern):
            time.sleep(PUT_OFF)
    watch.wall = wall
    if isinstance(server, Bare):
        watch.cpu = cpu


LITERALS = {"sync": "", "plus": ", LITERAL+"}
APPEND_CASES = {
    "APPEND of 4 kB, {appends} by one client": lambda args: (
        args.appends, [("joe", f"INBOX.Append{args.mark}")]),
    "APPEND of 4 kB by one client into {held}": lambda args: (
        args.appends, [("joe", f"INBOX.Held{args.mark}")], HELD),
    "APPEND, 16 clients into one mailbox": lambda args: (
        EACH, [("joe", f"INBOX.One{args.mark}")] * CLIENTS),
    "APPEND, 16 clients into 16 mailboxes": lambda args: (
        EACH, [("joe", f"INBOX.Each{args.mark}x{k}")
               for k in range(CLIENTS)]),
    "APPEND, 16 clients into 16 accounts": lambda args: (
        EACH, [(own, f"INBOX.Own{args.mark}") for own in OWNERS]),
}
FLOORED = {f"APPEND of 4 kB, {{appends}} by one client{ending}"
           for ending in LITERALS.values()}


def append_case(make, literal):
    def run(server, args, watch):
        args.mark = f"{literal[0]}{args.round}"
        run_appends(server, args, watch, literal, *make(args))
    return run


for _title, _make in APPEND_CASES.items():
    for _literal, _ending in LITERALS.items():
        CASES[_title + _ending] = append_case(_make, _literal)
