"""authmysql against a real MariaDB, with the howto's table."""

import hashlib
import pathlib
import re
import subprocess

import pytest

import support
from support import JOE, record

pytestmark = pytest.mark.usefixtures("as_it_was")


def test_login(mysql_daemon):
    assert mysql_daemon.login() == record()
    assert mysql_daemon.login(password="wrong") == b"FAIL\n"
    assert mysql_daemon.login("nobody@example.com") == b"FAIL\n"
    assert mysql_daemon.courier(b"PRE authmysql smtp " + JOE.encode() +
                                b"\n") == record()


@pytest.mark.parametrize("user", [
    "x' OR '1'='1", "x\\' OR 1=1 -- ", '"', "joe@example.com'#", "\\", "%",
    "joe@example.com\\", "é'", "\xbf' OR 1=1 -- ",
])
def test_injection(mysql_daemon, user):
    assert mysql_daemon.login(user) == b"FAIL\n"


@pytest.mark.parametrize("user", [
    b"\xff", b"joe\xc3@example.com", b"joe@example.com\xed\xa0\x80",
    b"\xc0\xa7 OR 1=1 -- ", b"\xbf\x27 OR 1=1 -- ", b"\xf0\x9f\x98\x80"])
def test_names_that_are_no_utf8(mysql_daemon, user):
    body = b"imap\nlogin\n" + user + b"\nsecret\n"
    assert mysql_daemon.courier(
        b"AUTH %d\n" % len(body) + body) == b"FAIL\n"


def test_name_with_a_quote(mysql_daemon, mariadb):
    mariadb.add("o'brien\\@example.com", clear="it's \\ me")
    assert mysql_daemon.login("o'brien\\@example.com", "it's \\ me") == \
        record(ADDRESS="o'brien\\@example.com", PASSWD2="it's \\ me")


def test_utf8(mysql_daemon, mariadb):
    mariadb.add("utf8", clear="pässwörd→")
    assert mysql_daemon.login("utf8", "pässwörd→").startswith(b"UID=")


def test_collation(mysql_daemon):
    assert mysql_daemon.login("JOE@Example.COM") == record()


def test_crypted(mysql_daemon, mariadb):
    mariadb.add("crypted", crypt="{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
                clear="ignored")
    assert mysql_daemon.login("crypted").startswith(b"UID=")
    assert mysql_daemon.login("crypted", "ignored") == b"FAIL\n"


def test_passwd(mysql_daemon, mariadb):
    mariadb.add("changer", clear="old")
    assert mysql_daemon.courier(
        b"PASSWD imap\tchanger\told\tn'w\n") == b"OK\n"
    assert mysql_daemon.login("changer", "n'w").startswith(b"UID=")
    # Nobody else's changed.
    assert mysql_daemon.login() == record()


@pytest.mark.parametrize("clause, old, new", [
    ("UPDATE postfix_users SET clear '$(newpass)'", "secret", "n3w-pass"),
    # the second one has no place in the table's character set
    ("", "secret", "n3w-pass\xff"),
])
def test_new_password_in_no_error(mysql_daemon, mariadb, clause, old, new):
    """The server's words about a statement quote from it."""
    mariadb.add("changer", clear=old)
    if clause:
        mysql_daemon.write("authmysqlrc", mariadb.rc() +
                           f"MYSQL_CHPASS_CLAUSE {clause}\n")
    before = len(mysql_daemon.log())
    assert mysql_daemon.courier(
        f"PASSWD imap\tchanger\t{old}\t{new}\n".encode("latin-1")) == b""
    log = mysql_daemon.log()[before:]
    assert "mysql_query failed: error 1" in log
    assert "n3w" not in log and "xFF" not in log


def test_procedure(mysql_daemon, mariadb):
    """A CALL answers with a status behind its rows, which has to be taken."""
    mariadb.sql(
        "CREATE OR REPLACE PROCEDURE account(IN name VARCHAR(255)) "
        "SELECT email, crypt, clear, uid, gid, homedir, maildir, quota "
        "FROM postfix_users WHERE email = name")
    mariadb.sql("GRANT EXECUTE ON postfix.* TO 'postfix'@'localhost'")
    mysql_daemon.write("authmysqlrc", mariadb.rc() +
                       "MYSQL_SELECT_CLAUSE CALL account("
                       "'$(local_part)@$(domain)')\n")
    before = len(mysql_daemon.log())
    for _ in range(12):
        assert mysql_daemon.login() == record()
        assert mysql_daemon.login(password="wrong") == b"FAIL\n"
    assert "mysql_query failed" not in mysql_daemon.log()[before:]


