"""Hold every #include against the order of the layers.

HACKING.md has the table in words; here it is as a program.
"""

import re

from common import Report, sources, text_of

# Folder: what it may include besides itself. The longest match counts.
MAY = {
    "base": (),
    "server/ipc": ("base",),
    "server/conf": ("base",),
    "server/net": ("base", "server/conf"),
    "server": ("base", "server/ipc", "server/conf", "server/net", "maildir",
               "protocols", "protocols/mime", "protocols/imap",
               "protocols/pop3"),
    "auth": ("base", "server/ipc", "server/conf"),
    "maildir": ("base",),
    # The contract between a session and who drives it.
    "protocols": ("base", "maildir"),
    "protocols/mime": ("base",),
    "protocols/imap": ("base", "protocols", "protocols/mime", "maildir"),
    "protocols/pop3": ("base", "protocols", "protocols/mime", "maildir"),
    "ctl": ("base", "server/ipc", "server/conf"),
}
# Library headers: who may include them.
ONLY = {
    r"event2/": ("server", "server/net", "auth"),
    r"openssl/": ("server", "server/net", "auth"),
    r"sqlite3\.h": ("maildir", "auth"),
    r"(mysql|errmsg|security/)": ("auth",),
    r"crypt\.h": ("auth",),
    r"seccomp\.h": ("server",),
    # Protocols and stores know no socket, no process, no loop.
    r"(sys/(socket|un|wait|epoll|signalfd|timerfd)|netinet/|arpa/|netdb|poll|"
    r"signal|spawn|syslog|pthread|grp|pwd)": (
        "base", "server", "server/ipc", "server/conf", "server/net", "auth",
        "ctl"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def layer(path):
    """The folder of MAY that a path belongs to, or None."""
    fits = [folder for folder in MAY if str(path).startswith(folder + "/")]
    return max(fits, key=len, default=None)


def problems(path):
    mine = layer(path)
    if mine is None:
        yield f"{path}: its folder is not in the table"
        return
    for mark, name in INCLUDE.findall(text_of(path)):
        if name == "config.h":
            continue
        if mark == '"':
            other = layer(name)
            if other is None:
                yield f"{path}: includes {name}, which is in no layer"
            elif other != mine and other not in MAY[mine]:
                yield f"{path}: {mine} may not include {name}"
            continue
        for pattern, allowed in ONLY.items():
            if re.match(pattern, name) and mine not in allowed:
                yield f"{path}: {mine} may not include <{name}>"
        if name.startswith("openssl/") and path.name.startswith("worker"):
            yield f"{path}: the worker knows no TLS"


def main():
    report = Report()
    found = {}
    for path in sources():
        found.setdefault(layer(path) or "?", []).extend(problems(path))
    for folder, lines in sorted(found.items()):
        report.check(f"layers {folder}", lines)
    report.end()


if __name__ == "__main__":
    main()
