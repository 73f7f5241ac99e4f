"""A stream is asked to tell its usage: `stream_options.include_usage` made true in the body's own bytes."""

import re
from typing import Any

import msgspec

from proxy.forwarding.splice import Piece

Body = bytes | bytearray

PATHS = ("/chat/completions", "/completions")
"""Endings of the paths whose streams tell no usage unless asked; /v1/messages and /v1/responses always do."""

_SEARCHED = 1024 * 1024
"""Bytes of a body in which a member is looked for: each place that is tried costs a look at the whole of it."""
_PLACES = 4
"""Places of a member's name that are tried, the last one first."""
_TRUE = frozenset({"true", "1", "1.0", "t", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "0.0", "f", "no", "n", "off"})
"""What engines take for true and false beside the literals (pydantic's lax booleans)."""


class _Asked(msgspec.Struct, gc=False):
    stream: Any = None
    stream_options: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Options(msgspec.Struct, gc=False):
    include_usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Probe(msgspec.Struct, gc=False):
    stream_options: Any = None
    include_usage: Any = None


_VALUE = re.compile(rb'"[a-z_]+"[ \t\r\n]*:[ \t\r\n]*')
_OBJECT = re.compile(rb"[ \t\r\n]*\{")
_EMPTY = re.compile(rb"[ \t\r\n]*\}")
_MEMBER = b'"stream_options":{"include_usage":true},'

_asked = msgspec.json.Decoder(_Asked).decode
_options = msgspec.json.Decoder(_Options).decode
_probe = msgspec.json.Decoder(_Probe).decode
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def with_usage(body: Body, path: str) -> list[Piece] | None:
    """The body in pieces, its stream told to end with its usage; None where the body goes as it came.

    So it does where it asks for no stream, or for the usage already, or where it is not plain what the engine would
    read: the engine then refuses it. Not None means that the client did not ask for what is coming: the chunk that
    tells the usage must be kept from it. All other bytes stay as they came. Never raises.
    """
    if not path.endswith(PATHS):
        return None
    try:
        asked = _asked(body)
    except _ERRORS:
        return None
    if asked.stream is not True and not _reads_as(asked.stream, _TRUE):
        return None
    options = asked.stream_options
    if isinstance(options, msgspec.UnsetType):
        found = _OBJECT.match(body)
        view = memoryview(body)
        return None if found is None else [view[: found.end()], _MEMBER, view[found.end() :]]
    old = bytes(memoryview(options))
    new = _merged(old)
    return None if new is None else _replaced(body, b"stream_options", old, new)


def _reads_as(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, str | int | float) and str(value).lower() in words


def _merged(options: bytes) -> bytes | None:
    """The options with the usage asked for; None where that is so already, or where they cannot be read."""
    if options == b"null":
        return b'{"include_usage":true}'
    if options[:1] != b"{":
        return None
    try:
        asked = _options(options).include_usage
        said = _probe(options).include_usage
    except _ERRORS:
        return None
    if isinstance(asked, msgspec.UnsetType):
        return b'{"include_usage":true' + (b"" if _EMPTY.match(options, 1) else b",") + options[1:]
    value = bytes(memoryview(asked))
    if said is not None and not _reads_as(said, _FALSE):
        return None
    return b"".join(_replaced(options, b"include_usage", value, b"true"))


def _replaced(body: Body, name: bytes, old: bytes, new: bytes) -> list[Piece]:
    """The body with a new value in its outermost object.

    Where the old one is not found, because its name is escaped or hidden among many alike, the member is added once
    more at the end: of two alike the engines read the last.
    """
    view = memoryview(body)
    start = _place(body, name, old) if len(body) <= _SEARCHED else None
    if start is None:
        end = body.rindex(b"}")
        return [view[:end], b',"%b":%b' % (name, new), view[end:]]
    return [view[:start], new, view[start + len(old) :]]


def _place(body: Body, name: bytes, value: bytes) -> int | None:
    """Where the value stands that an engine would read: the last of its name in the outermost object.

    A probe settles what a search cannot: a list put in its place must be what the body then has under the name.
    """
    view = memoryview(body)
    literal = b'"%b"' % name
    at = len(body)
    for _ in range(_PLACES):
        at = body.rfind(literal, 0, at)
        if at < 0:
            return None
        found = _VALUE.match(body, at)
        if found is None or not body.startswith(value, found.end()):
            continue
        start = found.end()
        if _reads_list(b"".join((view[:start], b"[0]", view[start + len(value) :])), name):
            return start
    return None


def _reads_list(body: bytes, name: bytes) -> bool:
    try:
        probed = _probe(body)
    except _ERRORS:
        return False
    value = probed.stream_options if name == b"stream_options" else probed.include_usage
    return type(value) is list and value == [0]
