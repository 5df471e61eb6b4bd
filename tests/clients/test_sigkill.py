"""SIGKILL at random under load: of everything, and of one worker.

Clients write down what they were told; afterwards the server is started again
and must agree. POSTERN_LONG=1 for many rounds instead of a few; a failure
prints the seed, which POSTERN_SEED sets.
"""
import collections
import contextlib
import os
import random
import re
import signal
import threading
import time

import postern

LONG = bool(os.environ.get("POSTERN_LONG"))
ROUNDS = 150 if LONG else 3
SEED = int(os.environ.get("POSTERN_SEED", random.randrange(1 << 30)))
BOXES = ("INBOX", "INBOX.a")


class Told:
    """What the clients of one account were told."""

    def __init__(self, user):
        self.user = user
        self.lock = threading.Lock()
        self.n = 0
        self.here = {}     # (box, uid) -> word: acknowledged, not yet left
        self.ever = {}     # (box, uid) -> word
        self.leaving = set()
        self.gone = set()
        self.moving = {}   # word -> whether it arrived
        self.together = []  # words of one APPEND that is under way
        self.counts = collections.Counter()
        self.flags = {}    # (box, uid) -> acknowledged flags
        self.validity = {}
        self.modseq = {}
        self.tried = set()

    def word(self):
        with self.lock:
            self.n += 1
            word = f"{self.user.split('@')[0]}-{os.getpid()}-{self.n}"
            self.tried.add(word)
            return word

    def came(self, box, validity, uid, word):
        with self.lock:
            assert self.validity.setdefault(box, validity) == validity
            key = box, uid
            assert self.ever.get(key, word) == word, key
            self.ever[key] = word
            self.here[key] = word

    def pick(self, rng, box):
        with self.lock:
            mine = [k for k in self.here
                    if k[0] == box and k not in self.leaving]
            return rng.choice(mine) if mine else None


def append(c, told, box):
    word = told.word()
    text = (f"Subject: {word}\r\n\r\n" + "x" * 2000 + f"\r\n{word} end\r\n")
    done = c.imap(f"APPEND {box} {{{len(text)}+}}\r\n{text}")[-1]
    found = re.search(r"OK \[APPENDUID (\d+) (\d+)\]", done)
    if found:
        told.came(box, int(found[1]), int(found[2]), word)


def append_several(c, told, rng, box):
    """RFC 3502: all of them, or none."""
    words = [told.word() for _ in range(rng.randrange(2, 5))]
    texts = [f"Subject: {w}\r\n\r\n" + "x" * 500 + f"\r\n{w} end\r\n"
             for w in words]
    with told.lock:
        told.together.append(words)
        told.counts["begun"] += 1
    done = c.imap(f"APPEND {box}" + "".join(
        f" {{{len(text)}+}}\r\n{text}" for text in texts))[-1]
    found = re.search(r"OK \[APPENDUID (\d+) ([\d:,]+)\]", done)
    if not found:
        return
    uids = [uid for part in found[2].split(",")
            for uid in range(int(part.split(":")[0]),
                             int(part.split(":")[-1]) + 1)]
    assert len(uids) == len(words), (found[0], words)
    for uid, word in zip(uids, words):
        told.came(box, int(found[1]), uid, word)
    with told.lock:
        told.together.remove(words)


def copy(c, told, rng, box, move):
    key = told.pick(rng, box)
    if key is None:
        return
    to = BOXES[1 - BOXES.index(box)]
    word = told.ever[key]
    if move:
        with told.lock:
            told.leaving.add(key)
            told.moving[word] = to
    lines = c.imap(f"UID {'MOVE' if move else 'COPY'} {key[1]} {to}")
    found = re.search(r"\[COPYUID (\d+) (\d+) (\d+)\]", " ".join(lines))
    if not re.match(r"t\d+ OK", lines[-1]) or not found:
        return
    told.came(to, int(found[1]), int(found[3]), word)
    if move:
        with told.lock:
            told.here.pop(key, None)
            told.gone.add(key)
            told.moving.pop(word, None)


def seen(lines, uid):
    """Whether a session answered for the message: to one that it hasn't seen
    yet UID STORE says OK and does nothing."""
    return re.match(r"t\d+ OK", lines[-1]) and any(
        re.match(rf"\* \d+ FETCH \(.*\bUID {uid}\b", line)
        for line in lines)


def store(c, told, rng, box):
    key = told.pick(rng, box)
    if key is None:
        return
    flag = rng.choice(["\\Answered", "\\Flagged", "Word"])
    lines = c.imap(f"UID STORE {key[1]} +FLAGS ({flag})")
    if seen(lines, key[1]):
        with told.lock:
            told.flags.setdefault(key, set()).add(flag)


def expunge(c, told, rng, box):
    key = told.pick(rng, box)
    if key is None or len(told.here) < 10:
        return
    with told.lock:
        told.leaving.add(key)
    if not seen(c.ok(f"UID STORE {key[1]} +FLAGS (\\Deleted)"), key[1]):
        return
    c.ok(f"UID EXPUNGE {key[1]}")
    with told.lock:
        told.here.pop(key, None)
        told.gone.add(key)


def client(server, told, seed, stop, ended):
    """Work until the connection breaks; stop: and then not even begin."""
    rng = random.Random(seed)
    try:
        with contextlib.suppress(OSError, AssertionError):
            with postern.imap(server, told.user) as c:
                while not stop.is_set():
                    box = rng.choice(BOXES)
                    c.ok(f"SELECT {box}")
                    for _ in range(rng.randrange(1, 6)):
                        rng.choice([
                            lambda: append(c, told, box),
                            lambda: append(c, told, box),
                            lambda: append_several(c, told, rng, box),
                            lambda: copy(c, told, rng, box, False),
                            lambda: copy(c, told, rng, box, True),
                            lambda: store(c, told, rng, box),
                            lambda: expunge(c, told, rng, box)])()
    finally:
        ended.append(told.user)


