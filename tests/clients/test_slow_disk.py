"""A disk that hangs while one account's mail is synced (support/hang.c)."""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

import postern
from postern import ANN, JOE, imap, wait_for

SOURCE = pathlib.Path(__file__).parents[1] / "support" / "hang.c"
# more than there are sync threads
MORE = 10
TEXT = "Subject: late\r\n\r\nbut not lost\r\n"


@pytest.fixture
def hanging(fresh, tmp_path_factory):
    """(server of one worker, the file that makes ANN's syncs hang)."""
    library = tmp_path_factory.mktemp("hang") / "hang.so"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                    SOURCE, "-ldl"], check=True)
    s = fresh(WORKERS=1)
    # where whoever runs it may read it
    place = s.base / "hang.so"
    place.write_bytes(library.read_bytes())
    place.chmod(0o755)
    flag = s.base / "hang"
    s.add_user(JOE)
    s.add_user(ANN)
    s.before["posternd"] = [
        "env", f"LD_PRELOAD={place}", f"HANG_WHILE={flag}",
        f"HANG_PATH={s.maildir(ANN)}"]
    original = s.environment

    def environment():
        env = original()
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return env
    s.environment = environment
    s.start()
    return s, flag


def send_append(c):
    c.send(f"x APPEND INBOX {{{len(TEXT)}+}}\r\n{TEXT}\r\n".encode())


def test_others_go_on(hanging):
    """Other accounts are served, by the same worker; who waits for the disk
    is answered late."""
    server, flag = hanging
    with contextlib.ExitStack() as stack:
        slow, reader, other, *more = [
            stack.enter_context(imap(server, user))
            for user in (ANN, ANN, JOE, *[ANN] * MORE)]
        for c in (reader, other):
            c.ok("SELECT INBOX")
        assert len(server.workers()) == 1
        flag.touch()
        try:
            for c in (slow, *more):
                send_append(c)
            wait_for(pathlib.Path(f"{flag}.seen").exists, "a sync hangs")
            for _ in range(3):
                other.ok(f"APPEND INBOX {{{len(TEXT)}+}}\r\n{TEXT}")
                other.ok(r"STORE 1:* +FLAGS (\Flagged)")
                assert any(TEXT.split()[1] in line for line in
                           other.ok("FETCH 1:* BODY[]"))
            other.ok("COPY 1 INBOX")
            other.ok(r"STORE 1:* +FLAGS (\Deleted)")
            other.ok("EXPUNGE")
            with imap(server, JOE) as new:
                assert new.ok("STATUS INBOX (MESSAGES)")
            # of the same account: what needs no sync
            reader.ok("NOOP")
            reader.ok("LIST \"\" *")
            slow.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                slow.sock.recv(1)
            slow.sock.settimeout(postern.PATIENCE)
        finally:
            flag.unlink()
        for c in (slow, *more):
            assert c.line().startswith("x OK [APPENDUID ")
        wait_for(lambda: f"* {1 + MORE} EXISTS" in reader.ok("NOOP"),
                 "they are there")


def test_who_leaves_meanwhile(hanging):
    """Its session ends before the disk answers: the message may be there or
    not, but whole; the worker goes on."""
    server, flag = hanging
    with imap(server, JOE) as other:
        with imap(server, ANN) as slow:
            slow.ok("SELECT INBOX")
            flag.touch()
            try:
                send_append(slow)
                wait_for(pathlib.Path(f"{flag}.seen").exists, "a sync hangs")
                slow.close()
                other.ok("NOOP")
            except BaseException:
                flag.unlink()
                raise
        flag.unlink()
        other.ok(f"APPEND INBOX {{{len(TEXT)}+}}\r\n{TEXT}")
    with imap(server, ANN) as again:
        again.ok("SELECT INBOX")
        for line in again.ok("FETCH 1:* RFC822.SIZE"):
            if "RFC822.SIZE" in line:
                assert f"RFC822.SIZE {len(TEXT)}" in line
        assert "OK" in again.imap(
            f"APPEND INBOX {{{len(TEXT)}+}}\r\n{TEXT}")[-1]


def test_after_a_kill(hanging):
    """What a killed worker left is seen to while others are served, and so is
    its own mailbox."""
    server, flag = hanging
    with imap(server, ANN) as c:
        for _ in range(3):
            c.ok(f"APPEND INBOX {{{len(TEXT)}+}}\r\n{TEXT}")
        os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_log("died by signal 9")
    flag.touch()
    try:
        with imap(server, ANN) as c, imap(server, JOE) as other:
            assert "* 3 EXISTS" in c.ok("SELECT INBOX")
            wait_for(pathlib.Path(f"{flag}.seen").exists, "a sync hangs")
            waited = []
            for _ in range(20):
                begun = time.monotonic()
                other.ok("NOOP")
                c.ok("NOOP")
                waited.append(time.monotonic() - begun)
            # most of them, as the machine may have others to serve
            assert sorted(waited)[10] < 0.05
            assert TEXT.split()[1] in "".join(c.ok("FETCH 1:3 BODY.PEEK[]"))
    finally:
        flag.unlink()
    with imap(server, ANN) as c:
        c.ok("SELECT INBOX")
        assert TEXT.split()[1] in "".join(c.ok("FETCH 1:3 BODY.PEEK[]"))
