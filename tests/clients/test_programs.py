"""Mail programs as users run them, each with a home of its own."""

import mailbox
import os
import pwd
import re
import subprocess

import pytest
from postern import (JOE, PASSWORD, PATIENCE, mbsync_account, message, need,
                     run_mutt, wait_for)

LONG = 4 * PATIENCE


# getmail may miss the end of its own child, or be surprised by it.
STUMBLES = ("waiting child pid", "_ForkingBase__orig_handler")


def run(argv, work, again=(), **env):
    """Run a client; its output. A client that fails shows all it said.
    again: what one says that stumbled over itself, and is run once more."""
    for _ in range(3):
        done = subprocess.run(
            argv, cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=LONG,
            env={"PATH": os.environ["PATH"], "HOME": str(work / "home"),
                 "LC_ALL": "C.UTF-8", "TERM": "xterm", **env})
        if done.returncode == 0 or \
                not any(text in done.stderr for text in again):
            break
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.fixture
def joe(server):
    """A user without mail, for nobody else."""
    joe.n = getattr(joe, "n", 0) + 1
    return server.add_user(f"user{joe.n}@example.com")


def test_curl_imap(server, joe, work):
    curl = need("curl", "curl")
    server.deliver(message("By curl"), joe)
    auth = ["--user", f"{joe}:{PASSWORD}", "--cacert",
            str(server.cert.with_suffix(".crt")), "-sS"]
    url = f"imaps://localhost:{server.port['imapd-ssl']}/INBOX"
    assert "Subject: By curl" in run([curl, *auth, f"{url};MAILINDEX=1"],
                                     work)
    assert "* SEARCH 1" in run([curl, *auth, f"{url}?ALL"], work)
    (work / "new.eml").write_text(message("Uploaded"))
    run([curl, *auth, "-T", "new.eml", url], work)
    assert len(server.files(joe)) == 2
    plain = f"imap://localhost:{server.port['imapd']}/INBOX"
    assert "Subject: Uploaded" in run(
        [curl, *auth, "--ssl-reqd", f"{plain};MAILINDEX=2"], work)


def test_curl_pop(server, joe, work):
    curl = need("curl", "curl")
    server.deliver(message("By POP"), joe)
    auth = ["--user", f"{joe}:{PASSWORD}", "--cacert",
            str(server.cert.with_suffix(".crt")), "-sS"]
    url = f"pop3s://localhost:{server.port['pop3d-ssl']}/"
    assert "Subject: By POP" in run([curl, *auth, f"{url}1"], work)
    plain = f"pop3://localhost:{server.port['pop3d']}/"
    assert run([curl, *auth, "--ssl-reqd", plain], work).startswith("1 ")
    run([curl, *auth, "-X", "DELE 1", "-I", plain], work)
    assert server.files(joe) == []


@pytest.mark.parametrize("program", ["mutt", "neomutt"])
def test_mutt(server, joe, work, program):
    server.deliver(message("First"), joe)
    server.deliver(message("Second"), joe)
    shown = run_mutt(server, joe, work, f"""<first-entry><copy-message>\
{work}/out<enter><first-entry><flag-message><last-entry><delete-message>\
<sync-mailbox><quit>""", program)
    assert "First" in shown
    files = wait_for(lambda: len(server.files(joe)) == 1
                     and server.files(joe), f"{program} has expunged one")
    assert "F" in files[0].split(":2,")[1]
    copied = list(mailbox.Maildir(work / "out", create=False))
    assert [m["Subject"] for m in copied] == ["First"]


