"""./quickstart as root and as somebody else, and once more over itself.

It builds in a copy of the tested build, so that only what holds a path of the
prefix is compiled anew.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import postern
import pytest
from built import name_sources_from
from postern import Lines

TOP = pathlib.Path(__file__).resolve().parents[2]


def outputs(folder, names):
    """Of a built tree: what make check made there, and what was installed."""
    tests = "tests" in pathlib.Path(folder).parts
    return [n for n in names
            if n in ("installed", "Makefile")
            or n.endswith((".log", ".trs", ".build-log"))
            or (tests and not n.endswith(".Po")
                and not (pathlib.Path(folder) / n).is_dir())]


class Quickstart:
    def __init__(self, base):
        self.build = base / "b"
        self.uid = None
        shutil.copytree(os.environ["BUILD_DIR"], self.build, symlinks=True,
                        ignore=outputs)
        name_sources_from(TOP, self.build, os.environ["BUILD_DIR"])

    def give_to(self, uid):
        """The tree belongs to another user now, who starts without a demo."""
        self.uid = uid
        shutil.rmtree(self.build / "demo")
        for folder, names, files in os.walk(self.build):
            for name in [".", *names, *files]:
                os.chown(os.path.join(folder, name), uid, uid,
                         follow_symlinks=False)

    def run(self, *words):
        argv = [str(TOP / "quickstart"), *words]
        if self.uid is not None:
            argv = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}",
                    "--clear-groups", "--", *argv]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=600, cwd="/",
            env=dict(os.environ, POSTERN_BUILD=str(self.build),
                     HOME=str(self.build)))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def quickstart():
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    made = Quickstart(base)
    try:
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.run("stop")
        shutil.rmtree(base, ignore_errors=True)


def port_of(told, protocol):
    return int(re.search(rf"{protocol} +localhost port (\d+)", told).group(1))


def greeting(port):
    import socket
    with Lines(socket.create_connection(("127.0.0.1", port), 5)) as c:
        return c.line()


def starts_and_starts_again(quickstart):
    told = quickstart.run()
    # The exchange, the message by both protocols, what to do next.
    assert re.search(r"(?m)^> A\d+ (UID )?FETCH", told)
    assert re.search(r"(?m)^> RETR ", told)
    assert told.count("Subject: It works") >= 2
    assert "Thunderbird" in told and "mutt -f" in told
    assert "./quickstart stop" in told
    imap = port_of(told, "IMAP")
    if os.geteuid() != 0 or quickstart.uid is not None:
        assert imap > 1024
    assert greeting(imap).startswith("* OK")
    assert "demo@example.com" not in quickstart.run("status")
    # Again, while it runs: the same ports, and the first mail is kept.
    again = quickstart.run()
    assert port_of(again, "IMAP") == imap
    assert len(list(quickstart.build.glob(
        "demo/mail/example.com/demo/*/*quickstart*"))) == 2
    assert greeting(port_of(again, "POP3")).startswith("+OK")
    assert "stopped" in quickstart.run("stop")
    with pytest.raises(OSError):
        greeting(imap)
    quickstart.run("stop")


def test_by_whoever_runs_the_tests(quickstart):
    starts_and_starts_again(quickstart)


def test_where_only_root_gets(quickstart):
    """A clone in /root: the server reads the mail as nobody, who can't."""
    if os.geteuid() != 0:
        pytest.skip("is about root")
    quickstart.build.parent.chmod(0o700)
    told = quickstart.run()
    quickstart.build.parent.chmod(0o755)
    mail = pathlib.Path(re.search(r"The mail is in (/var/tmp/\S+),",
                                  told).group(1))
    try:
        assert told.count("Subject: It works") >= 2
        assert len(list(mail.glob("example.com/demo/*/*quickstart*"))) == 1
        quickstart.run("stop")
    finally:
        shutil.rmtree(mail)


def test_without_root(quickstart):
    if os.geteuid() != 0:
        pytest.skip("that was the test before")
    quickstart.give_to(postern.PLAIN_UID)
    starts_and_starts_again(quickstart)
