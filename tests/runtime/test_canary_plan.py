"""Promises of what a configuration asks of its canaries."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from proxy.config.spec import (
    Analysis,
    Canary,
    Config,
    EndpointSpec,
    ModelServer,
    Origin,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Target,
)
from proxy.runtime.canary_plan import CanaryPlan, CanaryWeights, canary_plans, with_weights

ROOT = Path(__file__).parent.parent.parent


def engine(name: str, **fields: object) -> ModelServer:
    return ModelServer(name, (EndpointSpec("http", f"{name}.example", 8000),), **fields)  # type: ignore[arg-type]


RULE = Rule(
    "all",
    (Target("stable", 90), Target("new", 10)),
    canary=Canary(Analysis(95.0, 60.0), steps=(1, 5, 100)),
    retries=Retries(failures=frozenset({"reset", "timeout", "connect-failure"})),
)
SERVERS = {"stable": engine("stable"), "new": engine("new"), "other": engine("other")}


def config(rule: Rule = RULE, servers: dict[str, ModelServer] | None = None, route: str = "chat") -> Config:
    return Config(SERVERS if servers is None else servers, (Route(route, (Rule("plain", (Target("other"),)), rule)),))


def plan(*asked: object) -> CanaryPlan:
    (found,) = canary_plans(config(*asked))  # type: ignore[arg-type]
    return found


def test_a_plan_says_what_the_file_says() -> None:
    found = plan()
    assert (found.name, found.stable, found.canary) == ("chat/all", "stable", "new")
    assert (found.weights, found.steps, found.analysis) == ((90, 10), (1, 5, 100), Analysis(95.0, 60.0))


def test_a_plan_crosses_to_another_process() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan()), type=CanaryPlan) == plan()


@pytest.mark.parametrize("rule", [replace(RULE, enabled=False), replace(RULE, canary=None), replace(RULE, targets=())])
def test_what_is_no_canary_or_turned_off_has_no_plan(rule: Rule) -> None:
    assert list(canary_plans(config(rule))) == []


@pytest.mark.parametrize(
    "changed",
    [
        config(replace(RULE, targets=(Target("stable", 80), Target("new", 20)))),
        config(replace(RULE, targets=(Target("stable", 90), Target("other", 10)))),
        config(replace(RULE, canary=Canary(Analysis(99.0, 60.0), steps=(1, 5, 100)))),
        config(replace(RULE, canary=Canary(Analysis(95.0, 60.0)))),
        config(servers={**SERVERS, "new": engine("new", model="qwen-2")}),
        config(servers={**SERVERS, "stable": replace(SERVERS["stable"], endpoints=())}),
        config(route="talk"),
        config(replace(RULE, name="each")),
    ],
)
def test_the_digest_changes_with_the_targets_the_canary_and_both_servers(changed: Config) -> None:
    (found,) = canary_plans(changed)
    assert found.digest != plan().digest


def test_the_digest_stays_where_lines_move_or_something_else_changes() -> None:
    there = Origin("b.yaml", 70, 3, "routes[4]")
    rewrites = (Rewrite((RewriteTarget("m"),), origin=there),)
    one = plan(RULE, {**SERVERS, "new": engine("new", rewrites=(replace(rewrites[0], origin=Origin("", 1, 1, "")),))})
    other = plan(
        replace(RULE, origin=there, description="new words"),
        {**SERVERS, "other": engine("other", model="x"), "new": engine("new", rewrites=rewrites, origin=there)},
    )
    assert one.digest == other.digest


def test_the_digest_is_the_same_in_every_process() -> None:
    script = "from tests.runtime.test_canary_plan import plan; print(plan().digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert digests == {plan().digest}


def test_weights_replace_those_of_their_rule_and_nothing_else() -> None:
    asked = config()
    routes = with_weights(asked.routes, [CanaryWeights("chat", "all", 100, 0), CanaryWeights("gone", "all", 1, 1)])
    rule = routes[0].rules[1]
    assert [target.weight for target in rule.targets] == [100, 0]
    assert replace(rule, targets=RULE.targets) == RULE
    assert routes[0].rules[0] is asked.routes[0].rules[0]


def test_weights_of_a_rule_that_has_no_two_targets_are_left_out() -> None:
    asked = config()
    assert with_weights(asked.routes, [CanaryWeights("chat", "plain", 100, 0)]) == asked.routes
