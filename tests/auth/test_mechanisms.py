"""CRAM and SCRAM over the sockets, with a client written from the RFCs."""

import base64
import hashlib
import hmac
import os
import time

import pytest

import support
from scram import Scram
from support import FAILURE_MS, JOE, b64, record

EXPORTER = os.urandom(32)


def scram(conn, request_id, name, user, password, *fields, **options):
    """The reply to the last message, and the exchange."""
    client = Scram(name, user, password, **options)
    conn.send("AUTH", request_id, name, "service=imap", *fields,
              "resp=" + b64(client.first()))
    line = conn.line()
    if not line.startswith("CONT"):
        return line, client
    server_first = base64.b64decode(line.split("\t")[2]).decode()
    conn.send("CONT", request_id, b64(client.final(server_first)))
    return conn.line(), client


@pytest.fixture
def postfix(daemon):
    with daemon.sasl("../postfix") as c:
        c.handshake()
        yield c


@pytest.fixture
def login(daemon):
    with daemon.tickets() as master, daemon.sasl() as c:
        c.handshake()
        c.master = master
        yield c


NAMES = ("SCRAM-SHA-1", "SCRAM-SHA-256")


@pytest.mark.parametrize("name", NAMES)
def test_scram(postfix, name):
    """Postfix's way: the last message is a challenge of its own."""
    line, client = scram(postfix, 1, name, JOE, "secret")
    assert line == f"CONT\t1\t{b64(client.verifier)}"
    postfix.send("CONT", 1, "")
    assert postfix.line() == f"OK\t1\tuser={JOE}"
    assert client.iterations >= 4096


@pytest.mark.parametrize("name", NAMES)
def test_scram_with_the_last_message_in_ok(login, name):
    line, client = scram(login, 1, name, JOE, "secret", "final-resp-ok")
    ticket = login.master.next()["ticket"].hex()
    assert line == (f"OK\t1\tuser={JOE}\tresp={b64(client.verifier)}"
                    f"\tticket={ticket}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("user, password", [
    (JOE, "wrong"), ("nobody@example.com", "secret")])
def test_scram_refused(postfix, name, user, password):
    """Both look the same, up to the end and in time."""
    begun = time.monotonic()
    line, client = scram(postfix, 1, name, user, password)
    assert line == f"FAIL\t1\tuser={user}"
    assert time.monotonic() - begun >= FAILURE_MS / 1000 * 0.9
    salts = {client.salt}
    for i in range(2, 4):
        salts.add(scram(postfix, i, name, user, password)[1].salt)
    assert len(salts) == 1


def test_scram_salts_differ_by_user(postfix):
    salts = {scram(postfix, i, "SCRAM-SHA-256", f"user{i}", "x")[1].salt
             for i in range(3)}
    assert len(salts) == 3


@pytest.mark.parametrize("name", NAMES)
def test_scram_plus(login, name):
    field = "tls-exporter=" + b64(EXPORTER)
    for request_id, binding, want in (
            (1, EXPORTER, "OK"), (2, b"else", "FAIL")):
        line, _ = scram(login, request_id, name + "-PLUS", JOE, "secret",
                        field, "final-resp-ok",
                        header="p=tls-exporter,,", binding=binding)
        assert line.split("\t")[0] == want
    # Another kind of binding.
    line, _ = scram(login, 3, name + "-PLUS", JOE, "secret", field,
                    "tls-server-end-point=" + b64("hash"), "final-resp-ok",
                    header="p=tls-server-end-point,,", binding=b"hash")
    assert line.startswith("OK")
    # Without TLS there is nothing to bind to.
    line, _ = scram(login, 4, name + "-PLUS", JOE, "secret",
                    header="p=tls-exporter,,", binding=EXPORTER)
    assert line.startswith("FAIL")


def test_scram_downgrade(login):
    """A client that was told of no -PLUS where there is one."""
    line, _ = scram(login, 1, "SCRAM-SHA-256", JOE, "secret",
                    "tls-exporter=" + b64(EXPORTER), header="y,,")
    assert line.startswith("FAIL")


@pytest.mark.parametrize("name", NAMES)
def test_stored_keys(daemon, table, postfix, name):
    """{SCRAM-…} keys: for SCRAM with that hash, and for PLAIN."""
    table.add("verifier", crypt=f"{{{name}}}x")
    salted = hashlib.pbkdf2_hmac("sha1" if name == NAMES[0] else "sha256",
                                 b"secret", b"salt of ours", 5000)
    client = Scram(name, "verifier", "secret")
    stored = hashlib.new(client.hash, client.mac(salted, "Client Key"))
    keys = (f"{{{name}}}5000,{b64('salt of ours')},{b64(stored.digest())},"
            f"{b64(client.mac(salted, 'Server Key'))}")
    table.add("verifier", crypt=keys)
    line, client = scram(postfix, 1, name, "verifier", "secret")
    assert line == f"CONT\t1\t{b64(client.verifier)}"
    assert client.iterations == 5000
    other = NAMES[1 - NAMES.index(name)]
    line, _ = scram(postfix, 2, other, "verifier", "secret")
    assert line.startswith("FAIL")
    assert daemon.login("verifier") == \
        record(ADDRESS="verifier", PASSWD=keys)
    assert daemon.login("verifier", "wrong") == b"FAIL\n"


