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
