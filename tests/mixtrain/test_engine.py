"""What a caller is promised of each decision."""

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.mixtrain.engine import RoutingEngine, RoutingEngineFactory
from proxy.mixtrain.errors import ConfigurationError
from proxy.mixtrain.models import RoutingConfig, RoutingResult
from proxy.mixtrain.validation import ConfigurationLinter, RoutingValidator
from tests.mixtrain.parts import condition, config, rule, target
from tests.mixtrain.sample import observed, versionless

TIERS = config(
    rule("premium", priority=100, conditions=[condition("user.tier", "equals", "premium")]),
    rule("default", priority=10),
)


def tiers() -> RoutingConfig:
    return copy.deepcopy(TIERS)


def matched(engine: RoutingEngine, data: object) -> str | None:
    rule = engine.route_request(data).matched_rule
    return None if rule is None else rule.name


def seen(result: RoutingResult) -> dict[str, Any]:
    return {
        "matched_rule": result.matched_rule and result.matched_rule.name,
        "targets": [target.model_name for target in result.selected_targets],
        "is_shadow": [target.is_shadow for target in result.selected_targets],
        "explanation": result.explanation,
        "metadata": result.metadata,
    }


@observed("cases")
def test_a_configuration_loads_is_checked_and_routes_as_observed(row: dict[str, Any]) -> None:
    expected = row["observed"]
    checked = [versionless(message) for message in RoutingValidator.validate_config_dict(row["config"])]
    assert checked == [versionless(message) for message in expected["validate_config_dict"]]
    if "parse_error" in expected:
        refused_as_observed(row["config"], expected["parse_error"])
        return
    asked = RoutingConfig.from_json(row["config"])
    assert json.dumps(asked.to_json()) == json.dumps(expected["parsed"])
    assert ConfigurationLinter.lint_config(asked) == expected["lint"]
    if "engine_error" in expected:
        with pytest.raises(ConfigurationError) as error:
            RoutingEngine(asked)
        assert f"ConfigurationError: {error.value}" == expected["engine_error"]
        return
    routes_as_observed(RoutingEngine(asked, lambda: row["random"]), row)


