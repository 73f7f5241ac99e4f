"""The validator's and the linter's every sentence, and the order they come in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mixtrain.errors import RoutingConfigValidationError
from proxy.mixtrain.models import RoutingConfig, RoutingRule
from proxy.mixtrain.validation import ConfigurationLinter, RoutingValidator
from proxy.operators import Operator
from tests.mixtrain.parts import condition, config, rule, target

WITH_VALUES = [operator.value for operator in Operator if not operator.endswith("exists")]


def errors(*rules: RoutingRule, **fields: Any) -> list[str]:
    return RoutingValidator.validate_config(config(*rules, **fields))


def condition_errors(field: str, operator: str, value: Any = None) -> list[str]:
    place = "rule[0].conditions[0]: "
    found = errors(rule(conditions=[condition(field, operator, value)]))
    assert all(message.startswith(place) for message in found)
    return [message.removeprefix(place) for message in found]


def target_errors(**altered: Any) -> list[str]:
    """Of a target that is altered after it was checked, as the builder's setters do."""
    part = rule()
    for field, value in altered.items():
        setattr(part.targets[0], field, value)
    place = "rule[0].targets[0]: "
    found = RoutingValidator.validate_config(config(part))
    assert all(message.startswith(place) for message in found)
    return [message.removeprefix(place) for message in found]


def lint(*rules: RoutingRule) -> dict[str, list[str]]:
    return ConfigurationLinter.lint_config(config(*rules))


def test_nothing_is_said_of_a_sound_configuration() -> None:
    assert errors(rule(conditions=[condition("user.tier", "equals", "premium")]), rule("other")) == []


@pytest.mark.parametrize("name", ["", "  "])
def test_names_are_asked_for(name: str) -> None:
    assert errors(rule(name, targets=[target()]), name=name) == [
        "Configuration name is required and cannot be empty",
        "rule[0]: Rule name is required and cannot be empty",
    ]


def test_rules_and_targets_emptied_by_hand_are_told() -> None:
    emptied = config(rule())
    emptied.rules[0].targets.clear()
    assert RoutingValidator.validate_config(emptied) == ["rule[0]: At least one target is required"]
    emptied.rules.clear()
    assert RoutingValidator.validate_config(emptied) == ["At least one routing rule must be specified"]


def test_a_priority_is_not_negative() -> None:
    assert errors(rule(priority=-1)) == ["rule[0]: Rule priority cannot be negative"]


@pytest.mark.parametrize("field", ["", " "])
def test_a_condition_names_a_field(field: str) -> None:
    assert condition_errors(field, "exists") == ["Condition field is required and cannot be empty"]


def test_a_field_has_no_two_dots_in_a_row() -> None:
    assert condition_errors("a..b", "exists") == ["Invalid field path 'a..b' (contains '..')"]
    assert condition_errors("a.b.", "exists") == []


@pytest.mark.parametrize("operator", WITH_VALUES)
def test_an_operator_that_compares_asks_for_a_value(operator: str) -> None:
    assert condition_errors("a", operator) == [f"Operator '{operator}' requires a value"]


@pytest.mark.parametrize("operator", ["exists", "not_exists"])
@pytest.mark.parametrize("value", [None, False, ["x"]])
def test_an_operator_that_looks_for_presence_takes_any_value(operator: str, value: object) -> None:
    assert condition_errors("a", operator, value) == []


@pytest.mark.parametrize("operator", ["in", "not_in"])
def test_membership_asks_for_a_list(operator: str) -> None:
    assert condition_errors("a", operator, "x") == [f"Operator '{operator}' requires a list value"]
    assert condition_errors("a", operator, []) == []


@pytest.mark.parametrize("operator", ["greater_than", "less_than"])
def test_a_comparison_asks_for_a_number(operator: str) -> None:
    for value in ("many", [1], 10**400):
        assert condition_errors("a", operator, value) == [f"Operator '{operator}' requires a numeric value"]
    for value in ("1e3", " 5 ", True, 0):
        assert condition_errors("a", operator, value) == []


