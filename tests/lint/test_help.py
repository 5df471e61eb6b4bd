#!/usr/bin/python3
"""What a program takes, what its --help says and what its page says agree.

Run by make check as a script, or by pytest.  $top_builddir names the build
whose programs are asked.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import TOP, Lines

try:
    import pytest
except ImportError:
    print("pytest is missing: apt-get install python3-pytest")
    sys.exit(77)

BUILD = Path(os.environ.get("top_builddir") or os.environ.get("BUILD_DIR")
             or "none")

# Each program: where it is in a build or in the source, what parses its
# options (if options have names of one letter, getopt), and its page.
PROGRAMS = {
    "posternd": ("posternd", "server/main.c", "posternd.8"),
    "posternctl": ("posternctl", "ctl/posternctl.c", "posternctl.8"),
    "authdaemond": ("sbin/authdaemond", "auth/main.c", "authdaemond.8"),
    "imapd": ("imapd", "server/piped.c", "imapd.8"),
    "courierpop3d": ("courierpop3d", "server/piped.c", "courierpop3d.8"),
    "authtest": ("authtest", "ctl/authtest.c", "authtest.1"),
    "authenumerate": ("authenumerate", "ctl/authenumerate.c", "authtest.1"),
    "authpasswd": ("authpasswd", "ctl/authpasswd.c", "authtest.1"),
    "maildirmake": ("maildirmake", "ctl/maildirmake.c", "maildirmake.1"),
    "deliverquota": ("deliverquota", "ctl/deliverquota.c", "deliverquota.8"),
    "maildiracl": ("maildiracl", "ctl/maildiracl.c", "maildiracl.1"),
    "maildirkw": ("maildirkw", "ctl/maildirkw.c", "maildirkw.1"),
    "userdbpw": ("userdbpw", "ctl/userdbpw.c", "userdb.8"),
    "courierlogger": ("courierlogger", "ctl/courierlogger.c",
                      "courierlogger.1"),
    "couriertcpd": ("couriertcpd", "ctl/couriertcpd.c", "courierlogger.1"),
    "userdb": ("etc/userdb", "etc/userdb.in", "userdb.8"),
    "makeuserdb": ("etc/makeuserdb", "etc/makeuserdb.in", "userdb.8"),
    "pw2userdb": ("etc/pw2userdb", None, "userdb.8"),
    "makeimapaccess": ("etc/makeimapaccess", None, "makeimapaccess.8"),
    "mkimapdcert": ("etc/mkimapdcert", "etc/mkcert.in", "mkimapdcert.8"),
    "mkpop3dcert": ("etc/mkpop3dcert", "etc/mkcert.in", "mkimapdcert.8"),
    "mkdhparams": ("etc/mkdhparams", None, "mkimapdcert.8"),
    "sharedindexinstall": ("etc/sharedindexinstall", None,
                           "sharedindexinstall.8"),
    "sharedindexsplit": ("etc/sharedindexsplit", None, "sharedindexsplit.8"),
    "imapd.rc": ("etc/imapd.rc", None, "imapd.rc.8"),
    "pop3d-ssl.rc": ("etc/pop3d-ssl.rc", None, "imapd.rc.8"),
}
# Their options are words behind one dash.
WORDS = {"maildiracl", "courierlogger", "couriertcpd", "userdb", "userdbpw"}
# Said by one of our processes to another, or to a program it starts.
OWN = {"--login", "--loginexec", "--sendmail"}
OPTION = re.compile(r"(?<![\w.\]/-])--?[A-Za-z][\w-]*")


def options(program, text):
    """The options in a text; of -acf those of one letter."""
    found = set()
    for option in OPTION.findall(text):
        if option.startswith("--") or program in WORDS:
            found.add(option)
        else:
            found |= {"-" + letter for letter in option[1:]}
    return found - {"--help"}


def help_of(program):
    path = PROGRAMS[program][0]
    path = next((p for p in (BUILD / path, TOP / path) if p.exists()), None)
    if path is None:
        pytest.skip("needs a build: top_builddir is not set")
    made = subprocess.run([path, "--help"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert (made.returncode, made.stderr) == (0, "")
    return made.stdout


def page(name):
    """Synopsis and what follows it."""
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is missing: apt-get install mandoc")
    text = subprocess.run(
        ["mandoc", "-T", "ascii", "-O", "width=200", TOP / "man" / name],
        capture_output=True, text=True, check=True).stdout
    text = re.sub(".\b", "", text)
    synopsis, rest = text.split("\nDESCRIPTION\n")
    return synopsis.split("\nSYNOPSIS\n")[1], rest


def taken(program):
    """What the source takes: getopt's letters, and words compared."""
    source = PROGRAMS[program][1]
    if source is None:
        return set()
    text = (TOP / source).read_text()
    if source.endswith(".in"):
        return set(re.findall(r'"x\$1" = x(-\w+)', text) +
                   re.findall(r"^(-\w+)\)", text, re.M))
    found = set()
    for letters in re.findall(r'getopt(?:_long)?\([^"]*"\+?([\w:]+)"', text):
        found |= {"-" + letter for letter in letters if letter != ":"}
    for name in re.findall(r'\{ "(\w+)", (?:no|required)_argument', text):
        found.add("--" + name)
    for option in re.findall(r'(?:strn?cmp\([^"]*|\{ )"(--?[a-z][\w-]*)=?"',
                             text):
        found.add(option.rstrip("-") if program != "userdbpw" else option)
    return found - OWN - {"--help"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_page_and_source_agree(program):
    said = options(program, help_of(program))
    synopsis, rest = page(PROGRAMS[program][2])
    lines = re.findall(rf"^ +{re.escape(program)}(?:\s.*|$)(?:\n {{12,}}.*)*",
                       synopsis, re.M)
    assert lines, "not in the synopsis"
    if program == "posternctl":     # its verbs are further down
        lines.append(rest)
    assert options(program, " ".join(lines)) == said
    wrong = {o for o in taken(program)
             if not any(s == o or (o.endswith("-") and s.startswith(o))
                        for s in said)}
    assert not wrong, "taken, but not told"
    described = options(program, rest)
    assert not said - described, "not described"


def test_every_program_is_here():
    from test_lint import installed_programs
    known = set(PROGRAMS) | {"pop3d", "imapd-ssl.rc", "pop3d.rc"}
    assert installed_programs() <= known


if __name__ == "__main__":
    if not (TOP / ".git").exists():
        print("not a checkout")
        sys.exit(77)
    sys.exit(pytest.main(["-q", "--tb=short", "-p", "no:cacheprovider",
                          __file__], plugins=[Lines()]))