def refused_as_observed(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        RoutingConfig.from_json(fields)
    errors = [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in refused.value.errors()]
    assert errors == expected["errors"]
    assert versionless(str(refused.value)) == versionless(expected["str"])


def routes_as_observed(engine: RoutingEngine, row: dict[str, Any]) -> None:
    expected = row["observed"]
    if "expected_rule" in row:
        result = engine.test_request(row["request"], row["expected_rule"])
    else:
        result = engine.route_request(row["request"])
    found = seen(result)
    assert found == {key: expected[key] for key in found}
    if "coverage" in row:
        assert engine.get_rule_coverage(row["coverage"]) == expected["coverage"]


# --- one decision ---


def test_the_first_rule_by_priority_that_holds_takes_the_request() -> None:
    engine = RoutingEngine(tiers())
    result = engine.route_request({"user": {"tier": "premium"}})
    assert result.matched_rule is engine.config.rules[0]
    assert result.selected_targets == engine.config.rules[0].targets
    assert result.selected_targets[0] is engine.config.rules[0].targets[0]
    assert result.explanation == "Matched rule 'premium' (priority 100)"
    assert result.metadata == {"evaluated_rules": 2, "strategy": "single", "target_count": 1}
    assert matched(engine, {"user": {"tier": "free"}}) == "default"


def test_rules_of_equal_priority_are_tried_as_declared() -> None:
    engine = RoutingEngine(config(rule("a", priority=1), rule("b", priority=5), rule("c", priority=5)))
    assert matched(engine, {}) == "b"


def test_without_a_match_the_result_says_so() -> None:
    result = RoutingEngine(config(rule(conditions=[condition("a", "exists")]))).route_request({})
    assert (result.matched_rule, result.selected_targets) == (None, [])
    assert result.explanation == "No rules matched the request"
    assert result.metadata == {"evaluated_rules": 1}


def test_disabled_rules_are_neither_evaluated_nor_counted() -> None:
    engine = RoutingEngine(config(rule("off", is_enabled=False, priority=9), rule("on")))
    result = engine.route_request({})
    assert result.matched_rule is engine.config.rules[1]
    assert result.metadata["evaluated_rules"] == 1


def test_each_decision_tells_how_long_it_took() -> None:
    took = RoutingEngine(tiers()).route_request({}).execution_time_ms
    assert isinstance(took, float)
    assert 0 <= took < 1000


def test_a_strategy_left_out_is_single_in_the_result_too() -> None:
    metadata = RoutingEngine(config(rule())).route_request({}).metadata
    assert f"{metadata['strategy']}" == "single"


@pytest.mark.parametrize("data", [[], [1], "text", 5, None, True])
def test_a_request_that_is_no_object_has_no_fields(data: object) -> None:
    assert matched(RoutingEngine(tiers()), data) == "default"


def test_a_split_is_decided_by_the_draw() -> None:
    targets = [target("a", weight=0.8), target("b", weight=0.2)]
    draws = iter([0.5, 0.9])
    engine = RoutingEngine(config(rule(strategy="split", targets=targets)), lambda: next(draws))
    assert [engine.route_request({}).selected_targets for _ in range(2)] == [targets[:1], targets[1:]]


def test_a_shadow_result_may_be_altered_without_touching_the_configuration() -> None:
    engine = RoutingEngine(config(rule(strategy="shadow", targets=[target("a"), target("b")])))
    primary, shadow = engine.route_request({}).selected_targets
    assert (primary.is_shadow, shadow.is_shadow) == (False, True)
    primary.label = "altered"
    assert engine.config.rules[0].targets[0].label is None
    assert not engine.config.rules[0].targets[1].is_shadow


def test_a_result_may_be_altered_and_copied_like_any_model() -> None:
    engine = RoutingEngine(tiers())
    result = engine.route_request({})
    result.metadata["note"] = 1
    result.selected_targets.clear()
    assert result.model_copy(deep=True) == result
    assert json.loads(result.model_dump_json())["matched_rule"]["name"] == "default"
    assert engine.route_request({}).metadata == {"evaluated_rules": 2, "strategy": "single", "target_count": 1}
    assert len(engine.route_request({}).selected_targets) == 1


# --- the configuration is read as it stands ---


def test_a_rule_disabled_later_is_passed_over() -> None:
    engine = RoutingEngine(tiers())
    premium = {"user": {"tier": "premium"}}
    assert matched(engine, premium) == "premium"
    engine.config.rules[0].is_enabled = False
    assert matched(engine, premium) == "default"
    engine.config.rules[0].is_enabled = True
    assert matched(engine, premium) == "premium"


def test_a_priority_changed_later_reorders_the_rules() -> None:
    engine = RoutingEngine(tiers())
    assert matched(engine, {"user": {"tier": "premium"}}) == "premium"
    engine.config.rules[1].priority = 1000
    result = engine.route_request({"user": {"tier": "premium"}})
    assert result.explanation == "Matched rule 'default' (priority 1000)"


def test_a_value_replaced_later_is_compared_with() -> None:
    engine = RoutingEngine(tiers())
    assert matched(engine, {"user": {"tier": "gold"}}) == "default"
    engine.config.rules[0].conditions[0].value = "gold"
    assert matched(engine, {"user": {"tier": "gold"}}) == "premium"


def test_a_rule_appended_later_is_tried_and_the_whole_configuration_may_be_replaced() -> None:
    engine = RoutingEngine(tiers())
    assert matched(engine, {}) == "default"
    engine.config.rules.append(rule("late", priority=500))
    assert matched(engine, {}) == "late"
    engine.config = tiers()
    assert matched(engine, {}) == "default"


def test_targets_and_the_strategy_are_read_at_each_request() -> None:
    engine = RoutingEngine(config(rule(targets=[target("a")])))
    engine.route_request({})
    engine.config.rules[0].targets.append(target("b"))
    engine.config.rules[0].strategy = "fallback"  # type: ignore[assignment]
    assert [found.model_name for found in engine.route_request({}).selected_targets] == ["a", "b"]


def test_the_matched_rule_is_the_configurations_own_even_where_an_equal_one_took_its_place() -> None:
    engine = RoutingEngine(tiers())
    engine.route_request({})
    engine.config.rules[1] = engine.config.rules[1].model_copy(deep=True)
    assert engine.route_request({}).matched_rule is engine.config.rules[1]


# --- what goes wrong ---


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^Rule names must be unique$"):
        RoutingEngine(config(rule("a"), rule("a", is_enabled=False)))


def test_a_configuration_emptied_by_hand_is_refused() -> None:
    asked = config(rule())
    asked.rules.clear()
    with pytest.raises(ConfigurationError, match=r"^At least one routing rule must be specified$"):
        RoutingEngine(asked)


def test_what_the_validator_objects_to_is_routed_all_the_same() -> None:
    conditions = [condition("", "equals", 1), condition("a..b", "not_exists"), condition("a", "not_in", "scalar")]
    asked = config(rule(" ", priority=-1, conditions=conditions, targets=[target(endpoint="ftp://x")]), name="")
    assert RoutingValidator.validate_config(asked)
    assert matched(RoutingEngine(asked), {"": 1}) == " "


def test_a_rule_that_fails_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    engine = RoutingEngine(config(rule("bad", priority=1, conditions=[condition("a", "contains", 1)]), rule("good")))
    assert matched(engine, {"a": "1"}) == "good"
    assert caplog.records[0].levelno == logging.ERROR


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda asked: asked.rules[1].targets.clear(), "No targets available for selection"),
        (
            lambda asked: setattr(asked.rules[1], "strategy", "best"),
            "Target selection failed for strategy 'best': there is no such strategy",
        ),
        (lambda asked: setattr(asked.rules[0], "priority", "high"), None),
        (lambda asked: asked.rules.append({"name": "no rule"}), None),
        (lambda asked: setattr(asked, "rules", None), None),
    ],
)
def test_a_failure_is_told_in_the_result(alter: Callable[[RoutingConfig], object], words: str | None) -> None:
    engine = RoutingEngine(tiers())
    alter(engine.config)
    result = engine.route_request({})
    assert (result.matched_rule, result.selected_targets) == (None, [])
    assert list(result.metadata) == ["error"]
    assert result.explanation == f"Routing error: {result.metadata['error']}"
    assert words in {None, result.metadata["error"]}
    assert isinstance(result.execution_time_ms, float)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["user", "tier", "a"]), inner),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["value", "field", "operator", "description"]), st.sampled_from([None, "default"]))
