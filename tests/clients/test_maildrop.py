"""Debian's maildrop delivers into mailboxes that a session has open, and both
keep account of one quota."""

import os
import pathlib
import pwd
import re
import subprocess

import pytest

import postern
from postern import JOE


@pytest.fixture
def maildrop(tmp_path):
    """Runs it as the user, with that quota: status and what it said."""
    tools = os.environ.get("COURIER_TOOLS")
    if tools is None:
        pytest.skip("Courier's programs are missing: no root, or no net")
    root = pathlib.Path(tools)
    libraries = ":".join(str(path) for path in
                         [root / "usr/lib",
                          *(root / "usr/lib").glob("*-linux-gnu")])
    filters = tmp_path / "filter"

    def run(server, quota, size, folder=""):
        maildir = server.maildir()
        filters.write_text(f'MAILDIRQUOTA="{quota}"\nto "{maildir / folder}"\n')
        filters.chmod(0o600)
        row = server.users[JOE]
        os.chown(filters, row["uid"], row["gid"])
        for path in [*filters.parents][:3]:
            path.chmod(0o755)
        text = "Subject: dropped\n\n" + "x" * (size - 19) + "\n"
        return subprocess.run(
            ["setpriv", f"--reuid={row['uid']}", f"--regid={row['gid']}",
             "--clear-groups", "--", "env", f"LD_LIBRARY_PATH={libraries}",
             f"HOME={maildir}", str(root / "usr/bin/maildrop"), filters],
            input=text, capture_output=True, text=True, timeout=postern.PATIENCE,
            check=False, cwd="/")
    return run


def quota(c):
    """Bytes (of 1024) and messages used."""
    text = "\n".join(c.ok("GETQUOTAROOT INBOX"))
    storage, messages = (re.search(rf"{name} (\d+) \d+", text)
                         for name in ("STORAGE", "MESSAGE"))
    return int(storage[1]), int(messages[1])


def test_into_an_open_mailbox(fresh, maildrop):
    server = fresh()
    # maildrop wants a user that passwd knows
    server.uid = next(e.pw_uid for e in pwd.getpwall()
                      if 100 <= e.pw_uid < 60000)
    server.add_user(quota="100000S,4C")
    server.deliver("Subject: first\n\nfirst\n")
    server.start()
    limit = "100000S,4C"
    with postern.imap(server) as c:
        c.ok("CREATE INBOX.f")
        assert "* 1 EXISTS" in c.ok("SELECT INBOX")
        # what Postfix delivered is counted at first sight, by us
        assert quota(c)[1] == 1
        done = maildrop(server, limit, 10240)
        assert done.returncode == 0, done.stderr
        assert "* 2 EXISTS" in c.ok("NOOP")
        # maildrop has counted it itself: not twice
        assert quota(c) == (11, 2)
        done = maildrop(server, limit, 10240, ".f/")
        assert done.returncode == 0, done.stderr
        assert quota(c) == (21, 3)
        # a message marked \\Deleted doesn't count, and maildrop sees that
        c.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert quota(c)[1] == 2
        for _ in range(2):
            assert maildrop(server, limit, 1024).returncode == 0
        assert "* 4 EXISTS" in c.ok("NOOP")
        assert quota(c)[1] == 4
        # it is full, for maildrop and for us
        done = maildrop(server, limit, 1024)
        assert done.returncode != 0 and "quota" in done.stderr.lower()
        c.send("a1 APPEND INBOX {5+}\r\nhello\r\n")
        while not (line := c.line()).startswith("a1 "):
            assert "EXISTS" not in line
        assert "OVERQUOTA" in line
        assert not [x for x in c.ok("NOOP") if "EXISTS" in x]
        # and has room again, for both
        c.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
        c.ok("EXPUNGE")
        assert maildrop(server, limit, 1024).returncode == 0
        assert "* 3 EXISTS" in c.ok("NOOP")
        used = quota(c)
    said = server.ctl("quota", "recount", JOE, "--commit").stdout
    counted, messages = re.search(r"(\d+) bytes in (\d+) messages",
                                  said).groups()
    assert used == (-(-int(counted) // 1024), int(messages))
