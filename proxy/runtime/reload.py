"""What a reload comes to: whether a reading is put in force, and what is remembered of it."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from proxy.errors import Problem
from proxy.runtime.reading import Reading


class Verdict(Enum):
    """What to do with a reading."""

    APPLY = "apply"
    NOTHING = "nothing"  # it is what is in force
    KEEP = "keep"  # it cannot be used: what is in force stays


class Outcome(Enum):
    """What became of a reload; the values are the words of the metric and of the admin API."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"  # it had errors
    FAILED = "failed"  # a worker could not put it in force

    @property
    def successful(self) -> bool:
        """Whether what lies in the files is what is in force."""
        return self in {Outcome.APPLIED, Outcome.UNCHANGED}


@dataclass(frozen=True, slots=True)
class ReloadFacts:
    """What is known of the configuration in force and of the reloads so far. Times are unix seconds."""

    version: str
    loaded_at: float
    last_reload_successful: bool
    last_success: float
    reloads: dict[str, int]
    problems: tuple[Problem, ...]


class Reloader:
    """Judges readings and remembers outcomes. Its state: the version in force, and the facts of the last reload."""

    def __init__(self) -> None:
        self.version = ""
        self._loaded_at = 0.0
        self._last = Outcome.APPLIED
        self._last_success = 0.0
        self._reloads: Counter[str] = Counter({outcome.value: 0 for outcome in Outcome})
        self._problems: tuple[Problem, ...] = ()

    def judge(self, reading: Reading) -> Verdict:
        """What to do with a reading."""
        if not reading.usable:
            return Verdict.KEEP
        return Verdict.NOTHING if reading.version == self.version else Verdict.APPLY

    def begin(self, reading: Reading, now: float) -> None:
        """Remember the first configuration, which is no reload. `now` is unix time."""
        self.version = reading.version
        self._loaded_at = self._last_success = now
        self._problems = reading.problems

    def record(self, outcome: Outcome, reading: Reading, now: float, problems: tuple[Problem, ...] = ()) -> None:
        """Remember what became of a reading; `problems` are those found after it was read. `now` is unix time."""
        self._last = outcome
        self._reloads[outcome.value] += 1
        self._problems = (*reading.problems, *problems)
        if outcome.successful:
            self._last_success = now
        if outcome is Outcome.APPLIED:
            self.version = reading.version
            self._loaded_at = now

    def facts(self) -> ReloadFacts:
        """All of it, now."""
        return ReloadFacts(
            version=self.version,
            loaded_at=self._loaded_at,
            last_reload_successful=self._last.successful,
            last_success=self._last_success,
            reloads=dict(self._reloads),
            problems=self._problems,
        )
