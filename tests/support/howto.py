"""The howto's machine with Courier on it: MariaDB, Postfix as docs/postfix.md
sets it up, and Debian's Courier with the paths of a Courier of old, all below
/usr/local/courier.

Debian's programs have two paths built in that links lead to the right place:
/etc/courier, and the directory of authdaemond's socket, which Debian's library
spells wrongly.
"""

import re
import socket

from postern import PATIENCE, message, wait_for

P = "/usr/local/courier"
SERVICES = ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl")
PASSWORD = "secret"


def start_mariadb(m):
    m.shell("""\
mariadb-install-db --no-defaults --datadir=/srv/db --user=mysql \\
    --auth-root-authentication-method=normal --skip-test-db >/dev/null
install -d -o mysql /run/mysqld
mariadbd --no-defaults --user=mysql --datadir=/srv/db --skip-log-bin \\
    --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/pid \\
    --bind-address=127.0.0.1 --innodb-flush-log-at-trx-commit=0 \\
    --innodb-buffer-pool-size=16M >/run/mysqld/log 2>&1 &
""")
    wait_for(lambda: "1" in m.run(
        ["mariadb", "--no-defaults", "-e", "SELECT 1"], ok=None),
        "MariaDB answers", 60)


def prepare_postfix(m):
    """What Debian's postinst would have asked."""
    m.shell(f"""\
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
cat >/etc/postfix/main.cf <<'EOT'
compatibility_level = 3.6
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = /var/log/mail.log
biff = no
EOT
# postlogd, which is a comment in Debian's file
postconf -M postlog/unix-dgram='postlog unix-dgram n - n - 1 postlogd'
""")


AUTHMYSQLRC = """\
##NAME: MARKER:0
#
MYSQL_SERVER            127.0.0.1
MYSQL_USERNAME          postfix
MYSQL_PASSWORD          geheim
MYSQL_PORT              0
MYSQL_OPT               0
MYSQL_DATABASE          postfix
MYSQL_USER_TABLE        postfix_users
MYSQL_CRYPT_PWFIELD     crypt
MYSQL_CLEAR_PWFIELD     clear
MYSQL_UID_FIELD         uid
MYSQL_GID_FIELD         gid
MYSQL_LOGIN_FIELD       email
MYSQL_HOME_FIELD        homedir
MYSQL_NAME_FIELD        name
MYSQL_MAILDIR_FIELD     maildir
MYSQL_QUOTA_FIELD       quota
MYSQL_WHERE_CLAUSE      access='y'
"""


