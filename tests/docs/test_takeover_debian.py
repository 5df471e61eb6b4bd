"""A machine with systemd, on which apt-get has installed Debian's Courier: to
Postern by what docs/takeover-debian.md says, back to Courier, forward again.

Minutes, mostly of apt-get, so it is of the long run."""

import imaplib
import os
import subprocess

import howto
import mail
import page
import pytest
from inherited import Inherited
from postern import wait_for
from servers import ok, state
from test_takeover import ANN, JOE, Logins, same, smtp_auth

PACKAGES = "courier-imap courier-pop courier-authlib-mysql"
PORTS = (143, 993, 110, 995)
UNITS = ("postern.service postern-authdaemond.service postern-imapd.service "
         "postern-imapd-ssl.service postern-pop3d.service "
         "postern-pop3d-ssl.service")


@pytest.fixture(scope="module")
def m(new_machine):
    if not os.environ.get("POSTERN_LONG"):
        pytest.skip("long: POSTERN_LONG=1")
    if not os.environ.get("DOCS_PACKAGES"):
        pytest.skip("needs DOCS_PACKAGES, what tests/docs/get-packages fetched")
    if not os.path.exists("/lib/systemd/systemd"):
        pytest.skip("systemd is missing: apt-get install systemd")
    if subprocess.run(["unshare", "--mount", "--propagation", "private", "sh",
                       "-c", "mount -t cgroup2 cgroup2 /mnt"]).returncode:
        pytest.skip("systemd needs cgroup2")
    m = new_machine(init=True)
    howto.start_mariadb(m)
    howto.prepare_postfix(m)
    page.Page("postfix.md").run(m, "The table", "Delivery by virtual")
    howto.add_user(m, ANN)
    install_courier(m)
    ask_courier_for_smtp(m)
    return m


def install_courier(m):
    m.shell(f"""\
# of the packages' own work only what is about Courier
rm -f /var/lib/man-db/auto-update
mkdir -p /etc/courier
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\
    -days 3 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
    -keyout /tmp/key -out /tmp/cert 2>/dev/null
cat /tmp/key /tmp/cert >/etc/courier/imapd.pem
chmod 600 /etc/courier/imapd.pem
cp -p /etc/courier/imapd.pem /etc/courier/pop3d.pem
: >/etc/courier/dhparams.pem
apt-get install -y --no-install-recommends {PACKAGES}
rm /etc/courier/dhparams.pem
chown root:courier /etc/courier/*.pem
chmod 640 /etc/courier/*.pem
sed -i 's/^authmodulelist=.*/authmodulelist="authmysql"/' \\
    /etc/courier/authdaemonrc
sed -i 's/^IMAP_ULIMITD=.*/IMAP_ULIMITD=1000000/' /etc/courier/imapd
cat >/etc/courier/authmysqlrc <<'EOT'
{howto.AUTHMYSQLRC}EOT
# the servers of users read the index
chmod 755 /etc/courier/shared
# how Debian's library spells it
ln -s authdaemon /run/courier/autthdaemon
systemctl restart courier-authdaemon courier-imap courier-imap-ssl \\
    courier-pop courier-pop-ssl
""")
    serves(m, "Courier")


def ask_courier_for_smtp(m):
    """What docs/postfix.md does, with the path of Debian's socket."""
    text = next(b.text for b in page.Page("postfix.md").blocks
                if "authdaemond_path" in b.text)
    m.shell(text.replace("/usr/local/courier/var/spool/authdaemon",
                         "/run/courier/authdaemon"))
    wait_for(lambda: howto.listens(m, 25), "Postfix is back")


def listens(m, port):
    """Those without TLS also greet."""
    return f":{port} " in m.run(["ss", "-Hltn"]) and (
        port in (993, 995) or howto.listens(m, port))


def serves(m, who):
    """On all ports; else with what systemd has to say."""
    try:
        for port in PORTS:
            wait_for(lambda port=port: listens(m, port), f"{who} on {port}",
                     60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n" + m.shell(
            "systemctl --no-pager list-units '*courier*' '*postern*'; "
            "ss -ltnp; journalctl --no-pager -n 60", ok=None)) from None


def configuration(m):
    """Names and bytes of all that is Courier's."""
    return {p.name: p.read_bytes() for p in m.path("/etc/courier").iterdir()
            if p.is_file() and not p.name.endswith((".dist", ".example"))
            # what the scripts of either make at a start
            and p.name not in ("imapaccess.dat", "dhparams.pem")}


def check_smtp(m):
    assert smtp_auth(m, howto.PASSWORD) == 235
    assert smtp_auth(m, "wrong") == 535


def check_postern(m):
    assert m.shell("systemctl is-active postern postern-authdaemond") == \
        "active\nactive\n"
    args = m.shell("ps -e -o args")
    assert "posternd" in args and "couriertcpd" not in args
    assert m.shell("stat -c '%A %U %G' /run/courier/authdaemon "
                   "/run/courier/authdaemon/socket") == \
        "drwxr-x--- courier courier\nsrwxrwxrwx courier courier\n"
    for name in ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl"):
        assert m.shell(f"/usr/sbin/{name} status") == f"{name} is running\n"
    assert m.shell("systemd-analyze verify " + " ".join(
        f"/lib/systemd/system/{unit}" for unit in UNITS.split())) == ""
    assert m.shell("readlink -f /usr/bin/maildirmake /usr/bin/deliverquota") \
        == "/usr/bin/maildirmake.courier\n/usr/bin/deliverquota.courier\n"
    said = m.shell("posternd -t")
    assert "error:" not in said
    assert said == m.shell("posternd -c /etc/courier -t")
    said = m.shell(f"posternctl mailbox status {JOE}; posternctl who")
    assert "INBOX" in said, said
    check_smtp(m)


