"""The rules of phases and conditions, as tables."""

import msgspec
import pytest

from proxy.errors import Problem, Severity
from proxy.runtime.canary_status import CanaryStatus
from proxy.runtime.resource_facts import RouteFacts, RuleFacts
from proxy.runtime.resource_status import judge_rewrite, judge_route, judge_server
from proxy.runtime.resource_views import Endpoints, ServerView, Sync, sync_of
from proxy.runtime.service_plan import ServiceStatus
from proxy.telemetry.report import ServerProblem
from tests.runtime.resource_stage import (
    KEPT_CERTIFICATE,
    KEPT_KEY,
    OPEN,
    SECURE,
    SHUT,
    UNREADABLE,
    canary,
    condition,
    identity,
    rewrite,
    route,
    server,
)

GOOD = Sync()
UP, DOWN = ServerView(Endpoints(1, 1)), ServerView(Endpoints(0, 1))
ERROR = Problem(Severity.ERROR, "PS111", "a.yaml", 3, 5, "routes[0].modles", "no such key", "models")


@pytest.mark.parametrize(
    ("endpoints", "service", "problem", "phase", "reason"),
    [
        (Endpoints(1, 2), OPEN, None, "Ready", "EndpointsAvailable"),
        (Endpoints(1, 2), SECURE, None, "Ready", "EndpointsAvailable"),
        (Endpoints(0, 2), OPEN, None, "Pending", "NoneAvailable"),
        (Endpoints(0, 0), OPEN, None, "Pending", "NotReported"),
        (Endpoints(1, 2), None, None, "Pending", "NotTried"),
        (Endpoints(1, 2), SHUT, None, "Failed", "NotListening"),
        (Endpoints(0, 2), SHUT, None, "Failed", "NotListening"),
        (Endpoints(1, 2), OPEN, UNREADABLE, "Failed", "Unreadable"),
        (Endpoints(1, 2), OPEN, KEPT_KEY, "Ready", "EndpointsAvailable"),
        (Endpoints(1, 2), KEPT_CERTIFICATE, None, "Ready", "EndpointsAvailable"),
    ],
)
def test_a_server_with_a_port_and_a_key_needs_both_and_an_endpoint(
    endpoints: Endpoints, service: ServiceStatus | None, problem: ServerProblem | None, phase: str, reason: str
) -> None:
    facts = msgspec.structs.replace(server(endpoints=2), port=8080, credential=True)
    verdict = judge_server(facts, ServerView(endpoints, service, problem), GOOD)
    ready = condition(verdict, "Ready")
    assert ready is not None
    assert (verdict.phase, ready[0], ready[1]) == (phase, phase == "Ready", reason)


@pytest.mark.parametrize(
    ("endpoints", "selects", "missing", "phase", "resolved"),
    [
        (1, False, False, "Ready", (True, "ResolvedRefs", "")),
        (1, True, False, "Ready", (True, "ResolvedRefs", "")),
        (0, True, False, "Pending", (False, "NoMatchingEndpoints", "its selector finds no endpoint yet")),
        (0, False, True, "Failed", (False, "NotDefined", "no file defines it")),
    ],
)
def test_a_server_waits_for_what_its_selector_may_find_and_fails_where_there_is_none(
    endpoints: int, selects: bool, missing: bool, phase: str, resolved: tuple[bool, str, str]
) -> None:
    facts = msgspec.structs.replace(server(endpoints=endpoints, missing=missing), selects=selects)
    verdict = judge_server(facts, ServerView(Endpoints(endpoints, endpoints)), GOOD)
    assert (verdict.phase, condition(verdict, "ResolvedRefs")) == (phase, resolved)


def test_what_makes_a_server_fail_is_told_before_what_it_waits_for() -> None:
    facts = msgspec.structs.replace(server(endpoints=0), selects=True, port=8080)
    verdict = judge_server(facts, ServerView(service=SHUT), GOOD)
    assert (verdict.phase, verdict.findings[0].reason) == ("Failed", "NotListening")


def test_a_server_has_no_condition_on_what_it_was_not_asked_for() -> None:
    verdict = judge_server(server(), UP, GOOD)
    kinds = [finding.type for finding in verdict.findings]
    assert kinds == ["Ready", "ResolvedRefs", "EndpointsAvailable", "Accepted", "Synced"]


def test_what_cannot_be_read_is_told_also_where_an_earlier_one_serves_on() -> None:
    facts = msgspec.structs.replace(server(), port=8443, credential=True)
    verdict = judge_server(facts, ServerView(Endpoints(1, 1), KEPT_CERTIFICATE, KEPT_KEY), GOOD)
    assert condition(verdict, "CredentialsResolved") == (False, "Kept", "/keys/openai: cannot be read")
    assert condition(verdict, "CertificateResolved") == (False, "Kept", "tls.crt: cannot be read")
    assert condition(verdict, "Listening") == (True, "Listening", "")


@pytest.mark.parametrize(
    ("facts", "missing", "phase", "reason", "active"),
    [
        (route("up", "up"), (), "Active", "TargetsServed", 2),
        (route("up", "down"), (), "Active", "TargetsServed", 1),
        (route("up", "gone"), ("gone",), "Active", "TargetsServed", 1),
        (route("down"), (), "Pending", "NoTargetServed", 0),
        (route("down", "gone"), ("gone",), "Pending", "NoTargetServed", 0),
        (route("gone"), ("gone",), "Failed", "NotDefined", 0),
        (route("down", fallback=("up",)), (), "Active", "TargetsServed", 0),
        (route(fallback=("up",)), (), "Active", "TargetsServed", 0),
        (route("gone", fallback=("down",)), ("gone",), "Pending", "NoTargetServed", 0),
        (route("up", weight=0), (), "Pending", "NothingEnabled", 0),
        (route(), (), "Pending", "NothingEnabled", 0),
    ],
)
def test_a_route_is_as_good_as_the_best_that_it_can_lead_to(
    facts: RouteFacts, missing: tuple[str, ...], phase: str, reason: str, active: int
) -> None:
    verdict = judge_route(facts, {"up": UP, "down": DOWN}, frozenset(missing), [], GOOD)
    ready = condition(verdict, "Ready")
    assert ready is not None
    assert (verdict.phase, ready[0], ready[1], verdict.active) == (phase, phase == "Active", reason, active)


