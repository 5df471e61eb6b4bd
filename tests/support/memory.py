"""What the memory of a process holds; for root."""

import contextlib
import os
import pathlib
import re

import postern
import pytest

# The shadow of a build with sanitizers: terabytes that hold no data.
HUGE = 1 << 28


def needs_root():
    return pytest.mark.skipif(os.getuid() != 0,
                              reason="needs root: reads other processes")


def holds(pid, needle):
    """Where in its writable memory the bytes stand: names of mappings. One
    that has ended holds nothing."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            maps = f.read().splitlines()
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            return [name for begin, n, name in writable(maps)
                    if needle in piece(memory, begin, n)]
    except (FileNotFoundError, ProcessLookupError):
        return []


def writable(maps):
    """(begin, bytes, name) of the mappings that can be written."""
    for line in maps:
        span, rights, *rest = line.split(maxsplit=5)
        begin, end = (int(x, 16) for x in span.split("-"))
        if "rw" in rights and end - begin <= HUGE:
            yield begin, end - begin, rest[-1]


def piece(memory, begin, n):
    try:
        memory.seek(begin)
        return memory.read(n)
    except OSError:
        return b""


def measurable():
    """Not with sanitizers, which keep freed memory."""
    worker = postern.prefix() / "libexec/postern/worker"
    return b"__asan_init" not in worker.read_bytes()


def tree(server):
    """KiB (PSS) of all of a server's processes."""
    total = 0
    for pid in [server.pid(), *(pid for pid, _ in server.children())]:
        with contextlib.suppress(OSError):
            total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(
                f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
    return total
