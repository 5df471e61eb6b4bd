"""The howto's machine: from Courier to Postern by what docs/takeover.md and
docs/postfix.md say, back to Courier, and forward again, with programs that
remember what they have."""

import base64
import contextlib
import imaplib
import os
import poplib
import re
import smtplib
import socket

import howto
import mail
import page
import postern
import pytest
from howto import P, send
from inherited import Inherited
from postern import wait_for
from servers import ok, state


JOE = "joe@example.com"
ANN = "ann@example.com"
PETE = "pete@example.com"
LONG = bool(os.environ.get("POSTERN_LONG"))


class Logins:
    """A user of whatever serves the machine's ports, for servers.state()."""

    def __init__(self, m, email):
        self.m = m
        self.email = email

    @contextlib.contextmanager
    def imap(self):
        with self.m.network():
            client = imaplib.IMAP4("127.0.0.1", 143)
        client.login(self.email, howto.PASSWORD)
        yield client
        client.logout()

    def pop3(self):
        with self.m.network():
            client = poplib.POP3("127.0.0.1", 110)
        client.user(self.email)
        client.pass_(howto.PASSWORD)
        lines = client.uidl()[1]
        client.quit()
        return [line.decode("latin-1").split(" ", 1)[1] for line in lines]


class Town:
    """The machine, its users, and what they fetch mail with."""

    def __init__(self, m):
        self.m = m
        self.joe, self.ann = Logins(m, JOE), Logins(m, ANN)
        self.clients = [howto.Mbsync(m, JOE, "/home/mbsync"),
                        howto.Offlineimap(m, JOE, "/home/offlineimap"),
                        howto.Fetchmail(m, ANN, "/home/fetchmail"),
                        howto.Getmail(m, ANN, "/home/getmail")]

    def fetch(self, lose=False):
        """What each of the four got that it had not."""
        return {type(c).__name__: c.fetch(lose) for c in self.clients}

    def expect(self, joe=(), ann=()):
        """Each client gets these, once, and the next time nothing."""
        joe, ann = sorted(joe), sorted(ann)
        want = {"Mbsync": joe, "Offlineimap": joe, "Fetchmail": ann,
                "Getmail": ann}
        assert self.fetch() == want
        if LONG:
            assert not any(self.fetch().values())


@pytest.fixture(scope="module")
def town(new_machine):
    root = os.environ.get("TAKEOVER_ROOT")
    if root is None:
        pytest.skip("needs TAKEOVER_ROOT, what tests/takeover/get-servers "
                    "unpacked")
    m = new_machine(root)
    howto.start_mariadb(m)
    howto.prepare_postfix(m)
    postfix = page.Page("postfix.md")
    postfix.run(m, "The table", "Delivery by virtual")
    howto.add_user(m, ANN)
    howto.install_courier(m)
    town = Town(m)
    town.postfix = postfix
    return town


def same(now, before, more=0):
    """joe's mailboxes are as they were; INBOX has so many new messages."""
    assert now["subscribed"] == before["subscribed"]
    assert sorted(now["mailboxes"]) == sorted(before["mailboxes"])
    for name, was in before["mailboxes"].items():
        box = now["mailboxes"][name]
        assert box["uidvalidity"] == was["uidvalidity"], name
        for uid, message in was["messages"].items():
            assert box["messages"][uid] == message, (name, uid)
        new = len(box["messages"]) - len(was["messages"])
        assert new == (more if name == "INBOX" else 0), name


