"""What the statuses of servers, routes and rewrites need of a configuration, as the supervisor holds it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from proxy.config.filed import FiledResource
from proxy.config.match_spec import Exact, Prefix
from proxy.config.spec import Config, ModelServer, Origin, Rewrite, Route, Rule, Target

REWRITE_KIND = "InferenceModelRewrite"


class Identity(msgspec.Struct, frozen=True):
    """What a resource is called: `name` by the proxy, `key` and `own_name` by its document.

    `api_version` is empty where it is no resource of its own: then it is native, or of a dialect without resources.
    `created` is unix seconds.
    """

    name: str
    kind: str
    file: str
    line: int
    own_name: str
    namespace: str = ""
    api_version: str = ""
    generation: int | None = None
    created: float | None = None


class ServerFacts(msgspec.Struct, frozen=True):
    """A model server. `endpoints` counts those configured or found, `selects` says that a selector finds them.

    `path` is where its own part of a listener begins; `routes` are those that lead there.
    """

    identity: Identity
    model: str | None = None
    endpoints: int = 0
    selects: bool = False
    missing: bool = False
    port: int | None = None
    path: str = ""
    credential: bool = False
    routes: int = 0


class RuleFacts(msgspec.Struct, frozen=True):
    """A rule that is enabled. Its targets have their files' weights."""

    name: str
    targets: tuple[tuple[str, int], ...]
    fallback: tuple[str, ...] = ()


class RouteFacts(msgspec.Struct, frozen=True):
    """A route with the rules that are enabled."""

    identity: Identity
    models: tuple[str, ...] = ()
    rules: tuple[RuleFacts, ...] = ()
    fallback: tuple[str, ...] = ()


class RewriteFacts(msgspec.Struct, frozen=True):
    """What rewrites models' names for a server, which is None where it has no effect."""

    identity: Identity
    server: str | None
    models: tuple[str, ...] = ()


class ResourceFacts(msgspec.Struct, frozen=True):
    """All of a configuration, in its order."""

    servers: tuple[ServerFacts, ...] = ()
    routes: tuple[RouteFacts, ...] = ()
    rewrites: tuple[RewriteFacts, ...] = ()


def resource_facts(config: Config, filed: Iterable[FiledResource] = ()) -> ResourceFacts:
    """What statuses need of a configuration and of the resources that its files hold."""
    documents = _Documents({resource.origin: resource for resource in filed})
    leading = _leading(config.routes)
    return ResourceFacts(
        tuple(_server(server, documents, leading) for server in config.servers.values()),
        tuple(_route(route, documents) for route in config.routes),
        tuple(_rewrites(config, documents)),
    )


@dataclass(frozen=True, slots=True)
class _Documents:
    """The resources by their places, which whatever became of them has kept."""

    by_origin: Mapping[Origin, FiledResource]

    def identity(self, name: str, kind: str, origin: Origin) -> Identity:
        """What became of the resource at this place, if there is one."""
        resource = self.by_origin.get(origin)
        return Identity(name, kind, origin.file, origin.line, name) if resource is None else identity_of(resource, name)


def identity_of(resource: FiledResource, name: str) -> Identity:
    """A resource under the name that the proxy gives it."""
    return Identity(
        name=name,
        kind=resource.kind,
        file=resource.origin.file,
        line=resource.origin.line,
        own_name=resource.name,
        namespace=resource.namespace,
        api_version=resource.api_version,
        generation=resource.generation,
        created=resource.created,
    )


# --- servers and routes -----------------------------------------------------------------------------------------------


def _server(server: ModelServer, documents: _Documents, leading: Mapping[str, int]) -> ServerFacts:
    listener = server.listener
    return ServerFacts(
        identity=documents.identity(server.name, "server", server.origin),
        model=server.model,
        endpoints=len(server.endpoints),
        selects=server.selector is not None,
        missing=server.missing,
        port=None if listener is None else listener.port,
        path="" if listener is None or not listener.paths else _path(listener.paths[0]),
        credential=server.credential is not None,
        routes=leading.get(server.name, 0),
    )


def _path(test: object) -> str:
    match test:
        case Exact(value) | Prefix(value):
            return value
        case _:
            return ""


def _leading(routes: Sequence[Route]) -> dict[str, int]:
    """How many routes lead to each server."""
    counts: dict[str, int] = {}
    for route in routes:
        pointers = [target for rule in route.rules if rule.enabled for target in (*rule.targets, *rule.fallback)]
        for name in dict.fromkeys(_names((*pointers, *route.fallback))):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _route(route: Route, documents: _Documents) -> RouteFacts:
    return RouteFacts(
        identity=documents.identity(route.name, route.kind, route.origin),
        models=route.models or route.adapters,
        rules=tuple(_rule(rule) for rule in route.rules if rule.enabled),
        fallback=_names(route.fallback),
    )


def _rule(rule: Rule) -> RuleFacts:
    targets = tuple((target.server, target.weight) for target in rule.targets)
    return RuleFacts(rule.name, targets, _names(rule.fallback))


def _names(targets: Iterable[Target]) -> tuple[str, ...]:
    return tuple(target.server for target in targets)


# --- rewrites ---------------------------------------------------------------------------------------------------------


def _rewrites(config: Config, documents: _Documents) -> Iterator[RewriteFacts]:
    """Those of documents as their documents are, also where they have no effect; the others one by one."""
    held = [resource for resource in documents.by_origin.values() if resource.kind == REWRITE_KIND]
    names = {(resource.origin.file, resource.name) for resource in held}
    found: dict[tuple[str, str], list[tuple[str, Rewrite]]] = {}
    for server in config.servers.values():
        for number, rewrite in enumerate(server.rewrites, 1):
            place = (rewrite.origin.file, rewrite.name)
            if place in names:
                found.setdefault(place, []).append((server.name, rewrite))
            else:
                yield _native_rewrite(server, rewrite, number)
    for resource in held:
        yield _documented_rewrite(resource, found.get((resource.origin.file, resource.name), []))


def _native_rewrite(server: ModelServer, rewrite: Rewrite, number: int) -> RewriteFacts:
    own_name, origin = rewrite.name or str(number), rewrite.origin
    identity = Identity(f"{server.name}/{own_name}", "rewrite", origin.file, origin.line, own_name)
    return RewriteFacts(identity, server.name, rewrite.models)


def _documented_rewrite(resource: FiledResource, found: Sequence[tuple[str, Rewrite]]) -> RewriteFacts:
    """Its pool is of its own namespace, as names may repeat in others."""
    own = [(server, rewrite) for server, rewrite in found if server.startswith(f"pool/{resource.namespace}/")]
    models = dict.fromkeys(model for _, rewrite in own for model in rewrite.models)
    return RewriteFacts(identity_of(resource, resource.key), own[0][0] if own else None, tuple(models))