def test_a_pattern_must_compile() -> None:
    assert condition_errors("a", "regex", "[") == [
        "Invalid regex pattern '[': unterminated character set at position 0"
    ]
    assert condition_errors("a", "regex", "a{1,99999999999}")[0].startswith("Invalid regex pattern 'a{1,99999999999}':")
    for value in (5, ["a"], True):
        assert condition_errors("a", "regex", value) == []


@pytest.mark.parametrize("operator", ["contains", "not_contains"])
def test_what_contains_is_to_look_for_is_not_checked(operator: str) -> None:
    assert condition_errors("a", operator, 5) == []


@pytest.mark.parametrize("blank", ["", " "])
def test_a_target_names_its_provider_model_and_endpoint(blank: str) -> None:
    assert target_errors(provider=blank, model_name=blank, endpoint=blank) == [
        "Field 'provider' is required and cannot be empty",
        "Field 'model_name' is required and cannot be empty",
        "Field 'endpoint' is required and cannot be empty",
    ]


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "HTTP://x", "http:/x"])
def test_an_endpoint_is_a_url_of_http(endpoint: str) -> None:
    assert target_errors(endpoint=endpoint) == ["Endpoint must be a valid HTTP/HTTPS URL"]


@pytest.mark.parametrize("endpoint", ["http://", "https://x/y"])
def test_an_endpoint_is_checked_no_further(endpoint: str) -> None:
    assert target_errors(endpoint=endpoint) == []


def test_bounds_passed_by_a_setter_are_told() -> None:
    assert target_errors(weight=5.0, timeout_ms=99, retry_count=6) == [
        "Weight must be between 0.0 and 1.0, got 5.0",
        "Timeout must be at least 100ms, got 99",
        "Retry count must be between 0 and 5, got 6",
    ]


def test_a_split_has_explicit_weights_that_add_up() -> None:
    whole = [target("a", weight=1.0), target("b", weight=0.0)]
    explicit = "Split strategy requires explicit weights for all targets"
    assert errors(rule(strategy="split", targets=whole)) == [f"rule[0].targets[0]: {explicit}"]
    assert errors(rule(strategy="split", targets=[target(weight=1.0)])) == []
    altered = config(rule(strategy="split", targets=[target("a", weight=0.5), target("b", weight=0.5)]))
    altered.rules[0].targets[0].weight = 0.25
    assert RoutingValidator.validate_config(altered) == [
        "rule[0]: Split strategy requires target weights to sum to 1.0, got 0.750"
    ]


def test_a_shadow_has_two_targets() -> None:
    altered = config(rule(strategy="shadow", targets=[target("a"), target("b")]))
    altered.rules[0].targets.append(target("c"))
    assert RoutingValidator.validate_config(altered) == [
        "rule[0]: Shadow strategy requires exactly 2 targets (primary and shadow), got 3"
    ]


def test_a_name_is_told_once_for_each_time_it_is_repeated() -> None:
    assert errors(rule("a"), rule("a"), rule("b"), rule("a")) == ["Duplicate rule name 'a' found"] * 2


def test_everything_wrong_comes_in_the_order_of_the_configuration() -> None:
    bad = [condition("", "in", "x"), condition("a..b", "regex", "(")]
    whole = [target("a", endpoint="x"), target("b", weight=0.0)]
    assert errors(
        rule("", priority=-1, conditions=bad, strategy="split", targets=whole), rule("", targets=[target()]), name=""
    ) == [
        "Configuration name is required and cannot be empty",
        "rule[0]: Rule name is required and cannot be empty",
        "rule[0]: Rule priority cannot be negative",
        "rule[0].conditions[0]: Condition field is required and cannot be empty",
        "rule[0].conditions[0]: Operator 'in' requires a list value",
        "rule[0].conditions[1]: Invalid field path 'a..b' (contains '..')",
        "rule[0].conditions[1]: Invalid regex pattern '(': missing ), unterminated subpattern at position 0",
        "rule[0].targets[0]: Endpoint must be a valid HTTP/HTTPS URL",
        "rule[0].targets[0]: Split strategy requires explicit weights for all targets",
        "rule[1]: Rule name is required and cannot be empty",
        "Duplicate rule name '' found",
    ]


