#!/usr/bin/python3
"""Many connections that don't log in, and what one costs who does.

N connections, half of them to IMAP and half to POP3, from as many addresses
as MAXPERIP asks for (127.0.1.1 and on, 50 each), in five kinds: silent; a byte
of a command every ten seconds; the same with a line of 8000 bytes before;
silent after a ClientHello; silent in the middle of a ClientHello of 16 KiB.
While they are there, others log in to each service one after the other.  The
report has the memory of all of the server's processes (PSS) without and with
them, and the time from connect to the OK of the login.

Needs root.  What is not as by default: the times within which a client must
log in or end its handshake are so long that no connection ends meanwhile, and
if the limit of descriptors is lower than the unit's (LimitNOFILE) and can't be
raised, there are more login processes.
"""
import argparse
import multiprocessing
import os
import resource
import selectors
import shutil
import socket
import ssl
import statistics
import time
from pathlib import Path

import bench
import mails
import servers
import usage

USER = "joe@example.com"
PER_ADDRESS = 50
DRIP_SECONDS = 10
CROWDS = 4
STAY_SECONDS = 600
IP_BIND_ADDRESS_NO_PORT = 24


class Postern(servers.Postern):
    """All four services."""

    login_processes = 0     # as many as by default

    def configure(self):
        commands = super().configure()
        conf = self.run / "etc"
        self.ports = {"imap": self.port, "imaps": self.tls_port,
                      "pop3": servers.free_port(),
                      "pop3s": servers.free_port()}
        (conf / "imapd").write_text(
            (conf / "imapd").read_text().replace("MAXPERIP=20000\n", ""))
        (conf / "pop3d").write_text(f"""\
ADDRESS=127.0.0.1
PORT={self.ports["pop3"]}
POP3DSTART=YES
PIDFILE={self.run}/run/pop3d.pid
POP3_TLS_REQUIRED=0
""")
        (conf / "pop3d-ssl").write_text(f"""\
SSLADDRESS=127.0.0.1
SSLPORT={self.ports["pop3s"]}
POP3DSSLSTART=YES
SSLPIDFILE={self.run}/run/pop3d-ssl.pid
TLS_CERTFILE={self.run}/cert.pem
""")
        with open(conf / "postern", "a", encoding="ascii") as f:
            f.write(f"LOGIN_TIMEOUT={STAY_SECONDS}\n"
                    f"TLS_HANDSHAKE_TIMEOUT={STAY_SECONDS}\n")
            if self.login_processes:
                f.write(f"LOGIN_PROCESSES={self.login_processes}\n")
        return commands


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def hello(version=None):
    """The first bytes of a handshake."""
    context = client_context()
    if version is not None:
        context.maximum_version = version
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out,
                         server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


def half_a_hello():
    """All but the last byte of one that is as long as a record may be."""
    n = 16384
    return (b"\x16\x03\x01" + n.to_bytes(2, "big") + b"\x01" +
            (n - 4).to_bytes(3, "big") + bytes(n - 5))


def long_hello():
    """The beginning of one of several records."""
    n = 131396
    return (b"\x16\x03\x01" + (16384).to_bytes(2, "big") + b"\x01" +
            n.to_bytes(3, "big") + bytes(16380) + b"\x16\x03\x01\x40\0")


# Kind: services, what is sent to either at the beginning, what drips.
KINDS = {
    "silent": (("imap", "pop3"), (b"", b""), False),
    "dripping": (("imap", "pop3"), (b"a LOGIN joe", b"USER "), True),
    "dripping, 8000 before": (
        ("imap", "pop3"), (b"a LOGIN " + b"x" * 7992,
                           b"USER " + b"x" * 7995), True),
    "TLS, silent": (("imaps", "pop3s"), (b"", b""), False),
    "TLS 1.3 after hello": (("imaps", "pop3s"), (hello(),) * 2, False),
    "TLS 1.2 after hello": (
        ("imaps", "pop3s"), (hello(ssl.TLSVersion.TLSv1_2),) * 2, False),
    "TLS, hello of 16 KiB": (("imaps", "pop3s"), (half_a_hello(),) * 2,
                             False),
    "TLS, hello of 128 KiB": (("imaps", "pop3s"), (long_hello(),) * 2,
                              False),
}


def connect(k, port):
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    address = k // PER_ADDRESS + 1
    sock.bind((f"127.0.{1 + address // 250}.{1 + address % 250}", 0))
    sock.connect(("127.0.0.1", port))
    return sock


