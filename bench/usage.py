"""CPU time and memory of a process and all its descendants, from /proc."""
import os
import time

TICK = os.sysconf("SC_CLK_TCK")
# CPU seconds in 0.15 s that still count as rest.
QUIET = 0.001


def stat(pid):
    """(parent, CPU seconds of its dead children) or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            # The name, in parentheses, may hold anything.
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[1]), (int(fields[13]) + int(fields[14])) / TICK


def own_cpu(pid):
    """CPU seconds of its threads: to the nanosecond, unlike stat's."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as f:
                total += int(f.read().split()[0])
    except OSError:
        pass
    return total / 1e9


def processes():
    return {pid: found for pid in map(int, filter(str.isdigit,
                                                  os.listdir("/proc")))
            if (found := stat(pid))}


def children(root):
    """The pids right below root."""
    return {pid for pid, (parent, _) in processes().items() if parent == root}


def descendants(root):
    """The pids below root, without root itself."""
    table = processes()
    found = {root}
    grown = True
    while grown:
        new = {pid for pid, (parent, _) in table.items()
               if parent in found} - found
        found |= new
        grown = bool(new)
    return found - {root}


def cpu(root):
    """CPU seconds used below root so far, by the living and the dead."""
    table = processes()
    return table[root][1] + sum(own_cpu(pid) + table[pid][1]
                                for pid in descendants(root) if pid in table)


def settled_cpu(root, most=3.0):
    """The same when nothing more comes: what a server puts off counts."""
    end = time.monotonic() + most
    before = cpu(root)
    while time.monotonic() < end:
        time.sleep(0.15)
        now = cpu(root)
        if now - before < QUIET:
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


def resident(root, field):
    """The sum of VmRSS or VmHWM below root in bytes."""
    total = 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                total += sum(int(line.split()[1]) * 1024 for line in f
                             if line.startswith(field + ":"))
        except OSError:
            continue
    return total


def reset_peak(root):
    """Have peak() begin anew; what is resident now."""
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
                f.write("5")
        except OSError:
            continue
    return resident(root, "VmRSS")


def peak(root):
    """The most that each process had resident since reset_peak()."""
    return resident(root, "VmHWM")


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