def test_enumerate(mysql_daemon):
    out = mysql_daemon.courier(b"ENUMERATE\n").decode()
    assert out.startswith("# authmysql\n\n")
    assert f"{JOE}\t5000\t5000\t/home/vmail\texample.com/joe/\t\n" in out
    assert out.endswith("\n.\n")


@pytest.mark.parametrize("fields, log", [
    ({"uid": 0}, "uid is 0"), ({"uid": 99}, "uid is below UID_MIN"),
    ({"gid": 0}, "gid is 0"), ({"gid": 99}, "gid is below GID_MIN"),
    ({"uid": 4294967295}, "uid is 0 or not a number"),
    ({"gid": 4294967295}, "gid is 0 or not a number"),
    ({"homedir": ""}, "no home directory"),
    ({"homedir": "vmail"}, "the home directory isn't an absolute path"),
    ({"homedir": "/home/../etc"}, ".. in the home directory"),
    ({"maildir": "../../etc/"}, ".. in the maildir"),
    ({"maildir": "/home/vmail/../joe/"}, ".. in the maildir"),
])
def test_unusable_row(mysql_daemon, mariadb, fields, log):
    mariadb.add("unusable", clear="secret", **fields)
    before = len(mysql_daemon.log())
    assert mysql_daemon.login("unusable") == b""
    assert f"account unusable can't be used: {log}" in \
        mysql_daemon.log()[before:]
    # Whatever is asked of it.
    assert mysql_daemon.courier(b"PRE . imap unusable\n") == b""
    assert mysql_daemon.sasl_login("unusable") == \
        "FAIL\t1\tuser=unusable\ttemp\tcode=unusable"


@pytest.mark.parametrize("uid", [
    "'x'", "'-1'", "'5000x'", "5000.5", "4294972296", "NULL", "''", "'0x10'"])
def test_uid_that_is_no_number(mysql_daemon, mariadb, uid):
    """Nothing is cut off or wraps round to an id that is somebody's."""
    mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
        "MYSQL_UID_FIELD uid", f"MYSQL_UID_FIELD {uid}"))
    before = len(mysql_daemon.log())
    assert mysql_daemon.login() == b""
    assert "uid is 0 or not a number" in mysql_daemon.log()[before:]


# --- authmysqlrc ---------------------------------------------------------

def test_howto_with_trailing_blanks_and_crlf(mysql_daemon, mariadb):
    """The howto's trap: what the old parser kept is not part of a value."""
    for end in (" \n", "\t \n", "\r\n", " \r\n"):
        text = "".join(line.strip() + end
                       for line in mariadb.rc().splitlines())
        mysql_daemon.write("authmysqlrc", text)
        assert mysql_daemon.login() == record(), repr(end)


def test_expressions_as_fields(mysql_daemon, mariadb):
    rc = (mariadb.rc()
          .replace("MYSQL_HOME_FIELD homedir", "MYSQL_HOME_FIELD '/srv/mail'")
          .replace("MYSQL_UID_FIELD uid", "MYSQL_UID_FIELD 1000+1")
          .replace("MYSQL_GID_FIELD gid", "MYSQL_GID_FIELD '1002'")
          .replace("MYSQL_MAILDIR_FIELD maildir",
                   "MYSQL_MAILDIR_FIELD CONCAT(email, '/')"))
    mysql_daemon.write("authmysqlrc", rc)
    assert mysql_daemon.login() == record(
        UID=1001, GID=1002, HOME="/srv/mail", MAILDIR=JOE + "/")


def test_without_the_optional_fields(mysql_daemon, mariadb):
    keep = ("MYSQL_SERVER", "MYSQL_SOCKET", "MYSQL_USERNAME",
            "MYSQL_PASSWORD", "MYSQL_DATABASE", "MYSQL_USER_TABLE",
            "MYSQL_LOGIN_FIELD", "MYSQL_CLEAR_PWFIELD", "MYSQL_HOME_FIELD")
    rc = "".join(line.strip() + "\n" for line in mariadb.rc().splitlines()
                 if line.split()[:1] and line.split()[0] in keep)
    mysql_daemon.write("authmysqlrc", rc)
    assert mysql_daemon.login() == record(MAILDIR=None, QUOTA=None)


