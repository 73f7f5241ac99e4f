"""The validator, which finds what loads but cannot be meant, and the linter, which adds advice."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from proxy.mixtrain.errors import RoutingConfigValidationError
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

_PRESENCE = (ConditionOperator.EXISTS, ConditionOperator.NOT_EXISTS)
_MEMBERSHIP = (ConditionOperator.IN, ConditionOperator.NOT_IN)
_COMPARISON = (ConditionOperator.GREATER_THAN, ConditionOperator.LESS_THAN)
_REQUIRED = ("provider", "model_name", "endpoint")


class RoutingValidator:
    """Checks the meaning of a configuration; its shape is checked when it loads."""

    @staticmethod
    def validate_config(config: RoutingConfig) -> list[str]:
        """Everything that is wrong, with its place; an empty list where nothing is."""
        errors = list(_config_errors(config))
        names: set[str] = set()
        for index, rule in enumerate(config.rules):
            errors.extend(_rule_errors(rule, f"rule[{index}]"))
            if rule.name in names:
                errors.append(f"Duplicate rule name '{rule.name}' found")
            names.add(rule.name)
        return errors

    @staticmethod
    def validate_config_dict(data: Mapping[str, Any]) -> list[str]:
        """The same for parsed JSON; a single item where it does not load."""
        try:
            config = RoutingConfig.from_json(data)
        except (ValueError, TypeError) as fault:
            return [f"Failed to parse configuration: {fault}"]
        return RoutingValidator.validate_config(config)

    @staticmethod
    def validate_and_raise(config: RoutingConfig) -> None:
        """Raise RoutingConfigValidationError, with everything in its `errors`, where something is wrong."""
        errors = RoutingValidator.validate_config(config)
        if errors:
            raise RoutingConfigValidationError("Configuration validation failed", errors)


class ConfigurationLinter:
    """Finds what is valid and yet looks like a slip, or could be better."""

    @staticmethod
    def lint_config(config: RoutingConfig) -> dict[str, list[str]]:
        """The validator's `errors`, `warnings` and `suggestions`."""
        return {
            "errors": RoutingValidator.validate_config(config),
            "warnings": list(_warnings(config.rules)),
            "suggestions": list(_suggestions(config.rules)),
        }


def _config_errors(config: RoutingConfig) -> Iterator[str]:
    if _blank(config.name):
        yield "Configuration name is required and cannot be empty"
    if not config.rules:
        yield "At least one routing rule must be specified"


def _rule_errors(rule: RoutingRule, place: str) -> Iterator[str]:
    if _blank(rule.name):
        yield f"{place}: Rule name is required and cannot be empty"
    if rule.priority < 0:
        yield f"{place}: Rule priority cannot be negative"
    for index, condition in enumerate(rule.conditions):
        yield from _at(f"{place}.conditions[{index}]", _condition_errors(condition))
    if not rule.targets:
        yield f"{place}: At least one target is required"
    for index, target in enumerate(rule.targets):
        yield from _at(f"{place}.targets[{index}]", _target_errors(target))
    yield from _strategy_errors(rule, place)


def _at(place: str, messages: Iterator[str]) -> Iterator[str]:
    return (f"{place}: {message}" for message in messages)


def _condition_errors(condition: RoutingCondition) -> Iterator[str]:
    if _blank(condition.field):
        yield "Condition field is required and cannot be empty"
    elif ".." in condition.field:
        yield f"Invalid field path '{condition.field}' (contains '..')"
    if condition.operator in _PRESENCE:
        return
    if condition.value is None:
        yield f"Operator '{condition.operator!s}' requires a value"
    else:
        yield from _value_errors(condition.operator, condition.value)


def _value_errors(operator: str, value: Any) -> Iterator[str]:
    if operator in _MEMBERSHIP and not isinstance(value, list):
        yield f"Operator '{operator!s}' requires a list value"
    if operator in _COMPARISON and not _numeric(value):
        yield f"Operator '{operator!s}' requires a numeric value"
    if operator == ConditionOperator.REGEX and (fault := _pattern_fault(value)):
        yield f"Invalid regex pattern '{value}': {fault}"


def _numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _pattern_fault(value: Any) -> str | None:
    try:
        re.compile(str(value))
    except (re.error, OverflowError, RecursionError) as fault:
        return str(fault)
    return None


def _target_errors(target: RoutingTarget) -> Iterator[str]:
    for field in _REQUIRED:
        if _blank(getattr(target, field)):
            yield f"Field '{field}' is required and cannot be empty"
    if not 0.0 <= target.weight <= 1.0:
        yield f"Weight must be between 0.0 and 1.0, got {target.weight}"
    if target.timeout_ms is not None and target.timeout_ms < 100:
        yield f"Timeout must be at least 100ms, got {target.timeout_ms}"
    if target.retry_count is not None and not 0 <= target.retry_count <= 5:
        yield f"Retry count must be between 0 and 5, got {target.retry_count}"
    if not _blank(target.endpoint) and not target.endpoint.startswith(("http://", "https://")):
        yield "Endpoint must be a valid HTTP/HTTPS URL"


def _strategy_errors(rule: RoutingRule, place: str) -> Iterator[str]:
    targets = rule.targets
    if rule.strategy == RoutingStrategy.SPLIT:
        if not sums_to_one(targets):
            total = sum(target.weight for target in targets)
            yield f"{place}: Split strategy requires target weights to sum to 1.0, got {total:.3f}"
        for index, target in enumerate(targets):
            if target.weight == 1.0 and len(targets) > 1:
                yield f"{place}.targets[{index}]: Split strategy requires explicit weights for all targets"
    if rule.strategy == RoutingStrategy.SHADOW and len(targets) != SHADOW_TARGETS:
        count = len(targets)
        yield f"{place}: Shadow strategy requires exactly 2 targets (primary and shadow), got {count}"


def _blank(text: str) -> bool:
    return not text or not text.strip()


def _warnings(rules: Sequence[RoutingRule]) -> Iterator[str]:
    enabled = [rule for rule in rules if rule.is_enabled]
    if len({rule.priority for rule in enabled}) < len(enabled):
        yield "Multiple rules have the same priority - evaluation order may be unpredictable"
    if _count(enabled, _catches_all) > 1:
        yield "Multiple catch-all rules (no conditions) found - only the highest priority will match"
    if len(enabled) < len(rules):
        yield f"{len(rules) - len(enabled)} rules are disabled and will not be evaluated"


def _suggestions(rules: Sequence[RoutingRule]) -> Iterator[str]:
    undescribed = _count(rules, lambda rule: not rule.description)
    if undescribed:
        yield f"Consider adding descriptions to {undescribed} rules for better maintainability"
    if not _count(rules, lambda rule: rule.strategy == RoutingStrategy.FALLBACK):
        yield "Consider adding fallback rules for better resilience in production"
    if not _count(rules, lambda rule: rule.is_enabled and _catches_all(rule)):
        yield "Consider adding a catch-all rule (no conditions) as the lowest priority fallback"


def _catches_all(rule: RoutingRule) -> bool:
    return not rule.conditions


def _count(rules: Sequence[RoutingRule], holds: Callable[[RoutingRule], bool]) -> int:
    return sum(1 for rule in rules if holds(rule))
