"""A head that comes again with nothing changed but its Content-Length: recognised by its bytes, without a parser.

Clients and engines on a kept-alive connection mostly repeat themselves. A message whose head is, byte for byte, one
that the parser and the gate have passed before, and whose body ends where the read ends, needs neither again: they
would come to the same result and the same state. This took 6 of 26 us of a request (benchmarks/hot_path.py).
"""

import re

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,15})\r\n", re.IGNORECASE)
MAX_HEAD = 8 * 1024
"""Bytes of a head that is worth remembering."""
_MAX_DIGITS = 15


class RepeatedHead:
    """The bytes of a head before and behind the digits of its Content-Length."""

    __slots__ = ("_after", "_before", "_digits")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._digits = len(before)

    def body_of(self, data: bytes) -> bytes | None:
        """The body, where `data` is this head with any length and exactly the body that it tells; else None."""
        if not data.startswith(self._before):
            return None
        start = self._digits
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
            return None
        body_at = end + len(self._after)
        return data[body_at:] if len(data) - body_at == int(digits) else None


def learn(data: bytes) -> RepeatedHead | None:
    """What to recognise from now on, of a whole message that came in one read; None where there is nothing to learn."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    found = _LENGTH.search(data, 0, end + 2) if end > 0 else None
    if found is None:
        return None
    return RepeatedHead(data[: found.start(1)], data[found.end(1) : end + 4])
