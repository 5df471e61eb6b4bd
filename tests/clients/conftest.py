import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import postern  # noqa: E402


@pytest.fixture(scope="module")
def directory():
    """A short path, for socket names have to fit into 107 bytes."""
    path = tempfile.mkdtemp(prefix="pn-", dir="/tmp")
    os.chmod(path, 0o755)
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def server(directory):
    """One server for the tests of a module, with two users."""
    s = postern.Server(directory / "s")
    s.add_user(postern.JOE)
    s.add_user(postern.ANN)
    s.start()
    yield s
    s.stop()


@pytest.fixture(autouse=True)
def sound(request):
    """After each test the server lives and no sanitizer has spoken."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.processes["posternd"].poll() is None, server.log()
        assert not server.reports(), server.reports()


@pytest.fixture
def work(tmp_path):
    """A home directory for a client program."""
    (tmp_path / "home").mkdir()
    return tmp_path


@pytest.fixture
def fresh():
    """Makes servers that a test may ruin; all are stopped."""
    made = []

    def make(**keys):
        base = tempfile.mkdtemp(prefix="pn-", dir="/tmp")
        os.chmod(base, 0o755)
        s = postern.Server(pathlib.Path(base) / "s", **keys)
        made.append((base, s))
        return s
    yield make
    for base, s in made:
        try:
            s.stop()
        finally:
            shutil.rmtree(base, ignore_errors=True)
