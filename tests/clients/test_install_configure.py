"""install-configure, which is for our files what sysconftool is for Courier's."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import postern

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = TOP / "etc/install-configure.sh"
DATA = TOP / "tests/unit/data/conf"
# Settings are told by -n as NAME=value lines.
SHOWN = re.compile(r"(?m)^(\w+)=(.*)$")


class Etc:
    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        (self.path / name).write_text(text)

    def read(self, name):
        return (self.path / name).read_text()

    def run(self, *names, options=(), check=True):
        done = subprocess.run(
            ["sh", str(SCRIPT), *options, str(self.path), "", "644", *names],
            capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def etc(tmp_path):
    return Etc(tmp_path)


DIST = """##VERSION: $Id: postern x.dist 2 $
#
# x made from x.dist
#
##NAME: KEPT:0
#
#  A setting whose section has not changed.

KEPT=new-default

##NAME: SAME:0
#
#  One that nobody edited.

SAME=1

##NAME: CHANGED:1
#
#  A section with a new version.

CHANGED=better

##NAME: FRESH:0

FRESH=yes

##NAME: OPTIONAL:0
#
# OPTIONAL=perhaps

"""

OLD = """##VERSION: $Id: postern x.dist 1 $
#
# x made from x.dist
#
##NAME: KEPT:0
#
#  Old words.

KEPT=mine
KEPT="$KEPT and more"

##NAME: SAME:0

SAME=1

##NAME: CHANGED:0

CHANGED=good

##NAME: OPTIONAL:0
#
# OPTIONAL=perhaps
OPTIONAL=surely

##NAME: GONE:3
#
#  Nobody knows this any more.

GONE="a thing"

