"""Lines of a connection, for tests that hold many at once in one thread."""
import asyncio
import re

import postern


class Ended(AssertionError):
    pass


class Wire(asyncio.Protocol):
    def __init__(self):
        self.buffer = bytearray()
        self.waiter = None
        self.ended = False
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        self._wake()

    def connection_lost(self, exc):
        self.ended = True
        self._wake()

    def _wake(self):
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def _more(self, seconds):
        if self.ended:
            raise Ended("the connection has ended")
        self.waiter = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(seconds):
            await self.waiter

    def _response(self):
        """How long the first response in the buffer is; 0: not all is here."""
        start = 0
        while True:
            at = self.buffer.find(b"\r\n", start)
            if at < 0:
                return 0
            literal = re.search(rb"\{(\d+)\}$", self.buffer[start:at])
            start = at + 2
            if not literal:
                return start
            start += int(literal[1])

    def ready(self):
        return self._response() != 0

    async def line(self, seconds=4 * postern.PATIENCE):
        """The next line without its CRLF; with literals, if it has some."""
        while (n := self._response()) == 0:
            await self._more(seconds)
        text = self.buffer[:n - 2].decode()
        del self.buffer[:n]
        return text

    def send(self, text):
        self.transport.write(text.encode())

    def cut(self):
        self.transport.abort()


async def connect(sock):
    """A socket that is connected."""
    sock.setblocking(False)
    _, wire = await asyncio.get_running_loop().create_connection(
        Wire, sock=sock)
    return wire
