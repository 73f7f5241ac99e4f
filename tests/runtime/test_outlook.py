from dataclasses import replace

import msgspec

from proxy.errors import Problem, Severity
from proxy.runtime.outlook import Outlook, World
from proxy.runtime.resource_facts import ResourceFacts
from tests.runtime.resource_stage import SHUT, canary, report, rewrite, route, server

FACTS = ResourceFacts((server(),), (route("chat"),), (rewrite("chat"),))
WORLD = World([report("available")], canaries=[canary("Watching", 10.0)])
ERROR = Problem(Severity.ERROR, "PS111", "a.yaml", 3, 5, "", "no such key")


def test_everything_is_judged_under_its_own_key() -> None:
    verdicts = dict(Outlook(FACTS, WORLD).verdicts())
    assert {key: verdict.phase.value for key, verdict in verdicts.items()} == {
        ("servers", "chat"): "Ready",
        ("routes", "way"): "Active",
        ("rewrites", "default/small"): "Active",
    }


def test_what_no_verdict_depends_on_makes_no_difference() -> None:
    busy = report("available")
    busy.in_flight = 9
    trial = canary("Watching", 10.0)
    more = msgspec.structs.replace(trial, canary=trial.stable)
    assert more != trial
    assert Outlook(FACTS, World([busy], canaries=[more])).stands_like(Outlook(FACTS, WORLD))


def test_whatever_a_verdict_depends_on_makes_one() -> None:
    before = Outlook(FACTS, WORLD)
    changed = [
        Outlook(ResourceFacts((server(missing=True),)), WORLD),
        Outlook(FACTS, WORLD._replace(reports=[report("ejected")])),
        Outlook(FACTS, WORLD._replace(services=[SHUT])),
        Outlook(FACTS, WORLD._replace(canaries=[canary("Failed", 0.0)])),
        Outlook(FACTS, WORLD._replace(problems=[ERROR])),
        Outlook(FACTS, WORLD._replace(problems=[replace(ERROR, line=4)], successful=False)),
    ]
    assert not any(outlook.stands_like(before) for outlook in changed)
    assert not before.stands_like(None)
