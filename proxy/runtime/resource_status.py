"""The rules by which a server, a route or a rewrite has a phase and conditions: from facts to findings, without time.

- A server is Failed where no file defines it, its own port is not open for it, or its engines' key cannot be read;
  Ready where at least one of its endpoints is available; else Pending. A key or a certificate that cannot be read now,
  while an earlier one serves on, is a condition that does not hold, and leaves the phase alone.
- A server is served where one of its endpoints is available and nothing keeps requests from it. A port of its own that
  fails is no matter of the routes that lead to it.
- A route is Active where a server is served that it can lead to: by an enabled rule with a weight above 0, or as a
  fallback; Failed where no file defines any of them; else Pending.
- A rewrite is Active where its pool is served, Failed where no pool takes it; else Pending.
- A file with errors leaves the phase alone: what is in force is what the status tells of. Accepted and Synced then say
  that what is on disk is something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from proxy.errors import Problem
from proxy.runtime.canary_state import Phase as CanaryPhase
from proxy.runtime.canary_status import CanaryStatus
from proxy.runtime.resource_facts import RewriteFacts, RouteFacts, RuleFacts, ServerFacts
from proxy.runtime.resource_views import NOTHING_SEEN, Endpoints, ServerView, Sync
from proxy.runtime.service_plan import ServiceStatus
from proxy.runtime.services import LISTENING
from proxy.telemetry.report import ServerProblem

KEPT = "Kept"
"""The reason where something cannot be read now, and what was read before serves on."""

FATAL = frozenset({"NotDefined", "Unreadable", "NotListening"})
"""The reasons that make a resource Failed."""

MOST_LISTED = 5
"""Names in one message."""

TAKEN_OUT = frozenset({CanaryPhase.FAILED.value, CanaryPhase.ABORTED.value})


class ResourcePhase(StrEnum):
    """How a resource stands, in the documents' words. A server is never Active, a route or a rewrite never Ready."""

    PENDING = "Pending"
    READY = "Ready"
    ACTIVE = "Active"
    FAILED = "Failed"


class Finding(NamedTuple):
    """A condition now, by its type: whether it holds, and why."""

    type: str
    holds: bool
    reason: str
    message: str = ""


class Verdict(NamedTuple):
    """A phase, and what it comes from. `active` counts the pointers of a route that lead to a server that is served."""

    phase: ResourcePhase
    findings: tuple[Finding, ...]
    active: int = 0


# --- servers ----------------------------------------------------------------------------------------------------------


def judge_server(server: ServerFacts, view: ServerView, sync: Sync) -> Verdict:
    """How a server stands."""
    resolved = _resolved(server)
    credential = _credential(server, view.problem)
    listening = _listening(server, view.service)
    certificate = _certificate(view.service)
    endpoints = _available(server, view.endpoints)
    needed = [each for each in (resolved, credential, listening, certificate, endpoints) if each is not None]
    lacking = [each for each in needed if not each.holds and each.reason != KEPT]
    if not lacking:
        phase = ResourcePhase.READY
    elif any(each.reason in FATAL for each in lacking):
        phase = ResourcePhase.FAILED
        lacking.sort(key=lambda each: each.reason not in FATAL)
    else:
        phase = ResourcePhase.PENDING
    ready = _ready(lacking[0] if lacking else endpoints, holds=not lacking)
    return Verdict(phase, (ready, *needed, *_on_disk(server.identity.file, sync)))


def _resolved(server: ServerFacts) -> Finding:
    if server.missing:
        return Finding("ResolvedRefs", False, "NotDefined", "no file defines it")
    if server.selects and not server.endpoints:
        return Finding("ResolvedRefs", False, "NoMatchingEndpoints", "its selector finds no endpoint yet")
    return Finding("ResolvedRefs", True, "ResolvedRefs")


def _credential(server: ServerFacts, problem: ServerProblem | None) -> Finding | None:
    """Of a server that shows its engines a key; None of any other."""
    if problem is not None:
        reason = KEPT if problem.kept else "Unreadable"
        return Finding("CredentialsResolved", False, reason, problem.message)
    return Finding("CredentialsResolved", True, "CredentialsResolved") if server.credential else None


def _listening(server: ServerFacts, service: ServiceStatus | None) -> Finding | None:
    """Of a server with a port of its own; None of any other."""
    if server.port is None:
        return None
    if service is None:
        return Finding("Listening", False, "NotTried", f"port {server.port} has not been opened yet")
    if service.state != LISTENING:
        return Finding("Listening", False, "NotListening", service.message)
    return Finding("Listening", True, "Listening")


def _certificate(service: ServiceStatus | None) -> Finding | None:
    """Of a server whose own port is open with a certificate; one that cannot be read again is shown on."""
    if service is None or service.state != LISTENING or not any(url.startswith("https:") for url in service.urls):
        return None
    if service.message:
        return Finding("CertificateResolved", False, KEPT, service.message)
    return Finding("CertificateResolved", True, "CertificateResolved")


