"""Who is next: higher priorities first, within one the callers in turn, and each caller's own as they came."""

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

SPARE_DEADLINES = 64
"""Deadlines of those who left that may stand beside as many again as wait, before they are cleared away."""


class Entry(Generic[T]):
    """One that waits: for whom, how urgently, until when (seconds of any one clock). `waits` is the queue's own."""

    __slots__ = ("caller", "expires", "item", "priority", "waits")

    def __init__(self, item: T, caller: str, priority: int, expires: float) -> None:
        self.item = item
        self.caller = caller
        self.priority = priority
        self.expires = expires
        self.waits = True

    def __repr__(self) -> str:
        return f"<Entry of {self.caller!r}, priority {self.priority}>"


class FairQueue(Generic[T]):
    """Owns those who wait. A caller with a thousand of them delays another's first one by no more than one turn.

    Each priority has its callers in the order of their turns (round robin: who was served goes to the end), each caller
    its entries in the order of their coming. Deadlines stand in a heap of their own, where those of entries that have
    left are skipped.
    """

    __slots__ = ("_bands", "_deadlines", "_number", "_size")

    def __init__(self) -> None:
        self._bands: dict[int, OrderedDict[str, OrderedDict[Entry[T], None]]] = {}
        self._deadlines: list[tuple[float, int, Entry[T]]] = []
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<FairQueue, {self._size} wait>"

    def push(self, item: T, caller: str, priority: int, expires: float) -> Entry[T]:
        """One more waits, behind all of its caller's in this priority."""
        entry = Entry(item, caller, priority, expires)
        self._bands.setdefault(priority, OrderedDict()).setdefault(caller, OrderedDict())[entry] = None
        self._number += 1
        heappush(self._deadlines, (expires, self._number, entry))
        self._size += 1
        return entry

    def peek(self) -> Entry[T] | None:
        """The next one, None where nobody waits."""
        if not self._size:
            return None
        callers = self._bands[max(self._bands)]
        return next(iter(next(iter(callers.values()))))

    def pop(self) -> Entry[T] | None:
        """Take the next one out; its caller's next turn comes after all others'."""
        entry = self.peek()
        if entry is not None:
            self._bands[entry.priority].move_to_end(entry.caller)
            self.remove(entry)
        return entry

    def remove(self, entry: Entry[T]) -> bool:
        """Take this one out; whether it still waited. Nobody else's turn changes by it."""
        if not entry.waits:
            return False
        entry.waits = False
        callers = self._bands[entry.priority]
        own = callers[entry.caller]
        del own[entry]
        if not own:
            del callers[entry.caller]
        if not callers:
            del self._bands[entry.priority]
        self._size -= 1
        self._clear_deadlines()
        return True

    def displace(self, priority: int) -> Entry[T] | None:
        """Make room for one of this priority: of the lowest below it the newest of the caller with most waiting."""
        lowest = min(self._bands, default=priority)
        if lowest >= priority:
            return None
        callers = self._bands[lowest]
        most = max(reversed(callers), key=lambda caller: len(callers[caller]))
        entry = next(reversed(callers[most]))
        self.remove(entry)
        return entry

    def expired(self, now: float) -> list[Entry[T]]:
        """Take out all whose time is over."""
        over = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            entry = heappop(deadlines)[2]
            if self.remove(entry):
                over.append(entry)
        return over

    def clear(self) -> list[Entry[T]]:
        """Take out all."""
        return [entry for _, _, entry in sorted(self._deadlines) if self.remove(entry)]

    def _clear_deadlines(self) -> None:
        """Not at once, so that it costs each entry no more than a constant."""
        if len(self._deadlines) > 2 * self._size + SPARE_DEADLINES:
            self._deadlines[:] = [deadline for deadline in self._deadlines if deadline[2].waits]
            heapify(self._deadlines)
