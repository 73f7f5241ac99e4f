"""A transport made of plain data, so that a connection can be driven as a conversation: bytes in, bytes out."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, cast


class StillLoop:
    """A loop whose clock stands until it is moved. It runs nothing, but its futures can be looked at."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=cast("asyncio.AbstractEventLoop", self))

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A failure that nobody asked about."""


class FakeSocket:
    """A socket that is never looked at."""

    def fileno(self) -> int:
        return 0


class FakeTransport(asyncio.Transport):
    """Keeps what is written to it. What it is fed goes to its protocol, as a loop would do it."""

    def __init__(self, protocol: asyncio.Protocol, **extra: Any) -> None:
        super().__init__({"socket": FakeSocket(), **extra})
        self.protocol = protocol
        self.written = bytearray()
        self.unsent = 0
        self.reading = True
        self.closing = False
        self.aborted = False
        self.ended = False
        self.lost = False

    # --- what a test does --------------------------------------------------------------------------------------------

    def connect(self) -> None:
        self.protocol.connection_made(self)
        self.settle()

    def receive(self, data: bytes) -> None:
        """Bytes from the other side, unless there is nobody any more to read them."""
        if not self.closing:
            self.protocol.data_received(data)
        self.settle()

    def receive_end(self) -> None:
        """The other side sends no more."""
        if not self.closing and not self.protocol.eof_received():
            self.closing = True
        self.settle()

    def lose(self, error: Exception | None) -> None:
        """The connection breaks."""
        self.closing = self.lost = True
        self.protocol.connection_lost(error)

    def settle(self) -> None:
        """Tell the protocol that the connection is gone, as a loop does after a close or an abort."""
        if self.closing and not self.lost:
            self.lose(None)

    def take(self) -> bytes:
        """What has been written since the last look."""
        written = bytes(self.written)
        self.written.clear()
        return written

    # --- what a protocol does ----------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "bytes after the end"
        if not self.closing:
            self.written += data

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return "sslcontext" not in self._extra

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]
