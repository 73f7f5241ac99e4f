"""The response gate: a pure check of what an engine's head says, before a byte of it reaches a client.

As with requests, llhttp's strict mode holds the syntax of fields; what it leaves open is decided here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from proxy.wire.fields import Field, connection_options, content_length

_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ProtocolViolation(Exception):
    """What an engine sent is not HTTP/1.1 that can be passed on."""


class Framing(Enum):
    """How the end of an answer's body is told."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(slots=True)
class ResponseHead:
    """A head that has passed the gate. `length` is the Content-Length, also where (HEAD, 304) no body follows."""

    status: int
    reason: bytes
    fields: list[Field]
    framing: Framing
    length: int | None
    keep_alive: bool
    dropped: frozenset[bytes]
    content_type: bytes


def check_response(status: int, reason: bytes, version: str, fields: Sequence[Field], method: bytes) -> ResponseHead:
    """The checked head of an answer to a request of this method; ProtocolViolation where it cannot be passed on."""
    if version not in {"1.1", "1.0"}:
        raise ProtocolViolation(f"the engine answered in HTTP/{version}")
    if not 100 <= status <= 599:
        raise ProtocolViolation(f"the engine answered with status {status}")
    if status == 101:
        raise ProtocolViolation("the engine switched protocols though nobody asked")
    if _CONTROLS.search(reason):
        raise ProtocolViolation("the reason phrase holds a control character")
    length: bytes | None = None
    coding: bytes | None = None
    options: frozenset[bytes] = frozenset()
    content_type = b""
    for name, _, value in fields:
        if name == b"content-length":
            if length is not None:
                raise ProtocolViolation("the engine's answer has more than one Content-Length")
            length = value
        elif name == b"transfer-encoding":
            if coding is not None:
                raise ProtocolViolation("the engine's answer has more than one Transfer-Encoding")
            coding = value
        elif name == b"connection":
            options |= connection_options(value)
        elif name == b"content-type":
            content_type = value
    framing, size = _framing(status, method, length, coding, version)
    keep_alive = b"close" not in options if version == "1.1" else b"keep-alive" in options
    return ResponseHead(
        status=status,
        reason=reason,
        fields=list(fields),
        framing=framing,
        length=size,
        keep_alive=keep_alive and framing is not Framing.CLOSE,
        dropped=options,
        content_type=content_type,
    )


def _framing(
    status: int, method: bytes, length: bytes | None, coding: bytes | None, version: str
) -> tuple[Framing, int | None]:
    """RFC 9112 6.3, strictly: both kinds of framing at once, or a coding that we cannot undo, is refused."""
    try:
        size = None if length is None else content_length(length)
    except ValueError:
        raise ProtocolViolation("the engine's Content-Length is not a number") from None
    if method == b"HEAD" or status in {204, 304} or status < 200:
        return Framing.NONE, size
    if coding is not None:
        if length is not None:
            raise ProtocolViolation("the engine's answer has both Content-Length and Transfer-Encoding")
        if coding.strip(b" \t").lower() != b"chunked" or version != "1.1":
            raise ProtocolViolation("the engine's answer has a transfer coding other than chunked")
        return Framing.CHUNKED, None
    if size is None:
        return Framing.CLOSE, None
    return Framing.LENGTH, size
