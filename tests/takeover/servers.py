"""Courier and Dovecot as they see a Maildir, and Postern beside them.

The two are Debian's programs for after the login, run on a pipe each: IMAP
greets with PREAUTH then.  They see their packages laid over /usr and /etc, in
a mount namespace of their own.
"""
import contextlib
import imaplib
import os
import pathlib
import poplib
import re
import subprocess

import postern

UID = postern.PLAIN_UID
MESSAGE_ID = re.compile(rb"message-id:\s*(<[^>]*>)", re.IGNORECASE)


class Foreign:
    """What Courier and Dovecot have in common; maildir: its path."""

    imap_command = pop3_command = None

    def __init__(self, root, maildir):
        self.root = pathlib.Path(root)
        self.maildir = pathlib.Path(maildir)
        # Without a name for its uid, Courier's library for watching folders
        # waits a second and gives up.
        self.etc = self.maildir.parent.parent / "etc"
        self.etc.mkdir(exist_ok=True)
        for name, line in (("passwd", f"mail{UID}:x:{UID}:{UID}::/:/bin/sh"),
                           ("group", f"mail{UID}:x:{UID}:")):
            text = pathlib.Path("/etc", name).read_text()
            (self.etc / name).write_text(text + line + "\n")

    def argv(self, command, **env):
        """A command of the unpacked system, run as the user of the mail."""
        script = (f"mount -t overlay overlay -o ro,lowerdir={self.root}/usr:"
                  f"/usr /usr && mount -t overlay overlay -o ro,lowerdir="
                  f"{self.etc}:{self.root}/etc:/etc /etc && exec \"$@\"")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                script, "sh", "setpriv", f"--reuid={UID}", f"--regid={UID}",
                "--clear-groups", "--", "env", "-C",
                str(self.maildir.parent), *(f"{k}={v}" for k, v in
                                            env.items()), *command]

    def run(self, *command, check=True, **kwargs):
        return subprocess.run(self.argv(command), check=check,
                              capture_output=True, **kwargs)

    @contextlib.contextmanager
    def imap(self):
        argv = self.argv(self.imap_command, **self.environment())
        client = Pipe(argv)
        assert "PREAUTH" in client.untagged_responses
        yield client
        client.logout()

    def pop3(self):
        """The unique-ids in the order of the listing."""
        said = subprocess.run(
            self.argv(self.pop3_command, **self.environment()),
            input=b"UIDL\r\nQUIT\r\n", capture_output=True, check=True).stdout
        lines = said.decode("latin-1").split("\r\n")
        end = lines.index(".")
        begin = max(i for i, line in enumerate(lines[:end])
                    if line.startswith("+OK"))
        return [line.split(" ", 1)[1] for line in lines[begin + 1:end]]


class Pipe(imaplib.IMAP4_stream):
    """IMAP to a program, without a shell in between."""

    def open(self, host=None, port=None, timeout=None):
        self.process = subprocess.Popen(
            self.command, bufsize=-1, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.writefile = self.process.stdin
        self.readfile = self.process.stdout


class Courier(Foreign):
    name = "Courier"
    imap_command = ["/usr/bin/imapd", "Maildir"]
    pop3_command = ["/usr/lib/courier/courier/courierpop3d", "Maildir"]

    def environment(self):
        return {"AUTHENTICATED": "joe", "MAILDIR": "Maildir",
                "IMAP_KEYWORDS": 1, "IMAP_USELOCKS": 1, "IMAP_ACL": 1,
                "IMAP_EMPTYTRASH": "Trash:7", "IMAP_TRASHFOLDERNAME": "Trash"}


class Dovecot(Foreign):
    name = "Dovecot"

    def __init__(self, root, maildir, layout="", prefix="INBOX.", more=""):
        """layout: ":LAYOUT=fs"; prefix: of the namespace; more: settings."""
        super().__init__(root, maildir)
        run = self.maildir.parent / "dovecot"
        run.mkdir(exist_ok=True)
        os.chown(run, UID, UID)
        conf = run / "dovecot.conf"
        conf.write_text(f"""\
protocols = imap pop3
ssl = no
mail_location = maildir:{maildir}{layout}
base_dir = {run}
log_path = {run}/log
default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
mail_uid = {UID}
mail_gid = {UID}
stats_writer_socket_path =
namespace inbox {{
  inbox = yes
  separator = .
  prefix = {prefix}
}}
{more}
""")
        self.imap_command = ["/usr/lib/dovecot/imap", "-c", str(conf)]
        self.pop3_command = ["/usr/lib/dovecot/pop3", "-c", str(conf)]

    def environment(self):
        return {"USER": "joe", "HOME": self.maildir.parent}


class Postern:
    """A private server that is started for a session and stopped after it."""
    name = "Postern"

    def __init__(self, base, maildir):
        self.server = postern.Server(base)
        home = pathlib.Path(maildir).parent
        self.server.add_user(postern.JOE, homedir=str(home),
                             maildir="Maildir/")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    @contextlib.contextmanager
    def imap(self):
        client = imaplib.IMAP4("127.0.0.1", self.server.port["imapd"])
        client.login(postern.JOE, postern.PASSWORD)
        yield client
        client.logout()

    def pop3(self):
        client = poplib.POP3("127.0.0.1", self.server.port["pop3d"])
        client.user(postern.JOE)
        client.pass_(postern.PASSWORD)
        lines = client.uidl()[1]
        client.quit()
        return [line.decode("latin-1").split(" ", 1)[1] for line in lines]


def ok(reply):
    assert reply[0] == "OK", reply
    return reply[1]


def names(reply):
    """The mailbox names of LIST or LSUB that can be selected."""
    found = {}
    for line in ok(reply):
        if line is None:
            continue
        flags, name = re.match(rb'\(([^)]*)\) "?\.?"? (.*)$', line).groups()
        name = name.decode("ascii").strip('"')
        found[name] = b"\\Noselect" in flags
    return sorted(n for n, noselect in found.items() if not noselect)


def messages(client, mailbox):
    """uid -> (Message-ID, INTERNALDATE, flags)"""
    ok(client.select(f'"{mailbox}"'))
    validity = int(client.response("UIDVALIDITY")[1][0])
    found = {}
    reply = ok(client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE "
                          "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"))
    for part in reply:
        if not isinstance(part, tuple):
            # what stands behind the literal: FLAGS may
            if part and found and b"FLAGS" in part:
                last["flags"] = flags_of(part)
            continue
        head, text = part
        uid = int(re.search(rb"UID (\d+)", head).group(1))
        date = re.search(rb'INTERNALDATE "([^"]*)"', head)
        last = {"id": MESSAGE_ID.search(text).group(1).decode(),
                "date": date and imaplib.Internaldate2tuple(
                    b'INTERNALDATE "' + date.group(1) + b'"'),
                "flags": flags_of(head)}
        found[uid] = last
    return {"uidvalidity": validity,
            "messages": {uid: (m["id"], m["date"], m["flags"])
                         for uid, m in found.items()}}


def flags_of(text):
    found = re.search(rb"FLAGS \(([^)]*)\)", text)
    if found is None:
        return None
    return tuple(sorted(f for f in found.group(1).decode().split()
                        if f != "\\Recent"))


def state(server):
    """All that a client could see; INBOX need not be subscribed to."""
    with server.imap() as client:
        boxes = names(client.list('""', '"*"'))
        return {
            "mailboxes": {name: messages(client, name) for name in boxes},
            "subscribed": [n for n in names(client.lsub('""', '"*"'))
                           if n.upper() != "INBOX"],
        }
