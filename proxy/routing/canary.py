"""How a canary is judged against the stable target: what the evidence says, and with how much certainty."""

from dataclasses import dataclass
from enum import Enum
from math import exp, log
from typing import NamedTuple

from proxy.config.spec import Analysis
from proxy.routing.significance import binomial_chance, fisher_chance, welch_chance
from proxy.routing.wording import counted, percent

LEVEL = 0.05
"""A canary fails where what was seen has at most this chance for one that keeps to what was asked."""


class Timed(NamedTuple):
    """Times as a sum that adds up over workers: how many, and the sums of their natural logarithms and of the squares
    of those. Times are in seconds.
    """

    number: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, other: "Timed") -> "Timed":
        """Both together."""
        return Timed(self.number + other.number, self.total + other.total, self.squares + other.squares)

    def minus(self, earlier: "Timed") -> "Timed":
        """What came since an earlier look at the same sum."""
        return Timed(self.number - earlier.number, self.total - earlier.total, self.squares - earlier.squares)

    @property
    def mean(self) -> float:
        """The mean logarithm: that of the geometric mean. At least one time must be known."""
        return self.total / self.number

    @property
    def variance_of_mean(self) -> float:
        """How uncertain the mean is. At least two times must be known."""
        return max(0.0, self.squares - self.total * self.mean) / (self.number - 1) / self.number


class SideEvidence(NamedTuple):
    """What was seen of one side of a split: its trials, how many failed, and the times of those that went well."""

    trials: int = 0
    failures: int = 0
    ttft: Timed = Timed()
    tpot: Timed = Timed()

    def plus(self, other: "SideEvidence") -> "SideEvidence":
        """Both together."""
        return SideEvidence(
            self.trials + other.trials,
            self.failures + other.failures,
            self.ttft.plus(other.ttft),
            self.tpot.plus(other.tpot),
        )

    def minus(self, earlier: "SideEvidence") -> "SideEvidence":
        """What came since an earlier look at the same counters."""
        return SideEvidence(
            self.trials - earlier.trials,
            self.failures - earlier.failures,
            self.ttft.minus(earlier.ttft),
            self.tpot.minus(earlier.tpot),
        )

    def times(self) -> "SideEvidence":
        """The times alone."""
        return self._replace(trials=0, failures=0)

    def __str__(self) -> str:
        return f"{self.failures:,} of {counted(self.trials, 'request')} failed"


NOTHING = SideEvidence()


class Outcome(Enum):
    """What a judgement comes to."""

    PASS = "passed"  # noqa: S105 - no password
    FAIL = "failed"
    WATCH = "watched"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement with its reason in words.

    `counted` says of one that watches on that the counts have told all that they can: they begin anew, and only the
    times are gathered on. Otherwise an hour in which all failed would hide for days what comes after it.
    """

    outcome: Outcome
    reason: str
    counted: bool = False


# --- the judgement ----------------------------------------------------------------------------------------------------


def judge(analysis: Analysis, stable: SideEvidence, canary: SideEvidence, *, promoting: bool = False) -> Verdict:
    """What the evidence of one window says of a canary.

    It fails where its success is below the threshold at the 5 % level and the stable target does not fail as well, or
    where one of its times is above what the stable target's allow, at the same level. Too few timed requests fail
    nobody; they keep it waiting only where it would be promoted (`promoting`).
    """
    success = _judge_success(analysis, stable, canary)
    times = _judge_times(analysis, stable, canary)
    for part in (success, *times):
        if part.outcome is Outcome.FAIL:
            return part
    if success.outcome is Outcome.WATCH:
        return success
    for part in times:
        if part.outcome is Outcome.WATCH and (promoting or part.counted):
            return Verdict(Outcome.WATCH, part.reason, counted=True)
    return Verdict(Outcome.PASS, "; ".join([success.reason, *(part.reason for part in times)]))


def _judge_success(analysis: Analysis, stable: SideEvidence, canary: SideEvidence) -> Verdict:
    """On the success rate alone."""
    if canary.trials < max(1, analysis.min_requests):
        reason = f"too little evidence: {canary.trials:,} of {counted(analysis.min_requests, 'request')}"
        return Verdict(Outcome.WATCH, reason)
    threshold = analysis.threshold / 100
    success = 1 - canary.failures / canary.trials
    told = f"{canary} ({percent(success)} success, threshold {analysis.threshold:g}%)"
    if success >= threshold:
        return Verdict(Outcome.PASS, told)
    chance = binomial_chance(canary.trials, canary.failures, threshold)
    if chance > LEVEL:
        return Verdict(Outcome.WATCH, f"{told}: may be chance (binomial test, p={chance:.2g})")
    told = f"{told}: significantly below (binomial test, p={chance:.2g}); stable: {stable}"
    if _fails_itself(analysis, stable):
        worse = fisher_chance(canary.trials, canary.failures, stable.trials, stable.failures)
        if worse > LEVEL:
            return Verdict(Outcome.WATCH, f"stable fails as well: {told} (Fisher's test, p={worse:.2g})", counted=True)
    return Verdict(Outcome.FAIL, told)


def _fails_itself(analysis: Analysis, stable: SideEvidence) -> bool:
    """Whether the stable target has enough evidence, and is below the threshold with certainty."""
    if stable.trials < max(1, analysis.min_requests):
        return False
    return binomial_chance(stable.trials, stable.failures, analysis.threshold / 100) <= LEVEL


def _judge_times(analysis: Analysis, stable: SideEvidence, canary: SideEvidence) -> list[Verdict]:
    """On each time that is bounded."""
    wanted = (
        ("time to first token", analysis.ttft, stable.ttft, canary.ttft),
        ("time per token", analysis.tpot, stable.tpot, canary.tpot),
    )
    least = max(2, analysis.min_requests)
    return [
        _judge_time(name, allowed, least, reference, found)
        for name, allowed, reference, found in wanted
        if allowed is not None
    ]


def _judge_time(name: str, allowed: float, least: int, stable: Timed, canary: Timed) -> Verdict:
    """On one time: `counted` tells an excess that may be chance from a lack of evidence."""
    if canary.number < least or stable.number < least:
        known = f"{canary.number:,} of the canary's and {stable.number:,} of stable's"
        return Verdict(Outcome.WATCH, f"{name}: too little evidence: {known}, of {least:,} timed requests each")
    excess = canary.mean - stable.mean
    told = f"{name} {exp(min(excess, 700.0)):.2f} times stable's ({allowed:g} allowed)"
    if excess <= log(allowed):
        return Verdict(Outcome.PASS, told)
    # Times are skewed, their logarithms much less so; a ratio of geometric means is a difference of these.
    chance = welch_chance(
        excess - log(allowed), (canary.number, canary.variance_of_mean), (stable.number, stable.variance_of_mean)
    )
    if chance > LEVEL:
        return Verdict(Outcome.WATCH, f"{told}: may be chance (Welch's test, p={chance:.2g})", counted=True)
    return Verdict(Outcome.FAIL, f"{told}: significantly above (Welch's test, p={chance:.2g})")
