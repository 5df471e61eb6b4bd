import os
import shutil
import sys
import tempfile

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
