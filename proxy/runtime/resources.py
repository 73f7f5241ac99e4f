"""Servers, routes and rewrites as the admin API lists them: by their documents' names, with their documents' status."""

import re
from datetime import UTC, datetime

import msgspec

from proxy.runtime.outlook import Outlook, World, rewrite_key, route_key, server_key
from proxy.runtime.resource_facts import Identity, RewriteFacts, RouteFacts, ServerFacts
from proxy.runtime.resource_status import Verdict
from proxy.runtime.resource_views import ServerView
from proxy.runtime.status_keeper import Key, StatusKeeper

# The years 1 to 9999, in unix seconds; a file may name a time of the first or the last day in another zone.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800.0, 253_402_300_799.0

# A URL of a listener on all addresses, of IPv4 or IPv6, up to its port.
_EVERYWHERE = re.compile(r"(https?://)(?:0\.0\.0\.0|\[::\]|)(?=:\d+$)")


class Condition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """As Kubernetes has them. `status` is "True" or "False", times are RFC 3339, UTC."""

    type: str
    status: str
    reason: str
    last_transition_time: str
    message: str = ""
    observed_generation: int | None = None


class ResourceStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """How a resource stands. What its kind does not have is left out.

    `active_routes` are, of a server, the routes that lead there; of a route, its pointers to servers that are served.
    """

    phase: str
    service_endpoint: str | None = None
    active_routes: int | None = None
    routes: int | None = None
    endpoints: int | None = None
    available_endpoints: int | None = None
    conditions: list[Condition]


class Metadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What a resource calls itself. Without a creationTimestamp of its own it was created when it was seen first."""

    name: str
    namespace: str | None = None
    generation: int | None = None
    creation_timestamp: str


class Resource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One of a list. `name` is what the proxy calls it, `origin` its place; a native one has no `apiVersion`."""

    api_version: str | None = None
    kind: str
    metadata: Metadata
    name: str
    origin: str
    model: str | None = None
    models: tuple[str, ...] | None = None
    server: str | None = None
    status: ResourceStatus


class Resources(msgspec.Struct, frozen=True):
    """All of them, in the configuration's order."""

    servers: list[Resource] = []
    routes: list[Resource] = []
    rewrites: list[Resource] = []


class Listing:
    """Lists resources as they stand. Its state: the keys that it has come by, and times as they are spelled."""

    def __init__(self, outlook: Outlook, keeper: StatusKeeper, now: float) -> None:
        self.keys: list[Key] = []
        self._outlook = outlook
        self._keeper = keeper
        self._now = now
        self._spelled: dict[float, str] = {}

    def all(self) -> Resources:
        """All of them. The keeper takes notice of what has changed until now, and forgets what there is no more."""
        facts = self._outlook.facts
        resources = Resources(
            [self.server(server) for server in facts.servers],
            [self.route(route) for route in facts.routes],
            [self.rewrite(rewrite) for rewrite in facts.rewrites],
        )
        self._keeper.keep_only(self.keys)
        return resources

    def server(self, server: ServerFacts) -> Resource:
        """A server with its status."""
        view = self._outlook.view(server)
        verdict = self._outlook.server(server)
        metadata, conditions = self._dated(server_key(server.identity), server.identity, verdict)
        status = ResourceStatus(
            phase=verdict.phase,
            conditions=conditions,
            service_endpoint=service_endpoint(server, view, self._outlook.world),
            active_routes=server.routes,
            endpoints=view.endpoints.known or server.endpoints,
            available_endpoints=view.endpoints.available,
        )
        return _resource(server.identity, metadata, status, model=server.model)

    def route(self, route: RouteFacts) -> Resource:
        """A route with its status."""
        verdict = self._outlook.route(route)
        metadata, conditions = self._dated(route_key(route.identity), route.identity, verdict)
        pointers = sum(len(rule.targets) for rule in route.rules)
        status = ResourceStatus(
            phase=verdict.phase, conditions=conditions, active_routes=verdict.active, routes=pointers
        )
        return _resource(route.identity, metadata, status, models=route.models or None)

    def rewrite(self, rewrite: RewriteFacts) -> Resource:
        """A rewrite with its status."""
        verdict = self._outlook.rewrite(rewrite)
        metadata, conditions = self._dated(rewrite_key(rewrite.identity), rewrite.identity, verdict)
        status = ResourceStatus(phase=verdict.phase, conditions=conditions)
        return _resource(rewrite.identity, metadata, status, models=rewrite.models or None, server=rewrite.server)

    def _dated(self, key: Key, identity: Identity, verdict: Verdict) -> tuple[Metadata, list[Condition]]:
        self.keys.append(key)
        dated = self._keeper.date(key, verdict.findings, self._now)
        metadata = Metadata(
            name=identity.own_name,
            creation_timestamp=self._spell(dated.first_seen if identity.created is None else identity.created),
            namespace=identity.namespace or None,
            generation=identity.generation,
        )
        conditions = [
            Condition(
                type=finding.type,
                status="True" if finding.holds else "False",
                reason=finding.reason,
                last_transition_time=self._spell(dated.since[finding.type]),
                message=finding.message,
                observed_generation=identity.generation,
            )
            for finding in verdict.findings
        ]
        return metadata, conditions

    def _spell(self, seconds: float) -> str:
        """Thousands of conditions began at the same few times."""
        spelled = self._spelled.get(seconds)
        if spelled is None:
            spelled = self._spelled[seconds] = rfc3339(seconds)
        return spelled


class Statuses:
    """Owns what outlives reloads. Its state: since when what stands, and the outlook of the last look."""

    def __init__(self) -> None:
        self._keeper = StatusKeeper()
        self._last: Outlook | None = None

    def observe(self, outlook: Outlook, now: float) -> None:
        """Take notice of what has changed. `now` is unix time."""
        if outlook.stands_like(self._last):
            return
        keys = []
        for key, verdict in outlook.verdicts():
            keys.append(key)
            self._keeper.date(key, verdict.findings, now)
        self._keeper.keep_only(keys)
        self._last = outlook

    def list(self, outlook: Outlook, now: float) -> Resources:
        """All resources as they stand. `now` is unix time."""
        self._last = outlook
        return Listing(outlook, self._keeper, now).all()


def service_endpoint(server: ServerFacts, view: ServerView, world: World) -> str | None:
    """Where a server is reached: at its own listener if that is open, else at the proxy's, with the path that leads
    there; None where nothing leads to it, or no file defines it.
    """
    if view.service is not None and view.service.urls:
        return reached(view.service.urls[0], world.machine)
    if server.missing or not server.routes or not world.listeners:
        return None
    return reached(world.listeners[0], world.machine) + server.path


def reached(url: str, machine: str) -> str:
    """How others reach a listener: one on all addresses by the machine's name."""
    host = f"[{machine}]" if ":" in machine else machine
    return _EVERYWHERE.sub(lambda found: found[1] + host, url)


def rfc3339(seconds: float) -> str:
    """A unix time, to the second, as Kubernetes writes it."""
    moment = datetime.fromtimestamp(min(max(seconds, _FIRST_SECOND), _LAST_SECOND), UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _resource(
    identity: Identity,
    metadata: Metadata,
    status: ResourceStatus,
    *,
    model: str | None = None,
    models: tuple[str, ...] | None = None,
    server: str | None = None,
) -> Resource:
    return Resource(
        kind=identity.kind,
        metadata=metadata,
        name=identity.name,
        origin=f"{identity.file}:{identity.line}" if identity.line else identity.file,
        status=status,
        api_version=identity.api_version or None,
        model=model,
        models=models,
        server=server,
    )
