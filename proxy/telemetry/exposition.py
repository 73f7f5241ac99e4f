"""The text that Prometheus scrapes: the workers' merged counters, and what is known of the configuration."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from proxy.telemetry.metrics import DURATION_BOUNDS, FIRST_BYTE_BOUNDS, merge
from proxy.telemetry.report import MetricsSnapshot, RequestSeries, ShadowSeries, TokenSeries, WorkerReport


@dataclass(frozen=True, slots=True)
class CanaryFacts:
    """A rule's canary: its phase, and its share in per cent."""

    route: str
    rule: str
    phase: str
    weight: float


@dataclass(frozen=True, slots=True)
class ControlFacts:
    """What the supervisor knows. `last_success` is unix time in seconds, `reloads` counts by outcome.

    `departed` holds the counters of workers that have ended: without them a sum over workers would fall when one is
    replaced, which Prometheus takes for a restart and counts everything twice.
    """

    config_version: str
    last_reload_successful: bool
    last_success: float
    reloads: Mapping[str, int] = field(default_factory=dict)
    problems: int = 0
    worker_restarts: int = 0
    departed: MetricsSnapshot = field(default_factory=MetricsSnapshot)
    canaries: Sequence[CanaryFacts] = ()


def render(reports: Sequence[WorkerReport], facts: ControlFacts) -> bytes:
    """The text for `/metrics`; its media type is prometheus_client's `CONTENT_TYPE_LATEST`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReportCollector(reports, facts))
    return generate_latest(registry)


class ReportCollector(Collector):
    """Families of one scrape. It holds no counter: everything comes from the reports."""

    def __init__(self, reports: Sequence[WorkerReport], facts: ControlFacts) -> None:
        self._reports = reports
        self._facts = facts

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry of one collector has no names to keep apart."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, in the order of the text."""
        metrics = merge([*(report.metrics for report in self._reports), self._facts.departed])
        yield from request_families(metrics.requests)
        yield from attempt_families(metrics)
        yield from shadow_families(metrics.shadows)
        yield from token_families(metrics.tokens)
        yield from endpoint_families(self._reports)
        yield from worker_families(self._reports, self._facts)
        yield from config_families(self._facts)
        yield from canary_families(self._facts.canaries)


def request_families(requests: Sequence[RequestSeries]) -> Iterator[Metric]:
    """Counts, sizes and times of finished requests. A model's name is the client's to choose, so it is no label."""
    labels = ("route", "server")
    count = CounterMetricFamily(
        "penstock_requests",
        "Finished requests; status is what the client was told, 499 where it left before.",
        labels=(*labels, "status"),
    )
    received = CounterMetricFamily(
        "penstock_request_bytes", "Bytes of body received from clients in finished requests.", labels=labels
    )
    sent = CounterMetricFamily(
        "penstock_response_bytes", "Bytes of body sent to clients in finished requests.", labels=labels
    )
    for series in requests:
        count.add_metric((series.route, series.server, str(series.status)), sum(series.durations))
    for key, group in by_route_and_server(requests).items():
        received.add_metric(key, sum(series.bytes_in for series in group))
        sent.add_metric(key, sum(series.bytes_out for series in group))
    yield from (count, received, sent)
    yield from request_histograms(requests)


def request_histograms(requests: Sequence[RequestSeries]) -> Iterator[Metric]:
    """How long requests took, over all statuses."""
    labels = ("route", "server")
    duration = HistogramMetricFamily(
        "penstock_request_duration_seconds",
        "Time from a request's arrival to the end of its answer, in seconds.",
        labels=labels,
    )
    first_byte = HistogramMetricFamily(
        "penstock_time_to_first_byte_seconds",
        "Time from a request's arrival to the first byte of its answer, in seconds.",
        labels=labels,
    )
    for key, group in by_route_and_server(requests).items():
        counts = [sum(column) for column in zip(*(series.durations for series in group), strict=True)]
        duration.add_metric(key, buckets(DURATION_BOUNDS, counts), sum(series.duration_sum for series in group))
        counts = [sum(column) for column in zip(*(series.first_bytes for series in group), strict=True)]
        first_byte.add_metric(key, buckets(FIRST_BYTE_BOUNDS, counts), sum(series.first_byte_sum for series in group))
    yield from (duration, first_byte)


def by_route_and_server(requests: Iterable[RequestSeries]) -> dict[tuple[str, str], list[RequestSeries]]:
    """The series without their statuses."""
    groups: dict[tuple[str, str], list[RequestSeries]] = defaultdict(list)
    for series in requests:
        groups[series.route, series.server].append(series)
    return groups


def buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts by their upper bound, as Prometheus writes a histogram."""
    names = [*(str(bound) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


def attempt_families(metrics: MetricsSnapshot) -> Iterator[Metric]:
    """What went wrong, at endpoints and in whole requests."""
    attempts = CounterMetricFamily(
        "penstock_attempt_failures",
        "Attempts at an endpoint that failed, by the failure or the status that counted as one.",
        labels=("server", "endpoint", "reason"),
    )
    for failures in metrics.attempt_failures:
        attempts.add_metric((failures.server, failures.endpoint, failures.reason), failures.count)
    retries = CounterMetricFamily("penstock_retries", "Attempts after a request's first one.", labels=("server",))
    for server, count in metrics.retries.items():
        retries.add_metric((server,), count)
    requests = CounterMetricFamily(
        "penstock_request_failures",
        "Requests that the proxy could not bring to a whole answer, by what went wrong.",
        labels=("reason",),
    )
    for reason, count in metrics.failures.items():
        requests.add_metric((reason,), count)
    yield from (attempts, retries, requests)


def shadow_families(shadows: Sequence[ShadowSeries]) -> Iterator[Metric]:
    """Copies of requests, so that a shadow that fails is seen."""
    labels = ("route", "rule", "server")
    copies = CounterMetricFamily(
        "penstock_shadow_requests",
        "Copies of requests for a shadow, by outcome: ok, a status, a failure, or why none was sent.",
        labels=(*labels, "outcome"),
    )
    seconds = CounterMetricFamily(
        "penstock_shadow_seconds", "Time that copies took, in seconds.", labels=(*labels, "outcome")
    )
    for series in shadows:
        key = (series.route, series.rule, series.server, series.outcome)
        copies.add_metric(key, series.count)
        seconds.add_metric(key, series.duration_sum)
    yield from (copies, seconds)


def token_families(tokens: Sequence[TokenSeries]) -> Iterator[Metric]:
    """LLM tokens, where a limit or a canary counts them."""
    family = CounterMetricFamily(
        "penstock_tokens",
        "LLM tokens of finished requests, where a limit or a canary has them counted; cached ones are part of input.",
        labels=("route", "server", "kind"),
    )
    for series in tokens:
        for kind, count in (("input", series.input), ("output", series.output), ("cached", series.cached)):
            family.add_metric((series.route, series.server, kind), count)
    yield family


def endpoint_families(reports: Iterable[WorkerReport]) -> Iterator[Metric]:
    """What endpoints are doing now, summed over the workers."""
    totals: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for report in reports:
        for endpoint in report.endpoints:
            total = totals[endpoint.server, endpoint.address]
            total[0] += endpoint.in_flight
            total[1] += endpoint.idle_connections
    labels = ("server", "endpoint")
    in_flight = GaugeMetricFamily(
        "penstock_endpoint_in_flight", "Requests that an endpoint is working on.", labels=labels
    )
    idle = GaugeMetricFamily(
        "penstock_endpoint_idle_connections", "Open connections to an endpoint that wait for a request.", labels=labels
    )
    for key, (working, waiting) in totals.items():
        in_flight.add_metric(key, working)
        idle.add_metric(key, waiting)
    yield from (in_flight, idle)


def worker_families(reports: Sequence[WorkerReport], facts: ControlFacts) -> Iterator[Metric]:
    """The proxy's own processes."""
    connections = GaugeMetricFamily(
        "penstock_connections", "Open connections of clients, by worker.", labels=("worker",)
    )
    in_flight = GaugeMetricFamily("penstock_in_flight", "Requests in progress, by worker.", labels=("worker",))
    for report in reports:
        connections.add_metric((str(report.worker),), report.connections)
        in_flight.add_metric((str(report.worker),), report.in_flight)
    yield from (connections, in_flight)
    yield GaugeMetricFamily(
        "penstock_limits_not_shared",
        "Limits and counts that found no room in the shared memory, and hold for one worker alone.",
        value=sum(report.local_rows for report in reports),
    )
    yield GaugeMetricFamily("penstock_workers", "Worker processes that answered this scrape.", value=len(reports))
    yield CounterMetricFamily(
        "penstock_worker_restarts", "Worker processes that died and were replaced.", value=facts.worker_restarts
    )


def config_families(facts: ControlFacts) -> Iterator[Metric]:
    """The configuration in force and its reloads."""
    yield GaugeMetricFamily(
        "penstock_config_last_reload_successful",
        "Whether the last reload of the configuration succeeded: 1 or 0.",
        value=float(facts.last_reload_successful),
    )
    yield GaugeMetricFamily(
        "penstock_config_last_reload_success_timestamp_seconds",
        "When the configuration was last loaded with success, in unix seconds.",
        value=facts.last_success,
    )
    info = GaugeMetricFamily(
        "penstock_config_info", "The configuration in force, always 1; version is a digest.", labels=("version",)
    )
    info.add_metric((facts.config_version,), 1)
    yield info
    yield GaugeMetricFamily(
        "penstock_config_problems", "Problems found when the configuration was last read.", value=facts.problems
    )
    reloads = CounterMetricFamily(
        "penstock_config_reloads", "Reloads of the configuration, by outcome.", labels=("outcome",)
    )
    for outcome, count in facts.reloads.items():
        reloads.add_metric((outcome,), count)
    yield reloads


def canary_families(canaries: Iterable[CanaryFacts]) -> Iterator[Metric]:
    """The canaries. A phase that a canary has left is gone from the text, not 0."""
    weight = GaugeMetricFamily(
        "penstock_canary_weight",
        "The share of a rule's requests that its canary gets, in per cent.",
        labels=("route", "rule"),
    )
    phase = GaugeMetricFamily(
        "penstock_canary_phase",
        "The phase that a rule's canary is in, always 1: Progressing, Watching, Failed, Promoted or Aborted.",
        labels=("route", "rule", "phase"),
    )
    for canary in canaries:
        weight.add_metric((canary.route, canary.rule), canary.weight)
        phase.add_metric((canary.route, canary.rule, canary.phase), 1)
    yield from (weight, phase)