def test_takeover(town):
    m, joe, ann = town.m, town.joe, town.ann
    takeover = page.Page("takeover.md")

    # Courier in service: all kinds of things in joe's mailboxes ...
    send(m, JOE, 1000)
    send(m, ANN, 2000)
    with joe.imap() as client:
        mail.fill(client)
        ok(client.select("INBOX.Sent"))
        ok(client.setacl("INBOX.Sent", "ann@example.com", "lr"))
    send(m, ANN, 2001)
    first = town.fetch()
    assert len(first["Mbsync"]) > 10 and \
        first["Mbsync"] == first["Offlineimap"]
    assert first["Fetchmail"] == first["Getmail"] == [2000, 2001]
    assert not any(town.fetch().values())
    # ... what older Couriers left, and what is shared ...
    inherited = Inherited(m, lambda email: Logins(m, email))
    inherited.prepare()
    inherited.check("courier")
    # ... and a POP3 mailbox that is half read.
    send(m, ANN, 2002)
    ids = ann.pop3()
    before = state(joe)
    acl = m.path("/home/vmail/example.com/joe/.Sent/courierimapacl")
    rights = acl.read_bytes()

    takeover.run(m, "Build", "Stop Courier")
    assert not howto.listens(m, 143) and not howto.listens(m, 110)
    send(m, JOE, 1001)
    send(m, ANN, 2003)
    takeover.run(m, "Install Postern over it", "Start Postern")
    assert "postern" in m.shell("ps -e -o args")
    assert "couriertcpd" not in m.shell("ps -e -o args")
    now = state(joe)
    same(now, before, 1)
    assert acl.read_bytes() == rights
    assert ann.pop3()[:3] == ids
    inherited.check("postern")
    town.expect(joe=[1001], ann=[2002, 2003])

    # Postern in service
    send(m, JOE, 1002)
    send(m, ANN, 2004)
    with joe.imap() as client:
        mail.change(client, 200)
    got = town.fetch(lose=True)
    assert got["Mbsync"] == got["Offlineimap"] and 1002 in got["Mbsync"]
    assert got["Fetchmail"] == got["Getmail"] == [2004]
    before, ids = state(joe), ann.pop3()

    takeover.run(m, "Back to Courier")
    assert "posternd" not in m.shell("ps -e -o args")
    assert "couriertcpd" in m.shell("ps -e -o args")
    same(state(joe), before)
    assert ann.pop3() == ids
    inherited.check("courier")
    town.expect()
    send(m, JOE, 1003)
    send(m, ANN, 2005)
    town.expect(joe=[1003], ann=[2005])
    with joe.imap() as client:
        mail.change(client, 300)
    town.fetch(lose=True)
    before, ids = state(joe), ann.pop3()

    takeover.run(m, "Forward again")
    same(state(joe), before)
    assert ann.pop3() == ids
    inherited.check("postern")
    town.expect()
    send(m, JOE, 1004)
    send(m, ANN, 2006)
    town.expect(joe=[1004], ann=[2006])
    assert takeover.left() == []


DOVECOT = """\
protocols = imap pop3
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:~/Maildir
log_path = /var/log/dovecot
pop3_uidl_format = %g
namespace inbox {
  inbox = yes
  separator = .
}
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
"""


def start_dovecot(m, conf):
    """Instead of Postern."""
    for service in howto.SERVICES:
        m.shell(f"{P}/libexec/{service}.rc stop")
    m.shell(f"{P}/libexec/authlib/authdaemond stop")
    m.shell("id dovecot || useradd --system dovecot; "
            "id dovenull || useradd --system dovenull; "
            "mkdir -p /etc/dovecot")
    m.path("/etc/dovecot/dovecot.conf").write_text(conf)
    m.shell("dovecot")
    for port in (143, 110):
        wait_for(lambda port=port: howto.listens(m, port), "Dovecot")


def same_with_prefix(now, before):
    """Names had no prefix."""
    for name, box in before["mailboxes"].items():
        name = name if name == "INBOX" else "INBOX." + name
        assert now["mailboxes"][name] == box


@pytest.fixture(scope="module")
def from_dovecot():
    p = page.Page("from-dovecot.md")
    return p


