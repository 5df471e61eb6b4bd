import os
import pathlib
import shutil
import sys
import tempfile

import pytest

for folder in ("takeover", "support"):
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / folder))
import machine  # noqa: E402


@pytest.fixture(scope="module")
def new_machine():
    """Makes machines; all are stopped at the end of the module."""
    if (why := machine.missing()) is not None:
        pytest.skip(why)
    made = []

    def make(root=None, init=False):
        base = tempfile.mkdtemp(prefix="pn-", dir="/tmp")
        made.append((base, machine.Machine(
            pathlib.Path(base) / "m", os.environ.get("BUILD_DIR"),
            os.environ.get("DOCS_PACKAGES"), root, init)))
        return made[-1][1].start()
    yield make
    for base, one in made:
        one.stop()
        shutil.rmtree(base, ignore_errors=True)
