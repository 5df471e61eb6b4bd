"""A client that reads FETCH responses into Python values: a list for each
parenthesis, bytes for a string, None for NIL, str for an atom."""

import re
import socket

ATOM = re.compile(rb"[^\s()\"{]+(?:\[[^\]]*\])?(?:<\d+>)?")
LITERAL = re.compile(rb"~?\{(\d+)\}\r\n")
QUOTED = re.compile(rb'"((?:[^"\\\r\n]|\\.)*)"')


class Bad(Exception):
    """The response isn't in IMAP's grammar."""


def value(data, at):
    """The value that begins at data[at], and where it ends."""
    if data[at:at + 1] == b"(":
        return listed(data, at + 1)
    match = LITERAL.match(data, at)
    if match:
        end = match.end() + int(match.group(1))
        if end > len(data):
            raise Bad("a literal ends behind the response")
        return data[match.end():end], end
    match = QUOTED.match(data, at)
    if match:
        return re.sub(rb"\\(.)", rb"\1", match.group(1)), match.end()
    match = ATOM.match(data, at)
    if match is None:
        raise Bad(f"no value: {data[at:at + 40]!r}")
    word = match.group().decode("latin-1")
    return (None if word.upper() == "NIL" else word), match.end()


def listed(data, at):
    """What stands before the parenthesis that closes."""
    stack = [[]]
    while stack:
        c = data[at:at + 1]
        if c == b"(":
            stack.append([])
            at += 1
        elif c == b")":
            done = stack.pop()
            at += 1
            if not stack:
                return done, at
            stack[-1].append(done)
        elif c == b" ":
            at += 1
        elif not c:
            raise Bad("a parenthesis is not closed")
        else:
            one, at = value(data, at)
            stack[-1].append(one)
    raise Bad("unreachable")


def items(data, at):
    """The (name, value) pairs of "(…)"; names upper, partial left out."""
    assert data[at:at + 1] == b"(", data[at:at + 40]
    found, at = {}, at + 1
    while data[at:at + 1] != b")":
        end = at
        depth = 0
        while depth or data[end:end + 1] != b" ":
            depth += data[end:end + 1] == b"["
            depth -= data[end:end + 1] == b"]"
            end += 1
            if end >= len(data):
                raise Bad("a response breaks off")
        name = data[at:end].decode("latin-1").upper()
        found[name], at = value(data, end + 1)
        if data[at:at + 1] == b" ":
            at += 1
    return found, at + 1


class Client:
    """A session; fetch() gives what was answered for each message."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.sock.makefile("rb")
        self.file.readline()
        self.n = 0

    def close(self):
        self.file.close()
        self.sock.close()

    def response(self):
        """The next line with all its literals."""
        text = b""
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("closed by the server")
            text += line
            match = re.search(rb"\{(\d+)\}\r\n$", line)
            if match is None:
                return text
            text += self.file.read(int(match.group(1)))

    def do(self, command):
        """Its untagged responses; fails unless it is OK."""
        found, tagged = self.ask(command)
        if not tagged.startswith(b"OK"):
            raise AssertionError(f"{command}: {tagged!r}")
        return found

    def ask(self, command):
        self.n += 1
        tag = f"t{self.n}".encode()
        self.sock.sendall(tag + b" " + command.encode() + b"\r\n")
        found = []
        while True:
            text = self.response()
            if text.startswith(tag + b" "):
                return found, text[len(tag) + 1:]
            found.append(text)

    def fetch(self, numbers, what):
        """{sequence number: {item: value}}"""
        answers, tagged = self.ask(f"FETCH {numbers} ({what})")
        found = {}
        for text in answers:
            match = re.match(rb"\* (\d+) FETCH ", text)
            if match is None:
                continue
            pairs, end = items(text, match.end())
            if text[end:] != b"\r\n":
                raise Bad(f"behind the response: {text[end:]!r}")
            found.setdefault(int(match.group(1)), {}).update(pairs)
        return found, tagged