def check_units(m):
    """One service by its unit; a reload; a restart."""
    m.shell("systemctl start postern-pop3d; systemctl stop postern-pop3d")
    wait_for(lambda: not listens(m, 110), "pop3d is off")
    assert listens(m, 143) and listens(m, 995)
    m.shell("systemctl start postern-pop3d")
    wait_for(lambda: listens(m, 110), "pop3d is on")
    m.shell("systemctl stop postern-pop3d; systemctl start postern-pop3d")
    m.shell("systemctl reload postern postern-authdaemond")
    pid = m.shell("systemctl show -P MainPID postern")
    m.shell("systemctl restart postern postern-authdaemond")
    assert m.shell("systemctl show -P MainPID postern") != pid
    serves(m, "Postern")


def test_takeover_debian(m):
    p = page.Page("takeover-debian.md")
    joe, ann = Logins(m, JOE), Logins(m, ANN)
    check_smtp(m)
    howto.send(m, JOE, 1000)
    howto.send(m, ANN, 2000)
    with joe.imap() as client:
        mail.fill(client)
        ok(client.select("INBOX.Sent"))
        ok(client.setacl("INBOX.Sent", ANN, "lr"))
    inherited = Inherited(m, lambda email: Logins(m, email), "/etc/courier",
                          "/etc/courier", None)
    inherited.prepare()
    inherited.check("courier")
    mbsync = howto.Mbsync(m, JOE, "/home/mbsync")
    fetchmail = howto.Fetchmail(m, ANN, "/home/fetchmail")
    assert len(mbsync.fetch()) > 10 and fetchmail.fetch() == [2000]
    before, ids = state(joe), ann.pop3()
    files = configuration(m)

    p.run(m, "Build", "Remove Courier's programs",
          around={"configure --with": lambda m, block: m.shell(
              block.text.replace("\nmake >", "\nmake -j2 >"))})
    assert not any(listens(m, port) for port in PORTS)
    howto.send(m, JOE, 1001)
    p.run(m, "Install and start Postern")
    serves(m, "Postern")
    same(state(joe), before, 1)
    assert ann.pop3() == ids
    inherited.check("postern")
    assert mbsync.fetch() == [1001] and fetchmail.fetch() == []
    check_postern(m)
    check_units(m)
    assert configuration(m) == files
    with joe.imap() as client:
        mail.change(client, 200)
    howto.send(m, ANN, 2001)
    mbsync.fetch(lose=True)
    assert fetchmail.fetch() == [2001]
    before, ids = state(joe), ann.pop3()

    p.run(m, "Back to Courier")
    m.shell("test -e /run/courier/autthdaemon || "
            "ln -s authdaemon /run/courier/autthdaemon")
    serves(m, "Courier")
    assert "posternd" not in m.shell("ps -e -o args")
    assert configuration(m) == files
    left = m.shell("find /etc /usr /lib/systemd -xdev -newer /etc/machine-id "
                   "\\( -name 'postern*' -o -name '*.dist' \\) "
                   "-not -path '/usr/src/*'")
    assert left == "", left
    same(state(joe), before)
    assert ann.pop3() == ids
    inherited.check("courier")
    check_smtp(m)
    assert mbsync.fetch() == [] and fetchmail.fetch() == []
    with joe.imap() as client:
        mail.change(client, 300)
    mbsync.fetch(lose=True)
    before = state(joe)

    p.run(m, "Remove Courier's programs", "Install and start Postern",
          around={"^cp -a": lambda m, block: m.shell(
              "rm -r /root/courier.before\n" + block.text)})
    same(state(joe), before)
    assert ann.pop3() == ids
    inherited.check("postern")
    check_postern(m)
    assert mbsync.fetch() == [] and fetchmail.fetch() == []
    assert p.left() == []


def logs_in(m, user):
    """False: not yet, as authdaemond has only begun."""
    try:
        with Logins(m, user).imap():
            return True
    except imaplib.IMAP4.error as error:
        assert "[UNAVAILABLE]" in str(error)
        return False


def test_debians_default_is_pam(m):
    """authmodulelist="authpam": the users of the system, by /etc/pam.d/imap."""
    m.shell("useradd --create-home --shell /bin/sh sam; "
            "echo sam:secret | chpasswd; chmod 700 /home/sam; "
            "sed -i 's/^authmodulelist=.*/authmodulelist=\"authpam\"/' "
            "/etc/courier/authdaemonrc; systemctl restart postern-authdaemond")
    wait_for(lambda: logs_in(m, "sam"), "authdaemond's new connections")
    with Logins(m, "sam").imap() as client:
        ok(client.create("INBOX.Sent"))
    assert m.path("/home/sam/Maildir/.Sent/cur").is_dir()
