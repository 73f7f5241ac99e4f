"""Promises of the counters."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.exchange import Attempt, Exchange
from proxy.telemetry.metrics import DURATION_BOUNDS, FIRST_BYTE_BOUNDS, Metrics, merge
from proxy.telemetry.report import MetricsSnapshot

Make = Callable[..., Exchange]
FAILED = [
    Attempt("a", "http://one", "connect-failure"),
    Attempt("a", "http://two", "503"),
    Attempt("b", "http://three", "ok"),
]


def test_each_route_server_and_status_has_a_series_of_its_own(exchange: Make) -> None:
    metrics = Metrics()
    for fields in ({}, {}, {"status": 502}, {"route": "embed"}, {"server": "small"}):
        metrics.observe(exchange(**fields))
    counts = {(s.route, s.server, s.status): sum(s.durations) for s in metrics.snapshot().requests}
    assert counts == {
        ("chat", "qwen-7b", 200): 2,
        ("chat", "qwen-7b", 502): 1,
        ("embed", "qwen-7b", 200): 1,
        ("chat", "small", 200): 1,
    }


def test_a_model_named_by_a_client_opens_no_series(exchange: Make) -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.observe(exchange(model=f"made-up-{number}", target=f"/made/up/{number}", client=f"10.0.0.{number}"))
    assert len(metrics.snapshot().requests) == 1


@pytest.mark.parametrize("bound", DURATION_BOUNDS)
def test_a_duration_equal_to_a_bound_counts_below_it(exchange: Make, bound: float) -> None:
    metrics = Metrics()
    metrics.observe(exchange(started=0.0, first_byte=None, finished=bound))
    (series,) = metrics.snapshot().requests
    assert series.durations.index(1) == DURATION_BOUNDS.index(bound)


def test_what_lasts_longer_than_all_bounds_is_counted_too(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(started=0.0, first_byte=4000.0, finished=5000.0))
    (series,) = metrics.snapshot().requests
    assert (series.durations[-1], series.first_bytes[-1]) == (1, 1)
    assert (series.duration_sum, series.first_byte_sum) == (5000.0, 4000.0)
    assert (len(series.durations), len(series.first_bytes)) == (len(DURATION_BOUNDS) + 1, len(FIRST_BYTE_BOUNDS) + 1)


def test_a_request_without_a_first_byte_is_in_no_histogram_of_first_bytes(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(first_byte=None, status=499, failure="client_gone"))
    (series,) = metrics.snapshot().requests
    assert sum(series.first_bytes) == 0
    assert sum(series.durations) == 1


def test_bytes_add_up(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(bytes_in=1, bytes_out=10))
    metrics.observe(exchange(bytes_in=2, bytes_out=20))
    (series,) = metrics.snapshot().requests
    assert (series.bytes_in, series.bytes_out) == (3, 30)


def test_failed_attempts_count_at_their_endpoint_and_retries_where_they_went(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(attempts=list(FAILED)))
    snapshot = metrics.snapshot()
    failures = {(f.server, f.endpoint, f.reason): f.count for f in snapshot.attempt_failures}
    assert failures == {("a", "http://one", "connect-failure"): 1, ("a", "http://two", "503"): 1}
    assert snapshot.retries == {"a": 1, "b": 1}


def test_a_lone_failed_attempt_is_no_retry(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(attempts=[Attempt("a", "http://one", "timeout")], failure="timeout", status=504))
    snapshot = metrics.snapshot()
    assert [f.reason for f in snapshot.attempt_failures] == ["timeout"]
    assert snapshot.retries == {}
    assert snapshot.failures == {"timeout": 1}


def test_an_attempt_that_its_client_left_is_not_the_endpoints_failure(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(attempts=[Attempt("a", "http://one")], failure="client_gone", status=499))
    assert metrics.snapshot().attempt_failures == []


def test_a_request_that_reached_no_endpoint_is_counted(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(route="", server="", endpoint="", status=404, failure="no-route", attempts=[]))
    snapshot = metrics.snapshot()
    assert [(s.route, s.server, s.status) for s in snapshot.requests] == [("", "", 404)]
    assert snapshot.failures == {"no-route": 1}


def test_a_snapshot_stays_as_it_was_taken(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(attempts=list(FAILED), failure="cut"))
    snapshot = metrics.snapshot()
    before = msgspec.json.encode(snapshot)
    metrics.observe(exchange(attempts=list(FAILED), failure="cut"))
    assert msgspec.json.encode(snapshot) == before


def test_a_snapshot_survives_the_channel(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(route="with\nline end", attempts=list(FAILED), failure="cut"))
    snapshot = metrics.snapshot()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=MetricsSnapshot) == snapshot
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=MetricsSnapshot) == snapshot


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([200, 503]), st.integers(0, 2)), max_size=30))
def test_merging_workers_equals_one_worker_that_did_it_all(requests: list[tuple[str, int, int]]) -> None:
    workers = [Metrics(), Metrics(), Metrics()]
    alone = Metrics()
    for server, status, worker in requests:
        done = Exchange("id", "c", "GET", "/", 0.0, route="r", server=server, status=status, finished=0.25, bytes_in=3)
        done.failure = "timeout" if status == 503 else ""
        done.attempts = [Attempt(server, "e", str(status)), Attempt(server, "f", "ok")]
        workers[worker].observe(done)
        alone.observe(done)
    merged = merge(worker.snapshot() for worker in workers)
    assert ordered(merged) == ordered(alone.snapshot())


def ordered(snapshot: MetricsSnapshot) -> tuple[object, ...]:
    requests = sorted(msgspec.to_builtins(snapshot.requests), key=str)
    return (
        requests,
        sorted(msgspec.to_builtins(snapshot.attempt_failures), key=str),
        snapshot.retries,
        snapshot.failures,
    )


def test_merging_nothing_is_empty() -> None:
    assert merge([]) == MetricsSnapshot()


def test_what_a_reload_removed_is_forgotten_and_the_rest_kept(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(attempts=list(FAILED), route="kept", server="b"))
    metrics.observe(exchange(attempts=list(FAILED), route="gone", server="b"))
    metrics.observe(exchange(attempts=[], route="", server="", status=404))
    metrics.retain({"kept"}, {"a": ["http://two"], "c": []})
    assert {s.route for s in metrics.snapshot().requests} == {""}
    assert [f.endpoint for f in metrics.snapshot().attempt_failures] == ["http://two"]
    assert metrics.snapshot().retries == {"a": 2}
