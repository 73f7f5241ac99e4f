"""Builders: configurations written as chains of calls.

A rule joins its configuration, and a target its rule, when the chain goes on to the next one or ends in `build`.
"""

from collections.abc import Mapping
from typing import Any

from proxy.mixtrain.conditions import OperatorMethods
from proxy.mixtrain.models import (
    ConditionOperator,
    RoutingCondition,
    RoutingConfig,
    RoutingRule,
    RoutingStrategy,
    RoutingTarget,
)


class ConfigBuilder:
    """Gathers rules and metadata."""

    def __init__(self, name: str, description: str = "") -> None:
        self._name = name
        self._description = description
        self._rules: list[RoutingRule] = []
        self._metadata: dict[str, Any] = {}

    def add_rule(self, name: str, priority: int = 0, description: str = "") -> "RuleBuilder":
        """Begin a rule."""
        return RuleBuilder(self, name, priority, description)

    def add_metadata(self, key: str, value: Any) -> "ConfigBuilder":
        """Note something about the configuration."""
        self._metadata[key] = value
        return self

    def build(self) -> RoutingConfig:
        """The configuration of the rules that are finished. Raises pydantic.ValidationError where there are none."""
        return RoutingConfig(
            name=self._name, description=self._description, rules=self._rules, metadata=dict(self._metadata)
        )

    def finish(self, rule: RoutingRule) -> None:
        """Take in a finished rule."""
        self._rules.append(rule)


class RuleBuilder:
    """Gathers a rule's conditions, strategy and targets."""

    def __init__(self, config: ConfigBuilder, name: str, priority: int = 0, description: str = "") -> None:
        self._config = config
        self._name = name
        self._priority = priority
        self._description = description
        self._enabled = True
        self._strategy = RoutingStrategy.SINGLE
        self._conditions: list[RoutingCondition] = []
        self._targets: list[RoutingTarget] = []

    def when(self, field: str) -> "RuleConditionBuilder":
        """Begin a condition on this field; the operator comes next."""
        return RuleConditionBuilder(self, field)

    def with_condition(
        self, field: str, operator: str | ConditionOperator, value: Any = None, description: str = ""
    ) -> "RuleBuilder":
        """Add a condition. Raises ValueError on a word that is no operator."""
        known = ConditionOperator(operator)
        self._conditions.append(RoutingCondition(field=field, operator=known, value=value, description=description))
        return self

    def use_single_strategy(self) -> "RuleBuilder":
        """Requests go to the first target."""
        return self._use(RoutingStrategy.SINGLE)

    def use_split_strategy(self) -> "RuleBuilder":
        """Requests are shared by weight."""
        return self._use(RoutingStrategy.SPLIT)

    def use_shadow_strategy(self) -> "RuleBuilder":
        """Requests go to the first target, and copies of them to the second."""
        return self._use(RoutingStrategy.SHADOW)

    def use_fallback_strategy(self) -> "RuleBuilder":
        """Targets are tried in their order."""
        return self._use(RoutingStrategy.FALLBACK)

    def add_target(
        self, provider: str, model_name: str, endpoint: str, weight: float = 1.0, **options: Any
    ) -> "TargetBuilder":
        """Begin a target; `options` are other fields of RoutingTarget, unknown ones ignored."""
        target = RoutingTarget(provider=provider, model_name=model_name, endpoint=endpoint, weight=weight, **options)
        return TargetBuilder(self, target)

    def add_modal_target(
        self, model_name: str, app_name: str, function_name: str, request_class: str, weight: float = 1.0
    ) -> "TargetBuilder":
        """Begin a target on Modal."""
        endpoint = f"https://{app_name}.modal.run"
        options = {"function_name": function_name, "request_class": request_class}
        return self.add_target("modal", model_name, endpoint, weight, **options)

    def add_fal_target(self, model_name: str, endpoint_id: str, weight: float = 1.0) -> "TargetBuilder":
        """Begin a target on Fal."""
        return self.add_target("fal", model_name, f"https://fal.run/{endpoint_id}", weight)

    def enable(self) -> "RuleBuilder":
        """The rule is evaluated, as it is without this call."""
        self._enabled = True
        return self

    def disable(self) -> "RuleBuilder":
        """The rule is passed over."""
        self._enabled = False
        return self

    def set_priority(self, priority: int) -> "RuleBuilder":
        """Higher is tried first."""
        self._priority = priority
        return self

    def and_rule(self, name: str, priority: int = 0, description: str = "") -> "RuleBuilder":
        """Finish this rule and begin another."""
        self._finish()
        return self._config.add_rule(name, priority, description)

    def build(self) -> RoutingConfig:
        """Finish this rule and build the configuration; each call adds the rule again."""
        self._finish()
        return self._config.build()

    def finish(self, target: RoutingTarget) -> None:
        """Take in a finished target."""
        self._targets.append(target)

    def _use(self, strategy: RoutingStrategy) -> "RuleBuilder":
        self._strategy = strategy
        return self

    def _finish(self) -> None:
        rule = RoutingRule(
            name=self._name,
            description=self._description,
            priority=self._priority,
            is_enabled=self._enabled,
            conditions=self._conditions,
            strategy=self._strategy,
            targets=self._targets,
        )
        self._config.finish(rule)


