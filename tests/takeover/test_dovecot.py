"""What Debian's Dovecot can be set up to, and Postern makes of it."""
import re

import postern
import pytest
import servers
from mail import append
from servers import ok, state


@pytest.mark.parametrize("layout_of", ["fs"])
def test_layout_fs_is_refused(root, home, postern_, layout_of):
    """With a clear answer and a clear log line, and nothing is touched."""
    dovecot = servers.Dovecot(root, home / "Maildir", f":LAYOUT={layout_of}")
    with dovecot.imap() as client:
        append(client, "INBOX", 1)
        ok(client.create("INBOX.Archive.Old"))
        append(client, "INBOX.Archive.Old", 2)
    assert (home / "Maildir/Archive/Old/cur").is_dir()
    with postern_ as p:
        with p.imap() as client:
            status, said = client.select("INBOX")
            assert status == "NO"
            assert said == [b"[CONTACTADMIN] Mail is stored in a layout that "
                            b"is not Maildir++."]
            assert client.list()[0] == "NO"
        with postern.Lines(p.server.connect("pop3d")) as c:
            c.line()
            c.pop(f"USER {postern.JOE}")
            assert c.pop(f"PASS {postern.PASSWORD}") == [
                "-ERR [SYS/PERM] Mail is stored in a layout that is not "
                "Maildir++."]
        assert re.search(r"Archive/Old is a mailbox of Dovecot's LAYOUT=fs; only "
                         r"Maildir\+\+ is served: see docs/from-dovecot.md",
                         p.server.log())
    assert not (home / "Maildir/postern.db").exists()
    with dovecot.imap() as client:
        assert ok(client.select("INBOX.Archive.Old")) == [b"1"]


def test_no_prefix(root, home, postern_):
    """Names in Dovecot's usual namespace have no INBOX. before them."""
    dovecot = servers.Dovecot(root, home / "Maildir", prefix="")
    with dovecot.imap() as client:
        for name in ("Sent", "Lists.a"):
            ok(client.create(name))
            ok(client.subscribe(name))
            append(client, name, len(name), "\\Seen")
    before = state(dovecot)
    assert before["subscribed"] == ["Lists.a", "Sent"]
    with postern_ as p:
        now = state(p)
        assert now["subscribed"] == ["INBOX.Lists.a", "INBOX.Sent"]
        for name, box in before["mailboxes"].items():
            if name != "INBOX":
                name = "INBOX." + name
            assert now["mailboxes"][name] == box
        # a client that goes on with the names it knows finds its mail
        with p.imap() as client:
            for name in ("Sent", "Lists.a"):
                assert servers.messages(client, name) == \
                    before["mailboxes"][name]


def test_many_keywords(dovecot, postern_):
    """26 have letters; more are in Dovecot's index, and it is said so."""
    words = [f"Word{n:02}" for n in range(30)]
    with dovecot.imap() as client:
        for n, word in enumerate(words):
            append(client, "INBOX", n, word)
    with postern_ as p:
        boxes = state(p)["mailboxes"]["INBOX"]["messages"]
        kept = [flags for _, _, flags in boxes.values() if flags]
        assert len(boxes) == 30
        assert sorted(kept) == [(word,) for word in words[:26]]
        assert "all 26 letters for keywords are in use" in p.server.log()


@pytest.mark.parametrize("settings, told", [
    ("", ""),
    ("pop3_uidl_format = UID%u-%v", ""),
    ("pop3_uidl_format = %f\npop3_save_uidl = yes", ""),
    ("pop3_uidl_format = %v.%u\npop3_save_uidl = yes", ""),
    ("pop3_uidl_format = %v-%u", "%v-%u"),
    ("pop3_uidl_format = %08Xv%08Xu", "%08Xv%08Xu"),
    ("pop3_uidl_format = %g", "%g")])
def test_unique_ids(root, home, postern_, settings, told):
    """Of each format, with and without a trace of it in Dovecot's files;
    told: DOVECOT_UIDL_FORMAT."""
    dovecot = servers.Dovecot(root, home / "Maildir", more=settings)
    with dovecot.imap() as client:
        for n in range(4):
            append(client, "INBOX", n)
        ok(client.select("INBOX"))
        ok(client.store("2", "+FLAGS", "(\\Deleted)"))
        ok(client.expunge())
    ids = dovecot.pop3()
    assert len(ids) == 3
    if told:
        postern_.server.keys["postern"]["DOVECOT_UIDL_FORMAT"] = told
    with postern_ as p:
        if settings.startswith("pop3_uidl_format = UID%u") and not told:
            # nothing in its files says so: the setting must
            assert p.pop3() != ids
        else:
            assert p.pop3() == ids
