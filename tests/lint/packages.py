"""run-tests and quickstart install what building and testing use.

packages.py BUILDDIR: the headers that this build has read (its dependency
files) and the programs that the tests call, each by dpkg -S, must belong to
packages on the list, to what those depend on, or to what every Debian has.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from common import TOP, Report

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# Programs that the shell and python code of the tests call by name.
PROGRAMS = ["python3", "autoreconf", "automake", "gcc", "clang", "make",
            "pkg-config", "valgrind", "openssl", "sqlite3", "setpriv",
            "script", "curl", "mariadbd", "mariadb", "mariadb-install-db",
            "postfix", "postconf", "sendmail", "git", "dpkg-query", "sed",
            "awk", "grep", "find", "xargs", "llvm-symbolizer", "mandoc",
            "mutt", "neomutt", "alpine", "expect", "imapfilter", "mbsync",
            "fetchmail", "getmail", "offlineimap", "swaks", "gsasl",
            "fail2ban-regex", "systemd-analyze", "ip"]
QUICKSTART = ["autoreconf", "automake", "gcc", "make", "pkg-config",
              "openssl", "sqlite3", "curl"]


def dpkg(*argv):
    return subprocess.run(["dpkg-query", *argv], capture_output=True,
                          text=True).stdout


def installed():
    """package: (depends, provides, in every system)."""
    form = ("${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\t"
            "${Essential}\t${Priority}\t${Status}\n")
    table = {}
    for line in dpkg("-W", "-f", form).splitlines():
        name, depends, provides, essential, priority, status = \
            line.split("\t")
        if status.endswith(" installed"):
            table[name] = (names(depends), names(provides),
                           essential == "yes" or
                           priority in ("required", "important"))
    return table


def names(field):
    return re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9.+-]*)", field)


def closure(wanted, table):
    providers = {}
    for package, (_, provides, _) in table.items():
        for name in provides:
            providers.setdefault(name, []).append(package)
    todo = list(wanted) + [p for p, row in table.items() if row[2]]
    found = set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        todo += table.get(name, ((), (), False))[0]
        if name not in table:
            todo += providers.get(name, [])
    return found


def owners(path):
    """The packages that own a file; merged /usr makes two names of it."""
    real = str(pathlib.Path(path).resolve())
    for name in (path, real, re.sub("^/usr", "", path),
                 re.sub("^/usr", "", real)):
        found = re.findall(r"^([^:]+?)(?::\S+)?: ", dpkg("-S", name), re.M)
        if found:
            return {p.strip() for p in found[0].split(",")}
    return set()


def headers(build):
    found = set()
    for deps in build.rglob("*.Po"):
        found |= set(re.findall(r"(/usr/(?:include|lib)/\S+\.h)",
                                deps.read_text(errors="replace")))
    # One header of each folder tells the package of the whole.
    picked = {}
    for path in sorted(found):
        parent = str(pathlib.Path(path).parent)
        picked.setdefault(parent, set()).add(path)
    for parent, paths in picked.items():
        yield from paths if parent in ("/usr/include",
                                       "/usr/include/x86_64-linux-gnu") \
            else sorted(paths)[:1]


def programs():
    found = set(PROGRAMS)
    for path in (TOP / "tests").rglob("*.py"):
        found |= set(re.findall(r'\bneed\("([\w-]+)"', path.read_text()))
    return sorted(found)


def listed(script, long=""):
    if script == "run-tests":
        out = subprocess.run([str(TOP / script), "--list-packages"],
                             env=os.environ | {"POSTERN_LONG": long},
                             capture_output=True, text=True).stdout
        return out.split()
    text = (TOP / script).read_text()
    return re.search(r'^packages="([^"]+)"', text, re.M).group(1).split()


def lacking(paths, have):
    for path in paths:
        mine = owners(path)
        if not mine:
            yield f"{path} belongs to no package"
        elif not mine & have:
            yield f"{path} is of {', '.join(sorted(mine))}, not on the list"


def found(names):
    for name in names:
        path = shutil.which(name, path=PATH)
        if path is not None:
            yield path


def main():
    build = pathlib.Path(sys.argv[1])
    table = installed()
    report = Report()
    used = sorted(set(headers(build)))
    report.check("a build has read headers",
                 [] if len(used) > 20 else ["no dependency files there"])
    for script, calls in (("run-tests", programs()),
                          ("quickstart", QUICKSTART)):
        # Programs of the long run's packages are called if they are there.
        have = closure(listed(script, long="1"), table)
        report.check(f"{script} installs the programs",
                     lacking(found(calls), have))
        mine = [h for h in used if script == "run-tests" or
                "cmocka" not in h]
        report.check(f"{script} installs the headers", lacking(mine, have))
        report.check(f"{script} names packages that are there", (
            f"{name} is not installed" for name in listed(script)
            if name not in table and script == "run-tests"
            and subprocess.run(["id", "-u"], capture_output=True,
                               text=True).stdout == "0\n"))
    report.end()


if __name__ == "__main__":
    main()
