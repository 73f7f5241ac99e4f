"""All files as one configuration: references followed, endpoints selected, rewrites given to pools, routes ordered."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from proxy.config.assembly import Age, Assembly, FoundRoute, ObjectiveDocument, Reference, RewriteDocument, where
from proxy.config.checks import check_listeners, check_reach, check_rewrites, check_rules, check_use
from proxy.config.codes import Code
from proxy.config.endpoint_checks import check_endpoints, check_selected
from proxy.config.selection import Inventory
from proxy.config.spec import Config, ModelServer, Objective, Route, Rule, Target
from proxy.config.text.nodes import Place
from proxy.config.values.policies import WIDEST_TIMEOUTS

LAST = -1_000_001
"""The priority of what takes everything that nothing else takes: below the lowest number that a file can give."""

# Looking for a near name costs a look at all names; whoever has more slips than this has one cause for all of them.
_MOST_SUGGESTIONS = 100


def config_of(assembly: Assembly, version: str) -> Config:
    """The configuration as a whole, after every check that needs all of its files."""
    _follow_references(assembly)
    documents = _by_pool(assembly)
    _give_rewrites(documents, assembly)
    _give_objectives(assembly)
    _lead_to_pools(documents, assembly)
    inventory = Inventory(assembly.inventory)
    servers = {name: inventory.complete(server) for name, server in assembly.servers.items()}
    check_listeners(servers.values(), assembly.problems)
    found = _ordered(assembly.routes)
    if not assembly.problems.failed:
        # Otherwise what would use it may be the broken part.
        check_use(assembly)
        check_endpoints(servers.values(), inventory, assembly.problems)
        check_selected(inventory, assembly.problems)
    sound = [route.route for route in found if route.sound]
    for route in sound:
        check_rules(route, assembly.problems)
    check_reach(sound, assembly.problems)
    return Config(servers, tuple(route.route for route in found), version, tuple(assembly.inventory))


def _ordered(routes: list[FoundRoute]) -> list[FoundRoute]:
    """By priority, then age, then as they stand in the files. Of resources of one age and name their kinds decide."""
    return sorted(routes, key=_rank)


def _rank(found: FoundRoute) -> tuple[int, bool, float, str, str]:
    route = found.route
    created, name = found.age.rank
    # A route that a file puts last still comes before those that nobody wrote.
    return -route.priority, found.unwritten, created, name, "" if found.age.created is None else route.name


# --- references -------------------------------------------------------------------------------------------------------


def _follow_references(assembly: Assembly) -> None:
    names = _Names(assembly.server_places)
    for reference in assembly.references:
        if reference.server in assembly.server_places:
            continue
        if reference.optional:
            _stand_in(reference, names, assembly)
        elif not assembly.incomplete:
            near = None if reference.hidden else names.near(reference.server, assembly)
            message = f"there is no server {reference.shown}"
            assembly.problems.error(reference.place, Code.UNKNOWN_SERVER, message, near)


def _stand_in(reference: Reference, names: "_Names", assembly: Assembly) -> None:
    """A server without endpoints, so that what leads to it can be served as far as it goes."""
    if reference.server in assembly.servers:
        return
    assembly.add_server(missing_server(reference.server, reference.place))
    if assembly.incomplete:
        return
    other = names.elsewhere(reference.server)
    known = "" if other is None else f" (there is one of this name in the namespace {assembly.problems.said(other)})"
    message = f"no file defines {reference.shown}{known}: until one does, its requests get 503"
    near = names.near_sibling(reference.server, assembly) if other is None else None
    assembly.problems.warning(reference.place, Code.UNKNOWN_SERVER, message, near)


def missing_server(name: str, place: Place) -> ModelServer:
    """What stands for a server that no file defines."""
    return ModelServer(name, (), timeouts=WIDEST_TIMEOUTS, missing=True, origin=place.origin())


class _Names:
    """The servers' names, as whoever misses one looks for it. Mutable: how many suggestions have been made."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._all = sorted(keys)
        self._siblings: dict[str, list[str]] = defaultdict(list)
        self._namespaces: dict[tuple[str, str], str] = {}
        for key in self._all:
            place, _, name = key.rpartition("/")
            kind, _, namespace = place.rpartition("/")
            self._siblings[place].append(name)
            self._namespaces.setdefault((kind, name), namespace)
        self._suggested = 0

    def near(self, key: str, assembly: Assembly) -> str | None:
        """The server whose key is nearest to this one."""
        return self._nearest(key, self._all, assembly)

    def near_sibling(self, key: str, assembly: Assembly) -> str | None:
        """The name of the server, of the same kind and namespace, whose name is nearest to that of this key."""
        place, _, name = key.rpartition("/")
        return self._nearest(name, self._siblings.get(place, []), assembly)

    def elsewhere(self, key: str) -> str | None:
        """Another namespace that has a server of this kind and name."""
        place, _, name = key.rpartition("/")
        return self._namespaces.get((place.rpartition("/")[0], name)) if place else None

    def _nearest(self, word: str, known: list[str], assembly: Assembly) -> str | None:
        self._suggested += 1
        if self._suggested > _MOST_SUGGESTIONS:
            return None
        near = assembly.problems.suggest(word, known)
        return None if near is None or near not in known or assembly.problems.veiled(near) else near