def test_a_fallback_of_a_rule_counts_as_its_routes_does() -> None:
    facts = RouteFacts(identity("way", "route"), rules=(RuleFacts("all", (("down", 1),), ("up",)),))
    assert judge_route(facts, {"up": UP}, frozenset(), [], GOOD).phase == "Active"


def test_a_port_that_fails_is_no_matter_of_the_routes_that_lead_to_its_server() -> None:
    view = ServerView(Endpoints(1, 1), SHUT)
    assert judge_route(route("chat"), {"chat": view}, frozenset(), [], GOOD).phase == "Active"
    lacking = ServerView(Endpoints(1, 1), OPEN, UNREADABLE)
    assert judge_route(route("chat"), {"chat": lacking}, frozenset(), [], GOOD).phase == "Pending"


def test_a_route_names_what_no_file_defines() -> None:
    verdict = judge_route(route("up", "b", "a", weight=0), {"up": UP}, frozenset({"a", "b"}), [], GOOD)
    assert condition(verdict, "ResolvedRefs") == (False, "BackendNotFound", "no file defines a, b")
    many = frozenset(f"s{number}" for number in range(9))
    verdict = judge_route(route(*sorted(many)), {}, many, [], GOOD)
    assert condition(verdict, "ResolvedRefs") == (
        False,
        "BackendNotFound",
        "no file defines s0, s1, s2, s3, s4 and 4 more",
    )


@pytest.mark.parametrize(
    ("phase", "weight", "healthy", "active", "route_phase"),
    [
        ("Watching", 10.0, True, 1, "Active"),
        ("Progressing", 25.0, True, 1, "Active"),
        ("Promoted", 100.0, True, 1, "Active"),
        ("Failed", 0.0, False, 0, "Pending"),
        ("Aborted", 0.0, False, 0, "Pending"),
    ],
)
def test_a_canary_that_was_taken_out_is_told_and_counts_no_more(
    phase: str, weight: float, healthy: bool, active: int, route_phase: str
) -> None:
    told = [canary(phase, weight, "80 of 800 requests failed")]
    verdict = judge_route(route("old", "new"), {"old": DOWN, "new": UP}, frozenset(), told, GOOD)
    assert condition(verdict, "CanaryHealthy") == (healthy, phase, "all: 80 of 800 requests failed")
    assert (verdict.phase, verdict.active) == (route_phase, active)


def test_one_canary_of_several_that_was_taken_out_is_the_one_that_is_told() -> None:
    canaries: list[CanaryStatus] = [canary("Watching", 10.0), canary("Failed", 0.0, "too slow", rule="second")]
    verdict = judge_route(route("old", "new"), {}, frozenset(), canaries, GOOD)
    assert condition(verdict, "CanaryHealthy") == (False, "Failed", "second: too slow")
    assert condition(judge_route(route("old"), {}, frozenset(), [], GOOD), "CanaryHealthy") is None


@pytest.mark.parametrize(
    ("pool", "phase", "ready", "resolved"),
    [
        ("up", "Active", "TargetsServed", (True, "ResolvedRefs", "")),
        ("down", "Pending", "NoTargetServed", (True, "ResolvedRefs", "")),
        ("gone", "Pending", "NoTargetServed", (False, "BackendNotFound", "no file defines gone")),
        (None, "Failed", "WithoutEffect", None),
    ],
)
def test_a_rewrite_is_active_where_its_pool_is_served(
    pool: str | None, phase: str, ready: str, resolved: tuple[bool, str, str] | None
) -> None:
    verdict = judge_rewrite(rewrite(pool), {"up": UP, "down": DOWN}, frozenset({"gone"}), GOOD)
    assert (verdict.phase, verdict.findings[0].reason) == (phase, ready)
    assert condition(verdict, "ResolvedRefs") == resolved


def test_errors_on_disk_leave_the_phase_alone_and_are_told_with_code_and_line() -> None:
    sync = sync_of((ERROR, ERROR), successful=False)
    verdict = judge_server(server(), UP, sync)
    assert verdict.phase == "Ready"
    told = "a.yaml:3:5: error PS111 at routes[0].modles: no such key (did you mean 'models'?) (and 1 more)"
    assert condition(verdict, "Accepted") == (False, "Invalid", told)
    assert condition(verdict, "Synced") == (False, "NotInForce", f"an earlier configuration serves on: {told}")


def test_errors_of_another_file_hold_this_one_up_but_are_not_its_own() -> None:
    facts = msgspec.structs.replace(server(), identity=identity("chat", file="b.yaml"))
    verdict = judge_server(facts, UP, sync_of((ERROR,), successful=False))
    assert condition(verdict, "Accepted") == (True, "Accepted", "")
    synced = condition(verdict, "Synced")
    assert synced is not None
    assert synced[0] is False


def test_a_reading_that_was_refused_without_an_error_is_told() -> None:
    verdict = judge_route(route("up"), {"up": UP}, frozenset(), [], Sync(successful=False))
    told = "an earlier configuration serves on: no route was found"
    assert condition(verdict, "Synced") == (False, "NotInForce", told)
