"""The howto's machine in a directory: MariaDB, Postfix and Postern."""

import grp
import os
import pathlib
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile

import postern
import waiting
from postern import free_ports, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SECRET = "geheim"
COLUMNS = {"mysql-aliases": ("destination", "postfix_alias", "alias", ""),
           "mysql-relocated": ("destination", "postfix_relocated", "email",
                               ""),
           "mysql-transport": ("destination", "postfix_transport", "domain",
                               ""),
           "mysql-virtual": ("destination", "postfix_virtual", "email", ""),
           "mysql-virtual-maps": ("maildir", "postfix_users", "email",
                                  "and postfix = 'y'"),
           "mysql-virtual-uid": ("uid", "postfix_users", "email",
                                 "and postfix = 'y'"),
           "mysql-virtual-gid": ("gid", "postfix_users", "email",
                                 "and postfix = 'y'"),
           "mysql-recipient": ("access", "postfix_access", "source",
                               "and type = 'recipient'"),
           "mysql-sender": ("access", "postfix_access", "source",
                            "and type = 'sender'"),
           "mysql-client": ("access", "postfix_access", "source",
                            "and type = 'client'")}


def tool(*names):
    """The path of the first of these programs that there is, or None."""
    for name in names:
        path = shutil.which(name, path=PATH)
        if path:
            return path
    return None


def run(argv, **kwargs):
    done = subprocess.run([str(a) for a in argv], capture_output=True,
                          text=True, timeout=120, **kwargs)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def postconf(*args):
    """Postfix's answer without a configuration of this machine."""
    with tempfile.TemporaryDirectory() as empty:
        pathlib.Path(empty, "main.cf").write_text("compatibility_level=3.6\n")
        return run([tool("postconf"), "-c", empty, *args]).strip()


