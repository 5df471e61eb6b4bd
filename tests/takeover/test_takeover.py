"""A Maildir goes from Courier or Dovecot to Postern, back to Courier, and
forward again; each finds what the one before showed, UID by UID."""
import re

import postern
from mail import append, change, counted, fill, sum_of, text
from servers import ok, state


def test_courier_and_back(courier, postern_):
    courier.run("/usr/bin/maildirmake.courier", "Maildir")
    with courier.imap() as client:
        fill(client)
    # one that POP3 knows before IMAP, one that a filter has labelled
    courier.run("/usr/bin/deliverquota.courier", "Maildir", input=text(50))
    ids = courier.pop3()
    before = state(courier)
    assert len(before["mailboxes"]) == 5
    assert len(before["mailboxes"]["INBOX"]["messages"]) == 10
    assert len(before["subscribed"]) == 3

    with postern_ as p:
        assert state(p) == before
        assert p.pop3() == ids
        with p.imap() as client:
            change(client, 200)
            ok(client.unsubscribe("INBOX.Sent"))
            ok(client.rename("INBOX.Plain", "INBOX.Renamed.x"))
        ids = p.pop3()
        before = state(p)

    assert state(courier) == before
    assert courier.pop3() == ids
    with courier.imap() as client:
        change(client, 300)
    courier.run("/usr/bin/deliverquota.courier", "Maildir", input=text(51))
    new = next((courier.maildir / "new").iterdir())
    courier.run("/usr/bin/maildirkw", "Maildir", new.name, "Filter")
    ids = courier.pop3()
    before = state(courier)
    assert "Filter" in str(before)

    with postern_ as p:
        assert state(p) == before
        assert p.pop3() == ids
    assert state(courier) == before
    assert courier.pop3() == ids


def test_dovecot_then_courier(dovecot, courier, postern_):
    with dovecot.imap() as client:
        fill(client)
    ids = dovecot.pop3()
    assert all(re.fullmatch("[0-9a-f]{16}", i) for i in ids)
    before = state(dovecot)
    assert len(before["mailboxes"]["INBOX"]["messages"]) == 9

    with postern_ as p:
        assert state(p) == before
        assert p.pop3() == ids
        with p.imap() as client:
            change(client, 200)
        kept = p.pop3()
        # those that are still there have theirs
        assert kept[:-1] == ids[1:]
        before = state(p)

    # Dovecot spells names in modified UTF-7, and so does Postern then;
    # Courier 5 wants UTF-8.
    assert (courier.maildir / ".R&AOk-sum&AOk-").is_dir()
    courier.run("/usr/bin/maildirmake.courier", "--convutf8", "Maildir")
    assert (courier.maildir / ".R\u00e9sum\u00e9").is_dir()
    assert state(courier) == before
    with courier.imap() as client:
        change(client, 300)
    before = state(courier)

    with postern_ as p:
        assert state(p) == before
        assert p.pop3()[:-2] == kept[1:-1]


def test_quota_with_couriers_tools(courier, postern_):
    """deliverquota and maildirmake -q while Postern has the Maildir open."""
    size = courier.maildir / "maildirsize"
    courier.run("/usr/bin/maildirmake.courier", "-q", "2500S,8C", "Maildir")
    with postern_ as p, p.imap() as client:
        ok(client.select("INBOX"))
        append(client, "INBOX", 1)
        courier.run("/usr/bin/deliverquota.courier", "Maildir", input=text(2))
        ok(client.noop())
        append(client, "INBOX", 3)
        assert sum_of(size) == ("2500S,8C", *counted(courier.maildir))
        ok(client.store("2", "+FLAGS", "(\\Deleted)"))
        assert sum_of(size)[1:] == counted(courier.maildir)
        ok(client.expunge())
        assert sum_of(size)[1:] == counted(courier.maildir)
        ok(client.create("INBOX.a"))
        ok(client.copy("1:2", "INBOX.a"))
        assert sum_of(size)[1:] == counted(courier.maildir)
        # more than fits: refused by both, and nothing is counted
        big = text(4) + b"x" * 2000 + b"\r\n"
        status, said = client.append("INBOX", None, None, big)
        assert status == "NO" and b"OVERQUOTA" in said[0]
        done = courier.run("/usr/bin/deliverquota.courier", "Maildir",
                           input=big, check=False)
        assert done.returncode in (75, 77), done
        assert sum_of(size)[1:] == counted(courier.maildir)
        # another limit, set by an admin
        courier.run("/usr/bin/maildirmake.courier", "-q", "100000S", "Maildir")
        append(client, "INBOX", 5)
        ok(client.append("INBOX", None, None, big))
        assert sum_of(size) == ("100000S", *counted(courier.maildir))


def test_keywords_of_a_filter(courier, postern_):
    """maildirkw while a session has the mailbox selected."""
    courier.run("/usr/bin/maildirmake.courier", "Maildir")
    with postern_ as p, p.imap() as client:
        append(client, "INBOX", 1, "Mine")
        ok(client.select("INBOX"))
        name = next((courier.maildir / "cur").iterdir()).name
        courier.run("/usr/bin/maildirkw", "-a", "Maildir",
                    name.partition(":")[0], "Theirs")

        def seen():
            ok(client.noop())
            return "Theirs" in str(ok(client.fetch("1", "(FLAGS)")))
        postern.wait_for(seen, "the keyword of maildirkw")


