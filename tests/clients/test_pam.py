"""AUTHSERVICE<port>: which file of /etc/pam.d decides at which port."""
import os
import pwd
import shutil
import subprocess

import pytest
from postern import Lines

NAME = f"pn{os.getpid()}"
# What each port asks PAM by; pop3d-ssl by a name that has no file.
STACKS = {
    "imapd": "auth required pam_permit.so\naccount required pam_permit.so\n",
    "imapd-ssl": "auth required pam_deny.so\naccount required pam_deny.so\n",
    "pop3d": "auth required pam_unix.so\naccount required pam_unix.so\n",
}


@pytest.fixture(scope="module")
def user(directory):
    """A user of the system, for as long as these tests run."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("needs root and useradd")
    home = directory / "home"
    subprocess.run(["useradd", "--create-home", "--home-dir", home, "--shell",
                    "/bin/false", NAME], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{NAME}:right\n", text=True,
                       check=True)
        yield pwd.getpwnam(NAME)
    finally:
        subprocess.run(["userdel", NAME], check=True, capture_output=True)


@pytest.fixture(scope="module")
def server(directory, user):
    import postern
    s = postern.Server(directory / "s", uid=None, modules="authpam",
                       LOGIN_USER="nobody", LOGIN_CHROOT=directory / "s/empty",
                       AUTH_USER="daemon")
    shutil.chown(s.var, "daemon", "daemon")
    for service in postern.SERVICES:
        s.set(service.removesuffix("-ssl"),
              **{f"AUTHSERVICE{s.port[service]}": f"{NAME}-{service}"})
    files = []
    try:
        for service, stack in STACKS.items():
            files.append(f"/etc/pam.d/{NAME}-{service}")
            with open(files[-1], "w", encoding="ascii") as f:
                f.write(stack)
        with s:
            yield s
    finally:
        for path in files:
            os.unlink(path)


def logs_in(server, service, name, password):
    with Lines(server.connect(service)) as c:
        c.line()
        if service.startswith("imapd"):
            good = c.imap(f"LOGIN {name} {password}")[-1].split()[1] == "OK"
            return good and "FLAGS" in "\n".join(c.ok("SELECT INBOX"))
        c.pop(f"USER {name}")
        good = c.pop(f"PASS {password}")[0].startswith("+OK")
        return good and c.pop("STAT")[0].startswith("+OK ")


@pytest.mark.parametrize("service, right, wrong", [
    ("imapd", True, True), ("imapd-ssl", False, False),
    ("pop3d", True, False), ("pop3d-ssl", None, False)])
def test_the_file_of_the_port_decides(server, user, service, right, wrong):
    """pop3d-ssl: /etc/pam.d/other, which is the system's."""
    if right is not None:
        assert logs_in(server, service, NAME, "right") == right
    assert logs_in(server, service, NAME, "wrong") == wrong
    # who has no account gets none by a file that lets everybody in
    assert not logs_in(server, service, f"{NAME}x", "right")
    assert not logs_in(server, service, "root", "right")


def test_sessions_are_the_users(server, user):
    with Lines(server.connect("imapd")) as c:
        c.line()
        c.ok(f"LOGIN {NAME} any")
        c.ok("CREATE INBOX.Sent")
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in server.workers()}
        assert owners == {user.pw_uid}
    made = os.stat(os.path.join(user.pw_dir, "Maildir/.Sent/cur"))
    assert (made.st_uid, made.st_gid) == (user.pw_uid, user.pw_gid)


def test_a_change_of_the_file_counts_at_once(server, user):
    path = f"/etc/pam.d/{NAME}-imapd-ssl"
    with open(path, "w", encoding="ascii") as f:
        f.write(STACKS["imapd"])
    try:
        assert logs_in(server, "imapd-ssl", NAME, "any")
    finally:
        with open(path, "w", encoding="ascii") as f:
            f.write(STACKS["imapd-ssl"])
    assert not logs_in(server, "imapd-ssl", NAME, "any")
