"""posternctl mailbox status, rescan, rebuild and quota recount."""
import os
import pathlib
import re
import sqlite3
import subprocess

import pytest

import postern
import waiting
from postern import JOE


def test_status_and_rescan(fresh):
    server = fresh()
    server.add_user()
    server.deliver()
    server.start()
    said = server.ctl("mailbox", "status", JOE).stdout
    assert said == f"{JOE}: no index yet\n"
    server.deliver()
    with postern.imap(server) as c:
        c.ok("SELECT INBOX")
        c.ok("CREATE INBOX.a")
    server.deliver()
    said = server.ctl("mailbox", "status", JOE).stdout.splitlines()
    assert len(said) == 2
    assert re.fullmatch(
        rf"{JOE}: INBOX: 2 messages, uidvalidity \d+, uidnext 3, "
        r"highestmodseq \d+; 3 files: 1 new, 0 missing, 0 changed", said[0])
    assert said[1].startswith(f"{JOE}: INBOX.a: 0 messages")
    said = server.ctl("mailbox", "rescan", JOE, "INBOX").stdout
    assert "1 new" in said and "Nothing was changed" in said
    said = server.ctl("mailbox", "rescan", "--all", "--commit").stdout
    assert "INBOX: 3 messages" in said and "1 new" not in said
    assert "Nothing" not in said
    said = server.ctl("mailbox", "status", JOE, "INBOX.b", check=False)
    assert said.returncode == 1 and "no such mailbox" in said.stderr
    for words in (["mailbox"], ["mailbox", "rescan"], ["mailbox", "mend", JOE],
                  ["mailbox", "status", JOE, "INBOX", "--commit"],
                  ["quota", "recount", JOE, "INBOX"], ["quota"]):
        said = server.ctl(*words, check=False)
        assert said.returncode == 1 and "usage:" in said.stderr, words


def test_a_maildir_that_may_not_be_read(fresh):
    server = fresh().start()
    server.add_user()
    server.deliver()
    box = server.maildir()
    for path in (box, box.parent):
        mode = path.stat().st_mode
        path.chmod(0)
        for words in (["mailbox", "status", JOE], ["export", JOE]):
            said = server.ctl(*words, check=False)
            path.chmod(mode)
            assert said.stdout == ""
            assert said.stderr == (
                f"posternctl: {JOE}: {box}/: Permission denied\n")
            assert said.returncode == 1
            path.chmod(0)
        path.chmod(mode)
    for path in sorted(box.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    box.rmdir()
    said = server.ctl("mailbox", "status", JOE)
    assert said.stdout == f"{JOE}: no Maildir yet\n"


def test_arguments_that_are_too_long(fresh):
    server = fresh().start()
    said = server.ctl("kick", "1", 5000 * "x", check=False)
    assert said.returncode == 1
    assert said.stderr == (
        "posternctl: arguments of more than 4096 bytes\n")
    said = server.ctl("kick", 4000 * "x", check=False)
    assert said.returncode == 1
    assert "4096" not in said.stderr


def uids(server):
    with postern.imap(server) as c:
        lines = c.ok("SELECT INBOX")
        validity = re.search(r"UIDVALIDITY (\d+)", "\n".join(lines))[1]
        found = [re.search(r"UID (\d+)", line)[1]
                 for line in c.ok("FETCH 1:* (UID)") if "FETCH (" in line]
        return int(validity), found


def test_rebuild(fresh):
    server = fresh(EXPORT_COURIER=0)
    server.add_user()
    server.deliver()
    server.deliver()
    server.start()
    before = uids(server)
    index = server.maildir() / "postern.db"
    inode = index.stat().st_ino
    said = server.ctl("mailbox", "rebuild", JOE).stdout
    assert "would be set aside" in said and "Nothing was changed" in said
    assert index.stat().st_ino == inode and uids(server) == before
    # a worker has it open
    said = server.ctl("mailbox", "rebuild", JOE, "--commit", check=False)
    assert said.returncode == 1 and "have the database open" in said.stderr
    assert index.stat().st_ino == inode
    server.stop_one("posternd")
    said = server.ctl("mailbox", "rebuild", JOE, "--commit").stdout
    assert f"{JOE}: INBOX: 2 messages" in said
    assert list(server.maildir().glob("postern.db.damaged-*"))
    assert index.stat().st_ino != inode
    server.start_server()
    after = uids(server)
    assert after[0] > before[0] and len(after[1]) == 2


def sleeps(pid):
    """How often this process has slept."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"\nvoluntary\D+(\d+)", status)[1])
    except (OSError, TypeError):  # it has ended
        return 0


def has_open(pid, path):
    try:
        return any(os.readlink(fd) == str(path)
                   for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def ask_while_held(server, release):
    """What `mailbox status` says that found the database taken."""
    index = server.maildir() / "postern.db"
    worker = sqlite3.connect(index, isolation_level=None)
    worker.execute("BEGIN IMMEDIATE")
    ctl = subprocess.Popen(
        server.as_user([postern.program("posternctl"), "-c", server.conf,
                        "mailbox", "status", JOE, "INBOX"]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        env=server.environment())
    first = {}

    def waits():
        """It sleeps again and again, far more often than to read a page, from
        when it was first seen to have the database open on: it has not at
        every moment."""
        assert ctl.poll() is None, ctl.communicate()
        for pid in (ctl.pid, *waiting.below(ctl.pid)):
            if pid not in first and has_open(pid, index):
                first[pid] = sleeps(pid)
        return any(sleeps(pid) - n > 30 for pid, n in first.items())
    postern.wait_for(waits, "posternctl waiting for the database")
    if release:
        worker.execute("ROLLBACK")
    out, err = ctl.communicate(timeout=postern.PATIENCE)
    worker.close()
    return ctl.returncode, out, err


def test_waits_for_a_worker(fresh):
    server = fresh()
    server.add_user()
    server.deliver()
    server.start()
    uids(server)
    code, out, err = ask_while_held(server, release=True)
    assert code == 0 and not err and "INBOX: 1 messages" in out


@pytest.mark.skipif(not os.environ.get("POSTERN_LONG"), reason="takes 5 s")
def test_gives_up_on_a_worker(fresh):
    server = fresh()
    server.add_user()
    server.deliver()
    server.start()
    uids(server)
    code, out, err = ask_while_held(server, release=False)
    assert code == 1 and not out
    assert "busy" in err and "try again later" in err


def test_quota_recount(fresh):
    server = fresh()
    server.add_user()
    server.deliver()
    server.start()
    said = server.ctl("quota", "recount", JOE).stdout
    assert said.startswith(f"{JOE}: no quota\n")
    size = sum(p.stat().st_size
               for p in (server.maildir() / "new").iterdir())
    file = server.maildir() / "maildirsize"
    file.write_text("1000000S,100C\n 9 9\n")
    server.chown_all()
    said = server.ctl("quota", "recount", JOE).stdout
    assert f"{size} bytes in 1 messages; maildirsize says 9 in 9" in said
    assert file.read_text() == "1000000S,100C\n 9 9\n"
    said = server.ctl("quota", "recount", "--all", "--commit").stdout
    assert "written" in said and "Nothing" not in said
    first, rest = file.read_text().split("\n", 1)
    assert first == "1000000S,100C" and rest.split() == [str(size), "1"]
