"""What Courier's admins run: the userdb tools, certificates, parameters, the
logger; beside Debian's own."""

import hashlib
import hmac
import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess

import pytest
from postern import PATIENCE, program, wait_for
from waiting import is_gone

ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def courier():
    """Debian's program: its path, and the environment that it needs."""
    tools = os.environ.get("COURIER_TOOLS")
    if tools is None:
        pytest.skip("Courier's programs are missing: no root, or no net")
    root = pathlib.Path(tools)
    libraries = [*(root / "usr/lib").glob("*-linux-gnu"),
                 root / "usr/lib/courier-authlib"]

    def run(name, *words, **options):
        path = next(p for p in (root / "usr/sbin" / name,
                                root / "usr/lib/courier" / name)
                    if p.exists())
        return go([path, *words], LD_LIBRARY_PATH=":".join(map(str, libraries)),
                  **options)
    run.root = root
    return run


def go(argv, cwd=None, text="", **env):
    return subprocess.run(argv, cwd=cwd, input=text, capture_output=True,
                          text=True, timeout=PATIENCE, env={**ENV, **env})


def ours(name, *words, **options):
    return go([program(name), *words], **options)


def entries(path):
    """{address: {fields}} and what else stands there; Perl's order of fields
    is another each time."""
    found, rest = {}, []
    for line in path.read_text().splitlines() if path.exists() else []:
        name, tab, fields = line.partition("\t")
        if line.startswith("#") or not line:
            rest.append(line)
        else:
            found[name] = set(fields.split("|")) - {""}
    return list(found.items()), rest


USERDB = [
    [], ["joe", "set", "home=/h", "uid=5"], ["joe", "set", "uid=6", "mail=/m"],
    ["ann", "set", "a=b"], ["joe", "unset", "mail", "nosuch"],
    ["none", "unset", "x"], ["none", "del"], ["ann", "del"], ["joe", "bogus"],
    ["joe"], ["joe", "set", "x=a|b"], ["joe", "set", "a=b=c"],
    ["joe", "set", "gecos=J\u00f6 \\n & $HOME *"], ["zoe.b", "set", "home=/z"],
    ["zoe", "set", "home=/zoe"], ["zoe", "unset", "home"], ["zoe", "del"],
    ["joe", "set", "systempw"], ["joe", "set"],
]


def test_userdb(courier, tmp_path):
    theirs = ["perl", courier.root / "usr/sbin/userdb"]
    for words in USERDB:
        done = []
        for name, argv in (("ours", [program("userdb")]), ("theirs", theirs)):
            path = tmp_path / name
            done.append(go([*argv, "-f", path, *words] if words else argv,
                           cwd=tmp_path, text="sec ret\n"))
            if words == ["joe", "set", "uid=6", "mail=/m"]:
                path.write_text("# kept\n\n" + path.read_text())
            if path.exists():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert done[0].returncode == done[1].returncode, (words, done)
        assert entries(tmp_path / "ours") == entries(tmp_path / "theirs"), words
    found = dict(entries(tmp_path / "ours")[0])
    assert "systempw=sec ret" in found["joe"] and "zoe" not in found
    for words in ([], ["joe"], ["zoe.b"], ["none"]):
        said = [go([*argv, "-show", "-f", tmp_path / "ours", *words])
                for argv in ([program("userdb")], theirs)]
        assert sorted(said[0].stdout.split("\n")) == \
            sorted(said[1].stdout.split("\n")), words
        assert said[0].returncode == said[1].returncode == 0
    assert ours("userdb", "-f", tmp_path / "no/x", "joe", "set",
                "a=b").returncode == 2


def test_userdb_side_by_side(tmp_path):
    """Nobody's change is lost."""
    running = [subprocess.Popen(
        [program("userdb"), "-f", tmp_path / "db", f"u{n % 5}", "set",
         f"f{n}={n}"], env=ENV) for n in range(20)]
    assert [one.wait(PATIENCE) for one in running] == [0] * 20
    found = dict(entries(tmp_path / "db")[0])
    assert set().union(*found.values()) == {f"f{n}={n}" for n in range(20)}


