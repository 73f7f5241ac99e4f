"""Faults on demand: what can go wrong, how it is spelled, and for which requests it is armed."""

from dataclasses import dataclass
from enum import Enum

from proxy.simulator.refusal import RefusedError

SPELLINGS = (
    "status=503[;retry-after=2], refuse, reset, garbage, stall[=SECONDS], slow=SECONDS, stall-after=N[;seconds=S], "
    "reset-after=N, close-after=N"
)


class Ending(Enum):
    """How an answer stops in its midst."""

    STALL = "stall-after"
    RESET = "reset-after"
    CLOSE = "close-after"


@dataclass(frozen=True, slots=True)
class FailedStatus:
    """An error instead of an answer; `retry_after` in seconds."""

    status: int
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is closed before any byte."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset before any byte."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The answer is not HTTP."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing is sent for `seconds`, or ever."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Slow:
    """Each event waits for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The answer stops after `after` events (or bytes). Only a stall can end, after `seconds`."""

    ending: Ending
    after: int
    seconds: float | None = None


Fault = FailedStatus | Refuse | Reset | Garbage | Stall | Slow | Cut

BARE: dict[str, Fault] = {"refuse": Refuse(), "reset": Reset(), "garbage": Garbage(), "stall": Stall()}


def parse_fault(text: str) -> Fault:
    """The fault that `text` spells; refused with 400 if there is none of that name."""
    head, _, rest = text.strip().partition(";")
    name, _, value = head.strip().partition("=")
    if not value and not rest and name in BARE:
        return BARE[name]
    try:
        return valued_fault(name, value, parse_extras(rest))
    except ValueError:
        raise RefusedError(400, f"unknown fault {text!r}: it is one of {SPELLINGS}", "x-sim-fault") from None


def parse_extras(text: str) -> dict[str, float]:
    """`name=number` pairs between semicolons."""
    pairs = (part.strip().partition("=") for part in text.split(";") if part.strip())
    return {name: float(value) for name, _, value in pairs}


def valued_fault(name: str, value: str, extras: dict[str, float]) -> Fault:
    """A fault with a number, and perhaps one more; ValueError where it does not fit."""
    fault: Fault
    match name:
        case "status" if 200 <= int(value) <= 599:
            fault = FailedStatus(int(value), extras.pop("retry-after", None))
        case "stall":
            fault = Stall(float(value))
        case "slow":
            fault = Slow(float(value))
        case "stall-after":
            fault = Cut(Ending.STALL, int(value), extras.pop("seconds", None))
        case "reset-after" | "close-after":
            fault = Cut(Ending(name), int(value))
        case _:
            raise ValueError(name)
    if extras:
        raise ValueError(name)
    return fault


@dataclass(slots=True)
class Armed:
    """A fault that waits for requests; `left` None means all of them until it is cleared."""

    text: str
    fault: Fault
    left: int | None


class FaultSwitch:
    """The faults that an engine shows to whatever comes next, by exact path; the path "" stands for all but probes."""

    def __init__(self) -> None:
        self._armed: dict[str, Armed] = {}

    def arm(self, text: str, count: int | None, path: str = "") -> None:
        """Show this fault to the next `count` requests; 0 takes the path's fault back."""
        fault = parse_fault(text) if text or count != 0 else None
        if fault is None or count == 0:
            self._armed.pop(path, None)
        else:
            self._armed[path] = Armed(text, fault, count)

    def clear(self) -> None:
        """Take all faults back."""
        self._armed.clear()

    def take(self, path: str, *, probe: bool) -> Armed | None:
        """The fault for a request to this path, counted down."""
        key = path if path in self._armed else ""
        armed = self._armed.get(key)
        if armed is None or (probe and not key):
            return None
        if armed.left is not None:
            armed.left -= 1
            if armed.left <= 0:
                del self._armed[key]
        return armed

    def report(self) -> list[dict[str, object]]:
        """What is armed, as `GET /sim/faults` tells it."""
        return [{"path": path, "fault": armed.text, "count": armed.left} for path, armed in self._armed.items()]
