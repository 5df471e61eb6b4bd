"""What reading and searching costs in a large mailbox: bench.py --set messages.

INBOX has all messages (100 000 are meant), Ten the first 10 000 of them, Big
one of 50 MB, Parts one of 20 MB with many parts, and Cold and Thunder of each round are read for the first time.
"""
import threading

import cases
import mails

CASES = {}
FOLDERS = ("Cold", "Thunder")
THUNDERBIRD = ("From To Cc Bcc Subject Date Message-ID Priority X-Priority "
               "References Newsgroups In-Reply-To Content-Type Reply-To")
PARTS = 40
MIXED = 50
MIXED_TIMES = 5


def case(title):
    def keep(function):
        CASES[title] = function
        return function
    return keep


def one(maildir, folder, source):
    """A mailbox of one message."""
    for name in ("tmp", "new", "cur"):
        (maildir / folder / name).mkdir(parents=True, exist_ok=True)
    (maildir / folder / "maildirfolder").touch()
    (maildir / folder / "cur" /
     f"{mails.EPOCH}.M1P1.bench,S={source.stat().st_size}:2,S").hardlink_to(
         source)


def many_parts(path):
    """A message of PARTS attachments, 20 MB in all."""
    body = b"%s\n" % (b"QUJD" * 19) * (20 * 1024 * 1024 // PARTS // 77)
    head = b"Content-Type: multipart/mixed; boundary=b\n\n"
    part = (b"--b\nContent-Type: application/octet-stream\n"
            b"Content-Transfer-Encoding: base64\n\n" + body + b"\n")
    path.write_bytes(head + part * PARTS + b"--b--\n")


def prepare(maildir, corpus, sizes):
    """Ten, Big and Parts, besides what mails.build makes."""
    mails.fill(maildir / ".Ten", corpus, 0, min(10000, sizes.messages))
    (maildir / ".Ten" / "maildirfolder").touch()
    big = corpus / "big"
    if not big.exists():
        line = b"%060d and so on, line by line by line\n"
        fresh = corpus / "fresh"
        with open(fresh, "wb") as f:
            f.write(b"Subject: big\nFrom: joe@example.com\n\n")
            for i in range(50 * 1024 * 1024 // len(line % 0)):
                f.write(line % i)
        fresh.rename(big)
    one(maildir, ".Big", big)
    parts = corpus / "parts"
    if not parts.exists():
        many_parts(corpus / "fresh")
        (corpus / "fresh").rename(parts)
    one(maildir, ".Parts", parts)


def simple(title, command, mailbox="INBOX", times=1):
    """A case of one command in a mailbox that is selected already."""
    @case(title)
    def run(server, _round, meter, _sizes):
        client = cases.session(server, mailbox)
        with meter:
            for _ in range(times):
                client.do(command)
        client.logout()
        return client.received


def first(title, folder, command):
    """A case in a mailbox of which the server has read nothing yet."""
    @case(title)
    def run(server, round_, meter, _sizes):
        client = cases.session(server, f"INBOX.{folder}{round_}")
        with meter:
            client.do(command)
        client.logout()
        return client.received


ENVELOPES = "FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)"
HEADERS = ("UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS "
           f"({THUNDERBIRD})])")

simple("UID FETCH (FLAGS)", "UID FETCH 1:* (FLAGS)")
first("ENVELOPE BODYSTRUCTURE, never read before", "Cold", ENVELOPES)
simple("ENVELOPE BODYSTRUCTURE, read before", ENVELOPES)
first("Thunderbird's header fields, never read before", "Thunder", HEADERS)
simple("Thunderbird's header fields, read before", HEADERS)
simple("SEARCH FROM", f"SEARCH FROM {mails.WORDS[7]}")
simple("SEARCH SUBJECT", f"SEARCH SUBJECT {mails.RARE}")
simple("SEARCH UNSEEN, 10 times", "SEARCH UNSEEN", times=10)
simple("SEARCH SINCE, 10 times", "SEARCH SINCE 1-Jan-2020", times=10)
simple("SORT (DATE)", "SORT (DATE) UTF-8 ALL")
simple("SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL")
simple("THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL")
simple("all bodies of 10000", "FETCH 1:* (BODY.PEEK[])", "INBOX.Ten")
simple("SEARCH BODY in 10000", f"SEARCH BODY {mails.RARE}", "INBOX.Ten")
simple("a message of 50 MB", "FETCH 1 (BODY.PEEK[])", "INBOX.Big")


def pieces(title, again):
    """The last attachment in pieces of 64 KiB; again: a session for each."""
    @case(title)
    def run(server, _round, meter, _sizes):
        client = cases.session(server, "INBOX.Parts")
        client.do("FETCH 1 (BODYSTRUCTURE)")
        received = 0
        with meter:
            for n in range(8):
                if again:
                    received += client.received
                    client.logout()
                    client = cases.session(server, "INBOX.Parts")
                client.do(f"FETCH 1 (BODY.PEEK[{PARTS}]<{n * 65536}.65536>)")
        client.logout()
        return received + client.received


simple("one of 40 attachments of 20 MB",
       f"FETCH 1 (BODY.PEEK[{PARTS // 2}])", "INBOX.Parts")
pieces("8 pieces of the last attachment", False)
pieces("8 pieces of it, each in a session of its own", True)


def mix(server, n, failures):
    try:
        text = mails.message(mails.random.Random(n), n).replace(b"\n", b"\r\n")
        for _ in range(MIXED_TIMES):
            client = server.client(f"idle{n}@example.com")
            client.do("SELECT INBOX")
            client.do("UID FETCH 1:* (FLAGS)")
            client.do(HEADERS)
            client.do("FETCH 1:5 (BODY.PEEK[])")
            client.do("SEARCH UNSEEN")
            client.do("SEARCH SUBJECT invoice")
            client.do(r"STORE 1:10 +FLAGS.SILENT (\Flagged)")
            client.append("INBOX", text)
            client.do("NOOP")
            client.do(r"STORE * +FLAGS.SILENT (\Deleted)")
            client.do("EXPUNGE")
            client.logout()
    except Exception as error:
        failures.append(error)


@case(f"{MIXED} clients mixed, {MIXED * MIXED_TIMES * 13} commands")
def mixed(server, _round, meter, sizes):
    failures = []
    threads = [threading.Thread(target=mix, args=(server, n, failures))
               for n in range(min(MIXED, sizes.idlers))]
    with meter:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
