"""pop3d on standard input and output, beside Courier's own."""
import os
import re
import subprocess

import postern
import pytest
import servers

TEXT = b"Subject: %d\n\n.dot\nlast\n"
ASKED = b"""STAT
LIST
LIST 2
LIST 9
UIDL
UIDL 1
TOP 1 1
RETR 2
NOOP
DELE 1
DELE 1
RETR 1
RSET
DELE 2
USER joe
STLS
QUIT
""".replace(b"\n", b"\r\n")


def fill(maildir):
    for sub in ("new", "tmp", "cur"):
        (maildir / sub).mkdir(parents=True, exist_ok=True)
    for n in range(1, 4):
        (maildir / "cur" / f"{1700000000 + n}.M1P1.host:2,").write_bytes(
            TEXT % n)
    for path in [maildir, *maildir.rglob("*")]:
        os.chown(path, servers.UID, servers.UID)


def of_postern(courier, *arguments, asked=ASKED, **env):
    etc = courier.maildir.parent.parent / "conf"
    etc.mkdir(exist_ok=True)
    (etc / "postern").write_text("LOG=/dev/null\n")
    argv = courier.argv([postern.program("pop3d"), "-c", str(etc),
                         *arguments], **env)
    return subprocess.run(argv, input=asked, capture_output=True)


def of_courier(courier, *arguments, asked=ASKED, **env):
    argv = courier.argv([courier.pop3_command[0], *arguments], **env)
    return subprocess.run(argv, input=asked, capture_output=True)


def essence(said):
    """The lines without the words of a status."""
    text = re.sub(rb"(?m)^(\+OK \d+ \d+|\+OK \d+ UID\S+|\+OK|-ERR).*\r$",
                  rb"\1", said)
    # octets of RETR, which the two tell in words of their own
    return text.replace(b"\r", b"").decode().splitlines()


def test_the_same_dialogue(courier):
    fill(courier.maildir)
    theirs = of_courier(courier, "Maildir", AUTHENTICATED="joe")
    left = sorted(p.name for p in (courier.maildir / "cur").iterdir())
    assert len(left) == 2
    for path in (courier.maildir / "cur").iterdir():
        path.unlink()
    fill(courier.maildir)
    ours = of_postern(courier, "Maildir", AUTHENTICATED="joe")
    assert theirs.returncode == ours.returncode == 0
    assert essence(ours.stdout) == essence(theirs.stdout)
    assert sorted(p.name for p in (courier.maildir / "cur").iterdir()) == left


@pytest.mark.parametrize("arguments,env", [
    (["Maildir"], {}), ([], {"MAILDIR": "Maildir"}), ([], {}),
    (["Maildir"], {"MAILDIR": "/nonexistent"})])
def test_the_same_maildir(courier, arguments, env):
    fill(courier.maildir)
    for program in of_courier, of_postern:
        said = program(courier, *arguments, asked=b"STAT\r\n", **env)
        assert essence(said.stdout) == ["+OK", "+OK 3 78"], program
        assert said.returncode == 0
