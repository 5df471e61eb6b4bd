"""Penalties for guessing, and the cache of verdicts."""

import base64
import contextlib
import hmac
import time

import pytest

import support
from scram import Scram
from support import JOE, record


@pytest.fixture
def own(directory, table):
    """Make an authdaemond with these keys of postern."""
    made = []

    def make(**postern):
        d = support.Authdaemond(f"{directory}/l{time.monotonic_ns()}",
                                "authsqlite", **postern)
        d.write("authsqliterc", table.rc())
        made.append(d)
        return d.start()
    table.add(JOE, clear="secret")
    yield make
    for d in made:
        d.stop()


def login(daemon, password, rip="192.0.2.7", user=JOE):
    request = support.auth_request(user, password)
    begun = time.monotonic()
    answer = daemon.courier(f"TCPREMOTEIP={rip}\n".encode() + request)
    return answer, time.monotonic() - begun


def overtakes_a_guess(daemon, rip):
    """A login from there is answered while a guess waits that came before it;
    on a busy machine not always the first."""
    for i in range(50):
        with daemon.connect() as guess:
            guess.sendall(b"TCPREMOTEIP=192.0.2.7\n" +
                          support.auth_request("user", f"another {i}"))
            assert login(daemon, "secret", rip)[0] == record()
            if not support.readable(guess):
                return True
    return False


def test_guesses_have_to_wait(own):
    d = own(AUTH_PENALTY=1, AUTH_FAILURE_DELAY=0)
    support.in_threads(
        12, lambda i: login(d, f"guess {i}", user=f"user{i}"))
    answer, seconds = login(d, "secret")
    assert answer == record() and seconds > 0.9
    # Somebody else doesn't wait, nor does a trusted network.
    support.in_threads(
        12, lambda i: login(d, f"guess {i}", user=f"user{i}"))
    for rip in ("198.51.100.1", "127.0.0.1", "::1"):
        assert overtakes_a_guess(d, rip), rip


def test_an_old_password_is_no_guess(own):
    d = own(AUTH_PENALTY=60, AUTH_FAILURE_DELAY=0)
    for _ in range(30):
        assert login(d, "old")[0] == b"FAIL\n"
    answer, seconds = login(d, "secret")
    assert answer == record() and seconds < 30


def test_guesses_by_scram_count(own):
    from test_mechanisms import scram as by_scram
    d = own(AUTH_PENALTY=1, AUTH_FAILURE_DELAY=0, AUTH_TRUSTED='""')
    with d.sasl() as c:
        c.handshake()
        for i in range(10):
            line, _ = by_scram(c, i, "SCRAM-SHA-256", JOE, f"guess {i}",
                               "rip=192.0.2.7")
            assert line.startswith("FAIL")
        begun = time.monotonic()
        c.plain(99, JOE, "secret", "rip=192.0.2.9", "nologin")
        assert c.line().startswith("OK")
        assert time.monotonic() - begun > 0.9


def test_the_wait_holds_nothing_up(own):
    """Attempts that wait take no helper from others."""
    d = own(AUTH_PENALTY=3, AUTH_FAILURE_DELAY=0)
    support.in_threads(
        15, lambda i: login(d, f"guess {i}", user=f"user{i}"))
    # On a busy machine their time may be over first.
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(d.connect()) for _ in range(50)]
            for i, s in enumerate(waiting):
                s.sendall(b"TCPREMOTEIP=192.0.2.7\n" +
                          support.auth_request("x", f"y{i}"))
            assert login(d, "secret", "198.51.100.1")[0] == record()
            if not any(support.readable(s) for s in waiting):
                return
    raise AssertionError("it was never answered before those that wait")


# --- the cache ---------------------------------------------------------------

def test_nothing_is_cached_unless_asked_for(own, table):
    d = own()
    assert login(d, "secret")[0] == record()
    table.add(JOE, clear="n3w")
    assert login(d, "secret")[0] == b"FAIL\n"
    assert login(d, "n3w")[0] == record(PASSWD2="n3w")
    table.add(JOE, clear="secret")


def test_cache(own, table):
    d = own(AUTH_CACHE_TIME=60)
    assert login(d, "secret")[0] == record()
    table.add(JOE, clear="n3w")
    assert login(d, "secret")[0] == record()
    # The new password works at once, and with it the old one's time is over.
    assert login(d, "n3w")[0] == record(PASSWD2="n3w")
    assert login(d, "secret")[0] == b"FAIL\n"
    table.add(JOE, clear="secret")


def test_cache_and_passwd(own, table):
    d = own(AUTH_CACHE_TIME=60)
    table.add("changer", clear="old")
    assert login(d, "old", user="changer")[0].startswith(b"UID=")
    assert d.courier(b"PASSWD imap\tchanger\told\tn3w\n") == b"OK\n"
    assert login(d, "old", user="changer")[0] == b"FAIL\n"
    assert login(d, "n3w", user="changer")[0].startswith(b"UID=")


def test_cache_and_passwd_by_another_name(own, table):
    d = own(AUTH_CACHE_TIME=60)
    d.write("authsqliterc", table.rc() + "DEFAULT_DOMAIN example.com\n")
    d.reload()
    table.add("changer@example.com", clear="old")
    support.wait_for(
        lambda: login(d, "old", user="changer")[0].startswith(b"UID="),
        "the new configuration")
    assert d.courier(
        b"PASSWD imap\tchanger@example.com\told\tn3w\n") == b"OK\n"
    assert login(d, "old", user="changer")[0] == b"FAIL\n"
    assert login(d, "n3w", user="changer")[0].startswith(b"UID=")


