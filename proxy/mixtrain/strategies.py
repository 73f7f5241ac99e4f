"""Strategies: which of a rule's targets a request goes to."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from proxy.mixtrain.errors import TargetSelectionError
from proxy.mixtrain.models import SHADOW_TARGETS, RoutingStrategy, RoutingTarget

# Gives a number from 0 up to 1.
Draw = Callable[[], float]
Choice = Callable[[Sequence[RoutingTarget], Draw], list[RoutingTarget]]


class Strategy(ABC):
    """Chooses among targets by their order and weights; what the request holds plays no part."""

    @classmethod
    def select(
        cls,
        targets: Sequence[RoutingTarget],
        request_data: object = None,  # noqa: ARG003 - callers pass it
        draw: Draw | None = None,
    ) -> list[RoutingTarget]:
        """The chosen targets, first things first. Without `draw`, numbers come from the `random` module."""
        return cls.choose(targets, draw or random.random)

    @staticmethod
    @abstractmethod
    def choose(targets: Sequence[RoutingTarget], draw: Draw) -> list[RoutingTarget]:
        """What the strategy is about."""


class SingleStrategy(Strategy):
    """The first target, whatever its weight."""

    @staticmethod
    def choose(targets: Sequence[RoutingTarget], _draw: Draw) -> list[RoutingTarget]:
        return [targets[0]]


class SplitStrategy(Strategy):
    """One target by weight, drawn afresh for each request; the weights share whatever they sum up to."""

    @staticmethod
    def choose(targets: Sequence[RoutingTarget], draw: Draw) -> list[RoutingTarget]:
        drawn = draw() * sum([target.weight for target in targets])
        reached = 0.0
        for target in targets:
            reached += target.weight
            # Inclusive, as observed: a first target of weight 0 is chosen when 0.0 is drawn.
            if drawn <= reached:
                return [target]
        return [targets[-1]]


class ShadowStrategy(Strategy):
    """Copies of both targets: the first is to answer, the second is marked and gets a copy of the request."""

    @staticmethod
    def choose(targets: Sequence[RoutingTarget], _draw: Draw) -> list[RoutingTarget]:
        if len(targets) != SHADOW_TARGETS:
            raise ValueError("Shadow strategy requires exactly 2 targets (primary and shadow)")
        primary, shadow = targets
        return [_detached(primary), _detached(shadow, is_shadow=True)]


class FallbackStrategy(Strategy):
    """All targets, to be tried in their order until one succeeds."""

    @staticmethod
    def choose(targets: Sequence[RoutingTarget], _draw: Draw) -> list[RoutingTarget]:
        return list(targets)


def _detached(target: RoutingTarget, **changes: bool) -> RoutingTarget:
    """A copy that shares nothing which can be altered; the headers are all that a target has of that kind."""
    headers = target.headers
    return target.model_copy(update={**changes, "headers": None if headers is None else dict(headers)})


class TargetSelector:
    """Chooses targets by a strategy's name."""

    @staticmethod
    def select_targets(
        strategy: str,
        targets: Sequence[RoutingTarget],
        request_data: object = None,  # noqa: ARG004 - callers pass it
        draw: Draw | None = None,
    ) -> list[RoutingTarget]:
        """The chosen targets. Raises TargetSelectionError where there are none, or the strategy cannot choose."""
        if not targets:
            raise TargetSelectionError("No targets available for selection")
        try:
            return _CHOICES.get(strategy, _unknown)(targets, draw or random.random)
        except Exception as cause:
            raise TargetSelectionError(f"Target selection failed for strategy '{strategy!s}': {cause}") from cause


def _unknown(_targets: Sequence[RoutingTarget], _draw: Draw) -> list[RoutingTarget]:
    raise ValueError("there is no such strategy")


_CHOICES: Mapping[str, Choice] = {
    RoutingStrategy.SINGLE: SingleStrategy.choose,
    RoutingStrategy.SPLIT: SplitStrategy.choose,
    RoutingStrategy.SHADOW: ShadowStrategy.choose,
    RoutingStrategy.FALLBACK: FallbackStrategy.choose,
}
