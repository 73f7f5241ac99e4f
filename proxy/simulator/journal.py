"""What reached an engine and what became of it."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Entry:
    """One request as it came. Times are seconds since the epoch; `finished` stays None while it is being answered.

    `executed` says that work was begun for it, `aborted` that its client left before the end, `broken` that its fault
    kept it from a whole answer, `events` how many events of a stream were sent.
    """

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    started: float
    body: str = ""
    finished: float | None = None
    status: int = 0
    executed: bool = False
    aborted: bool = False
    fault: str = ""
    broken: bool = False
    events: int = 0


@dataclass(slots=True)
class Counters:
    """Requests since the start; probes (health, metrics, loads) are counted apart and not kept."""

    received: int = 0
    executed: int = 0
    completed: int = 0
    aborted: int = 0
    refused: int = 0
    faulted: int = 0
    in_flight: int = 0
    probes: int = 0


@dataclass(slots=True)
class Journal:
    """The last requests and the counters over all of them."""

    entries: deque[Entry]
    counters: Counters = field(default_factory=Counters)

    def open(self, entry: Entry) -> None:
        """A request has come."""
        self.entries.append(entry)
        self.counters.received += 1
        self.counters.in_flight += 1

    def execute(self, entry: Entry) -> None:
        """Work for it begins. Once a request, however many answers it asks for."""
        entry.executed = True
        self.counters.executed += 1

    def close(self, entry: Entry, now: float) -> None:
        """It has ended, well or not."""
        entry.finished = now
        self.counters.in_flight -= 1
        if entry.aborted:
            self.counters.aborted += 1
        elif entry.broken:
            self.counters.faulted += 1
        elif entry.status >= 400:
            self.counters.refused += 1
        else:
            self.counters.completed += 1

    def clear(self) -> None:
        """Forget what has ended; what is in flight stays counted and will be counted when it ends."""
        self.entries = deque((entry for entry in self.entries if entry.finished is None), self.entries.maxlen)
        self.counters = Counters(received=self.counters.in_flight, in_flight=self.counters.in_flight)
