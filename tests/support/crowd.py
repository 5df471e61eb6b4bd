"""Those who change one account's mail at the same time, and what must hold."""
import asyncio
import collections
import contextlib
import os
import random
import re
import subprocess
import time

import postern
import wire
from imap_view import Ledger, Violation
from postern import JOE, PASSWORD

BOXES = ("INBOX", "INBOX.t")
MESSAGES = 120  # in a mailbox, or so
KEPT = 60       # messages that nobody removes, in all
LABELS = ("Four", "Five")  # keywords that no client of IMAP gives
SYSTEM = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen",
          "T": "\\Deleted"}


class World:
    """The account, and what is known of each message by its word.

    A word names a message and its copies. Those in kept are not removed or
    copied by anybody, and no client replaces their flags; as there are always
    some new ones, the oldest becomes one like the others.
    """

    def __init__(self, server, rng):
        self.server = server
        self.rng = rng
        self.ledgers = {box: Ledger() for box in BOXES}
        for box, ledger in self.ledgers.items():
            ledger.on_gone = lambda uid, box=box: self.went(box, uid)
        self.least = collections.Counter()  # (box, word): so many are there
        self.most = collections.Counter()   # if none was removed
        self.removed = set()  # words of which any may be
        self.moved = set()    # (box, word) which may be
        self.n_words = 0
        self.kept = {}        # word -> None, oldest first
        self.labels = {}      # (box, word) of a kept one -> its LABELS
        self.bases = {}       # base names of files -> word
        self.unique_ids = {}  # of POP3 -> word
        self.trace = collections.deque(maxlen=30000)
        self.counts = collections.Counter()
        self.actors = []
        self.parked = 0
        self.pausing = False
        self.over = False
        self.go = asyncio.Event()
        self.still = asyncio.Event()

    # --- words ------------------------------------------------------------

    def word(self, kept=False):
        self.n_words += 1
        word = f"m{self.n_words}"
        if kept:
            self.kept[word] = None
        if len(self.kept) > KEPT:
            oldest = next(iter(self.kept))
            del self.kept[oldest]
            for box in BOXES:
                self.labels.pop((box, oldest), None)
        return word

    def came(self, box, word):
        self.least[box, word] += 1

    def coming(self, box, word):
        self.most[box, word] += 1

    def may_go(self, box, word):
        return word in self.removed or (box, word) in self.moved

    def went(self, box, uid):
        """A session was told that it is gone."""
        word = self.ledgers[box].words.get(uid)
        if word is not None and not self.may_go(box, word):
            raise Violation(f"{word} is gone from {box}, UID {uid}")

    # --- files ------------------------------------------------------------

    def path(self, box):
        root = self.server.maildir(JOE)
        return root if box == "INBOX" else root / ".t"

    def names(self, box, sub):
        return os.listdir(self.path(box) / sub)

    def count(self, box):
        return sum(len(self.names(box, sub)) for sub in ("new", "cur"))

    def word_of(self, box, sub, name):
        """None: it isn't there any more."""
        base = name.partition(":")[0]
        if base not in self.bases:
            try:
                text = (self.path(box) / sub / name).read_text()
            except FileNotFoundError:
                return None
            self.bases[base] = re.match(r"Subject: (\S+)", text)[1]
        return self.bases[base]

    def on_disk(self, box):
        """(word, system flags) of each message."""
        found = collections.Counter()
        for sub in ("new", "cur"):
            for name in self.names(box, sub):
                letters = name.partition(":2,")[2]
                flags = frozenset(SYSTEM[c] for c in letters if c in SYSTEM)
                found[self.word_of(box, sub, name), flags] += 1
        return found

    def waiting(self, box):
        """Whether keywords wait to be taken over, of messages that exist."""
        path = self.path(box) / "courierimapkeywords"
        if not path.exists():
            return False
        there = {name.partition(":")[0]
                 for sub in ("new", "cur") for name in self.names(box, sub)}
        return not there.isdisjoint(os.listdir(path))

    # --- pauses -----------------------------------------------------------

    async def turn(self):
        """Where an actor waits while all are to be still."""
        if not self.pausing:
            return
        self.parked += 1
        if self.parked == len(self.actors):
            self.still.set()
        await self.go.wait()

    async def pause(self):
        self.go.clear()
        self.still.clear()
        self.parked, self.pausing = 0, True
        async with asyncio.timeout(8 * postern.PATIENCE):
            await self.still.wait()

    def resume(self):
        self.pausing = False
        self.go.set()

    def note(self, who, way, text):
        self.trace.append(f"{time.monotonic():.3f} {who} {way} {text[:300]}")


class Actor:
    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.rng = random.Random(world.rng.randrange(1 << 30))
        world.actors.append(self)

    async def run(self):
        while not self.world.over:
            await self.world.turn()
            if self.world.over:
                break
            await self.step()
            await asyncio.sleep(self.rng.random() * self.pace)


# --- those who know no IMAP --------------------------------------------------

