"""An engine that only streams: as many events, as far apart, as the prompt asks for, each with its time of sending.

The prompt holds `stream N events every M us`. All events of all streams are sent by one thread that sleeps until the
next is due, so they are spread evenly in time and the stub stays cheap. GET requests get a small answer, so that
routers find it healthy.
"""

import ctypes
import heapq
import itertools
import re
import select
import socket
import sys
import threading
import time

PR_SET_TIMERSLACK = 29
ORDER = re.compile(rb"stream (\d+) events every (\d+) us")
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
# An event of the size that an engine sends for a short token; the time is the token's text, in nanoseconds.
EVENT = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"bench-model",'
    b'"choices":[{"index":0,"delta":{"content":"t%019d "},"logprobs":null,"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"bench-model",'
    b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
COMPLETION = (
    b'{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1760000000,"model":"bench-model",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"ready"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
HEALTH = b'{"status":"ok","object":"list","data":[{"id":"bench-model","object":"model","owned_by":"bench"}]}'
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Pacer:
    """Sends every stream's events when they are due; its heap of what is due is all its state."""

    def __init__(self) -> None:
        # Due time, a serial number that settles ties, connection, events left, interval; times in nanoseconds.
        self._due: list[tuple[int, int, socket.socket, int, int]] = []
        self._serial = itertools.count()
        self._changed = threading.Condition()

    def begin(self, connection: socket.socket, events: int, interval: int) -> None:
        """Send the head and the first event now, in one write, and the others `interval` nanoseconds apart."""
        first = HEAD + chunk(EVENT % time.monotonic_ns())
        if not interval:
            first += (
                b"".join(chunk(EVENT % time.monotonic_ns()) for _ in range(events - 1)) + chunk(LAST) + b"0\r\n\r\n"
            )
            send(connection, first)
            return
        if not send(connection, first):
            return
        with self._changed:
            entry = (time.monotonic_ns() + interval, next(self._serial), connection, events - 1, interval)
            heapq.heappush(self._due, entry)
            self._changed.notify()

    def run(self) -> None:
        """Send for ever."""
        # Linux rounds a thread's sleeps up by 50 us unless told otherwise; events would bunch.
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        while True:
            due, serial, connection, left, interval = self._wait_for_next()
            if not left:
                send(connection, chunk(LAST) + b"0\r\n\r\n")
            elif send(connection, chunk(EVENT % time.monotonic_ns())):
                with self._changed:
                    heapq.heappush(self._due, (due + interval, serial, connection, left - 1, interval))

    def _wait_for_next(self) -> tuple[int, int, socket.socket, int, int]:
        with self._changed:
            while True:
                early = self._due[0][0] - time.monotonic_ns() if self._due else None
                if early is not None and early <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(None if early is None else early / 1e9)


def send(connection: socket.socket, data: bytes) -> bool:
    """Send all, or give the stream up: a reader that is a socket buffer behind has failed the measurement anyway."""
    try:
        return connection.send(data) == len(data)
    except OSError:
        return False


def answer(connection: socket.socket, pacer: Pacer, request: bytes) -> None:
    """Begin the stream that the prompt asks for, or answer at once."""
    order = ORDER.search(request)
    if order:
        pacer.begin(connection, int(order[1]), int(order[2]) * 1000)
        return
    body = COMPLETION if request.startswith(b"POST") else HEALTH
    send(connection, PLAIN % (len(body), body))


def request_length(received: bytes) -> int | None:
    """The whole first request's length in bytes, or None while it has not arrived."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end]
    if CHUNKED.search(head):
        last = received.find(b"0\r\n\r\n", end + 4)
        return None if last < 0 else last + 5
    length = CONTENT_LENGTH.search(head)
    whole = end + 4 + (int(length[1]) if length else 0)
    return whole if len(received) >= whole else None


class Stub:
    """Accepts and answers. It holds each connection with what has come of its next request."""

    def __init__(self, ports: list[int]) -> None:
        self._poller = select.epoll()
        self._pacer = Pacer()
        self._listeners = {}
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        for port in ports:
            listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener
            self._poller.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve for ever."""
        threading.Thread(target=self._pacer.run, daemon=True).start()
        while True:
            for number, _ in self._poller.poll():
                listener = self._listeners.get(number)
                if listener:
                    self._accept(listener)
                else:
                    self._receive(number)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._poller.register(connection, select.EPOLLIN)
        self._connections[connection.fileno()] = connection, bytearray()

    def _receive(self, number: int) -> None:
        connection, received = self._connections[number]
        try:
            data = connection.recv(262144)
        except OSError:
            data = b""
        if not data:
            self._poller.unregister(number)
            del self._connections[number]
            connection.close()
            return
        received += data
        length = request_length(bytes(received))
        if length is not None:
            request = bytes(received[:length])
            del received[:length]
            answer(connection, self._pacer, request)


if __name__ == "__main__":
    Stub([int(port) for port in sys.argv[1:]]).run()
