"""The files that authdaemond reads: where nobody but root may look."""

import os
import subprocess

import pytest

import support
from support import JOE, record, wait_for

BLIND = "may not search"
USERDB = (f"{JOE}\tuid=5000|gid=5000|home=/home/vmail|mail=example.com/joe/"
          "|quota=10000000S|systempw=%s\n")

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
WATCHABLE = {"ext2/ext3", "xfs", "btrfs", "f2fs", "tmpfs", "zfs"}


@pytest.fixture
def closed(directory, table):
    """An authdaemond whose AUTH_USER may not search its configuration."""
    daemons = []
    system = subprocess.run(["stat", "-f", "-c", "%T", directory], check=True,
                            capture_output=True, text=True).stdout.strip()
    if system not in WATCHABLE:
        pytest.skip(f"{system}: changes aren't seen")

    def make(modules, write, mode=0o700):
        base = f"{directory}/c{os.urandom(4).hex()}"
        d = support.Authdaemond(base, modules, AUTH_USER="nobody",
                                AUTH_FAILURE_DELAY=0)
        os.chmod(table.path, 0o644)
        write(d)
        os.chmod(d.conf, mode)
        daemons.append(d.start())
        return d
    yield make
    for d in daemons:
        d.stop()


def in_place(d, name, text):
    d.write(name, text)


def by_another(d, name, text):
    d.write(name + ".new", text)
    os.rename(d.conf / (name + ".new"), d.conf / name)


@needs_root
@pytest.mark.parametrize("change", [in_place, by_another])
def test_a_change_counts_at_once(closed, table, change):
    rc = table.rc()
    d = closed("authsqlite", lambda d: d.write("authsqliterc", rc))
    for domain in "example.com", "example.org", "example.com":
        change(d, "authsqliterc", rc + f"DEFAULT_DOMAIN {domain}\n")
        assert d.login("joe") == (
            record() if domain == "example.com" else b"FAIL\n")
    assert BLIND not in d.log()


@needs_root
@pytest.mark.parametrize("change", [in_place, by_another])
def test_a_changed_userdb_counts_at_once(closed, change):
    def write(password):
        def put(d):
            change(d, "userdb", USERDB % password)
            os.chmod(d.conf / "userdb", 0o600)
        return put
    d = closed("authuserdb", write("{MD5RAW}" + "0" * 32))
    assert d.login() == b"FAIL\n"
    secret = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"
    write(secret)(d)
    assert d.login() == record(PASSWD=secret)
    assert BLIND not in d.log()


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
@pytest.mark.parametrize("change", [in_place, by_another])
def test_a_changed_file_of_a_directory_counts_at_once(closed, change, mode):
    """Whether AUTH_USER may read that directory or not."""
    def write(password):
        def put(d):
            os.makedirs(d.conf / "userdb", mode=mode, exist_ok=True)
            change(d, "userdb/a", USERDB % password)
            os.chmod(d.conf / "userdb/a", 0o600)
        return put
    d = closed("authuserdb", write("{MD5RAW}" + "0" * 32), 0o755)
    assert d.login() == b"FAIL\n"
    secret = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"
    write(secret)(d)
    assert d.login() == record(PASSWD=secret)


@needs_root
def test_what_cant_be_watched_is_told(closed, table):
    """A link could be given another meaning unseen."""
    rc = table.rc()

    def write(d):
        d.write("elsewhere", rc)
        os.symlink("elsewhere", d.conf / "authsqliterc")
    d = closed("authsqlite", write)
    assert d.login() == record()
    assert d.log().count(BLIND) == 1
    d.write("elsewhere", rc + "DEFAULT_DOMAIN example.com\n")
    assert d.login("joe") == b"FAIL\n"
    d.reload()
    wait_for(lambda: d.login("joe") == record(), "the reload")
    assert d.log().count(BLIND) == 1
