"""Questions that lead to a configuration, as Mixtrain asks them: each is asked again until its answer will do."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from proxy.cli.create_samples import json_text
from proxy.cli.printing import warn
from proxy.cli.reading import ask
from proxy.config.loader import load_texts
from proxy.config.spec import Config, Rule, Target
from proxy.config.writing.document import write_native
from proxy.errors import Severity
from proxy.mixtrain.models import (
    SHADOW_TARGETS,
    ConditionOperator,
    RoutingCondition,
    RoutingConfig,
    RoutingRule,
    RoutingStrategy,
    RoutingTarget,
    sums_to_one,
)
from proxy.routing.wording import listed

T = TypeVar("T")

_FILE = "created.json"
_PRESENCE = frozenset({ConditionOperator.EXISTS, ConditionOperator.NOT_EXISTS})
_HARMLESS = RoutingTarget(provider="custom", model_name="default", endpoint="http://127.0.0.1:9001")


def ask_config(name: str) -> RoutingConfig:
    """A configuration of this name, asked for part by part on standard error. It has no fault."""
    description = ask("Configuration description", "")
    rules: list[RoutingRule] = []
    while not rules or _agreed("Add another rule?"):
        rules.append(_ask_rule({rule.name for rule in rules}))
    return RoutingConfig(name=name, description=description, rules=rules)


def native_text(config: RoutingConfig) -> str:
    """The same as a native route file, whose servers are named after their rules."""
    loaded = load_texts({_FILE: json_text(config)})
    if loaded.config is None:
        raise ValueError(listed([problem.message for problem in loaded.problems]))
    return write_native(_renamed(loaded.config))


def _renamed(config: Config) -> Config:
    """Servers are called as their rules are, with a number where a rule has several; routes are plain ones."""
    names: dict[str, str] = {}
    for rule in [rule for route in config.routes for rule in route.rules]:
        own = list(dict.fromkeys(target.server for target in _targets(rule)))
        for place, server in enumerate(own, 1):
            names[server] = rule.name if len(own) == 1 else f"{rule.name}-{place}"
    if len(set(names.values())) < len(names):
        names = {server: f"{rule}-{place}" for place, (server, rule) in enumerate(names.items(), 1)}
    servers = {names[name]: replace(server, name=names[name]) for name, server in config.servers.items()}
    routes = tuple(
        replace(route, kind="route", rules=tuple(_led(rule, names) for rule in route.rules)) for route in config.routes
    )
    return replace(config, servers=servers, routes=routes)


def _targets(rule: Rule) -> tuple[Target, ...]:
    return rule.targets + rule.fallback + (() if rule.shadow is None else (rule.shadow.target,))


def _led(rule: Rule, names: dict[str, str]) -> Rule:
    def renamed(target: Target) -> Target:
        return replace(target, server=names[target.server])

    shadow = None if rule.shadow is None else replace(rule.shadow, target=renamed(rule.shadow.target))
    return replace(
        rule, targets=tuple(map(renamed, rule.targets)), fallback=tuple(map(renamed, rule.fallback)), shadow=shadow
    )


# --- a rule -----------------------------------------------------------------------------------------------------------


def _ask_rule(taken: set[str]) -> RoutingRule:
    name = _answer("Rule name", lambda answer: _rule_name(answer, taken))
    priority = _answer("Rule priority", _priority, "0")
    description = ask("Rule description", "")
    conditions = []
    while field := _answer("Condition field (empty when done)", _field, ""):
        conditions.append(_ask_condition(field))
    while True:
        strategy = _answer(f"Strategy ({', '.join(RoutingStrategy)})", RoutingStrategy, "single")
        targets = _ask_targets()
        fault = _misfit(strategy, targets)
        if fault is None:
            break
        warn(fault)
    return RoutingRule(
        name=name, priority=priority, description=description, conditions=conditions, strategy=strategy, targets=targets
    )


def _misfit(strategy: RoutingStrategy, targets: list[RoutingTarget]) -> str | None:
    """Why these targets are none for the strategy."""
    if strategy is RoutingStrategy.SPLIT and not sums_to_one(targets):
        return f"the weights of a split are 1.0 in all, not {sum(target.weight for target in targets):g}"
    if strategy is RoutingStrategy.SHADOW and len(targets) != SHADOW_TARGETS:
        return f"a shadow has two targets, the first one answers: not {len(targets)}"
    rule = RoutingRule(name="rule", strategy=strategy, targets=targets)
    return _fault_of(rule)


def _ask_condition(field: str) -> RoutingCondition:
    while True:
        operator = _answer("Operator", _operator, "equals")
        value = None if operator in _PRESENCE else _value(ask("Value"))
        try:
            condition = RoutingCondition(field=field, operator=operator, value=value)
        except ValueError:
            warn("an object is no value to compare with")
            continue
        fault = _fault_of(RoutingRule(name="rule", conditions=[condition], targets=[_HARMLESS]))
        if fault is None:
            return condition
        warn(fault)


def _ask_targets() -> list[RoutingTarget]:
    targets: list[RoutingTarget] = []
    while True:
        provider = ask("Target provider (empty when done)" if targets else "Target provider", "")
        if provider:
            targets.append(_ask_target(provider))
        elif targets:
            return targets
        else:
            warn("a rule needs a target; its provider may be any word, such as custom")


def _ask_target(provider: str) -> RoutingTarget:
    return RoutingTarget(
        provider=provider,
        model_name=_answer("Model name", _model_name),
        endpoint=_answer("Endpoint URL", _endpoint),
        weight=_answer("Weight", _weight, "1.0"),
    )


# --- answers ----------------------------------------------------------------------------------------------------------


def _answer(question: str, read: Callable[[str], T], default: str | None = None) -> T:
    """What the answer reads as. `read` raises ValueError with the reason why it will not do."""
    while True:
        try:
            return read(ask(question, default))
        except ValueError as fault:
            warn(str(fault))


def _agreed(question: str) -> bool:
    return _answer(f"{question} (y or n)", _yes_or_no, "n")


def _yes_or_no(answer: str) -> bool:
    words = {"y": True, "yes": True, "n": False, "no": False}
    if answer.lower() not in words:
        raise ValueError("y or n")
    return words[answer.lower()]


def _rule_name(answer: str, taken: set[str]) -> str:
    if answer in taken:
        raise ValueError(f"there is a rule {answer!r} already")
    _check(RoutingRule(name=answer, targets=[_HARMLESS]))
    return answer


def _priority(answer: str) -> int:
    try:
        priority = int(answer)
    except ValueError:
        raise ValueError("a priority is a whole number; the highest one is tried first") from None
    _check(RoutingRule(name="rule", priority=priority, targets=[_HARMLESS]))
    return priority


def _field(answer: str) -> str:
    if answer:
        condition = RoutingCondition(field=answer, operator=ConditionOperator.EXISTS)
        _check(RoutingRule(name="rule", conditions=[condition], targets=[_HARMLESS]))
    return answer


def _operator(answer: str) -> ConditionOperator:
    try:
        return ConditionOperator(answer)
    except ValueError:
        raise ValueError(f"an operator is one of {', '.join(ConditionOperator)}") from None


def _value(answer: str) -> Any:
    """JSON where it is some, else the text as it stands."""
    try:
        return json.loads(answer, parse_constant=lambda _: answer)
    except (ValueError, RecursionError):
        return answer


def _model_name(answer: str) -> str:
    _check(RoutingRule(name="rule", targets=[_HARMLESS.model_copy(update={"model_name": answer})]))
    return answer


def _endpoint(answer: str) -> str:
    _check(RoutingRule(name="rule", targets=[_HARMLESS.model_copy(update={"endpoint": answer})]))
    return answer


def _weight(answer: str) -> float:
    try:
        weight = float(answer)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:
        raise ValueError("a weight is a number from 0 to 1")
    return weight


def _check(rule: RoutingRule) -> None:
    fault = _fault_of(rule)
    if fault is not None:
        raise ValueError(fault)


def _fault_of(rule: RoutingRule) -> str | None:
    """What would be wrong with a configuration of this rule alone; None where nothing is."""
    config = RoutingConfig(name="created", rules=[rule])
    problems = load_texts({_FILE: json_text(config)}).problems
    return next((problem.message for problem in problems if problem.severity is Severity.ERROR), None)