def test_no_request_and_no_altered_condition_makes_it_raise(
    data: object, value: object, altered: str, expected: str | None
) -> None:
    engine = RoutingEngine(tiers())
    engine.route_request(data)
    setattr(engine.config.rules[0].conditions[0], altered, value)
    assert isinstance(engine.route_request(data), RoutingResult)
    assert engine.test_request(data, expected).metadata["is_test"]
    assert engine.get_rule_coverage([data])["total_requests"] == 1


# --- tests and coverage ---


def test_a_test_without_expectation_is_marked_as_a_test_only() -> None:
    for expected in (None, ""):
        result = RoutingEngine(tiers()).test_request({}, expected)
        assert result.metadata == {"evaluated_rules": 2, "strategy": "single", "target_count": 1, "is_test": True}
        assert result.explanation == "Matched rule 'default' (priority 10)"


@pytest.mark.parametrize(("expected", "suffix"), [("default", ""), ("premium", " (expected 'premium')")])
def test_a_test_tells_whether_the_expected_rule_has_matched(expected: str, suffix: str) -> None:
    result = RoutingEngine(tiers()).test_request(request_data={}, expected_rule=expected)
    assert result.metadata["expected_rule"] == expected
    assert result.metadata["matched_expected"] is not bool(suffix)
    assert result.explanation == f"Matched rule 'default' (priority 10){suffix}"


def test_a_test_tells_where_no_rule_has_matched() -> None:
    engine = RoutingEngine(config(rule(conditions=[condition("a", "exists")])))
    result = engine.test_request({}, "unheard-of")
    assert result.explanation == "No rules matched the request (expected 'unheard-of', no rule matched)"
    assert result.metadata["matched_expected"] is False


def test_coverage_counts_hits_in_the_order_of_the_configuration() -> None:
    engine = RoutingEngine(config(*TIERS.rules, rule("off", is_enabled=False)))
    requests: list[object] = [{"user": {"tier": "premium"}}, {}, None]
    assert engine.get_rule_coverage(requests) == {
        "total_requests": 3,
        "total_rules": 3,
        "covered_rules": 2,
        "coverage_percentage": 2 / 3 * 100,
        "unmatched_requests": 0,
        "rule_hits": {"premium": 1, "default": 2, "off": 0},
        "uncovered_rules": ["off"],
    }


def test_coverage_counts_requests_that_no_rule_takes() -> None:
    engine = RoutingEngine(config(rule(conditions=[condition("a", "exists")])))
    coverage = engine.get_rule_coverage([{}, {"a": 1}, {"a": None}])
    assert (coverage["unmatched_requests"], coverage["coverage_percentage"]) == (2, 100.0)


def test_coverage_of_no_requests_is_zero() -> None:
    coverage = RoutingEngine(tiers()).get_rule_coverage([])
    assert (coverage["coverage_percentage"], coverage["total_requests"]) == (0.0, 0)


# --- the factory ---


def test_an_engine_is_made_of_parsed_json_or_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    path.write_text(json.dumps(TIERS.to_json()), encoding="utf-8")
    for engine in (
        RoutingEngineFactory.from_json(TIERS.to_json()),
        RoutingEngineFactory.from_file(path),
        RoutingEngineFactory.from_file(str(path)),
    ):
        assert engine.config == TIERS


def test_a_file_that_cannot_be_read_raises_as_reading_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RoutingEngineFactory.from_file(tmp_path / "none.json")
    path = tmp_path / "bad.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(json.JSONDecodeError):
        RoutingEngineFactory.from_file(path)


def test_a_simple_engine_sends_everything_to_one_endpoint() -> None:
    engine = RoutingEngineFactory.create_simple("n", "http://e")
    assert (engine.config.name, engine.config.description) == ("n", "Simple routing to http://e")
    (only,) = engine.config.rules
    assert (only.name, only.priority, only.description) == ("default", 1, "Route all requests to default target")
    (sent,) = engine.route_request({"any": "thing"}).selected_targets
    assert (sent.provider, sent.model_name, sent.endpoint) == ("custom", "default", "http://e")
