"""IMAP libraries that programs of others are built on."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from postern import PASSWORD, PATIENCE, message, need

HERE = pathlib.Path(__file__).parent

PERL = r"""
use strict;
use warnings;
use Mail::IMAPClient;
my ($port, $user, $password) = @ARGV;
my $c = Mail::IMAPClient->new(
    Server => '127.0.0.1', Port => $port, User => $user,
    Password => $password, Uid => 1) or die "new: $@";
$c->select('INBOX') or die $c->LastError;
my @two = $c->search('SUBJECT', \'"Two"') or die $c->LastError;
my $text = $c->message_string($two[0]) or die $c->LastError;
$text =~ /Subject: Two\r\n/ or die "not the message";
my $hash = $c->fetch_hash('RFC822.SIZE', 'FLAGS') or die $c->LastError;
$hash->{$two[0]}{'RFC822.SIZE'} == length($text) or die "size";
$c->set_flag('Answered', @two) or die $c->LastError;
my $body = $c->get_bodystructure($two[0]) or die "structure";
lc($body->bodytype) eq 'text' or die "type";
$c->create('INBOX.Kept') or die $c->LastError;
my $uid = $c->append_string('INBOX.Kept', "Subject: Three\r\n\r\nthree\r\n",
    '\\Flagged') or die $c->LastError;
$uid =~ /^1/ or die "append: $uid";
$c->move('INBOX.Kept', @two) or die $c->LastError;
$c->expunge or die $c->LastError;
$c->message_count('INBOX.Kept') == 2 or die "count";
print join(' ', sort $c->folders), "\n";
$c->logout or die $c->LastError;
"""


@pytest.fixture
def ada(server):
    """A user with two messages, for nobody else."""
    ada.n = getattr(ada, "n", 0) + 1
    user = server.add_user(f"ada{ada.n}@example.com")
    for subject in ("One", "Two"):
        server.deliver(message(subject, to=user), user)
    return user


def run(argv, **env):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=4 * PATIENCE,
                          env={**os.environ, **env})
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def flags(server, user, folder=""):
    return sorted(name.split(":2,")[1] for name in
                  server.files(user, folder) if ":2," in name)


def test_perl_mail_imapclient(server, ada):
    perl = need("perl", "perl")
    if subprocess.run([perl, "-MMail::IMAPClient", "-e1"],
                      capture_output=True).returncode != 0:
        pytest.skip("missing: apt-get install libmail-imapclient-perl")
    said = run([perl, "-e", PERL, str(server.port["imapd"]), ada, PASSWORD])
    assert said.split() == ["INBOX", "INBOX.Kept"]
    assert len(server.files(ada)) == 1
    assert flags(server, ada, ".Kept") == ["F", "R"] or \
        flags(server, ada, ".Kept") == ["F", "RS"]


def test_imapflow(server, ada):
    where = os.environ.get("IMAPFLOW")
    if where is None:
        pytest.skip("imapflow is not installed: no node with npm, or no net")
    node = need("node", "nodejs")
    said = json.loads(run(
        [node, str(HERE / "imapflow/main.mjs"),
         str(server.port["imapd-ssl"]), ada, PASSWORD],
        NODE_EXTRA_CA_CERTS=str(server.cert.with_suffix(".crt"))))
    assert said["boxes"] == ["INBOX"]
    assert said["exists"] == 2
    assert [(s, t, b) for s, t, b in said["fetched"]] == [
        (s, "text/plain", "Hello, world.\r\n") for s in ("One", "Two")]
    assert said["flags"] == ["$Junk", "\\Recent", "\\Seen"] or \
        said["flags"] == ["$Junk", "\\Seen"]
    assert said["moved"] == 1
    assert said["appended"]["uid"] == 3
    assert said["text"] == "three\r\n"
    assert said["status"]["messages"] == 1
    assert flags(server, ada) == ["F"]
    assert flags(server, ada, ".Kept") == ["S"]
    assert re.match(r"\d+", server.files(ada, ".Kept")[0])
