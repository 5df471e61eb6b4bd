"""Mail from a real Postfix, users in a real MariaDB, read by real clients."""

import mailbox
import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile

import pytest
import system
import waiting
from postern import (ANN, JOE, PASSWORD, PATIENCE, Lines, imap, message, need,
                     pop3, run_mutt, wait_for)


@pytest.fixture(scope="module")
def howto():
    why = system.missing()
    if why is not None:
        pytest.skip(why)
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    s = None
    try:
        s = system.System(base)
        s.start()
        yield s
    finally:
        try:
            if s is not None:
                s.stop()
        finally:
            shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def empty(howto):
    """Both mailboxes without a message."""
    for user in (JOE, ANN):
        with imap(howto.server, user) as c:
            c.ok("SELECT INBOX")
            c.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)") \
                if howto.server.files(user) else None
            c.ok("EXPUNGE")
            c.ok("LOGOUT")
        assert howto.server.files(user) == []
    return howto


def owner(path):
    st = path.stat()
    return st.st_uid, st.st_gid


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def has_no_rights(status):
    """Of root's nothing is left, and nothing can be had again."""
    assert status["Groups"].split() == []
    assert status["NoNewPrivs"] == "1"
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(status[name], 16) == 0, name


def logs_in(server, user):
    try:
        with imap(server, user) as c:
            return c.ok("SELECT INBOX")
    except AssertionError:
        return None


def run(argv, work, ok=(0,)):
    done = subprocess.run(
        [str(a) for a in argv], cwd=work, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=4 * PATIENCE,
        env={"PATH": os.environ["PATH"], "HOME": str(work), "TERM": "xterm",
             "FETCHMAILHOME": str(work), "LC_ALL": "C.UTF-8"})
    assert done.returncode in ok, (argv, done.stdout, done.stderr)
    return done.stdout


def test_sendmail_and_smtp_to_users_of_two_uids(empty):
    empty.mta.sendmail(JOE, message("By sendmail"))
    empty.mta.smtp(ANN, message("By SMTP", to=ANN))
    for user, subject in ((JOE, "By sendmail"), (ANN, "By SMTP")):
        empty.wait_files(user, 1)
        box = empty.server.maildir(user)
        assert owner(box) == (empty.server.users[user]["uid"],) * 2
        with imap(empty.server, user) as c:
            assert "* 1 EXISTS" in c.ok("SELECT INBOX")
            text = "\n".join(c.ok("FETCH 1 BODY[]"))
            assert f"Subject: {subject}" in text
            assert "Return-Path: <ann@example.com>" in text
        with pop3(empty.server, user) as p:
            text = "\n".join(p.pop("RETR 1", multi=True))
            assert f"Subject: {subject}" in text
            p.pop("QUIT")
        # What Postern wrote belongs to the user of the table as well.
        wait_for(lambda box=box: (box / "postern.db").exists(), "an index")
        for path in box.rglob("*"):
            assert owner(path) == (empty.server.users[user]["uid"],) * 2


def test_workers_run_as_the_users(empty):
    with imap(empty.server, JOE) as a, imap(empty.server, ANN) as b:
        a.ok("SELECT INBOX")
        b.ok("SELECT INBOX")
        uids = set()
        for pid in empty.server.workers():
            status = status_of(pid)
            uids.add(tuple(status["Uid"].split()))
            assert status["Gid"].split() == status["Uid"].split()
            has_no_rights(status)
        assert {("64201",) * 4, ("64202",) * 4} <= uids
        login = [pid for pid, name in empty.server.children()
                 if name == "posternd"
                 and os.readlink(f"/proc/{pid}/root") != "/"]
        assert login, "login processes are not chrooted"
        for pid in login:
            status = status_of(pid)
            assert "0" not in status["Uid"].split()
            assert status["Seccomp"] == "2"
            has_no_rights(status)


def test_workers_hold_no_file_of_another(empty):
    """Nothing of the master's or of another user's, whoever came first."""
    with imap(empty.server, JOE) as a, imap(empty.server, ANN) as b:
        a.ok("SELECT INBOX")
        b.ok("SELECT INBOX")
        boxes = {empty.server.users[user]["uid"]:
                 str(empty.server.maildir(user)) for user in (JOE, ANN)}
        seen = set()
        for pid in empty.server.workers():
            uid = int(status_of(pid)["Uid"].split()[0])
            folder = f"/proc/{pid}/fd"
            files = [os.readlink(f"{folder}/{n}") for n in os.listdir(folder)
                     if int(n) > 2]
            files = [f for f in files if f.startswith("/")]
            assert files, "no file of its own"
            assert all(f.startswith(boxes[uid]) for f in files), files
            seen.add(uid)
        assert seen == set(boxes)


