"""An IMAP client that costs little: it sends, and waits for the tag."""
import socket


class Refused(Exception):
    """A command was not answered by OK."""


class Imap:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.space = bytearray(1 << 18)
        self.view = memoryview(self.space)
        self.n = 0
        self.received = 0
        self.until(b"* ")

    def close(self):
        self.sock.close()

    def until(self, start):
        """
        Read until the last line begins with start; that line.  What came
        before it is dropped, so that the size of an answer doesn't matter:
        only the end of what has been read is looked at.
        """
        held = b""
        while True:
            # A late acknowledgement makes a server that lacks TCP_NODELAY
            # wait 40 ms: that is not what is to be measured.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            n = self.sock.recv_into(self.space)
            if n == 0:
                raise ConnectionError("closed by the server")
            self.received += n
            held = (held + bytes(self.view[max(0, n - 4096):n]))[-4096:]
            if not held.endswith(b"\r\n"):
                continue
            line = held[held.rfind(b"\r\n", 0, -2) + 2:] \
                if held.count(b"\r\n") > 1 else held
            if line.startswith(start):
                return line

    def send(self, text):
        """Send a command; its tag."""
        self.n += 1
        tag = b"a%d" % self.n
        self.sock.sendall(tag + b" " + text.encode() + b"\r\n")
        return tag

    def finish(self, tag):
        line = self.until(tag + b" ")
        if not line.startswith(tag + b" OK"):
            raise Refused(line.decode(errors="replace").strip())

    def do(self, text):
        self.finish(self.send(text))

    def login(self, user, password):
        self.do(f"LOGIN {user} {password}")

    def append(self, mailbox, message):
        tag = self.send(f"APPEND {mailbox} {{{len(message)}}}")
        self.until(b"+ ")
        self.sock.sendall(message + b"\r\n")
        self.finish(tag)

    def idle(self):
        tag = self.send("IDLE")
        self.until(b"+ ")
        return tag

    def logout(self):
        self.do("LOGOUT")
        self.close()
