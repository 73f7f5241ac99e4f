"""Counters and histograms of finished requests, kept by each worker and merged when they are scraped."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping

from proxy.forwarding.exchange import Attempt, Exchange
from proxy.forwarding.shadow import Copy
from proxy.telemetry.report import AttemptFailures, MetricsSnapshot, RequestSeries, ShadowSeries, TokenSeries

# In seconds. An embedding takes milliseconds and a long generation minutes, so the bounds span both.
DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_BYTE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# An attempt that its client left is neither a success nor the endpoint's failure.
NO_FAILURE = frozenset({"ok", "pending"})


class Metrics:
    """One worker's counters. Its state is one series for each route, server and status that has been seen."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], RequestSeries] = {}
        self._attempt_failures: dict[tuple[str, str, str], AttemptFailures] = {}
        self._retries: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._shadows: dict[tuple[str, str, str, str], ShadowSeries] = {}
        self._tokens: dict[tuple[str, str], TokenSeries] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count a finished request. Hot path: benchmarks/telemetry.py measures it."""
        key = (exchange.route, exchange.server, exchange.status)
        series = self._requests.get(key)
        if series is None:
            series = self._requests[key] = new_series(*key)
        started = exchange.started
        seconds = exchange.finished - started
        series.durations[bisect_left(DURATION_BOUNDS, seconds)] += 1
        series.duration_sum += seconds
        first_byte = exchange.first_byte
        if first_byte is not None:
            seconds = first_byte - started
            series.first_bytes[bisect_left(FIRST_BYTE_BOUNDS, seconds)] += 1
            series.first_byte_sum += seconds
        series.bytes_in += exchange.bytes_in
        series.bytes_out += exchange.bytes_out
        if exchange.failure:
            self._failures[exchange.failure] = self._failures.get(exchange.failure, 0) + 1
        attempts = exchange.attempts
        if attempts and (attempts[0].outcome != "ok" or len(attempts) > 1):
            self._observe_attempts(attempts)
        if exchange.output_tokens is not None:
            self._observe_tokens(exchange, exchange.output_tokens)

    def observe_copy(self, copy: Copy) -> None:
        """Count a copy for a shadow, also one that was not made."""
        key = (copy.route, copy.rule, copy.server, copy.outcome)
        series = self._shadows.setdefault(key, ShadowSeries(*key))
        series.count += 1
        series.duration_sum += copy.duration

    def _observe_tokens(self, exchange: Exchange, output: int) -> None:
        key = (exchange.route, exchange.server)
        series = self._tokens.get(key)
        if series is None:
            series = self._tokens[key] = TokenSeries(*key)
        series.input += exchange.input_tokens or 0
        series.output += output
        series.cached += exchange.cached_tokens or 0

    def _observe_attempts(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            if attempt.outcome not in NO_FAILURE:
                key = (attempt.server, attempt.endpoint, attempt.outcome)
                self._attempt_failures.setdefault(key, AttemptFailures(*key)).count += 1
        for retry in attempts[1:]:
            self._retries[retry.server] = self._retries.get(retry.server, 0) + 1

    def retain(self, routes: Collection[str], endpoints: Mapping[str, Collection[str]]) -> None:
        """Forget the series of routes, servers and endpoints that a reload removed, so that labels stay bounded.

        `endpoints` holds the addresses of each server. What belongs to no route or no server is kept.
        """
        self._requests = {
            key: series
            for key, series in self._requests.items()
            if (not key[0] or key[0] in routes) and (not key[1] or key[1] in endpoints)
        }
        self._attempt_failures = {
            key: failures for key, failures in self._attempt_failures.items() if key[1] in endpoints.get(key[0], ())
        }
        self._retries = {server: count for server, count in self._retries.items() if server in endpoints}
        self._shadows = {
            key: series for key, series in self._shadows.items() if key[0] in routes and key[2] in endpoints
        }
        self._tokens = {key: series for key, series in self._tokens.items() if key[0] in routes and key[1] in endpoints}

    def snapshot(self) -> MetricsSnapshot:
        """A copy that later requests do not change."""
        return merge([self._live()])

    def _live(self) -> MetricsSnapshot:
        return MetricsSnapshot(
            list(self._requests.values()),
            list(self._attempt_failures.values()),
            self._retries,
            self._failures,
            list(self._shadows.values()),
            list(self._tokens.values()),
        )


def new_series(route: str, server: str, status: int) -> RequestSeries:
    """A series that has counted nothing."""
    return RequestSeries(route, server, status, [0] * (len(DURATION_BOUNDS) + 1), [0] * (len(FIRST_BYTE_BOUNDS) + 1))


def merge(snapshots: Iterable[MetricsSnapshot]) -> MetricsSnapshot:
    """The sum of several workers' counters, sharing nothing with them."""
    requests: dict[tuple[str, str, int], RequestSeries] = {}
    attempt_failures: dict[tuple[str, str, str], AttemptFailures] = {}
    shadows: dict[tuple[str, str, str, str], ShadowSeries] = {}
    tokens: dict[tuple[str, str], TokenSeries] = {}
    merged = MetricsSnapshot()
    for snapshot in snapshots:
        for series in snapshot.requests:
            key = (series.route, series.server, series.status)
            requests[key] = add_series(requests.get(key) or new_series(*key), series)
        for failures in snapshot.attempt_failures:
            place = (failures.server, failures.endpoint, failures.reason)
            attempt_failures.setdefault(place, AttemptFailures(*place)).count += failures.count
        add_counts(merged.retries, snapshot.retries)
        add_counts(merged.failures, snapshot.failures)
        add_copies(shadows, snapshot.shadows)
        add_tokens(tokens, snapshot.tokens)
    merged.shadows = list(shadows.values())
    merged.tokens = list(tokens.values())
    merged.requests = list(requests.values())
    merged.attempt_failures = list(attempt_failures.values())
    return merged


def add_series(total: RequestSeries, series: RequestSeries) -> RequestSeries:
    """Add a series to a total, which is changed and given back."""
    total.durations = [left + right for left, right in zip(total.durations, series.durations, strict=True)]
    total.first_bytes = [left + right for left, right in zip(total.first_bytes, series.first_bytes, strict=True)]
    total.duration_sum += series.duration_sum
    total.first_byte_sum += series.first_byte_sum
    total.bytes_in += series.bytes_in
    total.bytes_out += series.bytes_out
    return total


def add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts to a total by key."""
    for key, count in counts.items():
        total[key] = total.get(key, 0) + count


def add_copies(totals: dict[tuple[str, str, str, str], ShadowSeries], more: Iterable[ShadowSeries]) -> None:
    """Add a worker's copies to the totals."""
    for series in more:
        key = (series.route, series.rule, series.server, series.outcome)
        total = totals.setdefault(key, ShadowSeries(*key))
        total.count += series.count
        total.duration_sum += series.duration_sum


def add_tokens(totals: dict[tuple[str, str], TokenSeries], more: Iterable[TokenSeries]) -> None:
    """Add a worker's tokens to the totals."""
    for series in more:
        key = (series.route, series.server)
        total = totals.setdefault(key, TokenSeries(*key))
        total.input += series.input
        total.output += series.output
        total.cached += series.cached
