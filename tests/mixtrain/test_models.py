"""What loads, how it is coerced, what is refused with which words, and what is written back."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.mixtrain import models
from proxy.mixtrain.models import (
    ConditionOperator,
    RoutingCondition,
    RoutingConfig,
    RoutingResult,
    RoutingRule,
    RoutingStrategy,
    RoutingTarget,
    unchecked,
)
from proxy.operators import Operator
from tests.mixtrain.parts import config, rule, target
from tests.mixtrain.sample import observed

TARGET: dict[str, Any] = {"provider": "custom", "model_name": "m", "endpoint": "http://m"}
CONDITION: dict[str, Any] = {"field": "f", "operator": "equals"}
RULE: dict[str, Any] = {"name": "r", "targets": [TARGET]}


def told(model: type[RoutingConfig | RoutingRule], fields: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as refused:
        model(**fields)
    return [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in refused.value.errors()]


def message(model: type[RoutingConfig | RoutingRule], fields: dict[str, Any]) -> tuple[list[Any], str]:
    (error,) = told(model, fields)
    return error["loc"], error["msg"]


def given_rule(where: str, fields: dict[str, Any]) -> dict[str, Any]:
    if where == "rule":
        return {**RULE, **fields}
    if where == "condition":
        return {**RULE, "conditions": [{**CONDITION, **fields}]}
    return {**RULE, "targets": [{**TARGET, **fields}]}


def loaded(where: str, fields: dict[str, Any]) -> Any:
    found = RoutingRule(**given_rule(where, fields))
    return {"rule": found, "condition": found.conditions[0] if found.conditions else None, "target": found.targets[0]}[
        where
    ]


@observed("coercion")
def test_values_are_coerced_as_observed(row: dict[str, Any]) -> None:
    fields = {row["field"]: row["raw"]}
    if not row["accepted"]:
        assert told(RoutingRule, given_rule(row["where"], fields)) == row["errors"]
        return
    value = getattr(loaded(row["where"], fields), row["field"])
    assert (value, type(value).__name__) == (row["value"], row["type"])


@pytest.mark.parametrize("raw", ["10", " 10 ", "+10", "1_0", "10.0", 10.0, 10])
def test_a_priority_may_be_written_in_many_ways(raw: object) -> None:
    assert RoutingRule(**{**RULE, "priority": raw}).priority == 10


@pytest.mark.parametrize("raw", [1.5, "1e2", "", None, [], "ten"])
def test_a_priority_that_is_no_integer_is_refused(raw: object) -> None:
    assert told(RoutingRule, {**RULE, "priority": raw})[0]["loc"] == ["priority"]


@pytest.mark.parametrize("raw", [1, 1.0, "true", "YES", "on", "y", "T", "1", True])
def test_true_may_be_written_in_many_ways(raw: object) -> None:
    assert loaded("target", {"is_shadow": raw}).is_shadow is True


@pytest.mark.parametrize("raw", [2, "enabled", "", None])
def test_what_is_no_boolean_is_refused(raw: object) -> None:
    assert told(RoutingRule, {**RULE, "is_enabled": raw})[0]["loc"] == ["is_enabled"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"weight": 1.01}, "weight"),
        ({"weight": -0.1}, "weight"),
        ({"weight": math.nan}, "weight"),
        ({"weight": math.inf}, "weight"),
        ({"weight": None}, "weight"),
        ({"timeout_ms": 99}, "timeout_ms"),
        ({"timeout_ms": 100.5}, "timeout_ms"),
        ({"retry_count": 6}, "retry_count"),
        ({"retry_count": -1}, "retry_count"),
        ({"label": 1}, "label"),
        ({"provider": None}, "provider"),
        ({"headers": [["A", "1"]]}, "headers"),
    ],
)
def test_a_target_out_of_bounds_is_refused_at_its_place(fields: dict[str, Any], place: str) -> None:
    (error,) = told(RoutingRule, given_rule("target", fields))
    assert error["loc"] == ["targets", 0, place]


@pytest.mark.parametrize("value", [1, None])
def test_a_header_that_is_no_text_is_refused(value: object) -> None:
    (error,) = told(RoutingRule, given_rule("target", {"headers": {"A": value}}))
    assert error["loc"] == ["targets", 0, "headers", "A"]


def test_bounds_themselves_are_allowed() -> None:
    found = loaded("target", {"weight": 0, "timeout_ms": 100, "retry_count": 5, "headers": {}})
    assert (found.weight, found.timeout_ms, found.retry_count, found.headers) == (0.0, 100, 5, {})


@pytest.mark.parametrize("value", ["1", 1, 1.0, True, False, None, [], [{"k": None}, "x"], 10**30])
def test_an_expected_value_is_kept_as_it_is_given(value: object) -> None:
    found = loaded("condition", {"value": value}).value
    assert found == value
    assert type(found) is type(value)


def test_an_object_cannot_be_expected() -> None:
    errors = told(RoutingRule, given_rule("condition", {"value": {"k": 1}}))
    assert [error["loc"][-1] for error in errors] == ["str", "int", "float", "bool", "list[any]"]


@pytest.mark.parametrize("operator", ["EQUALS", "starts_with", "", None])
def test_an_operator_is_one_of_the_eleven_in_lower_case(operator: object) -> None:
    (error,) = told(RoutingRule, given_rule("condition", {"operator": operator}))
    assert (error["loc"], error["type"]) == (["conditions", 0, "operator"], "enum")
    assert error["msg"].startswith("Input should be 'equals', 'not_equals', ")


def test_the_operators_are_those_that_the_proxy_knows() -> None:
    assert [operator.value for operator in ConditionOperator] == [operator.value for operator in Operator]
    assert [operator.name for operator in ConditionOperator] == [operator.name for operator in Operator]


@pytest.mark.parametrize("missing", ["name", "rules"])
def test_a_configuration_has_a_name_and_rules(missing: str) -> None:
    fields = {"name": "c", "rules": [RULE]}
    del fields[missing]
    assert message(RoutingConfig, fields) == ([missing], "Field required")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"targets": []}, "At least one target must be specified"),
        ({"targets": [], "strategy": "split"}, "At least one target must be specified"),
        ({"targets": [TARGET, TARGET], "strategy": "split"}, "Split strategy requires target weights to sum to 1.0"),
        ({"strategy": "shadow"}, "Shadow strategy requires exactly 2 targets (primary and shadow)"),
        (
            {"targets": [TARGET] * 3, "strategy": "shadow"},
            "Shadow strategy requires exactly 2 targets (primary and shadow)",
        ),
    ],
)
def test_targets_that_do_not_fit_the_strategy_are_refused(fields: dict[str, Any], words: str) -> None:
    assert message(RoutingRule, {**RULE, **fields}) == (["targets"], f"Value error, {words}")


def test_a_configuration_without_rules_is_refused() -> None:
    words = "Value error, At least one routing rule must be specified"
    assert message(RoutingConfig, {"name": "c", "rules": []}) == (["rules"], words)


def test_a_strategy_that_is_none_is_the_only_thing_told_about_its_rule() -> None:
    words = "Input should be 'single', 'split', 'shadow' or 'fallback'"
    for strategy in ("Split", "random", None):
        fields = {**RULE, "strategy": strategy, "targets": [{**TARGET, "weight": 0.2}]}
        assert message(RoutingRule, fields) == (["strategy"], words)


@pytest.mark.parametrize(("second", "loads"), [(0.499, False), (0.4995, True), (0.501, True), (0.5011, False)])
def test_the_weights_of_a_split_may_miss_one_by_a_thousandth(second: float, loads: bool) -> None:
    targets = [target("a", weight=0.5), target("b", weight=second)]
    if loads:
        assert rule(strategy="split", targets=targets).strategy == "split"
    else:
        with pytest.raises(ValidationError):
            rule(strategy="split", targets=targets)


def test_lists_and_the_strategy_may_not_be_null_but_texts_about_them_may() -> None:
    for field in ("conditions", "targets", "strategy", "priority"):
        assert told(RoutingRule, {**RULE, field: None})[0]["loc"] == [field]
    assert RoutingRule(**{**RULE, "description": None}).description is None
    found = RoutingConfig(name="", rules=[rule()], description=None, metadata=None)
    assert (found.name, found.description, found.metadata) == ("", None, None)


def test_a_rule_of_its_least_has_every_default() -> None:
    found = RoutingRule(**RULE)
    assert (found.description, found.priority, found.is_enabled, found.conditions) == ("", 0, True, [])
    assert found.targets[0].weight == 1.0
    assert RoutingConfig(name="c", rules=[rule()]).metadata == {}


def test_a_strategy_left_out_is_single_in_every_text() -> None:
    found = RoutingRule(**RULE)
    assert found.strategy is RoutingStrategy.SINGLE
    assert found.strategy == "single"
    assert f"{found.strategy}" == "single"


def test_a_strategy_or_an_operator_that_is_given_becomes_plain_text() -> None:
    found = RoutingRule(**{**RULE, "strategy": "fallback"})
    assert type(found.strategy) is str
    assert type(loaded("condition", {"operator": ConditionOperator.IN}).operator) is str


def test_everything_is_written_in_order_and_nulls_too() -> None:
    found = RoutingConfig.from_json({"rules": [{**RULE, "conditions": [CONDITION]}], "name": "c", "id": 7})
    assert json.dumps(found.to_json()) == json.dumps(
        {
            "name": "c",
            "description": "",
            "rules": [
                {
                    "name": "r",
                    "description": "",
                    "priority": 0,
                    "is_enabled": True,
                    "conditions": [{"field": "f", "operator": "equals", "value": None, "description": None}],
                    "strategy": "single",
                    "targets": [
                        {
                            **TARGET,
                            "weight": 1.0,
                            "label": None,
                            "timeout_ms": None,
                            "retry_count": None,
                            "function_name": None,
                            "request_class": None,
                            "headers": None,
                            "is_shadow": False,
                        }
                    ],
                }
            ],
            "metadata": {},
        }
    )


def test_what_is_written_holds_plain_values_only() -> None:
    (written,) = config(rule()).to_json()["rules"]
    assert type(written["strategy"]) is str
    altered = config(rule())
    altered.rules[0].strategy = RoutingStrategy.FALLBACK
    assert type(altered.to_json()["rules"][0]["strategy"]) is str


@pytest.mark.parametrize("data", [None, 1, "text", [1], [["name", "c"]]])
def test_what_is_no_object_is_a_type_error(data: Any) -> None:
    with pytest.raises(TypeError):
        RoutingConfig.from_json(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, or any JSON."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()}) | JSON


TARGETS = some_of(
    provider=st.text(),
    model_name=st.text(),
    endpoint=st.text(),
    weight=st.floats(0, 1),
    timeout_ms=st.integers(),
    retry_count=st.integers(0, 6),
    headers=st.dictionaries(st.text(), st.text(), max_size=2),
)
CONDITIONS = some_of(field=st.text(), operator=st.sampled_from(list(Operator)))
RULES = some_of(
    name=st.text(),
    priority=st.integers(),
    conditions=st.lists(CONDITIONS, max_size=2),
    strategy=st.sampled_from(list(RoutingStrategy)),
    targets=st.lists(TARGETS, max_size=3),
)


@settings(deadline=None)
@given(some_of(name=st.text(), rules=st.lists(RULES, max_size=3), metadata=JSON))
def test_no_json_raises_anything_but_a_refusal(data: Any) -> None:
    try:
        found = RoutingConfig.from_json(data)
    except (ValidationError, TypeError):
        return
    assert repr(RoutingConfig.from_json(found.to_json()).to_json()) == repr(found.to_json())


FULL_TARGETS = st.builds(
    RoutingTarget,
    provider=st.text(),
    model_name=st.text(),
    endpoint=st.text(),
    label=st.none() | st.text(),
    timeout_ms=st.none() | st.integers(100, 10**6),
    retry_count=st.none() | st.integers(0, 5),
    headers=st.none() | st.dictionaries(st.text(), st.text(), max_size=2),
)
FULL_RULES = st.builds(
    RoutingRule,
    name=st.text(),
    priority=st.integers(),
    is_enabled=st.booleans(),
    conditions=st.lists(
        st.builds(
            RoutingCondition,
            field=st.text(),
            operator=st.sampled_from(list(ConditionOperator)),
            value=st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2),
        ),
        max_size=2,
    ),
    targets=st.lists(FULL_TARGETS, min_size=1, max_size=2),
)


@settings(deadline=None)
@given(st.lists(FULL_RULES, min_size=1, max_size=3))
def test_what_is_written_is_read_back_as_it_was(rules: list[RoutingRule]) -> None:
    written = RoutingConfig(name="c", rules=rules).to_json()
    assert RoutingConfig.from_json(json.loads(json.dumps(written))).to_json() == written


def test_a_result_unchecked_is_like_one_checked() -> None:
    fields: dict[str, Any] = {
        "matched_rule": rule(),
        "selected_targets": [target()],
        "explanation": "because",
        "execution_time_ms": 0.5,
        "metadata": {"evaluated_rules": 1},
    }
    quick, slow = unchecked(RoutingResult, dict(fields)), RoutingResult(**fields)
    assert quick == slow
    assert repr(quick) == repr(slow)
    assert quick.model_dump() == slow.model_dump()
    assert quick.model_fields_set == slow.model_fields_set
    assert quick.model_copy(deep=True) == slow


def test_a_request_to_try_may_name_the_rule_it_expects() -> None:
    tried = models.TestRequest(request_data={"a": 1}, expected_rule="r")
    assert (tried.request_data, tried.expected_rule) == ({"a": 1}, "r")
    assert models.TestRequest(request_data={}).expected_rule is None
