"""The programs that use authdaemond: Debian's authtest, authenumerate and
maildrop, Cyrus SASL's authdaemond method, and Postfix by the SASL protocol.

Each has its own way to find the end of an answer and its own idea of a
temporary failure; each is tried for both.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import smtplib
import subprocess
import sys

import pytest

import support
from scram import Scram
from support import JOE

# --- Courier's clients -------------------------------------------------------


def test_authtest(courier):
    done = courier("authtest", JOE, "secret")
    assert done.returncode == 0
    assert "Authenticated: joe@example.com  (uid 5000, gid 5000)" in \
        done.stdout
    assert "Maildir: example.com/joe/" in done.stdout
    assert "Cleartext Password: secret" in done.stdout
    assert courier("authtest", "-s", "imap", JOE).returncode == 0


def test_authtest_refused(courier):
    for words in ((JOE, "wrong"), ("nobody", "secret"), ("nobody",)):
        done = courier("authtest", *words)
        assert done.returncode == 1
        assert "Operation not permitted" in done.stderr


def test_authtest_temporary(courier, table):
    table.add("unusable", clear="secret", uid=0)
    done = courier("authtest", "unusable", "secret")
    assert done.returncode == 1 and "Input/output error" in done.stderr


def test_authtest_changes_a_password(courier, daemon, table):
    table.add("mover", clear="old")
    assert courier("authtest", "mover", "wrong", "n3w").returncode == 1
    assert courier("authtest", "mover", "old", "n3w").returncode == 0
    assert daemon.login("mover", "n3w").startswith(b"UID=")


def test_authenumerate(courier):
    done = courier("authenumerate")
    assert done.returncode == 0
    assert f"{JOE}\t5000\t5000\t/home/vmail\texample.com/joe/\n" in done.stdout


def test_authenumerate_cut_short(courier, daemon, table):
    """A list whose end lacks isn't taken for one that is whole."""
    table.db.execute("ALTER TABLE postfix_users RENAME TO elsewhere")
    try:
        assert courier("authenumerate").returncode == 1
    finally:
        table.db.execute("ALTER TABLE elsewhere RENAME TO postfix_users")
    assert courier("authenumerate").returncode == 0


def test_authenumerate_options(courier, daemon, table):
    table.add("private", clear="x")
    daemon.write("authsqliterc", table.rc() +
                 "SQLITE_AUXOPTIONS_FIELD CASE email WHEN 'private' "
                 "THEN 'disableshared=1' ELSE '' END\n")
    try:
        everybody = courier("authenumerate", "-o").stdout
        assert "\tdisableshared=1\n" in everybody
        shared = courier("authenumerate", "-s").stdout
        assert "private\t" not in shared and f"{JOE}\t" in shared
    finally:
        daemon.write("authsqliterc", table.rc())


def test_maildrop(courier, table, directory):
    home = pathlib.Path(directory) / "home"
    home.mkdir(exist_ok=True)
    os.chown(home, 5000, 5000)
    os.chmod(home, 0o700)
    table.add("dropper", homedir=str(home), maildir="./Maildir/", quota="")
    maildir = home / "Maildir"
    for part in ("", "tmp", "new", "cur"):
        (maildir / part).mkdir(exist_ok=True)
        os.chown(maildir / part, 5000, 5000)
    done = courier("maildrop", "-d", "dropper",
                   input="Subject: hi\n\nbody\n")
    assert done.returncode == 0, done.stderr
    message, = (maildir / "new").iterdir()
    assert "Subject: hi" in message.read_text()
    assert message.stat().st_uid == 5000
    assert courier("maildrop", "-d", "nobodyhere", input="x\n").returncode != 0


# --- Cyrus SASL ------------------------------------------------------------------

SASL_CHECK = """
import ctypes, sys
directory, user, password = (a.encode() for a in sys.argv[1:])
sasl = ctypes.CDLL("libsasl2.so.2")
assert sasl.sasl_set_path(1, directory) == 0
assert sasl.sasl_server_init(None, b"smtpd") == 0
conn = ctypes.c_void_p()
assert sasl.sasl_server_new(b"smtp", b"localhost", None, None, None, None, 0,
                            ctypes.byref(conn)) == 0
print(sasl.sasl_checkpass(conn, user, len(user), password, len(password)))
"""
SASL_OK, SASL_FAIL, SASL_BADAUTH, SASL_NOUSER = 0, -1, -13, -20


