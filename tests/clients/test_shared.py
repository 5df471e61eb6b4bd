"""Mailboxes of others: real clients in two workers, by a shared index."""
import imaplib
import os
import subprocess

import postern
import pytest
from postern import ANN, JOE, PASSWORD, message

SHARED = '"#shared.joe@example com{}"'


@pytest.fixture(scope="module")
def shared(directory):
    server = postern.Server(directory / "s", WORKERS=4)
    index = server.base / "index"
    server.set("imapd", IMAP_SHAREDINDEXFILE=index)
    lines = []
    # Joe's path is not as the index spells it: the same Maildir all the same
    for email, maildir in ((JOE, "example.com/.//joe/"),
                           (ANN, "example.com/ann/")):
        server.add_user(email, maildir=maildir)
        lines.append("\t".join([email, str(server.uid or os.geteuid()), "0",
                                str(server.home), maildir]))
    index.write_text("\n".join(lines) + "\n")
    with server:
        yield server


def login(server, user):
    c = imaplib.IMAP4("127.0.0.1", server.port["imapd"])
    c.login(user, PASSWORD)
    return c


def ok(reply):
    assert reply[0] == "OK", reply
    return reply[1]


def test_visit(shared):
    joe, ann = login(shared, JOE), login(shared, ANN)
    assert "ACL" in ann.capabilities
    ok(joe.create("INBOX.Team"))
    text = message("For all").replace("\n", "\r\n").encode()
    ok(joe.append("INBOX.Team", None, None, text))
    assert ok(ann.list('""', '"#shared.*"')) == [None]
    assert ann.select(SHARED.format(".Team"))[0] == "NO"
    ok(joe.setacl("INBOX.Team", ANN, "lrswi"))
    listed = b"\n".join(ok(ann.list('""', '"#shared.*"')))
    assert b'"#shared.joe@example com.Team"' in listed
    assert ok(ann.select(SHARED.format(".Team"))) == [b"1"]
    data = ok(ann.fetch("1", "(BODY[])"))
    assert data[0][1] == text
    # what Ann does, Joe sees, though another worker serves him
    ok(joe.select("INBOX.Team"))
    flags = b"\n".join(part if isinstance(part, bytes) else part[0]
                       for part in ok(joe.fetch("1", "(FLAGS)")))
    assert b"\\Seen" in flags
    ok(ann.append(SHARED.format(".Team"), r"(\Flagged)", None, text))
    ok(joe.noop())
    assert ok(joe.search(None, "FLAGGED")) == [b"2"]
    ok(joe.append("INBOX.Team", None, None, text))
    ok(ann.noop())
    assert ok(ann.search(None, "ALL")) == [b"1 2 3"]
    # and takes home; what she may not do, she can't
    ok(ann.copy("1:2", "INBOX"))
    assert len(shared.files(ANN)) == 2
    assert ann.store("1", "+FLAGS", r"(\Deleted)")[0] == "NO"
    assert ann.expunge()[0] == "NO"
    ok(joe.deleteacl("INBOX.Team", ANN))
    assert ann.select(SHARED.format(".Team"))[0] == "NO"
    assert ann.status(SHARED.format(".Team"), "(MESSAGES)")[0] == "NO"
    # her own isn't among those of others
    assert ann.select('"#shared.ann@example com"')[0] == "NO"
    for c in (joe, ann):
        c.logout()


def maildiracl(server, *words):
    home = server.maildir(JOE)
    done = subprocess.run([postern.program("maildiracl"), words[0], home,
                           *words[1:]], capture_output=True, check=False)
    assert done.returncode == 0, done


def test_rights_change_while_selected(shared):
    """By maildiracl, by the owner's session in another worker."""
    joe, ann = login(shared, JOE), login(shared, ANN)
    ok(joe.create("INBOX.Rights"))
    ok(joe.append("INBOX.Rights", None, None, b"Subject: x\r\n\r\nx\r\n"))
    ok(joe.setacl("INBOX.Rights", ANN, "lrstwe"))
    ok(ann.select(SHARED.format(".Rights")))
    ok(ann.store("1", "+FLAGS", r"(\Flagged)"))
    maildiracl(shared, "-set", "INBOX.Rights", f"user={ANN}", "lrs")
    assert ann.store("1", "+FLAGS", r"(\Answered)")[0] == "NO"
    assert ann.response("PERMANENTFLAGS")[1][-1] == rb"(\Seen)"
    assert ann.expunge()[0] == "NO"
    ok(joe.setacl("INBOX.Rights", ANN, "lrw"))
    ok(ann.store("1", "+FLAGS", r"(\Answered)"))
    # negative rights, and those of everybody
    maildiracl(shared, "-set", "INBOX.Rights", "anyone", "lrsw")
    maildiracl(shared, "-set", "INBOX.Rights", f"-user={ANN}", "w")
    assert ann.store("1", "-FLAGS", r"(\Answered)")[0] == "NO"
    maildiracl(shared, "-set", "INBOX.Rights", f"-user={ANN}", "r")
    with pytest.raises(imaplib.IMAP4.abort, match="was taken away"):
        ann.fetch("1", "(BODY.PEEK[])")
    joe.logout()