def test_from_dovecot(town, from_dovecot):
    """Forward only; names had no prefix, and the client is told of it."""
    m, pete, p = town.m, Logins(town.m, PETE), from_dovecot
    hashed = m.run(["openssl", "passwd", "-6", howto.PASSWORD]).strip()
    m.shell("mkdir -p /etc/dovecot /home/vmail/pete; "
            "chown vmail: /home/vmail/pete")
    m.path("/etc/dovecot/users").write_text(
        f"{PETE}:{{SHA512-CRYPT}}{hashed}:5000:5000::/home/vmail/pete::\n"
        f"clear@example.com:{{PLAIN}}{howto.PASSWORD}:5000:5000::"
        "/home/vmail/clear::\n")
    start_dovecot(m, DOVECOT)
    with pete.imap() as client:
        for n, name in enumerate(("INBOX", "INBOX", "Sent", "Lists.a")):
            client.create(name)
            client.subscribe(name)
            mail.append(client, name, 3000 + n, "\\Seen Word" if n else "")
    mbsync = howto.Mbsync(m, PETE, "/home/pete-mbsync", prefix="")
    fetchmail = howto.Fetchmail(m, PETE, "/home/pete-fetchmail")
    assert mbsync.fetch() == [3000, 3001, 3002, 3003]
    assert fetchmail.fetch() == [3000, 3001]
    before, ids = state(pete), pete.pop3()

    m.shell(f"echo 'DOVECOT_UIDL_FORMAT=%g' >>{P}/etc/postern")
    p.run(m, "Users in a passwd-file", "Change")
    now = state(pete)
    assert now["subscribed"] == ["INBOX.Lists.a", "INBOX.Sent"]
    same_with_prefix(now, before)
    assert Logins(m, "clear@example.com").pop3() == []
    assert pete.pop3() == ids
    mbsync.prefix = "INBOX."
    mbsync.configure()
    assert mbsync.fetch() == [] and fetchmail.fetch() == []
    with pete.imap() as client:
        mail.append(client, "Sent", 3004)
        mail.append(client, "INBOX", 3005)
    assert mbsync.fetch() == [3004, 3005] and fetchmail.fetch() == [3005]


# What Dovecot writes by these names, of the password "secret".
SCHEMES = ("SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "BLF-CRYPT", "SSHA",
           "SSHA256", "SSHA512", "SHA", "SHA256", "SHA512")


def test_from_dovecot_with_sql(town, from_dovecot):
    """Users in a table of Dovecot's, by the queries that the page shows."""
    m, p = town.m, from_dovecot
    if not m.path("/usr/lib/dovecot/modules/auth/libdriver_mysql.so").exists() \
            and not m.path("/usr/lib/dovecot/modules/libdriver_mysql.so"
                           ).exists():
        pytest.skip("no dovecot-mysql in TAKEOVER_ROOT: have get-servers "
                    "fill it anew")
    text = p.path.read_text()
    shown = next(part for part in text.split("```conf\n")
                 if part.startswith("connect = ")).partition("```")[0]
    m.shell("mkdir -p /etc/dovecot")
    m.path("/etc/dovecot/dovecot-sql.conf.ext").write_text(
        "driver = mysql\n" + shown)
    users = {scheme: f"{scheme.lower()}@example.com" for scheme in SCHEMES}
    # doveadm pw prints the scheme before the hash
    hashes = {scheme: m.run(["doveadm", "-c", "/dev/null", "pw", "-s", scheme,
                             "-p", howto.PASSWORD]).strip()
              for scheme in SCHEMES}
    users["bare"] = "bare@example.com"
    hashes["bare"] = m.run(["openssl", "passwd", "-6",
                            howto.PASSWORD]).strip()
    m.path("/tmp/users.sql").write_text(
        "CREATE TABLE mailbox (email VARCHAR(255) PRIMARY KEY, password "
        "VARCHAR(255), name VARCHAR(255) DEFAULT '', maildir VARCHAR(255), "
        "quota BIGINT DEFAULT 10000000, active TINYINT DEFAULT 1);\n" +
        "".join(f"INSERT INTO mailbox (email, password, maildir) VALUES "
                f"('{email}', '{hashes[who]}', 'sql/{who.lower()}/');\n"
                for who, email in users.items()) +
        "INSERT INTO mailbox VALUES ('gone@example.com', "
        f"'{hashes['bare']}', '', 'sql/gone/', 1000, 0);\n")
    m.shell("mariadb postfix </tmp/users.sql; mkdir -p /home/vmail/sql; "
            "chown vmail: /home/vmail/sql")
    sql = DOVECOT.replace("passwd-file", "sql").replace(
        "/etc/dovecot/users", "/etc/dovecot/dovecot-sql.conf.ext").replace(
        "maildir:~/Maildir", "maildir:~/")
    start_dovecot(m, sql)
    sue = Logins(m, users["SHA512-CRYPT"])
    with sue.imap() as client:
        client.create("Sent")
        mail.append(client, "INBOX", 3100, "\\Seen Word")
        mail.append(client, "Sent", 3101)
    for email in users.values():
        assert len(Logins(m, email).pop3()) == (email == sue.email)
    before, ids = state(sue), sue.pop3()

    p.run(m, "Users in SQL", "Change")
    same_with_prefix(state(sue), before)
    assert sue.pop3() == ids
    for email in users.values():
        assert len(Logins(m, email).pop3()) == (email == sue.email)
    with sue.imap() as client:
        root = b" ".join(part for parts in ok(client.getquotaroot("INBOX"))
                         for part in parts)
        assert re.search(rb"STORAGE \d+ 976[56]\b", root), root
    with pytest.raises(Exception, match="Login failed"):
        Logins(m, "gone@example.com").pop3()
    assert p.left() == []
    clear_passwords(m, p, sue)
    # Back to the table of the tests that follow.
    m.path(f"{P}/etc/authmysqlrc").write_text(howto.AUTHMYSQLRC)
    m.shell(f"{P}/libexec/authlib/authdaemond restart")


