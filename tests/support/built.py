"""A build that was copied, or is seen at another path."""

import pathlib
import re

SRCDIR = re.compile(r"^srcdir = (.+)$", re.MULTILINE)


def name_sources_from(top, copy, original):
    """The dependency files of copy name its sources as configure was called:
    by ../../configure they lead somewhere else from there.  Have them begin
    with top.  original: the build with its Makefile; top: as copy sees it."""
    makefile = (pathlib.Path(original) / "Makefile").read_text()
    srcdir = SRCDIR.search(makefile).group(1)
    if srcdir.startswith("/"):
        return
    named = re.compile(rf"(?<!\S){re.escape(srcdir)}/")
    for path in pathlib.Path(copy).rglob("*.Po"):
        path.write_text(named.sub(f"{top}/", path.read_text()))
