"""The installed scripts: control, configuration, certificates.

They carry the paths of one prefix, so a copy of the build is configured again
for a prefix of the test: only what holds a path is compiled anew.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import postern
from built import name_sources_from
from postern import JOE, Lines, free_ports, wait_for


def sh(*argv, check=True, **kwargs):
    done = subprocess.run([str(a) for a in argv], capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=300,
                          **kwargs)
    if check:
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done


class Tree:
    """A prefix of its own: the programs of the tested one, fresh scripts."""

    def __init__(self, base):
        self.prefix = base / "P"
        self.build = base / "build"
        self.port = dict(zip(postern.SERVICES, free_ports(4)))
        source = pathlib.Path(os.environ["BUILD_DIR"])
        options = shlex.split(
            sh(source / "config.status", "--config").stdout)
        options = [o for o in options if not o.startswith(
            ("--prefix", "--with-piddir"))]
        shutil.copytree(source, self.build, symlinks=True,
                        ignore=shutil.ignore_patterns(
                            "installed", "*.log", "*.trs", "*.build-log"))
        makefile = (source / "Makefile").read_text()
        (given,) = re.findall(r"(?m)^top_srcdir = (.*)$", makefile)
        srcdir = (source / given).resolve()
        name_sources_from(srcdir, self.build, source)
        sh(srcdir / "configure", *options, f"--prefix={self.prefix}",
           f"--with-piddir={self.prefix}/pids", cwd=self.build)
        sh("make", "-j2", cwd=self.build)
        sh("make", "install", cwd=self.build)

    def install_configure(self):
        return sh("make", "install-configure", cwd=self.build)

    def etc(self, name):
        return self.prefix / "etc" / name

    def edit(self, name, **keys):
        text = self.etc(name).read_text()
        for key, value in keys.items():
            text = re.sub(rf"(?m)^{key}=.*\n", "", text)
            text += f"{key}={value}\n"
        self.etc(name).write_text(text)

    def rc(self, service, word, check=True, path=None):
        return sh(path or self.prefix / "libexec" / f"{service}.rc", word,
                  check=check)

    def listens(self, service):
        import socket
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port[service])) == 0

    def connect(self, service):
        import socket
        return Lines(socket.create_connection(
            ("127.0.0.1", self.port[service]), timeout=postern.PATIENCE))


@pytest.fixture(scope="module")
def tree(directory):
    t = Tree(directory)
    yield t
    for service in postern.SERVICES:
        if (t.prefix / "libexec" / f"{service}.rc").exists():
            t.rc(service, "stop", check=False)
    if (t.prefix / "sbin/authdaemond").exists():
        sh(t.prefix / "sbin/authdaemond", "stop", check=False)


def test_missing_configuration_is_named(tree):
    for service in postern.SERVICES:
        done = tree.rc(service, "start", check=False)
        assert done.returncode == 1
        assert "does not exist, forgot make install-configure?" in done.stderr


def test_install_makes_samples_only(tree):
    for name in (*postern.SERVICES, "postern", "authdaemonrc", "authmysqlrc",
                 "authsqliterc"):
        assert tree.etc(name + ".dist").exists()
        assert not tree.etc(name).exists()
        assert not re.search("@[A-Z]+@", tree.etc(name + ".dist").read_text())


def test_install_configure(tree):
    tree.install_configure()
    for name in (*postern.SERVICES, "postern", "authdaemonrc", "authmysqlrc",
                 "authsqliterc"):
        assert tree.etc(name).read_text() == \
            tree.etc(name + ".dist").read_text()
    for name in ("authdaemonrc", "authmysqlrc", "authsqliterc"):
        assert tree.etc(name).stat().st_mode & 0o007 == 0
    for name in ("imapd.pem", "pop3d.pem"):
        pem = tree.prefix / "share" / name
        assert pem.stat().st_mode & 0o777 == 0o600
        text = pem.read_text()
        assert "PRIVATE KEY" in text and "BEGIN CERTIFICATE" in text


def test_install_configure_touches_nothing(tree):
    pem = (tree.prefix / "share/imapd.pem").read_bytes()
    # An admin's own file, without a version of ours.
    tree.etc("imapd").write_text("MAXPERIP=7 # mine\n")
    tree.etc("authmysqlrc").chmod(0o600)
    tree.etc("pop3d").unlink()
    before = tree.etc("imapd").stat()
    for _ in range(2):
        tree.install_configure()
        assert tree.etc("imapd").read_text() == "MAXPERIP=7 # mine\n"
        assert tree.etc("imapd").stat().st_mtime_ns == before.st_mtime_ns
        assert tree.etc("authmysqlrc").stat().st_mode & 0o777 == 0o600
        assert (tree.prefix / "share/imapd.pem").read_bytes() == pem
    assert tree.etc("pop3d").exists()
    tree.etc("imapd").write_text(tree.etc("imapd.dist").read_text())


def test_certificate_scripts(tree):
    done = sh(tree.prefix / "share/mkimapdcert", check=False)
    assert done.returncode == 1
    assert "already exists." in done.stderr
    pem = tree.prefix / "share/other.pem"
    sh(tree.prefix / "share/mkpop3dcert", pem)
    sh("openssl", "x509", "-in", pem, "-noout", "-checkend", "86400")


@pytest.fixture(scope="module")
def configured(tree):
    """The samples as installed, but for ports and a user table."""
    tree.install_configure()
    for name in postern.SERVICES:
        tls = "SSL" if name.endswith("-ssl") else ""
        tree.edit(name, **{f"{tls}ADDRESS": "127.0.0.1",
                           f"{tls}PORT": tree.port[name]})
    tree.edit("postern", LOGIN_USER="nobody", LOG=tree.prefix / "log",
              AUTH_FAILURE_DELAY=100)
    tree.edit("authdaemonrc", authmodulelist='"authsqlite"')
    table = tree.prefix / "etc/users.sqlite"
    sh("sh", "-c", f"sqlite3 {table} <"
       f"{tree.prefix}/share/postern/postfix_users.sqlite.sql")
    uid = postern.PLAIN_UID if os.geteuid() == 0 else os.geteuid()
    home = tree.prefix / "vmail"
    home.mkdir()
    sh("sqlite3", table,
       "INSERT INTO postfix_users (email, clear, uid, gid, homedir, maildir)"
       f" VALUES ('{JOE}', '{postern.PASSWORD}', {uid}, {uid}, '{home}',"
       " 'joe/')")
    if os.geteuid() == 0:
        os.chown(home, uid, uid)
        shutil.chown(table, "daemon")
        for path in (tree.prefix, *tree.prefix.parents):
            if str(path).startswith("/tmp/"):
                path.chmod(0o755)
    return tree


def test_authdaemond_words(configured):
    script = configured.prefix / "libexec/authlib/authdaemond"
    assert sh(script, "status", check=False).returncode == 3
    sh(script, "start")
    assert sh(script, "status").returncode == 0
    sh(script, "start")
    var = configured.prefix / "var/spool/authdaemon"
    pid = (var / "pid").read_text()
    assert (var / "socket").stat().st_mode & 0o777 == 0o777
    sh(configured.prefix / "sbin/authdaemond", "restart")
    sh(script, "reload")
    assert (var / "pid").read_text() == pid
    assert sh(script, "nonsense", check=False).returncode == 1
    sh(script, "stop")
    sh(script, "stop")
    assert sh(script, "status", check=False).returncode == 3
    sh(configured.prefix / "sbin/authdaemond", "start")


def login(tree):
    c = tree.connect("imapd")
    assert c.line().startswith("* OK")
    c.ok(f'LOGIN {JOE} "{postern.PASSWORD}"')
    return c


def test_services(configured):
    t = configured
    assert t.rc("imapd", "status", check=False).returncode == 3
    assert t.rc("imapd", "stop").returncode == 0
    started = t.rc("imapd", "start")
    assert started.stdout == ""
    assert t.listens("imapd") and not t.listens("pop3d")
    pid = int((t.prefix / "pids/imapd.pid").read_text())
    os.kill(pid, 0)
    again = t.rc("imapd", "start")
    assert (again.stdout, again.stderr) == ("", "")
    assert "running" in t.rc("imapd", "status").stdout
    for other in ("pop3d", "imapd-ssl", "pop3d-ssl"):
        t.rc(other, "start")
        assert t.listens(other)
    with login(t) as c:
        t.rc("pop3d", "stop")
        t.rc("pop3d", "stop")
        assert not t.listens("pop3d")
        assert not (t.prefix / "pids/pop3d.pid").exists()
        c.ok("NOOP")
        t.rc("pop3d", "restart")
        assert t.listens("pop3d")
        t.rc("imapd", "reload")
        c.ok("NOOP")
    t.rc("imapd", "nonsense")
    for service in postern.SERVICES:
        t.rc(service, "stop")
        assert not t.listens(service)
    gone = sh(t.prefix / "sbin/posternctl", "ping", check=False)
    assert gone.returncode == 3


def test_configtest(configured):
    t = configured
    good = t.rc("imapd", "configtest")
    assert "error" not in good.stderr
    script = t.prefix / "libexec/authlib/authdaemond"
    sh(script, "configtest")
    kept = t.etc("imapd").read_text(), t.etc("authdaemonrc").read_text()
    t.edit("imapd", MAXPERIP="several")
    t.etc("authdaemonrc").write_text(kept[1] + "daemons\n")
    bad = t.rc("pop3d", "configtest", check=False)
    assert bad.returncode == 1
    assert re.search(rf"{t.etc('imapd')}:\d+: error: MAXPERIP: expected",
                     bad.stderr)
    bad = sh(script, "configtest", check=False)
    assert bad.returncode == 1
    t.etc("imapd").write_text(kept[0])
    t.etc("authdaemonrc").write_text(kept[1])
    t.rc("imapd", "configtest")
    sh(script, "configtest")


def test_makeimapaccess(configured):
    t = configured
    tool = t.prefix / "sbin/makeimapaccess"
    file = t.prefix / "etc/imapaccess"
    sh(tool)
    file.write_text("192.0.2.0/24\tdeny\n")
    t.rc("imapd", "start")
    # What is wrong elsewhere is for others to tell.
    broken = t.prefix / "share/imapd.pem.mail.example.com"
    broken.write_text("no certificate\n")
    assert sh(t.prefix / "sbin/posternd", "-t", check=False).returncode == 1
    assert "error" not in sh(tool).stderr
    broken.unlink()
    file.write_text("192.0.2.0/24\tdeny\nwho\tdeny\n")
    bad = sh(tool, check=False)
    assert bad.returncode == 1 and f"{file}:2:" in bad.stderr
    file.unlink()
    t.rc("imapd", "stop")


def test_sharedindexinstall(configured):
    t = configured
    tool = t.prefix / "sbin/sharedindexinstall"
    old, new = t.prefix / "etc/shared", t.prefix / "etc/shared.tmp"
    for path in (old, new):
        shutil.rmtree(path, ignore_errors=True)
    none = sh(tool, check=False)
    assert none.returncode == 1 and f"{new} is empty!" in none.stdout
    new.mkdir()
    assert sh(tool, check=False).returncode == 1
    (new / "index").write_text("*\t1\n")
    (new / "1").write_text("joe\t1000\t1000\t/home/joe\n")
    missing = sh(tool, check=False)
    assert missing.returncode == 1 and f"{old} does not exist!" in \
        missing.stdout
    assert len([*new.iterdir()]) == 2
    old.mkdir()
    (old / "1").write_text("before\n")
    (old / "2").write_text("of before\n")
    sh(tool)
    assert {p.name: p.read_text() for p in old.iterdir()} == {
        "index": "*\t1\n", "1": "joe\t1000\t1000\t/home/joe\n"}
    assert [*new.iterdir()] == []
    # Nothing new: what is there stays.
    assert sh(tool, check=False).returncode == 1
    assert len([*old.iterdir()]) == 2
    shutil.rmtree(old)
    shutil.rmtree(new)


def test_systemd_units(configured, tmp_path):
    """As far as they can be tried without systemd as process 1."""
    units = configured.prefix / "share/postern/systemd"
    files = sorted(units.glob("*.service"))
    assert sorted(f.name for f in files) == sorted(
        ["postern-authdaemond.service", "postern.service"]
        + [f"postern-{name}.service" for name in postern.SERVICES])
    for f in files:
        assert not re.search("@[A-Z]+@", f.read_text())
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    verified = sh("systemd-analyze", "verify", "--man=no", *files,
                  check=False)
    assert verified.returncode == 0, verified.stderr
    assert verified.stderr + verified.stdout == ""
    if os.geteuid() == 0:
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        for name in ("passwd", "group", "shadow", "gshadow"):
            (root / "etc" / name).touch()
        sh("systemd-sysusers", f"--root={root}",
           units / "sysusers.d/postern.conf")
        assert re.search(r"(?m)^postern:.*:/usr/sbin/nologin$|^postern:.*/bin/"
                         "false$", (root / "etc/passwd").read_text())
        sh("systemd-tmpfiles", f"--root={root}", "--create",
           units / "tmpfiles.d/postern.conf", check=False)
        var = root / str(configured.prefix / "var/spool/authdaemon")[1:]
        assert var.stat().st_mode & 0o777 == 0o750


def command(unit, word):
    """What a unit's ExecStart= and its like run."""
    (line,) = re.findall(rf"(?m)^Exec{word}=-?(.*)$", unit.read_text())
    return shlex.split(line)


