"""Conditions on the request's data keep their value as JSON says it, and take only what their operator can compare."""

import pytest

from proxy.config.loader import load_texts
from proxy.config.match_spec import FieldCondition
from proxy.operators import Operator
from tests.config.native_documents import ROUTE, SERVER, conditions, rule_problem


def condition(fields: str) -> FieldCondition:
    (found,) = conditions(f"fields: [{{{fields}}}]")
    assert isinstance(found, FieldCondition)
    return found


@pytest.mark.parametrize("operator", Operator)
def test_every_operator_has_its_word(operator: Operator) -> None:
    values = {Operator.IN: "[1]", Operator.NOT_IN: "[1]", Operator.GREATER_THAN: "1", Operator.LESS_THAN: "1"}
    assert condition(f"field: a, operator: {operator.value}, value: {values.get(operator, 'x')}").operator is operator


@pytest.mark.parametrize(
    ("written", "json"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1.50", "1.5"),
        ("true", "true"),
        ("null", "null"),
        ("", "null"),
        ("a", '"a"'),
        ("'1'", '"1"'),
        ("é", '"é"'),
        ("[1, a, [true]]", '[1, "a", [true]]'),
        ("[{b: 1, a: null}]", '[{"b": 1, "a": null}]'),
        ("[]", "[]"),
    ],
)
def test_a_value_is_kept_as_json_says_it(written: str, json: str) -> None:
    assert condition(f"field: a, operator: equals, value: {written}").value == json


def test_what_asks_for_presence_needs_no_value() -> None:
    assert condition("field: a, operator: exists") == FieldCondition("a", Operator.EXISTS, "null")
    assert condition("field: a, operator: not_exists, value: 1").value == "1"


@pytest.mark.parametrize("value", ["1", "1.5", "'15'", "' 2 '", "true", "inf"])
def test_a_number_may_be_a_text_that_spells_one(value: str) -> None:
    assert condition(f"field: a, operator: greater_than, value: {value}").operator is Operator.GREATER_THAN


@pytest.mark.parametrize("value", ["'^a$'", "5", "[a]"])
def test_a_pattern_is_what_python_makes_a_text_of(value: str) -> None:
    assert condition(f"field: a, operator: regex, value: {value}").operator is Operator.REGEX


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("operator: exists", "PS112", "'field' is missing"),
        ("field: a", "PS112", "'operator' is missing"),
        ("field: ' ', operator: exists", "PS120", "empty"),
        ("field: 5, operator: exists", "PS110", "a text"),
        ("field: a, operator: equal, value: 1", "PS120", "equals, not_equals, contains"),
        ("field: a, operator: equals", "PS112", "'value' is missing"),
        ("field: a, operator: equals, value: {b: 1}", "PS110", "expected a value or a list, found a mapping"),
        ("field: a, operator: in, value: 1", "PS110", "a list for the operator in, found the number 1"),
        ("field: a, operator: not_in, value: null", "PS110", "a list for the operator not_in, found nothing"),
        ("field: a, operator: less_than, value: x", "PS110", "a number for the operator less_than, found 'x'"),
        ("field: a, operator: less_than, value: null", "PS110", "a number for the operator less_than"),
        ("field: a, operator: less_than, value: [1]", "PS110", "a number for the operator less_than, found a list"),
        ("field: a, operator: regex, value: null", "PS110", "expected a pattern"),
        ("field: a, operator: regex, value: 'a('", "PS121", "'a(' is no pattern that RE2 accepts: missing )"),
        ("field: a, operator: regex, value: '(?=a)'", "PS121", "RE2"),
        ("field: a, operator: exists, feld: b", "PS111", "'feld'"),
    ],
)
def test_a_slip_in_a_condition_is_told(fields: str, code: str, words: str) -> None:
    problem = rule_problem(f"match: {{fields: [{{{fields}}}]}}, targets: a")
    assert problem.code == code
    assert words in problem.message


def test_what_comes_from_a_variable_is_not_shown() -> None:
    text = 'routes: [{name: r, rules: [{match: {fields: [{field: a, operator: regex, value: "${P}"}]}, targets: a}]}]'
    (problem,) = load_texts({"a.yaml": SERVER + text}, {"P": "secret("}).problems
    assert problem.code == "PS121"
    assert "secret" not in problem.message


@pytest.mark.parametrize("value", ["'${GONE}'", "['${GONE}']", "[{a: '${GONE}'}]"])
def test_a_variable_that_is_not_set_is_told_once(value: str) -> None:
    match = f"match: {{fields: [{{field: a, operator: equals, value: {value}}}]}}"
    assert rule_problem(f"{match}, targets: a").code == "PS109"
    assert ROUTE