def test_delivery_while_a_session_is_open(empty):
    with imap(empty.server) as c:
        c.ok("SELECT INBOX")
        c.send("i IDLE\r\n")
        assert c.line().startswith("+")
        empty.mta.sendmail(JOE, message("Now"))
        line = c.line()
        while "EXISTS" not in line:
            line = c.line()
        assert line == "* 1 EXISTS"


def test_outbox(empty):
    """APPEND and COPY into OUTBOX reach another user by Postfix's sendmail."""
    text = message("By APPEND", sender=JOE, to=ANN).replace("\n", "\r\n")
    with imap(empty.server, JOE) as c:
        assert "XCOURIEROUTBOX=INBOX.Outbox" in c.ok("CAPABILITY")[0]
        c.ok("CREATE INBOX.Outbox")
        c.send(b"t APPEND INBOX.Outbox {%d+}\r\n%s\r\n" % (
            len(text), text.encode()))
        assert "t OK [APPENDUID" in c.line()
        empty.wait_files(ANN, 1)
        (path,) = empty.server.maildir(ANN).glob("new/*")
        mail = path.read_text()
        assert "\nSubject: By APPEND\n" in mail
        assert f"\nX-IMAP-Sender: {JOE}\n" in mail
        assert mail.startswith(f"Return-Path: <{JOE}>\n")
        c.ok("SELECT INBOX.Outbox")
        c.ok("COPY 1 INBOX.Outbox")
        assert len(empty.wait_files(ANN, 2)) == 2
        assert "MESSAGES 2" in c.ok("STATUS INBOX.Outbox (MESSAGES)")[0]
        c.ok("CLOSE")
        c.ok("DELETE INBOX.Outbox")


def test_alias(empty):
    empty.db.sql("REPLACE INTO postfix_virtual (email, destination) "
                 f"VALUES ('info@example.com', '{JOE},{ANN}')")
    empty.mta.smtp("info@example.com", message("For both"))
    empty.wait_files(JOE, 1)
    empty.wait_files(ANN, 1)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        empty.mta.smtp("nobody.here@example.com", message("Lost"))


def test_curl(empty, tmp_path):
    curl = need("curl", "curl")
    empty.mta.sendmail(JOE, message("For curl"))
    empty.wait_files(JOE, 1)
    port = empty.server.port
    auth = [curl, "-sS", "--user", f"{JOE}:{PASSWORD}", "--cacert",
            empty.server.cert.with_suffix(".crt")]
    for url in (f"imaps://localhost:{port['imapd-ssl']}/INBOX;MAILINDEX=1",
                f"imap://localhost:{port['imapd']}/INBOX;MAILINDEX=1",
                f"pop3s://localhost:{port['pop3d-ssl']}/1",
                f"pop3://localhost:{port['pop3d']}/1"):
        assert "Subject: For curl" in run([*auth, url], tmp_path)


def test_mutt_flags_are_seen_by_others(empty, tmp_path):
    server = empty.server
    empty.mta.sendmail(JOE, message("Keep"))
    empty.wait_files(JOE, 1)
    # It gets its UID now: names of one second don't tell which was first.
    with imap(server) as c:
        c.ok("SELECT INBOX")
    empty.mta.sendmail(JOE, message("Drop"))
    empty.wait_files(JOE, 2)
    run_mutt(server, JOE, tmp_path, "<first-entry><flag-message><last-entry>"
             "<delete-message><sync-mailbox><quit>")
    (name,) = empty.wait_files(JOE, 1)
    assert "F" in name.split(":2,")[1]
    with imap(server) as c:
        c.ok("SELECT INBOX")
        lines = "\n".join(c.ok("FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS "
                               "(SUBJECT)])"))
        assert r"\Flagged" in lines and "Subject: Keep" in lines
        c.ok(r"STORE 1 -FLAGS (\Flagged)")
        c.ok(r"STORE 1 +FLAGS (\Answered \Seen)")
    (name,) = server.files(JOE)
    assert name.endswith(":2,RS")


