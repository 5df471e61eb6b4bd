"""configure's options of old and new: where things go, what a lack is called."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


class Tree:
    def __init__(self, base, cache):
        self.build = base / "build"
        self.root = base / "root"
        self.cache = cache
        self.build.mkdir()

    def configure(self, *options, ok=True, **env):
        done = subprocess.run(
            [str(TOP / "configure"), f"--cache-file={self.cache}", *options],
            cwd=self.build, capture_output=True, text=True, timeout=300,
            stdin=subprocess.DEVNULL, env=dict(os.environ, **env))
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done

    def install(self):
        """The files that have paths in them; programs need a build."""
        subprocess.run(
            ["make", "install-exec-local", "install-data-local",
             f"DESTDIR={self.root}"], cwd=self.build, check=True,
            capture_output=True, text=True, timeout=300)
        return self

    def __contains__(self, path):
        return os.path.lexists(f"{self.root}{path}")

    def read(self, path):
        return pathlib.Path(f"{self.root}{path}").read_text()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "config.cache"


@pytest.fixture
def tree(tmp_path, cache):
    return Tree(tmp_path, cache)


def test_howto(tree, tmp_path):
    """The command line of the howto, and what else old scripts pass."""
    mysql = tmp_path / "mysql"
    (mysql / "lib").mkdir(parents=True)
    (mysql / "inc").mkdir()
    told = tree.configure(
        "--prefix=/usr/local/courier", "--with-authmysql",
        f"--with-mysql-libs={mysql}/lib", f"--with-mysql-includes={mysql}/inc",
        "--with-redhat", "--enable-workarounds-for-imap-client-bugs",
        "--disable-root-check", "--with-db=gdbm", "--without-ipv6",
        "--with-dirsync", "--with-authdaemon", "--with-authcram",
        "--without-fam", "--with-gnutls", "--with-syslog=LOCAL3",
        "--with-trashquota", "--with-authldap", "--with-mailuser=daemon")
    assert "unrecognized" not in told.stderr
    assert "authldap" in told.stderr  # there is no such module, says it
    make = (tree.build / "Makefile").read_text()
    assert re.search(rf"(?m)^MYSQL_CFLAGS = .*-I{mysql}/inc", make)
    assert re.search(rf"(?m)^MYSQL_LIBS = .*-L{mysql}/lib", make)
    assert "LOG_LOCAL3" in (tree.build / "base/paths.h").read_text()
    assert "WITH_TRASHQUOTA 1" in (tree.build / "config.h").read_text()
    tree.install()
    p = "/usr/local/courier"
    for path in ("etc/imapd.dist", "etc/authmysqlrc.dist", "etc/imapd.cnf",
                 "libexec/imapd.rc", "libexec/pop3d-ssl.rc",
                 "libexec/authlib/authdaemond", "share/mkimapdcert",
                 "sbin/mkpop3dcert", "sbin/makeimapaccess"):
        assert f"{p}/{path}" in tree, path
    rc = tree.read(f"{p}/libexec/imapd.rc")
    assert f"confdir={p}/etc" in rc and "/var/run/imapd.pid" in rc
    assert f"TLS_CERTFILE={p}/share/imapd.pem" in tree.read(
        f"{p}/etc/imapd-ssl.dist")
    assert f"{p}/var/spool/authdaemon" in tree.read(
        f"{p}/etc/authdaemonrc.dist")


def test_every_path(tree):
    """Each directory that Courier's configure lets one choose."""
    told = tree.configure(
        "--prefix=/p", "--sysconfdir=/p/a", "--localstatedir=/p/b",
        "--libexecdir=/p/c", "--datadir=/p/d", "--bindir=/p/e",
        "--sbindir=/p/f", "--mandir=/p/g", "--with-authdaemonvar=/p/h",
        "--with-authdaemonrc=/p/i/authdaemonrc",
        "--with-authmysqlrc=/p/i/authmysqlrc", "--with-pkgconfdir=/p/i",
        "--with-piddir=/p/j", "--with-certsdir=/p/k", "--with-mailuser=daemon",
        "--with-mailgroup=daemon", "--without-authuserdb")
    assert "unrecognized" not in told.stderr
    tree.install()
    for path in ("a/imapd.dist", "c/imapd.rc", "f/makeimapaccess", "h",
                 "i/authdaemonrc.dist", "i/authmysqlrc.dist"):
        assert f"/p/{path}" in tree, path
    assert "PIDFILE=/p/j/imapd.pid" in tree.read("/p/a/imapd.dist")
    assert "TLS_CERTFILE=/p/k/imapd.pem" in tree.read("/p/a/imapd-ssl.dist")
    assert "/p/h" in tree.read("/p/i/authdaemonrc.dist")


def test_courier_of_today(tree):
    tree.configure("--prefix=/opt/courier", "--with-layout=courier")
    tree.install()
    assert "/opt/courier/etc/imapd.dist" in tree
    assert "/opt/courier/etc/authlib/authmysqlrc.dist" in tree
    assert "/opt/courier/etc/authlib/authdaemonrc.dist" in tree
    assert "/opt/courier/libexec/imapd.rc" in tree
    make = (tree.build / "Makefile").read_text()
    assert "POSTERN_POP3DDIR = /opt/courier/bin\n" in make
    assert "s/^courierpop3d$$/pop3d/;" in make


def test_debian(tree):
    tree.configure("--with-layout=debian")
    tree.install()
    for path in ("/etc/courier/imapd.dist", "/etc/courier/authmysqlrc.dist",
                 "/usr/lib/courier/imapd", "/usr/lib/courier/pop3d-ssl",
                 "/usr/sbin/imapd-ssl", "/usr/lib/courier/mkimapdcert",
                 "/usr/sbin/mkpop3dcert",
                 "/lib/systemd/system/postern.service",
                 "/usr/lib/tmpfiles.d/postern.conf",
                 "/usr/lib/sysusers.d/postern.conf"):
        assert path in tree, path
    make = (tree.build / "Makefile").read_text()
    assert "POSTERN_POP3DDIR = /usr/lib/courier/courier\n" in make
    assert "/pop3d/" not in make
    assert "PIDFILE=/run/courier/imapd.pid" in tree.read(
        "/etc/courier/imapd.dist")
    assert "TLS_CERTFILE=/etc/courier/imapd.pem" in tree.read(
        "/etc/courier/imapd-ssl.dist")
    assert "/run/courier/authdaemon" in tree.read(
        "/etc/courier/authdaemonrc.dist")
    assert "0750 courier courier" in tree.read(
        "/usr/lib/tmpfiles.d/postern.conf")


def test_a_lack_is_named_with_its_package(tree):
    told = tree.configure("--cache-file=/dev/null", ok=False,
                          PKG_CONFIG_LIBDIR="/nonexistent")
    assert "apt-get install libevent-dev" in told.stderr
    told = tree.configure("--with-layout=other", ok=False)
    assert "expected howto, courier or debian" in told.stderr


def test_coverage_is_counted(tree):
    """--enable-coverage: a program that has run leaves counts for gcov."""
    tree.configure("--enable-coverage")
    subprocess.run(["make", "tests/unit/test_pool"], cwd=tree.build,
                   check=True, capture_output=True, text=True, timeout=300)
    subprocess.run(["tests/unit/test_pool"], cwd=tree.build, check=True,
                   capture_output=True, timeout=60)
    counts = [p for p in tree.build.rglob("*.gcda") if "pool" in p.name]
    assert len(counts) == 2 and all(p.stat().st_size for p in counts), counts
