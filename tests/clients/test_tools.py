"""The small programs that Courier's users know, beside Debian's own."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest
from postern import PATIENCE, program


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
        path = next(p for p in (root / "usr/bin" / f"{name}.courier",
                                root / "usr/bin" / name,
                                root / "usr/sbin" / name) if p.exists())
        return subprocess.run(
            [str(path), *arguments], cwd=cwd,
            capture_output=True, input=text, timeout=PATIENCE,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                 "LD_LIBRARY_PATH": libraries})
    return run


def ours(name, *arguments, cwd, text=b""):
    return subprocess.run([program(name), *arguments], cwd=cwd, input=text,
                          capture_output=True, timeout=PATIENCE,
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


def test_maildirmake_warns_of_what_is_left_out(tmp_path):
    for path in ("m", "good", "other"):
        ours("maildirmake", path, cwd=tmp_path)
    ours("maildirmake", "-f", "sub", "good", cwd=tmp_path)
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "file").write_text("")
    cases = [("good", None), ("link", b"symbolic link"), ("file", b"no dir"),
             ("m/../good", b"symbolic link or .."), ("good/", b"slash"),
             ("good/.sub", b"a folder, not a Maildir")]
    if os.geteuid() == 0:
        os.chown(tmp_path / "other", 65534, 65534)
        cases.append(("other", b"another user"))
    for n, (path, said) in enumerate(cases):
        done = ours("maildirmake", "--add", f"n{n}={tmp_path}/{path}", "m",
                    cwd=tmp_path)
        assert done.returncode == 0, done
        if said is None:
            assert done.stderr == b""
        else:
            assert b"warning: " in done.stderr and said in done.stderr, done
    assert (tmp_path / "m/shared-maildirs").read_text() == "".join(
        f"n{n}\t{tmp_path}/{path}\n" for n, (path, _) in enumerate(cases))


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


MESSAGE = b"Subject: x\n\nhello"
DELIVER = [
    [], ["nowhere"], ["-c", "a/b/c"], ["a/b/c"], ["-c"], ["-w"], ["-w", "90"],
    ["-w", "90", "a/b/c"], ["-z", "a/b/c"], ["-w90", "a/b/c"],
    ["a/b/c", "120S"], ["a/b/c", "120S"], ["a/b/c", "120S"],
    ["a/b/c"], ["a/b/c", "bogus"], ["a/b/c", "120S", "extra"],
    ["a/b/c", "1000S,7C"], ["a/b/c/"], ["a/b/c"],
    ["-c", "-w", "50", "-W", "warning", "w", "30S"],
    ["-w", "50", "-W", "warning", "w"],
    ["-w", "50", "-W", "warning", "w", "5000S"],
    ["-w", "1", "-W", "nothing", "w"], ["file"], ["-c", "file/x"], ["half"],
    ["-c", "half"], ["w/.Sub"], ["w/.Sub", "5000S"],
]


def used(maildirsize):
    """(limits, bytes, messages)"""
    lines = maildirsize.read_text().splitlines()
    return (lines[0], *(sum(int(line.split()[i]) for line in lines[1:])
                        for i in (0, 1)))


def test_deliverquota(courier, tmp_path):
    for side in ("ours", "theirs"):
        (tmp_path / side / "half/cur").mkdir(parents=True)
        (tmp_path / side / "file").write_text("")
        (tmp_path / side / "warning").write_text("Subject: full\n\nx\n")
    codes = {"ours": [], "theirs": []}
    for arguments in DELIVER:
        done, found = {}, {}
        if "w/.Sub" in arguments:
            for side in codes:
                courier("maildirmake", "-f", "Sub", "w", cwd=tmp_path / side)
        for side, run in (("ours", ours), ("theirs", courier)):
            done[side] = run("deliverquota", *arguments, cwd=tmp_path / side,
                             text=MESSAGE)
            # What the warning is called, says and counts, is compared below.
            found[side] = {
                name: sorted(entries) for name, entries in
                tree(tmp_path / side).items() if "maildirsize" not in name
                and not name.startswith("w/new/")}
        assert done["ours"].stdout == done["theirs"].stdout, arguments
        assert bool(done["ours"].stderr) == bool(done["theirs"].stderr), \
            (arguments, done)
        # Debian's is built into a mail server, and says 75 for 77.
        code = done["ours"].returncode
        if b"exceeded" in done["ours"].stdout:
            assert code == 77
            code = 75
        assert code == done["theirs"].returncode, (arguments, done)
        assert found["ours"] == found["theirs"], arguments
    for side in codes:
        texts = sorted(f.read_bytes()
                       for f in (tmp_path / side / "w/new").iterdir())
        assert texts[0].startswith(b"Date: ")
        assert texts[0].endswith(b"\nSubject: full\n\nx\n")
        assert b"\nMessage-" in texts[0]
        assert texts[1:] == [MESSAGE] * 3
        assert used(tmp_path / side / "a/b/c/maildirsize") == \
            ("1000S,7C", 7 * len(MESSAGE), 7)
    # Courier's forgets the warning.
    limits, size, n = used(tmp_path / "ours/w/maildirsize")
    files = [f for f in (tmp_path / "ours/w").glob("**/new/*")]
    assert (limits, size, n) == \
        ("5000S", sum(f.stat().st_size for f in files), len(files))


def test_deliverquota_status(tmp_path):
    for word, status in ((["-x", "75"], 75), ([], 77), (["-x", "0"], 73)):
        done = ours("deliverquota", *word, "-c", "m", "1S", cwd=tmp_path,
                    text=MESSAGE)
        assert done.returncode == status, done
    assert list((tmp_path / "m/new").iterdir()) == []
    assert list((tmp_path / "m/tmp").iterdir()) == []


def test_deliverquota_by_root(directory):
    """It is the user then, whose links lead nowhere that he may not go."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    home, secret = directory / "home", directory / "secret"
    for path in (home, secret):
        ours("maildirmake", path.name, cwd=directory)
    for path in (home, *home.iterdir()):
        os.chown(path, 65534, 65534)

    def deliver(*words):
        return ours("deliverquota", *words, cwd=directory, text=MESSAGE)

    assert deliver("home", "1000S").returncode == 0
    (message,) = (home / "new").iterdir()
    for path in (message, home / "maildirsize"):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    # What it makes in a user's directory is his.
    assert deliver("-c", "home/a/b").returncode == 0
    for path in ("a", "a/b", "a/b/new"):
        assert (home / path).stat().st_uid == 65534
    # A directory of his that leads elsewhere, and a path that does.
    shutil.rmtree(home / "new")
    shutil.rmtree(home / "tmp")
    for name in ("new", "tmp"):
        (home / name).symlink_to(secret / name)
    (home / "link").symlink_to(secret)
    os.chown(home / "link", 65534, 65534, follow_symlinks=False)
    for words in (["home"], ["home/link"], ["-c", "home/link"],
                  ["-c", "home/link/x"]):
        assert deliver(*words).returncode == 75, words
    assert sorted(p.name for p in secret.iterdir()) == ["cur", "new", "tmp"]
    assert not [*(secret / "new").iterdir(), *(secret / "tmp").iterdir()]
    # Root's own Maildir stays root's.
    assert deliver("secret").returncode == 0
    (message,) = (secret / "new").iterdir()
    assert message.stat().st_uid == 0


