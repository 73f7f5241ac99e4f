"""What a worker tells the supervisor of itself: plain data that crosses the channel between them."""

import msgspec

from proxy.routing.canary import SideEvidence


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


class ShadowSeries(msgspec.Struct):
    """The copies of a rule's requests for a server that came to one outcome. Seconds."""

    route: str
    rule: str
    server: str
    outcome: str
    count: int = 0
    duration_sum: float = 0.0


class TokenSeries(msgspec.Struct):
    """LLM tokens of a route's requests at a server, where something counts them. `cached` are part of `input`."""

    route: str
    server: str
    input: int = 0
    output: int = 0
    cached: int = 0


class MetricsSnapshot(msgspec.Struct):
    """Counters since the worker's start. `retries` is keyed by model server, `failures` by the exchange's failure."""

    requests: list[RequestSeries] = []
    attempt_failures: list[AttemptFailures] = []
    retries: dict[str, int] = {}
    failures: dict[str, int] = {}
    shadows: list[ShadowSeries] = []
    tokens: list[TokenSeries] = []


class EndpointReport(msgspec.Struct):
    """A living endpoint of a model server, as this worker sees it."""

    server: str
    address: str
    in_flight: int
    idle_connections: int
    state: str


class CanaryCounters(msgspec.Struct):
    """What one side of a judged rule has shown since the worker's start: 0 is the stable target, 1 the canary."""

    route: str
    rule: str
    side: int
    evidence: SideEvidence


class ServerProblem(msgspec.Struct, frozen=True):
    """What keeps a worker from sending a model server's requests on; where it is `kept`, an earlier value serves on."""

    server: str
    message: str
    kept: bool = False


class WorkerReport(msgspec.Struct):
    """One worker, now. `local_rows` counts what found no room in the memory that all workers share, since its start."""

    worker: int
    pid: int
    config_version: str
    connections: int
    in_flight: int
    draining: bool
    endpoints: list[EndpointReport]
    metrics: MetricsSnapshot
    canaries: list[CanaryCounters] = []
    local_rows: int = 0
    problems: list[ServerProblem] = []