def test_cache_and_reload(own, table):
    d = own(AUTH_CACHE_TIME=60)
    assert login(d, "secret")[0] == record()
    table.add(JOE, clear="n3w")
    d.reload()
    support.wait_for(lambda: login(d, "secret")[0] == b"FAIL\n", "the end")
    table.add(JOE, clear="secret")


def test_a_wrong_password_is_not_asked_again(own, table):
    d = own(AUTH_CACHE_FAILED_TIME=10)
    assert login(d, "n3w")[0] == b"FAIL\n"
    tries = d.log().count("trying this module")
    for _ in range(5):
        assert login(d, "n3w")[0] == b"FAIL\n"
    assert d.log().count("trying this module") == tries
    assert login(d, "secret")[0] == record()


def test_known_users_get_in_during_an_outage(own):
    d = own(AUTH_CACHE_OUTAGE_TIME=3600)
    assert login(d, "secret")[0] == record()
    rc = (d.conf / "authsqliterc").read_text()
    d.conf.joinpath("authsqliterc").write_text(
        rc.replace("users.sqlite", "away.sqlite"))
    assert login(d, "secret")[0] == record()
    assert login(d, "wrong")[0] == b""
    assert login(d, "secret", user="nobody")[0] == b""
    assert "is judged by what was known" in d.log()
    d.conf.joinpath("authsqliterc").write_text(rc)
    assert login(d, "wrong")[0] == b"FAIL\n"


def cram(c, request_id, user, password):
    c.send("AUTH", request_id, "CRAM-MD5", "service=imap", "nologin")
    challenge = base64.b64decode(c.line().split("\t")[2])
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    c.send("CONT", request_id, support.b64(f"{user} {digest}"))
    return c.line()


def scram(c, request_id, user, password):
    client = Scram("SCRAM-SHA-256", user, password)
    c.send("AUTH", request_id, "SCRAM-SHA-256", "service=imap", "nologin",
           "final-resp-ok", "resp=" + support.b64(client.first()))
    line = c.line()
    if not line.startswith("CONT"):
        return line
    c.send("CONT", request_id, support.b64(client.final(
        base64.b64decode(line.split("\t")[2]).decode())))
    return c.line()


@pytest.mark.parametrize("log_in", [cram, scram])
def test_known_by_mechanism_during_an_outage(own, table, log_in):
    """Who used CRAM or SCRAM is known too; nobody is refused by hearsay."""
    d = own(AUTH_CACHE_OUTAGE_TIME=3600)
    table.add("ann", clear="anns")
    rc = (d.conf / "authsqliterc").read_text()
    with d.sasl() as c:
        c.handshake()
        assert log_in(c, 1, JOE, "secret").startswith(f"OK\t1\tuser={JOE}")
        d.conf.joinpath("authsqliterc").write_text(
            rc.replace("users.sqlite", "away.sqlite"))
        assert log_in(c, 2, JOE, "secret").startswith(f"OK\t2\tuser={JOE}")
        for request_id, user, password in ((3, JOE, "wrong"),
                                           (4, "ann", "anns"),
                                           (5, "nobody", "x")):
            assert log_in(c, request_id, user, password) == \
                f"FAIL\t{request_id}\tuser={user}\ttemp\tcode=temp_fail"
        assert f"{JOE} is judged by what was known" in d.log()
        d.conf.joinpath("authsqliterc").write_text(rc)
        assert log_in(c, 6, JOE, "wrong") == f"FAIL\t6\tuser={JOE}"
        # The table says that the password is another one now.
        table.add(JOE, clear="n3w")
        assert log_in(c, 7, JOE, "n3w").startswith("OK\t7")
        d.conf.joinpath("authsqliterc").write_text(
            rc.replace("users.sqlite", "away.sqlite"))
        assert "temp" in log_in(c, 8, JOE, "secret")
        assert log_in(c, 9, JOE, "n3w").startswith("OK\t9")
    table.add(JOE, clear="secret")


def test_other_keys_end_a_cached_password(own, table):
    """A changed password counts at once where it can be known."""
    d = own(AUTH_CACHE_TIME=60)
    with d.sasl() as c:
        c.handshake()
        for log_in in (cram, scram):
            assert log_in(c, 1, JOE, "secret").startswith("OK")
            assert login(d, "secret")[0] == record()
            table.add(JOE, clear="n3w")
            assert login(d, "secret")[0] == record()
            assert log_in(c, 2, JOE, "n3w").startswith("OK")
            assert login(d, "secret")[0] == b"FAIL\n"
            table.add(JOE, clear="secret")
            assert log_in(c, 3, JOE, "secret").startswith("OK")


def test_services_are_known_side_by_side(own, table):
    d = own(AUTH_CACHE_OUTAGE_TIME=3600)
    for service in ("imap", "pop3", "smtp"):
        assert d.login(service=service) == record()
    rc = (d.conf / "authsqliterc").read_text()
    d.conf.joinpath("authsqliterc").write_text(
        rc.replace("users.sqlite", "away.sqlite"))
    for service in ("imap", "pop3", "smtp"):
        assert d.login(service=service) == record()


def test_nobody_gets_in_during_an_outage_unless_asked_for(own):
    d = own()
    assert login(d, "secret")[0] == record()
    rc = (d.conf / "authsqliterc").read_text()
    d.conf.joinpath("authsqliterc").write_text(
        rc.replace("users.sqlite", "away.sqlite"))
    assert login(d, "secret")[0] == b""
