"""Print the C files of a build's compile_commands.json, each once, without
those of tests. compiled.py BUILDDIR"""

import json
import pathlib
import sys

seen = set()
folder = pathlib.Path(sys.argv[1])
for command in json.loads((folder / "compile_commands.json").read_text()):
    path = str(pathlib.Path(command["directory"]) / command["file"])
    if path not in seen and "/tests/" not in path:
        seen.add(path)
        print(path)
