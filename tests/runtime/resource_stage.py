"""Servers, routes and rewrites as tests put them together, with workers that see what the test says."""

from proxy.runtime.canary_status import CanaryStatus, SideStatus
from proxy.runtime.resource_facts import Identity, RewriteFacts, RouteFacts, RuleFacts, ServerFacts
from proxy.runtime.resource_status import Verdict
from proxy.runtime.service_plan import ServiceStatus
from proxy.telemetry.report import EndpointReport, MetricsSnapshot, ServerProblem, WorkerReport

OPEN = ServiceStatus(8080, ("chat",), "listening", urls=("http://10.0.0.9:8080",))
SECURE = ServiceStatus(8443, ("chat",), "listening", urls=("https://10.0.0.9:8443",))
SHUT = ServiceStatus(8080, ("chat",), "failed", "Address already in use")
KEPT_CERTIFICATE = ServiceStatus(8443, ("chat",), "listening", "tls.crt: cannot be read", SECURE.urls)
UNREADABLE = ServerProblem("chat", "/keys/openai: cannot be read")
KEPT_KEY = ServerProblem("chat", "/keys/openai: cannot be read", kept=True)


def identity(name: str, kind: str = "server", file: str = "a.yaml") -> Identity:
    return Identity(name, kind, file, 3, name)


def server(name: str = "chat", *, endpoints: int = 1, routes: int = 1, missing: bool = False) -> ServerFacts:
    return ServerFacts(identity(name), endpoints=endpoints, routes=routes, missing=missing)


def route(*servers: str, fallback: tuple[str, ...] = (), weight: int = 1) -> RouteFacts:
    rules = (RuleFacts("all", tuple((name, weight) for name in servers)),) if servers else ()
    return RouteFacts(identity("way", "route"), rules=rules, fallback=fallback)


def rewrite(pool: str | None) -> RewriteFacts:
    return RewriteFacts(identity("default/small", "InferenceModelRewrite"), pool)


def report(*states: str, name: str = "chat", problems: tuple[ServerProblem, ...] = (), worker: int = 0) -> WorkerReport:
    """A worker that sees the endpoints of a server so, in their order."""
    endpoints = [EndpointReport(name, f"http://10.0.0.{number}:80", 0, 0, state) for number, state in enumerate(states)]
    return WorkerReport(worker, worker, "v", 0, 0, False, endpoints, MetricsSnapshot(), problems=list(problems))


def canary(phase: str, weight: float, reason: str = "", rule: str = "all") -> CanaryStatus:
    sides = SideStatus("old", 100, 0), SideStatus("new", 100, 10)
    since = "2026-11-25T12:00:00+00:00"
    return CanaryStatus(f"way/{rule}", "way", rule, phase, weight, 0, (), since, reason, *sides)


def condition(verdict: Verdict, kind: str) -> tuple[bool, str, str] | None:
    """A condition of a verdict, if it has it."""
    found = [(each.holds, each.reason, each.message) for each in verdict.findings if each.type == kind]
    assert len(found) < 2
    return found[0] if found else None
