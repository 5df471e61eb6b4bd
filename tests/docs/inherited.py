"""What a machine with Courier may have inherited from earlier years, beside the
mail of test_takeover.py, and what each server must show of it."""

import re
import socket
import ssl

import mail
from howto import P, add_user
from servers import names, ok, state

CONTEXT = ssl._create_unverified_context()
UIDV = 1234567890
# Of each version of courierpop3dsizelist: lines for two files, %s, and the
# unique-ids that Courier of that time gave.
SIZELISTS = {
    0: ("%s 40\n%s 40\n", ["1700000001.M1P1.host", "1700000002.M1P+2B.host"]),
    1: ("/1 9\n%s 40 7\n%s 40 8\n", ["UID7", "UID8"]),
    2: (f"/2 9 {UIDV}\n%s 40 3:{UIDV}\n%s 40 4:0\n", [f"UID3-{UIDV}", "UID4"]),
}
FILES = ("1700000001.M1P1.host", "1700000002.M1P+.host")
# As Courier 4 has spelt them on disk, and one that somebody has converted.
TREE = ("R&AOk-sum&AOk-", "R&AOk-sum&AOk-.Stra&AN8-e.&ZeVnLIqe-")
CONVERTED = "K\u00e4se.Br\u00f6tchen"


class Inherited:
    """prepare() on the machine, while Courier serves; then check() after each
    change of the server: courier or postern."""

    def __init__(self, m, user, etc=f"{P}/etc", certificates=f"{P}/share",
                 start=P + "/libexec/{}.rc start"):
        """Where Courier has its files; start: how its other services are
        started, or None."""
        self.m = m
        self.etc = etc
        self.pem = certificates
        self.start = start
        self.user = user  # makes a Logins of an address
        self.appended = 0
        self.was = {}

    def maildir(self, name):
        return f"/home/vmail/example.com/{name}"

    def message(self, name, folder, file):
        path = self.m.path(f"{self.maildir(name)}/{folder}/cur/{file}:2,S")
        path.write_text(f"Message-ID: <{file}>\nSubject: {file}\n\nold\n")

    def make(self, name, *folders):
        add_user(self.m, f"{name}@example.com")
        box = self.maildir(name)
        self.m.shell(f"maildirmake.courier {box}\n" + "".join(
            f"mkdir -p '{box}/.{f}/cur' '{box}/.{f}/new' '{box}/.{f}/tmp'\n"
            f"touch '{box}/.{f}/maildirfolder'\n" for f in folders))

    def prepare(self):
        m = self.m
        for version, (lines, _) in SIZELISTS.items():
            name = f"list{version}"
            self.make(name)
            for file in FILES:
                self.message(name, "", file)
            m.path(f"{self.maildir(name)}/courierpop3dsizelist").write_text(
                lines % tuple(f"{file}:2,S" for file in FILES))
        self.make("tree", *TREE, CONVERTED)
        for n, folder in enumerate((*TREE, CONVERTED), 5):
            self.message("tree", f".{folder}", f"{FILES[0]}{n}")
            m.path(f"{self.maildir('tree')}/.{folder}/courierimapuiddb"
                   ).write_text(f"1 {UIDV + n} {n + 1}\n{n} {FILES[0]}{n}\n")
        m.path(f"{self.maildir('tree')}/courierimapsubscribed").write_text(
            "".join(f"INBOX.{f}\n" for f in TREE))
        self.make("quota")
        m.shell(f"maildirmake.courier -q 100000S,50C {self.maildir('quota')}")
        # Whom ann may visit: by the index, and by a link.
        self.make("news")
        news, ann = self.maildir("news"), self.maildir("ann")
        m.shell(f"""\
rm -r {news}
maildirmake.courier -S {news}
maildirmake.courier -s read -f public {news}
maildirmake.courier --add news={news} {ann}
chown -R vmail: /home/vmail
chmod 755 /home/vmail /home/vmail/example.com
printf 'joe@example.com\\t5000\\t5000\\t/home/vmail\\texample.com/joe\\n' \\
    >{self.etc}/shared/index
""")
        for service in ("imapd-ssl", "pop3d-ssl") if self.start else ():
            m.shell(self.start.format(service))

    # --- what is seen -----------------------------------------------------------

    def certificates(self):
        """What each way to TLS shows, PEM."""
        def peer(s):
            with CONTEXT.wrap_socket(s, server_hostname="localhost") as tls:
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))

        def dial(port):
            return socket.create_connection(("127.0.0.1", port), 30)

        def upgraded(port, command):
            s = dial(port)
            with s.makefile("rb") as f:
                f.readline()
                s.sendall(command + b"\r\n")
                assert b"OK" in f.readline()
            return peer(s)
        with self.m.network():
            return [peer(dial(993)), peer(dial(995)),
                    upgraded(143, b"a STARTTLS"), upgraded(110, b"STLS")]

    def shared(self):
        """What ann sees of others, and how much is in it."""
        with self.user("ann@example.com").imap() as client:
            found = names(client.list('""', '"#shared.*"')) + \
                names(client.list('""', '"shared.*"'))
            return {name: int(ok(client.select(f'"{name}"', True))[0])
                    for name in found if name.startswith("#shared.")} | \
                {name: None for name in found if not name.startswith("#")}

    def quota(self):
        """Another message; the file agrees with a count of all."""
        with self.user("quota@example.com").imap() as client:
            self.appended += 1
            mail.append(client, "INBOX", 4000 + self.appended)
            root = ok(client.getquotaroot("INBOX"))
        box = self.m.path(self.maildir("quota"))
        limits, *usage = mail.sum_of(box / "maildirsize")
        assert limits == "100000S,50C"
        assert usage == list(mail.counted(box)) and usage[1] == self.appended
        said = b" ".join(word for words in root for word in words)
        assert re.search(rb"STORAGE (\d+) 98 MESSAGE %d 50" % self.appended,
                         said), said

    def check(self, server):
        wanted = [self.m.path(f"{self.pem}/{name}.pem").read_text()
                  for name in ("imapd", "pop3d") * 2]
        for shown, file in zip(self.certificates(), wanted):
            assert shown in file
        shared = self.shared()
        assert shared["#shared.joe@example com.Sent"] > 0
        assert shared.keys() >= {"shared.news.public"}
        assert self.was.setdefault("shared", shared).keys() == shared.keys()
        self.quota()
        if server == "courier" and "ids" not in self.was:
            return  # Courier 5 would lose what the older ones wrote
        for version, (_, ids) in SIZELISTS.items():
            assert self.user(f"list{version}@example.com").pop3() == ids, \
                version
        self.was["ids"] = True
        if server == "postern":
            self.check_tree()

    def check_tree(self):
        """Both spellings, nothing renamed; Courier 5 itself shows the old one
        with every & as &-."""
        now = state(self.user("tree@example.com"))
        sets = {"INBOX." + f: {"uidvalidity": UIDV + n, "uid": n}
                for n, f in enumerate((*TREE, "K&AOQ-se.Br&APY-tchen"), 5)}
        for name, want in sets.items():
            box = now["mailboxes"][name]
            assert box["uidvalidity"] == want["uidvalidity"], name
            assert list(box["messages"]) == [want["uid"]], name
        assert sorted(now["subscribed"]) == sorted(
            "INBOX." + f for f in TREE)
        assert self.was.setdefault("tree", now) == now
        found = {p.name for p in self.m.path(self.maildir("tree")).iterdir()
                 if p.name.startswith(".")}
        assert found >= {f".{f}" for f in (*TREE, CONVERTED)}
