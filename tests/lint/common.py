"""What the checks of this folder share."""

import os
import pathlib
import re
import sys

TOP = pathlib.Path(os.environ.get(
    "top_srcdir", pathlib.Path(__file__).resolve().parents[2]))
CODE = ("base", "server", "auth", "maildir", "protocols", "ctl")


def sources(folders=CODE):
    """Every C file of the folders, as a path below TOP."""
    for folder in folders:
        for path in sorted((TOP / folder).rglob("*.[ch]")):
            yield path.relative_to(TOP)


def text_of(path):
    return (TOP / path).read_text()


def without_comments(text):
    """The same lines, comments and strings emptied."""
    def blank(match):
        found = match.group(0)
        return "\n" * found.count("\n") if found.startswith("/") else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text,
                  flags=re.S)


class Report:
    """One line for each named check; the exit status at the end."""

    def __init__(self):
        self.failed = False

    def check(self, name, problems):
        problems = list(problems)
        print(("not ok " if problems else "ok ") + name)
        for problem in problems:
            print("    " + problem)
        self.failed |= bool(problems)

    def end(self):
        sys.exit(1 if self.failed else 0)