def test_userdbpw(courier):
    for word in ("-hmac-md5", "-hmac-sha1", "-hmac-sha256"):
        for text in ("secret\n", "x", "y" * 100 + "\n"):
            said = [run("userdbpw", word, text=text)
                    for run in (ours, courier)]
            assert said[0].stdout == said[1].stdout != "", word
    for words, text in ((["-x"], "a\n"), ([], ""), (["-md5", "x"], "a\n")):
        assert ours("userdbpw", *words, text=text).returncode == 1
    for words, start in ((["-md5"], "$1$"), ([], "$6$")):
        said = ours("userdbpw", *words, text="secret\n")
        assert said.returncode == 0 and said.stdout.startswith(start)


def test_makeuserdb(courier, tmp_path):
    """The same for what is wrong with the file; ours compiles nothing."""
    theirs = ["perl", courier.root / "usr/sbin/makeuserdb"]
    path = tmp_path / "db"
    assert ours("makeuserdb", "-f", path).returncode == 2
    assert go([*theirs, "-f", path]).returncode == 2
    path.write_text("joe\tuid=1|home=/x\n")
    path.chmod(0o640)
    for argv in ([program("makeuserdb")], theirs):
        done = go([*argv, "-f", path])
        assert done.returncode == 255
        assert "MAY NOT HAVE GROUP OR WORLD PERMISSIONS" in done.stderr
    path.chmod(0o600)
    assert ours("makeuserdb", "-f", path).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["db"]
    path.write_text("# c\n\njoe\tuid=1\nno fields\nann\tuid=x\njoe\tgid=1\n")
    done = ours("makeuserdb", "-f", path)
    assert done.returncode != 0
    assert re.findall(r":(\d+): ", done.stderr) == ["4", "5", "6"]
    # a directory of files
    (tmp_path / "dir").mkdir(mode=0o700)
    for name in ("a", "b"):
        (tmp_path / "dir" / name).write_text("joe\tuid=1\n")
        (tmp_path / "dir" / name).chmod(0o600)
    done = ours("makeuserdb", "-f", tmp_path / "dir")
    assert done.returncode != 0 and "already in" in done.stderr


def test_pw2userdb(courier):
    said = [sorted(run("pw2userdb").stdout.splitlines())
            for run in (ours, courier)]
    if os.geteuid() != 0:  # Courier's needs the file of passwords
        pytest.skip("needs root")
    # Of several with one uid, which comes first in a hash is chance.
    said = [[line for line in lines if "=\t" not in line] for lines in said]
    assert said[0] == said[1] != []


def test_userdb_opens_the_account(tmp_path):
    """What the tools write is what authuserdb reads: see tests/auth for the
    module itself."""
    path = tmp_path / "userdb"
    made = ours("userdbpw", "-hmac-md5", text="secret\n").stdout
    assert ours("userdb", "-f", path, "joe", "set", "hmac-md5pw",
                text=made).returncode == 0
    outer, inner = made[:32], made.strip()[32:]
    assert len(inner) == 32 and outer != inner
    assert hmac.new(b"secret", b"x", hashlib.md5).hexdigest() != outer
    assert path.read_text() == f"joe\thmac-md5pw={made}"