"""


def test_a_new_file(etc):
    etc.write("x.dist", DIST)
    assert "new" in etc.run("x")
    assert etc.read("x") == DIST
    assert "current" in etc.run("x")


def test_sections(etc):
    etc.write("x.dist", DIST)
    etc.write("x", OLD)
    (etc.path / "x").chmod(0o600)
    told = etc.run("x")
    for line in ("KEPT: unchanged", "SAME: unchanged", "CHANGED: UPDATED",
                 "FRESH: new", "OPTIONAL: unchanged", "GONE: unknown"):
        assert f"\n  {line}" in told
    text = etc.read("x")
    lines = [x for x in text.splitlines() if x and not x.startswith("#")]
    assert lines == ["KEPT=mine", 'KEPT="$KEPT and more"', "SAME=1",
                     "CHANGED=better", "FRESH=yes", "OPTIONAL=surely"]
    assert "# DEFAULT SETTING from x.dist:\n#KEPT=new-default\n" in text
    assert ("# Previous setting (inserted by install-configure):\n"
            "#CHANGED=good\n") in text
    assert "##NAME: GONE:3\n" in text and '#GONE="a thing"\n' in text
    assert "whose section has not changed" in text
    assert etc.read("x.bak") == OLD
    assert (etc.path / "x").stat().st_mode & 0o777 == 0o600
    assert not (etc.path / "x.new").exists()
    # Twice, by version and by force: nothing moves any more.
    assert etc.run("x") == f"{etc.path}/x: current\n"
    assert etc.read("x") == text
    etc.run("x", options=["-f"])
    assert [x for x in etc.read("x").splitlines()
            if x and not x.startswith("#")] == lines
    assert '#GONE="a thing"\n' in etc.read("x")
    again = etc.read("x")
    assert etc.run("x", options=["-f"]) == f"{etc.path}/x: current\n"
    assert etc.read("x") == again


def test_options(etc):
    etc.write("x.dist", DIST)
    etc.write("x", OLD)
    assert "CHANGED: UPDATED" in etc.run("x", options=["-n"])
    assert etc.read("x") == OLD and not (etc.path / "x.bak").exists()
    etc.write("y.dist", DIST)
    assert "new" in etc.run("y", options=["-n"])
    assert not (etc.path / "y").exists()
    version = subprocess.run(["sh", str(SCRIPT), "-v"], capture_output=True,
                             text=True).stdout.strip()
    assert re.fullmatch(r"\d+\.\d+", version)
    etc.run("x", options=["-n", "-r", version])
    etc.run("x", options=["-n", "-r", "0.1"])
    for bad in (["-r", "99"], ["-r", "x"], ["-q"]):
        done = subprocess.run(
            ["sh", str(SCRIPT), *bad, str(etc.path), "", "644", "x"],
            capture_output=True, text=True)
        assert done.returncode == 1, bad
    assert etc.read("x") == OLD


def test_a_file_of_the_admin(etc):
    etc.write("x.dist", DIST)
    mine = "# no version\nSAME=7\nAUTHSERVICE143=x\nCHANGED=mine\n"
    etc.write("x", mine)
    assert "kept" in etc.run("x")
    assert etc.read("x") == mine
    etc.run("x", options=["-f"])
    lines = [x for x in etc.read("x").splitlines()
             if x and not x.startswith("#")]
    assert lines == ["AUTHSERVICE143=x", "KEPT=new-default", "SAME=7",
                     "CHANGED=mine", "FRESH=yes"]


def counting():
    """The keys that have an effect, and with it a section in the samples."""
    spec = importlib.util.spec_from_file_location("keys", TOP / "man/keys.py")
    keys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keys)
    return {k.name for k in keys.read() if k.status() == "HONOUR"}


def settings(folder):
    """What posternd makes of the files, but for what is the default."""
    done = subprocess.run([postern.program("posternd"), "-c", str(folder),
                           "-n"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    keys = counting()
    return sorted(s for s in SHOWN.findall(done.stdout) if s[0] in keys)


@pytest.mark.parametrize("source", ["debian", "courier-4.14"])
def test_over_couriers_files(etc, source):
    """What a Courier admin has set is the same before and after, twice."""
    names = [p.name for p in (DATA / source).iterdir()
             if p.name.startswith(("imapd", "pop3d", "authdaemonrc"))]
    for name in names:
        text = (DATA / source / name).read_text()
        text = re.sub(r"(?m)^MAXPERIP=.*", "MAXPERIP=33", text)
        text = re.sub(r"(?m)^(IMAP_EMPTYTRASH=.*)", r"#\1", text)
        etc.write(name, text.replace("TLS_PROTOCOL=\"TLS1\"", ""))
        shutil.copy(postern.prefix() / "etc" / f"{name}.dist", etc.path)
    before = settings(etc.path)
    assert any(k == "MAXPERIP" and v.strip("\"'") == "33" for k, v in before)
    etc.run(*names)
    for name in names:
        assert "postern" in etc.read(name).splitlines()[0]
        assert (etc.path / f"{name}.bak").exists()
    after = [s for s in settings(etc.path)]
    lost = [s for s in before if s not in after]
    assert not lost
    etc.run(*names)
    etc.run(*names, options=["-f"])
    assert settings(etc.path) == after
    etc.run(*names, options=["-f"])
    assert settings(etc.path) == after


def test_howto_authmysqlrc(etc):
    """NAME value, trailing blanks, no version: kept; by force: converted."""
    shutil.copy(DATA / "howto/authmysqlrc", etc.path)
    shutil.copy(postern.prefix() / "etc/authmysqlrc.dist", etc.path)
    was = etc.read("authmysqlrc")
    assert "kept" in etc.run("authmysqlrc")
    assert etc.read("authmysqlrc") == was

    def values(text):
        return dict(re.findall(r"(?m)^(\w+)[ \t]+(\S.*?)\s*$", text))
    etc.run("authmysqlrc", options=["-f"])
    now = values(etc.read("authmysqlrc"))
    assert values(was).items() <= now.items()
    assert etc.read("authmysqlrc.bak") == was


# --- install-migrate: the files of a courier-authlib elsewhere ----------------

MIGRATE = TOP / "etc/install-migrate.sh"


class Machine:
    """A root directory with a Courier in it, and where Postern goes."""

    def __init__(self, base):
        self.root, self.path = base / "old", base / "P/etc"

    def put(self, place, name, text):
        path = self.root / place.lstrip("/") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def migrate(self, *options):
        done = subprocess.run(
            ["sh", str(MIGRATE), *options, str(self.path), "", str(self.root)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def names(self):
        return sorted(p.name for p in self.path.iterdir())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("place", [
    "/etc/courier", "/etc/courier/authlib", "/etc/courier-imap",
    "/usr/lib/courier/etc", "/usr/lib/courier-imap/etc", "/usr/local/etc",
    "/usr/local/etc/courier", "/usr/local/courier/etc",
    "/usr/local/lib/courier/etc", "/usr/local/lib/courier-imap/etc",
    "/usr/local/share/sqwebmail", "/usr/local/etc/courier-imap"])
def test_migrate_from_each_place(machine, place):
    names = ["authdaemonrc", "authldaprc", "authmysqlrc", "authpgsqlrc"]
    for name in names:
        source = machine.put(place, name, f"##VERSION: x\n{name}\n")
        source.chmod(0o666)
    machine.put(place, "userdb", "joe\tuid=1000\n")
    machine.put(place, "imapd", "##VERSION: x\n")
    told = machine.migrate("-n")
    assert not machine.path.exists()
    assert machine.migrate() == told
    assert machine.names() == [*names, "userdb"]
    for name in (*names, "userdb"):
        source, made = machine.root / place[1:] / name, machine.path / name
        assert f"{made}: copied from {source}\n" in told
        assert made.read_text() == source.read_text()
        assert made.stat().st_mode & 0o777 == 0o600


def test_migrate_keeps_and_leaves(machine):
    """What is there stays; what isn't Courier's is named, not taken."""
    machine.path.mkdir(parents=True)
    (machine.path / "authdaemonrc").write_text("mine\n")
    (machine.path / "userdb").symlink_to("nowhere")
    machine.put("/etc/courier", "authdaemonrc", "##VERSION: x\n")
    machine.put("/etc/courier", "userdb", "joe\tuid=1000\n")
    howto = machine.put("/etc/courier", "authmysqlrc",
                        (DATA / "howto/authmysqlrc").read_text())
    late = machine.put("/usr/local/courier/etc", "authpgsqlrc", "##VERSION:b\n")
    machine.put("/usr/local/etc/courier-imap", "authpgsqlrc", "##VERSION:c\n")
    told = machine.migrate()
    assert f"{howto}: left, its first line is no ##VERSION\n" in told
    assert f"{machine.path}/authdaemonrc: kept\n" in told
    assert f"{machine.path}/authpgsqlrc: copied from {late}\n" in told
    assert (machine.path / "authdaemonrc").read_text() == "mine\n"
    assert (machine.path / "userdb").readlink() == pathlib.Path("nowhere")
    assert machine.names() == ["authdaemonrc", "authpgsqlrc", "userdb"]
    assert "##VERSION:b" in (machine.path / "authpgsqlrc").read_text()
    # A later place is asked when an earlier one has a file of somebody else's.
    machine.put("/usr/local/etc", "authmysqlrc", "##VERSION: y\n")
    assert "/usr/local/etc/authmysqlrc\n" in machine.migrate()


def test_migrate_a_directory(machine):
    machine.put("/etc/courier/userdb", "example.com", "joe\tuid=1000\n")
    machine.migrate()
    made = machine.path / "userdb/example.com"
    assert made.read_text() == "joe\tuid=1000\n"
    assert made.parent.stat().st_mode & 0o777 == 0o700


def test_configure_after_migrate(machine):
    """The two in a row lose no setting of Courier's."""
    want = {"authdaemonrc": 'authmodulelist="authmysql authuserdb"',
            "authmysqlrc": "MYSQL_SERVER\tdb.example.com"}
    for name, line in want.items():
        key = re.match(r"\w+", line)[0]
        text, n = re.subn(rf"(?m)^{key}\b.*", line,
                          (DATA / "debian" / name).read_text())
        assert n == 1
        machine.put("/etc/courier", name, text)
    machine.migrate()
    for name in want:
        shutil.copy(postern.prefix() / "etc" / f"{name}.dist", machine.path)
    etc = Etc(machine.path)
    etc.run(*want)
    for name, line in want.items():
        assert "postern" in etc.read(name).splitlines()[0]
        assert f"\n{line}\n" in etc.read(name)


def test_make_install_migrate(machine):
    """By make, into DESTDIR and from MIGRATE_ROOT: nothing of this machine."""
    source = machine.put("/etc/courier", "authdaemonrc", "##VERSION: x\n")
    done = subprocess.run(
        ["make", "install-migrate", f"DESTDIR={machine.path}",
         f"MIGRATE_ROOT={machine.root}"],
        cwd=os.environ["BUILD_DIR"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"copied from {source}\n" in done.stdout
    made, = machine.path.rglob("authdaemonrc")
    assert made.read_text() == source.read_text()