def test_deliverquota_side_by_side(tmp_path):
    """Many at once: all are there, all are counted, one warning."""
    (tmp_path / "warning").write_text("Subject: full\n\nx\n")
    assert ours("deliverquota", "-c", "m", "100000S", cwd=tmp_path,
                text=MESSAGE).returncode == 0
    running = [subprocess.Popen(
        [program("deliverquota"), "-w", "0", "-W", "warning", "-w", "1", "m"],
        cwd=tmp_path, stdin=subprocess.PIPE) for _ in range(20)]
    for one in running:
        one.stdin.write(MESSAGE * 100)
        one.stdin.close()
    assert [one.wait(PATIENCE) for one in running] == [0] * 20
    files = list((tmp_path / "m/new").iterdir())
    assert len(files) == 22
    assert used(tmp_path / "m/maildirsize") == \
        ("100000S", sum(f.stat().st_size for f in files), 22)


KEYWORDS = [
    ["m"], ["-L", "m"], ["nowhere", "one", "x"], ["-L", "nowhere"], [],
    ["m", "one", "Foo", "Bar"], ["-a", "m", "one", "bar", "Baz"],
    ["-r", "m", "one", "foo"], ["m", "one"], ["m", "none", "Foo"],
    ["m", "two:2,S", "Hi"], ["m", "two", "Hi2"], ["-a", "m", "two"],
    ["-c", "-a", "m", "two", "hi2"], ["-c", "-r", "m", "two", "HI2"],
    ["-r", "m", "two", "HI2"], ["-a", "m", "two", "x", "X", "y"],
    ["-a", "m"], ["m", "cur/two:2,S", "path"], ["-z", "m"],
    ["m/.Sub", "three", "Deep"], ["-a", "m/.Sub", "three", "r\u00e9sum\u00e9"],
]