# --- pools ------------------------------------------------------------------------------------------------------------

_Documents = Mapping[str, list[RewriteDocument]]


def _by_pool(assembly: Assembly) -> _Documents:
    """The documents of each pool, the oldest first."""
    documents: dict[str, list[RewriteDocument]] = defaultdict(list)
    for document in sorted(assembly.rewrites, key=lambda document: document.age.rank):
        if document.server in assembly.servers and _is_of_group(document, assembly):
            documents[document.server].append(document)
    return documents


def _is_of_group(document: RewriteDocument | ObjectiveDocument, assembly: Assembly) -> bool:
    """Whether a document means the pool of this name that there is, and not one of another API group."""
    group = assembly.pool_groups.get(document.server)
    if document.group is None or group is None or document.group == group:
        return True
    pool = where(assembly.pools[document.server])
    said = assembly.problems.said(document.group)
    message = f"without effect: this refers to a pool of the group {said}, and the one at {pool} is of {group!r}"
    assembly.problems.warning(document.place, Code.WITHOUT_EFFECT, message, group)
    return False


def _give_rewrites(documents: _Documents, assembly: Assembly) -> None:
    for name, found in documents.items():
        server = assembly.servers[name]
        rewrites = server.rewrites + tuple(rewrite for document in found for rewrite in document.rewrites)
        said = {document.restore_model for document in found}
        # Clients expect the name that they asked for, unless someone has said otherwise.
        restore = False not in said and (server.restore_model or True in said or bool(rewrites))
        check_rewrites(rewrites, assembly.problems)
        assembly.servers[name] = replace(server, rewrites=rewrites, restore_model=restore)


def _give_objectives(assembly: Assembly) -> None:
    objectives: dict[str, list[Objective]] = defaultdict(list)
    for document in assembly.objectives:
        if document.server in assembly.servers and _is_of_group(document, assembly):
            objectives[document.server].append(Objective(document.name, document.priority))
    for name, found in objectives.items():
        server = assembly.servers[name]
        assembly.servers[name] = replace(server, objectives=(*server.objectives, *found))


def _lead_to_pools(documents: _Documents, assembly: Assembly) -> None:
    """A pool that nothing leads to gets routes of its own: one for the names that it rewrites, one for all others."""
    led_to = {target.server for found in assembly.routes for target in _targets(found.route)}
    # Where there is no pool at all, also one that only its rewrites know of, which then answers 503. Beside others a
    # slip in a poolRef must not take their requests.
    unknown = {} if assembly.pools else {name: found[0].place for name, found in documents.items()}
    real = sum(not server.missing for server in assembly.servers.values())
    for name, place in {**unknown, **assembly.pools}.items():
        server = assembly.servers.get(name)
        if server is None or name in led_to:
            continue
        age = documents[name][0].age if name in documents else Age()
        # In a route's models a * stands for any text; in a rewrite it is a character.
        models = dict.fromkeys(model for rewrite in server.rewrites for model in rewrite.models if "*" not in model)
        if models:
            _add_own_route(assembly, name, place, age, Route(name, (), tuple(models)))
        alone = len(assembly.servers) == 1 or (real == 1 and not server.missing)
        if alone or any(not rewrite.models for rewrite in server.rewrites):
            _add_own_route(assembly, name, place, age, Route(f"{name}/other", (), priority=LAST))


def _add_own_route(assembly: Assembly, server: str, place: Place, age: Age, route: Route) -> None:
    rule = Rule("default", (Target(server),), origin=place.origin())
    whole = replace(route, rules=(rule,), kind="InferencePool", origin=place.origin())
    assembly.declare_route(route.name, place)
    assembly.routes.append(FoundRoute(whole, age, sound=True, unwritten=route.priority == LAST))


def _targets(route: Route) -> Iterator[Target]:
    for rule in route.rules:
        yield from rule.targets
        yield from rule.fallback
        if rule.shadow is not None:
            yield rule.shadow.target
    yield from route.fallback
