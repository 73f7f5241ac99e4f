"""The reader of the native form: `servers` by name, and `routes` with their ordered rules."""

from proxy.config.addresses import endpoint_url
from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.conditions import read_matches
from proxy.config.fields import Fields, fields_of
from proxy.config.kinds import Kind, member, mismatch, name, one_or_more, share, text_map, whole
from proxy.config.nodes import ListNode, MappingNode, Node, Place, ScalarNode, quoted
from proxy.config.policies import (
    completed,
    read_rate_limit,
    read_retries,
    read_timeouts,
    read_upstream_tls,
)
from proxy.config.problems import Problems
from proxy.config.spec import (
    Balance,
    EndpointSpec,
    Engine,
    ModelServer,
    Retries,
    Route,
    Rule,
    Target,
    Timeouts,
)

KEYS = frozenset({"servers", "routes"})

HEAVIEST = 1_000_000
_SERVER_DEFAULT = ModelServer("", ())


def read_native(node: MappingNode, assembly: Assembly) -> None:
    """Add a document's servers and routes to the assembly."""
    with Fields(node, assembly.problems) as fields:
        servers = fields.filled("servers")
        routes = fields.filled("routes")
    if servers is not None:
        _read_servers(servers, assembly)
    if routes is not None:
        _read_routes(routes, assembly)


# --- servers ----------------------------------------------------------------------------------------------------------


def _read_servers(node: Node, assembly: Assembly) -> None:
    if not isinstance(node, MappingNode):
        mismatch(node, assembly.problems, "a mapping of names to servers")
        assembly.incomplete = True
        return
    for key, body in node.entries.items():
        place = node.key_place(key)
        assembly.declare_server(key, place)
        if name(ScalarNode(place, key, key), assembly.problems) is None:
            continue
        server = _read_server(key, place, body, assembly.problems)
        if server is not None:
            assembly.servers.setdefault(key, server)


def _read_server(key: str, place: Place, node: Node, problems: Problems) -> ModelServer | None:
    fields = fields_of(node, problems, "a server: a mapping with endpoints, engine, model and policies")
    if fields is None:
        return None
    default = _SERVER_DEFAULT
    with fields:
        server = ModelServer(
            name=key,
            endpoints=fields.require("endpoints", one_or_more(read_endpoint)) or (),
            engine=fields.get("engine", member(Engine), default.engine),
            model=fields.get("model", name),
            balance=fields.get("balance", member(Balance), default.balance),
            timeouts=completed(fields.get("timeout", read_timeouts, Timeouts())),
            retries=fields.get("retries", read_retries, Retries()),
            retry_budget=fields.get("retry_budget", share, default.retry_budget),
            rate_limit=fields.get("rate_limit", read_rate_limit),
            tls=fields.get("tls", read_upstream_tls),
            origin=place.origin(),
        )
        _check_endpoints(fields, server)
    return server


def read_endpoint(node: Node, problems: Problems) -> EndpointSpec | None:
    """An endpoint as its URL alone, or as a mapping with labels and a weight."""
    if isinstance(node, ScalarNode):
        url = endpoint_url(node, problems)
        return None if url is None else EndpointSpec(*url)
    fields = fields_of(node, problems, "a URL such as http://10.0.0.11:8000, or a mapping with url, labels, weight")
    if fields is None:
        return None
    with fields:
        url = fields.require("url", endpoint_url)
        weight = fields.get("weight", whole(1, HEAVIEST), 1)
        labels = fields.get("labels", text_map) or ()
    return None if url is None else EndpointSpec(*url, weight=weight, labels=labels)


def _check_endpoints(fields: Fields, server: ModelServer) -> None:
    node = fields.filled("endpoints")
    if isinstance(node, ListNode) and not node.items:
        message = "a server without endpoints: its routes answer 503 until it has one"
        fields.problems.warning(node.place, Code.NO_ENDPOINTS, message)
    # An endpoint's address is the key of its state, so each stands for itself once.
    addresses = [endpoint.address for endpoint in server.endpoints]
    if node is not None and len(set(addresses)) < len(addresses):
        message = "an endpoint is listed more than once; give it a weight instead"
        fields.problems.error(node.place, Code.DUPLICATE_NAME, message)
    plain = server.endpoints and all(endpoint.scheme == "http" for endpoint in server.endpoints)
    tls = fields.filled("tls")
    if plain and tls is not None:
        message = "tls has no effect: no endpoint of this server begins with https://"
        fields.problems.warning(tls.place, Code.WITHOUT_EFFECT, message)


# --- routes -----------------------------------------------------------------------------------------------------------


