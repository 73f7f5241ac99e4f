"""The errors of the Mixtrain interface. A configuration of the wrong shape is pydantic's ValidationError instead."""

from collections.abc import Sequence

from proxy.errors import PenstockError


class RoutingError(PenstockError):
    """The base of the errors below."""


class ConfigurationError(RoutingError):
    """A configuration that an engine cannot work with."""


class RoutingConfigValidationError(RoutingError):
    """A configuration that the validator finds fault with; `errors` holds its messages."""

    def __init__(self, message: str, errors: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.errors = list(errors or ())


class TargetSelectionError(RoutingError):
    """Targets that a strategy cannot choose from."""


class ConditionEvaluationError(RoutingError):
    """A condition that cannot be evaluated on this request."""