@pytest.fixture(scope="module")
def cyrus(daemon, directory):
    """sasl_checkpass() as Postfix with smtpd_sasl_type = cyrus calls it."""
    (pathlib.Path(directory) / "smtpd.conf").write_text(
        "pwcheck_method: authdaemond\nmech_list: PLAIN LOGIN\n"
        f"authdaemond_path: {daemon.var}/socket\n")

    def check(user, password):
        done = subprocess.run(
            [sys.executable, "-c", SASL_CHECK, directory, user, password],
            capture_output=True, text=True, timeout=40)
        if "libsasl2" in done.stderr:
            pytest.skip("libsasl2 is missing: apt-get install libsasl2-2")
        assert done.returncode == 0, done.stderr
        return int(done.stdout)
    return check


def test_cyrus(cyrus):
    """It reads to the end of the stream, and takes a connection that is reset
    for a failure although the answer was there."""
    for _ in range(5):
        assert cyrus(JOE, "secret") == SASL_OK
    assert cyrus(JOE, "wrong") in (SASL_BADAUTH, SASL_NOUSER)
    assert cyrus("nobody", "secret") in (SASL_BADAUTH, SASL_NOUSER)


def test_cyrus_temporary(cyrus, table):
    table.add("unusable", clear="secret", uid=0)
    assert cyrus("unusable", "secret") == SASL_FAIL


# --- Postfix ------------------------------------------------------------------------

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.com
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
default_transport = discard
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_security_options = noanonymous
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_client_restrictions =
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
anvil     unix  -       -       n       -       1       anvil
rewrite   unix  -       -       n       -       -       trivial-rewrite
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
bounce    unix  -       -       n       -       0       bounce
discard   unix  -       -       n       -       -       discard
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
proxymap  unix  -       -       n       -       -       proxymap
"""


CYRUS_CF = """\
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
"""


@contextlib.contextmanager
def running_postfix(base, table, more=""):
    """A Postfix of its own, and an authdaemond with a socket in its queue."""
    if os.getuid() != 0 or shutil.which("postfix") is None:
        pytest.skip("needs root and Postfix: apt-get install postfix")
    conf = base / "conf"
    conf.mkdir(parents=True)
    (base / "data").mkdir()
    (base / "spool" / "private").mkdir(parents=True)
    user = pwd.getpwnam("postfix")
    os.chown(base / "data", user.pw_uid, user.pw_gid)
    os.chown(base / "spool" / "private", user.pw_uid, -1)
    port = support.free_port()
    (conf / "main.cf").write_text((MAIN_CF + more).format(base=base))
    (conf / "master.cf").write_text(MASTER_CF.format(port=port))
    d = support.Authdaemond(
        base / "d", "authsqlite", AUTH_SASL_SOCKETS=(
            f"{base}/spool/private/auth:0660:postfix:postfix"))
    d.write("authsqliterc", table.rc())
    d.start()
    # As adduser postfix courier does.
    os.chmod(d.var, 0o755)
    # Debian's Postfix looks beside main.cf.
    (conf / "sasl").mkdir()
    (conf / "sasl" / "smtpd.conf").write_text(
        "pwcheck_method: authdaemond\nmech_list: PLAIN LOGIN\n"
        f"authdaemond_path: {d.var}/socket\n")
    subprocess.run(["postfix", "-c", conf, "start"], check=True,
                   capture_output=True, timeout=60)
    d.port = port

    def is_up():
        with contextlib.suppress(OSError), smtp(d) as s:
            return s.noop()[0] == 250
    try:
        support.wait_for(is_up, "Postfix is up", 30)
        yield d
    finally:
        subprocess.run(["postfix", "-c", conf, "stop"], capture_output=True,
                       timeout=60)
        d.stop()


@pytest.fixture(scope="module")
def postfix(directory, table):
    with running_postfix(pathlib.Path(directory) / "pf", table) as d:
        yield d


@pytest.fixture(scope="module")
def cyrus_postfix(directory, table):
    with running_postfix(pathlib.Path(directory) / "pc", table,
                         CYRUS_CF) as d:
        yield d


def smtp(daemon):
    s = smtplib.SMTP("127.0.0.1", daemon.port, "client.example.com",
                     timeout=30)
    s.ehlo()
    return s


def send(s):
    s.sendmail(JOE, ["someone@example.org"], "Subject: hi\r\n\r\nbody\r\n")


def test_postfix_offers_them(postfix):
    with smtp(postfix) as s:
        offered = s.esmtp_features["auth"].split()
        assert {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"} <= set(offered)
        # It can't pass a channel binding.
        assert not [name for name in offered if name.endswith("-PLUS")]
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(s)


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_postfix(postfix, name):
    with smtp(postfix) as s:
        s.esmtp_features["auth"] = name
        s.login(JOE, "secret")
        send(s)
    with smtp(postfix) as s:
        s.esmtp_features["auth"] = name
        for _ in range(2):
            with pytest.raises(smtplib.SMTPAuthenticationError) as e:
                s.login(JOE, "wrong")
            assert e.value.smtp_code == 535


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("password, code", [("secret", 235), ("wrong", 535)])
def test_postfix_scram(postfix, name, password, code):
    client = Scram(name, JOE, password)
    steps = iter((client.first, client.final, lambda _: ""))

    def answer(challenge=None):
        if not challenge:
            return next(steps)()
        if challenge.startswith(b"v="):
            assert challenge.decode() == client.verifier
        return next(steps)(challenge.decode())
    with smtp(postfix) as s:
        if code == 235:
            assert s.auth(name, answer)[0] == 235
            send(s)
        else:
            with pytest.raises(smtplib.SMTPAuthenticationError) as e:
                s.auth(name, answer)
            assert e.value.smtp_code == 535


def test_postfix_temporary(postfix, table):
    """454, and the next login in the same session works."""
    table.add("unusable", clear="secret", uid=0)
    with smtp(postfix) as s:
        s.esmtp_features["auth"] = "PLAIN"
        with pytest.raises(smtplib.SMTPAuthenticationError) as e:
            s.login("unusable", "secret")
        assert e.value.smtp_code == 454
        s.login(JOE, "secret")
        send(s)


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks(postfix, name):
    if shutil.which("swaks") is None:
        pytest.skip("swaks is missing: apt-get install swaks")
    for password, status in (("secret", 0), ("wrong", 28)):
        done = subprocess.run(
            ["swaks", "--server", f"127.0.0.1:{postfix.port}", "--auth", name,
             "--auth-user", JOE, "--auth-password", password, "--from", JOE,
             "--to", "someone@example.org"], capture_output=True, text=True,
            timeout=60)
        assert done.returncode == status, done.stdout


@pytest.mark.parametrize("mech", ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5",
                                  "PLAIN", "LOGIN"])
def test_gsasl_over_smtp(postfix, mech):
    """GNU SASL, for swaks has no SCRAM: it checks the server's signature."""
    if shutil.which("gsasl") is None:
        pytest.skip("gsasl is missing: apt-get install gsasl")
    for password, good in (("secret", True), ("wrong", False)):
        done = subprocess.run(
            ["gsasl", "--smtp", "--connect", f"127.0.0.1:{postfix.port}",
             "--no-starttls", "--mechanism", mech, "-a", JOE, "-p", password],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60)
        assert (done.returncode == 0) == good, done.stdout + done.stderr
        if good and mech.startswith("SCRAM"):
            assert "server trusted" in done.stderr