class MariaDB:
    """A private server; run as user mysql."""

    def __init__(self, base):
        self.base = base
        self.data = base / "data"
        self.socket = base / "mysqld.sock"
        (self.port,) = free_ports(1)
        self.process = None
        base.mkdir()
        shutil.chown(base, "mysql", "mysql")
        run([tool("mariadb-install-db", "mysql_install_db"), "--no-defaults",
             f"--datadir={self.data}", "--user=mysql",
             "--auth-root-authentication-method=normal",
             "--skip-test-db"])

    def start(self):
        with open(waiting.watch(self.base.parent / "mariadb.log"), "ab") as log:
            self.process = subprocess.Popen(
                [tool("mariadbd", "mysqld"), "--no-defaults", "--user=mysql",
                 f"--datadir={self.data}", f"--socket={self.socket}",
                 f"--port={self.port}", "--bind-address=127.0.0.1",
                 f"--pid-file={self.base}/pid", "--skip-log-bin",
                 "--innodb-flush-log-at-trx-commit=0",
                 "--innodb-buffer-pool-size=16M"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.answers, "MariaDB answers", 60)

    def answers(self):
        assert self.process.poll() is None, "MariaDB ended"
        return subprocess.run(
            [tool("mariadb", "mysql"), "--no-defaults", "-uroot",
             f"--socket={self.socket}", "-e", "SELECT 1"],
            capture_output=True).returncode == 0

    def sql(self, text, database="postfix"):
        return run([tool("mariadb", "mysql"), "--no-defaults", "-uroot",
                    f"--socket={self.socket}", "-N", "-B", database],
                   input=text)

    def create(self):
        self.sql(f"CREATE DATABASE postfix;"
                 f"CREATE USER postfix@'127.0.0.1' IDENTIFIED BY '{SECRET}';"
                 f"CREATE USER postfix@localhost IDENTIFIED BY '{SECRET}';"
                 f"GRANT SELECT ON postfix.* TO postfix@'127.0.0.1';"
                 f"GRANT SELECT ON postfix.* TO postfix@localhost;", "mysql")
        self.sql((TOP / "etc/postfix_users.sql").read_text())

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Postfix:
    """A private instance with the howto's main.cf."""

    def __init__(self, base, db, home):
        self.conf = base / "etc"
        self.queue = base / "queue"
        self.data = base / "lib"
        (self.port,) = free_ports(1)
        self.log_path = waiting.watch(base.parent / "maillog")
        for path in (base, self.conf, self.queue):
            path.mkdir()
        self.data.mkdir()
        shutil.chown(self.data, "postfix")
        self.write_main(home)
        self.write_master()
        self.write_maps(db)

    def write_main(self, home):
        daemons = postconf("-dh", "daemon_directory")
        meta = postconf("-dh", "meta_directory")
        shlib = postconf("-dh", "shlib_directory")
        maps = "mysql:" + str(self.conf)
        (self.conf / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {self.queue}
data_directory = {self.data}
daemon_directory = {daemons}
meta_directory = {meta}
shlib_directory = {shlib}
maillog_file = {self.log_path}
maillog_file_prefixes = {self.log_path.parent}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.com
mydomain = example.com
myorigin = localhost
mydestination = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
import_environment = MAIL_CONFIG MAIL_LOGTAG TZ PATH
smtputf8_enable = no
biff = no
virtual_mailbox_base = {home}
virtual_mailbox_domains = example.com
virtual_mailbox_maps = {maps}/mysql-virtual-maps.cf
virtual_uid_maps = {maps}/mysql-virtual-uid.cf
virtual_gid_maps = {maps}/mysql-virtual-gid.cf
virtual_alias_maps = {maps}/mysql-virtual.cf
transport_maps = {maps}/mysql-transport.cf
relocated_maps = {maps}/mysql-relocated.cf
alias_maps = {maps}/mysql-aliases.cf
alias_database =
local_recipient_maps = $alias_maps $virtual_mailbox_maps unix:passwd.byname
smtpd_recipient_restrictions = check_recipient_access
  {maps}/mysql-recipient.cf, permit_mynetworks, reject_unauth_destination
""")

    def write_master(self):
        rows = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        # local and virtual become the user they deliver to.
        rows += [f"{name} unix {private} "
                 f"{'n' if name in ('local', 'virtual') else '-'} "
                 f"n {wake} {most} {program}"
                 for name, private, wake, most, program in (
                     ("pickup", "n", "1", "1", "pickup"),
                     ("cleanup", "n", "-", "0", "cleanup"),
                     ("qmgr", "n", "300", "1", "qmgr"),
                     ("rewrite", "-", "-", "-", "trivial-rewrite"),
                     ("bounce", "-", "-", "0", "bounce"),
                     ("defer", "-", "-", "0", "bounce"),
                     ("trace", "-", "-", "0", "bounce"),
                     ("verify", "-", "-", "1", "verify"),
                     ("flush", "n", "1000?", "0", "flush"),
                     ("proxymap", "-", "-", "-", "proxymap"),
                     ("smtp", "-", "-", "-", "smtp"),
                     ("relay", "-", "-", "-", "smtp"),
                     ("showq", "n", "-", "-", "showq"),
                     ("error", "-", "-", "-", "error"),
                     ("retry", "-", "-", "-", "error"),
                     ("discard", "-", "-", "-", "discard"),
                     ("local", "-", "-", "-", "local"),
                     ("virtual", "-", "-", "-", "virtual"),
                     ("anvil", "-", "-", "1", "anvil"),
                     ("scache", "-", "-", "1", "scache"))]
        rows += ["postlog unix-dgram n - n - 1 postlogd"]
        (self.conf / "master.cf").write_text("\n".join(rows) + "\n")

    def write_maps(self, db):
        for name, (select, table, where, more) in COLUMNS.items():
            path = self.conf / f"{name}.cf"
            text = (f"user = postfix\npassword = {SECRET}\n"
                    f"hosts = 127.0.0.1:{db.port}\ndbname = postfix\n"
                    f"table = {table}\nselect_field = {select}\n"
                    f"where_field = {where}\n")
            if more:
                text += f"additional_conditions = {more}\n"
            path.write_text(text)
            shutil.chown(path, "root", "postfix")
            path.chmod(0o640)

    def command(self, word):
        return run([tool("postfix"), "-c", self.conf, word])

    def start(self):
        self.command("start")
        wait_for(self.answers, "Postfix answers", 60)

    def answers(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=postern.PATIENCE) as c:
                return c.noop()[0] == 250
        except OSError:
            return False

    def stop(self):
        pid_file = self.queue / "pid/master.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text())
            subprocess.run([tool("postfix"), "-c", str(self.conf), "stop"],
                           capture_output=True, timeout=60)
            wait_for(lambda: waiting.is_gone(pid), "Postfix has ended", 30)

    def sendmail(self, to, text):
        run([tool("sendmail"), "-C", self.conf, "-f", "ann@example.com", "-i",
             to], input=text)

    def smtp(self, to, text):
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as c:
            c.sendmail("ann@example.com", [to], text)

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""


def missing():
    """What keeps this machine from playing the howto, or None."""
    if os.geteuid() != 0:
        return "needs root: mailboxes of several uids"
    if tool("mariadbd", "mysqld") is None or \
            tool("mariadb-install-db", "mysql_install_db") is None:
        return "mariadbd is missing: apt-get install mariadb-server"
    if tool("postfix") is None:
        return "postfix is missing: apt-get install postfix postfix-mysql"
    if "mysql" not in postconf("-m").split():
        return "Postfix knows no mysql: apt-get install postfix-mysql"
    try:
        pwd.getpwnam("mysql")
        grp.getgrnam("postdrop")
    except KeyError as error:
        return str(error)
    return None


class System:
    """All three, started; users joe and ann with a uid each."""

    UID = {"joe@example.com": 64201, "ann@example.com": 64202}

    def __init__(self, base):
        self.base = base
        base.chmod(0o755)
        self.home = base / "vmail"
        self.home.mkdir()
        # Not with +t, which means that all accounts are locked.
        self.home.chmod(0o777)
        (self.home / "example.com").mkdir()
        (self.home / "example.com").chmod(0o1777)
        self.db = MariaDB(base / "db")
        self.db.start()
        self.db.create()
        self.mta = Postfix(base / "postfix", self.db, self.home)
        self.server = postern.Server(
            base / "postern", uid=None, modules="authmysql",
            LOGIN_USER="nobody", AUTH_USER="daemon", LOGIN_CHROOT=base /
            "postern/empty")
        self.server.home = self.home
        # Its sendmail is for users, too, who may name no other configuration
        # than /etc/postfix: posternd sees the one of here at that place.
        self.server.set("imapd", OUTBOX=".Outbox")
        self.server.before["posternd"] = [
            "unshare", "--mount", "--propagation", "private", "sh", "-c",
            f'mount --bind {self.mta.conf} /etc/postfix && exec "$@"', "sh"]

    def start(self):
        self.add_user("joe@example.com")
        self.add_user("ann@example.com", crypt=True)
        self.mta.start()
        rc = self.authmysqlrc()
        self.server.write("authmysqlrc", rc)
        path = self.server.conf / "authmysqlrc"
        shutil.chown(path, "root", "daemon")
        path.chmod(0o640)
        shutil.chown(self.server.var, "daemon", "daemon")
        self.server.start()

    def authmysqlrc(self):
        """The howto's, trailing blanks and all."""
        return (
            "MYSQL_SERVER            127.0.0.1  \n"
            "MYSQL_USERNAME          postfix\t\n"
            f"MYSQL_PASSWORD          {SECRET} \n"
            f"MYSQL_PORT              {self.db.port} \n"
            "MYSQL_OPT               0\n"
            "MYSQL_DATABASE          postfix   \n"
            "MYSQL_USER_TABLE        postfix_users \n"
            "MYSQL_CRYPT_PWFIELD     crypt\n"
            "MYSQL_CLEAR_PWFIELD     clear \n"
            "#DEFAULT_DOMAIN         example.com\n"
            "MYSQL_UID_FIELD         uid \n"
            "MYSQL_GID_FIELD         gid\n"
            "MYSQL_LOGIN_FIELD       email  \n"
            "MYSQL_HOME_FIELD        homedir\n"
            "MYSQL_NAME_FIELD        name\n"
            "MYSQL_MAILDIR_FIELD     maildir \t \n"
            "MYSQL_QUOTA_FIELD       quota\n"
            "MYSQL_WHERE_CLAUSE      access='y'  \n")

    def add_user(self, email, crypt=False):
        uid = self.UID[email]
        user, domain = email.split("@")
        secret = postern.PASSWORD
        if crypt:
            secret = run(["openssl", "passwd", "-6", secret]).strip()
        self.db.sql(
            f"INSERT INTO postfix_users (email, {'crypt' if crypt else 'clear'},"
            f" name, uid, gid, homedir, maildir) VALUES ('{email}',"
            f" '{secret}', '{user}', {uid}, {uid}, '{self.home}',"
            f" '{domain}/{user}/')")
        self.server.users[email] = {
            "uid": uid, "gid": uid, "homedir": str(self.home),
            "maildir": f"{domain}/{user}/"}

    def wait_files(self, email, n):
        try:
            return wait_for(
                lambda: (lambda f: f if len(f) == n else None)(
                    self.server.files(email)),
                f"{n} messages for {email}", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.mta.log()}") from None

    def stop(self):
        try:
            self.server.stop()
        finally:
            try:
                self.mta.stop()
            finally:
                self.db.stop()
