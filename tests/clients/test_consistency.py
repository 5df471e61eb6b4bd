"""Many sessions, a delivering MTA and a foreign program change one mailbox.

Sessions of one account in the server's worker, of another account that the
mailbox is shared with (in another worker), of imapd on their own (a worker
each) and of POP3 do random things to INBOX and to a second mailbox, while files
are delivered, renamed and removed beside them, and maildirkw gives keywords.
Each session's view is checked with each line that it is told (imap_view.py),
and when all is quiet against the others' and the directory. No session may be
dropped; nothing may go that nobody removed, no keyword either.

POSTERN_SECONDS: for so long; POSTERN_LONG=1: ten minutes. POSTERN_SEED: as a
failure tells.
"""
import asyncio
import os
import random

import crowd_check
import postern
import pytest
from imap_view import (CONDSTORE, PLAIN, QRESYNC, Command, Ledger, View,
                       Violation)
from postern import ANN, JOE

SECONDS = float(os.environ.get(
    "POSTERN_SECONDS", 600 if os.environ.get("POSTERN_LONG") else 4))
SEED = int(os.environ.get("POSTERN_SEED", random.randrange(1 << 30)))


@pytest.fixture
def account(directory):
    s = postern.Server(directory / "many", WORKERS=4, ACCOUNT_IDLE_TIME=1)
    index = s.base / "index"
    s.set("imapd", IMAP_SHAREDINDEXFILE=index)
    s.set("pop3d", MAXPERIP=50)
    # two that aren't served by the same worker
    for email in (JOE, ANN):
        s.add_user(email)
    index.write_text("".join(
        "\t".join([email, str(row["uid"]), "0", row["homedir"],
                   row["maildir"]]) + "\n" for email, row in s.users.items()))
    with s:
        yield s


def test_views(account, tmp_path):
    print(f"POSTERN_SEED={SEED}")
    asyncio.run(crowd_check.run(account, SEED, SECONDS, tmp_path / "trace"))


# What must be noticed, if a server did it: two messages, then these lines.
WRONG = {
    "a number that isn't there": (PLAIN, "NOOP", ["* 3 EXPUNGE"]),
    "EXPUNGE during FETCH": (PLAIN, "FETCH", ["* 1 EXPUNGE"]),
    "EXPUNGE instead of VANISHED": (QRESYNC, "NOOP", ["* 1 EXPUNGE"]),
    "VANISHED that isn't enabled": (CONDSTORE, "NOOP", ["* VANISHED 5"]),
    "VANISHED during STORE": (QRESYNC, "STORE", ["* VANISHED 5"]),
    "VANISHED of none": (QRESYNC, "NOOP", ["* VANISHED 6"]),
    "fewer without EXPUNGE": (PLAIN, "NOOP", ["* 1 EXISTS"]),
    "another UID": (PLAIN, "FETCH", ["* 2 FETCH (UID 8)"]),
    "UIDs that don't ascend": (
        PLAIN, "NOOP", ["* 3 EXISTS", "* 3 FETCH (UID 6)"]),
    "a new message below UIDNEXT": (
        PLAIN, "NOOP", ["* 3 EXISTS", "* 3 FETCH (UID 8)"]),
    "a UID given again": (PLAIN, "NOOP", [
        "* 2 EXPUNGE", "* 2 EXISTS", "* 2 FETCH (UID 7)"]),
    "another EMAILID": (PLAIN, "FETCH", [
        "* 1 FETCH (UID 5 EMAILID (M1))", "* 1 FETCH (UID 5 EMAILID (M2))"]),
    "a mod-sequence that falls": (CONDSTORE, "NOOP", [
        "* 1 FETCH (UID 5 FLAGS (x) MODSEQ (9))",
        "* 1 FETCH (UID 5 FLAGS (y) MODSEQ (8))"]),
    "other flags, the same mod-sequence": (CONDSTORE, "NOOP", [
        "* 1 FETCH (UID 5 FLAGS (x) MODSEQ (9))",
        "* 1 FETCH (UID 5 FLAGS (y) MODSEQ (9))"]),
    "no mod-sequence": (CONDSTORE, "NOOP", ["* 1 FETCH (UID 5 FLAGS (x))"]),
    "UIDVALIDITY": (PLAIN, "NOOP", ["* OK [UIDVALIDITY 2] Ok"]),
    "BYE": (PLAIN, "NOOP", ["* BYE Sorry"]),
    "SEARCH beyond the end": (PLAIN, "SEARCH", ["* SEARCH 1 3"]),
}


@pytest.mark.parametrize("kind, name, lines", WRONG.values(), ids=WRONG)
def test_the_check_itself(kind, name, lines):
    view = View(kind, Ledger())
    view.select()
    view.begin(Command("SELECT"))
    for line in ("* 2 EXISTS", "* OK [UIDVALIDITY 1] Ok",
                 "* OK [UIDNEXT 9] Ok", "* OK [HIGHESTMODSEQ 3] Ok"):
        view.line(line)
    view.tagged("OK")
    view.selected()
    view.begin(Command("FETCH", listing=True))
    view.line("* 1 FETCH (UID 5 FLAGS ())")
    view.line("* 2 FETCH (UID 7 FLAGS ())")
    view.tagged("OK")
    view.begin(Command(name))
    with pytest.raises(Violation):
        for line in lines:
            view.line(line)