def install_courier(m):
    """Below P, from Debian's files that lie in the machine's /usr and /etc."""
    m.shell(f"""\
id courier >/dev/null 2>&1 || useradd --system --no-create-home courier
mkdir -p {P}/etc {P}/libexec/authlib {P}/share {P}/sbin {P}/bin {P}/var/spool
for f in imapd imapd-ssl pop3d pop3d-ssl authdaemonrc imapd.cnf pop3d.cnf; do
	sed 's,/etc/courier/\\(imapd\\|pop3d\\).pem,{P}/share/\\1.pem,
	s,/etc/courier,{P}/etc,
	s,/run/courier/authdaemon,{P}/var/spool/authdaemon,
	s,/run/courier/,/var/run/,
	s/^authmodulelist=.*/authmodulelist="authmysql"/
	s/^IMAP_ULIMITD=.*/IMAP_ULIMITD=1000000/' /etc/courier/$f >{P}/etc/$f
done
cat >{P}/etc/authmysqlrc <<'EOT'
{AUTHMYSQLRC}EOT
chmod 640 {P}/etc/auth*rc
chgrp courier {P}/etc/auth*rc
mkdir {P}/etc/imapaccess {P}/etc/shared
mv /etc/courier /etc/courier.debian
ln -s {P}/etc /etc/courier
for s in {' '.join(SERVICES)}; do
	sed 's,/etc/courier,{P}/etc,' /usr/lib/courier/$s >{P}/libexec/$s.rc
	chmod 755 {P}/libexec/$s.rc
done
sed 's,/run/courier,{P}/var/spool,' /usr/sbin/authdaemond >{P}/libexec/authlib/authdaemond
chmod 755 {P}/libexec/authlib/authdaemond
ln -s /usr/bin/imapd {P}/bin/imapd
ln -s /usr/bin/maildirmake.courier {P}/bin/maildirmake
ln -s /usr/bin/deliverquota.courier {P}/bin/deliverquota
install -d -m 750 -o courier -g courier {P}/var/spool/authdaemon
mkdir -p /run/courier
ln -s {P}/var/spool/authdaemon /run/courier/authdaemon
ln -s {P}/var/spool/authdaemon /run/courier/autthdaemon
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\
    -days 3 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
    -keyout /tmp/key -out /tmp/cert 2>/dev/null
for s in imapd pop3d; do
	cat /tmp/key /tmp/cert >{P}/share/$s.pem
	chmod 600 {P}/share/$s.pem
	chown courier {P}/share/$s.pem
done
ldconfig
""")
    m.shell(f"cd /; {P}/libexec/authlib/authdaemond start")
    for service in ("imapd", "pop3d"):
        m.shell(f"{P}/libexec/{service}.rc start")
    for port in (143, 110):
        wait_for(lambda port=port: listens(m, port), f"Courier on {port}")


def listens(m, port):
    with m.network(), socket.socket() as s:
        s.settimeout(PATIENCE)
        if s.connect_ex(("127.0.0.1", port)) != 0:
            return False
        return len(s.recv(1)) == 1


def add_user(m, email, **columns):
    """A row of the table; its Maildir."""
    user, domain = email.split("@")
    row = {"email": email, "clear": PASSWORD, "uid": 5000, "gid": 5000,
           "homedir": "/home/vmail", "maildir": f"{domain}/{user}/", **columns}
    values = ", ".join(f"'{v}'" for v in row.values())
    m.shell(f"mariadb postfix -e \"INSERT INTO postfix_users "
            f"({', '.join(row)}) VALUES ({values})\"")
    return f"/home/vmail/{domain}/{user}"


def files(m, maildir):
    return [f.name for sub in ("new", "cur")
            if m.path(f"{maildir}/{sub}").is_dir()
            for f in m.path(f"{maildir}/{sub}").iterdir()]


def send(m, email, n):
    """By Postfix, until it lies in the Maildir."""
    user, domain = email.split("@")
    maildir = f"/home/vmail/{domain}/{user}"
    before = len(files(m, maildir))
    m.shell(f"sendmail -f sender@example.com {email} <<'EOT'\n"
            f"{message(f'Message {n}', to=email, n=n)}EOT\n")
    try:
        wait_for(lambda: len(files(m, maildir)) == before + 1,
                 f"message {n} for {email}", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n" + m.shell(
            "mailq; cat /var/log/mail.log", ok=None)) from None


# --- clients with a memory --------------------------------------------------

class Client:
    """A program that fetches mail and remembers what it has.

    fetch(): run it; the numbers of the messages that it got by that, sorted,
    twice if twice. lose: messages may be gone from the server.
    """

    def __init__(self, m, email, home):
        self.m = m
        self.email = email
        self.home = home
        self.seen = {}
        m.shell(f"mkdir -p {home}")
        self.configure()

    def write(self, name, text):
        path = self.m.path(f"{self.home}/{name}")
        path.write_text(text)
        path.chmod(0o600)

    def fetch(self, lose=False):
        said = self.work()
        now = self.have()
        new = [n for name, n in now.items() if name not in self.seen]
        lost = [n for name, n in self.seen.items() if name not in now]
        assert lose or not lost, (self, lost, said)
        self.seen = now
        return sorted(new)

    def have(self):
        """file name without flags -> number of the message"""
        found = {}
        for path in self.m.path(self.home).rglob("*"):
            if path.parent.name in ("cur", "new") and path.is_file():
                text = path.read_text(errors="replace")
                n = re.search(r"(?im)^message-id: <m(\d+)\.", text)
                name = str(path.parent.parent) + path.name.partition(":")[0]
                # mbsync's and offlineimap's own additions to a name
                found[name.partition(",U=")[0]] = int(n.group(1))
        return found


