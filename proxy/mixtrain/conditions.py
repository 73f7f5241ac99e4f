"""Conditions: built in a fluent way, and evaluated on a request's data."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from proxy.mixtrain.errors import ConditionEvaluationError
from proxy.mixtrain.models import ConditionOperator, RoutingCondition
from proxy.operators import Operator, Predicate, compile_operator, find

Built = TypeVar("Built")


class OperatorMethods(ABC, Generic[Built]):
    """One method for each operator; what they build is the subclass's affair."""

    __slots__ = ()

    @abstractmethod
    def _built(self, operator: ConditionOperator, value: Any, description: str | None) -> Built:
        """What a finished condition leads to."""

    def equals(self, value: Any, description: str | None = None) -> Built:
        """The field is this value."""
        return self._built(ConditionOperator.EQUALS, value, description)

    def not_equals(self, value: Any, description: str | None = None) -> Built:
        """The field is missing or another value."""
        return self._built(ConditionOperator.NOT_EQUALS, value, description)

    def contains(self, value: str, description: str | None = None) -> Built:
        """The field's text holds this text."""
        return self._built(ConditionOperator.CONTAINS, value, description)

    def not_contains(self, value: str, description: str | None = None) -> Built:
        """The field is missing or its text does not hold this text."""
        return self._built(ConditionOperator.NOT_CONTAINS, value, description)

    def is_in(self, values: Iterable[Any], description: str | None = None) -> Built:
        """The field is one of these values."""
        return self._built(ConditionOperator.IN, values, description)

    def not_in(self, values: Iterable[Any], description: str | None = None) -> Built:
        """The field is none of these values."""
        return self._built(ConditionOperator.NOT_IN, values, description)

    def exists(self, description: str | None = None) -> Built:
        """The field is there and not null."""
        return self._built(ConditionOperator.EXISTS, None, description)

    def not_exists(self, description: str | None = None) -> Built:
        """The field is missing or null."""
        return self._built(ConditionOperator.NOT_EXISTS, None, description)

    def greater_than(self, value: float | str, description: str | None = None) -> Built:
        """The field's number is above this one."""
        return self._built(ConditionOperator.GREATER_THAN, value, description)

    def less_than(self, value: float | str, description: str | None = None) -> Built:
        """The field's number is below this one."""
        return self._built(ConditionOperator.LESS_THAN, value, description)

    def matches_regex(self, pattern: str, description: str | None = None) -> Built:
        """The pattern is found somewhere in the field's text."""
        return self._built(ConditionOperator.REGEX, pattern, description)


class ConditionBuilder(OperatorMethods[RoutingCondition]):
    """A condition on one field, waiting for its operator."""

    __slots__ = ("_field",)

    def __init__(self, field: str) -> None:
        self._field = field

    def _built(self, operator: ConditionOperator, value: Any, description: str | None) -> RoutingCondition:
        return RoutingCondition(field=self._field, operator=operator, value=value, description=description)


def condition(field: str) -> ConditionBuilder:
    """Begin a condition on this field, as in `condition("user.tier").equals("premium")`."""
    return ConditionBuilder(field)


class ConditionEvaluator:
    """Evaluates conditions one by one, on what they hold at this moment."""

    @staticmethod
    def evaluate_condition(condition: RoutingCondition, data: object) -> bool:
        """Whether the condition holds. Raises ConditionEvaluationError where it cannot be evaluated."""
        try:
            return bool(compile_condition(condition)(find(data, path(condition))))
        except Exception as cause:
            operator = str(condition.operator)
            message = f"Failed to evaluate condition '{condition.field}' {operator} '{condition.value}': {cause}"
            raise ConditionEvaluationError(message) from cause

    @staticmethod
    def evaluate_conditions(conditions: Iterable[RoutingCondition], data: object) -> bool:
        """Whether all of them hold, tried in their order up to the first that does not."""
        return all(ConditionEvaluator.evaluate_condition(condition, data) for condition in conditions)


def path(condition: RoutingCondition) -> tuple[str, ...]:
    """The keys that lead to the condition's field."""
    return tuple(condition.field.split("."))


def compile_condition(condition: RoutingCondition) -> Predicate:
    """A prepared predicate on the value of the condition's field."""
    return compile_operator(Operator(condition.operator), condition.value, _search)


def _search(pattern: str) -> Callable[[str], bool]:
    found_in = re.compile(pattern).search
    return lambda text: found_in(text) is not None
