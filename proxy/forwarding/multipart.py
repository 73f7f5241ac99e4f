"""A look into a multipart form (RFC 7578): where the value of one field stands, the files beside it untouched."""

import re

Body = bytes | bytearray

_BOUNDARY = re.compile(rb'boundary=(?:"([^"]{1,70})"|([^;\s"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
MAX_PARTS = 64
"""Parts that are looked at; speech clients send fewer than ten."""
MAX_VALUE = 1024
"""Bytes of a model's name."""


def field_span(body: Body, content_type: bytes, name: bytes) -> tuple[int, int] | None:
    """The place of the first part of this name that is not a file; None where there is none."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return None
    delimiter = b"--" + (boundary.group(1) or boundary.group(2))
    position = body.find(delimiter)
    for _ in range(MAX_PARTS):
        if position < 0:
            return None
        head_start = position + len(delimiter)
        head_end = body.find(b"\r\n\r\n", head_start)
        following = body.find(b"\r\n" + delimiter, head_start)
        if head_end < 0 or following < 0 or head_end > following + 2:
            return None
        if _is_field(bytes(body[head_start:head_end]), name):
            start = head_end + 4
            return (start, following) if following - start <= MAX_VALUE else None
        position = following + 2
    return None


def _is_field(head: bytes, name: bytes) -> bool:
    for line in head.split(b"\r\n"):
        if line[:20].lower() == b"content-disposition:":
            found = _NAME.search(line)
            return found is not None and found.group(1) == name and b"filename" not in line.lower()
    return False
