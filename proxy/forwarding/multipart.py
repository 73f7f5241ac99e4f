"""A look into a multipart form (RFC 7578): where the value of one field stands, the files beside it untouched."""

import re

Body = bytes | bytearray

_BOUNDARY = re.compile(rb'[;\s]boundary=(?:"([^"]{1,70})"|([^;\s"]{1,70}))', re.IGNORECASE)
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Escapes of quotes and of backslashes are left out: parsers read them differently.
_VALUE = rb'"(?:[^"\\\r\n]|\\[^"\\\r\n])*"|' + _TOKEN
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb")=(" + _VALUE + rb")")
_DISPOSITION = re.compile(rb"[ \t]*form-data((?:" + _PARAMETER.pattern + rb")*)[ \t]*", re.IGNORECASE)
_LINE = re.compile(rb"(" + _TOKEN + rb"):([^\r\n]*)")
MAX_PARTS = 64
"""Parts that are looked at; speech clients send fewer than ten."""
MAX_VALUE = 1024
"""Bytes of a model's name."""


def field_span(body: Body, content_type: bytes, name: bytes) -> tuple[int, int] | None:
    """The place of the part of this name that is not a file; None where there is none, or more than one.

    Also where any part is written so that an engine could read another name or other parts than we did: which models a
    key may use hangs on it.
    """
    delimiter = _delimiter(content_type)
    if delimiter is None or not body.startswith(delimiter):
        return None
    found: tuple[int, int] | None = None
    position = len(delimiter)
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", position):
            return found
        head_end = body.find(b"\r\n\r\n", position)
        end = body.find(b"\r\n" + delimiter, head_end + 4)
        if head_end < 0 or end < 0:
            return None
        called = _name(bytes(body[position:head_end]))
        if called is None:
            return None
        if called == name:
            start = head_end + 4
            if found is not None or end - start > MAX_VALUE:
                return None
            found = start, end
        position = end + 2 + len(delimiter)
    return None


def _delimiter(content_type: bytes) -> bytes | None:
    found: list[tuple[bytes, bytes]] = _BOUNDARY.findall(content_type)
    if len(found) != 1 or content_type.lower().count(b"boundary") != 1:
        return None
    return b"--" + (found[0][0] or found[0][1])


def _name(head: bytes) -> bytes | None:
    """What a part is called, a file by no name at all; None where that can be read in more than one way."""
    first, *lines = head.split(b"\r\n")
    parts = [_LINE.fullmatch(line) for line in lines]
    if first or not all(parts):
        return None
    told = [part[2] for part in parts if part is not None and part[1].lower() == b"content-disposition"]
    disposition = _DISPOSITION.fullmatch(told[0]) if len(told) == 1 else None
    if disposition is None:
        return None
    parameters = [(key.lower(), value) for key, value in _PARAMETER.findall(disposition[1])]
    values = dict(parameters)
    if len(values) < len(parameters) or b"name" not in values or b"name*" in values or b"\\" in values[b"name"]:
        return None
    return b"" if values.keys() & {b"filename", b"filename*"} else values[b"name"].strip(b'"')
