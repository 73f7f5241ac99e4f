"""The client's own model name, put back into an answer to a request that was sent with another one."""

import re

import msgspec

_MEMBER = re.compile(rb'(?<!\\)"model"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)
# The end of a read that may be the beginning of such a member.
_BEGINNING = re.compile(
    rb'(?<!\\)"(?:m(?:o(?:d(?:e(?:l(?:"[ \t\r\n]*(?::[ \t\r\n]*(?:"[^"\\]*(?:\\.[^"\\]*)*\\?)?)?)?)?)?)?)?)?\Z',
    re.DOTALL,
)
_LONGEST_NAME = 4_096
"""Bytes of a member that are waited for."""
_JSON_TYPES = (b"application/json", b"text/event-stream", b"application/x-ndjson")


class ModelRestorer:
    """Owns what of one answer's body is held back: the part of a name that a read has cut.

    Each `"model": "<sent>"`, wherever it stands in the JSON and however it is spaced or escaped, becomes the client's
    name. Inside a text such a member would have its quotes escaped, so no text is touched. The result does not depend
    on where the reads were cut.
    """

    __slots__ = ("_held", "_previous", "_sent", "_spelled", "_told")

    def __init__(self, sent: str, told: str) -> None:
        self._sent = sent
        self._spelled = msgspec.json.encode(sent)
        self._told = msgspec.json.encode(told)
        self._held = b""
        self._previous = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on of all that has come."""
        data = self._previous + self._held + data
        position = len(self._previous)
        pieces: list[bytes] = []
        for found in _MEMBER.finditer(data, position):
            if self._is_sent(found[1]):
                pieces += (data[position : found.start(1)], self._told)
                position = found.end(1)
        cut = self._cut(data, position)
        self._held = data[cut:]
        self._previous = data[cut - 1 : cut]
        pieces.append(data[position:cut])
        return b"".join(pieces)

    def rest(self) -> bytes:
        """What is still held, at the end of the answer."""
        held, self._held = self._held, b""
        return held

    def _cut(self, data: bytes, start: int) -> int:
        """Where what must wait for the next read begins."""
        found = _BEGINNING.search(data, max(start, len(data) - _LONGEST_NAME))
        return len(data) if found is None else found.start()

    def _is_sent(self, name: bytes) -> bool:
        return name == self._spelled or (b"\\" in name and _text_of(name) == self._sent)


def _text_of(literal: bytes) -> str | None:
    try:
        return msgspec.json.decode(literal, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def can_restore(content_type: bytes, coded: bool) -> bool:
    """Whether an answer of this type can be looked into; a compressed one cannot."""
    return not coded and content_type.lower().startswith(_JSON_TYPES)
