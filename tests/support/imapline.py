"""IMAP by lines: commands as they are written, answers as they come."""
import re
import socket


class Client:
    """A connection that is logged in. Use as a context."""

    def __init__(self, port, user, password):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.socket.makefile("rwb")
        self.n = 0
        self.file.readline()
        self.ok(f'LOGIN "{user}" "{password}"')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def command(self, text):
        """The lines of the answer, the last one without its tag."""
        self.n += 1
        tag = f"a{self.n} "
        self.file.write((tag + text + "\r\n").encode("latin-1"))
        self.file.flush()
        lines = []
        while True:
            line = self.file.readline()
            assert line, (text, lines)
            literal = re.search(rb"\{(\d+)\}\r\n$", line)
            if literal:
                line += self.file.read(int(literal.group(1)))
            line = line.decode("latin-1").rstrip("\r\n")
            if line.startswith(tag):
                return lines + [line[len(tag):]]
            lines.append(line)

    def ok(self, text):
        lines = self.command(text)
        assert lines[-1].startswith("OK"), (text, lines)
        return lines

    def append(self, mailbox, message):
        self.ok(f'APPEND "{mailbox}" {{{len(message)}+}}\r\n'
                + message.decode("latin-1"))