def test_units_of_services(configured):
    """Each switches its service; the unit of posternd stays meanwhile."""
    t = configured
    units = t.prefix / "share/postern/systemd"
    flags = {"imapd": "IMAPDSTART", "imapd-ssl": "IMAPDSSLSTART",
             "pop3d": "POP3DSTART", "pop3d-ssl": "POP3DSSLSTART"}
    kept = {name: t.etc(name).read_text() for name in flags}
    for name, flag in flags.items():
        t.edit(name, **{flag: "NO"})
    (t.prefix / "pids").mkdir(exist_ok=True)
    main = units / "postern.service"
    try:
        sh(*command(main, "StartPre"))
        sh(*command(main, "Start"))
        for name in flags:
            assert not t.listens(name)
        for name in flags:
            unit = units / f"postern-{name}.service"
            sh(*command(unit, "Start"))
            assert t.listens(name)
            sh(*command(unit, "Reload"))
            sh(*command(unit, "Stop"))
            assert not t.listens(name)
        sh(t.prefix / "sbin/posternctl", "ping")
    finally:
        sh(t.prefix / "sbin/posternctl", "stop", check=False)
        for name, text in kept.items():
            t.etc(name).write_text(text)
    wait_for(lambda: sh(t.prefix / "sbin/posternctl", "ping",
                        check=False).returncode == 3, "its end")