@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_certificates(courier, tmp_path, name):
    """A file that is there is left alone, with Courier's status."""
    pem = tmp_path / f"{name}.pem"
    done = ours(f"mk{name}cert", str(pem))
    assert done.returncode == 0, done
    assert stat.S_IMODE(pem.stat().st_mode) == 0o600
    text = pem.read_text()
    assert "PRIVATE KEY" in text and "BEGIN CERTIFICATE" in text
    about = go(["openssl", "x509", "-noout", "-enddate", "-subject", "-in",
                pem]).stdout
    assert "subject=" in about
    script = (courier.root / f"usr/lib/courier/mk{name}cert").read_text()
    theirs = tmp_path / f"mk{name}cert"
    theirs.write_text(script.replace("/etc/courier", str(tmp_path)).replace(
        "test -x /usr/bin/certtool", "true"))
    for run in (ours(f"mk{name}cert", str(pem)), go(["sh", theirs])):
        assert run.returncode == 1
        assert "already exists" in run.stdout + run.stderr
    assert pem.read_text() == text


def test_dhparams(courier, tmp_path):
    path = tmp_path / "dhparams.pem"
    done = ours("mkdhparams", TLS_DHPARAMS=str(path))
    assert done.returncode == 0, done
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = go(["openssl", "dhparam", "-noout", "-text", "-in", path]).stdout
    assert "2048 bit" in said or "ffdhe2048" in said
    # younger than 25 days: left alone, by either
    for run in (ours, courier):
        path.write_text("mine")
        assert run("mkdhparams", TLS_DHPARAMS=str(path),
                   DH_BITS="3072").returncode == 0
        assert path.read_text() == "mine"
    os.utime(path, (0, 0))
    assert ours("mkdhparams", TLS_DHPARAMS=str(path),
                DH_BITS="3072").returncode == 0
    assert "DH PARAMETERS" in path.read_text()
    os.utime(path, (0, 0))
    for bits in ("many", "7"):
        done = ours("mkdhparams", TLS_DHPARAMS=str(path), DH_BITS=bits)
        assert done.returncode == 1 and bits in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["dhparams.pem"]


def test_courierlogger_usage(courier, tmp_path):
    pid = tmp_path / "pid"
    for words in (["-stop"], ["-restart"], ["-bogus", "x"],
                  ["-facility=bogus", "true"], ["false"], ["/nowhere"],
                  [f"-pid={pid}", "-stop"], [f"-pid={pid}", "-restart"],
                  ["-name=x"]):
        told = [run("courierlogger", *words).returncode
                for run in (ours, courier)]
        assert told[0] == told[1], words


@pytest.mark.parametrize("word", ["-user=", "-user=-1", "-user=4294967295",
                                  "-user=4294967296", "-group=", "-group=-1"])
def test_courierlogger_refuses_no_ids(word):
    """(uid_t)-1 is nobody's: root would stay root."""
    done = ours("courierlogger", "-droproot", word, "id", "-u")
    assert (done.returncode, done.stdout) == (1, ""), done


def test_courierlogger_drops_groups():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    nobody = pwd.getpwnam("nobody")
    for user in ("nobody", nobody.pw_uid):
        done = ours("courierlogger", "-droproot", f"-user={user}", "sh", "-c",
                    "id -u; id -G")
        assert done.stdout.split() == [str(nobody.pw_uid), str(nobody.pw_gid)]


