#!/usr/bin/python3
"""What no compiler checks: who includes whom, that tables and documents agree.

Run by make check as a script, or by pytest.  $top_builddir names a build, for
what needs one.
"""
import importlib.util
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

BUILD = os.environ.get("top_builddir") or os.environ.get("BUILD_DIR")

# Each folder, what it may include of ours (docs/architecture.md, "Direction
# of dependence"), and which libraries.  The first folder that fits counts.
LAYERS = [
    ("base", [], []),
    ("server/ipc", ["base"], []),
    ("server/conf", ["base"], []),
    ("server/net", ["base", "server/conf"], ["event2", "openssl"]),
    ("server", ["base", "server", "protocols", "maildir"],
     ["event2", "seccomp.h", "zlib.h"]),
    ("auth", ["base", "server/ipc", "server/conf"],
     ["event2", "openssl", "mysql.h", "sqlite3.h", "crypt.h", "argon2.h",
      "security", "seccomp.h"]),
    ("maildir", ["base"], ["sqlite3.h"]),
    ("protocols/mime", ["base"], []),
    ("protocols/imap", ["base", "protocols/mime", "maildir", "protocols"],
     ["utf8proc.h"]),
    ("protocols/pop3", ["base", "protocols/mime", "maildir", "protocols"],
     []),
    ("protocols", ["base"], []),
    ("ctl", ["base", "server/ipc", "server/conf", "maildir", "auth"], []),
]
# Folders inside of another one that need naming to be included.
WITHIN = {"server/ipc", "server/conf", "server/net", "protocols/mime",
          "protocols/imap", "protocols/pop3"}
LIBRARIES = ["event2", "openssl", "mysql.h", "sqlite3.h", "crypt.h",
             "argon2.h", "security", "seccomp.h", "utf8proc.h", "zlib.h",
             "cmocka.h"]
INCLUDE = re.compile(r'^#\s*include\s+(["<])([^">]+)[">]', re.M)
FUNCTION = re.compile(r"^(\w+)\([^;]*?\)\n\{\n(.*?)^\}", re.M | re.S)


