"""What a worker tells the supervisor of itself: plain data that crosses the channel between them."""

import msgspec


class RequestSeries(msgspec.Struct):
    """The finished requests of one route, model server and status. Times are in seconds, sizes are bytes of body.

    The counts of a histogram are one for each bound of `metrics.DURATION_BOUNDS` or `metrics.FIRST_BYTE_BOUNDS`, not
    cumulative, and one for what lies above them all.
    """

    route: str
    server: str
    status: int
    durations: list[int]
    first_bytes: list[int]
    duration_sum: float = 0.0
    first_byte_sum: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0


class AttemptFailures(msgspec.Struct):
    """How often attempts at one endpoint failed in one way."""

    server: str
    endpoint: str
    reason: str
    count: int = 0


class MetricsSnapshot(msgspec.Struct):
    """Counters since the worker's start. `retries` is keyed by model server, `failures` by the exchange's failure."""

    requests: list[RequestSeries] = []
    attempt_failures: list[AttemptFailures] = []
    retries: dict[str, int] = {}
    failures: dict[str, int] = {}


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
