"""Mailboxes of others: real clients in two workers, by a shared index."""
import imaplib
import mailbox
import os
import subprocess

import postern
import pytest
from postern import (ANN, JOE, PASSWORD, PATIENCE, mbsync_account, message,
                     need)

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


# --- programs ---------------------------------------------------------------

PERL = r"""
use strict;
use warnings;
use Mail::IMAPClient;
my ($port, $user, $password, $name) = @ARGV;
my $c = Mail::IMAPClient->new(
    Server => '127.0.0.1', Port => $port, User => $user,
    Password => $password, Uid => 1) or die "new: $@";
# "*" alone shows no other namespace (RFC 3501 5.1.2)
grep { $_ eq $name } $c->folders($name) or die "not listed";
$c->subscribe($name) or die $c->LastError;
grep { $_ eq $name } $c->subscribed($name) or die "not subscribed";
$c->select($name) or die $c->LastError;
my @all = $c->messages or die $c->LastError;
$c->message_string($all[0]) =~ /Subject: First\r\n/ or die "not the message";
$c->set_flag('Flagged', $all[0]) or die $c->LastError;
$c->append_string($name, "Subject: By Perl\r\n\r\nx\r\n")
    or die $c->LastError;
$c->create('INBOX.Perl');
$c->copy('INBOX.Perl', @all) or die $c->LastError;
$c->message_count('INBOX.Perl') or die "count";
$c->unsubscribe($name) or die $c->LastError;
$c->logout or die $c->LastError;
"""


def mbsync_rc(server, name, work):
    """A channel for one mailbox, both ways."""
    rc = work / "mbsyncrc"
    rc.write_text(mbsync_account(server, ANN) + f"""\
UseNamespace no

MaildirStore near
Path {work}/
Inbox {work}/inbox

Channel shared
Far ":far:{name.replace('.', '/')}"
Near ":near:team"
Create Near
SyncState *
""")
    return str(rc)


def run(argv, work):
    done = subprocess.run(argv, cwd=work, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True,
                          timeout=4 * PATIENCE,
                          env={**os.environ, "HOME": str(work)})
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.fixture(params=["#shared.joe@example com.", "shared.joe."])
def team(request, shared):
    """A mailbox of Joe's with a message, and its name for Ann, by the index
    and by a link."""
    folder = ("Index" if request.param.startswith("#") else "Link") + \
        request.function.__name__.removeprefix("test_")
    joe, ann = login(shared, JOE), login(shared, ANN)
    ok(ann.select())    # makes her Maildir
    ann.logout()
    ok(joe.create(f"INBOX.{folder}"))
    ok(joe.setacl(f"INBOX.{folder}", ANN, "lrswi"))
    # Links lead to what is made for sharing, as maildirmake -s does.
    for path in (shared.maildir(JOE), shared.maildir(JOE) / f".{folder}"):
        path.chmod(0o755)
    (shared.maildir(ANN) / "shared-maildirs").write_text(
        f"joe\t{shared.maildir(JOE)}\n")
    text = message("First").replace("\n", "\r\n").encode()
    ok(joe.append(f"INBOX.{folder}", None, None, text))
    yield request.param + folder, folder, joe
    ok(joe.delete(f"INBOX.{folder}"))
    joe.logout()


def seen_by(joe, folder):
    ok(joe.select(f"INBOX.{folder}"))
    return len(ok(joe.search(None, "ALL"))[0].split()), \
        len(ok(joe.search(None, "FLAGGED"))[0].split())


def test_perl_mail_imapclient(team, shared):
    perl = need("perl", "perl")
    if subprocess.run([perl, "-MMail::IMAPClient", "-e1"],
                      capture_output=True).returncode != 0:
        pytest.skip("missing: apt-get install libmail-imapclient-perl")
    name, folder, joe = team
    run([perl, "-e", PERL, str(shared.port["imapd"]), ANN, PASSWORD, name],
        shared.base)
    assert seen_by(joe, folder) == (2, 1)
    ok(joe.close())


def test_mbsync(team, shared, tmp_path):
    mbsync = need("mbsync", "isync")
    name, folder, joe = team
    rc = mbsync_rc(shared, name, tmp_path)
    run([mbsync, "-c", rc, "shared"], tmp_path)
    near = mailbox.Maildir(tmp_path / "team", create=False)
    ((key, mail),) = near.items()
    assert mail["Subject"] == "First"
    mail.add_flag("F")
    near[key] = mail
    near.add(message("By mbsync"))
    run([mbsync, "-c", rc, "shared"], tmp_path)
    assert seen_by(joe, folder) == (2, 1)
    # A second time there is nothing to do.
    before = sorted(shared.files(JOE, f".{folder}"))
    run([mbsync, "-c", rc, "shared"], tmp_path)
    assert sorted(shared.files(JOE, f".{folder}")) == before
    ok(joe.close())
