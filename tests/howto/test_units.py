"""The units' rights are enough: what they take away is taken away here."""

import os
import pathlib
import re
import shutil
import signal
import tempfile

import postern
import pytest
from postern import ANN, JOE, imap, pop3, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_filters_let_our_own_be_made():
    """What @system-service hasn't; tests/docs has systemd itself try."""
    for name, calls in (("postern", {"chroot", "seccomp"}),
                        ("postern-authdaemond", {"seccomp"})):
        unit = (TOP / f"etc/systemd/{name}.service.in").read_text()
        (allowed,) = re.findall(r"(?m)^SystemCallFilter=(.*)$", unit)
        assert {"@system-service"} | calls <= set(allowed.split()), name


@pytest.fixture
def confined():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    unit = (TOP / "etc/systemd/postern.service.in").read_text()
    (words,) = re.findall(r"(?m)^CapabilityBoundingSet=(.*)$", unit)
    assert "NoNewPrivileges=yes" in unit
    caps = ",".join("+" + w.removeprefix("CAP_").lower()
                    for w in words.split())
    base = pathlib.Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
    base.chmod(0o755)
    s = postern.Server(base / "s", uid=None, LOGIN_USER="nobody",
                       AUTH_USER="daemon", LOGIN_CHROOT=base / "s/empty")
    shutil.chown(s.var, "daemon", "daemon")
    # The helpers of authdaemond read the table as that user.
    plain = s.spawn

    def spawn(name, *args):
        s.as_user = (lambda argv: argv) if name != "posternd" else (
            lambda argv: ["setpriv", "--no-new-privs", "--inh-caps=-all",
                          f"--bounding-set=-all,{caps}", "--", *argv])
        return plain(name, *args)
    s.spawn = spawn
    try:
        yield s
    finally:
        try:
            s.stop()
        finally:
            shutil.rmtree(base, ignore_errors=True)


def test_a_confined_server_serves_and_stops(confined):
    s = confined
    for email, uid in ((JOE, 64201), (ANN, 64202)):
        home = s.home / email
        home.mkdir()
        os.chown(home, uid, uid)
        s.add_user(email, uid=uid, homedir=str(home), maildir="Maildir/")
        s.deliver(email=email)
    # A key that is its owner's alone, as an ACME client may leave it.
    postern.make_cert(s.cert)
    os.chown(s.cert, 64203, 64203)
    s.start()
    with imap(s, service="imapd-ssl") as c, pop3(s, ANN) as p:
        assert "* 1 EXISTS" in c.ok("SELECT INBOX")
        assert p.pop("STAT")[0].startswith("+OK 1 ")
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in s.workers()}
        for pid in s.workers():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"(?m)^Uid:\s+6420[12]\s", status)
        assert owners
        # It can end a process that has become somebody else.
        os.kill(s.workers()[0], signal.SIGSTOP)
        s.signal(signal.SIGTERM)
        wait_for(lambda: s.processes["posternd"].poll() is not None,
                 "the end, with a worker that hangs")
