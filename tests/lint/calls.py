"""Refuse calls that have a better one, in code and in tests.

A line with a comment /* lint: reason */ is let through.
"""

import re

from common import CODE, Report, sources, text_of, without_comments

INSTEAD = {
    "strcpy": "struct buf or snprintf", "strcat": "struct buf",
    "strncat": "struct buf or snprintf", "stpcpy": "struct buf",
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "gets": "fgets",
    "atoi": "base/num", "atol": "base/num", "atoll": "base/num",
    "atof": "base/num", "sscanf": "base/num or a parser",
    "scanf": "a parser", "fscanf": "a parser",
    "strtok": "struct slice", "system": "spawn", "popen": "spawn",
    "tmpnam": "mkostemp", "tempnam": "mkostemp", "mktemp": "mkostemp",
    "alloca": "an arena", "rand": "getrandom", "random": "getrandom",
    "srand": "getrandom", "setlocale": "bytes know no locale",
    "localtime": "localtime_r", "gmtime": "gmtime_r", "ctime": "base/clock",
    "asctime": "base/clock", "strerror_r": "err",
}
# Wire bytes are slices: in the protocols no function of C strings or locale.
WIRE = {name: "struct slice, base/ascii.h" for name in (
    "strchr", "strstr", "strcasecmp", "strncasecmp", "strtol",
    "strtoul", "strtoull", "isalpha", "isdigit", "isspace", "isalnum",
    "isprint", "tolower", "toupper")}
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
LET = re.compile(r"/\*\s*lint: \S")


def problems(path, table):
    text = text_of(path)
    lines = text.splitlines()
    for n, line in enumerate(without_comments(text).splitlines()):
        for name in CALL.findall(line):
            if name in table and not LET.search(lines[n]):
                yield f"{path}:{n + 1}: {name}(): use {table[name]}"


def main():
    report = Report()
    for folder in CODE + ("tests",):
        report.check(f"calls {folder}", (
            p for path in sources((folder,))
            for p in problems(path, INSTEAD)))
    for folder in ("protocols/mime", "protocols/imap", "protocols/pop3"):
        report.check(f"wire bytes {folder}", (
            p for path in sources((folder,)) for p in problems(path, WIRE)))
    report.end()


if __name__ == "__main__":
    main()
