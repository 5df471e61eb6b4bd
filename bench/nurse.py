"""Run one server's daemons, and be the parent of all that they leave behind.

nurse.py SPEC.json, a dictionary:
  overlays  {directory: [directory that is laid over it, ...]}
  empties   directories to be empty and writable
  commands  programs to start, each a list; {"wait": [...]} is waited for
The mounts are seen here only: bench starts this under unshare(1).  SIGTERM
ends every process below this one, by its pid.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

import usage

PR_SET_CHILD_SUBREAPER = 36
STOP_SECONDS = 10


def mount(spec):
    for target, upper in spec.get("overlays", {}).items():
        lower = ":".join([*upper, target])
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"ro,lowerdir={lower}", target], check=True)
    for target in spec.get("empties", []):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs",
                        target], check=True)


def stop(*_):
    """The daemons first, which end the rest in order; then who is left."""
    for pids, number, seconds in (
            (usage.children, signal.SIGTERM, STOP_SECONDS),
            (usage.descendants, signal.SIGTERM, 2),
            (usage.descendants, signal.SIGKILL, 2)):
        for pid in pids(os.getpid()):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not reap():
                os._exit(0)
            time.sleep(0.02)
    os._exit(1)


def reap():
    """Take what has died; whether there is anybody left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        spec = json.load(f)
    # A daemon that leaves its parent comes here, so that its time counts.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, stop)
    mount(spec)
    for command in spec["commands"]:
        if isinstance(command, dict):
            subprocess.run(command["wait"], check=True,
                           stdin=subprocess.DEVNULL)
        else:
            # Courier signals its whole process group when it ends.
            os.posix_spawnp(command[0], command, os.environ, setsid=True)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit("every daemon has ended")


if __name__ == "__main__":
    main()