def crowd(kind, ports, begin, n, pipe):
    """A process: n of them, until the pipe says something."""
    services, first, drips = KINDS[kind]
    held, waiting = [], selectors.DefaultSelector()
    for k in range(begin, begin + n):
        port = ports[services[k % 2]]
        # the services count each address on their own
        sock = connect(k // 2, port)
        if first[k % 2]:
            sock.sendall(first[k % 2])
        held.append(sock)
        waiting.register(sock, selectors.EVENT_READ)
    pipe.send("there")
    ended, at = 0, 0
    while not pipe.poll(0.05):
        for _ in range(int(n / DRIP_SECONDS * 0.05) if drips else 0):
            try:
                held[at % n].sendall(b"y")
            except OSError:
                pass  # read below
            at += 1
        for key, _ in waiting.select(0):
            try:
                gone = not key.fileobj.recv(65536)
            except OSError:
                gone = True
            if gone:
                waiting.unregister(key.fileobj)
                ended += 1
    pipe.send(ended)


def until(sock, start):
    held = b""
    while not (held.endswith(b"\r\n") and
               held[held.rfind(b"\r\n", 0, -2) + 2 if held.count(b"\r\n") > 1
                    else 0:].startswith(start)):
        got = sock.recv(65536)
        if not got:
            raise ConnectionError("closed by the server")
        held += got


def log_in(service, port, context):
    """ms from connect() to the OK."""
    begin = time.perf_counter()
    sock = socket.create_connection(("127.0.0.1", port), 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if service.endswith("s"):
        sock = context.wrap_socket(sock)
    if service.startswith("imap"):
        until(sock, b"* OK")
        sock.sendall(f"a LOGIN {USER} {servers.PASSWORD}\r\n".encode())
        until(sock, b"a OK")
    else:
        until(sock, b"+OK")
        sock.sendall(f"USER {USER}\r\n".encode())
        until(sock, b"+OK")
        sock.sendall(f"PASS {servers.PASSWORD}\r\n".encode())
        until(sock, b"+OK")
    took = (time.perf_counter() - begin) * 1000
    sock.close()
    return took


def logins(server, n):
    """{clear, TLS: times of n logins by IMAP and n by POP3}."""
    context = client_context()
    return {kind: sorted(log_in(service, server.ports[service], context)
                         for _ in range(n) for service in services)
            for kind, services in (("clear", ("imap", "pop3")),
                                   ("TLS", ("imaps", "pop3s")))}


def times(found):
    return "".join(f"{statistics.median(t):10.1f}"
                   f"{t[int(len(t) * 0.99)]:10.1f}{t[-1]:10.1f}"
                   for t in found.values())


class Crowd:
    """All of them, in processes that don't disturb who measures."""

    def __init__(self, kind, server, number):
        self.pipes, self.processes = [], []
        each = number // CROWDS
        for begin in range(0, each * CROWDS, each):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(
                target=crowd, args=(kind, server.ports, begin, each, theirs))
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()

    def end(self):
        """How many the server had ended."""
        for pipe in self.pipes:
            pipe.send("end")
        ended = sum(pipe.recv() for pipe in self.pipes)
        for process in self.processes:
            process.join()
        return ended


def measure(server, kind, args):
    alone = logins(server, args.logins)
    base = usage.settled_pss(server.pid) / 1024
    begin = time.monotonic()
    them = Crowd(kind, server, args.number)
    bench.note(f"{kind}: all there after {time.monotonic() - begin:.1f} s")
    usage.settled_cpu(server.pid, 60)
    found = logins(server, args.logins)
    pss = usage.settled_pss(server.pid, 5) / 1024
    n = args.number - them.end()
    each = f"{(pss - base) / n:10.2f}" if n else f"{'-':>10}"
    return [f"{kind:24}{n:8}{base:10.0f}{pss:10.0f}{each}{times(found)}",
            f"{'  alone':62}{times(alone)}"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--builddir", default=".", type=Path)
    p.add_argument("--number", default=20000, type=int)
    p.add_argument("--logins", default=150, type=int,
                   help="for each service, without and with them (150)")
    p.add_argument("--kind", action="append", default=[], choices=KINDS)
    return p.parse_args()


def raise_limit(wanted):
    """The limit of descriptors, for us and the server: as near as can be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        return wanted
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard


def main():
    args = arguments()
    files = raise_limit(2 * args.number + 10000)
    work = args.builddir.resolve() / "bench-work"
    work.mkdir(parents=True, exist_ok=True)
    bench.check_place(work)
    server = Postern(work)
    if files < 2 * args.number:
        server.login_processes = 2 + 2 * args.number // files
        bench.note(f"{files} descriptors: LOGIN_PROCESSES="
                   f"{server.login_processes}")
    server.run = work / "slow"
    server.home = server.run / "mail"
    server.table = server.run / "users.sqlite"
    server.log = server.run / "log"
    shutil.rmtree(server.run, ignore_errors=True)
    server.run.mkdir(parents=True)
    corpus = work / "corpus"
    mails.make_corpus(corpus, 100)
    mails.fill(server.home / "joe" / "Maildir", corpus, 0, 100)
    for path in [server.home, *server.home.rglob("*")]:
        os.chown(path, servers.MAIL_UID, servers.MAIL_UID)
    server.prepare()
    lines = [f"{'':24}{'':8}{'without':>10}{'with':>10}{'KiB':>10}"
             + "".join(f"{'ms, ' + kind:>10}{'':20}"
                       for kind in ("clear", "TLS")),
             f"{'':24}{'number':>8}{'KiB':>10}{'KiB':>10}{'each':>10}"
             + f"{'median':>10}{'p99':>10}{'most':>10}" * 2]
    for kind in args.kind or KINDS:
        server.start([(USER, server.home / "joe")])
        try:
            lines += measure(server, kind, args)
        finally:
            server.stop()
    text = "\n".join(lines) + "\n"
    (work / "slow.txt").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
