"""Waiting for what a test expects, and the logs that say why it didn't come.

A wait ends as soon as its condition is true, so that its bound may be large: it
is there for what never happens, on a machine of any speed. What is promised in
so many seconds is measured by the tests whose names say timing.
"""

import os
import pathlib
import time

# What one step may need on a machine that does much else meanwhile.
PATIENCE = float(os.environ.get("POSTERN_PATIENCE", "60"))
LAST_MAX = 600   # characters of a value
LOG_LINES = 25   # of each log

# The logs of servers that were started; what each held when the test began.
logs = {}


def wait_for(condition, what, seconds=PATIENCE):
    """The first true value of condition(); fails after so many seconds."""
    __tracebackhide__ = True
    end = time.monotonic() + seconds
    while True:
        last = condition()
        if last:
            return last
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}; the last "
                                 f"value was {cut(repr(last))}")
        time.sleep(0.01)


def is_gone(pid):
    """The process has ended; whether its parent has waited for it, who may be
    one that never does, is not ours to say."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return "State:\tZ" in status


class Watch:
    """How long something takes, but for what the machine took: the time that
    this thread and some processes, with those below them, were ready to run
    and had no CPU.  Who waits for another process, or sleeps, isn't ready."""

    def __init__(self, *pids):
        self.pids = pids
        self.stolen = self.ready()
        self.begun = time.monotonic()

    def seconds(self):
        taken = time.monotonic() - self.begun
        now = self.ready()
        return taken - sum(n - self.stolen.get(task, 0)
                           for task, n in now.items()) / 1e9

    def ready(self):
        """Nanoseconds without a CPU, of each task."""
        tasks = [pathlib.Path("/proc/thread-self")]
        for pid in self.pids:
            for process in (pid, *below(pid)):
                tasks += pathlib.Path(f"/proc/{process}/task").glob("*")
        found = {}
        for task in tasks:
            try:
                found[task] = int((task / "schedstat").read_text().split()[1])
            except OSError:
                pass  # it has ended, or this kernel doesn't count
        return found


def below(pid):
    """The processes that this one has started, and theirs."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            found += [child, *below(child)]
    return found


def cut(text):
    return text if len(text) <= LAST_MAX else text[:LAST_MAX] + "…"


def watch(path):
    """A test that fails shows what this log got meanwhile."""
    path = pathlib.Path(path)
    logs.setdefault(path, 0)
    return path


def size(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def begin():
    """A test begins: what the logs hold by now is no part of it."""
    for path in logs:
        logs[path] = size(path)


def told():
    """(path, last lines) of each log that grew since the test began."""
    for path, before in logs.items():
        if size(path) <= before:
            continue
        try:
            with open(path, "rb") as f:
                f.seek(before)
                lines = f.read().decode(errors="replace").splitlines()
        except OSError:
            continue
        yield path, "\n".join(line[:LAST_MAX] for line in lines[-LOG_LINES:])