class Mta(Actor):
    """Delivers as Postfix, maildrop and others do."""

    pace = 0.08

    async def step(self):
        box = self.rng.choice(BOXES)
        if self.world.count(box) < MESSAGES:
            self.world.counts["delivered"] += 1
            self.deliver(box, self.world.word(self.rng.randrange(20) == 0))

    def deliver(self, box, word):
        world, path = self.world, self.world.path(box)
        text = f"Subject: {word}\n\n" + "x" * self.rng.randrange(1000) + "\n"
        base = f"{int(time.time())}.V1I{word[1:]}M{word[1:]}.mta"
        if self.rng.randrange(2):
            base += f",S={len(text)}"
        tmp, to = path / "tmp" / base, path / "new" / base
        if self.rng.randrange(8) == 0:  # another mail program's copy
            to = path / "cur" / (base + ":2," + self.rng.choice(("", "S")))
        tmp.write_text(text)
        world.server.own(tmp, JOE)
        world.bases[base] = word
        world.coming(box, word)
        if self.rng.randrange(2):
            os.link(tmp, to)
            tmp.unlink()
        else:
            tmp.rename(to)
        world.came(box, word)


class Foreigner(Actor):
    """Another mail program that works on the files."""

    pace = 0.06

    async def step(self):
        box = self.rng.choice(BOXES)
        sub = self.rng.choice(("cur", "cur", "cur", "new"))
        names = self.world.names(box, sub)
        if not names:
            return
        with contextlib.suppress(FileNotFoundError):
            for name in self.rng.sample(names, min(len(names), 3)):
                self.change(box, sub, name)

    def change(self, box, sub, name):
        world, path = self.world, self.world.path(box)
        word = world.word_of(box, sub, name)
        if word is None:
            return
        if self.rng.randrange(8) == 0 and word not in world.kept:
            world.removed.add(word)
            (path / sub / name).unlink()
            world.counts["unlinked"] += 1
            return
        base, _, letters = name.partition(":2,")
        letters = set(letters) ^ set(self.rng.choice(("S", "F", "R", "FS")))
        letters -= {"T"}
        (path / sub / name).rename(
            path / "cur" / f"{base}:2,{''.join(sorted(letters))}")
        world.counts["renamed"] += 1


class Filter(Actor):
    """Gives messages keywords by maildirkw, as a filter of mail would."""

    pace = 0.4

    async def step(self):
        box = self.rng.choice(BOXES)
        if names := self.world.names(box, "cur"):
            await self.change(box, self.rng.choice(names))

    async def change(self, box, name):
        """One message; what was done: (word, option, keyword), or None."""
        world = self.world
        word = world.word_of(box, "cur", name)
        if word is None:
            return None
        label = self.rng.choice(LABELS)
        how = self.rng.choice(("-a", "-a", "-r"))
        if word not in world.kept and self.rng.randrange(2):
            how = "-c"  # nothing else than the label
        world.note(self.name, "C", f"maildirkw {how} {box} {name} {label}")
        program = await asyncio.create_subprocess_exec(
            *world.server.as_user([
                postern.program("maildirkw"), how, str(world.path(box)),
                name.partition(":")[0], label]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            env=world.server.environment())
        said, _ = await program.communicate()
        world.counts["maildirkw"] += 1
        if program.returncode != 0 or said:
            raise Violation(f"maildirkw: {program.returncode}: {said}")
        if word in world.kept:
            labels = world.labels.setdefault((box, word), set())
            labels -= {label}
            labels |= {label} if how == "-a" else set()
        return word, how, label


class Popper(Actor):
    """Whole sessions of POP3."""

    pace = 0.4

    async def say(self, text, multi=False):
        """The answer; with multi the lines after it."""
        self.wire.send(text + "\r\n")
        answer = await self.wire.line()
        self.world.note(self.name, "S", f"{text}: {answer}")
        if not multi:
            return answer
        if not answer.startswith("+OK"):
            return None
        lines = []
        while (line := await self.wire.line()) != ".":
            lines.append(line)
        return lines

    async def ok(self, text):
        answer = await self.say(text)
        if not answer.startswith("+OK"):
            raise Violation(f"{self.name}: {text}: {answer}")
        return answer

    async def open(self):
        self.world.counts["POP3"] += 1
        self.wire = await wire.connect(self.world.server.connect("pop3d"))
        await self.wire.line()
        await self.ok(f"USER {JOE}")
        await self.ok(f"PASS {PASSWORD}")

    async def step(self):
        await self.open()
        n = int((await self.ok("STAT")).split()[1])
        ids = await self.say("UIDL", multi=True)
        if n != len(ids) or len(await self.say("LIST", multi=True)) != n:
            raise Violation(f"{self.name}: {n} messages, {ids}")
        if len({line.split()[1] for line in ids}) != n:
            raise Violation(f"{self.name}: twice the same: {ids}")
        for line in self.rng.sample(ids, min(n, 5)):
            await self.look(*line.split())
        if self.rng.randrange(6):
            await self.ok("QUIT")
        self.wire.cut()

    async def look(self, number, unique_id):
        world = self.world
        how = self.rng.choice((f"TOP {number} 0", f"RETR {number}"))
        lines = await self.say(how, multi=True)
        if lines is None:
            # gone meanwhile; that it may be is looked at when all is quiet
            world.counts["POP3: gone"] += 1
            return
        word = re.match(r"Subject: (\S+)", lines[0])[1]
        if world.unique_ids.setdefault(unique_id, word) != word:
            raise Violation(f"{self.name}: {unique_id} is {word}, was "
                            f"{world.unique_ids[unique_id]}")
        if word not in world.kept and self.rng.randrange(3) == 0:
            world.removed.add(word)
            await self.ok(f"DELE {number}")
