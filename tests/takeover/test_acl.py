"""Courier's ACL commands (ACL2=UNION): the same answers as Debian's imapd."""
import os
import re
import shutil
import subprocess

import postern
import servers

COMMANDS = r"""
CREATE INBOX.a
CREATE INBOX.a.b
ACL STORE INBOX.a user=bob lr
ACL STORE INBOX.a user=bob +s
ACL STORE INBOX.a user=bob -l
ACL STORE INBOX.a -user=bob w
ACL STORE INBOX.a anyone l
ACL SET INBOX.a owner aceilrstwx administrators aceilrstwx user=ann lrs
ACL DELETE INBOX.a user=ann
ACL DELETE INBOX.a user=none
ACL STORE (INBOX.a INBOX.a.b) user=joe lr
LIST (ACL MYRIGHTS) "" "*"
LIST (ACL) "" "INBOX.a"
LIST (MYRIGHTS) "" "INBOX.a"
LIST (NO MYRIGHTS) "" "INBOX.a"
LIST () "" "INBOX.a"
LSUB (ACL) "" "*"
ACL GET INBOX.a
ACL LIST INBOX.a
ACL MYRIGHTS INBOX.a
ACL LISTRIGHTS INBOX.a owner
ACL FOO INBOX.a
GETACL INBOX.a
MYRIGHTS INBOX.a
""".strip().split("\n")


def talk(argv, **kwargs):
    """The lines of the answer to each command, by its tag."""
    said = "".join(f"a{n} {c}\r\n" for n, c in enumerate(COMMANDS))
    done = subprocess.run(argv, input=(said + "z LOGOUT\r\n").encode(),
                          capture_output=True, check=False, timeout=60,
                          **kwargs)
    answers, lines = [], []
    for line in done.stdout.decode().split("\r\n"):
        tag = f"a{len(answers)} "
        if line.startswith(tag):
            # Courier forgets to say BAD to an unknown word of ACL
            word = line[len(tag):].split(" ")[0]
            answers.append((sorted(lines), "BAD" if word == "ACL" else word))
            lines = []
        elif line.startswith("* ") and "PREAUTH" not in line:
            lines.append(plain(line))
    assert len(answers) == len(COMMANDS), done
    return answers


def plain(line):
    """Without attributes, and rights in the letters of RFC 2086."""
    line = re.sub(r"LIST \([^)]*\)", "LIST ()", line)
    return re.sub(r'"([acdeiklrstwx]+)"', lambda m: '"' + "".join(
        c for c in m.group(1) if c not in "ektx") + '"', line)


def test_the_same_as_courier(courier, home):
    path = home / "Maildir"
    courier.run("maildirmake.courier", str(path))
    theirs = talk(courier.argv(courier.imap_command, **courier.environment()))
    shutil.rmtree(path)
    ours = talk(["setpriv", f"--reuid={servers.UID}", f"--regid={servers.UID}",
                 "--clear-groups", postern.program("imapd"), "Maildir"],
                cwd=home, env={**os.environ, "AUTHENTICATED": "joe",
                               "MAILDIR": "Maildir", "HOME": str(home)})
    for command, a, b in zip(COMMANDS, theirs, ours):
        assert a == b, command
