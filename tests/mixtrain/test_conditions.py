"""How conditions are made, and what evaluating one by one promises."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.mixtrain.conditions import ConditionBuilder, ConditionEvaluator, compile_condition, condition
from proxy.mixtrain.engine import RoutingEngine
from proxy.mixtrain.errors import ConditionEvaluationError
from proxy.mixtrain.models import RoutingCondition
from proxy.mixtrain.validation import RoutingValidator
from tests.mixtrain import parts
from tests.mixtrain.sample import observed


def data_of(row: dict[str, Any]) -> dict[str, Any]:
    return {} if row["field_absent"] else {"f": row["actual"]}


@observed("matrix")
def test_each_operator_decides_as_observed(row: dict[str, Any]) -> None:
    asked = parts.condition("f", row["operator"], row["expected"])
    if "condition_error" in row:
        with pytest.raises(ConditionEvaluationError) as failure:
            ConditionEvaluator.evaluate_condition(asked, data_of(row))
        assert f"ConditionEvaluationError: {failure.value}" == row["condition_error"]
    else:
        assert ConditionEvaluator.evaluate_condition(asked, data_of(row)) is row["condition"]


@observed("matrix")
def test_each_operator_decides_the_same_in_a_rule_and_is_validated_as_observed(row: dict[str, Any]) -> None:
    config = parts.config(parts.rule(conditions=[parts.condition("f", row["operator"], row["expected"])]))
    assert (RoutingEngine(config).route_request(data_of(row)).matched_rule is not None) is row["rule_matches"]
    assert RoutingValidator.validate_config(config) == row["validator_errors"]


@pytest.mark.parametrize(
    ("make", "operator", "value"),
    [
        (lambda begun: begun.equals("x"), "equals", "x"),
        (lambda begun: begun.not_equals(1), "not_equals", 1),
        (lambda begun: begun.contains("x"), "contains", "x"),
        (lambda begun: begun.not_contains("x"), "not_contains", "x"),
        (lambda begun: begun.is_in(["a", "b"]), "in", ["a", "b"]),
        (lambda begun: begun.is_in({"a"}), "in", ["a"]),
        (lambda begun: begun.not_in(("a",)), "not_in", ["a"]),
        (lambda begun: begun.exists(), "exists", None),
        (lambda begun: begun.not_exists(), "not_exists", None),
        (lambda begun: begun.greater_than(5), "greater_than", 5),
        (lambda begun: begun.less_than(0.5), "less_than", 0.5),
        (lambda begun: begun.matches_regex("^x"), "regex", "^x"),
    ],
)
def test_each_method_makes_a_condition_with_its_operator(
    make: Callable[[ConditionBuilder], RoutingCondition], operator: str, value: object
) -> None:
    made = make(condition("user.tier"))
    assert (made.field, made.operator, made.value, made.description) == ("user.tier", operator, value, None)


def test_a_failure_names_the_condition_and_its_cause() -> None:
    words = (
        r"^Failed to evaluate condition 'a\.b' contains '5': 'in <string>' requires string as left operand, not int$"
    )
    with pytest.raises(ConditionEvaluationError, match=words) as failure:
        ConditionEvaluator.evaluate_condition(condition("a.b").contains(5), {"a": {"b": "5"}})  # type: ignore[arg-type]
    assert isinstance(failure.value.__cause__, TypeError)


def test_a_condition_altered_into_none_fails_when_it_is_evaluated() -> None:
    asked = condition("a").equals(1)
    asked.operator = "resembles"  # type: ignore[assignment]
    with pytest.raises(ConditionEvaluationError, match=r"^Failed to evaluate condition 'a' resembles '1': "):
        ConditionEvaluator.evaluate_condition(asked, {"a": 1})


def test_all_conditions_must_hold_and_the_first_that_does_not_ends_it() -> None:
    fails = condition("a").contains(1)  # type: ignore[arg-type]
    holds, misses = condition("a").exists(), condition("b").exists()
    data = {"a": "text"}
    assert ConditionEvaluator.evaluate_conditions([], data)
    assert ConditionEvaluator.evaluate_conditions([holds, holds], data)
    assert not ConditionEvaluator.evaluate_conditions([holds, misses], data)
    assert not ConditionEvaluator.evaluate_conditions([misses, fails], data)
    with pytest.raises(ConditionEvaluationError):
        ConditionEvaluator.evaluate_conditions([holds, fails], data)


def test_a_pattern_is_a_search_by_pythons_own_rules() -> None:
    assert compile_condition(condition("f").matches_regex("(?P<x>a)(?P=x)"))("baab")
    assert not compile_condition(condition("f").matches_regex("("))("(")


@pytest.mark.parametrize("data", [[{"user": 1}], "user", 5, None])
def test_every_field_is_missing_in_what_is_no_object(data: object) -> None:
    assert ConditionEvaluator.evaluate_condition(condition("user").not_exists(), data)
