#!/usr/bin/python3
"""Make docs/ipc.md from server/ipc/messages.def."""
import re
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
MESSAGES_DEF = TOP / "server/ipc/messages.def"
FIELDS = {"u": "u32", "U": "u64", "s": "bytes"}
ITEM = re.compile(
    r"/\*\s*-+ (?P<heading>.*?) -+\s*\*/"
    r"|/\*\s*(?P<comment>.*?)\s*\*/"
    r"|MSG\((?P<name>\w+),\s*(?P<sender>\w+),\s*(?P<receiver>\w+),\s*"
    r"(?P<fd>\w+),\s*\"(?P<fields>\w*)\"\)", re.S)

INTRODUCTION = """\
# Messages between processes

Made from `server/ipc/messages.def` by `docs/ipc.py`; that file is the table
which the programs check every message against. What each process is and may
do: [architecture.md](architecture.md).

A message is one packet of a `SOCK_SEQPACKET` socket: type and request id, four
bytes each, then its fields in order, then nothing; at most one descriptor
goes with it. A field is `u32`, `u64`, or `bytes`: how many, they, a NUL. Numbers
are in the machine's own order, as both ends are on it. A packet has at most
128 KiB. What doesn't keep to this ends the process that sent it, never the
one that received it.

`CHILD` is a login process or a worker; `CONTROL` is `posternctl`, or the holder
of a pid file; `AUTH` is the process of authdaemond that others talk to.
"""


class Message(NamedTuple):
    name: str
    sender: str
    receiver: str
    fd: bool
    fields: str
    text: str


def plain(comment):
    return re.sub(r"\s*\n \*\s*|\s+", " ", comment).strip()


def read(path=MESSAGES_DEF):
    """[(heading, [Message, …]), …] in the order of the file."""
    sections = []
    comment = ""
    for found in ITEM.finditer(path.read_text()):
        if found["heading"]:
            sections.append((found["heading"], []))
            comment = ""
        elif found["comment"]:
            comment = plain(found["comment"])
        elif found["name"] and sections:
            sections[-1][1].append(
                Message(found["name"], found["sender"], found["receiver"],
                        found["fd"] != "FD_NONE", found["fields"], comment))
            comment = ""
    return sections


def row(m):
    fields = " ".join(FIELDS[letter] for letter in m.fields)
    text = m.text.replace("|", "\\|")
    return (f"| `{m.name}` | {m.sender} → {m.receiver} | {fields} | "
            f"{'yes' if m.fd else ''} | {text} |")


def page(sections):
    lines = [INTRODUCTION]
    for heading, messages in sections:
        heading = heading.replace("<->", "↔").replace("->", "→")
        lines += [f"## {heading}", "",
                  "| Message | From, to | Fields | Descriptor | Meaning |",
                  "| --- | --- | --- | --- | --- |"]
        lines += [row(m) for m in messages]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    (TOP / "docs/ipc.md").write_text(page(read()))