def clear_passwords(m, p, sue):
    """What the page says of them: other columns, and challenges work."""
    assert "`SELECT email, '', clear, …`" in p.path.read_text()
    m.shell(f"""\
mariadb postfix -e "ALTER TABLE mailbox ADD clear VARCHAR(100) DEFAULT ''"
mariadb postfix -e "UPDATE mailbox SET clear = 'Plain {howto.PASSWORD}' \
    WHERE email = '{sue.email}'"
sed -i "s/SELECT email, password, ''/SELECT email, '', clear/" \
    {P}/etc/authmysqlrc
{P}/libexec/authlib/authdaemond restart
""")

    def connect():
        with m.network():
            return imaplib.IMAP4("127.0.0.1")

    def offered():
        client = connect()
        try:
            return "AUTH=CRAM-MD5" in client.capabilities
        finally:
            client.logout()

    def by_challenge(password):
        client = connect()
        try:
            client.login_cram_md5(sue.email, password)
            return ok(client.select())
        finally:
            client.logout()
    wait_for(offered, "challenges are offered")
    assert by_challenge(f"Plain {howto.PASSWORD}") == [b"1"]
    with pytest.raises(imaplib.IMAP4.error):
        by_challenge(howto.PASSWORD)  # that of the column that isn't asked
    with pytest.raises(Exception, match="Login failed"):
        sue.pop3()


def smtp_auth(m, password):
    """The answer to AUTH PLAIN of joe."""
    word = base64.b64encode(f"\0{JOE}\0{password}".encode()).decode()
    with m.network(), smtplib.SMTP("127.0.0.1", 25, timeout=60) as c:
        c.ehlo()
        assert "PLAIN" in c.esmtp_features["auth"].split()
        return c.docmd("AUTH", "PLAIN " + word)[0]


def test_postfix(town):
    """SMTP AUTH by both routes; clients on the LAN without TLS."""
    m, postfix = town.m, town.postfix
    postfix.run(m, "Postern asks the table")
    postfix.run(m, "SMTP AUTH, smtpd_sasl_type = dovecot")
    wait_for(lambda: m.path("/var/spool/postfix/private/auth").exists(),
             "the socket for Postfix")
    assert smtp_auth(m, howto.PASSWORD) == 235
    assert smtp_auth(m, "wrong") == 535
    postfix.run(m, "SMTP AUTH, smtpd_sasl_type = cyrus")
    wait_for(lambda: howto.listens(m, 25), "Postfix is back")
    assert smtp_auth(m, howto.PASSWORD) == 235
    assert smtp_auth(m, "wrong") == 535

    def lan_login():
        with m.network(), socket.create_connection(
                ("192.0.2.1", 143), source_address=("192.0.2.7", 0)) as s:
            c = postern.Lines(s)
            c.line()
            return c.imap(f"LOGIN {JOE} {howto.PASSWORD}")[-1].split()[1]
    m.shell("for n in 1 7; do ip address add 192.0.2.$n/32 dev lo; done")
    # Courier's files say 0 already, and that was kept.
    assert lan_login() == "OK"
    m.shell(f"""\
sed -i 's/^IMAP_TLS_REQUIRED=/# &/' {P}/etc/imapd-ssl
sed -i 's/^POP3_TLS_REQUIRED=/# &/' {P}/etc/pop3d-ssl
{P}/libexec/imapd.rc reload
""")
    wait_for(lambda: lan_login() == "NO", "nobody but this machine may", 30)
    postfix.run(m, "Clients on the LAN without TLS")
    wait_for(lambda: lan_login() == "OK", "the LAN may log in", 30)
    assert postfix.left() == []
