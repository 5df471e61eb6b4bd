"""Files of another machine that has gone away (support/hang.c)."""

import os
import pathlib
import signal
import subprocess

import pytest

import support
from support import JOE, record, wait_for

SOURCE = pathlib.Path(__file__).parents[1] / "support" / "hang.c"
SECRET = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"
# nothing says that a question is answered, one way or the other
TEMPORARY = b""
HELPERS = 3   # as support.py has it


class Hanging(support.Authdaemond):
    """authdaemond, to which files may hang whose paths have a word in them."""

    def __init__(self, base, table, word, modules="authsqlite"):
        super().__init__(base, modules, AUTH_FAILURE_DELAY=0, AUTH_TIMEOUT=2)
        self.write("authsqliterc", table.rc())
        self.flag = self.base / "hang"
        library = self.base / "hang.so"
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o",
                        library, SOURCE, "-ldl"], check=True)
        options = os.environ.get("ASAN_OPTIONS", "")
        self.before = [
            "env", f"LD_PRELOAD={library}", f"HANG_WHILE={self.flag}",
            f"HANG_FILES={word}",
            f"ASAN_OPTIONS={options}:verify_asan_link_order=0"]

    def hang(self):
        self.flag.touch()

    def waits(self):
        return pathlib.Path(f"{self.flag}.seen").exists()

    def stop(self):
        self.flag.unlink(missing_ok=True)
        super().stop()


@pytest.fixture
def hanging(directory, table):
    daemons = []

    def make(*how):
        base = f"{directory}/h{os.urandom(4).hex()}"
        daemons.append(Hanging(base, table, *how).start())
        return daemons[-1]
    yield make
    for d in daemons:
        d.stop()


def kill_helpers(d):
    """Each is made anew, by a keeper that looks for changes first."""
    wait_for(lambda: len(d.children_named("authd-helper")) == HELPERS,
             "all helpers")
    helpers = d.children_named("authd-helper")
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(d.children_named("authd-helper")) == HELPERS and
             not set(helpers) & set(d.children_named("authd-helper")),
             "other helpers")


def test_helpers_are_made_all_the_same(hanging):
    d = hanging("authsqliterc")
    assert d.login() == record()
    d.hang()
    kill_helpers(d)
    assert d.waits()
    assert d.login() == TEMPORARY
    d.flag.unlink()
    wait_for(lambda: d.login() == record(), "the files' return")


def test_a_helper_that_waits_is_ended(hanging):
    d = hanging("authsqliterc")
    assert d.login() == record()
    d.hang()
    assert d.login() == TEMPORARY
    wait_for(lambda: "hangs, is ended" in d.log(), "its end")
    wait_for(lambda: len(d.children_named("authd-helper")) == HELPERS,
             "another one")
    d.flag.unlink()
    wait_for(lambda: d.login() == record(), "the files' return")


def test_it_ends_when_told_to(hanging):
    d = hanging("authsqliterc")
    d.hang()
    kill_helpers(d)
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(support.PATIENCE) == 0
    assert not (d.var / "socket").exists()
    d.process = None


def test_the_table_can_be_taken_out(hanging):
    """A keeper that makes a watch, or is to, hears of a reload."""
    d = hanging("users.sqlite", "authsqlite authuserdb")
    d.write("userdb", f"{JOE}\tuid=5000|gid=5000|home=/home/vmail|"
            f"mail=example.com/joe/|quota=10000000S|systempw={SECRET}\n")
    os.chmod(d.conf / "userdb", 0o600)
    d.hang()
    assert d.login() == TEMPORARY
    assert d.waits()
    rc = (d.conf / "authdaemonrc").read_text()
    d.write("authdaemonrc", rc.replace("authsqlite authuserdb", "authuserdb"))
    d.reload()
    wait_for(lambda: d.login() == record(PASSWD=SECRET), "the other table")


def test_a_reload_that_waits_changes_nothing(hanging):
    """It is given up some time, and the next one counts."""
    d = hanging("/authlib/authsqliterc")
    os.rename(d.conf / "authsqliterc", d.conf / "later")
    d.hang()
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "can't be read within" in d.log(), "its end")
    os.rename(d.conf / "later", d.conf / "authsqliterc")
    d.flag.unlink()
    d.reload()
    wait_for(lambda: d.login() == record(), "the files' return")
