"""How all servers, routes and rewrites of a configuration stand in what is going on now."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from proxy.errors import Problem
from proxy.runtime.canary_status import CanaryStatus
from proxy.runtime.resource_facts import Identity, ResourceFacts, RewriteFacts, RouteFacts, ServerFacts
from proxy.runtime.resource_status import Verdict, judge_rewrite, judge_route, judge_server
from proxy.runtime.resource_views import NOTHING_SEEN, ServerView, Sync, server_views, sync_of
from proxy.runtime.service_plan import ServiceStatus
from proxy.runtime.status_keeper import Key
from proxy.telemetry.report import WorkerReport


class World(NamedTuple):
    """What is going on: as workers report it, as the supervisor knows it, and as the files were read last.

    `listeners` are URLs of the proxy's own, `machine` is what others call it.
    """

    reports: Sequence[WorkerReport] = ()
    services: Sequence[ServiceStatus] = ()
    canaries: Sequence[CanaryStatus] = ()
    problems: Sequence[Problem] = ()
    successful: bool = True
    listeners: Sequence[str] = ()
    machine: str = "localhost"


class Outlook:
    """A configuration's facts beside what is going on. Nothing in it changes."""

    def __init__(self, facts: ResourceFacts, world: World) -> None:
        self.facts = facts
        self.world = world
        self._sync = sync_of(world.problems, successful=world.successful)
        self._views = server_views(world.reports, world.services)
        self._missing = frozenset(server.identity.name for server in facts.servers if server.missing)
        self._canaries: dict[str, list[CanaryStatus]] = {}
        for canary in world.canaries:
            self._canaries.setdefault(canary.route, []).append(canary)

    def stands_like(self, other: "Outlook | None") -> bool:
        """Whether every verdict of both is the same for certain. It costs far less than the verdicts."""
        return other is not None and self.basis == other.basis

    @property
    def basis(self) -> tuple[ResourceFacts, Sync, Mapping[str, ServerView], Sequence[object]]:
        """All that verdicts depend on. Of canaries that is not their evidence, which grows with every request."""
        courses = [(each.route, each.rule, each.phase, each.weight, each.reason) for each in self.world.canaries]
        return self.facts, self._sync, self._views, courses

    def view(self, server: ServerFacts) -> ServerView:
        """What is going on at a server."""
        return self._views.get(server.identity.name, NOTHING_SEEN)

    def server(self, server: ServerFacts) -> Verdict:
        """How a server stands."""
        return judge_server(server, self.view(server), self._sync)

    def route(self, route: RouteFacts) -> Verdict:
        """How a route stands."""
        canaries = self._canaries.get(route.identity.name, [])
        return judge_route(route, self._views, self._missing, canaries, self._sync)

    def rewrite(self, rewrite: RewriteFacts) -> Verdict:
        """How a rewrite stands."""
        return judge_rewrite(rewrite, self._views, self._missing, self._sync)

    def verdicts(self) -> Iterator[tuple[Key, Verdict]]:
        """How everything stands, by what list it is in and by name."""
        for server in self.facts.servers:
            yield server_key(server.identity), self.server(server)
        for route in self.facts.routes:
            yield route_key(route.identity), self.route(route)
        for rewrite in self.facts.rewrites:
            yield rewrite_key(rewrite.identity), self.rewrite(rewrite)


def server_key(identity: Identity) -> Key:
    """A server's key."""
    return "servers", identity.name


def route_key(identity: Identity) -> Key:
    """A route's key."""
    return "routes", identity.name


def rewrite_key(identity: Identity) -> Key:
    """A rewrite's key."""
    return "rewrites", identity.name