def test_courierlogger_changes_user_and_group():
    """Without -droproot the program stays root, and only the logger isn't."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    nobody = pwd.getpwnam("nobody")
    uid, gid = str(nobody.pw_uid), str(nobody.pw_gid)
    show = ["sh", "-c", "id -u; id -g; "
            "until grep -q ^Uid:.%s /proc/$PPID/status; do :; done; "
            "grep -E '^[UG]id:' /proc/$PPID/status"]
    for words, child, logger in (
            (["-user=nobody"], ["0", "0"], [uid, gid]),
            (["-user=nobody", "-droproot"], [uid, gid], [uid, gid]),
            (["-user=nobody", "-group=1"], ["0", "0"], [uid, "1"]),
            (["-group=1", f"-user={uid}", "-droproot"], [uid, "1"],
             [uid, "1"]),
            (["-group=1", "-droproot"], ["0", "1"], ["0", "1"]),
            (["-droproot"], ["0", "0"], ["0", "0"])):
        done = ours("courierlogger", *words,
                    *(w.replace("%s", logger[0]) for w in show))
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and lines[:2] == child, (words, done)
        # real, effective, saved and of the file system: there is no way back
        assert [line.split()[1:] for line in lines[2:]] == [
            [i] * 4 for i in logger], (words, done)


@pytest.mark.parametrize("which", ["ours", "theirs"])
def test_courierlogger_daemon(courier, tmp_path, which):
    """Each starts one, and ours stops either's; a child that won't end."""
    pid = tmp_path / "pid"
    start = ours if which == "ours" else courier
    child = tmp_path / "child"
    trace = tmp_path / "trace"
    child.write_text(f"#!/bin/sh\ntrap 'echo hup >>{trace}' HUP\n"
                     f"trap 'echo term >>{trace}; exit 0' TERM\n"
                     f"echo $$ >>{trace}\n"
                     "while :; do sleep 0.05; done\n")
    child.chmod(0o755)
    for _ in range(2):
        done = start("courierlogger", f"-pid={pid}", "-name=test", "-start",
                     str(child))
        assert done.returncode == 0, done
    number = int(pid.read_text())
    try:
        wait_for(trace.exists, "the child's start")
        assert len(trace.read_text().split()) == 1
        assert stat.S_IMODE((tmp_path / "pid.lock").stat().st_mode) == 0o600
        for tool in ("courierlogger", "couriertcpd"):
            assert ours(tool, f"-pid={pid}", "-restart").returncode == 0
            n = ("courierlogger", "couriertcpd").index(tool) + 1
            wait_for(lambda n=n: trace.read_text().count("hup") >= n,
                     "the child's SIGHUP")
        assert ours("couriertcpd" if which == "ours" else "courierlogger",
                    f"-pid={pid}", "-stop").returncode == 0
        assert is_gone(number)
        assert trace.read_text().endswith("term\n")
    finally:
        if not is_gone(number):
            os.kill(number, 15)
    # a pid file that is out of date harms nobody
    pid.write_text(f"{os.getpid()}\n")
    for tool in ("courierlogger", "couriertcpd"):
        assert ours(tool, f"-pid={pid}", "-stop").returncode == 0


def test_couriertcpd_usage(courier, tmp_path):
    for words in ([], ["-stop"], ["-restart"], [f"-pid={tmp_path}/p", "-stop"]):
        told = [run("couriertcpd", *words).returncode
                for run in (ours, courier)]
        assert told[0] == told[1], words


def test_courierlogger_respawns(tmp_path):
    pid, trace = tmp_path / "pid", tmp_path / "trace"
    done = ours("courierlogger", f"-pid={pid}", "-respawn", "-start", "sh",
                "-c", f"echo x >>{trace}")
    assert done.returncode == 0
    try:
        wait_for(lambda: trace.exists() and len(trace.read_text()) >= 4,
                 "the second start")
    finally:
        assert ours("courierlogger", f"-pid={pid}", "-stop").returncode == 0


def test_courierlogger_sends_to_syslog(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root: a /dev of its own")
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(tmp_path / "log"))
    log.settimeout(PATIENCE)
    script = (f"mount -t tmpfs none /dev && ln -s {tmp_path}/log /dev/log && "
              "exec \"$@\"")
    said = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script,
         "sh", program("courierlogger"), "-name=ident", "-facility=local3",
         "sh", "-c", "echo 'ERR: bad thing' >&2; echo plain %s >&2"],
        capture_output=True, env=ENV)
    assert said.returncode == 0, said
    lines = [log.recv(1000).decode() for _ in range(2)]
    local3 = 19 * 8
    assert re.fullmatch(rf"<{local3 + 3}>.* ident: bad thing", lines[0])
    assert re.fullmatch(rf"<{local3 + 6}>.* ident: plain %s", lines[1])
