"""Promises of what Prometheus reads."""

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.forwarding.exchange import Attempt, Exchange
from proxy.telemetry.exposition import CanaryFacts, ControlFacts, render
from proxy.telemetry.metrics import DURATION_BOUNDS, Metrics
from proxy.telemetry.report import EndpointReport, WorkerReport

Make = Callable[..., Exchange]
FACTS = ControlFacts("v1", True, 1_700_000_000.0)
NAMES = {
    "penstock_requests",
    "penstock_request_bytes",
    "penstock_response_bytes",
    "penstock_request_duration_seconds",
    "penstock_time_to_first_byte_seconds",
    "penstock_attempt_failures",
    "penstock_retries",
    "penstock_request_failures",
    "penstock_endpoint_in_flight",
    "penstock_endpoint_idle_connections",
    "penstock_connections",
    "penstock_in_flight",
    "penstock_workers",
    "penstock_worker_restarts",
    "penstock_config_last_reload_successful",
    "penstock_config_last_reload_success_timestamp_seconds",
    "penstock_config_info",
    "penstock_config_problems",
    "penstock_config_reloads",
    "penstock_canary_weight",
    "penstock_canary_phase",
    "penstock_shadow_requests",
    "penstock_shadow_seconds",
    "penstock_tokens",
    "penstock_limits_not_shared",
}


def report(worker: int, metrics: Metrics, endpoints: list[EndpointReport] | None = None) -> WorkerReport:
    return WorkerReport(worker, 100 + worker, "v1", 10 + worker, 3, False, endpoints or [], metrics.snapshot())


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float:
    return samples(text)[name, tuple(sorted(labels.items()))]


def test_every_family_is_there_before_the_first_request() -> None:
    families = list(text_string_to_metric_families(render([], FACTS).decode()))
    assert {family.name for family in families} == NAMES
    assert all(family.documentation.endswith(".") for family in families)


def test_workers_add_up(exchange: Make) -> None:
    first, second = Metrics(), Metrics()
    first.observe(exchange())
    second.observe(exchange())
    second.observe(exchange(status=429))
    text = render([report(0, first), report(1, second)], FACTS)
    assert value(text, "penstock_requests_total", route="chat", server="qwen-7b", status="200") == 2
    assert value(text, "penstock_requests_total", route="chat", server="qwen-7b", status="429") == 1
    assert value(text, "penstock_request_bytes_total", route="chat", server="qwen-7b") == 3 * 850
    assert value(text, "penstock_response_bytes_total", route="chat", server="qwen-7b") == 3 * 600
    assert value(text, "penstock_workers") == 2
    assert value(text, "penstock_connections", worker="1") == 11


def test_a_replaced_workers_counts_are_not_lost(exchange: Make) -> None:
    gone = Metrics()
    gone.observe(exchange())
    facts = ControlFacts("v1", True, 0.0, worker_restarts=1, departed=gone.snapshot())
    text = render([report(0, Metrics())], facts)
    assert value(text, "penstock_requests_total", route="chat", server="qwen-7b", status="200") == 1
    assert value(text, "penstock_worker_restarts_total") == 1


def test_a_histogram_is_cumulative_over_all_statuses(exchange: Make) -> None:
    metrics = Metrics()
    for seconds, status in ((0.004, 200), (0.3, 200), (0.3, 503), (900.0, 200)):
        metrics.observe(exchange(started=0.0, first_byte=None, finished=seconds, status=status))
    text = render([report(0, metrics)], FACTS)
    name, labels = "penstock_request_duration_seconds", {"route": "chat", "server": "qwen-7b"}
    counts = [value(text, f"{name}_bucket", le=str(bound), **labels) for bound in DURATION_BOUNDS]
    assert counts == [1] * 6 + [3] * 11
    assert value(text, f"{name}_bucket", le="+Inf", **labels) == 4
    assert value(text, f"{name}_count", **labels) == 4
    assert value(text, f"{name}_sum", **labels) == pytest.approx(900.604)


def test_failures_and_retries_are_told_apart(exchange: Make) -> None:
    metrics = Metrics()
    attempts = [Attempt("a", "http://one", "reset"), Attempt("b", "http://two", "timeout")]
    metrics.observe(exchange(attempts=attempts, failure="timeout", status=504))
    text = render([report(0, metrics)], FACTS)
    assert value(text, "penstock_attempt_failures_total", server="a", endpoint="http://one", reason="reset") == 1
    assert value(text, "penstock_retries_total", server="b") == 1
    assert value(text, "penstock_request_failures_total", reason="timeout") == 1


def test_an_endpoints_requests_are_summed_over_workers() -> None:
    one, two = EndpointReport("a", "http://one", 2, 5, "healthy"), EndpointReport("a", "http://one", 1, 1, "healthy")
    text = render([report(0, Metrics(), [one]), report(1, Metrics(), [two])], FACTS)
    assert value(text, "penstock_endpoint_in_flight", server="a", endpoint="http://one") == 3
    assert value(text, "penstock_endpoint_idle_connections", server="a", endpoint="http://one") == 6


def test_a_failed_reload_shows() -> None:
    text = render([], ControlFacts("v7", False, 1_700_000_000.5, {"success": 3, "failure": 1}, problems=2))
    assert value(text, "penstock_config_last_reload_successful") == 0
    assert value(text, "penstock_config_last_reload_success_timestamp_seconds") == 1_700_000_000.5
    assert value(text, "penstock_config_info", version="v7") == 1
    assert value(text, "penstock_config_problems") == 2
    assert value(text, "penstock_config_reloads_total", outcome="failure") == 1


def test_names_of_the_configuration_cannot_break_the_text(exchange: Make) -> None:
    metrics = Metrics()
    metrics.observe(exchange(route='a"b\\c\nd'))
    text = render([report(0, metrics)], FACTS)
    assert value(text, "penstock_requests_total", route='a"b\\c\nd', server="qwen-7b", status="200") == 1


def test_a_canary_shows_its_share_and_its_phase_alone() -> None:
    facts = ControlFacts("v1", True, 0.0, canaries=[CanaryFacts("chat", "all", "Failed", 0.0)])
    text = render([], facts)
    assert value(text, "penstock_canary_weight", route="chat", rule="all") == 0
    assert value(text, "penstock_canary_phase", route="chat", rule="all", phase="Failed") == 1
    assert text.count(b"penstock_canary_phase{") == 1
