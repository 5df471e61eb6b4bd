import pathlib
import sys

TOP = pathlib.Path(__file__).parents[2]
for folder in ("tests/support", "tests/messages", "bench"):
    sys.path.insert(0, str(TOP / folder))
