"""authuserdb and authpam, and the order of modules."""

import hashlib
import hmac
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import support
from support import JOE, auth_request, b64, record


def contexts(name, password):
    """The two halves of an HMAC as userdbpw makes them: the states of the
    hash after one block, which only an implementation of ours shows."""
    digest = {"md5": md5_state, "sha1": sha1_state}[name]
    key = password.encode().ljust(64, b"\0")
    outer = digest(bytes(b ^ 0x5C for b in key))
    inner = digest(bytes(b ^ 0x36 for b in key))
    return (outer + inner).hex()


def rol(x, n):
    x &= 0xFFFFFFFF
    return (x << n | x >> (32 - n)) & 0xFFFFFFFF


def md5_state(block):
    """MD5 (RFC 1321) of one block, without padding."""
    import math
    shifts = ([7, 12, 17, 22] * 4 + [5, 9, 14, 20] * 4 + [4, 11, 16, 23] * 4 +
              [6, 10, 15, 21] * 4)
    init = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    words = [int.from_bytes(block[i:i + 4], "little")
             for i in range(0, 64, 4)]
    a, b, c, d = init
    for i in range(64):
        if i < 16:
            f, g = b & c | ~b & d, i
        elif i < 32:
            f, g = d & b | ~d & c, (5 * i + 1) % 16
        elif i < 48:
            f, g = b ^ c ^ d, (3 * i + 5) % 16
        else:
            f, g = c ^ (b | ~d & 0xFFFFFFFF), 7 * i % 16
        k = int(abs(math.sin(i + 1)) * 2 ** 32) & 0xFFFFFFFF
        f = (f + a + k + words[g]) & 0xFFFFFFFF
        a, d, c, b = d, c, b, (b + rol(f, shifts[i])) & 0xFFFFFFFF
    return b"".join(((x + y) & 0xFFFFFFFF).to_bytes(4, "little")
                    for x, y in zip(init, (a, b, c, d)))


def sha1_state(block):
    """SHA-1 of one block, without padding."""
    init = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    w = [int.from_bytes(block[i:i + 4], "big") for i in range(0, 64, 4)]
    for i in range(16, 80):
        w.append(rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1))
    a, b, c, d, e = init
    for i in range(80):
        if i < 20:
            f, k = b & c | ~b & d, 0x5A827999
        elif i < 40:
            f, k = b ^ c ^ d, 0x6ED9EBA1
        elif i < 60:
            f, k = b & c | b & d | c & d, 0x8F1BBCDC
        else:
            f, k = b ^ c ^ d, 0xCA62C1D6
        a, b, c, d, e = ((rol(a, 5) + (f & 0xFFFFFFFF) + e + k + w[i])
                         & 0xFFFFFFFF, a, rol(b, 30), c, d)
    return b"".join(((x + y) & 0xFFFFFFFF).to_bytes(4, "big")
                    for x, y in zip(init, (a, b, c, d, e)))


HASH = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"


@pytest.fixture(scope="module")
def userdb(directory):
    d = support.Authdaemond(directory + "/u", "authuserdb")
    write_userdb(d, USERDB)
    d.start()
    yield d
    d.stop()


USERDB = (
    "# a comment\n"
    f"{JOE}\tuid=5000|gid=5001|home=/home/vmail|mail=example.com/joe/|"
    f"quota=1000S|gecos=Joe, the plumber|options=disableimap=1|"
    f"systempw={HASH}|pop3pw={{MD5RAW}}{hashlib.md5(b'pop').hexdigest()}|"
    f"hmac-md5pw={contexts('md5', 'secret')}|"
    f"hmac-sha1pw={contexts('sha1', 'secret')}\n"
    "nopw\tuid=5000|gid=5000|home=/h\n"
    f"broken\tuid=x|gid=5000|home=/h|systempw={HASH}\n")


def write_userdb(daemon, text):
    path = daemon.conf / "userdb"
    path.touch(0o600)
    path.write_text(text)


JOES = dict(GID=5001, NAME="Joe", QUOTA="1000S", OPTIONS="disableimap=1")


def test_userdb(userdb):
    assert userdb.login() == record(**JOES, PASSWD=HASH)
    assert userdb.login(password="wrong") == b"FAIL\n"
    assert userdb.login("joe@example") == b"FAIL\n"
    assert userdb.login("# a comment") == b"FAIL\n"
    assert userdb.login("nopw", "x") == b"FAIL\n"
    assert userdb.login("broken") == b""


def test_userdb_password_of_a_service(userdb):
    assert userdb.login(password="pop", service="pop3").startswith(b"UID=")
    assert userdb.login(service="pop3") == b"FAIL\n"
    assert userdb.login(password="pop", service="imap") == b"FAIL\n"