def test_a_dict_that_does_not_load_is_one_message() -> None:
    (message,) = RoutingValidator.validate_config_dict({"name": "c"})
    assert message.startswith("Failed to parse configuration: 1 validation error for RoutingConfig\nrules\n")
    (message,) = RoutingValidator.validate_config_dict([1])  # type: ignore[arg-type]
    assert message.startswith("Failed to parse configuration: ")


def test_a_dict_that_loads_is_validated() -> None:
    found = config(rule(priority=-1)).to_json()
    assert RoutingValidator.validate_config_dict(found) == ["rule[0]: Rule priority cannot be negative"]


def test_a_validation_may_raise_its_messages() -> None:
    RoutingValidator.validate_and_raise(config(rule()))
    with pytest.raises(RoutingConfigValidationError, match=r"^Configuration validation failed$") as refused:
        RoutingValidator.validate_and_raise(config(rule(priority=-1)))
    assert refused.value.errors == ["rule[0]: Rule priority cannot be negative"]


def test_nothing_is_advised_where_all_is_well() -> None:
    found = lint(
        rule("a", priority=2, description="d", strategy="fallback", conditions=[condition("a", "exists")]),
        rule("b", priority=1, description="d"),
    )
    assert found == {"errors": [], "warnings": [], "suggestions": []}


def test_the_linter_warns_of_ties_of_catch_alls_and_of_disabled_rules() -> None:
    found = lint(rule("a", description="d"), rule("b", description="d"), rule("c", is_enabled=False, description="d"))
    assert found["warnings"] == [
        "Multiple rules have the same priority - evaluation order may be unpredictable",
        "Multiple catch-all rules (no conditions) found - only the highest priority will match",
        "1 rules are disabled and will not be evaluated",
    ]


def test_a_disabled_rule_neither_ties_nor_catches_all() -> None:
    asks = [condition("a", "exists")]
    found = lint(rule("a", description="d", is_enabled=False), rule("b", description="d", conditions=asks))
    assert found["warnings"] == ["1 rules are disabled and will not be evaluated"]
    assert found["suggestions"][-1] == (
        "Consider adding a catch-all rule (no conditions) as the lowest priority fallback"
    )


def test_the_linter_suggests_descriptions_fallbacks_and_a_catch_all() -> None:
    asks = [condition("a", "exists")]
    found = lint(rule("a", conditions=asks, priority=1), rule("b", conditions=asks, description=None))
    assert found["suggestions"] == [
        "Consider adding descriptions to 2 rules for better maintainability",
        "Consider adding fallback rules for better resilience in production",
        "Consider adding a catch-all rule (no conditions) as the lowest priority fallback",
    ]


def test_a_disabled_fallback_counts_as_one() -> None:
    found = lint(rule("a", strategy="fallback", is_enabled=False, priority=1), rule("b"))
    assert found["suggestions"] == ["Consider adding descriptions to 2 rules for better maintainability"]


def test_the_linters_errors_are_the_validators() -> None:
    assert lint(rule(priority=-1))["errors"] == ["rule[0]: Rule priority cannot be negative"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(
    st.text(max_size=5),
    st.sampled_from(list(Operator)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.text(max_size=3)),
)
def test_no_condition_breaks_the_validator(field: str, operator: Operator, value: Any) -> None:
    asked: RoutingConfig = config(rule(conditions=[condition(field, operator, value)]))
    assert isinstance(RoutingValidator.validate_config(asked), list)