def _available(server: ServerFacts, endpoints: Endpoints) -> Finding:
    known = endpoints.known or server.endpoints
    if not known:
        return Finding("EndpointsAvailable", False, "NoEndpoints", "it has no endpoint")
    message = f"{endpoints.available} of {known} endpoints are available"
    if not endpoints.known:
        return Finding("EndpointsAvailable", False, "NotReported", "no worker has told of its endpoints yet")
    reason = "EndpointsAvailable" if endpoints.available else "NoneAvailable"
    return Finding("EndpointsAvailable", endpoints.available > 0, reason, message)


# --- routes and rewrites ----------------------------------------------------------------------------------------------


def judge_route(
    route: RouteFacts,
    views: Mapping[str, ServerView],
    missing: frozenset[str],
    canaries: Sequence[CanaryStatus],
    sync: Sync,
) -> Verdict:
    """How a route stands. `missing` are the servers that no file defines, `canaries` those of this route."""
    pointers = [name for rule in route.rules for name, weight in _weighed(rule, canaries) if weight > 0]
    fallbacks = [name for rule in route.rules for name in rule.fallback]
    active = sum(_served(name, views) for name in pointers)
    wanted = list(dict.fromkeys((*pointers, *fallbacks, *route.fallback)))
    ready = _leads(wanted, views, missing)
    phase = ResourcePhase.ACTIVE if ready.holds else ResourcePhase.PENDING
    if ready.reason in FATAL:
        phase = ResourcePhase.FAILED
    named = {name for rule in route.rules for name, _ in rule.targets}.union(wanted)
    findings = (ready, _references(sorted(named & missing)), *_healthy(canaries), *_on_disk(route.identity.file, sync))
    return Verdict(phase, findings, active)


def _weighed(rule: RuleFacts, canaries: Sequence[CanaryStatus]) -> Sequence[tuple[str, float]]:
    """A rule's targets with the weights that they have now."""
    canary = next((each for each in canaries if each.rule == rule.name), None)
    if canary is None or len(rule.targets) != 2:
        return rule.targets
    (stable, _), (new, _) = rule.targets
    return (stable, 100 - canary.weight), (new, canary.weight)


def _leads(wanted: Sequence[str], views: Mapping[str, ServerView], missing: frozenset[str]) -> Finding:
    if not wanted:
        return Finding("Ready", False, "NothingEnabled", "no rule of it is enabled and leads anywhere")
    served = sum(_served(name, views) for name in wanted)
    if served:
        return Finding("Ready", True, "TargetsServed", f"{served} of {len(wanted)} servers that it leads to are served")
    if missing.issuperset(wanted):
        return Finding("Ready", False, "NotDefined", f"no file defines what it leads to: {_listed(wanted)}")
    return Finding("Ready", False, "NoTargetServed", f"nothing that it leads to is served: {_listed(wanted)}")


def _references(missing: Sequence[str]) -> Finding:
    if missing:
        return Finding("ResolvedRefs", False, "BackendNotFound", f"no file defines {_listed(missing)}")
    return Finding("ResolvedRefs", True, "ResolvedRefs")


def _healthy(canaries: Sequence[CanaryStatus]) -> Iterator[Finding]:
    """Whether a route's canaries, if it has any, are still on trial or promoted."""
    if not canaries:
        return
    told = [each for each in canaries if each.phase in TAKEN_OUT] or list(canaries)
    message = "; ".join(f"{each.rule}: {each.reason}" if each.reason else each.rule for each in told)
    yield Finding("CanaryHealthy", told[0].phase not in TAKEN_OUT, told[0].phase, message)


def judge_rewrite(
    rewrite: RewriteFacts, views: Mapping[str, ServerView], missing: frozenset[str], sync: Sync
) -> Verdict:
    """How a rewrite stands. `missing` are the servers that no file defines."""
    server, on_disk = rewrite.server, tuple(_on_disk(rewrite.identity.file, sync))
    if server is None:
        message = "without effect: it has no rule, or no pool that its poolRef can mean"
        ready = Finding("Ready", False, "WithoutEffect", message)
        return Verdict(ResourcePhase.FAILED, (ready, *on_disk))
    if _served(server, views):
        phase, ready = ResourcePhase.ACTIVE, Finding("Ready", True, "TargetsServed", f"{server} is served")
    else:
        phase, ready = ResourcePhase.PENDING, Finding("Ready", False, "NoTargetServed", f"{server} is not served")
    return Verdict(phase, (ready, _references([server] if server in missing else []), *on_disk))


def _served(name: str, views: Mapping[str, ServerView]) -> bool:
    return views.get(name, NOTHING_SEEN).served


# --- what they share --------------------------------------------------------------------------------------------------


def _ready(cause: Finding, *, holds: bool) -> Finding:
    return Finding("Ready", holds, cause.reason, cause.message)


def _on_disk(file: str, sync: Sync) -> Iterator[Finding]:
    """What the last reading of the files says of one, and of all."""
    own = sync.by_file.get(file, ())
    if own:
        yield Finding("Accepted", False, "Invalid", _first(own))
    else:
        yield Finding("Accepted", True, "Accepted")
    if sync.successful:
        yield Finding("Synced", True, "Synced")
    else:
        yield Finding("Synced", False, "NotInForce", f"an earlier configuration serves on: {_first(sync.errors)}")


def _first(errors: Sequence[Problem]) -> str:
    if not errors:
        return "no route was found"
    more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return f"{', '.join(names[:MOST_LISTED])}{more}"