def keywords(run, cwd):
    """What one side's program tells."""
    found = {}
    for box in ("m", "m/.Sub"):
        lines = run("maildirkw", "-L", box, cwd=cwd).stdout.decode()
        for line in lines.splitlines():
            name, *words = line.split(" ")
            if words and words != [""]:
                found[box, name] = set(words)
    return found


def test_maildirkw(courier, tmp_path):
    sides = {"ours": ours, "theirs": courier}
    for side in sides:
        for sub in ("cur", "new", "tmp", ".Sub/cur", ".Sub/new", ".Sub/tmp"):
            (tmp_path / side / "m" / sub).mkdir(parents=True)
        (tmp_path / side / "m/.Sub/maildirfolder").touch()
        for name in ("new/one", "cur/two:2,S", ".Sub/new/three"):
            (tmp_path / side / "m" / name).write_text("x\n")
    for arguments in KEYWORDS:
        done = {side: run("maildirkw", *arguments, cwd=tmp_path / side)
                for side, run in sides.items()}
        assert done["ours"].returncode == done["theirs"].returncode, \
            (arguments, done)
        assert bool(done["ours"].stderr) == bool(
            done["theirs"].stdout + done["theirs"].stderr) \
            or "-L" in arguments, (arguments, done)
        # each program understands the other's files
        told = [keywords(run, tmp_path / side)
                for run in (ours, courier) for side in sides]
        assert told == [told[0]] * 4, arguments
    assert told[0] == {("m", "none"): {"Foo"}, ("m", "two"): {"x", "y"},
                       ("m/.Sub", "three"): {"Deep", "r\u00e9sum\u00e9"}}


def test_maildirkw_waits_for_the_lock(tmp_path):
    ours("maildirmake", "m", cwd=tmp_path)
    (tmp_path / "m/new/one").write_text("x\n")
    lock = tmp_path / "m/tmp/courier.lock"
    lock.write_text(f"{os.getpid()}:{os.uname().nodename}")
    waiting = subprocess.Popen(
        [program("maildirkw"), "-l", "m", "one", "Word"], cwd=tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.3)
    assert not (tmp_path / "m/courierimapkeywords").exists()
    lock.unlink()
    assert waiting.wait(PATIENCE) == 0 and not lock.exists()
    assert (tmp_path / "m/courierimapkeywords/one").read_text() == "Word\n"
    lock.write_text(f"{waiting.pid}:{os.uname().nodename}")
    assert ours("maildirkw", "-l", "m", "one",
                cwd=tmp_path).returncode == 0  # whose owner has gone


ACLS = [
    ["-list", "m", "INBOX"], ["-list", "m", "INBOX.a"], [], ["-list", "m"],
    ["-set", "m", "INBOX.a", "anyone", "lr"],
    ["-set", "m", "INBOX.a", "user=joe", "lretx"],
    ["-set", "m", "INBOX.a", "user=joe", "-x"],
    ["-set", "m", "INBOX.a", "user=joe", "+s"],
    ["-set", "m", "INBOX.a", "-user=eve", "r"],
    ["-set", "m", "INBOX.a", "group=sales", "wi"],
    ["-set", "m", "INBOX.a", "user=a b", "r"],
    ["-set", "m", "INBOX.a", "owner", "lr"],
    ["-set", "m", "INBOX.a", "owner", "-a"],
    ["-set", "m", "INBOX.a", "owner", "-w"],
    ["-delete", "m", "INBOX.a", "anyone"],
    ["-delete", "m", "INBOX.a", "nobody"],
    ["-delete", "m", "INBOX.a", "owner"],
    ["-delete", "m", "INBOX.a", "-user=eve"],
    ["-set", "m", "INBOX.p.q", "anonymous", "l"],
    ["-set", "m", "foo", "anyone", "l"], ["-list", "m", "foo"],
    ["-compute", "m", "INBOX.a"],
    ["-compute", "m", "INBOX.a", "user=joe"],
    ["-compute", "m", "INBOX.a", "user=joe", "group=sales"],
    ["-compute", "m", "INBOX.a", "owner"],
    ["-compute", "m", "INBOX.a", "administrators"],
    ["-compute", "m", "INBOX.p.q", "user=joe"],
    ["-compute", "m", "INBOX.a.b", "owner", "user=joe"],
    ["-reset", "m"], ["-reset"], ["-z", "m", "INBOX"],
]


