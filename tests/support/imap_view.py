"""What an IMAP client may believe of a mailbox, and whether it is told right.

A View is fed each line of a session's connection. For each sequence number it
keeps the UID, the flags and the mod-sequence that the session was told of, as
RFC 3501 and RFC 7162 let a client know them, and raises Violation where they
let no client understand what it is told. A Ledger holds what sessions of one
mailbox were told, in any process, and must agree about.
"""
import re
import time

PLAIN, CONDSTORE, QRESYNC = "plain", "condstore", "qresync"
# RFC 3501 7.4.1
NO_EXPUNGE = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD")


class Violation(AssertionError):
    pass


def uids_of(text):
    """The UIDs of a set, in its order."""
    for part in text.split(","):
        low, _, high = part.partition(":")
        yield from range(int(low), int(high or low) + 1)


class Ledger:
    """One mailbox, as all sessions together know it."""

    def __init__(self):
        self.uidvalidity = None
        self.email_ids = {}  # uid -> EMAILID
        self.words = {}      # uid -> the message's word
        self.gone = {}       # uid -> when a session was first told
        self.flags = {}      # (uid, modseq) -> flags
        self.modseqs = {}    # uid -> the highest told
        self.uidnext = 0     # the highest told
        self.highest = 0     # and of mod-sequences
        self.on_gone = None  # called with each UID that goes

    def same(self, table, key, value, what):
        known = table.setdefault(key, value)
        if known != value:
            raise Violation(f"{what} of {key}: {value}, was {known}")

    def is_validity(self, number):
        self.uidvalidity = self.uidvalidity or number
        if number != self.uidvalidity:
            raise Violation(f"UIDVALIDITY was {self.uidvalidity}")

    def learn(self, uid, word, email_id=None):
        """What APPENDUID or COPYUID tell."""
        self.uidnext = max(self.uidnext, uid + 1)
        self.same(self.words, uid, word, "word")
        if email_id is not None:
            self.same(self.email_ids, uid, email_id, "EMAILID")

    def went(self, uid):
        if uid not in self.gone:
            self.gone[uid] = time.monotonic()
            if self.on_gone is not None:
                self.on_gone(uid)


class Known:
    """A message, as far as one session was told."""

    __slots__ = ("uid", "flags", "modseq", "told")

    def __init__(self):
        self.uid = 0
        self.flags = None
        self.modseq = 0
        self.told = False  # its flags, in the command under way


class Command:
    """What matters of the command under way."""

    def __init__(self, name, uid=False, targets=(), op=None, flags=(),
                 silent=False, listing=False):
        self.name = name
        self.uid = uid
        self.targets = targets  # UIDs
        self.op = op            # + - = of a STORE
        self.flags = frozenset(flags)
        self.silent = silent
        self.listing = listing
        self.found = None       # numbers of a SEARCH
        self.said = []          # untagged OK


