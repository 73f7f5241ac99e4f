"""What the admin API tells of a canary."""

from datetime import UTC, datetime

import msgspec

from proxy.routing.canary import SideEvidence
from proxy.runtime.canary_course import CanaryView


class SideStatus(msgspec.Struct, frozen=True):
    """One side, in the window that is judged next; in the last one where nothing is judged any more."""

    server: str
    requests: int
    failures: int


class CanaryStatus(msgspec.Struct, frozen=True):
    """A canary. `weight` is its share in per cent; `step` counts from 1, and is 0 where it goes through none.

    `since` is ISO 8601, UTC.
    """

    name: str
    route: str
    rule: str
    phase: str
    weight: float
    step: int
    steps: tuple[int, ...]
    since: str
    reason: str
    stable: SideStatus
    canary: SideStatus


def canary_status(view: CanaryView) -> CanaryStatus:
    """A canary as it is now."""
    plan = view.plan
    return CanaryStatus(
        name=plan.name,
        route=plan.route,
        rule=plan.rule,
        phase=view.phase.value,
        weight=round(view.weight, 4),
        step=view.step,
        steps=plan.steps,
        since=datetime.fromtimestamp(view.since, UTC).isoformat(timespec="milliseconds"),
        reason=view.reason,
        stable=_side(plan.stable, view.stable),
        canary=_side(plan.canary, view.canary),
    )


def _side(server: str, evidence: SideEvidence) -> SideStatus:
    return SideStatus(server, evidence.trials, evidence.failures)
