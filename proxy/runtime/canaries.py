"""All canaries of a configuration: their courses, the evidence that comes from workers, and what operators ask."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import assert_never

import msgspec

from proxy.errors import PenstockError
from proxy.routing.canary import NOTHING, SideEvidence
from proxy.runtime.canary_course import CanaryView, Course, Moment
from proxy.runtime.canary_plan import CanaryPlan, CanaryWeights
from proxy.runtime.canary_state import Key, Phase, SavedCanary
from proxy.telemetry.report import CanaryCounters, WorkerReport

LONGEST_ABSENCE = 7 * 24 * 3600.0
"""Seconds for which a canary whose rule is away is remembered: tools take a file away and bring it back."""

MOST_ABSENT = 1_000


class CanaryError(PenstockError):
    """A canary that an operator named does not exist, or its name fits several."""


class Action(Enum):
    """What an operator can ask of a canary."""

    PROMOTE = "promote"
    ABORT = "abort"
    RESUME = "resume"


Courses = Mapping[Key, Course]


class Canaries:
    """All canaries of the configuration in force. Its state: their courses, what was saved of those whose rule is away,
    and what each worker had counted when it was last asked, by its process.
    """

    def __init__(self, saved: Mapping[Key, SavedCanary]) -> None:
        self._courses: Courses = {}
        self._absent = saved
        self._seen: dict[int, dict[tuple[str, str, int], SideEvidence]] = {}

    def prospect(self, plans: Iterable[CanaryPlan], now: Moment) -> Courses:
        """The courses that these plans would have: one whose plan is unchanged goes on, also after a restart or
        when its rule was away for a while.
        """
        return {plan.key: self._course(plan, now) for plan in plans}

    def install(self, courses: Courses, now: Moment) -> None:
        """Put a prospect in force, and remember for a while those that it has no rule for."""
        absent = [
            (key, msgspec.structs.replace(saved, gone=now.unix if saved.gone is None else min(saved.gone, now.unix)))
            for key, saved in self.saved.items()
            if key not in courses and _remembered(saved, now)
        ]
        absent.sort(key=lambda each: each[1].gone or 0.0, reverse=True)
        self._courses, self._absent = courses, dict(absent[:MOST_ABSENT])

    def observe(self, reports: Iterable[WorkerReport]) -> None:
        """Add what workers have counted since they were last asked. They must be asked one time after another."""
        present = {}
        for report in reports:
            before = self._seen.get(report.pid, {})
            present[report.pid] = {_place(counters): counters.evidence for counters in report.canaries}
            for counters in report.canaries:
                self._add(counters, before.get(_place(counters), NOTHING))
        self._seen = present

    def judge(self, now: Moment) -> list[Course]:
        """Judge what is due. Returns those whose phase or step changed."""
        return [course for course in self._courses.values() if course.judge(now)]

    def command(self, action: Action, name: str, now: Moment) -> Course:
        """Do as an operator asks. Raises CanaryError."""
        course = self._find(name)
        match action:
            case Action.PROMOTE:
                course.enter(Phase.PROMOTED, "by command", now)
            case Action.ABORT:
                course.enter(Phase.ABORTED, "by command", now)
            case Action.RESUME:
                course = Course(course.plan, now)
                course.reason = "resumed by command"
                self._courses = {**self._courses, course.plan.key: course}
            case _:
                assert_never(action)
        return course

    @property
    def due(self) -> float | None:
        """When the next one is judged, on the steady clock; None where none is."""
        return min((course.due for course in self._courses.values() if course.due is not None), default=None)

    @property
    def weights(self) -> tuple[CanaryWeights, ...]:
        """The weights that stand in place of the files'."""
        return weights_of(self._courses)

    @property
    def saved(self) -> dict[Key, SavedCanary]:
        """What must outlive a restart."""
        return {**self._absent, **{key: course.saved for key, course in self._courses.items()}}

    def views(self) -> list[CanaryView]:
        """All of them, in the order of the files."""
        return [course.view for course in self._courses.values()]

    def _course(self, plan: CanaryPlan, now: Moment) -> Course:
        known = self._courses.get(plan.key)
        if known is not None and known.plan.digest == plan.digest:
            return known
        saved = self._absent.get(plan.key)
        returns = saved is not None and saved.fits(plan.digest) and _remembered(saved, now)
        return Course(plan, now, saved if returns else None)

    def _add(self, counters: CanaryCounters, earlier: SideEvidence) -> None:
        course = self._courses.get((counters.route, counters.rule))
        if course is None or counters.side not in {0, 1}:
            return
        evidence = counters.evidence
        began_anew = evidence.trials < earlier.trials or evidence.failures < earlier.failures
        course.observe(counters.side, evidence if began_anew else evidence.minus(earlier))

    def _find(self, name: str) -> Course:
        """The canary of this name, or the only one of the route of this name."""
        courses = self._courses.values()
        found = [course for course in courses if course.plan.name == name]
        found = found or [course for course in courses if course.plan.route == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise CanaryError(f"{name!r} has several canaries: {_names(found)}")
        raise CanaryError(f"there is no canary {name!r}; there {f'is {_names(courses)}' if courses else 'is none'}")


def weights_of(courses: Courses) -> tuple[CanaryWeights, ...]:
    """The weights of those that are not split as their files say."""
    return tuple(
        CanaryWeights(*key, *course.shares) for key, course in courses.items() if course.shares != course.plan.weights
    )


def _remembered(saved: SavedCanary, now: Moment) -> bool:
    return saved.gone is None or now.unix - saved.gone <= LONGEST_ABSENCE


def _place(counters: CanaryCounters) -> tuple[str, str, int]:
    return counters.route, counters.rule, counters.side


def _names(courses: Iterable[Course]) -> str:
    return ", ".join(course.plan.name for course in courses)
