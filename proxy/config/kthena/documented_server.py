"""ModelServer as MatrixInfer documents it: a workload's endpoints behind a path of their own, with their policies."""

from dataclasses import dataclass

from proxy.config.access_spec import Auth, JwtAuth
from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import HIGHEST_PORT, Referral, go_duration, is_on, read_referral, secret_of
from proxy.config.match_spec import Exact, Match, PathCondition, Prefix, ValueTest
from proxy.config.problems import Problems
from proxy.config.spec import ModelServer, RateLimit, Retries, Route, Rule, Selector, ServiceListener, Target, Timeouts
from proxy.config.text.nodes import MappingNode, Node
from proxy.config.values.auth import check_issuer, read_keys_url
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import Kind, choice, name, one_or_more, text_map, whole
from proxy.config.values.policies import MOST_RETRIES, completed

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
_PORT = whole(1, HIGHEST_PORT)
_MOST_PER_SECOND = 10_000_000


@dataclass(frozen=True, slots=True)
class _Service:
    """The port that the service listens on, and the one of the endpoints behind it."""

    port: int
    target: int


@dataclass(frozen=True, slots=True)
class _Routing:
    """What leads to the server, any of it being enough (nothing: all does), and how it is asked."""

    paths: tuple[ValueTest, ...]
    timeouts: Timeouts
    retries: Retries


def read_documented_server(resource: Resource, spec: MappingNode, assembly: Assembly) -> None:
    """Add the server, and the route of its path."""
    before = assembly.problems.errors
    with Fields(spec, assembly.problems, strict=False) as fields:
        workload = fields.require("modelInferRef", _infer_reference(resource.namespace))
        service = fields.require("service", _read_service)
        routing = fields.require("routing", _read_routing)
        rate_limit = fields.get("rateLimit", _read_rate_limit)
        auth = fields.get("authentication", _read_authentication)
        secret = fields.get("tls", _tls_secret(resource.namespace))
    if workload is None or service is None or routing is None:
        return
    server = ModelServer(
        name=resource.key,
        endpoints=(),
        timeouts=completed(routing.timeouts),
        retries=routing.retries,
        rate_limit=rate_limit,
        selector=Selector(workload.namespace, workload=workload.name, ports=(service.target,)),
        auth=auth,
        listener=ServiceListener(service.port, secret, routing.paths),
        origin=resource.place.origin(),
    )
    assembly.add_server(server)
    _add_route(resource, routing, assembly, sound=assembly.problems.errors == before)


def _add_route(resource: Resource, routing: _Routing, assembly: Assembly, *, sound: bool) -> None:
    """Its path is a route of its own."""
    key, origin = f"server/{resource.key}", resource.place.origin()
    matches = tuple(Match((PathCondition(test),)) for test in routing.paths)
    rule = Rule("path", (Target(resource.key),), matches, origin=origin)
    assembly.add_route(Route(key, (rule,), kind=resource.kind, origin=origin), sound=sound, age=resource.age)


# --- what it stands for -----------------------------------------------------------------------------------------------


def _infer_reference(namespace: str) -> Kind[Referral]:
    """The ModelInfer whose endpoints it serves: entries of the inventory whose workload has that name."""

    def read(node: Node, problems: Problems) -> Referral | None:
        fields = fields_of(node, problems, "a mapping with name and namespace", strict=False)
        if fields is None:
            return None
        with fields:
            return read_referral(fields, namespace)

    return read


def _read_service(node: Node, problems: Problems) -> _Service | None:
    """Its type and its annotations are for a cluster, and say nothing here."""
    fields = fields_of(node, problems, "a mapping with port and targetPort", strict=False)
    if fields is None:
        return None
    with fields:
        fields.get("type", choice(_TYPES))
        fields.get("annotations", text_map)
        port = fields.require("port", _PORT)
        target = fields.get("targetPort", _PORT)
    return None if port is None else _Service(port, target or port)


def _read_routing(node: Node, problems: Problems) -> _Routing | None:
    fields = fields_of(node, problems, "a mapping with path, timeout and retries", strict=False)
    if fields is None:
        return None
    with fields:
        paths = fields.require("path", _read_path)
        seconds = fields.get("timeout", go_duration) or None
        attempts = fields.get("retries", whole(0, MOST_RETRIES))
    if paths is None:
        return None
    retries = Retries() if attempts is None else Retries(attempts=attempts)
    return _Routing(paths, Timeouts(first_byte=seconds, idle=seconds), retries)


def _read_path(node: Node, problems: Problems) -> tuple[ValueTest, ...] | None:
    """A path is itself and all below it; one that ends in `*` is whatever begins so."""
    path = name(node, problems)
    if path is None:
        return None
    if not path.startswith("/"):
        problems.error(node.place, Code.BAD_VALUE, "a path begins with /")
        return None
    if path.endswith("*"):
        tests: tuple[ValueTest, ...] = (Prefix(path[:-1]),)
    else:
        path = path.rstrip("/")
        tests = (Exact(path), Prefix(f"{path}/"))
    # Every path begins with /.
    return () if Prefix("/") in tests else tests


# --- sections that are switched on ------------------------------------------------------------------------------------


def _read_rate_limit(node: Node, problems: Problems) -> RateLimit | None:
    """As many may come at once as in a second, where nothing else is said."""
    fields = fields_of(node, problems, "a mapping with enabled, requestsPerSecond and burstSize", strict=False)
    if fields is None:
        return None
    with fields:
        on = is_on(fields)
        read = fields.require if on else fields.get
        rate = read("requestsPerSecond", whole(1, _MOST_PER_SECOND))
        burst = fields.get("burstSize", whole(1, _MOST_PER_SECOND))
    return None if rate is None or not on else RateLimit(float(rate), burst or rate)


def _read_authentication(node: Node, problems: Problems) -> Auth | None:
    """JSON Web Tokens are the one type there is."""
    fields = fields_of(node, problems, "a mapping with enabled, type and config", strict=False)
    if fields is None:
        return None
    with fields:
        on = is_on(fields)
        if not on:
            # Whatever else it says, it is not there.
            fields.rest()
            return None
        fields.require("type", choice(("jwt",)))
        config = fields.require("config", _read_jwt)
    return None if config is None else Auth(jwt=config)


def _read_jwt(node: Node, problems: Problems) -> JwtAuth | None:
    fields = fields_of(node, problems, "a mapping with issuer, audience and jwksUri", strict=False)
    if fields is None:
        return None
    with fields:
        auth = JwtAuth(
            issuer=fields.get("issuer", name),
            audiences=fields.get("audience", one_or_more(name), ()),
            jwks=fields.get("jwksUri", read_keys_url),
        )
        check_issuer(fields, "issuer", "jwksUri")
    return auth


def _tls_secret(namespace: str) -> Kind[str]:
    """The secret with the certificate, as "namespace/name"."""

    def read(node: Node, problems: Problems) -> str | None:
        fields = fields_of(node, problems, "a mapping with enabled and secretName", strict=False)
        if fields is None:
            return None
        with fields:
            fields.node_of("secretName")
            return fields.require("secretName", secret_of(namespace)) if is_on(fields) else None

    return read