def acl(reply):
    """{identifier: rights} of GETACL, but for those that differ in form;
    Courier tells of no groups."""
    words = re.findall(r'"([^"]*)"|(\S+)', ok(reply)[0].decode())
    words = [a or b for a, b in words][1:]
    return {who: set(rights) - set("cdekxt")
            for who, rights in zip(words[::2], words[1::2])
            if "group=" not in who}


def test_access_lists(courier, postern_):
    """Each server reads the lists that the other one has written."""
    mailbox = '"INBOX.R&AOk-sum&AOk-.x"'
    parent = '"INBOX.R&AOk-sum&AOk-"'
    with postern_, postern_.imap() as c:
        ok(c.create(mailbox))
        ok(c.setacl(mailbox, "ann@example.com", "lrs"))
        ok(c.setacl(mailbox, "group=sales", "lrswite"))
        ok(c.setacl(parent, "anyone", "l"))
        ours = acl(c.getacl(mailbox))
    assert ours["ann@example.com"] == set("lrs")
    with courier.imap() as c:
        assert acl(c.getacl(mailbox)) == ours
        ok(c.setacl(mailbox, "ann@example.com", "lri"))
        ok(c.setacl(mailbox, "-eve@example.com", "r"))
        theirs = acl(c.getacl(mailbox))
    # Courier's IMAP has no lists of mere parents, its maildiracl has
    tool = ["maildiracl", "-list", "Maildir", "INBOX.R&AOk-sum&AOk-"]
    assert b"anyone\tl\n" in courier.run(*tool).stdout
    with postern_, postern_.imap() as c:
        assert acl(c.getacl(mailbox)) == theirs
    assert theirs["ann@example.com"] == set("lri")


def test_our_tools_while_a_session_idles(courier, postern_):
    """Debian's and our own tools, and a client that is told of it."""
    postern_.server.set("imapd", IMAP_IDLE_TIMEOUT=1)
    courier.run(postern.program("deliverquota"), "-c", "Maildir", "100000S",
                input=text(1))
    with postern_ as p, p.imap() as client:
        ok(client.select("INBOX"))
        name = next((courier.maildir / "cur").iterdir()).name
        # known to the server only: nothing has been exported yet
        ok(client.store("1", "+FLAGS", "(Mine)"))
        client.sock.settimeout(40)  # by default it looks each minute
        client.send(b"x IDLE\r\n")
        assert client.readline().startswith(b"+")
        for tool, word in ((postern.program("maildirkw"), "Ours"),
                           ("/usr/bin/maildirkw", "Theirs")):
            # Courier's -a knows of Courier's files alone
            words = ["Mine", "Ours"] if word == "Theirs" else []
            courier.run(tool, *([] if words else ["-a"]), "Maildir", name,
                        *words, word)
            line = b""
            while b"FETCH" not in line:
                line = client.readline()
            assert f" {word}".encode() in line and b"Mine" in line, line
        courier.run(postern.program("maildirkw"), "-r", "Maildir", name,
                    "theirs")
        line = b""
        while b"FETCH" not in line:
            line = client.readline()
        assert b"Mine" in line and b"Ours" in line and b"Theirs" not in line
        for tool in ("/usr/bin/deliverquota.courier",
                     postern.program("deliverquota")):
            courier.run(tool, "Maildir", input=text(2))
            while b"EXISTS" not in client.readline():
                pass
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"x OK"):
            pass
        limits, *usage = sum_of(courier.maildir / "maildirsize")
        assert usage == list(counted(courier.maildir))


def test_export_on_demand(home, postern_):
    """posternctl export, with and without posternd."""
    uids = home / "Maildir" / "courierimapuiddb"
    server = postern_.server
    server.keys["postern"]["EXPORT_COURIER"] = 0
    server.add_user(postern.ANN)
    with postern_ as p:
        with p.imap() as client:
            append(client, "INBOX", 1, "Word")
            ok(client.create("INBOX.a"))
        assert not uids.exists()
        said = server.ctl("export", postern.JOE)
        assert said.stdout == f"{postern.JOE}: 2 mailboxes\n", said
        assert re.fullmatch(r"1 \d+ 2\n1 .*,S=\d+\n", uids.read_text())
        assert (uids.parent / ".a" / "courierimapuiddb").exists()
        listed = uids.parent / "courierimapkeywords" / ":list"
        assert listed.read_text().startswith("Word\n\n")
        uids.unlink()
        server.stop_one("posternd")
        assert not uids.exists()
        said = server.ctl("export", "--all")
        assert sorted(said.stdout.splitlines()) == [
            f"{postern.ANN}: no Maildir yet", f"{postern.JOE}: 2 mailboxes"]
        assert uids.exists()
        said = server.ctl("export", "nobody@example.com", check=False)
        assert said.returncode == 1 and "no such account" in said.stderr
        server.stop_one("authdaemond")
        said = server.ctl("export", "--all", check=False)
        assert said.returncode == 1 and "authdaemond" in said.stderr
        assert server.ctl("export", check=False).returncode == 1