def test_mbsync(empty, tmp_path):
    mbsync = need("mbsync", "isync")
    for n in range(3):
        empty.mta.smtp(JOE, message(f"Number {n}"))
    empty.wait_files(JOE, 3)
    server = empty.server
    rc = tmp_path / "rc"
    rc.write_text(
        f"IMAPAccount a\nHost localhost\nPort {server.port['imapd']}\n"
        f"User {JOE}\nPass \"{PASSWORD}\"\nSSLType STARTTLS\n"
        f"CertificateFile {server.cert.with_suffix('.crt')}\n\n"
        "IMAPStore far\nAccount a\n\nMaildirStore near\n"
        f"Path {tmp_path}/mail/\nInbox {tmp_path}/mail/INBOX\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\n"
        "Expunge Both\nSyncState *\n")
    (tmp_path / "mail").mkdir()
    run([mbsync, "-c", rc, "-a"], tmp_path)
    near = mailbox.Maildir(tmp_path / "mail/INBOX", create=False)
    assert sorted(m["Subject"] for m in near) == [
        f"Number {n}" for n in range(3)]
    for key, mail in near.items():
        if mail["Subject"] == "Number 1":
            near.remove(key)
    run([mbsync, "-c", rc, "-a"], tmp_path)
    assert len(server.files(JOE)) == 2


@pytest.mark.parametrize("proto, service", [("imap", "imapd-ssl"),
                                            ("pop3", "pop3d-ssl")])
def test_fetchmail(empty, tmp_path, proto, service):
    fetchmail = need("fetchmail", "fetchmail")
    for n in range(2):
        empty.mta.smtp(JOE, message(f"Number {n}"))
    empty.wait_files(JOE, 2)
    rc = tmp_path / "rc"
    rc.write_text(
        f"poll localhost proto {proto} port {empty.server.port[service]}\n"
        f"user '{JOE}' pass '{PASSWORD}' ssl sslcertck sslcertfile "
        f"'{empty.server.cert.with_suffix('.crt')}' fetchall no keep\n")
    rc.chmod(0o600)
    run([fetchmail, "-f", rc, "--pidfile", tmp_path / "pid", "--nosyslog",
         "--mda", f"sh -c 'cat >>{tmp_path}/got'"], tmp_path)
    got = (tmp_path / "got").read_text()
    assert sorted(re.findall("^Subject: (.*)$", got, re.M)) == [
        "Number 0", "Number 1"]
    assert empty.server.files(JOE) == []


def test_deleted_is_gone_from_disk(empty):
    empty.mta.sendmail(JOE, message("Short life"))
    empty.wait_files(JOE, 1)
    with pop3(empty.server) as p:
        p.pop("DELE 1")
        assert len(empty.server.files(JOE)) == 1
        assert p.pop("QUIT")[0].startswith("+OK")
    assert empty.server.files(JOE) == []


def test_access_no_means_no_login(empty):
    empty.db.sql(f"UPDATE postfix_users SET access='N' WHERE email='{ANN}'")
    try:
        with Lines(empty.server.connect()) as c:
            c.line()
            assert c.imap(f'LOGIN {ANN} "{PASSWORD}"')[-1].split()[1] == "NO"
    finally:
        empty.db.sql(
            f"UPDATE postfix_users SET access='Y' WHERE email='{ANN}'")
    wait_for(lambda: logs_in(empty.server, ANN), "Ann may log in again")


def test_database_stopped(empty):
    server = empty.server

    def refused():
        with Lines(server.connect()) as c:
            c.line()
            answer = c.imap(f'LOGIN {JOE} "{PASSWORD}"')[-1]
        assert " NO [UNAVAILABLE]" in answer

    def refused_pop():
        with Lines(server.connect("pop3d")) as p:
            p.line()
            p.pop(f"USER {JOE}")
            assert p.pop(f"PASS {PASSWORD}")[0].startswith("-ERR [SYS/TEMP]")

    with imap(server) as logged_in:
        logged_in.ok("SELECT INBOX")
        before = server.log().count("LOGIN FAILED")
        empty.db.stop()
        for work in (refused, refused_pop):
            watch = waiting.Watch(server.pid(), server.pid("authdaemond"))
            work()
            assert watch.seconds() < 6
        logged_in.ok("NOOP")
        assert server.log().count("LOGIN FAILED") == before
        empty.db.start()

    wait_for(lambda: logs_in(server, JOE), "logins work again by themselves")
