"""What the memory of a process holds; for root."""

import os

import pytest

# The shadow of a build with sanitizers: terabytes that hold no data.
HUGE = 1 << 28


def needs_root():
    return pytest.mark.skipif(os.getuid() != 0,
                              reason="needs root: reads other processes")


def holds(pid, needle):
    """Where in its writable memory the bytes stand: names of mappings."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        maps = f.read().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *rest = line.split(maxsplit=5)
            if "rw" not in rights:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            if end - begin > HUGE:
                continue
            try:
                memory.seek(begin)
                if needle in memory.read(end - begin):
                    found.append(rest[-1])
            except OSError:
                continue
    return found
