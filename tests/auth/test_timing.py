"""An unknown user and a wrong password take the same time: on the wire, by the
fixed delay, and in the helpers, by the same work."""

import statistics
import time

import pytest

import support
from scram import Scram
from support import JOE, b64

TRIES = 6
FORMS = {
    "clear": {"clear": "secret"},
    "sha512": {"crypt": "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5"
                        "WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg=="},
    "bcrypt": {"crypt": "$2b$09$abcdefghijklmnopqrstuuHGaj8X0gyV0nNYEM.J5pTQDq"
                        "3AfkM3W"},
}


@pytest.fixture(scope="module")
def undelayed(directory, table):
    """One helper, so that each answer is alone, and no delay."""
    d = support.Authdaemond(directory + "/t", "authsqlite",
                            AUTH_FAILURE_DELAY=0)
    with open(d.conf / "authdaemonrc", "a", encoding="ascii") as f:
        f.write("daemons=1\nDEBUG_LOGIN=0\n")
    d.write("authsqliterc", table.rc())
    d.start()
    yield d
    d.stop()


def quick(times):
    """What the quicker tenth of them stayed below: what the work takes, not
    what else this machine does meanwhile."""
    return statistics.quantiles(times, n=10)[0]


def measure(daemon, users, rounds):
    """The time of a refusal, the users taken in turn."""
    times = {user: [] for user in users}
    for i in range(rounds):
        for user in users:
            begun = time.perf_counter()
            assert daemon.login(user, f"wrong{i}") == b"FAIL\n"
            times[user].append(time.perf_counter() - begun)
    return [quick(times[user]) for user in users]


@pytest.mark.parametrize("form", FORMS)
def test_same_work(undelayed, table, form):
    table.add("there", **{"clear": "", **FORMS[form]})
    assert undelayed.login("there", "secret").startswith(b"UID=")
    for _ in range(TRIES):
        there, nobody = measure(undelayed, ("there", "nobody"),
                                15 if form == "bcrypt" else 100)
        # The rest is noise of this machine; a hash that is left out isn't.
        if abs(there - nobody) < max(0.05 * there, 0.0001):
            return
    raise AssertionError(f"{form}: {there * 1000:.3f} ms for a user, "
                         f"{nobody * 1000:.3f} ms for nobody")


def test_same_delay(daemon):
    """What a client can see: the delay, whatever the table did."""
    with daemon.sasl("../postfix") as c:
        c.handshake()
        for n in range(TRIES):
            seen = {}
            for i, user in enumerate((JOE, "nobody") * 5):
                begun = time.perf_counter()
                c.plain(100 * n + i, user, "wrong")
                assert c.line().startswith("FAIL")
                seen.setdefault(user, []).append(time.perf_counter() - begun)
            there, nobody = map(min, seen.values())
            if abs(there - nobody) < 0.05 * there:
                return
    raise AssertionError(f"{there * 1000:.3f} ms for a user, "
                         f"{nobody * 1000:.3f} ms for nobody")


def test_same_scram(undelayed, table):
    """SCRAM's first answer comes of the same work too: within 5 % or what a
    busy machine makes of it, in one of some tries."""
    for _ in range(TRIES):
        seen = {JOE: [], "nobody": []}
        with undelayed.sasl() as c:
            c.handshake()
            for i in range(200):
                user = (JOE, "nobody")[i % 2]
                first = b64(Scram("SCRAM-SHA-256", user, "x").first())
                begun = time.perf_counter()
                c.send("AUTH", i, "SCRAM-SHA-256", "service=smtp",
                       "resp=" + first)
                assert c.line().startswith("CONT")
                seen[user].append(time.perf_counter() - begun)
        there, nobody = map(quick, seen.values())
        if abs(there - nobody) < max(0.05 * there, 0.0001):
            return
    raise AssertionError(f"{there * 1000:.3f} ms for a user, "
                         f"{nobody * 1000:.3f} ms for nobody")
