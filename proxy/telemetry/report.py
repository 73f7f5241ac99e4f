"""What a worker tells the supervisor of itself: plain data that crosses the channel between them."""

import msgspec


class MetricsSnapshot(msgspec.Struct):
    """Counters since the worker's start. A series is keyed by its label values, joined by newlines."""

    requests: dict[str, int] = {}
    retries: dict[str, int] = {}
    failures: dict[str, int] = {}
    duration: dict[str, list[float]] = {}
    first_byte: dict[str, list[float]] = {}
    bytes_in: dict[str, int] = {}
    bytes_out: dict[str, int] = {}


class EndpointReport(msgspec.Struct):
    """A living endpoint of a model server, as this worker sees it."""

    server: str
    address: str
    in_flight: int
    idle_connections: int
    state: str


class WorkerReport(msgspec.Struct):
    """One worker, now."""

    worker: int
    pid: int
    config_version: str
    connections: int
    in_flight: int
    draining: bool
    endpoints: list[EndpointReport]
    metrics: MetricsSnapshot
