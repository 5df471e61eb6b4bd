"""Postern and Dovecot on Maildirs of the same files, for all tests here."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

TOP = pathlib.Path(__file__).parents[2]
for folder in ("tests/support", "tests/messages", "bench"):
    sys.path.insert(0, str(TOP / folder))

import compare  # noqa: E402
import imapread  # noqa: E402
import postern  # noqa: E402
import servers  # noqa: E402


def own(path, uid):
    for one in (path, *path.rglob("*")):
        os.chown(one, uid, uid)


@pytest.fixture(scope="session")
def messages():
    return compare.corpus()


@pytest.fixture(scope="session")
def dovecot(messages):
    """Makes clients of Dovecot, logged in."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to lay Dovecot's files over /usr")
    build = pathlib.Path(os.environ.get("BUILD_DIR", "build/test/gcc"))
    server = servers.Dovecot(build.absolute().parent / "dovecot")
    server.run.mkdir(parents=True, exist_ok=True)
    try:
        server.prepare()
    except servers.Missing as error:
        pytest.skip(f"Dovecot can't be had: {error}")
    home = server.home / "ann"
    shutil.rmtree(server.home, ignore_errors=True)
    compare.fill(home / "Maildir", messages)
    own(server.home, servers.MAIL_UID)
    server.start([("ann", home)])

    def connect():
        client = imapread.Client(server.port)
        client.do(f"LOGIN ann {servers.PASSWORD}")
        return client
    yield connect
    server.stop()


@pytest.fixture(scope="session")
def theirs(dovecot):
    client = dovecot()
    yield client
    client.close()


@pytest.fixture(scope="session")
def server():
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    s = postern.Server(base / "s")
    s.add_user(postern.JOE)
    yield s
    s.stop()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def ours(server, messages):
    server.prepare()
    compare.fill(server.maildir(), messages)
    server.start()
    client = imapread.Client(server.port["imapd"])
    client.do(f'LOGIN {postern.JOE} "{postern.PASSWORD}"')
    yield client
    client.close()