def look(server, told):
    """All that is there: (box, uid) -> (word, flags)."""
    there = {}
    with postern.imap(server, told.user) as c:
        for box in BOXES:
            lines = c.ok(f"SELECT {box}")
            text = "\n".join(lines)
            validity = int(re.search(r"UIDVALIDITY (\d+)", text)[1])
            assert told.validity.setdefault(box, validity) == validity
            uidnext = int(re.search(r"UIDNEXT (\d+)", text)[1])
            modseq = re.search(r"HIGHESTMODSEQ (\d+)", text)
            if modseq:
                assert int(modseq[1]) >= told.modseq.get(box, 0), box
                told.modseq[box] = int(modseq[1])
            for line in c.ok("FETCH 1:* (UID FLAGS BODY.PEEK[])"):
                head = re.match(r"\* \d+ FETCH \(UID (\d+) FLAGS \((.*?)\)",
                                line)
                if head:
                    uid, flags = int(head[1]), set(head[2].split())
                    assert uid < uidnext
                    word = None
                if line.startswith("Subject: "):
                    word = line[9:]
                if re.search(r" end$", line):
                    assert line == f"{word} end"
                    there[box, uid] = word, flags
    return there


def check(server, told):
    there = look(server, told)
    words = {}
    for (box, _), (word, _) in there.items():
        assert word in told.tried, word
        words.setdefault(word, set()).add(box)
    for key, (word, _) in there.items():
        assert told.ever.get(key, word) == word, ("I3", key)
        assert key not in told.gone, ("I8", key)
    for key, word in told.here.items():
        if key not in told.leaving:
            assert key in there, ("I1", key, word)
            assert told.flags.get(key, set()) <= there[key][1], ("I5", key)
    for word in told.moving:
        assert word in words, ("I2", word)
    for those in told.together:
        assert len({word in words for word in those}) == 1, ("all", those)
        told.counts["there" if those[0] in words else "not there"] += 1
    told.together.clear()
    # what was under way is now as it is
    told.moving.clear()
    told.leaving.clear()
    for key, (word, _) in there.items():
        told.ever[key] = word
    told.here = {key: word for key, (word, _) in there.items()}


def report(accounts):
    """For the long run, which is told of in docs/storage.md."""
    total = sum((told.counts for told in accounts), collections.Counter())
    print(f"rounds: {ROUNDS}, messages: {progress(accounts)}, APPENDs of "
          f"several: {total['begun']}, cut: {total['there']} all there, "
          f"{total['not there']} not")


def kill_all(server):
    below = [pid for pid, _ in server.children()]
    process = server.processes.pop("posternd")
    for pid in [process.pid] + below:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)
    # the last of them holds the listening sockets
    postern.wait_for(
        lambda: not any(os.path.exists(f"/proc/{pid}/fd/0") for pid in below),
        "all have gone")


def begin(server, accounts, rng):
    stop, ended = threading.Event(), []
    threads = [
        threading.Thread(target=client, args=(
            server, told, rng.randrange(1 << 30), stop, ended))
        for told in accounts for _ in range(2)]
    for thread in threads:
        thread.start()
    return stop, ended, threads


def progress(accounts):
    return sum(told.n for told in accounts)


def wait_progress(accounts, n):
    before = progress(accounts)
    postern.wait_for(lambda: progress(accounts) >= before + n,
                     "clients get on", 60)


def accounts_of(server, users):
    for user in users:
        server.add_user(user)
    server.start()
    for user in users:
        with postern.imap(server, user) as c:
            c.ok("CREATE INBOX.a")
    return [Told(user) for user in users]


def test_everything_is_killed(fresh):
    print(f"POSTERN_SEED={SEED}")
    rng = random.Random(SEED)
    server = fresh()
    accounts = accounts_of(server, [postern.JOE, postern.ANN])
    for _ in range(ROUNDS):
        stop, _, threads = begin(server, accounts, rng)
        wait_progress(accounts, rng.randrange(5, 40))
        # anywhere in what comes next
        time.sleep(rng.random() / 50)
        stop.set()
        kill_all(server)
        for thread in threads:
            thread.join(postern.PATIENCE)
            assert not thread.is_alive()
        server.start_server()
        for told in accounts:
            check(server, told)
    report(accounts)


def worker_of(server, user):
    """The worker that has the account's database open."""
    db = str(server.maildir(user) / "postern.db")
    for pid in server.workers():
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == db:
                        return pid
    return None


def test_one_worker_is_killed(fresh):
    """Its accounts go on by another; no other account notices."""
    rng = random.Random(SEED + 1)
    server = fresh(WORKERS=2)
    users = [f"user{i}@example.com" for i in range(6)]
    accounts = accounts_of(server, users)
    for _ in range(ROUNDS):
        stop, ended, threads = begin(server, accounts, rng)
        wait_progress(accounts, rng.randrange(10, 40))
        workers = {told.user: worker_of(server, told.user)
                   for told in accounts}
        victim = rng.choice([pid for pid in workers.values() if pid])
        os.kill(victim, signal.SIGKILL)
        others = [told for told in accounts
                  if workers[told.user] not in (victim, None)]
        if others:
            wait_progress(others, 5)
        assert not {told.user for told in others} & set(ended), \
            "none of their sessions has ended"
        stop.set()
        for thread in threads:
            thread.join(postern.PATIENCE)
            assert not thread.is_alive()
        for told in accounts:
            check(server, told)
    report(accounts)
    # the master's own line about it is no report of ours
    assert server.processes["posternd"].poll() is None