def test_default_domain(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "DEFAULT_DOMAIN example.com\n")
    assert mysql_daemon.login("joe") == record()
    assert mysql_daemon.login("joe@example.org") == b"FAIL\n"


def test_select_clause(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() + (
        "MYSQL_SELECT_CLAUSE SELECT email, crypt, clear, uid, gid, homedir, "
        "\\\n CONCAT('$(service)/', maildir), NULL, '', 'a=1' \\\n"
        " FROM postfix_users WHERE email = '$(local_part)@$(domain)'\n"))
    assert mysql_daemon.login() == record(
        MAILDIR="imap/example.com/joe/", QUOTA=None, OPTIONS="a=1")
    assert mysql_daemon.login("x' OR '1'='1") == b"FAIL\n"
    assert mysql_daemon.login("joe' OR '1'='1@example.com") == b"FAIL\n"


def test_enumerate_clause(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() + (
        "MYSQL_ENUMERATE_CLAUSE SELECT UPPER(email), uid, gid, homedir, \\\n"
        "   maildir, 'disableshared=1' FROM postfix_users \\\n"
        f"   WHERE email = '{JOE}'$(service)\n"))
    assert mysql_daemon.courier(b"ENUMERATE\n").decode() == (
        f"# authmysql\n\n{JOE.upper()}\t5000\t5000\t/home/vmail\t"
        "example.com/joe/\tdisableshared=1\n.\n")


def test_chpass_clause(mysql_daemon, mariadb):
    """Everything in it is escaped, the user's name too."""
    name = "o'chpass@example.com"
    mariadb.add(name, clear="old",
                crypt="{MD5RAW}%s" % hashlib.md5(b"old").hexdigest())
    mysql_daemon.write("authmysqlrc", mariadb.rc() + (
        "MYSQL_CHPASS_CLAUSE UPDATE postfix_users SET clear = '$(newpass)', "
        "crypt = '$(newpass_crypt)', name = '$(local_part)/$(domain)' "
        "WHERE email = CONCAT('$(local_part)', '@', '$(domain)')\n"))
    new = "n'w\\\" OR 1=1 -- $(domain)"
    assert mysql_daemon.courier(
        f"PASSWD imap\t{name}\told\t{new}\n".encode()) == b"OK\n"
    row = mariadb.sql("SELECT clear, crypt, name FROM postfix_users WHERE "
                      "email = 'o\\'chpass@example.com'").rstrip("\n")
    assert row.split("\t") == [
        new.replace("\\", "\\\\"),
        "{MD5RAW}" + hashlib.md5(new.encode()).hexdigest(),
        "o'chpass/example.com"]
    assert mysql_daemon.login(name, new).startswith(b"UID=")
    # Nobody else's changed.
    assert mysql_daemon.login() == record()


def test_delivery_and_options(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() + (
        "MYSQL_DEFAULTDELIVERY_FIELD '| maildrop'\n"
        "MYSQL_AUXOPTIONS_FIELD CONCAT('sharedgroup=', access)\n"))
    assert mysql_daemon.login() == record(OPTIONS="sharedgroup=Y")
    assert mysql_daemon.courier(f"PRE . courier {JOE}\n".encode()) == record(
        MAILDIR="| maildrop", OPTIONS="sharedgroup=Y")


def test_port_and_opt(mysql_daemon, mariadb):
    """MYSQL_OPT are the client's flags: here that of compression."""
    status = ("(SELECT variable_value FROM information_schema.session_status "
              "WHERE variable_name = 'COMPRESSION')")
    for flags, want in ((0, "OFF"), (32, "ON")):
        mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
            "MYSQL_OPT 0", f"MYSQL_OPT {flags}") +
            f"MYSQL_AUXOPTIONS_FIELD CONCAT('c=', {status})\n")
        assert mysql_daemon.login() == record(OPTIONS=f"c={want}")
    # Neither is needed, and 0 is the port that the library knows.
    mysql_daemon.write("authmysqlrc", "".join(
        line for line in mariadb.rc().splitlines(True)
        if "MYSQL_OPT" not in line and "MYSQL_PORT" not in line))
    assert mysql_daemon.login() == record()


