"""The heads that the proxy writes: a client's request as an endpoint gets it, an engine's answer as the client gets it."""

from collections.abc import Sequence

from proxy.downstream.connection import DownstreamConnection
from proxy.wire.fields import HOP_BY_HOP, PROTECTED
from proxy.wire.request_gate import RequestHead
from proxy.wire.response_gate import Framing, ResponseHead

# Written anew for each endpoint, or meant for the proxy alone.
_NOT_FORWARDED = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-real-ip",
    b"x-request-id",
    b"via",
}
_NOT_RETURNED = HOP_BY_HOP | {b"content-length"}
MAX_REQUEST_ID = 128
"""Bytes of a request id that is taken over from a trusted proxy."""


class RequestLines:
    """The part of a request's head that is the same for every endpoint, and the id that the request goes by."""

    __slots__ = ("_head", "common", "request_id")

    def __init__(self, head: RequestHead, client: DownstreamConnection, fallback_id: bytes) -> None:
        dropped = head.dropped - PROTECTED if head.dropped else head.dropped
        lines: list[bytes] = []
        said: dict[bytes, bytes] = {}
        for name, spelled, value in head.fields:
            if name in _NOT_FORWARDED:
                said[name] = said[name] + b", " + value if name in said else value
            elif not dropped or name not in dropped:
                lines.append(spelled + b": " + value)
        if not client.trusted:
            said = {b"via": said[b"via"]} if b"via" in said else {}
        self._head = head
        self.request_id = said.get(b"x-request-id", fallback_id)[:MAX_REQUEST_ID] or fallback_id
        lines += _forwarded(said, head, client)
        lines.append(b"X-Request-Id: " + self.request_id)
        self.common = b"\r\n".join(lines)

    def for_endpoint(self, host: bytes, prefix: bytes, body_length: int) -> bytes:
        """The whole head. A request that came without a body, and whose method expects none, goes without a length."""
        head = self._head
        if body_length or head.content_length is not None or head.chunked:
            return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b\r\nContent-Length: %d\r\n\r\n" % (
                head.method, prefix, head.target, host, self.common, body_length,
            )  # fmt: skip
        return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b\r\n\r\n" % (head.method, prefix, head.target, host, self.common)


def _forwarded(said: dict[bytes, bytes], head: RequestHead, client: DownstreamConnection) -> list[bytes]:
    """Who asked, by which scheme, for which host. What a trusted proxy said before us stands before what we see."""
    address = client.client.encode()
    before = said.get(b"x-forwarded-for")
    lines = [
        b"X-Forwarded-For: " + (before + b", " + address if before else address),
        b"X-Forwarded-Proto: " + said.get(b"x-forwarded-proto", b"https" if client.secure else b"http"),
    ]
    host = said.get(b"x-forwarded-host", head.host)
    if host:
        lines.append(b"X-Forwarded-Host: " + host)
    via = said.get(b"via")
    ours = b"1.0 penstock" if head.http10 else b"1.1 penstock"
    lines.append(b"Via: " + (via + b", " + ours if via else ours))
    return lines


def response_framing(upstream: ResponseHead, http10: bool) -> Framing:
    """How the client is told where the body ends: as the engine did, where the client's version can."""
    if upstream.framing in {Framing.NONE, Framing.LENGTH}:
        return upstream.framing
    return Framing.CLOSE if http10 else Framing.CHUNKED


def response_lines(
    upstream: ResponseHead,
    framing: Framing,
    *,
    http10: bool,
    keep_alive: bool,
    request_id: bytes = b"",
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """The head of an answer as the client gets it. The request's id is told unless the engine tells one of its own."""
    dropped = upstream.dropped - PROTECTED if upstream.dropped else upstream.dropped
    lines = [b"HTTP/1.1 %d %b" % (upstream.status, upstream.reason)]
    for name, spelled, value in upstream.fields:
        if name not in _NOT_RETURNED and (not dropped or name not in dropped):
            lines.append(spelled + b": " + value)
            if name == b"x-request-id":
                request_id = b""
    if request_id:
        lines.append(b"X-Request-Id: " + request_id)
    lines += [name + b": " + value for name, value in extra]
    if framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    elif upstream.length is not None and upstream.status != 204 and framing is not Framing.CLOSE:
        lines.append(b"Content-Length: %d" % upstream.length)
    if not keep_alive:
        lines.append(b"Connection: close")
    elif http10:
        lines.append(b"Connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def interim_lines(upstream: ResponseHead) -> bytes:
    """An interim answer (103 Early Hints), passed on."""
    return response_lines(upstream, Framing.NONE, http10=False, keep_alive=True)