class RuleConditionBuilder(OperatorMethods[RuleBuilder]):
    """A condition on one field of a rule under way; its operator leads back to the rule."""

    __slots__ = ("_field", "_rule")

    def __init__(self, rule: RuleBuilder, field: str) -> None:
        self._rule = rule
        self._field = field

    def _built(self, operator: ConditionOperator, value: Any, description: str | None) -> RuleBuilder:
        return self._rule.with_condition(self._field, operator, value, description or "")


class TargetBuilder:
    """Alters one target of a rule under way. Nothing that is set here is checked."""

    def __init__(self, rule: RuleBuilder, target: RoutingTarget) -> None:
        self._rule = rule
        self._target = target

    def with_label(self, label: str) -> "TargetBuilder":
        """A name for people."""
        self._target.label = label
        return self

    def with_timeout(self, timeout_ms: int) -> "TargetBuilder":
        """How long a request may take, in milliseconds."""
        self._target.timeout_ms = timeout_ms
        return self

    def with_retries(self, retry_count: int) -> "TargetBuilder":
        """Tries after the first one."""
        self._target.retry_count = retry_count
        return self

    def with_weight(self, weight: float) -> "TargetBuilder":
        """The target's share of a split, from 0 to 1."""
        self._target.weight = weight
        return self

    def with_headers(self, headers: Mapping[str, str]) -> "TargetBuilder":
        """Headers to send, in place of any set before."""
        self._target.headers = dict(headers)
        return self

    def with_header(self, name: str, value: str) -> "TargetBuilder":
        """One more header to send."""
        self._target.headers = {**(self._target.headers or {}), name: value}
        return self

    def add_target(
        self, provider: str, model_name: str, endpoint: str, weight: float = 1.0, **options: Any
    ) -> "TargetBuilder":
        """Finish this target and begin another of the same rule."""
        self._rule.finish(self._target)
        return self._rule.add_target(provider, model_name, endpoint, weight, **options)

    def and_rule(self, name: str, priority: int = 0, description: str = "") -> RuleBuilder:
        """Finish this target and its rule, and begin another rule."""
        self._rule.finish(self._target)
        return self._rule.and_rule(name, priority, description)

    def build(self) -> RoutingConfig:
        """Finish this target and its rule, and build the configuration; each call adds both again."""
        self._rule.finish(self._target)
        return self._rule.build()


def create_simple_config(name: str, endpoint: str) -> RoutingConfig:
    """Every request goes to one endpoint."""
    return (
        ConfigBuilder(name, f"Simple routing to {endpoint}")
        .add_rule("default", priority=1, description="Route all requests to default target")
        .add_target("custom", "default", endpoint)
        .build()
    )


def create_ab_test_config(
    name: str, control_endpoint: str, variant_endpoint: str, variant_percentage: float = 0.1
) -> RoutingConfig:
    """A share of all requests, from 0 to 1, goes to the variant."""
    return (
        ConfigBuilder(name, f"A/B test: {variant_percentage * 100}% to variant")
        .add_rule("ab_test", priority=100, description="Split traffic for A/B testing")
        .use_split_strategy()
        .add_target("control", "control", control_endpoint, weight=1.0 - variant_percentage)
        .with_label("control")
        .add_target("variant", "variant", variant_endpoint, weight=variant_percentage)
        .with_label("variant")
        .build()
    )


def create_premium_routing_config(name: str, premium_endpoint: str, standard_endpoint: str) -> RoutingConfig:
    """Requests whose `user.tier` is premium go to one endpoint, all others to another."""
    return (
        ConfigBuilder(name, "Route premium users to premium endpoint")
        .add_rule("premium_users", priority=100, description="Premium users")
        .when("user.tier")
        .equals("premium")
        .add_target("custom", "premium", premium_endpoint)
        .and_rule("standard_users", priority=10, description="All other users")
        .add_target("custom", "standard", standard_endpoint)
        .build()
    )
