"""What is seen of servers and of files, put together for the rules that statuses go by."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proxy.errors import Problem, Severity
from proxy.runtime.service_plan import ServiceStatus
from proxy.telemetry.report import ServerProblem, WorkerReport

AVAILABLE = frozenset({"available", "healthy"})
"""The states of an endpoint in which it takes requests."""


class Endpoints(NamedTuple):
    """How many endpoints of a server the workers know, and how many of these are available to any of them."""

    available: int = 0
    known: int = 0


class ServerView(NamedTuple):
    """What is going on at a server."""

    endpoints: Endpoints = Endpoints()
    service: ServiceStatus | None = None
    problem: ServerProblem | None = None

    @property
    def served(self) -> bool:
        """Whether requests that are led there are answered by an engine."""
        return self.endpoints.available > 0 and (self.problem is None or self.problem.kept)


NOTHING_SEEN = ServerView()


class Sync(NamedTuple):
    """The last reading of the files: whether what it found is in force, and its errors, all of them and by file."""

    successful: bool = True
    errors: tuple[Problem, ...] = ()
    by_file: Mapping[str, Sequence[Problem]] = {}


def sync_of(problems: Sequence[Problem], *, successful: bool) -> Sync:
    """What the last reading says of what is on disk."""
    errors = tuple(problem for problem in problems if problem.severity is Severity.ERROR)
    by_file: dict[str, list[Problem]] = {}
    for error in errors:
        by_file.setdefault(error.file, []).append(error)
    return Sync(successful, errors, by_file)


def server_views(reports: Sequence[WorkerReport], services: Sequence[ServiceStatus]) -> dict[str, ServerView]:
    """What all workers see of each server. Nothing that they do not tell of is there."""
    states: dict[str, dict[str, bool]] = {}
    problems: dict[str, ServerProblem] = {}
    for report in reports:
        for endpoint in report.endpoints:
            known = states.setdefault(endpoint.server, {})
            known[endpoint.address] = known.get(endpoint.address, False) or endpoint.state in AVAILABLE
        for problem in report.problems:
            # One that serves on with an earlier value hinders less than one that cannot.
            if problem.server not in problems or problems[problem.server].kept:
                problems[problem.server] = problem
    ports = {name: service for service in services for name in service.servers}
    return {
        name: ServerView(_counted(states.get(name, {})), ports.get(name), problems.get(name))
        for name in {*states, *problems, *ports}
    }


def _counted(states: Mapping[str, bool]) -> Endpoints:
    return Endpoints(sum(states.values()), len(states))
