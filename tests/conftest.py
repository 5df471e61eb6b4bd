"""For all tests in Python: one that fails shows the logs of its servers."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
import waiting  # noqa: E402


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    waiting.begin()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    outcome = yield
    report = outcome.get_result()
    if report.failed and hasattr(report.longrepr, "addsection"):
        for path, lines in waiting.told():
            report.longrepr.addsection(f"log {path}", lines)