class Mbsync(Client):
    def __init__(self, m, email, home, prefix="INBOX."):
        self.prefix = prefix
        super().__init__(m, email, home)

    def configure(self):
        path = f"Path {self.prefix}\n" if self.prefix else ""
        self.write("rc", f"""\
IMAPAccount a
Host localhost
Port 143
User {self.email}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a
{path}
MaildirStore near
Path {self.home}/mail/
Inbox {self.home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns * INBOX
Create Near
Expunge Near
SyncState *
""")
        self.m.shell(f"mkdir -p {self.home}/mail")

    def work(self):
        return self.m.run(["mbsync", "-c", f"{self.home}/rc", "-a"],
                          cwd=self.home, HOME=self.home)


class Offlineimap(Client):
    def configure(self):
        self.write("rc", f"""\
[general]
accounts = a
metadata = {self.home}/meta
ui = quiet
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = {self.home}/mail
[Repository r]
type = IMAP
remotehost = localhost
remoteport = 143
remoteuser = {self.email}
remotepass = {PASSWORD}
ssl = no
starttls = no
auth_mechanisms = LOGIN
""")

    def work(self):
        said = self.m.run(["offlineimap", "-c", f"{self.home}/rc", "-o",
                           "-1"], cwd=self.home, HOME=self.home)
        assert "UID" not in said, said
        return said


class Fetchmail(Client):
    def configure(self):
        for sub in ("cur", "new", "tmp"):
            self.m.shell(f"mkdir -p {self.home}/mail/{sub}")
        self.write("rc", f"poll localhost proto pop3 port 110 uidl\nuser "
                   f"'{self.email}' pass '{PASSWORD}' sslproto '' keep\n")

    def work(self):
        # status 1: nothing new
        return self.m.run(
            ["fetchmail", "-f", f"{self.home}/rc", "--pidfile",
             f"{self.home}/pid", "--nosyslog", "--idfile",
             f"{self.home}/ids", "--mda",
             f"sh -c 'cat >{self.home}/mail/new/$(date +%N)$$'"],
            ok=(0, 1), HOME=self.home, FETCHMAILHOME=self.home)


class Getmail(Client):
    # It may miss the end of its own child, or be surprised by it while it
    # prepares for the next.
    STUMBLES = ("waiting child pid", "_ForkingBase__orig_handler")

    def configure(self):
        for sub in ("cur", "new", "tmp"):
            self.m.shell(f"mkdir -p {self.home}/out/{sub}")
        self.write("getmailrc", f"""\
[retriever]
type = SimplePOP3Retriever
server = localhost
port = 110
username = {self.email}
password = {PASSWORD}
[destination]
type = Maildir
path = {self.home}/out/
[options]
read_all = false
delete = false
""")
        self.m.shell(f"chown -R nobody {self.home}")

    def work(self):
        for _ in range(5):
            said = self.run_it()
            if not any(text in said for text in self.STUMBLES):
                break
            # It has noted nothing then.
            for path in self.m.path(f"{self.home}/out/new").iterdir():
                if not any(path.name in name for name in self.seen):
                    path.unlink()
        assert "error" not in said and "Exception" not in said, said
        return said

    def run_it(self):
        return self.m.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             "--", "getmail", "--getmaildir", self.home, "--rcfile",
             "getmailrc"], ok=(0, 4, 127), cwd=self.home, HOME=self.home)
