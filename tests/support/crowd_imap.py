"""A client of IMAP that does random things to one mailbox."""
import asyncio
import contextlib
import re
import time

import wire
from crowd import BOXES, MESSAGES, Actor
from imap_view import CONDSTORE, PLAIN, QRESYNC, Command, View, Violation, \
    uids_of

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "one", "two",
         "$Three")
# A session may be refused what others have removed.
REFUSALS = re.compile(r"NO \[(EXPUNGEISSUED|NOTSAVED)\]|"
                      r"NO \[MODIFIED [\d:,]+\] Some of the messages no")


class Client(Actor):
    pace = 0.03

    def __init__(self, world, name, kind, box, dial, called):
        super().__init__(world, name)
        self.kind = kind
        self.box = box
        self.other = BOXES[1 - BOXES.index(box)]
        self.dial = dial      # makes a connection that is logged in
        self.called = called  # box -> its name in this session
        self.ledger = world.ledgers[box]
        self.view = View(kind, self.ledger)
        self.wire = None
        self.n = 0

    # --- speaking ---------------------------------------------------------

    @contextlib.contextmanager
    def _checking(self, text):
        try:
            yield
        except (Violation, wire.Ended, TimeoutError) as error:
            raise Violation(f"{self.name} ({self.kind}): {error!r}: "
                            f"{text[:300]}") from error

    def _untagged(self, text):
        self.world.note(self.name, "S", text)
        with self._checking(text):
            self.view.line(text)

    def send(self, text, command):
        if self.wire.ready():
            raise Violation(f"{self.name}: unasked {self.wire.buffer[:300]}")
        self.n += 1
        self.view.begin(command)
        self.world.counts[command.name] += 1
        self.world.note(self.name, "C", f"{self.n} {text}")
        self.wire.send(f"{self.n} {text}\r\n")

    async def end(self):
        """The tagged response, without its tag."""
        command, tag = self.view.command, f"{self.n} "
        while True:
            with self._checking(command.name):
                text = await self.wire.line()
            if text.startswith(tag):
                break
            self._untagged(text)
        self.world.note(self.name, "S", text)
        with self._checking(text):
            text = self.view.tagged(text[len(tag):])
            if text.startswith("NO"):
                self.world.counts[f"{command.name}: {text}"] += 1
                if not REFUSALS.match(text):
                    raise Violation("refused")
        return text

    async def command(self, text, command):
        self.send(text, command)
        return await self.end()

    # --- choosing ---------------------------------------------------------

    def some(self, removable=False):
        """UIDs of some messages; removable: of none that is kept."""
        if not self.view.v:
            return []
        first = self.rng.randrange(len(self.view.v))
        found = []
        for m in self.view.v[first:first + self.rng.randrange(1, 7)]:
            if m.uid == 0:
                break
            word = self.ledger.words.get(m.uid)
            if removable and (word is None or word in self.world.kept):
                continue
            if self.rng.randrange(4) or not found:
                found.append(m.uid)
        return found

    def set_of(self, uids, by_uid):
        if by_uid:
            return ",".join(str(uid) for uid in uids)
        return ",".join(str(self.view.find(uid) + 1) for uid in uids)

    def by_uid(self):
        """How a command may begin, and whether it is by UID."""
        by_uid = self.rng.randrange(2) == 0
        return ("UID " if by_uid else ""), by_uid

    # --- selecting --------------------------------------------------------

    async def begin(self):
        await self.connect()
        await self.select()
        await self.list_all(words=True)

    async def connect(self):
        self.wire = await self.dial()
        self.view.selected_at = 0
        self.n = 0
        if self.kind == QRESYNC:
            await self.command("ENABLE QRESYNC", Command("ENABLE"))

    async def select(self):
        self.view.select()
        await self.command(
            f"SELECT {self.called[self.box]}"
            + (" (CONDSTORE)" if self.kind != PLAIN else ""),
            Command("SELECT"))
        with self._checking("SELECT"):
            self.view.selected()

    async def lose(self):
        """The connection ends anywhere; the client comes back."""
        self.world.counts["lost"] += 1
        self.send("NOOP", Command("NOOP"))
        if self.rng.randrange(2):
            await self.end()
        self.wire.cut()
        self.view.command = None
        self.view.told = 0
        await self.connect()
        await self.come_back()

    async def reselect(self):
        if self.kind != QRESYNC or self.rng.randrange(2):
            await self.command("UNSELECT", Command("UNSELECT"))
            self.view.selected_at = 0
        await self.come_back()

    async def come_back(self):
        """SELECT, and resynchronise what was known."""
        view = self.view
        if self.kind == QRESYNC:
            known = ""
            if self.rng.randrange(2) and view.v and view.v[-1].uid:
                known = f" 1:{view.v[-1].uid}"
            since, validity = view.held, view.uidvalidity
            view.select(again=True)
            await self.command(
                f"SELECT {self.called[self.box]} (QRESYNC ({validity} "
                f"{since}{known}))", Command("SELECT"))
            before, now = view.selected(), view.held
            words = self.rng.randrange(2) == 0
        else:
            before, since = view.known(), view.held
            await self.select()
            now, words = view.held, True
            if self.kind == CONDSTORE and since:  # RFC 4549 6.1
                await self.command(
                    f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since})",
                    Command("FETCH", uid=True))
                before |= view.known()
            else:
                before = {}
        await self.list_all(words)
        with self._checking("list"):
            view.resynchronised(before, now, self.kind == QRESYNC)

    # --- commands ---------------------------------------------------------

    async def list_all(self, words=False):
        items = "UID FLAGS EMAILID"
        if self.kind != PLAIN:
            items += " MODSEQ"
        if words:
            items += " BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
        await self.command(f"FETCH 1:* ({items})",
                           Command("FETCH", listing=True))

    async def noop(self):
        await self.command("NOOP", Command("NOOP"))

    async def store(self):
        op = self.rng.choice("+-=")
        if uids := self.some(removable=op == "="):
            await self.store_these(uids, *self.by_uid(), op,
                                   set(self.rng.choices(FLAGS, k=2)))

    async def store_these(self, uids, uid, by_uid, op, flags):
        silent = self.rng.randrange(2) == 0
        condition = ""
        if self.kind != PLAIN and self.rng.randrange(3) == 0:
            condition = f" (UNCHANGEDSINCE {self.view.held})"
        await self.command(
            f"{uid}STORE {self.set_of(uids, by_uid)}{condition} "
            f"{op.strip('=')}FLAGS{'.SILENT' if silent else ''} "
            f"({' '.join(flags)})",
            Command("STORE", uid=by_uid, targets=uids, op=op, flags=flags,
                    silent=silent))

    async def expunge(self):
        uids, what = self.some(removable=True), self.rng.randrange(8)
        if what == 0:
            await self.command("CLOSE", Command("CLOSE"))
            self.view.selected_at = 0
            await self.select()
        elif what < 3 or not uids:
            await self.command("EXPUNGE", Command("EXPUNGE"))
        elif what < 5:
            await self.command(f"UID EXPUNGE {self.set_of(uids, True)}",
                               Command("EXPUNGE", uid=True))
        else:
            self.world.removed |= {self.ledger.words[uid] for uid in uids}
            await self.store_these(uids, "UID ", True, "+", {"\\Deleted"})

    async def copy(self, move=False):
        uids, world, to = self.some(removable=True), self.world, self.other
        if not uids or world.count(to) > MESSAGES:
            return
        words = {uid: self.ledger.words[uid] for uid in uids}
        for word in words.values():
            world.coming(to, word)
            if move:
                world.moved.add((self.box, word))
        uid, by_uid = self.by_uid()
        command = Command("MOVE" if move else "COPY", uid=by_uid)
        done = await self.command(
            f"{uid}{command.name} {self.set_of(uids, by_uid)} "
            f"{self.called[to]}", command)
        found = re.search(r"\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]",
                          "\n".join([*command.said, done]))
        if not found:
            return
        with self._checking(found[0]):
            target = world.ledgers[to]
            target.is_validity(int(found[1]))
            for old, new in zip(uids_of(found[2]), uids_of(found[3]),
                                strict=True):
                target.learn(new, words[old], self.ledger.email_ids.get(old))
                world.came(to, words[old])

    async def move(self):
        await self.copy(move=True)

    async def append(self):
        world = self.world
        if world.count(self.box) > MESSAGES:
            return
        words = [world.word(kept=self.rng.randrange(20) == 0)
                 for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        text = ""
        for word in words:
            body = f"Subject: {word}\r\n\r\n" + "x" * 500 + "\r\n"
            text += f" ({self.rng.choice(FLAGS)}) {{{len(body)}+}}\r\n{body}"
            world.coming(self.box, word)
        done = await self.command(f"APPEND {self.called[self.box]}{text}",
                                  Command("APPEND"))
        with self._checking(done):
            found = re.match(r"OK \[APPENDUID (\d+) ([\d:,]+)\]", done)
            self.ledger.is_validity(int(found[1]))
            for word, uid in zip(words, uids_of(found[2]), strict=True):
                self.ledger.learn(uid, word)
                world.came(self.box, word)

    async def search(self):
        key = self.rng.choice(("UNSEEN", "KEYWORD one", "NOT DELETED",
                               "RETURN (ALL) FLAGGED"))
        uid, by_uid = self.by_uid()
        await self.command(f"{uid}SEARCH {key}",
                           Command("SEARCH", uid=by_uid))

    async def search_for(self, key):
        """UIDs."""
        command = Command("SEARCH", uid=True)
        await self.command(f"UID SEARCH {key}", command)
        return command.found

    async def save(self):
        await self.command("UID SEARCH RETURN (SAVE) NOT DELETED",
                           Command("SEARCH", uid=True))
        await self.command("UID FETCH $ (UID FLAGS)",
                           Command("FETCH", uid=True))

    async def fetch(self):
        uids, (uid, by_uid) = self.some(), self.by_uid()
        if uids:
            await self.command(
                f"{uid}FETCH {self.set_of(uids, by_uid)} (UID FLAGS EMAILID "
                "BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
                Command("FETCH", uid=by_uid))

    async def changed(self):
        if self.kind == PLAIN or self.view.held == 0:
            return
        vanished = " VANISHED" if self.kind == QRESYNC else ""
        await self.command(
            f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {self.view.held}"
            f"{vanished})", Command("FETCH", uid=True))

    async def idle(self):
        await self.idle_begin()
        await self.listen(self.rng.random() / 5)
        await self.idle_end()

    async def idle_begin(self):
        self.send("IDLE", Command("IDLE"))
        while not (text := await self.wire.line()).startswith("+"):
            self._untagged(text)

    async def listen(self, seconds):
        """What is told while idling."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self._untagged(await self.wire.line(left))
            except TimeoutError:
                return

    async def idle_end(self):
        self.wire.send("DONE\r\n")
        await self.end()

    async def step(self):
        does = {self.store: 30, self.expunge: 12, self.noop: 10,
                self.list_all: 6, self.copy: 4, self.move: 3, self.append: 4,
                self.search: 4, self.save: 2, self.fetch: 8, self.changed: 4,
                self.idle: 4, self.lose: 1, self.reselect: 2}
        await self.rng.choices(list(does), list(does.values()))[0]()
