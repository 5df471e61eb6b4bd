"""A machine to install and break: what this one has, in namespaces of its own.

Every directory of / is an overlay whose upper layer is memory, /run and /tmp
are empty, the network is a loopback of its own, so that ports below 1024 and
the paths of documents are free.  What runs there sees and ends no process of
this machine, nothing that it writes is left, and the network is away.
Needs root, on Linux with overlayfs.

With init=True systemd is its first process, with a /dev and control groups of
its own, and has started what basic.target wants; else there is no init at all.

The source is at /usr/src/postern, with a build of it in its folder build, so
that a new configuration there compiles only what holds a path.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

from built import name_sources_from
from postern import wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
SOURCE = "/usr/src/postern"
NOT_OVERLAID = {"proc", "sys", "dev", "tmp", "run", "mnt", "media",
                "lost+found"}
CLONE_NEWNET = 0x40000000
SYSTEMD = "/lib/systemd/systemd"
# What of basic.target is about hardware, or about this machine's disks.
MASKED = ("systemd-udevd.service systemd-udev-trigger.service "
          "systemd-udevd-kernel.socket systemd-udevd-control.socket "
          "systemd-modules-load.service systemd-binfmt.service "
          "systemd-sysctl.service systemd-remount-fs.service "
          "systemd-random-seed.service systemd-pstore.service "
          "dev-hugepages.mount dev-mqueue.mount tmp.mount swap.target "
          "sys-kernel-debug.mount sys-kernel-tracing.mount "
          "sys-fs-fuse-connections.mount sys-kernel-config.mount "
          "proc-sys-fs-binfmt_misc.automount timers.target paths.target")
ENVIRONMENT = {"HOME": "/root", "LC_ALL": "C.UTF-8", "USER": "root",
               "DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}


def missing():
    """Why there can be no such machine here, or None."""
    if os.geteuid() != 0:
        return "needs root: namespaces and overlays"
    for name, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(name, path=ENVIRONMENT["PATH"]) is None:
            return f"{name} is missing: apt-get install {package}"
    return None


class Machine:
    """start() and stop(), or use it as a context.

    base: an empty directory of this machine, for its memory and sockets;
    build: the folder of a build, or None; packages: what get-packages of
    tests/docs has filled, or None: then apt-get has nothing to install;
    root: a folder whose usr and etc lie over this machine's, or None; init:
    whether systemd runs.
    """

    def __init__(self, base, build=None, packages=None,
                 root=None, init=False):
        self.base = pathlib.Path(base)
        self.init = init
        self.build = build
        self.packages = packages
        self.root = root
        self.process = self.pid = None
        self.state = "/run/shell"

    # --- its life -----------------------------------------------------------

    def script(self):
        """What its first process does before it waits for the end."""
        rw = self.base / "rw"
        lines = ["set -e", f"mkdir -p {rw}", f"mount -t tmpfs tmpfs {rw}"]

        def overlay(lower, at):
            more = self.root and pathlib.Path(f"{self.root}{at}")
            if more and more.is_dir():
                lower = f"{more}:{lower}"
            name = at.strip("/").replace("/", "-")
            lines.append(
                f"mkdir -p {rw}/{name}/u {rw}/{name}/w; chmod --reference="
                f"{str(lower).split(':')[-1]} {rw}/{name}/u; mkdir -p {at}; mount -t overlay "
                f"overlay -o lowerdir={lower},upperdir={rw}/{name}/u,"
                f"workdir={rw}/{name}/w {at}")
        top, build = f"{rw}/top", f"{rw}/build"
        for path, at in ((TOP, top), (self.build, build)):
            if path is not None:
                lines += [f"mkdir -p {at}", f"mount --bind {path} {at}"]
        for entry in sorted(pathlib.Path("/").iterdir()):
            if entry.is_dir() and not entry.is_symlink() and \
                    entry.name not in NOT_OVERLAID:
                overlay(entry, str(entry))
        overlay(top, SOURCE)
        if self.packages is not None:
            lines.append(f"cp {self.packages}/usr/packages/*.deb "
                         "/var/cache/apt/archives/")
        if self.build is not None:
            overlay(build, f"{SOURCE}/build")
        lines += [
            "mount -t proc proc /proc",
            "mount -t tmpfs -o mode=755 tmpfs /run",
            "mkdir -p -m 1777 /run/lock", "mkdir -p /run/lock/subsys",
            "ip link set lo up",
            "hostname mail.example.com",
            "echo 127.0.0.1 localhost mail.example.com mail >/etc/hosts",
            # No init of any kind: a package that is installed starts nothing.
            "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d",
            "chmod 755 /usr/sbin/policy-rc.d",
            "mkdir -p /run/machine", "mount -t tmpfs -o mode=1777 tmpfs /tmp",
            *(self.systemd() if self.init else self.no_init())]
        return "\n".join(lines)

    @staticmethod
    def no_init():
        """It is the parent of all daemons: wait takes their ends too."""
        return ["sleep infinity &", ": >/run/ready",
                "while :; do wait $!; done"]

    def systemd(self):
        """Packages that are installed may start what they bring."""
        dev, groups = "/run/dev", "/run/groups"
        return [
            "rm /usr/sbin/policy-rc.d",
            f"mkdir {dev} {groups}", f"mount -t tmpfs -o mode=755 dev {dev}",
            f"mkdir {dev}/pts {dev}/shm",
            f"cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom "
            f"/dev/tty {dev}",
            f"ln -s /proc/self/fd {dev}/fd",
            f"mount -t devpts -o newinstance,ptmxmode=666 devpts {dev}/pts",
            f"ln -s pts/ptmx {dev}/ptmx",
            f"mount -t tmpfs -o mode=1777 tmpfs {dev}/shm",
            f"mount --move {dev} /dev",
            f"mount -t cgroup2 cgroup2 {groups}",
            f"mkdir {groups}/{self.group()}",
            f"echo 0 >{groups}/{self.group()}/cgroup.procs",
            f"umount {groups}", f"rmdir {dev} {groups}",
            ": >/etc/machine-id",
            *(f"ln -sf /dev/null /etc/systemd/system/{unit}"
              for unit in MASKED.split()),
            ": >/run/ready",
            "exec env -i container=postern PATH=/usr/sbin:/usr/bin unshare "
            "--cgroup sh -c 'mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup; "
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup; "
            f"exec {SYSTEMD} --system --unit=basic.target "
            "--log-target=journal'"]

    def group(self):
        return self.base.parent.name

    def start(self):
        self.base.mkdir(parents=True, exist_ok=True)
        log = self.base / "machine.log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts",
                 "--fork", "--kill-child", "--propagation", "private", "sh",
                 "-c", self.script()], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, cwd="/")
        wait_for(lambda: self.process.poll() is not None or self._first(),
                 "the machine's first process")
        ready = pathlib.Path(f"/proc/{self.pid}/root/run/ready")

        def up():
            if self.process.poll() is not None:
                raise AssertionError("no machine:\n" + log.read_text())
            return ready.exists()
        wait_for(up, "the machine is up")
        if self.build is not None:
            name_sources_from(SOURCE, self.path(f"{SOURCE}/build"), self.build)
        if self.init:
            wait_for(lambda: self.run(["systemctl", "is-system-running"],
                                      ok=None).strip()
                     in ("running", "degraded"), "systemd has started", 60)
        return self

    def _first(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/"
                                f"{self.process.pid}/children").read_text()
        if children.split():
            self.pid = int(children.split()[0])
        return self.pid

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            # The end of its first process is the end of all others.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.process.wait(30)
            if self.init:
                self.remove_groups()

    def remove_groups(self):
        """Its control groups, which are the kernel's and outlive it."""
        at = self.base / "groups"
        at.mkdir()
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount -t cgroup2 cgroup2 {at} && find {at}/{self.group()} "
             "-depth -type d -exec rmdir {} +"], check=True, timeout=30)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # --- what one does with it ----------------------------------------------

    def path(self, path):
        """A path in there, as this machine reaches it."""
        return pathlib.Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def copy_in(self, source, to):
        to = self.path(to)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, to)

    def argv(self, argv, cwd="/", **env):
        # --root: the tests themselves may run in a chroot.
        return ["nsenter", f"--target={self.pid}", "--mount", "--root",
                "--net", "--pid", "--ipc", "--uts", "--", "env", "-i",
                *(f"{k}={v}" for k, v in {**ENVIRONMENT, **env}.items()),
                "sh", "-c", f'cd {cwd} && exec "$@"', "sh",
                *(str(a) for a in argv)]

    def run(self, argv, ok=(0,), timeout=300, **kwargs):
        """Run a program there to its end; what it printed."""
        done = self.start_program(argv, **kwargs)
        with done:
            try:
                out, _ = done.communicate(timeout=timeout)
            except BaseException:
                done.kill()
                raise
        out = out.decode(errors="replace")
        assert ok is None or done.returncode in ok, \
            f"{argv}: status {done.returncode}\n{out}"
        return out

    def start_program(self, argv, cwd="/", input=None, **env):
        with open(input or os.devnull, "rb") as stdin:
            return subprocess.Popen(
                self.argv(argv, cwd, **env), stdin=stdin,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def shell(self, text, ok=(0,), timeout=600):
        """Commands as an admin types them: directory and exported variables
        are those that the commands before left. What they printed."""
        body = f"test ! -f {self.state} || . {self.state}\nset -e\n{text}\n" \
            f"{{ echo cd \"'$PWD'\"; export -p; }} >{self.state}\n"
        # A daemon that is started keeps what it has got as standard output.
        script = self.path("/run/machine/script")
        script.write_text(body)
        done = self.run(
            ["sh", "-c", "sh /run/machine/script >/run/machine/out 2>&1; "
             "echo $? >/run/machine/status"], timeout=timeout)
        out = self.path("/run/machine/out").read_text(errors="replace")
        status = int(self.path("/run/machine/status").read_text())
        assert ok is None or status in ok, \
            f"status {status}{done} of:\n{text}\n---\n{out}"
        return out

    @contextlib.contextmanager
    def network(self):
        """This thread's new sockets are of that machine's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as ours, \
                open(f"/proc/{self.pid}/ns/net", "rb") as theirs:
            assert libc.setns(theirs.fileno(), CLONE_NEWNET) == 0
            try:
                yield self
            finally:
                assert libc.setns(ours.fileno(), CLONE_NEWNET) == 0
