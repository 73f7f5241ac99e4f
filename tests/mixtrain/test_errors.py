"""The errors are kin, and one of them carries messages."""

import pytest

from proxy.errors import PenstockError
from proxy.mixtrain import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.ConfigurationError,
        errors.RoutingConfigValidationError,
        errors.TargetSelectionError,
        errors.ConditionEvaluationError,
    ],
)
def test_every_error_can_be_caught_as_a_routing_error(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.RoutingError)
    assert issubclass(kind, PenstockError)
    assert str(kind("why")) == "why"


def test_a_validation_error_carries_its_messages() -> None:
    assert errors.RoutingConfigValidationError("why", ["one", "two"]).errors == ["one", "two"]
    assert errors.RoutingConfigValidationError("why").errors == []