def test_maildiracl(courier, tmp_path):
    """Exit codes, output, and that each reads what the other has written."""
    sides = {"ours": ours, "theirs": courier}
    for side in sides:
        (tmp_path / side).mkdir()
        for words in (["m"], ["-f", "a", "m"], ["-f", "a.b", "m"],
                      ["-f", "p.q.r", "m"]):
            assert ours("maildirmake", *words,
                        cwd=tmp_path / side).returncode == 0
    for arguments in ACLS:
        done = {side: run("maildiracl", *arguments, cwd=tmp_path / side)
                for side, run in sides.items()}
        assert done["ours"].returncode == done["theirs"].returncode, \
            (arguments, done)
        if done["ours"].returncode == 0:
            assert done["ours"].stdout == done["theirs"].stdout, arguments
        for folder in ("INBOX", "INBOX.a", "INBOX.a.b", "INBOX.p.q"):
            told = {run("maildiracl", "-list", "m", folder,
                        cwd=tmp_path / side).stdout
                    for run in sides.values() for side in sides}
            assert len(told) == 1, (arguments, folder, told)


INDEX = """alice\t7\t7\t/h/alice\tMaildir\tsharedgroup=x,group=y
bob\t7\t7\t/h/bob\t\tgroup=sharedgroup
al\t7\t7\t/h/al
# nobody\t7\t7\t/h/n
\u00e9mile\t7\t7\t/h/e\tMaildir
"""


@pytest.mark.parametrize("letters", [[], ["0"], ["1"], ["3"]])
def test_sharedindexsplit(courier, tmp_path, letters):
    for side, run in (("ours", ours), ("theirs", courier)):
        (tmp_path / side).mkdir()
        done = run("sharedindexsplit", str(tmp_path / side), *letters,
                   cwd=tmp_path, text=INDEX.encode())
        assert done.returncode == 0, done
    files = {side: {path.name: sorted(path.read_text().splitlines())
                    for path in (tmp_path / side).iterdir()}
             for side in ("ours", "theirs")}
    assert files["ours"] == files["theirs"] and files["ours"]
    assert ours("sharedindexsplit", "nowhere", cwd=tmp_path).returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="acts as root")
@pytest.mark.parametrize("way", ["joe/Maildir", "joe/home/Maildir"])
def test_roots_tools_follow_no_users_link(tmp_path, way):
    """Joe lets his Maildir, or what leads to it, be Ann's."""
    tmp_path.chmod(0o755)
    maildir = tmp_path / "ann" / "Maildir"
    for name in ("joe", "ann", "ann/Maildir", "ann/Maildir/cur",
                 "ann/Maildir/new", "ann/Maildir/tmp"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 1001 if name == "joe" else 1002, 1000)
    link = tmp_path / ("joe/Maildir" if way == "joe/Maildir" else "joe/home")
    link.symlink_to(maildir if link.name == "Maildir" else maildir.parent)
    os.chown(link, 1001, 1000, follow_symlinks=False)
    for command in (["maildiracl", "-set", way, "INBOX", "user=joe", "lr"],
                    ["maildirkw", way, "1700000000.M1P1.host", "Word"]):
        done = ours(*command, cwd=tmp_path)
        assert done.returncode != 0, command
        assert b"symbolic links" in done.stderr, command
    assert not (maildir / "courierimapacl").exists()
    assert not (maildir / "courierimapkeywords").exists()
    # a link of root's is as good as the name it stands for
    (tmp_path / "mail").symlink_to(maildir)
    done = ours("maildiracl", "-set", "mail", "INBOX", "user=joe", "lr",
                cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (maildir / "courierimapacl").stat().st_uid == 1002
