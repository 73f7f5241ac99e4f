"""Mixtrain's Python interface, under the names that `mixtrain.routing` gives them: the one package that re-exports."""

from proxy.mixtrain.builder import ConfigBuilder, RuleBuilder
from proxy.mixtrain.engine import RoutingEngine, RoutingEngineFactory
from proxy.mixtrain.errors import (
    ConditionEvaluationError,
    ConfigurationError,
    RoutingConfigValidationError,
    RoutingError,
    TargetSelectionError,
)
from proxy.mixtrain.models import (
    ConditionOperator,
    RoutingCondition,
    RoutingConfig,
    RoutingResult,
    RoutingRule,
    RoutingStrategy,
    RoutingTarget,
)
from proxy.mixtrain.validation import ConfigurationLinter, RoutingValidator

__all__ = [
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
]
