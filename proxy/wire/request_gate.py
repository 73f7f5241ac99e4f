"""The request gate: a pure check of what a client's head says, before anything acts on it.

Field syntax (tokens, control characters, folding, bare CR and LF) is held by llhttp's strict mode, which splits the head;
a sweep over all octets in the tests holds llhttp to it. What stands here is what llhttp leaves open.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from proxy.errors import RequestError
from proxy.wire.fields import Field, connection_options, content_length

# Visible ASCII but "#" (a fragment never belongs in a target, RFC 9112 3.2); no byte that another parser may read otherwise.
_ORIGIN_FORM = re.compile(rb'/[!"$-~]*')
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
# RFC 3986 3.2.2: a registered name or an IPv4 address, or an IP literal in brackets; then a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?")

_SPECIAL = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"content-type"})

MAX_FIELDS = 200
"""Fields in a head (HAProxy: 101; Envoy: 100; aiohttp: 128)."""


@dataclass(slots=True)
class RequestHead:
    """A head that has passed the gate. `target` is in origin-form, as it goes upstream."""

    method: bytes
    target: bytes
    http10: bool
    fields: list[Field]
    host: bytes
    content_type: bytes
    keep_alive: bool
    content_length: int | None
    chunked: bool
    expects_continue: bool
    dropped: frozenset[bytes]

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]


def check_request(method: bytes, target: bytes, version: str, fields: Sequence[Field]) -> RequestHead:
    """The checked head of a request; RequestError (which closes the connection) where RFC 9110 or 9112 is broken."""
    http10 = version != "1.1"
    if http10 and version != "1.0":
        raise RequestError.malformed(f"HTTP version {version} is not served here; use HTTP/1.1", 505)
    if len(fields) > MAX_FIELDS:
        raise RequestError.malformed(f"the request has more than {MAX_FIELDS} header fields", 431)
    special: dict[bytes, bytes] = {}
    for name, _, value in fields:
        if name in _SPECIAL:
            if name in special:
                value = _repeated(name, special[name], value)
            special[name] = value
    origin, authority = _target(method, target)
    options = connection_options(special[b"connection"]) if b"connection" in special else frozenset[bytes]()
    length, chunked = _framing(special, http10)
    return RequestHead(
        method=method,
        target=origin,
        http10=http10,
        fields=list(fields),
        host=_host(special.get(b"host"), authority, http10),
        content_type=special.get(b"content-type", b""),
        keep_alive=(b"keep-alive" in options) if http10 else (b"close" not in options),
        content_length=length,
        chunked=chunked,
        expects_continue=_expects_continue(special.get(b"expect"), http10),
        dropped=options,
    )


def _repeated(name: bytes, first: bytes, second: bytes) -> bytes:
    """Two fields of one name: a list for Connection, and ambiguous for the others."""
    if name == b"connection":
        return first + b"," + second
    if name == b"expect" and first == second:
        return second
    raise RequestError.malformed(f"the request has more than one {name.decode('latin-1').title()} field")


def _target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """The target in origin-form, and the authority that an absolute-form named."""
    if method == b"CONNECT":
        raise RequestError.malformed("CONNECT is not served here", 405)
    if _ORIGIN_FORM.fullmatch(target):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise RequestError.malformed("the request target is not a path")
    authority, rest = absolute.group(1), absolute.group(2) or b"/"
    origin = rest if rest.startswith(b"/") else b"/" + rest
    if not _ORIGIN_FORM.fullmatch(origin) or not _HOST.fullmatch(authority):
        raise RequestError.malformed("the request target is not a valid absolute URL")
    return origin, authority


def _host(host: bytes | None, authority: bytes | None, http10: bool) -> bytes:
    """The host that the client asked for. An absolute-form's authority wins over the Host field (RFC 9112 3.2.2)."""
    if host is None:
        if not http10:
            raise RequestError.malformed("the request has no Host field")
        return authority or b""
    host = host.strip(b" \t")
    if host and not _HOST.fullmatch(host):
        raise RequestError.malformed("the Host field is not a host")
    if not host and authority is None and not http10:
        raise RequestError.malformed("the Host field is empty")
    return authority or host


def _framing(special: dict[bytes, bytes], http10: bool) -> tuple[int | None, bool]:
    """The body's length, or that it is chunked. Both at once is an attack or a fault, never a choice of ours."""
    coding = special.get(b"transfer-encoding")
    length = special.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise RequestError.malformed("the request has both Content-Length and Transfer-Encoding")
        if http10:
            raise RequestError.malformed("Transfer-Encoding has no meaning in HTTP/1.0")
        if coding.strip(b" \t").lower() != b"chunked":
            raise RequestError.malformed("the only transfer coding served here is chunked", 501)
        return None, True
    if length is None:
        return None, False
    try:
        return content_length(length), False
    except ValueError:
        raise RequestError.malformed("Content-Length is not a number") from None


def _expects_continue(value: bytes | None, http10: bool) -> bool:
    if value is None or http10:
        return False
    if value.strip(b" \t").lower() != b"100-continue":
        raise RequestError.malformed("the only expectation served here is 100-continue", 417)
    return True