@pytest.mark.parametrize("name", ["md5", "sha1"])
def test_userdb_cram(userdb, name):
    challenge = b"<0123456789ABCDEF@mail.example.com>"
    for password, good in ((b"secret", True), (b"wrong", False)):
        digest = hmac.new(password, challenge, name).hexdigest()
        body = (f"imap\ncram-{name}\n{b64(challenge)}\n"
                f"{b64(f'{JOE} {digest}')}\n").encode()
        answer = userdb.courier(b"AUTH %d\n" % len(body) + body)
        assert answer == (record(**JOES, PASSWD=HASH, PASSWD2=None) if good
                          else b"FAIL\n")


def test_userdb_pre_and_enumerate(userdb):
    assert userdb.courier(b"PRE . imap " + JOE.encode() + b"\n") == \
        record(**JOES, PASSWD=HASH, PASSWD2=None)
    assert userdb.courier(b"ENUMERATE\n") == (
        f"# authuserdb\n\n{JOE}\t5000\t5001\t/home/vmail\texample.com/joe/\t"
        "disableimap=1\nnopw\t5000\t5000\t/h\t\t\nbroken\tx\t5000\t/h\t\t\n"
        ".\n").encode()


def test_userdb_edits_count_at_once(userdb):
    write_userdb(userdb, USERDB + f"new\tuid=1000|gid=1000|home=/h|"
                                  f"systempw={HASH}\n")
    assert userdb.login("new").startswith(b"UID=1000")
    write_userdb(userdb, USERDB)
    assert userdb.login("new") == b"FAIL\n"


def test_userdb_that_lacks(userdb):
    os.rename(userdb.conf / "userdb", userdb.conf / "elsewhere")
    assert userdb.login() == b""
    os.rename(userdb.conf / "elsewhere", userdb.conf / "userdb")
    assert userdb.login() == record(**JOES, PASSWD=HASH)


def test_userdb_directory(directory):
    d = support.Authdaemond(directory + "/ud", "authuserdb")
    (d.conf / "userdb").mkdir(0o700)
    for name in ("one", "two"):
        path = d.conf / "userdb" / name
        path.touch(0o600)
        path.write_text(f"{name}\tuid=1000|gid=1000|home=/h|"
                        f"systempw={HASH}")
    d.start()
    try:
        assert d.login("one").startswith(b"UID=1000")
        assert d.login("two").startswith(b"UID=1000")
    finally:
        d.stop()


MALFORMED = (
    ("joe2 uid=1000|gid=1000|home=/h", "expected an address, a tab"),
    ("\tuid=1000|gid=1000|home=/h", "expected an address, a tab"),
    ("joe2\tuid=x|gid=1000|home=/h", "expected uid="),
    ("joe2\tuid=0|gid=1000|home=/h", "expected uid="),
    ("joe2\tgid=1000|home=/h", "expected uid="),
    ("joe2\tuid=1000|gid=|home=/h", "expected gid="),
    ("joe2\tuid=1000|gid=99999999999|home=/h", "expected gid="),
    ("joe2\tuid=1000|gid=1000", "expected home="),
    ("joe2\tuid=1000|gid=1000|home=h", "expected home="),
)


def test_userdb_malformed_lines_are_told(directory):
    """With file and line; nobody gets in by one, and the others count."""
    d = support.Authdaemond(directory + "/um", "authuserdb")
    (d.conf / "userdb").mkdir(0o700)
    path, second = (d.conf / "userdb" / name for name in ("one", "two"))
    for file, text in (
            (path, "# comment\n\n" + "\n".join(
                f"{line}|systempw={HASH}" for line, _ in MALFORMED) + "\n"
             + USERDB), (second, f"{JOE}x {HASH}\n")):
        file.touch(0o600)
        file.write_text(text)
    d.start()
    try:
        assert d.login() == record(**JOES, PASSWD=HASH)
        for user in ("joe2", "joe2 uid=1000|gid=1000|home=/h", f"{JOE}x", ""):
            assert not d.login(user).startswith(b"UID="), user
        log = d.log()
        for n, (_, why) in enumerate(MALFORMED, 3):
            assert f"{path}:{n}: {why}" in log, n
        assert f"{second}:1: expected an address, a tab and fields" in log
        # those that are well aren't told, nor any secret
        end = len(MALFORMED) + 2
        told = [line for line in log.splitlines() if f"{path}:" in line]
        assert len(told) == len(MALFORMED) + 1  # and "broken" of USERDB
        assert f"{path}:{end + 4}: expected uid=" in told[-1]
        assert HASH not in log
    finally:
        d.stop()


