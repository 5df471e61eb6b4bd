"""Python's imaplib and poplib, in the clear and over TLS."""

import imaplib
import poplib

import pytest
from postern import ANN, JOE, PASSWORD, message


@pytest.fixture
def box(server):
    """Joe's connection with an INBOX of two messages."""
    for _ in range(2):
        server.deliver()
    c = imaplib.IMAP4("127.0.0.1", server.port["imapd"])
    c.login(JOE, PASSWORD)
    c.select()
    yield c
    c.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
    c.expunge()
    c.logout()


def test_imap_reads(box):
    typ, data = box.fetch("1", "(UID FLAGS RFC822.SIZE BODY.PEEK[])")
    assert typ == "OK"
    assert data[0][1].startswith(b"From: Ann <ann@example.com>\r\n")
    assert data[0][1].endswith(b"\r\n\r\nHello, world.\r\n")
    size = int(data[0][0].split(b"RFC822.SIZE ")[1].split()[0].rstrip(b")"))
    assert size == len(data[0][1])


def test_imap_flags_reach_the_file_name(server, box):
    assert box.store("1", "+FLAGS", r"(\Seen \Flagged)")[0] == "OK"
    assert any(name.endswith(":2,FS") for name in server.files())
    assert box.store("1", "-FLAGS", r"(\Flagged)")[0] == "OK"
    assert any(name.endswith(":2,S") for name in server.files())


def test_imap_append_copy_expunge(server, box):
    text = message("Appended").replace("\n", "\r\n").encode()
    assert box.append("INBOX", r"(\Seen)", None, text)[0] == "OK"
    assert box.noop()[0] == "OK"
    typ, found = box.search(None, "SUBJECT", "Appended")
    assert found[0].split() == [b"3"]
    assert box.create("INBOX.Kept")[0] == "OK"
    assert box.copy("3", "INBOX.Kept")[0] == "OK"
    assert len(server.files(folder=".Kept")) == 1
    before = len(server.files())
    box.store("3", "+FLAGS", r"(\Deleted)")
    assert box.expunge()[1] == [b"3"]
    assert len(server.files()) == before - 1
    assert box.delete("INBOX.Kept")[0] == "OK"


def test_imap_utf8(server, box):
    """RFC 6855; names and texts as Python has them."""
    name = '"INBOX.Größe & Co"'
    server.deliver(message("Grüße"))
    box.unselect()  # imaplib wants none to be selected
    assert box.enable("UTF8=ACCEPT")[0] == "OK"
    assert box.select()[1] == [b"3"]
    assert box.create(name)[0] == "OK"
    lines = box.list('""', '"INBOX.Grö*"')[1]
    assert [line.decode().split('"." ')[1] for line in lines] == [name]
    assert box.search(None, "SUBJECT", '"grüße"')[1] == [b"3"]
    assert box.copy("3", name)[0] == "OK"
    assert box.status(name, "(MESSAGES)")[1][0].decode().endswith(
        f"{name} (MESSAGES 1)")
    assert len(server.files(folder=".Größe & Co")) == 1
    assert box.delete(name)[0] == "OK"


def test_imap_over_tls(server):
    with imaplib.IMAP4_SSL("localhost", server.port["imapd-ssl"],
                           ssl_context=server.context()) as c:
        c.login(JOE, PASSWORD)
        assert c.select()[0] == "OK"


def test_imap_starttls(server):
    with imaplib.IMAP4("localhost", server.port["imapd"]) as c:
        assert c.starttls(server.context())[0] == "OK"
        c.login(JOE, PASSWORD)
        assert c.select()[0] == "OK"


def test_imap_authenticate(server):
    with imaplib.IMAP4("localhost", server.port["imapd"]) as c:
        typ, _ = c.authenticate(
            "PLAIN", lambda _: f"\0{JOE}\0{PASSWORD}".encode())
        assert typ == "OK"


def test_imap_wrong_password(server):
    c = imaplib.IMAP4("localhost", server.port["imapd"])
    with pytest.raises(imaplib.IMAP4.error):
        c.login(JOE, "wrong")
    c.login(JOE, PASSWORD)
    c.logout()
    server.wait_log(r"LOGIN FAILED, .*ip=\[")


@pytest.fixture(params=["pop3d", "pop3d-ssl", "stls"])
def pop(request, server):
    server.deliver(email=ANN)
    server.deliver(email=ANN)
    if request.param == "pop3d-ssl":
        c = poplib.POP3_SSL("localhost", server.port["pop3d-ssl"],
                            context=server.context())
    else:
        c = poplib.POP3("localhost", server.port["pop3d"])
    if request.param == "stls":
        c.stls(server.context())
    c.user(ANN)
    c.pass_(PASSWORD)
    return c


def test_pop(server, pop):
    n, size = pop.stat()
    assert n >= 2
    _, lines, _ = pop.list()
    assert len(lines) == n
    assert sum(int(line.split()[1]) for line in lines) == size
    _, uids, _ = pop.uidl()
    assert len(set(line.split()[1] for line in uids)) == n
    _, text, octets = pop.retr(n)
    assert text[0] == b"From: Ann <ann@example.com>"
    assert octets == int(lines[-1].split()[1])
    _, top, _ = pop.top(n, 0)
    assert b"Hello, world." not in top
    pop.dele(1)
    assert pop.stat()[0] == n - 1
    pop.rset()
    assert pop.stat()[0] == n
    for i in range(1, n + 1):
        pop.dele(i)
    pop.quit()
    assert server.files(ANN) == []


def test_pop_without_quit_removes_nothing(server):
    server.deliver(email=ANN)
    before = server.files(ANN)
    c = poplib.POP3("localhost", server.port["pop3d"])
    c.user(ANN)
    c.pass_(PASSWORD)
    c.dele(1)
    c.close()
    server.wait_log(rf"(DISCONNECTED|TIMEOUT), user={ANN}")
    assert len(server.files(ANN)) == len(before)
