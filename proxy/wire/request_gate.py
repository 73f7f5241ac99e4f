"""The request gate: a pure check of what a client's head says, before anything acts on it.

Field syntax (tokens, control characters, folding, bare CR and LF) is held by llhttp's strict mode, which splits the
head; a sweep over all octets in the tests holds llhttp to it. What stands here is what llhttp leaves open.
"""

import re
from dataclasses import dataclass

from proxy.errors import RequestError
from proxy.wire.fields import Field, SpelledField, connection_options, content_length, lowered

# Visible ASCII but "#": a fragment never belongs in a target (RFC 9112 3.2), other octets are read in several ways.
_ORIGIN_FORM = re.compile(rb'/[!"$-~]*')
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)
# RFC 3986 3.2.2: a registered name or an IPv4 address, or an IP literal in brackets; then a port.
_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)

_SPECIAL = frozenset({b"host", b"transfer-encoding", b"connection", b"expect", b"content-type"})

MAX_FIELDS = 200
"""Fields in a head (HAProxy: 101; Envoy: 100; aiohttp: 128)."""


@dataclass(slots=True)
class RequestFields:
    """What the fields of a head say, but for Content-Length: the part that a kept-alive client sends again and again.

    `forwarded` and `dressed` are memos of whoever writes these fields upstream, `caller` of whoever reads from them who
    calls; each is theirs to fill.
    """

    spelled: list[SpelledField]
    fields: list[Field]
    version: str
    http10: bool
    host: bytes
    content_type: bytes
    keep_alive: bool
    chunked: bool
    expects_continue: bool
    dropped: frozenset[bytes]
    forwarded: tuple[bytes, bytes] | None = None
    dressed: tuple[object, bytes] | None = None
    caller: object | None = None


@dataclass(slots=True)
class RequestHead:
    """A head that has passed the gate. `target` is in origin-form, as it goes upstream; an absolute-form's `authority`
    stands in for the Host field."""

    method: bytes
    target: bytes
    content_length: int | None
    said: RequestFields
    authority: bytes | None = None

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def host(self) -> bytes:
        """The host that the client asked for. An absolute-form's authority wins (RFC 9112 3.2.2)."""
        return self.said.host if self.authority is None else self.authority

    @property
    def has_body(self) -> bool:
        """Whether the client framed a body, be it an empty one."""
        return self.content_length is not None or self.said.chunked


def check_request(method: bytes, target: bytes, length: bytes | None, said: RequestFields) -> RequestHead:
    """The checked head of a request; RequestError (which closes the connection) where RFC 9110 or 9112 is broken."""
    size = None
    if length is not None:
        if said.chunked:
            raise RequestError.malformed("the request has both Content-Length and Transfer-Encoding")
        try:
            size = content_length(length)
        except ValueError:
            raise RequestError.malformed("Content-Length is not a number") from None
    if _ORIGIN_FORM.fullmatch(target) and method != b"CONNECT":
        return RequestHead(method, target, size, said)
    origin, authority = _other_form(method, target)
    return RequestHead(method, origin, size, said, authority)


def check_fields(version: str, spelled: list[SpelledField]) -> RequestFields:
    """What the fields other than Content-Length say; RequestError where they contradict each other or the RFCs."""
    http10 = version != "1.1"
    if http10 and version != "1.0":
        raise RequestError.malformed(f"HTTP version {version} is not served here; use HTTP/1.1", 505)
    if len(spelled) > MAX_FIELDS:
        raise RequestError.malformed(f"the request has more than {MAX_FIELDS} header fields", 431)
    fields = lowered(spelled)
    special: dict[bytes, bytes] = {}
    for name, _, value in fields:
        if name in _SPECIAL:
            special[name] = _repeated(name, special[name], value) if name in special else value
    options = connection_options(special.get(b"connection", b""))
    return RequestFields(
        spelled=spelled,
        fields=fields,
        version=version,
        http10=http10,
        host=_host(special.get(b"host"), http10),
        content_type=special.get(b"content-type", b""),
        keep_alive=(b"keep-alive" in options) if http10 else (b"close" not in options),
        chunked=_chunked(special.get(b"transfer-encoding"), http10),
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


def _other_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """A target that is not a path: in origin-form, with the authority that an absolute-form named."""
    if method == b"CONNECT":
        raise RequestError.malformed("CONNECT is not served here", 405)
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


def _host(host: bytes | None, http10: bool) -> bytes:
    """The Host field's value; HTTP/1.1 asks for one, and only one that is a host (RFC 9112 3.2)."""
    if host is None:
        if not http10:
            raise RequestError.malformed("the request has no Host field")
        return b""
    host = host.strip(b" \t")
    if not host and not http10:
        raise RequestError.malformed("the Host field is empty")
    if host and not _HOST.fullmatch(host):
        raise RequestError.malformed("the Host field is not a host")
    return host


def _chunked(coding: bytes | None, http10: bool) -> bool:
    if coding is None:
        return False
    if http10:
        raise RequestError.malformed("Transfer-Encoding has no meaning in HTTP/1.0")
    if coding.strip(b" \t").lower() != b"chunked":
        raise RequestError.malformed("the only transfer coding served here is chunked", 501)
    return True


def _expects_continue(value: bytes | None, http10: bool) -> bool:
    if value is None or http10:
        return False
    if value.strip(b" \t").lower() != b"100-continue":
        raise RequestError.malformed("the only expectation served here is 100-continue", 417)
    return True
