"""CPU time and memory of a process and all its descendants, from /proc."""
import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """(parent, own CPU seconds, those of its dead children) or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            # The name, in parentheses, may hold anything.
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    ticks = [int(field) for field in fields[11:15]]
    return int(fields[1]), sum(ticks[:2]) / TICK, sum(ticks[2:]) / TICK


def processes():
    return {pid: found for pid in map(int, filter(str.isdigit,
                                                  os.listdir("/proc")))
            if (found := stat(pid))}


def descendants(root):
    """The pids below root, without root itself."""
    table = processes()
    found = {root}
    grown = True
    while grown:
        new = {pid for pid, (parent, _, _) in table.items()
               if parent in found} - found
        found |= new
        grown = bool(new)
    return found - {root}


def cpu(root):
    """CPU seconds used below root so far, by the living and the dead."""
    table = processes()
    below = descendants(root)
    return table[root][2] + sum(table[pid][1] + table[pid][2]
                                for pid in below if pid in table)


def settled_cpu(root, most=3.0):
    """The same when nothing more comes: what a server puts off counts."""
    end = time.monotonic() + most
    before = cpu(root)
    while time.monotonic() < end:
        time.sleep(0.15)
        now = cpu(root)
        if now == before:
            break
        before = now
    return before


def pss(root):
    """Proportional set size below root in bytes: shared pages divided."""
    total = 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += sum(int(line.split()[1]) * 1024 for line in f
                             if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def settled_pss(root, most=20.0):
    """The same once it has stopped changing by more than one in a hundred."""
    end = time.monotonic() + most
    before = pss(root)
    steady = 0
    while time.monotonic() < end and steady < 3:
        time.sleep(1)
        now = pss(root)
        steady = steady + 1 if abs(now - before) <= before / 100 else 0
        before = now
    return before
