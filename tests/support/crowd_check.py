"""A crowd at work on one account, and what must hold when it is quiet."""
import asyncio
import collections
import contextlib
import os
import random
import socket
import subprocess
import time

import postern
import wire
from crowd import BOXES, LABELS, Filter, Foreigner, Mta, Popper, World
from crowd_imap import Client
from imap_view import CONDSTORE, PLAIN, QRESYNC, Violation
from postern import ANN, JOE, PASSWORD

KINDS = (PLAIN, CONDSTORE, QRESYNC)
SHARED = '"#shared.joe@example com{}"'
N_ALONE = 3
OWN = {box: box for box in BOXES}
OTHERS = {"INBOX": SHARED.format(""), "INBOX.t": SHARED.format(".t")}


class Crowd:
    """server: Joe's INBOX is to be shared with Ann."""

    def __init__(self, server, seed, trace_path):
        self.server = server
        self.trace_path = trace_path  # for what was said, after a failure
        self.rng = random.Random(seed)
        self.world = World(server, self.rng)
        self.programs = []  # imapd of its own
        self.clients = []
        self.mta = None
        self.filter = None
        self.most_holders = 0

    # --- who takes part ---------------------------------------------------

    async def _login(self, user):
        w = await wire.connect(self.server.connect("imapd"))
        await w.line()
        w.send(f'0 LOGIN "{user}" "{PASSWORD}"\r\n')
        line = await w.line()
        if not line.startswith("0 OK"):
            raise Violation(f"login: {line}")
        return w

    async def joe(self):
        return await self._login(JOE)

    async def ann(self):
        return await self._login(ANN)

    async def alone(self):
        """imapd, as ssh would start it."""
        ours, its = socket.socketpair()
        with its, open(self.server.log_path, "ab") as log:
            self.programs.append(subprocess.Popen(
                self.server.as_user([
                    postern.program("imapd"), "-c", str(self.server.conf),
                    str(self.server.maildir(JOE))]),
                stdin=its, stdout=its, stderr=log, cwd="/",
                env=self.server.environment() | {"AUTHENTICATED": JOE}))
        w = await wire.connect(ours)
        line = await w.line()
        if not line.startswith("* PREAUTH"):
            raise Violation(f"imapd: {line}")
        return w

    def gather(self):
        for dial, called, n in ((self.joe, OWN, 11), (self.ann, OTHERS, 4),
                                (self.alone, OWN, N_ALONE)):
            for k in range(n):
                self.clients.append(Client(
                    self.world, f"{dial.__name__}{k}", KINDS[k % 3],
                    BOXES[k % 4 == 3], dial, called))
        self.mta = Mta(self.world, "mta")
        Mta(self.world, "mta2")
        Foreigner(self.world, "foreigner")
        self.filter = Filter(self.world, "filter")
        Popper(self.world, "pop0")
        Popper(self.world, "pop1")

    async def prepare(self):
        w = await self.joe()
        for command in ("CREATE INBOX.t", "SELECT INBOX", "SELECT INBOX.t",
                        f'SETACL INBOX "{ANN}" lrswite',
                        f'SETACL INBOX.t "{ANN}" lrswite'):
            w.send(f"1 {command}\r\n")
            while not (line := await w.line()).startswith("1 "):
                pass
            if not line.startswith("1 OK"):
                raise Violation(f"{command}: {line}")
        w.cut()
        for box in BOXES:
            for kept in [True] * 10 + [False] * 20:
                self.mta.deliver(box, self.world.word(kept))

    # --- quiet ------------------------------------------------------------

    async def each(self, name):
        await asyncio.gather(*(getattr(c, name)() for c in self.clients))

    async def settle(self):
        """Until nobody has anything to tell any more."""
        calm = 0
        while calm < 2:
            before = sum(c.view.news for c in self.clients)
            await self.each("noop")
            calm += 1
            if sum(c.view.news for c in self.clients) != before or \
                    any(self.world.waiting(box) for box in BOXES):
                calm = 0

    def differences(self):
        """What views and files don't agree about."""
        for box in BOXES:
            ledger, disk = self.world.ledgers[box], self.world.on_disk(box)
            of_box = [c for c in self.clients if c.box == box]
            first = of_box[0].view.picture().items()
            for c in of_box:
                if other := c.view.picture().items() ^ first:
                    yield f"{c.name} and {of_box[0].name}: {other}"
                seen = collections.Counter(
                    (ledger.words.get(m.uid),
                     frozenset(f for f in m.flags if f[0] == "\\"))
                    for m in c.view.v)
                if other := seen.items() ^ disk.items():
                    yield f"{c.name} and the directory of {box}: {other}"

    async def agree(self):
        """All views are what is on the disk; soon, if not at once."""
        end = time.monotonic() + postern.PATIENCE
        while True:
            await self.settle()
            for c in self.clients:
                c.view.quiet = True
            await asyncio.gather(*(c.list_all(words=True)
                                   for c in self.clients))
            for c in self.clients:
                c.view.quiet = False
            found = list(self.differences())
            if not found:
                return
            self.world.counts["not yet"] += 1
            if time.monotonic() > end:
                raise Violation("; ".join(found))

    async def search_agrees(self):
        for c in self.clients:
            found = await c.search_for("UNSEEN")
            want = {m.uid for m in c.view.v if "\\Seen" not in m.flags}
            if found != want:
                raise Violation(f"{c.name}: UNSEEN {found ^ want}")

    def labels_agree(self, want):
        """All clients know of these (box, word): labels."""
        for c in self.clients:
            for m in c.view.v:
                word = c.ledger.words.get(m.uid)
                has = m.flags & set(LABELS)
                if has != want.get((c.box, word), has):
                    raise Violation(
                        f"{c.name}: {word} of {c.box} has {set(has)}, was "
                        f"given {want[c.box, word]}")

    async def label(self):
        """maildirkw, while nobody else does anything."""
        self.labels_agree(self.world.labels)
        want = {}
        for box in BOXES:
            names = self.world.names(box, "cur")
            many = collections.Counter(
                self.world.word_of(box, "cur", name) for name in names)
            ledger = self.world.ledgers[box]
            client = next(c for c in self.clients if c.box == box)
            now = {ledger.words.get(m.uid): m.flags & set(LABELS)
                   for m in client.view.v}
            for name in self.rng.sample(names, min(len(names), 2)):
                if many[self.world.word_of(box, "cur", name)] > 1:
                    continue
                word, how, label = await self.filter.change(box, name)
                has = now[word] if how != "-c" else frozenset()
                want[box, word] = has - {label} if how == "-r" else \
                    has | {label}
        await self.agree()
        self.labels_agree(want)

    def account(self):
        """Nothing is lost that nobody removed, and nothing doubled."""
        world = self.world
        for box in BOXES:
            there = {}
            for (word, _), n in world.on_disk(box).items():
                there[word] = there.get(word, 0) + n
            for word in {w for b, w in world.most if b == box} | set(there):
                n, most = there.get(word, 0), world.most[box, word]
                least = 0 if world.may_go(box, word) else \
                    world.least[box, word]
                if not least <= n <= most:
                    raise Violation(f"{box}: {n} of {word}, not "
                                    f"{least} to {most}")
            ledger = world.ledgers[box]
            for uid in ledger.gone:
                word = ledger.words.get(uid)
                if word is not None and not world.may_go(box, word):
                    raise Violation(f"{word} went from {box}")

    async def check(self):
        await self.agree()
        await self.search_agrees()
        self.account()
        await self.label()
        await self.nap()
        self.account()

    # --- idle, and hibernation ---------------------------------------------

    def holders(self):
        """The processes that have the database open."""
        path = str(self.server.maildir(JOE) / "postern.db")
        pids = {pid for pid, _ in self.server.children()}
        for program in self.programs:
            pids |= {pid for pid, _ in self.server.children(program.pid)}
        found = set()
        for pid in pids:
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                            found.add(pid)
        return found

    async def nap(self):
        """All idle, until the account is closed; then mail comes."""
        await self.each("idle_begin")
        for sleep in (False, True):
            if sleep:
                # 60 s is the default of ACCOUNT_IDLE_TIME
                end = time.monotonic() + 55
                while self.holders():
                    if time.monotonic() > end:
                        raise Violation("the account is never closed")
                    await asyncio.sleep(0.05)
                self.world.counts["slept"] += 1
            for box in BOXES:
                self.mta.deliver(box, self.world.word())
            end = time.monotonic() + postern.PATIENCE
            while any(len(c.view.v) != self.world.count(c.box)
                      for c in self.clients):
                if time.monotonic() > end:
                    raise Violation("IDLE wasn't told of new mail: " + str([
                        (c.name, len(c.view.v)) for c in self.clients]))
                await asyncio.gather(*(c.listen(0.05) for c in self.clients))
        await self.each("idle_end")

    # --- the whole ----------------------------------------------------------

    async def work(self, seconds):
        world = self.world
        end = time.monotonic() + seconds
        phase = min(15, seconds / 2)
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, phase))
            self.most_holders = max(self.most_holders, len(self.holders()))
            await world.pause()
            await self.check()
            world.counts["checks"] += 1
            world.over = time.monotonic() >= end
            world.resume()

    async def run(self, seconds):
        self.gather()
        await self.prepare()
        for c in self.clients:
            await c.begin()
        tasks = [asyncio.create_task(a.run()) for a in self.world.actors]
        tasks.append(asyncio.create_task(self.work(seconds)))
        try:
            done, _ = await asyncio.wait(
                tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException as error:
            print(repr(error))
            self.trace_path.write_text("\n".join(self.world.trace))
            print(f"What was said: {self.trace_path}")
            raise
        finally:
            self.world.over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for c in self.clients:
                if c.wire is not None:
                    c.wire.cut()
            await asyncio.sleep(0.05)  # connections are cut by the loop
        # workers of Joe, of Ann, and of each imapd; some may be about to end
        if self.most_holders < 2 + N_ALONE:
            raise Violation(f"{self.most_holders} processes only")
        print(dict(sorted(self.world.counts.items())))


async def run(server, seed, seconds, trace_path):
    crowd = Crowd(server, seed, trace_path)
    try:
        await crowd.run(seconds)
    finally:
        for program in crowd.programs:
            program.wait(postern.PATIENCE)
