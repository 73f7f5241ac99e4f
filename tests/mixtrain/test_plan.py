"""A plan decides as the rules read one by one would, and knows when it is out of date."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.mixtrain.models import RoutingCondition, RoutingConfig, RoutingRule
from proxy.mixtrain.plan import Plan
from proxy.operators import Operator
from tests.mixtrain.naive import first_match
from tests.mixtrain.parts import condition, config, rule

# Patterns that hypothesis makes up may hold what Python warns of.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

KEYS = st.sampled_from(["a", "b", "", "0"])
FIELDS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.5, float("nan"), float("inf"), 10**400])
    | st.sampled_from(["", "a", "1", "1.5", "True", "None", "(", "a.", "^[0-9]", "x"])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
CONDITIONS = st.builds(
    condition, FIELDS, st.sampled_from([operator.value for operator in Operator]), SCALARS | st.lists(JSON, max_size=3)
)
RULES = st.builds(
    lambda conditions, priority, is_enabled: rule(conditions=conditions, priority=priority, is_enabled=is_enabled),
    st.lists(CONDITIONS, max_size=3),
    st.integers(-1, 1),
    st.booleans(),
)
CONFIGS = st.lists(RULES, min_size=1, max_size=4).map(lambda rules: config(*rules))


@settings(deadline=None)
@given(CONFIGS, JSON)
def test_prepared_rules_decide_as_rules_read_one_by_one(asked: RoutingConfig, data: object) -> None:
    assert Plan(asked).match(data) is first_match(asked.rules, data)


def alter_condition(asked: RoutingConfig, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    altered = draw(st.sampled_from(asked.rules))
    if not altered.conditions:
        altered.conditions.append(draw(CONDITIONS))
        return
    chosen = draw(st.sampled_from(altered.conditions))
    field, values = draw(
        st.sampled_from(
            [
                ("value", SCALARS | st.lists(JSON, max_size=2)),
                ("field", FIELDS),
                ("operator", st.sampled_from([*map(str, Operator), "resembles"])),
            ]
        )
    )
    setattr(chosen, field, draw(values))


def alter_list_value(asked: RoutingConfig, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    for part in draw(st.sampled_from(asked.rules)).conditions:
        if isinstance(part.value, list):
            part.value.append(draw(JSON))


def alter_rule(asked: RoutingConfig, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    altered = draw(st.sampled_from(asked.rules))
    field, values = draw(
        st.sampled_from(
            [
                ("priority", st.integers(-2, 2)),
                ("is_enabled", st.booleans()),
                ("conditions", st.lists(CONDITIONS, max_size=2)),
            ]
        )
    )
    setattr(altered, field, draw(values))


def alter_lists(asked: RoutingConfig, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    match draw(st.sampled_from(["append", "reverse", "replace", "copy", "drop a condition", "new list"])):
        case "append":
            asked.rules.append(draw(RULES))
        case "reverse":
            asked.rules.reverse()
        case "replace":
            asked.rules[0] = draw(RULES)
        case "copy":
            asked.rules[0] = asked.rules[0].model_copy(deep=True)
        case "drop a condition":
            del asked.rules[0].conditions[:1]
        case _:
            asked.rules = draw(st.lists(RULES, min_size=1, max_size=3))


ALTERATIONS = [alter_condition, alter_list_value, alter_rule, alter_lists]


@settings(deadline=None)
@given(st.data(), CONFIGS)
def test_whatever_is_altered_counts_from_the_next_request_on(data: st.DataObject, asked: RoutingConfig) -> None:
    plan = Plan(asked)
    for _ in range(4):
        data.draw(st.sampled_from(ALTERATIONS))(asked, data.draw)
        if not plan.current(asked):
            plan = Plan(asked)
        request = data.draw(JSON)
        assert plan.match(request) is first_match(asked.rules, request)


def test_a_plan_stays_current_while_nothing_is_altered() -> None:
    asked = config(rule(conditions=[condition("a", "in", [1])]), rule("s"))
    plan = Plan(asked)
    plan.match({"a": 1})
    assert plan.current(asked)


def test_a_plan_is_for_one_configuration() -> None:
    assert not Plan(config(rule())).current(config(rule()))


def test_an_alteration_of_a_disabled_rule_counts_once_it_is_enabled() -> None:
    asked = config(rule(is_enabled=False, conditions=[condition("a", "equals", 1)]))
    plan = Plan(asked)
    asked.rules[0].conditions[0].value = 2
    assert plan.current(asked)
    asked.rules[0].is_enabled = True
    assert not plan.current(asked)
    assert Plan(asked).match({"a": 2}) is asked.rules[0]


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, 0.0)])
def test_a_pattern_is_read_anew_where_an_equal_value_has_another_text(before: Any, after: Any) -> None:
    asked = config(rule(conditions=[condition("a", "regex", before)]))
    plan = Plan(asked)
    assert plan.match({"a": str(before)}) is not None
    asked.rules[0].conditions[0].value = after
    assert plan.match({"a": str(after)}) is not None


def test_a_pattern_in_a_list_is_read_as_it_stands() -> None:
    asked = config(rule(conditions=[condition("a", "regex", ["x"])]))
    plan = Plan(asked)
    assert plan.match({"a": "y"}) is None
    asked.rules[0].conditions[0].value.append("y")  # type: ignore[union-attr]
    assert plan.match({"a": "y"}) is asked.rules[0]


class Incomparable:
    """A value that objects to being compared, as arrays do."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("which element?")

    def __hash__(self) -> int:
        return 0


