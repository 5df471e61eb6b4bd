"""The small programs that Courier's users know, beside Debian's own."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest
from postern import program


@pytest.fixture(scope="module")
def courier():
    """Runs one of Debian's programs."""
    tools = os.environ.get("COURIER_TOOLS")
    if tools is None:
        pytest.skip("Courier's programs are missing: no root, or no net")
    root = pathlib.Path(tools)
    libraries = ":".join(str(path) for path in
                         (root / "usr/lib").glob("*-linux-gnu"))

    def run(name, *arguments, cwd, text=b""):
        return subprocess.run(
            [str(root / "usr/bin" / f"{name}.courier"), *arguments], cwd=cwd,
            capture_output=True, input=text, timeout=20,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                 "LD_LIBRARY_PATH": libraries})
    return run


def ours(name, *arguments, cwd, text=b""):
    return subprocess.run([program(name), *arguments], cwd=cwd, input=text,
                          capture_output=True, timeout=20,
                          env={"PATH": os.environ["PATH"],
                               "LC_ALL": "C.UTF-8"})


def tree(top):
    """{path: (mode, content)} of all below, without the names of messages."""
    found = {}
    for path in sorted(top.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        name = re.sub(r"\d+\.M\d+P.*?,S=", "MESSAGE,S=",
                      str(path.relative_to(top)))
        content = path.read_bytes() if path.is_file() else None
        found.setdefault(name, []).append((mode, content))
    return found


MAKE = [
    ["a"], ["a"], ["-f", "Sent", "a"], ["-f", "Sent", "a"],
    ["-f", ".x", "a"], ["-f", "a.b", "a"], ["-f", "x/y", "a"],
    ["-F", "a.b", "a"], ["-F", "a:b~c/d\\e", "a"], ["-f", "T\u00e9st", "a"],
    ["-F", "T\u00e9st2", "a"], ["-f", "", "a"],
    ["-S", "b"], ["-s", "read", "-f", "r", "b"],
    ["-s", "write", "-f", "w", "b"], ["-s", "group", "-f", "g", "b"],
    ["-s", "write,group", "-f", "wg", "b"],
    ["-s", "read group", "-f", "rg", "b"],
    ["-s", "nonsense", "-f", "n", "b"], ["-S", "-f", "sf", "b"],
    ["-s", "write", "b"],
    ["-q", "1000S,3C", "c"], ["-q", "2000S", "c"], ["-q", "5C", "d"],
    ["-q", "bogus", "e"], ["-S", "-q", "7S", "f"],
    ["/nonexistent/x"], ["-f", "x", "nowhere"], [], ["-z", "a"],
    ["--add", "nick=/", "a"], ["--add", "nick=/tmp", "a"],
    ["--add", "two=/tmp", "a"], ["--del", "nick", "a"],
    ["--del", "nick", "a"], ["--add", "bad", "a"], ["--add", "x=rel", "a"],
    ["--add", "y=/nonexistent", "a"], ["--del", "x", "nowhere"],
]


def test_maildirmake(courier, tmp_path):
    for side in ("ours", "theirs"):
        (tmp_path / side).mkdir()
    for arguments in MAKE:
        a = ours("maildirmake", *arguments, cwd=tmp_path / "ours")
        b = courier("maildirmake", *arguments, cwd=tmp_path / "theirs")
        assert a.returncode == b.returncode, (arguments, a, b)
        assert tree(tmp_path / "ours") == tree(tmp_path / "theirs"), arguments
        assert bool(a.stdout) == bool(b.stdout), (arguments, a, b)


def old_tree(top):
    """A Maildir of before Courier 5."""
    for name in (".", ".R&AOk-sum&AOk-", ".Plain", ".Caf&AOk-.x", ".a&-b"):
        for sub in ("cur", "new", "tmp"):
            (top / "u" / name / sub).mkdir(parents=True)
    (top / "u/courierimapsubscribed").write_text(
        "INBOX.R&AOk-sum&AOk-\nINBOX.Plain\n")


@pytest.mark.parametrize("how", ["--checkutf8", "--convutf8"])
def test_maildirmake_utf8(courier, tmp_path, how):
    for side in ("ours", "theirs"):
        old_tree(tmp_path / side)
    for _ in range(2):
        a = ours("maildirmake", how, "u", cwd=tmp_path / "ours")
        b = courier("maildirmake", how, "u", cwd=tmp_path / "theirs")
        assert a.returncode == b.returncode
        assert sorted(a.stdout.splitlines()) == sorted(b.stdout.splitlines())
        # Courier's leaves a file behind when it only looks.
        (tmp_path / "theirs/u/courierimapsubscribed.new").unlink(
            missing_ok=True)
        found = [tree(tmp_path / side) for side in ("ours", "theirs")]
        assert found[0].keys() == found[1].keys()
    assert [found[i]["u/courierimapsubscribed"][0][1] for i in (0, 1)] == [
        (tmp_path / "theirs/u/courierimapsubscribed").read_bytes()] * 2


def test_maildirmake_counts(tmp_path):
    """A quota for a Maildir with mail begins with what is there."""
    ours("maildirmake", "m", cwd=tmp_path)
    (tmp_path / "m/cur/1700000001.M1P1.h,S=20:2,S").write_bytes(b"x")
    (tmp_path / "m/new/1700000002.M1P1.h").write_bytes(b"12345")
    (tmp_path / "m/cur/1700000003.M1P1.h,S=99:2,T").write_bytes(b"x")
    assert ours("maildirmake", "-q", "100S", "m",
                cwd=tmp_path).returncode == 0
    assert (tmp_path / "m/maildirsize").read_text().split() == [
        "100S", "25", "2"]
    shutil.rmtree(tmp_path / "m")
