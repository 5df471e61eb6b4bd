"""What is measured: each case is a function (server, round, meter, sizes).

It does what is not measured (logging in, selecting), then its work inside of
`with meter:`, and returns how many bytes the server has sent, if the servers
should agree in that.  CASES holds them in the order of the report.
"""
import random
import socket

import mails

JOE = "joe@example.com"
LOGINS = 100
OPENS = 50
SELECTS = 20
APPENDS = 100
WHOLE = 1000
STORES = 1000
HEADERS = "FROM TO CC SUBJECT DATE MESSAGE-ID CONTENT-TYPE"

CASES = {}


def case(title):
    def keep(function):
        CASES[title] = function
        return function
    return keep


def session(server, mailbox="INBOX"):
    client = server.client(JOE)
    client.do(f"SELECT {mailbox}")
    client.received = 0
    return client


@case(f"login and logout, {LOGINS} times")
def login(server, _round, meter, _sizes):
    with meter:
        for _ in range(LOGINS):
            server.client(JOE).logout()


@case(f"login, SELECT INBOX, logout, {OPENS} times")
def opening(server, _round, meter, _sizes):
    with meter:
        for _ in range(OPENS):
            session(server).logout()


@case(f"SELECT INBOX and back, {SELECTS} times")
def select(server, _round, meter, _sizes):
    client = session(server, "INBOX.Small")
    with meter:
        for _ in range(SELECTS):
            client.do("SELECT INBOX")
            client.do("SELECT INBOX.Small")
    client.logout()


@case("login, SELECT after 10 deliveries")
def delivered(server, round_, meter, sizes):
    """What a client finds in the morning: the folder has changed."""
    server.deliver("joe", 10, f"r{round_}")
    with meter:
        client = session(server)
        client.do(f"FETCH {sizes.messages + 1}:* (UID FLAGS)")
        client.logout()


@case("FETCH (FLAGS), 20 times")
def fetch_flags(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        for _ in range(20):
            client.do("FETCH 1:* (FLAGS)")
    client.logout()
    return client.received


@case("FETCH (ENVELOPE BODYSTRUCTURE), never read before")
def fetch_first(server, round_, meter, _sizes):
    client = server.client(JOE)
    client.received = 0
    with meter:
        client.do(f"SELECT INBOX.Cold{round_}")
        client.do("FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
    client.logout()
    return client.received


@case("FETCH (ENVELOPE BODYSTRUCTURE), read before")
def fetch_again(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        client.do("FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
    client.logout()
    return client.received


@case("FETCH header fields")
def fetch_headers(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        client.do(f"FETCH 1:* (BODY.PEEK[HEADER.FIELDS ({HEADERS})])")
    client.logout()
    return client.received


@case(f"FETCH whole mails, at most {WHOLE}")
def fetch_whole(server, _round, meter, sizes):
    client = session(server)
    with meter:
        client.do(f"FETCH 1:{min(WHOLE, sizes.messages)} (BODY.PEEK[])")
    client.logout()
    return client.received


@case("SEARCH UNSEEN UNANSWERED, 20 times")
def search_flags(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        for _ in range(20):
            client.do("SEARCH UNSEEN UNANSWERED")
    client.logout()
    return client.received


@case("SEARCH SUBJECT")
def search_subject(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        client.do(f"SEARCH SUBJECT {mails.RARE}")
    client.logout()
    return client.received


@case("SEARCH BODY")
def search_body(server, _round, meter, _sizes):
    client = session(server)
    with meter:
        client.do(f"SEARCH BODY {mails.RARE}")
    client.logout()
    return client.received


@case(f"STORE on and off, at most {STORES} mails")
def store(server, _round, meter, sizes):
    client = session(server)
    which = f"1:{min(STORES, sizes.messages)}"
    with meter:
        client.do(rf"STORE {which} +FLAGS.SILENT (\Answered)")
        client.do(rf"STORE {which} -FLAGS.SILENT (\Answered)")
    client.logout()


@case(f"APPEND, {APPENDS} mails one after the other")
def append(server, round_, meter, _sizes):
    """Postern and Dovecot sync each to the disk, Courier does not."""
    texts = [mails.message(random.Random(i), i).replace(b"\n", b"\r\n")
             for i in range(APPENDS)]
    client = session(server, f"INBOX.Cold{round_}")
    with meter:
        for text in texts:
            client.append(f"INBOX.Cold{round_}", text)
    client.logout()


def open_idle(server, first, n):
    """n sessions of n accounts, with INBOX selected, in IDLE."""
    clients = []
    for i in range(first, first + n):
        client = server.client(f"idle{i}@example.com")
        client.do("SELECT INBOX")
        client.idle()
        clients.append(client)
    return clients


def close_idle(clients):
    for client in clients:
        try:
            client.sock.sendall(b"DONE\r\n")
            client.logout()
        except (OSError, socket.timeout):
            client.close()
