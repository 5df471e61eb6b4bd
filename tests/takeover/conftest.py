import os
import pathlib
import shutil
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import servers  # noqa: E402


@pytest.fixture
def home():
    """The home directory of the user whose Maildir passes from hand to hand."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    path = base / "home"
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, servers.UID, servers.UID)
    yield path
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def root():
    path = os.environ.get("TAKEOVER_ROOT")
    if path is None or os.geteuid() != 0:
        pytest.skip("needs root and TAKEOVER_ROOT, what get-servers unpacked")
    return path


@pytest.fixture
def courier(root, home):
    return servers.Courier(root, home / "Maildir")


@pytest.fixture
def dovecot(root, home):
    return servers.Dovecot(root, home / "Maildir")


@pytest.fixture
def postern_(home):
    return servers.Postern(home.parent / "s", home / "Maildir")
