"""What the checks of this folder share."""

import os
import pathlib
import sys

TOP = pathlib.Path(os.environ.get(
    "top_srcdir", pathlib.Path(__file__).resolve().parents[2]))


class Report:
    """One line for each named check; the exit status at the end."""

    def __init__(self):
        self.failed = False

    def check(self, name, problems):
        problems = list(problems)
        print(("not ok " if problems else "ok ") + name)
        for problem in problems:
            print("    " + problem)
        self.failed |= bool(problems)

    def end(self):
        sys.exit(1 if self.failed else 0)


class Lines:
    """For pytest: a line for each case, as other test programs print them."""

    def pytest_runtest_logreport(self, report):
        case = report.nodeid.split("::")[-1]
        if report.skipped:
            print(f"\nskip {case}: {report.longrepr[2]}")
        elif report.failed:
            print(f"\nnot ok {case}")
        elif report.when == "call":
            print(f"\nok {case}")
