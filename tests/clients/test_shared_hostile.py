"""What one account may learn of, and do to, another one: nothing but what
lists allow, whatever the command and the name."""
import os
import re

import imapline
import postern
import pytest
from postern import ANN, JOE, PASSWORD

HIS = "#shared.joe@example com"
TEXT = b"Subject: x\r\n\r\nx\r\n"


@pytest.fixture(scope="module")
def shared(directory):
    server = postern.Server(directory / "s", WORKERS=4)
    index = server.base / "index"
    server.set("imapd", IMAP_SHAREDINDEXFILE=index)
    lines = []
    for email, quota in ((JOE, "2000S"), (ANN, "100000S")):
        server.add_user(email, quota=quota)
        lines.append("\t".join([email, str(server.uid or os.geteuid()), "0",
                                str(server.home),
                                server.users[email]["maildir"]]))
    index.write_text("\n".join(lines) + "\n")
    with server:
        yield server


@pytest.fixture(scope="module")
def joe(shared):
    with imapline.Client(shared.port["imapd"], JOE, PASSWORD) as c:
        for name in ("Secret", "Open", "In"):
            c.ok(f"CREATE INBOX.{name}")
        c.ok(f"SETACL INBOX.Open {ANN} lr")
        c.ok(f"SETACL INBOX.In {ANN} lri")
        c.append("INBOX.Secret", TEXT)
        c.append("INBOX.Open", TEXT)
        yield c


@pytest.fixture(scope="module")
def ann(shared, joe):
    del joe
    with imapline.Client(shared.port["imapd"], ANN, PASSWORD) as c:
        c.ok("CREATE INBOX.own")
        c.append("INBOX", TEXT)
        yield c


def tree(shared):
    """All names of Joe's Maildir, and around both, but for the database."""
    found = set()
    for folder, dirs, files in os.walk(shared.base / "vmail"):
        if "/ann" in folder:
            continue
        for name in dirs + files:
            if not name.startswith("postern."):
                found.add(os.path.join(folder, name))
    return found


# {}: the mailbox
COMMANDS = [
    'SELECT "{}"', 'EXAMINE "{}"', 'STATUS "{}" (MESSAGES UIDNEXT MAILBOXID)',
    'CREATE "{}.below"', 'DELETE "{}"', 'RENAME "{}" "INBOX.taken"',
    'RENAME "INBOX.own" "{}.given"', 'SUBSCRIBE "{}"', 'COPY 1 "{}"',
    'MOVE 1 "{}"', 'UID COPY 1 "{}"', 'GETACL "{}"', 'MYRIGHTS "{}"',
    f'SETACL "{{}}" {ANN} lr', 'DELETEACL "{}" owner',
    'LISTRIGHTS "{}" owner', 'GETQUOTAROOT "{}"', 'ACL STORE "{}" anyone lr',
    'ACL SET "{}" anyone lr', 'ACL DELETE "{}" owner', 'LIST "" "{}"',
    'LIST (ACL MYRIGHTS) "" "{}*"', 'LSUB (ACL MYRIGHTS) "" "{}*"',
    'APPEND "{}" {{6+}}\r\na: b\r\n',
]


def begin(ann):
    """A message selected, so that every command is allowed."""
    assert "* 0 EXISTS" not in ann.ok("SELECT INBOX")


@pytest.mark.parametrize("command", COMMANDS)
def test_hidden_is_as_if_it_were_not_there(shared, ann, command):
    """RFC 4314 6: nobody can find out that INBOX.Secret exists."""
    answers = []
    before = tree(shared)
    for name in ("Secret", "Nobody"):
        begin(ann)
        answer = ann.command(command.format(f"{HIS}.{name}"))
        answers.append([re.sub(r"\(\d+\.\d+[^)]*\)", "", line)
                        .replace(name, "NAME") for line in answer])
    assert answers[0] == answers[1]
    if not command.startswith(("L", "SUB")):
        assert answers[0][-1].startswith("NO"), answers
    assert tree(shared) == before


BAD = [HIS + "." + end for end in (
    "..", "Open..Secret", "Open/../.Secret", "../.Secret", "&AC8-etc",
    "Open.&AC4ALg-.Secret", "&AAA-", "&AAo-x", "Open.", "cur", "%", "*",
    "x" * 300)] + [
    "#shared..", "#shared../joe", "#shared.&AC4ALg-.joe", "#shared./etc",
    "#shared", "#shared.nobody.x", "#shared." + "x" * 2000, "#sharedx.y",
    "INBOX.../joe", "INBOX.&AC4ALg-", "INBOX.a/../../joe", "../joe",
    "/etc/passwd", "~joe", "INBOX.&AC8ALgAu-", "INBOX.&AAo-", "INBOX.&AAA-"]


