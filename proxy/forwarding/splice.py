"""A model rewrite: the new name takes the old one's place in the body's own bytes."""

import re
from collections.abc import Sequence

import msgspec

from proxy.errors import RequestError

Body = bytes | bytearray
Piece = bytes | bytearray | memoryview

# A string's plain stretches are taken whole: 8 MB take 25 ms this way, and 0.9 s one byte or escape at a time.
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]:,]", re.DOTALL)
_ESCAPED_LETTER = re.compile(rb"\\u006[dfc45]", re.IGNORECASE)
_VALUE = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(" + _STRING + rb"|[^,}\s]+)", re.DOTALL)


def splice_model(body: Body, model: str) -> list[Piece]:
    """The body in pieces, with `model` at its top-level key; RequestError where the key stands twice.

    The pieces are views: a body of 64 MiB is not copied. Two keys of one name are refused, because the engine could
    read the other one than we did.
    """
    span = _only_candidate(body) or _scan(body)
    view = memoryview(body)
    return [view[: span[0]], msgspec.json.encode(model), view[span[1] :]]


def _only_candidate(body: Body) -> tuple[int, int] | None:
    """The value's place where `"model"` stands once in the body: the form that clients send.

    The body is known to have a top-level `model`, and inside a string the quotes would be escaped; so the only one is
    that key, unless the key is spelled with escapes of its letters.
    """
    start = body.find(b'"model"')
    if start < 0 or body.find(b'"model"', start + 7) >= 0 or _spells_with_escapes(body):
        return None
    value = _VALUE.match(body, start + 7)
    return None if value is None else value.span(1)


def _spells_with_escapes(body: Body) -> bool:
    """Whether a letter of `model` may be escaped. The plain search comes first: it is 50 times as fast as a pattern."""
    return body.find(b"\\u006") >= 0 and _ESCAPED_LETTER.search(body) is not None


def _scan(body: Body) -> tuple[int, int]:
    """The value's place, found by walking the body's tokens. Keys may be spelled with escapes."""
    depth = 0
    found: tuple[int, int] | None = None
    at_key = False
    for token in _TOKEN.finditer(body):
        text = token.group()
        first = text[0]
        if first in b"{[":
            depth += 1
            at_key = depth == 1
        elif first in b"}]":
            depth -= 1
        elif first == ord(",") and depth == 1:
            at_key = True
        elif first == ord('"') and depth == 1 and at_key:
            at_key = False
            if _is_model(text) and (value := _VALUE.match(body, token.end())) is not None:
                if found is not None:
                    raise RequestError(400, "the request's body names 'model' more than once", param="model")
                found = value.span(1)
    if found is None:
        raise RequestError(400, "the request's body has no 'model' that can be rewritten", param="model")
    return found


def _is_model(key: bytes | bytearray) -> bool:
    return key == b'"model"' or (b"\\" in key and msgspec.json.decode(key) == "model")


def length(pieces: Sequence[Piece]) -> int:
    """Bytes in all pieces."""
    return sum(len(piece) for piece in pieces)
