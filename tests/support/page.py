"""The commands of a page of docs/, and running them.

    ```sh       is what the reader types: run in order, in one shell
    ```output   right behind it: what is printed then; an ellipsis (…) stands
                for any text, and alone on a line for any lines
    ```conf, ```text and others are only shown

<!-- not run: REASON --> before a block keeps it from being run.
"""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
HEADING = re.compile(r"^#+ (.*?)\s*#*$")
FENCE = re.compile(r"^(\s*)```(\S*)\s*$")
NOT_RUN = re.compile(r"^<!-- not run: (.+?) -->$")


class Block:
    """One block of commands: text, section (the heading above), line,
    expected (None: anything), not_run (None, or why)."""

    def __init__(self, name, line, section, not_run):
        self.name = name
        self.line = line
        self.section = section
        self.not_run = not_run
        self.lines = []
        self.expected = None

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    def __str__(self):
        return f"{self.name}:{self.line}"


def parse(text, name="page"):
    """The blocks of commands of a page."""
    blocks, section, not_run = [], "", None
    indent = kind = taken = last = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if kind is not None:
            if fence and not fence.group(2):
                kind = None
            elif taken is not None:
                taken.append(line.removeprefix(indent))
            continue
        if fence:
            indent, kind = fence.groups()
            taken = None
            if kind == "sh":
                last = Block(name, number, section, not_run)
                blocks.append(last)
                taken = last.lines
            elif kind == "output":
                if last is None or last.expected is not None:
                    raise ValueError(f"{name}:{number}: output of what?")
                taken = last.expected = []
            else:
                last = None
            not_run = None
            continue
        if not line.strip():
            continue
        if (heading := HEADING.match(line)) is not None:
            section, last = heading.group(1), None
        if (found := NOT_RUN.match(line.strip())) is not None:
            not_run = found.group(1)
    if kind is not None:
        raise ValueError(f"{name}: a block has no end")
    return blocks


def matches(expected, printed):
    """Whether what was printed is what the page shows."""
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part.rstrip() if last else part)
                                 for part, last in _parts(line)) + r"[ \t]*\n"
    printed = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    return re.fullmatch(pattern, printed) is not None


def _parts(line):
    parts = line.split("…")
    return [(part, i == len(parts) - 1) for i, part in enumerate(parts)]


# What makes `…` in a sentence or a table a command: it begins with one of
# these, or it is below a directory of the installation.
OURS = ("posternd posternctl authdaemond authtest authenumerate authpasswd "
        "maildirmake maildiracl maildirkw deliverquota sharedindexinstall "
        "sharedindexsplit makeimapaccess mkimapdcert mkpop3dcert mkdhparams "
        "userdb userdbpw makeuserdb pw2userdb courierlogger couriertcpd "
        "imapd imapd.rc imapd-ssl.rc pop3d.rc pop3d-ssl.rc")
SYSTEM = ("apt-get autoreconf chmod chown cp curl doveadm ln make mariadb "
          "openssl postconf postmap realpath rm sqlite3 ss sysctl systemctl "
          "useradd")
INLINE = re.compile(
    rf"(?:[\w./-]*/)?(?:{'|'.join(map(re.escape, (OURS + ' ' + SYSTEM).split()))})"
    r" [^…|]+|(?:\./|sbin/|libexec/)[\w./-]+(?: [^…|]+)?")


def inline_commands():
    """[(page, command)] of README.md and docs/, each once."""
    found = []
    for path in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        text = re.sub(r"(?ms)^\s*```.*?^\s*```", "", path.read_text())
        found += [(path.name, c) for c in re.findall(r"`([^`\n]+)`", text)
                  if INLINE.fullmatch(c)]
    return list(dict.fromkeys(found))


class Page:
    """docs/NAME. Each section is run by run(); ran: the blocks that were."""

    def __init__(self, name):
        self.name = name
        self.path = TOP / "docs" / name
        self.blocks = parse(self.path.read_text(), name)
        self.ran = []

    def sections(self):
        return list(dict.fromkeys(b.section for b in self.blocks))

    def run(self, machine, *sections, around=None):
        """Run all blocks of these sections, or of all; around: what a test
        does instead for a block, a dict of a pattern in the command and a
        function of (machine, block) that returns what is printed."""
        for section in sections:
            assert section in self.sections(), (self.name, section)
        printed = []
        for block in self.blocks:
            if sections and block.section not in sections:
                continue
            if block.not_run is not None:
                continue
            self.ran.append(block)
            for pattern, function in (around or {}).items():
                if re.search(pattern, block.text):
                    said = function(machine, block)
                    break
            else:
                try:
                    said = machine.shell(block.text)
                except AssertionError as error:
                    raise AssertionError(f"{block}: {error}") from None
            if block.expected is not None:
                assert matches(block.expected, said), \
                    f"{block}: the page shows\n" + \
                    "\n".join(block.expected) + f"\nprinted was\n{said}"
            printed.append(said)
        return printed

    def left(self):
        """Blocks that nobody ran."""
        return [str(b) for b in self.blocks
                if b.not_run is None and b not in self.ran]
