"""Parts of configurations for the tests, valid unless told otherwise."""

from typing import Any

from proxy.mixtrain.models import RoutingCondition, RoutingConfig, RoutingRule, RoutingTarget


def target(name: str = "m", **fields: Any) -> RoutingTarget:
    given = {"provider": "custom", "model_name": name, "endpoint": f"http://{name}.example", **fields}
    return RoutingTarget.model_validate(given)


def condition(field: str, operator: str, value: Any = None) -> RoutingCondition:
    return RoutingCondition.model_validate({"field": field, "operator": operator, "value": value})


def rule(name: str = "r", **fields: Any) -> RoutingRule:
    return RoutingRule.model_validate({"name": name, "targets": [target(name)], **fields})


def config(*rules: RoutingRule, **fields: Any) -> RoutingConfig:
    return RoutingConfig.model_validate({"name": "c", "rules": list(rules), **fields})