# --- PAM -------------------------------------------------------------------

PAM_USER = f"postern{os.getpid()}"


@pytest.fixture(scope="module")
def system_user():
    """A user of the system, for as long as these tests run."""
    if os.getuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("needs root and useradd")
    subprocess.run(["useradd", "-M", "-c", "Pam User,room 7", "-d",
                    "/home/pam", "-s", "/bin/false", PAM_USER], check=True)
    try:
        set_password("pampw")
        yield PAM_USER
    finally:
        subprocess.run(["userdel", PAM_USER], check=True,
                       capture_output=True)


def set_password(password):
    subprocess.run(["chpasswd"], input=f"{PAM_USER}:{password}\n", text=True,
                   check=True)


@pytest.fixture(scope="module")
def pam(directory, table, system_user):
    d = support.Authdaemond(directory + "/pam", "authsqlite authpam",
                            AUTH_USER="nobody")
    d.write("authsqliterc", table.rc())
    os.chmod(table.path, 0o644)
    d.start()
    yield d
    d.stop()


def pam_record(gid, **fields):
    return record(UID=None, GID=gid, HOME="/home/pam", ADDRESS=PAM_USER,
                  NAME="Pam User", MAILDIR=None, QUOTA=None,
                  **{"PASSWD2": "pampw", **fields}).replace(
                      b"GID=", f"USERNAME={PAM_USER}\nGID=".encode(), 1)


@pytest.fixture(scope="module")
def gid(system_user):
    import pwd
    return pwd.getpwnam(system_user).pw_gid


def test_pam(pam, gid):
    assert pam.login(PAM_USER, "pampw") == pam_record(gid)
    assert pam.login(PAM_USER, "wrong") == b"FAIL\n"
    assert pam.login("nobodyofours", "pampw") == b"FAIL\n"
    assert pam.login("root", "x") == b"FAIL\n"
    # The module before it still counts.
    assert pam.login() == record()
    assert pam.login(password="wrong") == b"FAIL\n"


def test_pam_lookup(pam, gid):
    request = f"PRE authpam imap {PAM_USER}\n".encode()
    assert pam.courier(request) == pam_record(gid, PASSWD2=None)
    assert pam.courier(b"PRE . imap root\n") == b"FAIL\n"


def test_pam_enumerate(pam, gid):
    out = pam.courier(b"ENUMERATE\n").decode()
    users, system = out.split("# authpam\n\n")
    assert users.startswith("# authsqlite\n\n") and JOE in users
    assert f"{PAM_USER}\t" in system and "\t/home/pam\t\t\n" in system
    assert system.endswith("\n.\n")


@pytest.mark.parametrize("service", ["../../etc/passwd", "a/b", "x" * 40, "."])
def test_pam_service_is_a_plain_name(pam, service):
    assert pam.login(PAM_USER, "pampw", service) == b"FAIL\n"


def test_pam_leaves_cram_to_others(pam):
    digest = hmac.new(b"pampw", b"<c>", "md5").hexdigest()
    body = (f"imap\ncram-md5\n{b64('<c>')}\n"
            f"{b64(f'{PAM_USER} {digest}')}\n").encode()
    assert pam.courier(b"AUTH %d\n" % len(body) + body) == b"FAIL\n"


def test_pam_over_sasl_with_ticket(pam, gid):
    with pam.tickets() as master, pam.sasl() as c:
        c.handshake()
        c.plain(1, PAM_USER, "pampw")
        assert c.line().startswith(f"OK\t1\tuser={PAM_USER}\tticket=")
        got = master.next()
        assert got["gid"] == gid and got["uid"] > 0
        assert got["home"] == b"/home/pam" and got["maildir"] == b""


def test_pam_process_dies(pam, gid):
    for pid in pam.children_named("authd-pam"):
        os.kill(pid, signal.SIGKILL)
    support.wait_for(
        lambda: pam.login(PAM_USER, "pampw") == pam_record(gid), "recovery")
    # And nobody but it is root.
    for pid, name in pam.children():
        uid = os.stat(f"/proc/{pid}").st_uid
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            uid = [line.split()[1] for line in f if line.startswith("Uid:")]
        assert (uid == ["0"]) == (name == "authd-pam"), name


def test_pam_account_management(pam, gid):
    """An account that has expired is refused though its password is right."""
    subprocess.run(["chage", "-E", "0", PAM_USER], check=True)
    try:
        assert pam.login(PAM_USER, "pampw") == b"FAIL\n"
    finally:
        subprocess.run(["chage", "-E", "-1", PAM_USER], check=True)
    assert pam.login(PAM_USER, "pampw") == pam_record(gid)