def test_too_few_columns(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc() +
                       "MYSQL_SELECT_CLAUSE SELECT 1, 2, 3\n")
    assert mysql_daemon.login() == b""
    assert "fewer than 6 columns" in mysql_daemon.log()


def test_edits_count_at_once(mysql_daemon, mariadb):
    for _ in range(3):
        mysql_daemon.write("authmysqlrc", mariadb.rc("wrong"))
        assert mysql_daemon.login() == b""
        mysql_daemon.write("authmysqlrc", mariadb.rc())
        assert mysql_daemon.login() == record()
    assert "Access denied" in mysql_daemon.log()


def test_a_broken_file_changes_nothing(mysql_daemon, mariadb):
    mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
        "MYSQL_PORT 0", "MYSQL_PORT many"))
    for _ in range(5):
        assert mysql_daemon.login() == record()
    assert re.search(rf"{mysql_daemon.conf}/authmysqlrc:\d+: .*MYSQL_PORT: "
                     "expected a number", mysql_daemon.log())
    assert "stays in force" in mysql_daemon.log()


@pytest.mark.parametrize("old, new, log", [
    ("MYSQL_USER_TABLE postfix_users", "MYSQL_USER_TABLE nowhere",
     "doesn't exist"),
    ("MYSQL_LOGIN_FIELD email", "MYSQL_LOGIN_FIELD nocolumn",
     "Unknown column"),
    ("MYSQL_DATABASE postfix", "MYSQL_DATABASE nodb", "nodb"),
    ("MYSQL_SOCKET ", "MYSQL_SOCKET /nowhere", "nowhere"),
    ("MYSQL_USERNAME postfix", "MYSQL_USERNAME nobody", "Access denied"),
    ("MYSQL_DATABASE postfix", "", "doesn't name MYSQL_DATABASE"),
    ("MYSQL_USER_TABLE postfix_users", "", "doesn't name a user table"),
])
def test_mistakes(mysql_daemon, mariadb, old, new, log):
    mysql_daemon.write("authmysqlrc", mariadb.rc().replace(old, new))
    assert mysql_daemon.login() == b""
    assert log in mysql_daemon.log()


@pytest.fixture
def over_tcp(mariadb):
    """authmysqlrc for a connection by TCP, which must use TLS."""
    mariadb.sql("ALTER USER 'postfix'@'localhost' REQUIRE SSL;")
    yield "".join(line for line in mariadb.rc().splitlines(True)
                  if "MYSQL_SOCKET" not in line).replace(
                      "MYSQL_PORT 0", f"MYSQL_PORT {mariadb.port}").replace(
                          "MYSQL_SERVER localhost", "MYSQL_SERVER 127.0.0.1")
    mariadb.sql("ALTER USER 'postfix'@'localhost' REQUIRE NONE;")


def test_tls(mysql_daemon, mariadb, over_tcp):
    mysql_daemon.write("authmysqlrc", over_tcp + (
        f"MYSQL_SSL_CACERT {mariadb.base}/cert.pem\n"))
    assert mysql_daemon.login() == record()
    # Without it the server says no.
    mysql_daemon.write("authmysqlrc", over_tcp)
    assert mysql_daemon.login() == b""


def test_tls_with_a_foreign_certificate(
        mysql_daemon, mariadb, over_tcp, directory):
    """Somebody else's server doesn't get the password."""
    other = support.MariaDB.__new__(support.MariaDB)
    other.base = pathlib.Path(directory) / "foreign"
    other.base.mkdir()
    other.make_certificate()
    mysql_daemon.write("authmysqlrc", over_tcp + (
        f"MYSQL_SSL_CACERT {other.base}/cert.pem\n"))
    before = mysql_daemon.log()
    assert mysql_daemon.login() == b""
    assert "certificate" in mysql_daemon.log()[len(before):].lower()


def make_client_certificate(mariadb, name):
    """Signed by the server's own: (certificate, key, authority)."""
    base = mariadb.base
    subprocess.run(
        ["openssl", "req", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
         "-keyout", base / f"{name}.key", "-out", base / f"{name}.csr"],
        check=True, capture_output=True)
    subprocess.run(
        ["openssl", "x509", "-req", "-in", base / f"{name}.csr", "-CA",
         base / "cert.pem", "-CAkey", base / "key.pem", "-CAcreateserial",
         "-days", "2", "-out", base / f"{name}.pem"],
        check=True, capture_output=True)
    return base / f"{name}.pem", base / f"{name}.key"


