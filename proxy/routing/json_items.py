"""Bytes that come in pieces, cut into lines or into the items of one JSON array, without holding more than one."""

import re
from collections.abc import Iterable, Iterator

from proxy.errors import PenstockError

LARGEST = 64 * 1024 * 1024
"""Bytes of one line or item; the largest body that the proxy takes unless told otherwise."""

_CLOSING = {b"[": b"]", b"{": b"}"}
_SIGN = re.compile(rb'\\.?|["\[\]{},]', re.DOTALL)


class ItemsError(PenstockError):
    """What is no JSON array, or holds an item that is too large; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def lines_of(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, without its end. Raises ItemsError on one that is too long."""
    number, held, size = 1, [b""], 0
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            yield number, b"".join([*held, part])
            number, held, size = number + 1, [], 0
        held.append(rest)
        size += len(rest)
        if size > LARGEST:
            raise ItemsError(number, f"a line of more than {LARGEST // 1024**2} MiB")
    if size:
        yield number, b"".join(held)


def items_of(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each item of the array as it is spelled, with the number of the line on which it begins.

    Raises ItemsError where the array is none; what an item holds is for its reader to judge.
    """
    cutter = _Cutter()
    for piece in pieces:
        yield from cutter.feed(piece)
    cutter.end()


class _Cutter:
    """Owns the place in the array: what is open, within a string or not, and the bytes of the item that has begun."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._quoted = False
        self._escaped = False
        self._item = bytearray()
        self._line = 1
        self._found = 0
        self._over = False

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """The items that end in this piece."""
        start = 0
        first = 1 if self._escaped else 0
        self._escaped = False
        for sign in _SIGN.finditer(piece, first):
            if self._over or self._skips(sign[0]):
                continue
            self._take(piece[start : sign.start()])
            start = sign.start()
            if not self._open:
                self._begin(sign[0])
                start = sign.end()
            elif self._ends(sign[0]):
                start = sign.end()
                yield from self._cut(last=sign[0] != b",")
        self._take(piece[start:])

    def end(self) -> None:
        """There is no more."""
        if not self._over:
            raise ItemsError(self._line, "the array has no end")
        if self._item.strip():
            raise ItemsError(self._line, "something stands behind the array")

    def _skips(self, sign: bytes) -> bool:
        """What a string holds tells nothing; a backslash at a piece's end takes the first byte of the next one."""
        self._escaped = sign == b"\\"
        if sign == b'"':
            self._quoted = not self._quoted
        return self._quoted or sign in {b'"', b"\\"} or len(sign) > 1

    def _begin(self, sign: bytes) -> None:
        if sign != b"[" or self._item.strip():
            raise ItemsError(self._line, "expected a JSON array")
        self._line += self._item.count(b"\n")
        self._item.clear()
        self._open.append(sign)

    def _ends(self, sign: bytes) -> bool:
        """Whether an item ends here."""
        if sign == b",":
            return len(self._open) == 1
        if sign in {b"[", b"{"}:
            self._open.append(sign)
            return False
        if _CLOSING[self._open.pop()] != sign:
            line = self._line + self._item.count(b"\n")
            raise ItemsError(line, f"not JSON: {sign.decode()} closes what it has not opened")
        return not self._open

    def _cut(self, *, last: bool) -> Iterator[tuple[int, bytes]]:
        item = bytes(self._item)
        self._item.clear()
        line = self._line + item[: len(item) - len(item.lstrip())].count(b"\n")
        self._line += item.count(b"\n")
        self._over = last
        if item.strip():
            self._found += 1
            yield line, item.strip()
        elif not last or self._found:
            raise ItemsError(line, "an item of the array is missing")

    def _take(self, part: bytes) -> None:
        self._item += part
        if len(self._item) > LARGEST:
            raise ItemsError(self._line, f"an item of more than {LARGEST // 1024**2} MiB")