class View:
    def __init__(self, kind, ledger):
        self.kind = kind
        self.ledger = ledger
        self.v = []
        self.exists = 0
        self.command = None
        self.lost = False      # knows UIDs only, as after a reconnection
        self.closing = False   # what comes is of the mailbox before
        self.selected_at = 0
        self.base = 0          # as many messages had UIDs below uidnext
        self.uidnext = 0
        self.floor = (0, 0)    # UIDNEXT and HIGHESTMODSEQ are not below
        self.uidvalidity = None
        self.held = 0          # HIGHESTMODSEQ as a client may keep it
        self.told = 0
        self.news = 0          # changes told of
        self.quiet = False     # nobody changes anything

    # --- looking up -------------------------------------------------------

    def find(self, uid):
        """The index of a UID; None."""
        for k, m in enumerate(self.v):
            if m.uid == uid:
                return k
        return None

    def _unknown(self, uid):
        """A message of unknown UID, where that UID must be; of several it is
        the same which."""
        found = None
        for k, m in enumerate(self.v):
            if m.uid == 0:
                if (uid < self.uidnext) == (k < self.base):
                    found = k
            elif m.uid > uid:
                break
            else:
                found = None
        return found

    def picture(self):
        """What a session believes."""
        return {m.uid: m.flags for m in self.v}

    def known(self):
        """Copies of the messages with UID and flags, by UID."""
        found = {}
        for m in self.v:
            if m.uid and m.flags is not None:
                c = found[m.uid] = Known()
                c.uid, c.flags, c.modseq = m.uid, m.flags, m.modseq
        return found

    # --- being told -------------------------------------------------------

    def begin(self, command):
        self.command = command
        for m in self.v:
            m.told = False

    def _may_expunge(self):
        c = self.command
        if c is None:
            raise Violation("EXPUNGE and no command is under way")
        if c.name in NO_EXPUNGE and not c.uid:
            raise Violation(f"EXPUNGE during {c.name}")

    def _remove(self, k):
        if not 0 <= k < len(self.v):
            raise Violation("EXPUNGE of what isn't there")
        m = self.v.pop(k)
        if k < self.base:
            self.base -= 1
        if m.uid:
            self.ledger.went(m.uid)
        self.news += 1

    def _vanished(self, text):
        if self.kind != QRESYNC:
            raise Violation("VANISHED isn't enabled")
        earlier = text.startswith("(EARLIER) ")
        if earlier:
            text = text[10:]
        else:
            self._may_expunge()
        for uid in uids_of(text):
            k = self.find(uid)
            if k is None and not earlier:
                k = self._unknown(uid)
                if k is None:
                    raise Violation("VANISHED of what isn't there")
                self.v[k].uid = uid
            if k is not None and (not earlier or self.lost):
                self._remove(k)
            elif earlier and k is None:
                self.ledger.gone.setdefault(uid, time.monotonic())

    def _exists(self, n):
        if self.lost:
            self.exists = n
            return
        if n < len(self.v):
            raise Violation(f"EXISTS shrinks from {len(self.v)}")
        if n > len(self.v):
            self.news += 1
        while len(self.v) < n:
            self.v.append(Known())

    def _learn(self, k, uid):
        m = self.v[k]
        if m.uid == uid:
            return
        if m.uid:
            raise Violation(f"the number is another message's, {m.uid}")
        m.uid = uid
        self.ledger.uidnext = max(self.ledger.uidnext, uid + 1)
        before = next((x.uid for x in reversed(self.v[:k]) if x.uid), 0)
        after = next((x.uid for x in self.v[k + 1:] if x.uid), 1 << 32)
        if not before < uid < after:
            raise Violation(f"UIDs {before}, {uid}, {after}")
        if self.uidnext and (uid < self.uidnext) != (k < self.base):
            raise Violation(f"UIDNEXT was {self.uidnext} with {self.base} "
                            f"messages: UID {uid} as number {k + 1}")
        gone = self.ledger.gone.get(uid)
        if gone is not None and gone < self.selected_at:
            raise Violation(f"the expunged UID {uid} is back")

    def _fetch(self, seq, text):
        uid = re.search(r"\bUID (\d+)", text)
        uid = int(uid[1]) if uid else 0
        if self.lost:
            k = self.find(uid)
            if k is None:
                return
        else:
            k = seq - 1
        if not 0 <= k < len(self.v):
            raise Violation("FETCH of what isn't there")
        if uid:
            self._learn(k, uid)
        m = self.v[k]
        found = re.search(r"EMAILID \(([^)]*)\)", text)
        if found and m.uid:
            self.ledger.same(
                self.ledger.email_ids, m.uid, found[1], "EMAILID")
        found = re.search(r"\r\nSubject: (\S+)\r\n", text)
        if found and m.uid:
            self.ledger.same(self.ledger.words, m.uid, found[1], "word")
        self._fetch_flags(m, text)

    def _fetch_flags(self, m, text):
        modseq = re.search(r"MODSEQ \((\d+)\)", text)
        modseq = int(modseq[1]) if modseq else 0
        flags = re.search(r"FLAGS \(([^)]*)\)", text)
        if modseq:
            self.told = max(self.told, modseq)
            self.ledger.highest = max(self.ledger.highest, modseq)
            if modseq < m.modseq:
                raise Violation(f"the mod-sequence falls from {m.modseq}")
            most = self.ledger.modseqs.get(m.uid, 0)
            if self.quiet and modseq < most:
                raise Violation(f"the mod-sequence was {most}")
            if m.uid:
                self.ledger.modseqs[m.uid] = max(most, modseq)
        elif self.kind != PLAIN and flags and not self.command.listing \
                and self.command.name != "FETCH":
            raise Violation("no MODSEQ")  # RFC 7162 3.2.4
        if flags:
            flags = frozenset(flags[1].split()) - {"\\Recent"}
            if modseq and m.uid:
                self.ledger.same(
                    self.ledger.flags, (m.uid, modseq), flags, "flags")
            if m.flags != flags:
                if self.quiet and m.flags is not None:
                    raise Violation(f"wasn't told, thinks {set(m.flags)}")
                self.news += 1
            m.flags = flags
            m.told = True
        m.modseq = modseq or m.modseq

    def _selected(self, code, number):
        if code == "HIGHESTMODSEQ":
            self.held, self.told = number, 0
        elif code == "UIDVALIDITY":
            self.uidvalidity = number
            self.ledger.is_validity(number)
        elif code == "UIDNEXT":
            self.uidnext = number

    def line(self, text):
        """An untagged response, without its CRLF; literals are in it."""
        if self.closing and not text.startswith("* OK [CLOSED]"):
            return
        if text.startswith("* OK [CLOSED]"):
            self.closing = False
        found = re.match(r"\* OK \[(\w+) (\d+)\]", text)
        if found:
            self._selected(found[1], int(found[2]))
        found = re.match(r"\* (\d+) (EXISTS|EXPUNGE|FETCH)\b", text)
        if text.startswith("* OK "):
            self.command.said.append(text)
        if text.startswith("* BYE"):
            raise Violation("BYE")
        if text.startswith("* VANISHED "):
            self._vanished(text[11:])
        elif found and found[2] == "EXISTS":
            self._exists(int(found[1]))
        elif found and found[2] == "EXPUNGE":
            if self.kind == QRESYNC:  # RFC 7162 3.2.10
                raise Violation("EXPUNGE instead of VANISHED")
            self._may_expunge()
            self._remove(int(found[1]) - 1)
        elif found:
            self._fetch(int(found[1]), text)
        elif re.match(r"\* (SEARCH|ESEARCH)\b", text):
            self._search(text)

    def _search(self, text):
        c = self.command
        if text.startswith("* SEARCH"):
            c.found = {int(w) for w in
                       re.sub(r"\(MODSEQ \d+\)", "", text[8:]).split()}
        else:
            found = re.search(r" ALL ([\d:,]+)", text)
            c.found = set(uids_of(found[1])) if found else set()
        for number in c.found:
            if c.uid:
                k = self.find(number)
                k = self._unknown(number) if k is None else k
                if k is None:
                    raise Violation(f"UID {number} isn't in the mailbox")
            elif not 1 <= number <= len(self.v):
                raise Violation(f"{number} isn't in the mailbox")

    def tagged(self, text):
        """The end of a command, "OK …"."""
        c, self.command = self.command, None
        if text.startswith("BAD"):
            raise Violation(text)
        if c.op is not None:
            self._stored(c, text)
        code = re.search(r"\[HIGHESTMODSEQ (\d+)\]", text)
        # RFC 7162 6: what was told counts now that the command has ended
        self.held = int(code[1]) if code else max(self.held, self.told)
        self.told = 0
        return text

    def _stored(self, c, text):
        """What a client thinks that its STORE has done."""
        found = re.search(r"\[MODIFIED ([\d:,]+)\]", text)
        kept = set(uids_of(found[1])) if found else set()
        for uid in c.targets:
            k = self.find(uid)
            if k is None or self.v[k].told:
                continue
            m = self.v[k]
            if not text.startswith("OK"):
                m.flags = None
            elif (uid if c.uid else k + 1) in kept or m.flags is None or \
                    not c.silent:
                continue
            elif c.op == "+":
                m.flags = m.flags | c.flags
            elif c.op == "-":
                m.flags = m.flags - c.flags
            else:
                m.flags = c.flags

    # --- selecting, and losing the connection -----------------------------

    def select(self, again=False):
        """A SELECT begins; again: with QRESYNC, from what is known."""
        self.lost = again
        self.closing = self.selected_at != 0
        self.selected_at = time.monotonic()
        self.told = self.uidnext = self.base = 0
        self.floor = self.ledger.uidnext, self.ledger.highest
        if again:
            # no cache has what it knows no UID or flags of
            self.v = [m for m in self.v if m.uid and m.flags is not None]
            for m in self.v:
                m.modseq = 0
        else:
            self.v = []
            self.held = 0

    def selected(self):
        """It was OK. Of a client that comes back: what it knows, by UID; its
        numbers are new."""
        if self.uidnext < self.floor[0]:
            raise Violation(f"UIDNEXT was {self.floor[0]}")
        if self.held < self.floor[1]:
            raise Violation(f"HIGHESTMODSEQ was {self.floor[1]}")
        self.ledger.uidnext = max(self.ledger.uidnext, self.uidnext)
        self.ledger.highest = max(self.ledger.highest, self.held)
        before = {m.uid: m for m in self.v}
        if self.lost:
            self.v = [Known() for _ in range(self.exists)]
        self.lost = False
        self.base = len(self.v)
        return before

    def resynchronised(self, before, held, vanished):
        """A list of all has come after QRESYNC or CHANGEDSINCE told what was
        new, up to a mod-sequence: it must agree."""
        now = {m.uid: m for m in self.v}
        for uid, m in before.items():
            if uid not in now:
                # it may have gone since, and is to be told of
                if vanished and self._unknown(uid) is None:
                    raise Violation(f"wasn't told that UID {uid} went")
            elif now[uid].modseq <= held and m.flags != now[uid].flags:
                raise Violation(f"wasn't told of the flags of UID {uid}: "
                                f"{set(m.flags)} {set(now[uid].flags)}")
