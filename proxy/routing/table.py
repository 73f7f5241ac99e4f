"""The routing table: what was decided ahead, found by model name in a dict and walked in order."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config.spec import Retries, Timeouts
from proxy.routing.split import Split


@dataclass(frozen=True, slots=True)
class BoundTarget:
    """A target with its policies settled: the rule's win over its server's. `model` is sent upstream; None keeps the client's."""

    server: str
    model: str | None
    timeouts: Timeouts
    retries: Retries


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Where a request goes. One object a rule, made when the table is compiled."""

    route: str
    rule: str
    split: Split[BoundTarget]
    fallback: tuple[BoundTarget, ...]
