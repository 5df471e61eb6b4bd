import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap

import pytest

sys.path[:0] = [os.path.dirname(__file__),
                os.path.join(os.path.dirname(__file__), "..", "support")]
import support  # noqa: E402


@pytest.fixture(scope="module")
def directory():
    """A short path, for socket names have to fit into 107 bytes."""
    path = tempfile.mkdtemp(prefix="auth-", dir="/tmp")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def table(directory):
    return support.SqliteTable(directory + "/users.sqlite")


@pytest.fixture(scope="module")
def daemon(directory, table):
    """authdaemond on an SQLite table."""
    d = support.Authdaemond(
        directory + "/d", "authsqlite",
        AUTH_SASL_SOCKETS=f"{directory}/d/postfix:0660",
        UID_MIN=100, GID_MIN=100)
    d.write("authsqliterc", table.rc())
    d.start()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def mariadb(directory):
    if support.MARIADBD is None or support.INSTALL_DB is None:
        pytest.skip("mariadbd is missing: apt-get install mariadb-server-core")
    db = support.MariaDB(directory + "/m").start()
    db.create()
    yield db
    db.stop()


@pytest.fixture(scope="module")
def mysql_daemon(directory, mariadb):
    """authdaemond on the MariaDB table."""
    d = support.Authdaemond(directory + "/d", "authmysql",
                            UID_MIN=100, GID_MIN=100)
    d.write("authmysqlrc", mariadb.rc())
    d.start()
    yield d
    d.stop()
    # neither the table's passwords nor the server's
    assert "secret" not in d.log()


@pytest.fixture
def as_it_was(mariadb, mysql_daemon):
    """Whatever a test did to the server or to authmysqlrc is undone."""
    yield
    mysql_daemon.write("authmysqlrc", mariadb.rc())
    if mariadb.process is None:
        mariadb.start()
    mariadb.signal(signal.SIGCONT)
    support.wait_for(lambda: mysql_daemon.login() == support.record(),
                     "recovery")


@pytest.fixture(scope="module")
def courier(daemon):
    """Run one of Courier's tools, which look for the socket in /run."""
    tools = os.environ.get("COURIER_TOOLS")
    if tools is None or os.getuid() != 0:
        pytest.skip("needs root and COURIER_TOOLS: see get-courier-tools")
    libraries = ":".join(str(pathlib.Path(tools) / path) for path in
                         ("usr/lib", "usr/lib/x86_64-linux-gnu"))
    # A private /run, in which Debian's directories are this daemon's.  (The
    # library of Debian 12 does look for "autthdaemon".)
    script = textwrap.dedent(f"""\
        mount -t tmpfs tmpfs /run && mkdir /run/courier &&
        ln -s {daemon.var} /run/courier/authdaemon &&
        ln -s {daemon.var} /run/courier/autthdaemon &&
        LD_LIBRARY_PATH={libraries} exec "$@"
        """)

    def run(program, *words, **options):
        path = next(p for p in pathlib.Path(tools).glob(f"usr/*bin/{program}"))
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", path, *words],
            capture_output=True, text=True, timeout=40, **options)
    return run
