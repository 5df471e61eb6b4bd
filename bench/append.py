"""APPENDs by appendload: clients in C, which cost less than what they
measure, the bare system calls, and what a server can't do without besides."""
import os
import statistics
import subprocess

import servers

# What appendfloor.c adds from one to the next.
LAYERS = (
    "create, write, fdatasync, rename, fsync of the directory",
    "+ a log, synced beside the directory",
    "+ a client, one round trip (LITERAL+)",
    "+ another round trip (synchronizing literal)",
    "threads for syncs, one round trip",
    "threads for syncs, two round trips",
    "threads for syncs, one round trip, log not synced",
)
LAYER_OF = {"plus": 4, "sync": 5}


def compile_load(work):
    program = work / "appendload"
    servers.quiet([os.environ.get("CC", "cc"), "-O2", "-D_GNU_SOURCE",
                   f"-I{servers.HERE.parent}", "-pthread", "-o", program,
                   servers.HERE / "appendload.c",
                   servers.HERE / "appendfloor.c"])
    return program


class Load:
    """One run: ready when made, then go()."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen(
            [program, *map(str, words)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            raise RuntimeError("appendload doesn't start")

    def go(self):
        """Wall and CPU seconds, the latter of the program alone."""
        said, _ = self.process.communicate("go\n")
        if self.process.returncode != 0:
            raise RuntimeError("appendload failed")
        return tuple(map(float, said.split()))


def imap(program, port, literal, each, pairs):
    words = [word for pair in pairs for word in pair]
    return Load(program, "imap", port, servers.PASSWORD, literal, each, *words)


def layers_table(rows):
    """rows: {title: [(wall, CPU) of a message, s]}; the first is the bare."""
    lines = [f"{'One client, a message':60}{'wall, ms':>10}{'to bare':>9}"
             f"{'CPU, ms':>9}"]
    bare = None
    for title, found in rows.items():
        wall, cpu = (statistics.median(f[k] for f in found) * 1000
                     for k in range(2))
        bare = bare or wall
        lines.append(f"{title:60}{wall:10.3f}{wall / bare:9.2f}{cpu:9.3f}")
    return lines
