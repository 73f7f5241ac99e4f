"""All that a request reads of the configuration, swapped in one assignment."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.access.rate_limit import LimiterSet
from proxy.config.spec import Config
from proxy.forwarding.peek import Peek
from proxy.routing.table import RoutingTable
from proxy.upstream.server import UpstreamServer


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One configuration, ready to serve. A request takes it once and keeps it to its end."""

    config: Config
    table: RoutingTable
    servers: Mapping[str, UpstreamServer]
    limiters: LimiterSet
    peek: Peek
    models: bytes
