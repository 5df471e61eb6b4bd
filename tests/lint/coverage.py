"""docs/rfc-coverage.md: each file and test that it names is there."""

import re
import sys

from common import TOP, Report

PATH = re.compile(r"\b((?:base|server|auth|maildir|protocols|ctl|tests|docs|"
                  r"etc|man)/[\w./+-]*[\w+])")
FOLDERS = ("docs/rfc-coverage.md", "docs/architecture.md", "docs/storage.md",
           "docs/limits.md", "HACKING.md", "README.md", "SECURITY.md")


def problems(page):
    text = (TOP / page).read_text()
    for name in sorted(set(PATH.findall(text))):
        # A star stands for several files; a build makes some.
        if name.endswith(("paths.h",)) or (TOP / name).exists():
            continue
        if any((TOP / (name + end)).exists() for end in (".c", ".h", ".txt")):
            continue
        if list(TOP.glob(name + "*")):
            continue
        yield f"{page} names {name}, which is not there"


def main():
    report = Report()
    for page in FOLDERS:
        if (TOP / page).exists():
            report.check(f"files named in {page}", problems(page))
        else:
            report.check(f"files named in {page}", ["the page is missing"])
    report.end()


if __name__ == "__main__":
    sys.exit(main())
