"""Routing as the reference tells it, with no thought for speed: what prepared rules must equal."""

import re
from collections.abc import Sequence
from typing import Any

from proxy.mixtrain.models import RoutingCondition, RoutingRule


def first_match(rules: Sequence[RoutingRule], data: object) -> RoutingRule | None:
    enabled = sorted((rule for rule in rules if rule.is_enabled), key=lambda rule: -rule.priority)
    return next((rule for rule in enabled if matches(rule, data)), None)


def matches(rule: RoutingRule, data: object) -> bool:
    try:
        return all(holds(condition, data) for condition in rule.conditions)
    except Exception:  # noqa: BLE001 - a rule that fails does not match
        return False


def holds(condition: RoutingCondition, data: object) -> bool:  # noqa: PLR0911 - one for each operator
    actual: Any = value_at(condition.field, data)
    expected: Any = condition.value
    match str(condition.operator):
        case "equals":
            return bool(actual == expected)
        case "not_equals":
            return bool(actual != expected)
        case "contains":
            return actual is not None and expected in str(actual)
        case "not_contains":
            return actual is None or expected not in str(actual)
        case "in":
            return isinstance(expected, list) and actual in expected
        case "not_in":
            return not isinstance(expected, list) or actual not in expected
        case "exists":
            return actual is not None
        case "not_exists":
            return actual is None
        case "greater_than":
            return compares(actual, expected) > 0
        case "less_than":
            return compares(actual, expected) < 0
        case "regex":
            return actual is not None and is_found(str(expected), str(actual))
    raise ValueError("no such operator")


def value_at(field: str, data: object) -> object:
    for key in field.split("."):
        if not isinstance(data, dict) or key not in data:
            return None
        data = data[key]
    return data


def compares(actual: Any, expected: Any) -> int:
    """1 above, -1 below, 0 neither."""
    if actual is None:
        return 0
    try:
        one, other = float(actual), float(expected)
    except (TypeError, ValueError):
        return 0
    return (one > other) - (one < other)


def is_found(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