def _read_routes(node: Node, assembly: Assembly) -> None:
    if not isinstance(node, ListNode):
        mismatch(node, assembly.problems, "a list of routes")
        return
    for item in node.items:
        before = assembly.problems.errors
        route = _read_route(item, assembly)
        if route is not None:
            assembly.add_route(route, sound=assembly.problems.errors == before)


def _read_route(node: Node, assembly: Assembly) -> Route | None:
    fields = fields_of(node, assembly.problems, "a route: a mapping with name, models and rules")
    if fields is None:
        return None
    with fields:
        route_name = fields.require("name", name)
        if route_name is not None and isinstance(written := fields.filled("name"), ScalarNode):
            assembly.declare_route(written)
        return Route(
            name=route_name or "",
            models=_unique(fields.get("models", one_or_more(name), ())),
            adapters=_unique(fields.get("adapters", one_or_more(_adapter), ())),
            priority=fields.get("priority", whole(-HEAVIEST, HEAVIEST), 0),
            rules=_read_rules(fields, assembly),
            origin=fields.place.origin(),
        )


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _adapter(node: Node, problems: Problems) -> str | None:
    found = name(node, problems)
    if found is not None and "*" in found:
        problems.error(node.place, Code.BAD_VALUE, "an adapter is named in full; * is for models only")
        return None
    return found


def _read_rules(fields: Fields, assembly: Assembly) -> tuple[Rule, ...]:
    node = fields.required("rules")
    if node is None:
        return ()
    if not isinstance(node, ListNode) or not node.items:
        expected = "a list of rules" if not isinstance(node, ListNode) else "at least one rule"
        mismatch(node, assembly.problems, expected)
        return ()
    rules = [_read_rule(item, f"rule-{number}", assembly) for number, item in enumerate(node.items, 1)]
    found = tuple(rule for rule in rules if rule is not None)
    _check_rule_names(node, found, assembly.problems)
    return found


def _check_rule_names(node: ListNode, rules: tuple[Rule, ...], problems: Problems) -> None:
    names = [rule.name for rule in rules]
    if len(set(names)) == len(names) or len(rules) < len(node.items):
        return
    seen: set[str] = set()
    for rule, item in zip(rules, node.items, strict=True):
        if rule.name in seen:
            written = item.entries.get("name") if isinstance(item, MappingNode) else None
            said = quoted(written) if isinstance(written, ScalarNode) else repr(rule.name)
            problems.error(rule.origin, Code.DUPLICATE_NAME, f"this route has another rule named {said}")
        seen.add(rule.name)


def _read_rule(node: Node, default_name: str, assembly: Assembly) -> Rule | None:
    fields = fields_of(node, assembly.problems, "a rule: a mapping with match and targets")
    if fields is None:
        return None
    with fields:
        return Rule(
            name=fields.get("name", name, default_name),
            matches=read_matches(fields),
            targets=_read_targets(fields, assembly),
            fallback=fields.get("fallback", one_or_more(_target(assembly, weighted=False)), ()),
            timeouts=fields.get("timeout", read_timeouts, Timeouts()),
            retries=fields.get("retries", read_retries),
            origin=fields.place.origin(),
        )


def _read_targets(fields: Fields, assembly: Assembly) -> tuple[Target, ...]:
    node = fields.required("targets")
    if node is None:
        return ()
    if isinstance(node, ListNode) and not node.items:
        mismatch(node, assembly.problems, "at least one target")
        return ()
    targets = one_or_more(_target(assembly, weighted=True))(node, assembly.problems) or ()
    if targets and not any(target.weight for target in targets):
        message = "all weights are 0, so no target could ever be chosen"
        assembly.problems.error(node.place, Code.NO_WEIGHT, message)
    return targets


def _target(assembly: Assembly, *, weighted: bool) -> Kind[Target]:
    """A target as its server's name alone, or as a mapping. Fallbacks are taken in order, so they have no weights."""
    keys = "server, weight, model" if weighted else "server, model"
    reference = _reference(assembly)

    def read(node: Node, problems: Problems) -> Target | None:
        if isinstance(node, ScalarNode):
            server = reference(node, problems)
            return None if server is None else Target(server)
        fields = fields_of(node, problems, f"a server's name, or a mapping with {keys}")
        if fields is None:
            return None
        with fields:
            server = fields.require("server", reference)
            model = fields.get("model", name)
            weight = fields.get("weight", whole(0, HEAVIEST), 1) if weighted else 1
        return None if server is None else Target(server, weight, model)

    return read


def _reference(assembly: Assembly) -> Kind[str]:
    """A server's name, remembered so that it can be followed when all files are read."""

    def read(node: Node, problems: Problems) -> str | None:
        found = name(node, problems)
        if found is not None and isinstance(node, ScalarNode):
            assembly.references.append(node)
        return found

    return read
