"""Chains of calls build what the same JSON would load."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.mixtrain.builder import (
    ConfigBuilder,
    RuleBuilder,
    TargetBuilder,
    create_ab_test_config,
    create_premium_routing_config,
    create_simple_config,
)
from proxy.mixtrain.conditions import condition
from proxy.mixtrain.engine import RoutingEngine
from proxy.mixtrain.errors import TargetSelectionError
from proxy.mixtrain.models import ConditionOperator, RoutingConfig
from proxy.mixtrain.strategies import SplitStrategy, TargetSelector
from proxy.mixtrain.validation import RoutingValidator
from tests.mixtrain.parts import rule, target
from tests.mixtrain.sample import observed


def begun() -> RuleBuilder:
    return ConfigBuilder("c").add_rule("a")


def finished(builder: RuleBuilder) -> TargetBuilder:
    return builder.add_target("custom", "m", "http://m")


def written(builder: RuleBuilder | TargetBuilder) -> dict[str, Any]:
    return (finished(builder) if isinstance(builder, RuleBuilder) else builder).build().to_json()


def built_twice() -> list[list[Any]]:
    builder = finished(begun())
    builder.build()
    return [[rule.name, len(rule.targets)] for rule in builder.build().rules]


def weight_of_five() -> list[str]:
    return RoutingValidator.validate_config(finished(begun()).with_weight(5.0).build())


def share_of_nothing() -> RoutingConfig:
    return create_ab_test_config("n", "http://c", "http://v", 0)


def strategy_given() -> dict[str, Any]:
    split = rule("r", strategy="split")
    return {"type": type(split.strategy).__name__, "op": None}


CALLS: dict[str, Callable[[], Any]] = {
    "no-rules": lambda: ConfigBuilder("c").build(),
    "build-twice-duplicates": built_twice,
    "enum-operator": lambda: written(begun().with_condition("f", ConditionOperator.IN, [1])),
    "value-set": lambda: written(begun().when("f").is_in({"a"})),
    "with_weight-unchecked": weight_of_five,
    "with_headers-then-header": lambda: written(finished(begun()).with_headers({"A": "1"}).with_header("B", "2")),
    "enable-disable-priority": lambda: written(begun().disable().set_priority(7)),
    "shadow-one": lambda: written(begun().use_shadow_strategy()),
    "conditions.condition": lambda: condition("f").equals(1).model_dump(),
    "create_ab_test_config-0.1": lambda: create_ab_test_config("n", "http://c", "http://v", 0.1).to_json(),
    "create_ab_test_config-0": lambda: share_of_nothing().to_json(),
    "create_ab_test-0-validator": lambda: RoutingValidator.validate_config(share_of_nothing()),
    "select_targets-empty": lambda: TargetSelector.select_targets("single", [], {}),
    "split-all-zero-weights": lambda: [
        chosen.model_name for chosen in SplitStrategy.select([target(weight=0.0), target("other", weight=0.0)], {})
    ],
    "given-strategy-is-str": strategy_given,
}


@observed("builder")
def test_calls_lead_to_what_was_observed(row: dict[str, Any]) -> None:
    if row.get("raises") == "ValidationError":
        with pytest.raises(ValidationError) as refused:
            CALLS[row["id"]]()
        errors = [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in refused.value.errors()]
        assert errors == row["errors"]
    elif row.get("raises") == "TargetSelectionError":
        with pytest.raises(TargetSelectionError) as failure:
            CALLS[row["id"]]()
        assert str(failure.value) == row["message"]
    else:
        assert CALLS[row["id"]]() == row["result"]


def test_a_configuration_has_what_its_chain_says() -> None:
    config = (
        ConfigBuilder("c", "about")
        .add_metadata("team", "inference")
        .add_rule("first", priority=9, description="d")
        .when("a")
        .equals(1, description="one")
        .with_condition("b", "regex", "^x")
        .use_fallback_strategy()
        .add_target("custom", "m", "http://m", label="l", timeout_ms=500)
        .with_timeout(900)
        .with_retries(2)
        .with_label("k")
        .add_target("custom", "n", "http://n", weight=0.5)
        .and_rule("second")
        .add_target("custom", "o", "http://o")
        .build()
    )
    first, second = config.rules
    assert (config.name, config.description, config.metadata) == ("c", "about", {"team": "inference"})
    assert (first.name, first.priority, first.description, first.strategy) == ("first", 9, "d", "fallback")
    assert [(c.field, c.operator, c.value, c.description) for c in first.conditions] == [
        ("a", "equals", 1, "one"),
        ("b", "regex", "^x", ""),
    ]
    assert [(t.model_name, t.weight, t.timeout_ms, t.retry_count, t.label) for t in first.targets] == [
        ("m", 1.0, 900, 2, "k"),
        ("n", 0.5, None, None, None),
    ]
    assert (second.name, second.priority, second.description, second.strategy) == ("second", 0, "", "single")
    assert RoutingConfig.from_json(config.to_json()).to_json() == config.to_json()


@pytest.mark.parametrize(
    ("make", "operator", "value"),
    [
        (lambda field: field.equals("x", "d"), "equals", "x"),
        (lambda field: field.not_equals("x", "d"), "not_equals", "x"),
        (lambda field: field.contains("x", "d"), "contains", "x"),
        (lambda field: field.not_contains("x", "d"), "not_contains", "x"),
        (lambda field: field.is_in(["x"], "d"), "in", ["x"]),
        (lambda field: field.not_in(["x"], "d"), "not_in", ["x"]),
        (lambda field: field.exists("d"), "exists", None),
        (lambda field: field.not_exists("d"), "not_exists", None),
        (lambda field: field.greater_than(1, "d"), "greater_than", 1),
        (lambda field: field.less_than(1, "d"), "less_than", 1),
        (lambda field: field.matches_regex("x", "d"), "regex", "x"),
    ],
)
def test_each_operator_leads_back_to_its_rule(make: Callable[[Any], Any], operator: str, value: object) -> None:
    builder = begun()
    assert make(builder.when("f")) is builder
    (made,) = finished(builder).build().rules[0].conditions
    assert (made.field, made.operator, made.value, made.description) == ("f", operator, value, "d")


@pytest.mark.parametrize(
    ("use", "strategy", "weights"),
    [
        (RuleBuilder.use_single_strategy, "single", (1.0, 1.0)),
        (RuleBuilder.use_split_strategy, "split", (0.5, 0.5)),
        (RuleBuilder.use_shadow_strategy, "shadow", (1.0, 1.0)),
        (RuleBuilder.use_fallback_strategy, "fallback", (1.0, 1.0)),
    ],
)
def test_each_strategy_has_a_method(
    use: Callable[[RuleBuilder], RuleBuilder], strategy: str, weights: tuple[float, float]
) -> None:
    builder = use(begun()).add_target("p", "m", "e", weights[0]).add_target("p", "n", "e", weights[1])
    assert builder.build().rules[0].strategy == strategy


def test_targets_of_the_providers_get_their_endpoints() -> None:
    builder = begun().use_fallback_strategy().add_modal_target("m", "app", "run", "Request", 0.25)
    (modal,) = builder.build().rules[0].targets
    assert (modal.provider, modal.model_name, modal.endpoint, modal.weight) == (
        "modal",
        "m",
        "https://app.modal.run",
        0.25,
    )
    assert (modal.function_name, modal.request_class) == ("run", "Request")
    (fal,) = begun().add_fal_target("flux", "fal-ai/flux").build().rules[0].targets
    assert (fal.provider, fal.model_name, fal.endpoint, fal.weight) == ("fal", "flux", "https://fal.run/fal-ai/flux", 1)


def test_a_rule_under_way_is_not_in_the_configuration_yet() -> None:
    builder = ConfigBuilder("c")
    finished(builder.add_rule("done")).and_rule("pending")
    assert [rule.name for rule in builder.build().rules] == ["done"]


def test_a_rule_may_be_finished_without_a_target_only_in_vain() -> None:
    with pytest.raises(ValidationError, match="At least one target must be specified"):
        begun().build()


def test_a_word_that_is_no_operator_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"^'bad' is not a valid ConditionOperator$"):
        begun().with_condition("f", "bad", 1)


def test_unknown_options_of_a_target_are_ignored() -> None:
    assert begun().add_target("p", "m", "e", colour="red").build().rules[0].targets[0].provider == "p"


def test_a_target_out_of_bounds_is_refused_when_it_begins_but_not_when_it_is_altered() -> None:
    with pytest.raises(ValidationError):
        begun().add_target("p", "m", "e", weight=2.0)
    assert finished(begun()).with_weight(2.0).build().rules[0].targets[0].weight == 2.0


def test_a_split_that_does_not_add_up_is_refused_all_the_same() -> None:
    with pytest.raises(ValidationError, match=r"Split strategy requires target weights to sum to 1\.0"):
        finished(begun().use_split_strategy()).with_weight(0.4).build()


def test_conditions_and_strategy_come_before_targets() -> None:
    for method in ("when", "with_condition", "use_split_strategy"):
        assert not hasattr(finished(begun()), method)


def test_headers_are_gathered_and_the_callers_dict_is_left_alone() -> None:
    given = {"A": "1"}
    builder = finished(begun()).with_headers(given).with_header("B", "2")
    assert given == {"A": "1"}
    assert builder.build().rules[0].targets[0].headers == {"A": "1", "B": "2"}
    assert finished(begun()).with_header("B", "2").build().rules[0].targets[0].headers == {"B": "2"}


def test_a_rule_may_be_enabled_again() -> None:
    assert finished(begun().disable().enable()).build().rules[0].is_enabled


def test_a_configuration_built_goes_its_own_way() -> None:
    builder = ConfigBuilder("c")
    early = finished(builder.add_rule("a")).build()
    builder.add_metadata("k", 1)
    finished(builder.add_rule("b")).build()
    assert len(early.rules) == 1
    assert early.metadata == {}


def test_a_simple_configuration_sends_everything_to_one_endpoint() -> None:
    engine = RoutingEngine(create_simple_config("n", "http://e"))
    assert engine.route_request({}).selected_targets[0].endpoint == "http://e"
    assert RoutingValidator.validate_config(engine.config) == []


def test_an_ab_test_gives_the_variant_its_share() -> None:
    config = create_ab_test_config("n", "http://c", "http://v", variant_percentage=0.25)
    assert config.description == "A/B test: 25.0% to variant"
    assert [(t.label, t.weight, t.endpoint) for t in config.rules[0].targets] == [
        ("control", 0.75, "http://c"),
        ("variant", 0.25, "http://v"),
    ]
    assert create_ab_test_config("n", "http://c", "http://v").rules[0].targets[1].weight == 0.1
    for edge in (0, 1):
        assert RoutingValidator.validate_config(create_ab_test_config("n", "http://c", "http://v", edge))


def test_premium_routing_parts_users_by_their_tier() -> None:
    engine = RoutingEngine(create_premium_routing_config("n", "http://p", "http://s"))
    assert engine.route_request({"user": {"tier": "premium"}}).selected_targets[0].endpoint == "http://p"
    assert engine.route_request({"user": {"tier": "free"}}).selected_targets[0].endpoint == "http://s"
    assert RoutingValidator.validate_config(engine.config) == []