def test_pam_service_and_address(pam, gid):
    """The service of the request names the file of PAM, and PAM hears where
    the client is."""
    service = f"postern{os.getpid()}"
    path = f"/etc/pam.d/{service}"
    with open(path, "w", encoding="ascii") as f:
        f.write("auth [success=ok default=die] pam_succeed_if.so "
                f"service = {service} rhost = 192.0.2.7\n"
                "auth required pam_unix.so\naccount required pam_unix.so\n")
    try:
        request = support.auth_request(PAM_USER, "pampw", service)
        for rip, good in (("192.0.2.7", True), ("192.0.2.8", False)):
            answer = pam.courier(f"TCPREMOTEIP={rip}\n".encode() + request)
            assert answer == (pam_record(gid) if good else b"FAIL\n"), rip
    finally:
        os.unlink(path)


LEAVER = r"""
#include <security/pam_modules.h>
#include <unistd.h>
int pam_sm_authenticate(pam_handle_t *h, int f, int n, const char **v)
{
	if (fork() == 0) {
		execl("/bin/sh", "sh", "-c", v[0], (char *)0);
		_exit(1);
	}
	return PAM_SUCCESS;
}
int pam_sm_setcred(pam_handle_t *h, int f, int n, const char **v)
{
	return PAM_SUCCESS;
}
"""


def test_pam_module_leaves_a_process(pam, gid, directory):
    """It isn't waited for."""
    service = f"postern{os.getpid()}"
    path, pid = f"/etc/pam.d/{service}", pathlib.Path(directory, "left.pid")
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o",
                    f"{directory}/leaver.so"], input=LEAVER, text=True,
                   check=True)
    with open(path, "w", encoding="ascii") as f:
        f.write(f"auth required {directory}/leaver.so "
                f"[echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 1000]\n"
                "account required pam_unix.so\n")
    before = len(pam.log())
    try:
        assert pam.login(PAM_USER, "pampw", service) == pam_record(gid)
        assert "hangs" not in pam.log()[before:]
    finally:
        os.unlink(path)
        support.wait_for(pid.exists, "its number")
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_pam_password_change(pam, gid):
    request = f"PASSWD imap\t{PAM_USER}\t%s\t%s\n"
    assert pam.courier((request % ("wrong", "x")).encode()) == b"FAIL\n"
    assert pam.courier(
        (request % ("pampw", "Hj7_kkw0-zz")).encode()) == b"OK\n"
    try:
        assert pam.login(PAM_USER, "Hj7_kkw0-zz") == \
            pam_record(gid, PASSWD2="Hj7_kkw0-zz")
    finally:
        set_password("pampw")


# --- the order --------------------------------------------------------------

def test_order(directory, table):
    """Both "no such user" and "wrong password" pass on to the next module; a
    temporary failure ends the search."""
    d = support.Authdaemond(directory + "/o", "authsqlite authuserdb")
    d.write("authsqliterc", table.rc())
    write_userdb(d, USERDB + f"other\tuid=1000|gid=1000|home=/h|"
                             f"systempw={HASH}\n")
    table.add(JOE, clear="first")
    table.add("unusable", clear="x", uid=0)
    d.start()
    try:
        assert d.login(password="first") == record(PASSWD2="first")
        assert d.login(password="secret") == record(**JOES, PASSWD=HASH)
        assert d.login("other").startswith(b"UID=1000")
        assert d.login("unusable", "x") == b""
        d.write("authsqliterc", table.rc().replace(
            "SQLITE_USER_TABLE postfix_users", "SQLITE_USER_TABLE nowhere"))
        assert d.login("other") == b""
        d.write("authdaemonrc", f"authmodulelist=authuserdb nomodule\n"
                                f"authdaemonvar={d.var}\n")
        d.reload()
        assert d.login("other").startswith(b"UID=1000")
        assert "no module named nomodule" in d.log()
    finally:
        d.stop()
        table.add(JOE, clear="secret")


def test_no_module(directory):
    """Nobody can be refused who can't be looked up."""
    d = support.Authdaemond(directory + "/none", "nomodule")
    d.conf.joinpath("authdaemonrc").write_text(
        f"authmodulelist=nomodule\nauthdaemonvar={d.var}\n")
    d.is_up = lambda: (d.var / "socket").exists()
    d.start()
    try:
        assert d.courier(auth_request(JOE, "secret")) == b""
        assert "nobody can log in" in d.log()
    finally:
        d.stop()
