"""The mail that every server is measured on: the same bytes each time."""
import base64
import os
import random
import shutil
from pathlib import Path

WORDS = ("account address agenda answer archive budget calendar change "
         "comment contract customer deadline delivery department document "
         "draft estimate evening figures folder garden holiday invoice "
         "journey kitchen letter library market meeting message minutes "
         "morning number office order package payment picture plan project "
         "proposal question receipt release report request review schedule "
         "server station summer survey table ticket travel update version "
         "weather website winter window").split()
DOMAINS = ["example.com", "example.org", "example.net", "mail.example"]
# Found in one subject, and in one body, of each hundred.
RARE = "quincunx"
EPOCH = 1700000000
# Folder sizes beside INBOX: one to go to and back, and small accounts.
SMALL = 10
IDLER_MESSAGES = 100


def sentence(rng, words):
    return " ".join(rng.choice(WORDS) for _ in range(words)).capitalize() + "."


def paragraph(rng):
    text = " ".join(sentence(rng, rng.randint(5, 14))
                    for _ in range(rng.randint(2, 7)))
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > 70:
            lines.append(line)
            line = ""
        line += " " * bool(line) + word
    return "\n".join([*lines, line])


def identifier(n):
    return (f"<{n}.{n * 0x9e3779b97f4a7c15 % 2 ** 64:016x}"
            f"@{DOMAINS[n % len(DOMAINS)]}>")


def ancestors(n):
    """Two of three messages are replies to one shortly before them."""
    found = []
    while n % 3 != 0 and n > 20:
        n -= 1 + n * 7 % 5
        found.insert(0, n)
    return found


def header(rng, n):
    sender = f"{rng.choice(WORDS)}@{rng.choice(DOMAINS)}"
    day, hour = divmod(n, 24)
    lines = [
        f"Return-Path: <{sender}>",
        "Delivered-To: joe@example.com",
        f"Received: from mail.{sender.split('@')[1]} (unknown [192.0.2.7])",
        "\tby mx.example.com (Postfix) with ESMTPS id "
        f"{rng.getrandbits(40):010X}",
        f"\tfor <joe@example.com>; Tue, {day % 28 + 1:2} Nov 2023 "
        f"{hour:02}:13:20 +0000 (UTC)",
        f"Date: Tue, {day % 28 + 1:2} Nov 2023 {hour:02}:13:20 +0000",
        f'From: "{rng.choice(WORDS).title()} {rng.choice(WORDS).title()}" '
        f"<{sender}>",
        "To: Joe <joe@example.com>",
        f"Message-ID: {identifier(n)}",
        f"Subject: {sentence(rng, rng.randint(2, 8))[:-1]}"
        f"{' ' + RARE if n % 100 == 50 else ''}",
        "MIME-Version: 1.0",
    ]
    if ancestors(n):
        lines += [f"In-Reply-To: {identifier(ancestors(n)[-1])}",
                  "References: " + "\n\t".join(map(identifier, ancestors(n)))]
    if n % 3 == 0:
        lines.insert(9, "Cc: " + ", ".join(
            f"{rng.choice(WORDS)}@{rng.choice(DOMAINS)}"
            for _ in range(rng.randint(1, 6))))
    return lines


def plain(rng, n):
    text = "\n\n".join(paragraph(rng) for _ in range(rng.randint(1, 12)))
    return text + (f"\n\n{RARE}\n" if n % 100 == 25 else "\n")


def message(rng, n):
    """One message: 6 of 10 plain, 3 text and HTML, 1 with an attachment."""
    lines = header(rng, n)
    kind = n % 10
    mark = f"=_{rng.getrandbits(64):016x}"
    if kind < 6:
        lines += ["Content-Type: text/plain; charset=utf-8",
                  "Content-Transfer-Encoding: 8bit", "", plain(rng, n)]
    elif kind < 9:
        text = plain(rng, n)
        lines += [f'Content-Type: multipart/alternative; boundary="{mark}"',
                  "", f"--{mark}", "Content-Type: text/plain; charset=utf-8",
                  "", text, f"--{mark}",
                  "Content-Type: text/html; charset=utf-8", "",
                  "<html><body>" + text.replace("\n\n", "</p>\n<p>")
                  + "</body></html>", f"--{mark}--", ""]
    else:
        data = base64.encodebytes(rng.randbytes(rng.randint(5, 80) * 1024))
        lines += [f'Content-Type: multipart/mixed; boundary="{mark}"', "",
                  f"--{mark}", "Content-Type: text/plain", "", plain(rng, n),
                  f"--{mark}",
                  'Content-Type: application/pdf; name="report.pdf"',
                  'Content-Disposition: attachment; filename="report.pdf"',
                  "Content-Transfer-Encoding: base64", "",
                  data.decode().rstrip("\n"), f"--{mark}--", ""]
    return "\n".join(lines).encode()


def make_corpus(folder, n):
    """n messages as files 0, 1, ...; those already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        path = folder / str(i)
        if not path.exists():
            fresh = folder / "fresh"
            fresh.write_bytes(message(random.Random(i), i))
            fresh.rename(path)


def fill(maildir, corpus, first, n):
    """A Maildir with messages first … first + n - 1 of the corpus."""
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        flags = "S" * (i % 4 != 0)
        source = corpus / str(i)
        name = (f"{EPOCH + i}.M{i}P1.bench,S={source.stat().st_size}"
                f":2,{'F' if i % 50 == 7 else ''}{'R' if i % 9 == 2 else ''}"
                f"{flags}")
        try:
            os.link(source, maildir / "cur" / name)
        except OSError:
            shutil.copyfile(source, maildir / "cur" / name)


def build(home, corpus, *, messages, rounds, cold, idlers, owner,
          more=None, sizes=None):
    """
    All accounts of one server: joe/Maildir with `messages` in INBOX, a fresh
    mailbox of `cold` messages for each round, and Small; idle0 … with few.
    """
    shutil.rmtree(home, ignore_errors=True)
    joe = home / "joe" / "Maildir"
    fill(joe, corpus, 0, messages)
    kinds = more.FOLDERS if more else ("Cold",)
    folders = {f".{kind}{r}": cold for kind in kinds
               for r in range(rounds + 1)}
    for folder, n in {**folders, ".Small": SMALL}.items():
        fill(joe / folder, corpus, 0, n)
        (joe / folder / "maildirfolder").touch()
    if more:
        more.prepare(joe, corpus, sizes)
    for i in range(idlers):
        fill(home / f"idle{i}" / "Maildir", corpus, 0, IDLER_MESSAGES)
    for path in [home, *home.rglob("*")]:
        # A message is linked into many places: one chown is enough.
        if path.stat().st_uid != owner[0]:
            os.chown(path, *owner)
    return Path(home)