def test_tls_with_a_certificate_of_our_own(mysql_daemon, mariadb, over_tcp):
    """MYSQL_SSL_CERT and _KEY, by a server that wants them; MYSQL_SSL_CAPATH
    instead of the file; both names for ciphers."""
    mariadb.sql("ALTER USER 'postfix'@'localhost' REQUIRE SUBJECT "
                "'/CN=postern';")
    cert, key = make_client_certificate(mariadb, "postern")
    folder = mariadb.base / "ca"
    folder.mkdir(exist_ok=True)
    (folder / "one.pem").write_bytes((mariadb.base / "cert.pem").read_bytes())
    subprocess.run(["openssl", "rehash", folder], check=True,
                   capture_output=True)
    ours = f"MYSQL_SSL_CERT {cert}\nMYSQL_SSL_KEY {key}\n"
    cipher = ("MYSQL_AUXOPTIONS_FIELD CONCAT('c=', (SELECT variable_value "
              "FROM information_schema.session_status WHERE variable_name = "
              "'SSL_CIPHER'))\n")
    mysql_daemon.write("authmysqlrc", over_tcp + ours + (
        f"MYSQL_SSL_CAPATH {folder}\n" + cipher))
    assert b"OPTIONS=c=TLS_" in mysql_daemon.login() or \
        b"OPTIONS=c=ECDHE" in mysql_daemon.login()
    mysql_daemon.write("authmysqlrc", over_tcp +
                       f"MYSQL_SSL_CAPATH {folder}\n")
    assert mysql_daemon.login() == b""
    # A list with nothing that the server has: no connection.
    for name in ("MYSQL_SSL_CIPHER", "MYSQL_SSL_CIPHERS"):
        mysql_daemon.write("authmysqlrc", over_tcp + ours + (
            f"MYSQL_SSL_CAPATH {folder}\n{name} nonsense\n"))
        assert mysql_daemon.login() == b"", name


def test_tls_with_another_name(mysql_daemon, mariadb, over_tcp):
    """A certificate of the right authority, but of another machine."""
    mysql_daemon.write("authmysqlrc", over_tcp.replace(
        "MYSQL_SERVER 127.0.0.1", "MYSQL_SERVER 127.0.0.2") + (
            f"MYSQL_SSL_CACERT {mariadb.base}/cert.pem\n"))
    assert mysql_daemon.login() == b""


def test_character_set(mysql_daemon, mariadb):
    """A name is escaped for the connection's character set."""
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "MYSQL_CHARACTER_SET latin1\n")
    assert mysql_daemon.login() == record()
    assert mysql_daemon.login("x' OR '1'='1") == b"FAIL\n"
    # In gbk the second byte of a character may look like a backslash.
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "MYSQL_CHARACTER_SET gbk\n")
    assert mysql_daemon.login() == record()
    for user in (b"\xbf' OR 1=1 -- ", b"\xbf\\' OR 1=1 -- ",
                 b"x\xbf'", b"\xbf\x5c"):
        body = b"imap\nlogin\n" + user + b"\nsecret\n"
        assert mysql_daemon.courier(
            b"AUTH %d\n" % len(body) + body) in (b"FAIL\n", b""), user
    mysql_daemon.write("authmysqlrc",
                       mariadb.rc() + "MYSQL_CHARACTER_SET nosuchset\n")
    assert mysql_daemon.login() == b""


def test_several_servers(mysql_daemon, mariadb):
    """Tried in turn: a name that doesn't exist costs nothing for long."""
    port = support.free_port()
    for servers in (f"127.0.0.1:{port} localhost",
                    f"127.0.0.1:{port},localhost",
                    f"localhost [::1]:{port}"):
        mysql_daemon.write("authmysqlrc", mariadb.rc().replace(
            "MYSQL_SERVER localhost", f"MYSQL_SERVER {servers}"))
        for _ in range(4):
            answer, seconds = mysql_daemon.timed(mysql_daemon.login)
            assert answer == record() and seconds < 3
