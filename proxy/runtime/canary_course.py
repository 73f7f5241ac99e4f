"""The way of one canary: what is seen of it, how it is judged, and the share that comes of it. Time is handed in."""

from dataclasses import replace
from typing import NamedTuple, assert_never

from proxy.config.spec import Analysis
from proxy.routing.canary import NOTHING, Outcome, SideEvidence, Verdict, judge
from proxy.runtime.canary_plan import CanaryPlan
from proxy.runtime.canary_state import Phase, SavedCanary

JUDGED = frozenset({Phase.PROGRESSING, Phase.WATCHING})
WHOLE = 100


class Moment(NamedTuple):
    """Now, by two clocks: one that only goes forward, and unix time. Seconds."""

    steady: float
    unix: float


class CanaryView(NamedTuple):
    """A canary as it is told. `weight` is its share in per cent, `step` counts from 1 and is 0 where it has no steps.

    The evidence is that of the present window.
    """

    plan: CanaryPlan
    phase: Phase
    weight: float
    step: int
    since: float
    reason: str
    stable: SideEvidence
    canary: SideEvidence


class Course:
    """One canary's way. Its state: the phase and step it is in, and what was seen of both sides in this window."""

    def __init__(self, plan: CanaryPlan, now: Moment, saved: SavedCanary | None = None) -> None:
        self.plan = plan
        self.phase = Phase.PROGRESSING if plan.steps and plan.analysis is not None else Phase.WATCHING
        self.step = 0
        self.since = now.unix
        self.reason = "" if plan.analysis is not None else "it has no analysis"
        self._sides = [NOTHING, NOTHING]
        self._before = NOTHING
        self._due = 0.0
        if saved is not None:
            self._return(saved, now)
        self._begin_window(now)

    @property
    def due(self) -> float | None:
        """When it is judged next, on the steady clock; None where it is not."""
        return self._due if self.plan.analysis is not None and self.phase in JUDGED else None

    @property
    def shares(self) -> tuple[int, int]:
        """The weights of the stable target and of the canary."""
        match self.phase:
            case Phase.PROGRESSING:
                share = self.plan.steps[self.step] if self.plan.steps else 0
                return WHOLE - share, share
            case Phase.WATCHING:
                return self.plan.weights
            case Phase.FAILED | Phase.ABORTED:
                return WHOLE, 0
            case Phase.PROMOTED:
                return 0, WHOLE
            case _:
                assert_never(self.phase)

    @property
    def view(self) -> CanaryView:
        """All of it, as it is now."""
        weights = self.shares
        weight = 100 * weights[1] / max(1, sum(weights))
        step = self.step + 1 if self.phase is Phase.PROGRESSING else 0
        stable, canary = self._sides
        return CanaryView(self.plan, self.phase, weight, step, self.since, self.reason, stable, canary)

    @property
    def saved(self) -> SavedCanary:
        """What must outlive a restart."""
        reason = "" if self.phase in JUDGED else self.reason  # the file is not written for each judgement
        return SavedCanary(self.plan.digest, self.phase, self.view.weight, self.step, self.since, reason)

    def observe(self, side: int, evidence: SideEvidence) -> None:
        """Add what was seen of a side since it was last told. What is judged no more keeps what it was judged by."""
        if self.phase in JUDGED:
            self._sides[side] = self._sides[side].plus(evidence)

    def judge(self, now: Moment) -> bool:
        """Judge it if that is due. Returns whether its phase or step changed."""
        analysis = self.plan.analysis
        if analysis is None or self.due is None or now.steady < self._due:
            return False
        self._due = now.steady + analysis.interval
        verdict = self._verdict(analysis)
        match verdict.outcome:
            case Outcome.FAIL:
                self.enter(Phase.FAILED, verdict.reason, now)
                return True
            case Outcome.PASS:
                return self._pass(verdict, now)
            case Outcome.WATCH:
                self.reason = verdict.reason
                if verdict.counted:
                    self._sides = [side.times() for side in self._sides]
                return False
            case _:
                assert_never(verdict.outcome)

    def enter(self, phase: Phase, reason: str, now: Moment) -> None:
        """Begin a phase, and remember why and when."""
        self.phase, self.reason, self.since = phase, reason, now.unix

    def _verdict(self, analysis: Analysis) -> Verdict:
        """What this window says. Where the canary has all requests, its times are held against stable's before that,
        and where there were too few of these, they are not judged.
        """
        stable, canary = self._sides
        if not self.shares[0]:
            stable = stable.plus(self._before.times())
            least = max(2, analysis.min_requests)
            analysis = replace(
                analysis,
                ttft=analysis.ttft if stable.ttft.number >= least else None,
                tpot=analysis.tpot if stable.tpot.number >= least else None,
            )
        return judge(analysis, stable, canary, promoting=self.phase is Phase.PROGRESSING)

    def _pass(self, verdict: Verdict, now: Moment) -> bool:
        """It did well: the next step if there is one, and a new window. Its last step promotes it if that is 100."""
        if self.phase is Phase.PROGRESSING and self.plan.steps[self.step] >= WHOLE:
            self.enter(Phase.PROMOTED, verdict.reason, now)
            return True
        self._begin_window(now)
        self.reason = verdict.reason
        if self.phase is Phase.PROGRESSING and self.step + 1 < len(self.plan.steps):
            self.step += 1
            self.since = now.unix
            return True
        return False

    def _return(self, saved: SavedCanary, now: Moment) -> None:
        """Go on where it stood before a restart."""
        self.step = min(max(saved.step, 0), max(0, len(self.plan.steps) - 1))
        self.since = min(saved.since, now.unix) if saved.since > 0 else now.unix
        if saved.phase not in JUDGED:
            self.phase, self.reason = saved.phase, saved.reason

    def _begin_window(self, now: Moment) -> None:
        if self._sides[0].trials:
            self._before = self._sides[0]
        self._sides = [NOTHING, NOTHING]
        self._due = now.steady + (self.plan.analysis.interval if self.plan.analysis is not None else 0.0)