# --- Postfix by Cyrus SASL --------------------------------------------------------

@pytest.mark.parametrize("name", ["PLAIN", "LOGIN"])
def test_cyrus_postfix(cyrus_postfix, table, name):
    """smtpd_sasl_type = cyrus, pwcheck_method: authdaemond."""
    table.add("unusable", clear="secret", uid=0)
    with smtp(cyrus_postfix) as s:
        assert set(s.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
        s.esmtp_features["auth"] = name
        for user, password, code in ((JOE, "wrong", 535),
                                     ("nobody", "secret", 535),
                                     ("unusable", "secret", 454)):
            with pytest.raises(smtplib.SMTPAuthenticationError) as e:
                s.login(user, password)
            assert e.value.smtp_code == code, user
        s.login(JOE, "secret")
        send(s)


def test_cyrus_postfix_without_authdaemond(cyrus_postfix):
    """Away is a temporary failure there too, and back is back."""
    cyrus_postfix.stop()
    try:
        with smtp(cyrus_postfix) as s:
            s.esmtp_features["auth"] = "PLAIN"
            with pytest.raises(smtplib.SMTPAuthenticationError) as e:
                s.login(JOE, "secret")
            assert e.value.smtp_code == 454
    finally:
        cyrus_postfix.start()
    with smtp(cyrus_postfix) as s:
        s.esmtp_features["auth"] = "PLAIN"
        s.login(JOE, "secret")
