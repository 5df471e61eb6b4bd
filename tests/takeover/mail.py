"""What the tests put into a mailbox, and how they change it."""
import postern
from servers import ok

DATE = '"07-Feb-1994 21:52:25 -0800"'
BOXES = ("INBOX.Sent", "INBOX.Lists.a.b", "INBOX.R&AOk-sum&AOk-")


def text(n):
    return postern.message(f"Message {n}", n=n).replace("\n", "\r\n").encode()


def append(client, mailbox, n, flags=""):
    ok(client.append(f'"{mailbox}"', f"({flags})", DATE, text(n)))


def fill(client):
    """Messages, flags, keywords, mailboxes and subscriptions."""
    for name in BOXES:
        ok(client.create(f'"{name}"'))
        ok(client.subscribe(f'"{name}"'))
    ok(client.create("INBOX.Plain"))
    for n in range(12):
        append(client, "INBOX", n,
               ["", "\\Seen", "\\Flagged $Label1", "Work \\Answered",
                "$Label1 Work other"][n % 5])
    ok(client.select("INBOX"))
    ok(client.uid("STORE", "3:5", "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    ok(client.uid("STORE", "6", "-FLAGS", "(Work)"))
    ok(client.uid("COPY", "6:8", "INBOX.Sent"))
    ok(client.uid("COPY", "2,9", '"INBOX.R&AOk-sum&AOk-"'))
    ok(client.uid("STORE", "9", "+FLAGS", "(\\Draft Late)"))
    append(client, "INBOX.Lists.a.b", 100, "\\Seen only.here")
    append(client, "INBOX.Lists.a.b", 101)
    ok(client.select("INBOX.Lists.a.b"))
    ok(client.uid("STORE", "2", "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())


def change(client, n):
    """Something of each kind; n: a number for new messages."""
    append(client, "INBOX", n, "\\Seen Fresh")
    append(client, "INBOX.Lists.a.b", n + 1)
    ok(client.select("INBOX"))
    uids = [int(u) for u in ok(client.uid("SEARCH", "ALL"))[0].split()]
    ok(client.uid("STORE", str(uids[0]), "+FLAGS", "(\\Deleted)"))
    ok(client.expunge())
    ok(client.uid("STORE", str(uids[1]), "+FLAGS", f"(\\Flagged New{n})"))
    ok(client.uid("STORE", str(uids[2]), "-FLAGS", "($Label1 Work Late)"))
    ok(client.uid("STORE", str(uids[3]), "FLAGS", "(\\Seen Set)"))
    ok(client.uid("COPY", f"{uids[3]}:{uids[4]}", "INBOX.Sent"))
    ok(client.create(f"INBOX.New{n}"))
    ok(client.subscribe(f"INBOX.New{n}"))
    ok(client.uid("COPY", str(uids[4]), f"INBOX.New{n}"))


def sum_of(maildirsize):
    lines = maildirsize.read_text().splitlines()
    return (lines[0], sum(int(line.split()[0]) for line in lines[1:]),
            sum(int(line.split()[1]) for line in lines[1:]))


def counted(maildir):
    """What maildirsize must say: all but messages marked \\Deleted."""
    files = [f for box in (maildir, *maildir.glob(".[!.]*"))
             if box.is_dir() and box.name != ".Trash"
             for sub in ("new", "cur") if (box / sub).is_dir()
             for f in (box / sub).iterdir()
             if "T" not in f.name.rpartition(":2,")[2].replace(f.name, "")]
    return sum(f.stat().st_size for f in files), len(files)