def test_a_value_that_cannot_be_compared_costs_its_rule_alone() -> None:
    asked = config(rule("odd", conditions=[condition("a", "equals", 1)], priority=1), rule("even"))
    plan = Plan(asked)
    asked.rules[0].conditions[0].value = Incomparable()  # type: ignore[assignment]
    assert not plan.current(asked)
    plan = Plan(asked)
    assert plan.current(asked)
    assert plan.match({"a": 1}) is asked.rules[1]


@pytest.mark.parametrize(
    "alter",
    [
        lambda altered: setattr(altered.conditions[0], "operator", "resembles"),
        lambda altered: setattr(altered.conditions[0], "field", None),
        lambda altered: altered.conditions.append("no condition"),
        lambda altered: setattr(altered, "conditions", None),
    ],
)
def test_a_condition_altered_into_none_costs_its_rule_alone(
    alter: Callable[[RoutingRule], object], caplog: pytest.LogCaptureFixture
) -> None:
    asked = config(rule("odd", conditions=[condition("a", "equals", 1)], priority=1), rule("even"))
    alter(asked.rules[0])
    plan = Plan(asked)
    assert plan.match({"a": 1}) is asked.rules[1]
    assert "Error evaluating rule 'odd': " in caplog.text


def test_a_condition_that_fails_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    asked = config(rule(conditions=[condition("a", "exists"), condition("a", "contains", 5)]))
    assert Plan(asked).match({"a": "x"}) is None
    cause = "'in <string>' requires string as left operand, not int"
    assert caplog.messages == [f"Error evaluating rule 'r': Failed to evaluate condition 'a' contains '5': {cause}"]
    assert caplog.records[0].levelno == logging.ERROR


def test_a_failure_that_does_not_come_again_is_told_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    class Moody:
        moods = iter(["bad"])

        def __eq__(self, other: object) -> bool:
            if next(self.moods, "good") == "bad":
                raise ValueError("not today")
            return True

        def __hash__(self) -> int:
            return 0

    asked = config(rule(conditions=[condition("a", "equals", 1)]))
    assert Plan(asked).match({"a": Moody()}) is None
    assert caplog.messages == ["Error evaluating rule 'r': not today"]


def test_conditions_are_tried_in_their_order_up_to_the_first_that_does_not_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = config(rule(conditions=[condition("a", "equals", 9), condition("a", "contains", 5)]))
    assert Plan(asked).match({"a": "5"}) is None
    assert not caplog.messages


def test_a_field_is_read_once_for_all_rules_that_test_it() -> None:
    class Counting(dict[str, object]):
        reads = 0

        def get(self, key: str, default: object = None) -> object:
            self.reads += 1
            return super().get(key, default)

    asked = config(
        *[rule(f"r{n}", conditions=[condition("a", "equals", n), condition("a", "exists")]) for n in range(5)]
    )
    data = Counting(a=4)
    assert Plan(asked).match(data) is asked.rules[4]
    assert data.reads == 1


def test_the_number_of_enabled_rules_is_told_to_who_debugs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "penstock.mixtrain"):
        plan = Plan(config(rule("a"), rule("b", is_enabled=False), rule("c")))
    assert plan.size == 2
    assert caplog.messages == ["Evaluating 2 enabled rules for routing"]


def test_a_condition_object_of_two_rules_counts_for_both() -> None:
    shared: RoutingCondition = condition("a", "equals", 1)
    asked = config(rule("one", priority=1), rule("two"))
    for part in asked.rules:
        part.conditions.append(shared)
    plan = Plan(asked)
    asked.rules[0].is_enabled = False
    assert Plan(asked).match({"a": 1}) is asked.rules[1]
    shared.value = 2
    assert not plan.current(asked)
