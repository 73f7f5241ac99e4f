"""Reads many event streams at once and times each event against the time of sending that it carries."""

import re
import select
import socket
import time
from array import array
from collections.abc import Callable

import httptools

STAMP = re.compile(rb"t(\d{19}) ")


class StreamFailedError(Exception):
    """A stream did not answer 200, ended early, or fell silent."""


class Stream:
    """One connection that carries one stream after another. The parser's callbacks write into `client`'s lists."""

    def __init__(self, port: int, request: bytes, client: "StreamClient") -> None:
        self.events = 0
        self.complete = False
        self._client = client
        self._request = request
        self._tail = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        """Ask for the next stream."""
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self.events = 0
        self.complete = False
        self.socket.sendall(self._request)

    def receive(self) -> None:
        """Read once."""
        data = self.socket.recv(262144)
        if not data:
            raise StreamFailedError("a stream ended before its last chunk")
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        """The parser's: the head is whole."""
        if self._parser.get_status_code() != 200:
            raise StreamFailedError(f"a stream was answered {self._parser.get_status_code()}")

    def on_body(self, body: bytes) -> None:
        """The parser's: a part of the body, without the chunks' framing."""
        now = time.monotonic_ns()
        text = self._tail + body
        end = 0
        for match in STAMP.finditer(text):
            self.events += 1
            end = match.end()
            self._client.latencies.append(now - int(match[1]))
        self._tail = text[end:][-32:]

    def on_message_complete(self) -> None:
        """The parser's: the last chunk has been read."""
        self.complete = True


class StreamClient:
    """Open streams to one port. `latencies` holds each event's age on arrival in nanoseconds."""

    def __init__(self, port: int, request: bytes) -> None:
        self.latencies = array("q")
        self._port = port
        self._request = request
        self._poller = select.epoll()
        self._streams: dict[int, Stream] = {}

    def open(self, count: int, apart: float) -> None:
        """Open `count` streams, `apart` seconds apart, reading the earlier ones meanwhile."""
        begin = time.monotonic()
        for index in range(count):
            stream = Stream(self._port, self._request, self)
            self._streams[stream.socket.fileno()] = stream
            self._poller.register(stream.socket, select.EPOLLIN)
            stream.send()
            self.read_until(begin + (index + 1) * apart)

    def read_until(self, deadline: float, satisfied: Callable[[], bool] = lambda: False) -> None:
        """Read whatever comes until that time of the monotonic clock, or until `satisfied` once it holds."""
        while not satisfied():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            for number, _ in self._poller.poll(left):
                self._streams[number].receive()

    def each_has_begun(self) -> bool:
        """Every stream has had an event."""
        return all(stream.events for stream in self._streams.values())

    def silent(self) -> int:
        """How many streams have had no event."""
        return sum(not stream.events for stream in self._streams.values())

    def all_are_complete(self) -> bool:
        """Every stream has had its last chunk."""
        return all(stream.complete for stream in self._streams.values())

    def incomplete(self, events: int) -> int:
        """How many streams have not had exactly this many events and their last chunk."""
        return sum(not stream.complete or stream.events != events for stream in self._streams.values())

    def close(self) -> None:
        """Leave all streams, wherever they are."""
        for stream in self._streams.values():
            stream.socket.close()
        self._streams.clear()
        self._poller.close()


def times_to_first_event(port: int, request: bytes, count: int) -> list[float]:
    """Ask for short streams one after the other on one connection; seconds from each request to its first event."""
    client = StreamClient(port, request)
    stream = Stream(port, request, client)
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        stream.send()
        while not stream.events:
            stream.receive()
        seconds.append(time.perf_counter() - begin)
        while not stream.complete:
            stream.receive()
    stream.socket.close()
    client.close()
    return seconds
