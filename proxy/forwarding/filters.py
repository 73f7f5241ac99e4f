"""What an answer's body passes through on its way to the client: filters, one behind the other."""

from collections.abc import Sequence
from typing import Protocol


class BodyFilter(Protocol):
    """Takes what each read of the engine's answer brought, and gives what may go on."""

    def feed(self, data: bytes) -> bytes:
        """What may go on of all that has come."""

    def rest(self) -> bytes:
        """What is still held, at the end of the answer."""


class Chain:
    """Several filters as one, the first being nearest to the engine."""

    __slots__ = ("_filters",)

    def __init__(self, filters: Sequence[BodyFilter]) -> None:
        self._filters = tuple(filters)

    def feed(self, data: bytes) -> bytes:
        """What may go on of all that has come."""
        for part in self._filters:
            if not data:
                break
            data = part.feed(data)
        return data

    def rest(self) -> bytes:
        """What is still held: a filter's rest passes through those behind it."""
        data = b""
        for part in self._filters:
            fed = part.feed(data) if data else b""
            data = fed + part.rest()
        return data
