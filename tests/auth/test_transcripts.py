"""Dialogues in plain text with authdaemond's sockets: see transcripts/README.md."""

import base64
import pathlib
import re
import socket

import pytest

import support

FOLDER = pathlib.Path(__file__).parent / "transcripts"
SOCKETS = {"courier": "socket", "sasl": "../postfix", "login": "login"}


def decode(text):
    """The bytes that a line of a transcript stands for."""
    def escape(match):
        if match[0] == r"\t":
            return "\t"
        return chr(int(match[0][2:], 16))

    def in_base64(match):
        return base64.b64encode(match[1].encode("latin-1")).decode()
    text = re.sub(r"\\t|\\x[0-9a-f]{2}", escape, text)
    return re.sub(r"\{64:([^}]*)\}", in_base64, text).encode("latin-1")


def matches(want, line):
    parts = map(re.escape, decode(want).split(b"<any>"))
    return re.fullmatch(b".+".join(parts), line, re.S)


class Player:
    def __init__(self, daemon, table, name):
        self.daemon, self.table = daemon, table
        self.socket = SOCKETS[name.split("-")[0]]
        self.sock, self.rest = None, b""

    def connect(self):
        if self.sock is None:
            self.sock, self.rest = self.daemon.connect(self.socket), b""

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def line(self):
        """The next line of the server; None at its end."""
        while b"\n" not in self.rest:
            piece = self.sock.recv(65536)
            if not piece:
                assert self.rest == b"", self.rest
                return None
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def add_user(self, text):
        name, *columns = text.split()
        self.table.add(name, **{
            key: decode(value).decode() for key, value in
            (column.split("=", 1) for column in columns)})

    def play(self, line):
        kind, text = line[:2], line[3:]
        if line.startswith("user: "):
            self.add_user(line[6:])
        elif line == "--":
            self.close()
        elif kind in ("C:", "C-"):
            self.connect()
            self.sock.sendall(decode(text) + (b"\n" if kind == "C:" else b""))
        elif line == "C! half-close":
            self.sock.shutdown(socket.SHUT_WR)
        elif kind == "S:":
            got = self.line()
            assert got is not None and matches(text, got), got
        elif line == "S! close":
            assert self.line() is None
        else:
            raise AssertionError("no line of a transcript")


@pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.txt")))
def test_transcript(daemon, table, name):
    player = Player(daemon, table, name)
    text = (FOLDER / f"{name}.txt").read_text()
    try:
        for number, line in enumerate(text.splitlines(), 1):
            if line and not line.startswith("#"):
                try:
                    player.play(line)
                except (AssertionError, OSError) as error:
                    raise AssertionError(
                        f"{name}.txt:{number}: {line}\n{error!r}") from error
    finally:
        player.close()
        table.add(support.JOE, clear="secret")