@pytest.mark.parametrize("name", BAD)
def test_names_lead_nowhere_else(shared, ann, name):
    before = tree(shared)
    for command in COMMANDS:
        begin(ann)
        answer = ann.command(command.format(name))
        text = "\n".join(answer)
        # what she has subscribed to is hers
        assert ("Secret" not in text or "Secret" in name or
                command.startswith("LSUB")), (command, answer)
        assert "root:" not in text
    begin(ann)
    assert tree(shared) == before


def test_links_are_not_followed(shared, joe, ann):
    """Of directories and of messages, whoever's they are."""
    his, hers = shared.maildir(JOE), shared.maildir(ANN)
    begin(ann)
    ann.ok("CREATE INBOX.Private")
    ann.append("INBOX.Private", TEXT)
    os.symlink(hers / ".Private", his / ".Link")
    os.symlink("/etc/passwd", his / ".Open/cur/1700000001.M1P1.host:2,")
    joe.ok("SELECT INBOX.Open")
    assert "Link" not in "\n".join(joe.command('LIST "" "*"'))
    assert joe.command("SELECT INBOX.Link")[-1].startswith("NO")
    ann.ok(f'SELECT "{HIS}.Open"')
    assert "root:" not in "\n".join(ann.command("FETCH 1:* (BODY.PEEK[])"))
    ann.command("COPY 1:* INBOX")
    for path in hers.glob("cur/*"):
        assert not path.is_symlink()
        assert b"root:" not in path.read_bytes()
    os.unlink(his / ".Link")
    os.unlink(next((his / ".Open/cur").glob("1700000001.*")))


def test_the_target_pays(shared, joe, ann):
    """A quota is that of the account a message goes to; its usage isn't told
    to visitors."""
    del joe
    begin(ann)
    big = b"Subject: big\r\n\r\n" + b"x" * 3000 + b"\r\n"
    ann.append("INBOX", big)
    ann.ok("SELECT INBOX")
    assert "[OVERQUOTA]" in ann.command(f'UID COPY * "{HIS}.In"')[-1]
    answer = ann.command(f'APPEND "{HIS}.In" {{{len(big)}+}}\r\n'
                         + big.decode())
    assert "[OVERQUOTA]" in answer[-1]
    assert not list(shared.maildir(JOE).glob(".In/*/*"))
    assert not list(shared.maildir(JOE).glob(".In/tmp/*"))
    assert "2000" not in "\n".join(ann.command(f'GETQUOTAROOT "{HIS}.In"'))


@pytest.mark.parametrize("size", [
    "99999999999999999999999999", "18446744073709551615",
    "9223372036854775807", "-1", "0x10", ""])
def test_sizes_that_overflow(shared, joe, size):
    """In names of files and in maildirsize."""
    home = shared.maildir(JOE)
    for folder in (home / "cur", home / ".In/cur"):
        path = folder / f"1700000009.M1P1.host,S={size}:2,"
        path.write_bytes(b"Subject: s\n\ns\n")
        if os.geteuid() == 0 and shared.uid is not None:
            os.chown(path, shared.uid, shared.uid)
    for content in (f"2000S\n{size} {size}\n", f"{size}S,{size}C\n1 1\n",
                    "2000S\n" + "9223372036854775807 1\n" * 3,
                    "2000S\n" + "-9223372036854775808 -1\n" * 3):
        (home / "maildirsize").write_text(content)
        joe.ok("SELECT INBOX")
        joe.ok("GETQUOTAROOT INBOX")
        joe.command("COPY 1 INBOX.In")
    for path in home.glob("**/*.M1P1.host,S=*"):
        path.unlink()
    joe.ok("NOOP")


def test_files_are_the_owners_alone(shared, joe, ann):
    """What is made in a Maildir, by whom ever: nobody else on the machine
    gets to it, and nobody but its user could write it."""
    del joe
    begin(ann)
    ann.ok(f'COPY 1 "{HIS}.In"')
    ann.ok(f'APPEND "{HIS}.In" {{{len(TEXT)}+}}\r\n' + TEXT.decode())
    for home in (shared.maildir(JOE), shared.maildir(ANN)):
        assert home.stat().st_mode & 0o077 == 0
        for path in home.glob("**/*"):
            if path.name == "maildirsize":
                continue  # the test's
            st = path.stat()
            assert st.st_mode & 0o7022 == 0, path
            assert shared.uid is None or st.st_uid == shared.uid, path