def test_scram_with_a_hash_only(table, postfix):
    table.add("md5only", crypt="{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69")
    line, _ = scram(postfix, 1, "SCRAM-SHA-256", "md5only", "secret")
    assert line == "FAIL\t1\tuser=md5only"


def test_scram_while_a_row_is_unusable(table, login):
    table.add("unusable", clear="secret", uid=0)
    line, _ = scram(login, 1, "SCRAM-SHA-256", "unusable", "secret")
    assert line == "FAIL\t1\tuser=unusable\ttemp\tcode=unusable"
    line, _ = scram(login, 2, "SCRAM-SHA-256", "unusable", "wrong")
    assert line == "FAIL\t2\tuser=unusable"


def test_scram_without_initial_response(postfix):
    postfix.send("AUTH", 1, "SCRAM-SHA-256", "service=smtp")
    assert postfix.line() == "CONT\t1\t"


# --- CRAM ----------------------------------------------------------------

HASHES = {"CRAM-MD5": "md5", "CRAM-SHA1": "sha1", "CRAM-SHA256": "sha256"}


@pytest.mark.parametrize("name", HASHES)
def test_cram(postfix, name):
    seen = set()
    for request_id, password in ((1, "secret"), (2, "wrong")):
        postfix.send("AUTH", request_id, name, "service=smtp")
        challenge = base64.b64decode(postfix.line().split("\t")[2])
        assert challenge.startswith(b"<") and challenge.endswith(b">")
        seen.add(challenge)
        digest = hmac.new(password.encode(), challenge, HASHES[name])
        postfix.send("CONT", request_id, b64(f"{JOE} {digest.hexdigest()}"))
        want = "OK" if password == "secret" else "FAIL"
        assert postfix.line() == f"{want}\t{request_id}\tuser={JOE}"
    assert len(seen) == 2


@pytest.mark.parametrize("name", HASHES)
def test_cram_over_couriers_socket(daemon, name):
    """The front end makes the challenge there."""
    challenge = b"<0123456789ABCDEF0123456789ABCDEF@mail.example.com>"
    for password, want in ((b"secret", record()), (b"wrong", b"FAIL\n")):
        digest = hmac.new(password, challenge, HASHES[name]).hexdigest()
        body = (f"imap\n{name.lower()}\n{b64(challenge)}\n"
                f"{b64(f'{JOE} {digest}')}\n").encode()
        assert daemon.courier(b"AUTH %d\n" % len(body) + body) == want


def test_the_example_of_the_protocol_text(daemon):
    body = (b"imap\ncram-md5\n"
            b"PDAxMjM0NTY3ODlBQkNERUYwMTIzNDU2Nzg5QUJDREVGQG1haWwuZXhhbXBsZS5"
            b"jb20+\n"
            b"am9lQGV4YW1wbGUuY29tIGZiN2RmODhjNDY5YjAwMmQ3MzM3Yzc3YjkyMzRlOWE"
            b"1\n")
    assert len(body) == 148
    assert daemon.courier(b"AUTH 148\n" + body) == record()


@pytest.mark.parametrize("resp", ["", "!", b64("joe"), b64(" "), b64("joe "),
                                  b64("\0 " + "a" * 32),
                                  b64(f"{JOE} 0123\0" + "a" * 27)])
def test_bad_cram(postfix, resp):
    postfix.send("AUTH", 1, "CRAM-MD5", "service=smtp")
    postfix.line()
    postfix.send("CONT", 1, resp)
    assert postfix.line().startswith("FAIL\t1")


# --- what is offered -------------------------------------------------------

def offered(conn):
    return [line.split("\t")[1] for line in conn.handshake()
            if line.startswith("MECH\t")]


def test_offered(daemon):
    both = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-SHA256", "CRAM-SHA1",
            "CRAM-MD5", "PLAIN", "LOGIN"]
    with daemon.sasl("../postfix") as c:
        assert offered(c) == both
    with daemon.sasl() as c:
        assert offered(c) == [
            "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", *both, "EXTERNAL"]


def test_offered_without_clear_passwords(directory, table):
    """Only what can work."""
    d = support.Authdaemond(directory + "/hashed", "authsqlite")
    d.write("authsqliterc", table.rc().replace(
        "SQLITE_CLEAR_PWFIELD clear", "SQLITE_CLEAR_PWFIELD ''"))
    d.start()
    try:
        with d.sasl() as c:
            assert offered(c) == ["PLAIN", "LOGIN", "EXTERNAL"]
            c.send("AUTH", 1, "CRAM-MD5", "service=imap")
            assert c.line().startswith("FAIL\t1\treason=")
    finally:
        d.stop()
