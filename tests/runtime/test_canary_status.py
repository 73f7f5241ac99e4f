"""Promises of what the admin API tells of a canary."""

import msgspec

from proxy.routing.canary import SideEvidence
from proxy.runtime.canary_status import canary_status
from tests.runtime.canary_stage import STEPS, Stage, plan


def test_a_canary_is_told_with_its_share_its_step_and_what_was_seen() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.interval((200, 1))
    stage.workers[0].serve(0, 90, 2)
    stage.workers[0].serve(1, 10, 1)
    stage.look()
    assert msgspec.to_builtins(canary_status(stage.view)) == {
        "name": "chat/all",
        "route": "chat",
        "rule": "all",
        "phase": "Progressing",
        "weight": 5.0,
        "step": 2,
        "steps": STEPS,
        "since": "2023-11-14T22:31:00.000+00:00",
        "reason": "1 of 200 requests failed (99.5% success, threshold 95%)",
        "stable": {"server": "stable", "requests": 90, "failures": 2},
        "canary": {"server": "new", "requests": 10, "failures": 1},
    }


def test_a_canary_without_steps_has_the_share_of_its_file() -> None:
    status = canary_status(Stage(plan()).view)
    assert (status.phase, status.weight, status.step) == ("Watching", 10.0, 0)
    assert status.canary.requests == SideEvidence().trials
