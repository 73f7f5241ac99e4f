"""The package offers what programs import from `mixtrain.routing`, and the document's programs run on it."""

import importlib
import re
from typing import Any

import pytest

import proxy.mixtrain
from proxy.mixtrain import (
    ConfigBuilder,
    ConfigurationLinter,
    RoutingConfig,
    RoutingEngine,
    RoutingValidator,
)
from proxy.mixtrain.conditions import condition
from tests.mixtrain.sample import document

NAMES = {
    "ConditionEvaluationError",
    "ConditionOperator",
    "ConfigBuilder",
    "ConfigurationError",
    "ConfigurationLinter",
    "RoutingCondition",
    "RoutingConfig",
    "RoutingConfigValidationError",
    "RoutingEngine",
    "RoutingEngineFactory",
    "RoutingError",
    "RoutingResult",
    "RoutingRule",
    "RoutingStrategy",
    "RoutingTarget",
    "RoutingValidator",
    "RuleBuilder",
    "TargetSelectionError",
}

# The client of Mixtrain's hosted platform, and a logging library that Mixtrain itself no longer uses.
FOREIGN = ("from mixtrain import client", "from loguru import logger")


def programs() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document(), re.DOTALL | re.MULTILINE)


def foreign(program: str) -> bool:
    return any(line in program for line in FOREIGN)


def test_the_package_offers_every_public_name() -> None:
    assert set(proxy.mixtrain.__all__) == NAMES
    for name in NAMES:
        assert getattr(proxy.mixtrain, name).__module__.startswith("proxy.mixtrain.")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("conditions", {"condition", "ConditionBuilder", "ConditionEvaluator"}),
        ("strategies", {"TargetSelector"}),
        ("engine", {"RoutingEngine", "RoutingEngineFactory"}),
        ("builder", {"ConfigBuilder", "RuleBuilder", "TargetBuilder", "create_simple_config"}),
    ],
)
def test_the_modules_have_the_names_that_programs_import_from_them(module: str, names: set[str]) -> None:
    assert names <= set(dir(importlib.import_module(f"proxy.mixtrain.{module}")))


def test_every_program_of_the_document_runs_when_the_import_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {"builder": ConfigBuilder("the one that a program takes for granted")}
    for program in programs():
        if not foreign(program):
            exec(program.replace("mixtrain.routing", "proxy.mixtrain"), scope)
    said = capsys.readouterr().out.splitlines()
    assert "Matched rule: premium_users" in said
    assert "Selected target: https://premium.modal.run" in said
    assert "Test passed: True" in said
    assert "Coverage: 100.0%" in said
    assert "Errors: []" in said
    assert not any(line.startswith("Validation errors") for line in said)


def test_only_two_programs_are_left_out_for_they_need_libraries_that_are_not_ours() -> None:
    assert len([program for program in programs() if foreign(program)]) == len(FOREIGN)
    assert len(programs()) == 12


def test_a_configuration_is_built_routed_validated_and_linted() -> None:
    config = (
        ConfigBuilder("production", "Production routing")
        .add_rule("premium", priority=100, description="Paying users")
        .when("user.tier")
        .equals("premium")
        .add_target("modal", "large", "https://large.example")
        .and_rule("default", priority=10, description="Everyone else")
        .use_fallback_strategy()
        .add_target("modal", "small", "https://small.example")
        .build()
    )
    engine = RoutingEngine(config)
    result = engine.route_request({"user": {"tier": "premium"}})
    assert result.matched_rule is config.rules[0]
    assert [target.endpoint for target in result.selected_targets] == ["https://large.example"]
    assert engine.test_request({"user": {"tier": "free"}}, "default").metadata["matched_expected"]
    assert RoutingValidator.validate_config(config) == []
    assert ConfigurationLinter.lint_config(config) == {"errors": [], "warnings": [], "suggestions": []}
    assert RoutingConfig.from_json(config.to_json()) == config


def test_a_condition_made_alone_fits_into_a_rule() -> None:
    image = condition("request.type").contains("image")
    config = (
        ConfigBuilder("c")
        .add_rule("images")
        .with_condition(image.field, image.operator, image.value)
        .add_target("fal", "flux", "https://flux.example")
        .build()
    )
    engine = RoutingEngine(config)
    assert engine.route_request({"request": {"type": "image-edit"}}).matched_rule is config.rules[0]
    assert engine.route_request({"request": {"type": "chat"}}).matched_rule is None