def test_units_are_tight(configured):
    """systemd's own judgement, from 0 (tight) to 10 (open)."""
    units = configured.prefix / "share/postern/systemd"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    for name, most in (("postern", 3.5), ("postern-authdaemond", 4.5),
                       ("postern-imapd", 2.0)):
        done = sh("systemd-analyze", "security", "--offline=yes",
                  "--no-pager", units / f"{name}.service", check=False)
        (level,) = re.findall(r"exposure level for \S+: ([\d.]+)", done.stdout)
        assert float(level) <= most, done.stdout


def test_scripts_work_from_elsewhere(configured, tmp_path):
    copied = tmp_path / "courier-imap"
    shutil.copy(configured.prefix / "libexec/imapd.rc", copied)
    linked = tmp_path / "S80pop3d"
    linked.symlink_to(configured.prefix / "libexec/pop3d.rc")
    configured.rc("", "start", path=copied)
    configured.rc("", "start", path=linked)
    assert configured.listens("imapd") and configured.listens("pop3d")
    configured.rc("", "stop", path=copied)
    assert configured.listens("pop3d")
    configured.rc("", "stop", path=linked)
    assert not configured.listens("pop3d")
    for path in (copied, linked):
        text = path.read_text()
        assert "# chkconfig: 2345 80 30" in text
        assert "### BEGIN INIT INFO" in text


def test_two_scripts_at_once(configured):
    """Boot starts them side by side: both services must be on."""
    scripts = [configured.prefix / "libexec" / f"{name}.rc"
               for name in postern.SERVICES]
    running = [subprocess.Popen([str(s), "start"], stdin=subprocess.DEVNULL)
               for s in scripts]
    assert [p.wait(60) for p in running] == [0, 0, 0, 0]
    for name in postern.SERVICES:
        wait_for(lambda name=name: configured.listens(name), name)
    for name in postern.SERVICES:
        configured.rc(name, "stop")
    sh(configured.prefix / "sbin/authdaemond", "stop")


def test_uninstall_leaves_what_was_edited(tree):
    sh("make", "uninstall", cwd=tree.build)
    assert tree.etc("imapd").exists()
    assert not tree.etc("imapd.dist").exists()
    assert not (tree.prefix / "libexec/imapd.rc").exists()
    assert not (tree.prefix / "sbin/posternd").exists()
