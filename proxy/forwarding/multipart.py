"""A look into a multipart form (RFC 7578): where the value of one field stands, the files beside it untouched."""

import re

Body = bytes | bytearray

_BOUNDARY = re.compile(rb'[;\s]boundary=(?:"([^"]{1,70})"|([^;\s"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
MAX_PARTS = 64
"""Parts that are looked at; speech clients send fewer than ten."""
MAX_VALUE = 1024
"""Bytes of a model's name."""


def field_span(body: Body, content_type: bytes, name: bytes) -> tuple[int, int] | None:
    """The place of the part of this name that is not a file; None where there is none, or more than one.

    With two of a name, or two boundaries, an engine could read the other one than we did.
    """
    boundaries = _BOUNDARY.findall(content_type)
    if len(boundaries) != 1:
        return None
    delimiter = b"--" + (boundaries[0][0] or boundaries[0][1])
    found: tuple[int, int] | None = None
    position = body.find(delimiter)
    for _ in range(MAX_PARTS):
        if position < 0:
            return found
        head_start = position + len(delimiter)
        head_end = body.find(b"\r\n\r\n", head_start)
        following = body.find(b"\r\n" + delimiter, head_start)
        if head_end < 0 or following < 0 or head_end > following + 2:
            return found
        if _is_field(bytes(body[head_start:head_end]), name):
            start = head_end + 4
            if found is not None or following - start > MAX_VALUE:
                return None
            found = start, following
        position = following + 2
    return None


def _is_field(head: bytes, name: bytes) -> bool:
    for line in head.split(b"\r\n"):
        if line[:20].lower() == b"content-disposition:":
            found = _NAME.search(line)
            return found is not None and found.group(1) == name and b"filename" not in line.lower()
    return False
