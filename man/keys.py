#!/usr/bin/python3
"""Make the lists of keys in postern(5) and docs/configuration.md from
server/conf/keys.def.

keys.py FILE...   replace the list between the two marks in each
"""
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
KEYS_DEF = TOP / "server/conf/keys.def"
BEGIN = '.\\" Made by man/keys.py from server/conf/keys.def: begin.\n'
END = '.\\" Made by man/keys.py from server/conf/keys.def: end.\n'
MD_BEGIN = "<!-- Made by man/keys.py from server/conf/keys.def: begin. -->\n"
MD_END = "<!-- Made by man/keys.py from server/conf/keys.def: end. -->\n"

# The order of the list, and how each file is called.
FILES = {
    "IMAPD": "imapd",
    "IMAPD_SSL": "imapd-ssl",
    "POP3D": "pop3d",
    "POP3D_SSL": "pop3d-ssl",
    "AUTHDAEMONRC": "authdaemonrc",
    "AUTHMYSQLRC": "authmysqlrc",
    "AUTHSQLITERC": "authsqliterc",
    "POSTERN": "postern",
}
# What becomes of a value: the flag, and the words after the name.
STATUS = {
    "HONOUR": "",
    "IGNORE": "accepted, without effect",
    "WARN": "accepted with a remark, without effect",
    "REFUSE": "an error unless it is off",
}
TOKEN = re.compile(r'\s+|/\*.*?\*/|("(?:\\.|[^"\\])*")|([A-Za-z_]\w*)'
                   r'|(-?\d\w*)|([(),|])', re.S)


class Key(NamedTuple):
    file: str
    name: str
    type: str
    default: str
    flags: set
    text: str

    def status(self):
        """HONOUR, IGNORE, WARN or REFUSE."""
        return next(f for f in self.flags if f in STATUS)


def tokens(source):
    pos = 0
    while pos < len(source):
        found = TOKEN.match(source, pos)
        if not found:
            line = source.count("\n", 0, pos) + 1
            raise ValueError(f"keys.def:{line}: not understood")
        pos = found.end()
        if found.lastindex:
            yield found.group(found.lastindex)


def value(words):
    """The text of a C string, of macros for directories, or of both."""
    out = ""
    for word in words:
        if word.startswith('"'):
            out += re.sub(r"\\(.)", r"\1", word[1:-1])
        elif word.startswith("POSTERN_"):
            out += word[len("POSTERN_"):].lower()
        else:
            raise ValueError(f"keys.def: {word}: neither text nor directory")
    return out


def read(path=KEYS_DEF):
    """Every key, in the order of the file."""
    keys = []
    args = None
    for word in tokens(path.read_text()):
        if args is None:
            if word == "(":
                args = [[]]
            elif word != "CONF_KEY":
                raise ValueError(f"keys.def: {word}: CONF_KEY was expected")
        elif word == ",":
            args.append([])
        elif word != ")":
            args[-1].append(word)
        else:
            if len(args) != 8:
                raise ValueError(f"keys.def: {args[1]}: eight columns, "
                                 f"not {len(args)}")
            keys.append(Key(args[0][0], args[1][0], args[2][0],
                            value(args[5]), set(args[6]) - {"|"},
                            value(args[7])))
            args = None
    return keys


def roff(text):
    """Plain text, safe anywhere in an mdoc page."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def argument(text):
    """The same as one argument of an mdoc macro; a dot ends no sentence."""
    end = "\\&" if text.endswith(".") else ""
    return '"' + roff(text).replace('"', '\\(dq') + end + '"'


def sentences(text):
    """Each sentence from a fresh line on, no line read as a request."""
    for line in re.split(r"(?<=[.;])\s+(?=[A-Z0-9])", text):
        for piece in textwrap.wrap(roff(line), 76, break_long_words=False,
                                   break_on_hyphens=False):
            yield "\\&" + piece if piece[:1] in "'." else piece


def entry(key):
    default = f"Li {argument(key.default)}" if key.default else "empty"
    yield f".It Va {key.name} Pq {default}"
    yield from sentences(key.text)
    if STATUS[key.status()]:
        yield f'.Em "{STATUS[key.status()].capitalize()}" .'
    elif "RELOAD" not in key.flags:
        yield "Counts from the next start."


def listing(keys):
    lines = []
    for file, name in FILES.items():
        lines += [f".Ss {name}", ".Bl -tag -width Ds"]
        for key in keys:
            if key.file == file:
                lines += entry(key)
        lines.append(".El")
    return "\n".join(lines) + "\n"


# The word for the flag in the tables.
MD_STATUS = {"HONOUR": "counts", "IGNORE": "accepted", "WARN": "warned of",
             "REFUSE": "refused"}


def table(keys):
    lines = []
    for file, name in FILES.items():
        lines += [f"### {name}", "", "| Key | Default | Status | Meaning |",
                  "| --- | --- | --- | --- |"]
        for key in keys:
            if key.file != file:
                continue
            status = MD_STATUS[key.status()]
            if status == "counts" and "RELOAD" not in key.flags:
                status += ", start"
            default = f"`{key.default}`" if key.default else ""
            text = re.sub(r"[*<]", r"\\\g<0>", key.text)
            lines.append(f"| `{key.name}` | {default} | {status} | {text} |")
        lines.append("")
    return "\n".join(lines)


def replaced(page, keys):
    """The page with a fresh list between its marks."""
    begin, end, make = (BEGIN, END, listing) if BEGIN in page else \
        (MD_BEGIN, MD_END, table)
    head, rest = page.split(begin)
    _, tail = rest.split(end)
    return head + begin + make(keys) + end + tail


def main(paths):
    keys = read()
    for path in map(Path, paths):
        path.write_text(replaced(path.read_text(), keys))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
