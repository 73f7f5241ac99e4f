"""What a routing decision of Mixtrain's Python interface costs, in microseconds: `python benchmarks/mixtrain.py`.

Each rule tests `user.tier`; the last one matches, so that all are evaluated. The clock, the result and the check that
the configuration is unaltered count in. Each figure is the best of seven rounds.
"""

import random
import timeit
from collections.abc import Callable
from typing import Any

from proxy.mixtrain.engine import RoutingEngine
from proxy.mixtrain.models import (
    RoutingCondition,
    RoutingConfig,
    RoutingResult,
    RoutingRule,
    RoutingStrategy,
    RoutingTarget,
    unchecked,
)
from proxy.mixtrain.plan import Plan

ROUNDS = 7
CALLS = 20_000


def microseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """The best of several rounds."""
    return min(timeit.repeat(call, number=calls, repeat=ROUNDS)) / calls * 1e6


def row(name: str, value: float) -> None:
    print(f"{name:<58}{value:>8.2f} µs")


def rule(index: int, count: int, strategy: RoutingStrategy) -> RoutingRule:
    """The strategy is the last rule's; the others lead to one target each."""
    condition = RoutingCondition.model_validate({"field": "user.tier", "operator": "equals", "value": f"tier-{index}"})
    last = index == count - 1
    several = last and strategy is not RoutingStrategy.SINGLE
    targets = [
        RoutingTarget(provider="custom", model_name=f"m{n}", endpoint="http://m", weight=0.5 if several else 1.0)
        for n in range(2 if several else 1)
    ]
    return RoutingRule(
        name=f"rule-{index}",
        priority=count - index,
        conditions=[condition],
        strategy=strategy if last else RoutingStrategy.SINGLE,
        targets=targets,
    )


def config(count: int, strategy: RoutingStrategy = RoutingStrategy.SINGLE) -> RoutingConfig:
    return RoutingConfig(name="measured", rules=[rule(index, count, strategy) for index in range(count)])


def decision(count: int, strategy: RoutingStrategy) -> float:
    engine = RoutingEngine(config(count, strategy), random.Random(1).random)
    data = {"user": {"tier": f"tier-{count - 1}"}, "request": {"type": "chat"}}
    assert engine.route_request(data).matched_rule is engine.config.rules[-1]
    return microseconds(lambda: engine.route_request(data))


def decisions() -> None:
    for strategy in RoutingStrategy:
        for count in (2, 4, 32):
            row(f"decision: {count} rules, {strategy}", decision(count, strategy))


def parts() -> None:
    for count in (2, 32):
        asked = config(count)
        plan = Plan(asked)
        data = {"user": {"tier": f"tier-{count - 1}"}}
        row(f"is the plan of {count} rules current?", microseconds(lambda: plan.current(asked)))  # noqa: B023
        row(f"match the last of {count} rules", microseconds(lambda: plan.match(data)))  # noqa: B023
        row(f"make a plan of {count} rules", microseconds(lambda: Plan(asked), 500))  # noqa: B023


def results() -> None:
    fields: dict[str, Any] = {
        "matched_rule": rule(0, 1, RoutingStrategy.SINGLE),
        "selected_targets": [],
        "explanation": "",
        "execution_time_ms": 0.1,
        "metadata": {},
    }
    row("a result unchecked", microseconds(lambda: unchecked(RoutingResult, {**fields})))
    row("a result by model_construct", microseconds(lambda: RoutingResult.model_construct(**fields)))
    row("a result checked", microseconds(lambda: RoutingResult(**fields)))


if __name__ == "__main__":
    decisions()
    parts()
    results()