def load(path):
    """A script of the project as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def files(*suffixes, tests=False):
    """Our files with these endings, without what was generated."""
    folders = {folder.split("/")[0] for folder, _, _ in LAYERS}
    if tests:
        folders.add("tests")
    return sorted(p for folder in folders for p in (TOP / folder).rglob("*")
                  if p.suffix in suffixes)


def name(path):
    return str(path.relative_to(TOP))


def code(path):
    """The text of a C file without comments and strings, lines kept."""
    def blank(found):
        text = found.group(0)
        if text.startswith(("/", '"', "'")):
            return text[:1] + "\n" * text.count("\n") + text[-1:]
        return text
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                  blank, path.read_text(), flags=re.S)


# --- layers -----------------------------------------------------------------

def layer(path):
    return next(row for row in LAYERS if name(path).startswith(row[0] + "/"))


def allowed(included, own, may):
    folder = os.path.dirname(included)
    return folder == own or folder in may


def test_include_only_lower_layers():
    wrong = []
    for path in files(".c", ".h"):
        own, may, libraries = layer(path)
        if own == "server":
            may = may + list(WITHIN)
        for kind, included in INCLUDE.findall(path.read_text()):
            if kind == '"':
                if included == "config.h" or allowed(included, own, may):
                    continue
            else:
                library = included.split("/")[0]
                if library not in LIBRARIES or library in libraries:
                    continue
            wrong.append(f"{name(path)}: {included}")
    assert not wrong


def test_workers_know_no_tls():
    """Keys stay out of the processes that parse mail."""
    wrong = [name(p) for p in files(".c", ".h")
             if name(p).startswith("server/worker")
             and "openssl/" in p.read_text()]
    assert not wrong


# Bounded waits of a sync thread: for time stamps to become old, and for those
# who are at a log.
WAITS = {"maildir/young_search.c: nanosleep",
         "maildir/checkpoint.c: nanosleep"}


@pytest.mark.parametrize("folder", ["maildir", "protocols"])
def test_libraries_ask_for_no_time_and_no_socket(folder):
    calls = re.compile(r"(?<!->)(?<!\.)\b(clock_now|clock_gettime|time"
                       r"|gettimeofday|socket|accept4?|connect|fork"
                       r"|execvp?e?|u?sleep|nanosleep|getenv)\(")
    wrong = [f"{name(p)}: {found.group(1)}"
             for p in files(".c", ".h") if name(p).startswith(folder + "/")
             for found in calls.finditer(code(p))]
    assert not set(wrong) - WAITS


# --- C ----------------------------------------------------------------------

def test_no_forbidden_calls():
    calls = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi"
                       r"|atol|atoll|system|popen|alloca|tmpnam|mktemp)\(")
    wrong = [f"{name(p)}: {found.group(1)}" for p in files(".c", ".h")
             for found in calls.finditer(code(p))]
    assert not wrong


def test_headers_name_their_layer():
    wrong = [name(p) for p in files(".h")
             if not re.search(r"^ \* Layer:", p.read_text(), re.M)]
    assert not wrong


def test_no_function_over_120_lines():
    wrong = []
    for path in files(".c"):
        for found in FUNCTION.finditer(path.read_text()):
            if found.group(2).count("\n") > 120:
                wrong.append(f"{name(path)}: {found.group(1)}")
    assert not wrong


def test_no_file_over_1000_lines():
    wrong = [name(p) for p in files(".c", ".h")
             if p.read_text().count("\n") > 1000]
    assert not wrong


def test_lines_fit_and_are_clean():
    wrong = []
    for path in files(".c", ".h", ".def", tests=True):
        for n, line in enumerate(path.read_text().splitlines(), 1):
            if line != line.rstrip():
                wrong.append(f"{name(path)}:{n}: blank at the end")
            # A string may be longer: cut, it could not be searched for.
            if len(line.expandtabs(8)) > 80 and '"' not in line:
                wrong.append(f"{name(path)}:{n}: over 80 columns")
    assert not wrong


def test_headers_compile_alone():
    if not BUILD or not (Path(BUILD) / "config.h").exists():
        pytest.skip("needs a build: top_builddir is not set")
    wrong = []
    for path in files(".h"):
        made = subprocess.run(
            [os.environ.get("CC", "cc"), "-std=gnu17", "-fsyntax-only",
             "-D_GNU_SOURCE", "-include", "config.h", f"-I{TOP}",
             f"-I{BUILD}", "-x", "c", "-"],
            input=f'#include "{name(path)}"\n', text=True,
            capture_output=True)
        if made.returncode:
            wrong.append(f"{name(path)}: {made.stderr.strip()[:200]}")
    assert not wrong


# --- configuration ----------------------------------------------------------

KEYS = load(TOP / "man/keys.py")
# Keys that count, but stand in no sample: other names of one that does.
OTHER_NAMES = {"POP3DSTARTTLS", "MYSQL_SSL_CIPHERS", "MYSQL_DEFAULTDELIVERY"}


def test_samples_hold_every_key():
    wrong = []
    for key in KEYS.read():
        sample = TOP / f"etc/{KEYS.FILES[key.file]}.dist"
        if key.status() == "HONOUR" and key.name not in OTHER_NAMES and \
                not re.search(rf"^##NAME: {key.name}:\d", sample.read_text(),
                              re.M):
            wrong.append(f"{name(sample)}: {key.name}")
    assert not wrong


def test_manual_page_holds_every_key():
    """make man-keys mends it."""
    page = (TOP / "man/postern.5").read_text()
    assert page == KEYS.replaced(page, KEYS.read())


def test_configuration_page_holds_every_key():
    """make man-keys mends it."""
    page = (TOP / "docs/configuration.md").read_text()
    assert page == KEYS.replaced(page, KEYS.read())


def used_keys():
    """The CONF_… names in the code outside of server/conf."""
    used = set()
    for path in files(".c", ".h"):
        if name(path).startswith("server/conf/"):
            continue
        text = code(path)
        used.update(re.findall(r"\bCONF_\w+", text))
        for macro, prefix in re.findall(
                r"#define (\w+)\(\w+\)[^\n]*\b(CONF_\w*)##\w+", text):
            used.update(prefix + word for word in
                        re.findall(rf"\b{macro}\((\w+)\)", text))
    table = (TOP / "server/conf/conf_key.c").read_text()
    aliases = table[table.index("aliases[]"):table.index("free_names")]
    for key, other in re.findall(r"(CONF_\w+),\s+(CONF_\w+) }", aliases):
        if key in used:
            used.add(other)
    return used


# Keys that count inside of server/conf itself, not by being asked for.
USED_BY_CONF = {
    f"CONF_{file}_{key}"  # conf_tls_minimum()
    for file in ("IMAPD_SSL", "POP3D_SSL")
    for key in ("TLS_PROTOCOL", "TLS_STARTTLS_PROTOCOL")
} | {"CONF_POSTERN_TLS_ALLOW_OLD"}


def test_keys_that_count_are_used():
    used = used_keys() | set(USED_BY_CONF)
    wrong = [f"{key.file} {key.name}" for key in KEYS.read()
             if key.status() == "HONOUR"
             and f"CONF_{key.file}_{key.name}" not in used]
    assert not wrong


def test_keys_that_do_not_count_are_not_used():
    used = used_keys()
    wrong = [f"{key.file} {key.name}" for key in KEYS.read()
             if key.status() != "HONOUR"
             and f"CONF_{key.file}_{key.name}" in used]
    assert not wrong


# --- documents --------------------------------------------------------------

def documents():
    return [p for p in [*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")]
            if p.exists()]


def test_ipc_page_is_that_of_the_table():
    """make man-keys mends it."""
    ipc = load(TOP / "docs/ipc.py")
    assert (TOP / "docs/ipc.md").read_text() == ipc.page(ipc.read())


def test_links_lead_somewhere():
    wrong = []
    for page in documents():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)",
                                 page.read_text()):
            if not (page.parent / target).exists():
                wrong.append(f"{name(page)}: {target}")
    assert not wrong


def test_every_page_is_in_the_readme():
    readme = (TOP / "README.md").read_text()
    assert not [name(page) for page in documents() if page.parent != TOP and
                f"]({name(page)})" not in readme]


def test_coverage_names_files_that_exist():
    page = TOP / "docs/rfc-coverage.md"
    if not page.exists():
        pytest.skip("there is no docs/rfc-coverage.md")
    folders = {folder.split("/")[0] for folder, _, _ in LAYERS}
    folders |= {"tests", "docs", "etc", "man"}
    wrong = []
    for word in re.findall(r"`([\w./*+-]+)`", page.read_text()):
        if word.split("/")[0] in folders and "/" in word and \
                not any(TOP.glob(word.rstrip("/"))):
            wrong.append(word)
    assert not wrong


def test_tables_name_tests_that_exist():
    """tests/README.md: each row names a file or folder, and what of it."""
    text = (TOP / "tests/README.md").read_text()
    table = text[text.index("## What a take-over from Courier"):]
    rows = [line.split(" | ")[-1] for line in table.splitlines()
            if line.startswith("| ") and "| Test |" not in line
            and "---" not in line]
    assert len(rows) >= 11
    wrong = []
    for row in rows:
        words = re.findall(r"`([\w./-]+)`", row)
        paths = [TOP / w for w in words if w.startswith("tests/")]
        wrong += [name(p) for p in paths if not p.exists()]
        code_of = "".join(
            p.read_text() for path in paths if path.exists()
            for p in ([path] if path.is_file() else path.rglob("*.py")))
        wrong += [w for w in words if not w.startswith("tests/")
                  and not re.search(rf"^(?:def |class )?{w}(?:[(:]| =)", code_of,
                                   re.M)]
        if not paths:
            wrong.append(f"no test: {row}")
    assert not wrong


STRING = r'"((?:[^"\\\n]|\\.)*)"'
STRINGS = re.compile(STRING + r"(?:\s*(?:" + STRING.replace("((?:", "(?:(?:") +
                     r"|\b(?:PRI\w+|[A-Z]+_NAME)\b))*")
PRINTF = re.compile(r"%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|ll|[hljzt])*"
                    r"[a-zA-Z]?")


def messages():
    """What the programs print or log, each with … for what is filled in."""
    found = []
    for path in files(".c"):
        for strings in STRINGS.finditer(path.read_text()):
            text = "".join(
                "…" if part[1] is None else re.sub(r"\\(.)", r"\1", part[1])
                for part in re.finditer(STRING + r"|\w+", strings[0]))
            found.append(re.sub("…+", "…", PRINTF.sub("…", text)))
    return found


def quoted_messages():
    """The messages of docs/troubleshooting.md: first column of its tables."""
    found, inside = [], False
    for line in (TOP / "docs/troubleshooting.md").read_text().splitlines():
        if not line.startswith("|"):
            inside = False
        elif line.startswith("| Message "):
            inside = True
        elif inside:
            found += [m for m in re.findall(r"`([^`]+)`", line.split(" | ")[0])
                      if m != "error:"]
    return found


def test_troubleshooting_quotes_what_is_said():
    said = messages()
    wrong = []
    for quoted in quoted_messages():
        parts = [p.strip(' "=:') for p in quoted.split("…")]
        pattern = re.compile(".*".join(re.escape(p) for p in parts if p),
                             re.S)
        if not any(pattern.search(text) for text in said):
            wrong.append(quoted)
    assert not wrong
    assert len(quoted_messages()) > 40


PAGES = sorted(p.name for p in (TOP / "man").glob("*.[158]"))


# Installed, but run by make or by other programs only.
NO_PAGE = {"worker", "holder", "install-configure"}


def installed_programs():
    """Name of each program of the makefiles, by where it is installed."""
    found = set()
    for path in [TOP / "Makefile.am", *TOP.rglob("module.mk")]:
        if "build" in path.relative_to(TOP).parts:
            continue
        text = path.read_text().replace("\\\n", " ")
        for where, what in re.findall(
                r"^(\w+)_(?:PROGRAMS|SCRIPTS)\s*\+?=(.*)$", text, re.M):
            if not where.startswith(("check", "noinst", "EXTRA")):
                found |= {Path(w).name for w in what.split() if "$" not in w}
    scripts = (TOP / "etc/module.mk").read_text()
    for names in re.findall(r"^(?:RC_TOOLS|CERT_TOOLS) = (.*)$", scripts,
                            re.M):
        found |= {Path(w).name for w in names.split()}
    found |= set(re.findall(r"INSTALL_SCRIPT\) etc/(\w+)", scripts))
    return found - NO_PAGE


def test_every_program_and_file_has_a_page():
    """A page of its name in man/, also one that only refers to another."""
    pages = {p.rsplit(".", 1)[0] for p in PAGES}
    assert not sorted(installed_programs() - pages)
    samples = {p.name.removesuffix(".dist") for p in
               (TOP / "etc").glob("*.dist")}
    fives = {p.removesuffix(".5") for p in PAGES if p.endswith(".5")}
    assert not sorted(samples - fives)


# Said by one of our processes to another.
OWN_OPTIONS = {"login", "loginexec", "sendmail"}


def test_every_long_option_is_in_a_page():
    options = set()
    for folder in ("ctl", "server", "auth"):
        for path in (TOP / folder).rglob("*.c"):
            text = path.read_text()
            options |= set(re.findall(r'"--([a-z][a-z0-9-]*)"', text))
            options |= set(re.findall(
                r'\{\s*"([a-z][a-z0-9-]*)",\s*\w+_argument', text))
    pages = "".join((TOP / "man" / p).read_text() for p in PAGES)
    pages = pages.replace("\\-", "-").replace("Fl Fl ", "--") \
        .replace("Fl -", "--")
    assert not sorted(o for o in options - OWN_OPTIONS
                      if not re.search(rf"--{re.escape(o)}\b", pages))


def test_manual_pages_are_installed():
    fragment = (TOP / "man/module.mk").read_text()
    assert not [page for page in PAGES if f"man/{page}" not in fragment]


def test_troubleshooting_quotes_real_messages():
    """What stands there between backquotes, but for `…`, names and numbers, is
    text of the source."""
    source = "".join(
        re.sub(r'"\s*(?:PRI\w+\s*)?"', "", path.read_text())
        for folder in ("auth", "base", "ctl", "maildir", "protocols", "server",
                       "etc")
        for path in (TOP / folder).rglob("*")
        if path.suffix in (".c", ".h", ".def", ".in", ".sh"))
    page = (TOP / "docs/troubleshooting.md").read_text()
    unknown = []
    for row in page.split("\n## ", 1)[1].splitlines():
        for message in re.findall(r"`([^`]+)`", row.split(" | ")[0]
                                  if row.startswith("| `") else ""):
            parts = re.split(r"…|[A-Z]+_[A-Z]+|\w+=|\d+", message)
            unknown += [(message, part) for part in
                        (p.strip(" :;,()[]=") for p in parts)
                        if len(part) > 3 and part not in source]
    assert not unknown


@pytest.mark.parametrize("page", PAGES)
def test_manual_pages_are_clean(page):
    other = re.match(r"\.so man\d/(\S+)\n$", (TOP / "man" / page).read_text())
    if other:
        assert other.group(1) in PAGES
        return
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is missing: apt-get install mandoc")
    said = subprocess.run(["mandoc", "-T", "lint", TOP / "man" / page],
                          capture_output=True, text=True).stdout
    # The other pages are not installed where this runs.
    assert not [line for line in said.splitlines()
                if "referenced manual not found" not in line]


def test_every_mechanism_is_fuzzed():
    """A seed of fuzz_auth_mech for each mechanism: its first line names it."""
    names = set()
    for path in (TOP / "auth").glob("mech_*.c"):
        text = path.read_text()
        names.update(re.findall(r'\.name = SLICE_INIT\("([A-Z0-9-]+)"\)',
                                text))
        names.update(re.findall(r'SCRAM_MECH\("([A-Z0-9-]+)"', text))
    seeds = {path.read_bytes().split(b"\n")[0].lstrip(b"!?").decode(errors="replace")
             for path in (TOP / "tests/fuzz/corpus/auth_mech").iterdir()}
    assert len(names) >= 10 and names <= seeds


# What the archive has beyond the sources: what autoreconf makes.
MADE = {"Makefile.in", "aclocal.m4", "config.h.in", "configure"}


def test_the_archive_holds_all_sources_and_nothing_else(tmp_path):
    """Whatever tests and builds have left in the folders that are packed."""
    if BUILD is None:
        pytest.skip("needs a build: top_builddir is not set")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, text=True,
                            capture_output=True) \
        if (TOP / ".git").exists() and shutil.which("git") else None
    if listed is None or listed.returncode != 0:
        pytest.skip("no git tells which files are the sources")
    folder = tmp_path / "archive"
    env = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    done = subprocess.run(["make", "-s", "distdir", f"distdir={folder}"],
                          cwd=BUILD, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packed = {str(p.relative_to(folder)) for p in folder.rglob("*")
              if p.is_file()}
    packed = {p for p in packed - MADE if not p.startswith("build-aux/")}
    sources = set(filter(None, listed.stdout.split("\0")))
    assert packed - sources == set()
    assert {p for p in sources - packed
            if p == ".clang-format" or not p.startswith(".")} == set()


if __name__ == "__main__":
    if not (TOP / ".git").exists():
        print("not a checkout")
        sys.exit(77)
    sys.exit(pytest.main(["-q", "--tb=short", "-p", "no:cacheprovider",
                          __file__], plugins=[Lines()]))
