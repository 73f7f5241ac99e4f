"""What `/status` shows: what was configured, and beside it what is going on in the workers, summed up."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from proxy.errors import Problem
from proxy.runtime.reading import Reading
from proxy.runtime.reload import ReloadFacts
from proxy.runtime.service_plan import ServiceStatus
from proxy.runtime.summary import RewriteSummary, ServerSummary
from proxy.telemetry.report import EndpointReport, WorkerReport


class ProblemStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem in the files that were read last."""

    severity: str
    code: str
    file: str
    message: str
    line: int = 0
    column: int = 0
    path: str = ""
    suggestion: str | None = None


class ConfigStatus(msgspec.Struct, frozen=True):
    """The configuration in force, and the reloads so far. Times are ISO 8601, UTC."""

    version: str
    loaded_at: str
    last_reload_successful: bool
    reloads: dict[str, int]
    problems: list[ProblemStatus]


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker's process."""

    worker: int
    pid: int
    connections: int
    in_flight: int
    draining: bool
    config_version: str


class EndpointStatus(msgspec.Struct, frozen=True):
    """An endpoint; where workers see it differently `state` names all that they see."""

    address: str
    weight: int
    state: str
    in_flight: int
    idle_connections: int


class ServerStatus(msgspec.Struct, frozen=True):
    """A model server."""

    name: str
    engine: str
    model: str | None
    balance: str
    origin: str
    rewrites: tuple[RewriteSummary, ...]
    in_flight: int
    endpoints: list[EndpointStatus]


class Status(msgspec.Struct, frozen=True):
    """All of it. `routes` is JSON that the reader has prepared."""

    penstock: str
    ready: bool
    config: ConfigStatus
    listeners: list[str]
    workers: list[WorkerStatus]
    servers: list[ServerStatus]
    services: list[ServiceStatus]
    routes: msgspec.Raw


def build_status(
    penstock: str,
    ready: bool,
    listeners: Sequence[str],
    reading: Reading,
    facts: ReloadFacts,
    reports: Sequence[WorkerReport],
    services: Sequence[ServiceStatus] = (),
) -> Status:
    """Put together what the supervisor knows and what the workers report."""
    return Status(
        penstock=penstock,
        ready=ready,
        config=config_status(facts),
        listeners=list(listeners),
        workers=[worker_status(report) for report in reports],
        servers=server_statuses(reading.servers, reports),
        services=list(services),
        routes=msgspec.Raw(reading.routes),
    )


def config_status(facts: ReloadFacts) -> ConfigStatus:
    """The configuration's part."""
    return ConfigStatus(
        version=facts.version,
        loaded_at=datetime.fromtimestamp(facts.loaded_at, UTC).isoformat(timespec="milliseconds"),
        last_reload_successful=facts.last_reload_successful,
        reloads=facts.reloads,
        problems=[problem_status(problem) for problem in facts.problems],
    )


def problem_status(problem: Problem) -> ProblemStatus:
    """A problem, as the admin API tells it."""
    return ProblemStatus(
        severity=problem.severity.value,
        code=problem.code,
        file=problem.file,
        message=problem.message,
        line=problem.line,
        column=problem.column,
        path=problem.path,
        suggestion=problem.suggestion,
    )


def worker_status(report: WorkerReport) -> WorkerStatus:
    """A worker's part, without its metrics."""
    return WorkerStatus(
        worker=report.worker,
        pid=report.pid,
        connections=report.connections,
        in_flight=report.in_flight,
        draining=report.draining,
        config_version=report.config_version,
    )


def server_statuses(servers: Sequence[ServerSummary], reports: Sequence[WorkerReport]) -> list[ServerStatus]:
    """The servers in the files' order, with what all workers say of their endpoints."""
    seen: dict[tuple[str, str], list[EndpointReport]] = {}
    for report in reports:
        for endpoint in report.endpoints:
            seen.setdefault((endpoint.server, endpoint.address), []).append(endpoint)
    return [server_status(server, seen) for server in servers]


def server_status(server: ServerSummary, seen: dict[tuple[str, str], list[EndpointReport]]) -> ServerStatus:
    """One server, with its endpoints."""
    endpoints = [
        endpoint_status(endpoint.address, endpoint.weight, seen.get((server.name, endpoint.address), []))
        for endpoint in server.endpoints
    ]
    return ServerStatus(
        name=server.name,
        engine=server.engine,
        model=server.model,
        balance=server.balance,
        origin=server.origin,
        rewrites=server.rewrites,
        in_flight=sum(endpoint.in_flight for endpoint in endpoints),
        endpoints=endpoints,
    )


def endpoint_status(address: str, weight: int, reports: Sequence[EndpointReport]) -> EndpointStatus:
    """One endpoint, over all workers."""
    return EndpointStatus(
        address=address,
        weight=weight,
        state=", ".join(sorted({report.state for report in reports})),
        in_flight=sum(report.in_flight for report in reports),
        idle_connections=sum(report.idle_connections for report in reports),
    )
