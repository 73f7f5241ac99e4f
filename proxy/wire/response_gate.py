"""The response gate: a pure check of what an engine's head says, before a byte of it reaches a client.

As with requests, llhttp's strict mode holds the syntax of fields; what it leaves open is decided here.
"""

import re
from dataclasses import dataclass
from enum import Enum

from proxy.wire.fields import Field, SpelledField, connection_options, content_length, lowered

_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ProtocolViolationError(Exception):
    """What an engine sent is not HTTP/1.1 that can be passed on."""


class Framing(Enum):
    """How the end of an answer's body is told."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(slots=True)
class ResponseFields:
    """What the fields of an answer's head say, but for Content-Length: an engine's next answer often says the same.

    `coded` says that the body has a content coding. `returned` is a memo of whoever writes these fields downstream; it
    is theirs to fill.
    """

    spelled: list[SpelledField]
    fields: list[Field]
    version: str
    http10: bool
    chunked: bool
    keep_alive: bool
    dropped: frozenset[bytes]
    content_type: bytes
    coded: bool = False
    returned: tuple[bytes, bool] | None = None


@dataclass(slots=True)
class ResponseHead:
    """A head that has passed the gate. `length` is the Content-Length, also where (HEAD, 304) no body follows."""

    status: int
    reason: bytes
    framing: Framing
    length: int | None
    said: ResponseFields

    @property
    def keep_alive(self) -> bool:
        """Whether the engine's connection may carry another request."""
        return self.said.keep_alive and self.framing is not Framing.CLOSE


def with_length(head: ResponseHead, length: int | None) -> ResponseHead:
    """The same head before a body of another length; None is a length that is not known yet."""
    framing = head.framing
    if framing is Framing.LENGTH and length is None:
        framing = Framing.CHUNKED
    return ResponseHead(head.status, head.reason, framing, length if framing is Framing.LENGTH else None, head.said)


def check_response(
    status: int, reason: bytes, length: bytes | None, said: ResponseFields, method: bytes
) -> ResponseHead:
    """The checked head of an answer to a request of this method; ProtocolViolationError if it may not pass."""
    if not 100 <= status <= 599:
        raise ProtocolViolationError(f"the engine answered with status {status}")
    if status == 101:
        raise ProtocolViolationError("the engine switched protocols though nobody asked")
    if _CONTROLS.search(reason):
        raise ProtocolViolationError("the reason phrase holds a control character")
    size = None
    if length is not None:
        try:
            size = content_length(length)
        except ValueError:
            raise ProtocolViolationError("the engine's Content-Length is not a number") from None
    return ResponseHead(status, reason, _framing(status, method, size, said), size, said)


def check_fields(version: str, spelled: list[SpelledField]) -> ResponseFields:
    """What the fields other than Content-Length say; ProtocolViolationError where they cannot be passed on."""
    if version not in {"1.1", "1.0"}:
        raise ProtocolViolationError(f"the engine answered in HTTP/{version}")
    fields = lowered(spelled)
    coding: bytes | None = None
    options: frozenset[bytes] = frozenset()
    content_type = b""
    coded = False
    for name, _, value in fields:
        if name == b"transfer-encoding":
            if coding is not None:
                raise ProtocolViolationError("the engine's answer has more than one Transfer-Encoding")
            coding = value
        elif name == b"connection":
            options |= connection_options(value)
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            coded = coded or value.lower() != b"identity"
    http10 = version == "1.0"
    if coding is not None and (http10 or coding.strip(b" \t").lower() != b"chunked"):
        raise ProtocolViolationError("the engine's answer has a transfer coding other than chunked")
    return ResponseFields(
        spelled=spelled,
        fields=fields,
        version=version,
        http10=http10,
        chunked=coding is not None,
        keep_alive=b"keep-alive" in options if http10 else b"close" not in options,
        dropped=options,
        content_type=content_type,
        coded=coded,
    )


def _framing(status: int, method: bytes, size: int | None, said: ResponseFields) -> Framing:
    """RFC 9112 6.3, strictly: both kinds of framing at once is refused."""
    if method == b"HEAD" or status in {204, 304} or status < 200:
        return Framing.NONE
    if said.chunked:
        if size is not None:
            raise ProtocolViolationError("the engine's answer has both Content-Length and Transfer-Encoding")
        return Framing.CHUNKED
    return Framing.CLOSE if size is None else Framing.LENGTH
