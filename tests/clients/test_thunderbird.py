"""Debian's Thunderbird with a profile made for it: it logs in, fetches, lets
its filters mark messages, and hears of new ones by IDLE. It is large and
starts slowly, so this is for POSTERN_LONG."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from postern import PASSWORD, message, need, wait_for

HERE = pathlib.Path(__file__).parent
SECONDS = 90


def prefs(server, user):
    port = server.port["imapd"]
    return {
        "mail.accountmanager.accounts": "account1",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.account.account1.identities": "id1",
        "mail.account.account1.server": "server1",
        "mail.account.lastKey": 1,
        "mail.identity.id1.useremail": user,
        "mail.identity.id1.fullName": "Joe",
        "mail.identity.id1.valid": True,
        "mail.server.server1.type": "imap",
        "mail.server.server1.hostname": "127.0.0.1",
        "mail.server.server1.port": port,
        "mail.server.server1.userName": user,
        "mail.server.server1.name": user,
        "mail.server.server1.socketType": 0,
        "mail.server.server1.authMethod": 3,
        "mail.server.server1.login_at_startup": True,
        "mail.server.server1.check_new_mail": True,
        "mail.server.server1.directory-rel":
            "[ProfD]ImapMail/127.0.0.1",
        "mail.server.server1.offline_download": True,
        "mail.server.server1.autosync_offline_stores": True,
        "mail.provider.suppress_dialog_on_startup": True,
        "mail.rights.version": 1,
        "mail.shell.checkDefaultClient": False,
        "mail.spotlight.firstRunDone": True,
        "mailnews.start_page.enabled": False,
        "app.update.enabled": False,
        "app.normandy.enabled": False,
        "app.donation.eoy.version.viewed": 999,
        "datareporting.policy.dataSubmissionEnabled": False,
        "toolkit.telemetry.enabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "extensions.update.enabled": False,
        "signon.rememberSignons": True,
        "network.proxy.type": 0,
    }


FILTERS = """\
version="9"
logging="no"
name="read"
enabled="yes"
type="17"
action="Mark read"
action="Mark flagged"
condition="AND (subject,contains,Read me)"
"""


def make_profile(server, user, profile):
    box = profile / "ImapMail/127.0.0.1"
    box.mkdir(parents=True)
    (box / "msgFilterRules.dat").write_text(FILTERS)
    (profile / "prefs.js").write_text("".join(
        f"user_pref({json.dumps(k)}, {json.dumps(v)});\n"
        for k, v in prefs(server, user).items()))
    subprocess.run(
        [sys.executable, str(HERE / "thunderbird_logins.py"), str(profile),
         "imap://127.0.0.1", user, PASSWORD], check=True,
        env=dict(os.environ, LD_LIBRARY_PATH="/usr/lib/thunderbird"))


@pytest.fixture
def display(tmp_path):
    """A screen that nobody sees."""
    xvfb = need("Xvfb", "xvfb")
    read, write = os.pipe()
    with open(tmp_path / "xvfb.log", "wb") as log:
        process = subprocess.Popen(
            [xvfb, "-displayfd", str(write), "-screen", "0", "1024x768x24",
             "-nolisten", "tcp"], pass_fds=(write,), stdout=log, stderr=log,
            stdin=subprocess.DEVNULL)
    os.close(write)
    with open(read) as said:
        number = said.readline().strip()
    assert number, (tmp_path / "xvfb.log").read_text()
    yield f":{number}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def thunderbird(display, work):
    """Start it with a profile; all of its processes end after the test."""
    program = need("thunderbird", "thunderbird")
    started = []

    def start(profile):
        log = open(work / "thunderbird.log", "wb")
        started.append((subprocess.Popen(
            [program, "--no-remote", "--profile", str(profile)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "DISPLAY": display,
                 "HOME": str(work / "home"), "LC_ALL": "C.UTF-8",
                 "MOZ_DISABLE_CONTENT_SANDBOX": "1",
                 "MOZ_CRASHREPORTER_DISABLE": "1",
                 "GDK_BACKEND": "x11"}), log))
    yield start
    for process, log in started:
        # The wrapper and its children are a session of their own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        log.close()


def flags(server, user):
    return sorted(name.split(":2,")[1] if ":2," in name else "new"
                  for name in server.files(user))


@pytest.mark.skipif(not os.environ.get("POSTERN_LONG"),
                    reason="takes long: set POSTERN_LONG")
def test_thunderbird(server, work, thunderbird):
    user = server.add_user("bird@example.com")
    server.deliver(message("Read me", to=user), user)
    server.deliver(message("Leave me", to=user,
                           body="Fetched by Thunderbird.\n"), user)
    profile = work / "profile"
    make_profile(server, user, profile)
    thunderbird(profile)
    wait_for(lambda: flags(server, user) == ["", "FS"],
             "a filter has marked one message", SECONDS)
    # By IDLE: it polls every ten minutes only.
    server.deliver(message("Read me too", to=user), user)
    wait_for(lambda: flags(server, user) == ["", "FS", "FS"],
             "a message that came later is marked", SECONDS)
    # The bodies are kept for reading offline.
    wait_for(lambda: any(
        b"Fetched by Thunderbird." in path.read_bytes()
        for path in (profile / "ImapMail").rglob("*") if path.is_file()),
        "the message is fetched", SECONDS)
