"""What both directions know of HTTP fields: which of them stop at a proxy, and what a Connection field names."""

from functools import lru_cache

Field = tuple[bytes, bytes, bytes]
"""A header field: its lower-case name, its name as it came, its value."""

SpelledField = tuple[bytes, bytes]
"""A header field as it came: its name, its value."""

# RFC 9110 7.6.1, and the older names that the field still meets.
HOP_BY_HOP = frozenset({
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
})  # fmt: skip

# Fields that a Connection field must not take away: they carry the message's end-to-end sense (hop-by-hop abuse).
PROTECTED = frozenset({
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"authorization",
    b"cookie",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-request-id",
})  # fmt: skip


def lowered(fields: list[SpelledField]) -> list[Field]:
    """The fields with their names in lower case beside them."""
    return [(name.lower(), name, value) for name, value in fields]


def connection_options(value: bytes) -> frozenset[bytes]:
    """The options of a Connection field, lower-case, empty items dropped."""
    # What is remembered for all stays small, whatever a client makes up.
    return _remembered_options(value) if len(value) <= 64 else _options(value)


def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(option for item in value.lower().split(b",") if (option := item.strip(b" \t")))


_remembered_options = lru_cache(maxsize=256)(_options)


def content_length(value: bytes) -> int:
    """A Content-Length's value; ValueError unless it is digits and nothing else (RFC 9110 8.6). At most 18 digits."""
    text = value.strip(b" \t")
    if not text.isdigit() or len(text) > 18:
        raise ValueError("not a number")
    return int(text)
