"""All that a request reads of the configuration, swapped in one assignment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.config.spec import Config
from proxy.forwarding.admission import Admission
from proxy.forwarding.peek import Peek
from proxy.routing.table import RoutingTable
from proxy.upstream.server import UpstreamServer


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One configuration, ready to serve. A request takes it once and keeps it to its end.

    `services` are the tables of model servers' own ports.
    """

    config: Config
    table: RoutingTable
    servers: Mapping[str, UpstreamServer]
    admission: Admission
    peek: Peek
    models: bytes
    services: Mapping[int, RoutingTable] = field(default_factory=dict)
