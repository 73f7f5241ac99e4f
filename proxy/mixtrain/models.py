"""The parts of a Mixtrain configuration, and the result of routing a request by it, as pydantic models.

Unknown keys are ignored, and numbers, booleans and enums are coerced as pydantic does by default.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_serializer, field_validator

from proxy.operators import Operator

# Weights of a split may miss 1.0 by this much: a sum of 0.9995 passes, 0.999 does not (observed).
WEIGHT_TOLERANCE = 0.001
SHADOW_TARGETS = 2

_new = object.__new__
_set = object.__setattr__

Made = TypeVar("Made", bound=BaseModel)


class RoutingStrategy(StrEnum):
    """How a rule chooses among its targets."""

    SINGLE = "single"
    SPLIT = "split"
    SHADOW = "shadow"
    FALLBACK = "fallback"


class ConditionOperator(StrEnum):
    """How a condition compares: the operators that the proxy knows, under the name that callers import."""

    EQUALS = Operator.EQUALS.value
    NOT_EQUALS = Operator.NOT_EQUALS.value
    CONTAINS = Operator.CONTAINS.value
    NOT_CONTAINS = Operator.NOT_CONTAINS.value
    IN = Operator.IN.value
    NOT_IN = Operator.NOT_IN.value
    EXISTS = Operator.EXISTS.value
    NOT_EXISTS = Operator.NOT_EXISTS.value
    GREATER_THAN = Operator.GREATER_THAN.value
    LESS_THAN = Operator.LESS_THAN.value
    REGEX = Operator.REGEX.value


class RoutingCondition(BaseModel):
    """What a field of the request must be; `field` is a path of keys with dots between."""

    model_config = ConfigDict(use_enum_values=True)

    field: str
    operator: ConditionOperator
    value: str | int | float | bool | list[Any] | None = None
    description: str | None = None


class RoutingTarget(BaseModel):
    """Where a request may go. `timeout_ms` is in milliseconds, `retry_count` counts tries after the first one."""

    provider: str
    model_name: str
    endpoint: str
    weight: float = Field(default=1.0, ge=0.0, le=1.0)
    label: str | None = None
    timeout_ms: int | None = Field(default=None, ge=100)
    retry_count: int | None = Field(default=None, ge=0, le=5)
    function_name: str | None = None
    request_class: str | None = None
    headers: dict[str, str] | None = None
    is_shadow: bool = False


class RoutingRule(BaseModel):
    """Targets for the requests that meet all conditions; a higher priority is tried first."""

    # What is given as `strategy` becomes a plain str; where it is left out, it stays the enum's member.
    model_config = ConfigDict(use_enum_values=True)

    name: str
    description: str | None = ""
    priority: int = 0
    is_enabled: bool = True
    conditions: list[RoutingCondition] = Field(default_factory=list)
    strategy: RoutingStrategy = RoutingStrategy.SINGLE
    targets: list[RoutingTarget]

    @field_validator("targets")
    @classmethod
    def _targets_fit_the_strategy(cls, targets: list[RoutingTarget], info: ValidationInfo) -> list[RoutingTarget]:
        if not targets:
            raise ValueError("At least one target must be specified")
        strategy = info.data.get("strategy")
        if strategy == RoutingStrategy.SPLIT and not sums_to_one(targets):
            raise ValueError("Split strategy requires target weights to sum to 1.0")
        if strategy == RoutingStrategy.SHADOW and len(targets) != SHADOW_TARGETS:
            raise ValueError("Shadow strategy requires exactly 2 targets (primary and shadow)")
        return targets

    @field_serializer("strategy")
    def _strategy_as_text(self, strategy: str) -> str:
        return str(strategy)


class RoutingConfig(BaseModel):
    """A named list of rules."""

    name: str
    description: str | None = ""
    rules: list[RoutingRule]
    metadata: dict[str, Any] | None = Field(default_factory=dict)

    @field_validator("rules")
    @classmethod
    def _some_rule(cls, rules: list[RoutingRule]) -> list[RoutingRule]:
        if not rules:
            raise ValueError("At least one routing rule must be specified")
        return rules

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RoutingConfig":
        """A configuration from parsed JSON. Raises pydantic.ValidationError, or TypeError where it is no object."""
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        """A dict that `from_json` reads back and that JSON can write: every key, nulls too."""
        return self.model_dump()


class RoutingResult(BaseModel):
    """Where a request goes and why. `execution_time_ms` is what the decision took, in milliseconds."""

    matched_rule: RoutingRule | None = None
    selected_targets: list[RoutingTarget] = Field(default_factory=list)
    explanation: str = ""
    execution_time_ms: float | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class TestRequest(BaseModel):
    """A request to try a configuration with, and the rule that should take it."""

    # pytest takes a class of this name for tests of its own.
    __test__: ClassVar[bool] = False

    request_data: dict[str, Any]
    expected_rule: str | None = None


def unchecked(model: type[Made], fields: dict[str, Any]) -> Made:
    """A model of all its fields, whose values are known to be right.

    It does what pydantic's own `model_construct` does, in 0.6 µs where that takes 2.3 (benchmarks/mixtrain.py).
    """
    made = _new(model)
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", set(fields))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


def sums_to_one(targets: list[RoutingTarget]) -> bool:
    """Whether the weights of a split add up, within the tolerance."""
    return abs(sum(target.weight for target in targets) - 1.0) <= WEIGHT_TOLERANCE