def mbsyncrc(server, user, work):
    rc = work / "mbsyncrc"
    rc.write_text(mbsync_account(server, user) + f"""\

MaildirStore near
Path {work}/mail/
Inbox {work}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    (work / "mail").mkdir(exist_ok=True)
    return str(rc)


def test_mbsync_both_ways(server, joe, work):
    mbsync = need("mbsync", "isync")
    for subject in ("One", "Two", "Three"):
        server.deliver(message(subject), joe)
    rc = mbsyncrc(server, joe, work)
    run([mbsync, "-c", rc, "-a"], work)
    near = mailbox.Maildir(work / "mail/INBOX", create=False)
    assert sorted(m["Subject"] for m in near) == ["One", "Three", "Two"]
    # Here: one flagged, one removed, one new. All must get there.
    for key, mail in near.items():
        if mail["Subject"] == "One":
            mail.add_flag("FS")
            near[key] = mail
        elif mail["Subject"] == "Two":
            near.remove(key)
    near.add(message("Four"))
    run([mbsync, "-c", rc, "-a"], work)
    names = server.files(joe)
    assert len(names) == 3
    assert sum(name.endswith(":2,FS") for name in names) == 1
    # A second look finds nothing to do.
    run([mbsync, "-c", rc, "-a"], work)
    assert server.files(joe) == names


def fetchmail(work, lines, mda):
    rc = work / "fetchmailrc"
    rc.write_text(lines)
    rc.chmod(0o600)
    program = need("fetchmail", "fetchmail")
    done = subprocess.run(
        [program, "-f", str(rc), "--pidfile", str(work / "pid"), "-v",
         "--nosyslog", "--mda", mda],
        cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LONG,
        env={"PATH": os.environ["PATH"], "HOME": str(work / "home"),
             "FETCHMAILHOME": str(work), "LC_ALL": "C"})
    assert done.returncode in (0, 1), (done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize("proto, service", [
    ("imap", "imapd-ssl"), ("imap", "imapd"),
    ("pop3", "pop3d-ssl"), ("pop3", "pop3d")])
def test_fetchmail(server, joe, work, proto, service):
    for subject in ("One", "Two"):
        server.deliver(message(subject), joe)
    tls = ("ssl " if service.endswith("-ssl") else "")
    fetchmail(
        work,
        f"poll localhost proto {proto} port {server.port[service]}\n"
        f"user '{joe}' pass '{PASSWORD}' {tls}sslproto 'auto' sslcertck "
        f"sslcertfile '{server.cert.with_suffix('.crt')}'\n"
        f"no keep fetchall\n", f"sh -c 'cat >>{work}/got'")
    got = (work / "got").read_text()
    assert re.findall("^Subject: (.*)$", got, re.M) == ["One", "Two"]
    assert server.files(joe) == []


@pytest.mark.parametrize("retriever, service", [
    ("SimpleIMAPSSLRetriever", "imapd-ssl"),
    ("SimplePOP3SSLRetriever", "pop3d-ssl")])
def test_getmail(server, joe, work, retriever, service):
    getmail = need("getmail", "getmail6")
    for subject in ("One", "Two"):
        server.deliver(message(subject), joe)
    for sub in ("cur", "new", "tmp"):
        (work / "out" / sub).mkdir(parents=True)
    (work / "getmailrc").write_text(
        f"[retriever]\ntype = {retriever}\nserver = localhost\n"
        f"port = {server.port[service]}\nusername = {joe}\n"
        f"password = {PASSWORD}\n"
        f"ca_certs = {server.cert.with_suffix('.crt')}\n"
        f"[destination]\ntype = Maildir\npath = {work}/out/\n"
        f"[options]\nread_all = true\ndelete = true\n")
    argv = [getmail, "--getmaildir", str(work), "--rcfile", "getmailrc"]
    if os.geteuid() == 0:
        # It refuses to deliver as root, or as someone without a name.
        nobody = pwd.getpwnam("nobody")
        argv = ["setpriv", f"--reuid={nobody.pw_uid}",
                f"--regid={nobody.pw_gid}", "--clear-groups", "--", *argv]
        for path in (work, *work.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        for path in work.parents:
            if str(path).startswith("/tmp/"):
                path.chmod(path.stat().st_mode | 0o011)
    run(argv, work, again=STUMBLES)
    out = mailbox.Maildir(work / "out", create=False)
    assert sorted(m["Subject"] for m in out) == ["One", "Two"]
    assert server.files(joe) == []


def test_offlineimap(server, joe, work):
    offlineimap = need("offlineimap", "offlineimap3")
    for subject in ("One", "Two"):
        server.deliver(message(subject), joe)
    server.deliver(message("Sent"), joe, ".Sent")
    (work / "rc").write_text(
        f"[general]\naccounts = a\nmetadata = {work}/meta\nui = quiet\n"
        f"[Account a]\nlocalrepository = l\nremoterepository = r\n"
        f"[Repository l]\ntype = Maildir\nlocalfolders = {work}/mail\n"
        f"[Repository r]\ntype = IMAP\nremotehost = localhost\n"
        f"remoteport = {server.port['imapd-ssl']}\nremoteuser = {joe}\n"
        f"remotepass = {PASSWORD.replace('%', '%%')}\nssl = yes\n"
        f"sslcacertfile = {server.cert.with_suffix('.crt')}\n")
    run([offlineimap, "-c", str(work / "rc"), "-o", "-1"], work)
    inbox = mailbox.Maildir(work / "mail/INBOX", create=False)
    assert sorted(m["Subject"] for m in inbox) == ["One", "Two"]
    assert (work / "mail/INBOX.Sent").is_dir() or \
        (work / "mail/INBOX/Sent").is_dir()
    for key, mail in inbox.items():
        if mail["Subject"] == "One":
            mail.set_subdir("cur")
            mail.add_flag("S")
            inbox[key] = mail
    run([offlineimap, "-c", str(work / "rc"), "-o", "-1"], work)
    assert sum(":2,S" in name for name in server.files(joe)) == 1


def test_imapfilter(server, joe, work):
    imapfilter = need("imapfilter", "imapfilter")
    for subject in ("Keep", "Sort me", "Drop me"):
        server.deliver(message(subject), joe)
    (work / "config.lua").write_text(f"""
options.create = true
account = IMAP {{ server = 'localhost', username = '{joe}',
    password = '{PASSWORD}', port = {server.port['imapd-ssl']},
    ssl = 'auto' }}
found = account.INBOX:contain_subject('Sort me')
found:mark_flagged()
found:move_messages(account['Sorted'])
account.INBOX:contain_subject('Drop me'):delete_messages()
account.INBOX:contain_from('ann'):mark_seen()
""")
    run([imapfilter, "-c", "config.lua", "-t",
         str(server.cert.with_suffix(".crt"))], work)
    assert [name.split(":2,")[1] for name in server.files(joe)] == ["S"]
    assert [name.split(":2,")[1]
            for name in server.files(joe, ".Sorted")] == ["F"]


ALPINE = r"""
set timeout 40
spawn {alpine} -p pinerc -i
expect {{
    "ENTER PASSWORD" {{ send "{password}\r" ; exp_continue }}
    "Preserve password" {{ send "n" ; exp_continue }}
    "First" {{ }}
    timeout {{ exit 3 }}
}}
send "\r"
expect "Hello, world."
send "d"
expect "Second"
send "q"
expect "Expunge"
send "y"
expect eof
"""


def test_alpine(server, joe, work):
    alpine = need("alpine", "alpine")
    expect = need("expect", "expect")
    server.deliver(message("First"), joe)
    server.deliver(message("Second"), joe)
    inbox = (f"{{localhost:{server.port['imapd']}/imap/tls/novalidate-cert"
             f"/user={joe}}}INBOX")
    (work / "pinerc").write_text(
        f"inbox-path={inbox}\nuser-domain=example.com\n"
        f"last-version-used=99.99\npersonal-name=Joe\n"
        "feature-list=quit-without-confirm,no-enable-msg-view-urls\n")
    (work / "script").write_text(
        ALPINE.format(alpine=alpine, password=PASSWORD))
    run([expect, "-f", "script"], work)
    names = wait_for(lambda: len(server.files(joe)) == 1
                     and server.files(joe), "alpine has expunged the first")
    assert names


def test_large_message_through_tls(server, joe, work):
    """More than any buffer between disk and client holds."""
    curl = need("curl", "curl")
    body = "".join(f"{n:08d} " + "x" * 67 + "\n" for n in range(200_000))
    server.deliver(message("Large", body=body), joe)
    for url in (f"imaps://localhost:{server.port['imapd-ssl']}/INBOX;"
                "MAILINDEX=1",
                f"pop3s://localhost:{server.port['pop3d-ssl']}/1"):
        text = run([curl, "-sS", "--user", f"{joe}:{PASSWORD}", "--cacert",
                    str(server.cert.with_suffix(".crt")), url], work)
        assert text.replace("\r", "").endswith("\n" + body)


def test_user_is_the_one_of_the_table(server, joe, work):
    """A Maildir that isn't there is made at login, as Courier's users know."""
    curl = need("curl", "curl")
    assert not server.maildir(joe).exists()
    run([curl, "-sS", "--user", f"{joe}:{PASSWORD}",
         f"imap://localhost:{server.port['imapd']}/INBOX?ALL"], work)
    assert sorted(p.name for p in server.maildir(joe).iterdir()
                  if p.name in ("cur", "new", "tmp")) == ["cur", "new", "tmp"]
    assert server.maildir(joe).stat().st_mode & 0o777 == 0o700
    assert JOE != joe
