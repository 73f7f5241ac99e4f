"""The reader of native servers: their endpoints, what they are asked for, and their policies."""

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.native.access import MOST_AT_ONCE, check_shown_once, read_credential, read_listener, read_queueing
from proxy.config.native.parts import (
    HEAVIEST,
    read_disaggregation,
    read_objectives,
    read_rewrite,
    read_selector,
)
from proxy.config.problems import Problems
from proxy.config.spec import Balance, EndpointSpec, Engine, ModelServer, Retries, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode
from proxy.config.values.addresses import endpoint_url
from proxy.config.values.auth import auth_of
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import header_map
from proxy.config.values.kinds import (
    boolean,
    full_name,
    listed,
    member,
    mismatch,
    name,
    one_or_more,
    share,
    text_map,
    whole,
)
from proxy.config.values.limits import read_limits
from proxy.config.values.policies import (
    completed,
    read_rate_limit,
    read_retries,
    read_timeouts,
    read_upstream_tls,
)

_SERVER_DEFAULT = ModelServer("", ())
# Without a value they bound or show nothing, though they look as if they did.
_NOT_EMPTY = (
    "limits", "rate_limit", "api_key", "api_key_file", "credential", "listener", "max_in_flight",
    "max_in_flight_per_endpoint", "max_pending", "queue_timeout",
)  # fmt: skip


def read_servers(node: Node, assembly: Assembly) -> None:
    """Add a mapping of names to servers to the assembly."""
    if not isinstance(node, MappingNode):
        mismatch(node, assembly.problems, "a mapping of names to servers")
        assembly.incomplete = True
        return
    for key, body in node.entries.items():
        place = node.key_place(key)
        assembly.declare_server(key, place)
        if full_name(ScalarNode(place, key, key), assembly.problems) is None:
            continue
        server = _read_server(key, place, body, assembly.problems)
        if server is not None:
            assembly.add_server(server)


def _read_server(key: str, place: Place, node: Node, problems: Problems) -> ModelServer | None:
    fields = fields_of(node, problems, "a server: a mapping with endpoints, engine, model and policies")
    if fields is None:
        return None
    default = _SERVER_DEFAULT
    with fields:
        endpoints = _read_endpoints(fields)
        server = ModelServer(
            name=key,
            endpoints=endpoints,
            engine=fields.get("engine", member(Engine), default.engine),
            model=fields.get("model", name),
            balance=fields.get("balance", member(Balance), default.balance),
            timeouts=completed(fields.get("timeout", read_timeouts, Timeouts())),
            retries=fields.get("retries", read_retries, Retries()),
            retry_budget=fields.get("retry_budget", share, default.retry_budget),
            rate_limit=fields.get("rate_limit", read_rate_limit),
            tls=fields.get("tls", read_upstream_tls),
            headers=fields.get("headers", header_map, ()),
            restore_model=fields.get("restore_model", boolean, default.restore_model),
            rewrites=fields.get("rewrites", listed(read_rewrite), ()),
            objectives=fields.get("objectives", read_objectives, ()),
            selector=fields.get("select", read_selector),
            disaggregation=fields.get("disaggregation", read_disaggregation),
            auth=auth_of(fields),
            limits=fields.get("limits", read_limits, ()),
            queueing=read_queueing(fields, endpoints),
            listener=fields.get("listener", read_listener),
            credential=read_credential(fields),
            origin=place.origin(),
        )
        fields.warn_of_empty(_NOT_EMPTY)
        _check_endpoints(fields, server)
        check_shown_once(fields, server.headers, server.credential)
        _tell_not_enforced(fields, server)
    return server


def _read_endpoints(fields: Fields) -> tuple[EndpointSpec, ...]:
    """Those that are listed; only a server that selects its endpoints may list none."""
    kind = one_or_more(read_endpoint)
    if fields.filled("select") is not None:
        return fields.get("endpoints", kind, ())
    return fields.require("endpoints", kind) or ()


def read_endpoint(node: Node, problems: Problems) -> EndpointSpec | None:
    """An endpoint as its URL alone, or as a mapping with labels and a weight."""
    if isinstance(node, ScalarNode):
        url = endpoint_url(node, problems)
        return None if url is None else EndpointSpec(*url)
    expected = "a URL such as http://10.0.0.11:8000, or a mapping with url, labels, weight, max_in_flight"
    fields = fields_of(node, problems, expected)
    if fields is None:
        return None
    with fields:
        url = fields.require("url", endpoint_url)
        weight = fields.get("weight", whole(1, HEAVIEST), 1)
        labels = fields.get("labels", text_map) or ()
        most = fields.get("max_in_flight", whole(1, MOST_AT_ONCE))
        fields.warn_of_empty(("max_in_flight",))
    return None if url is None else EndpointSpec(*url, weight=weight, labels=labels, max_in_flight=most)


def _check_endpoints(fields: Fields, server: ModelServer) -> None:
    node = fields.filled("endpoints")
    if isinstance(node, ListNode) and not node.items and server.selector is None:
        message = "a server without endpoints: its routes answer 503 until it has one"
        fields.problems.warning(node.place, Code.NO_ENDPOINTS, message)
    # An endpoint's address is the key of its state, so each stands for itself once.
    addresses = [endpoint.address for endpoint in server.endpoints]
    if node is not None and len(set(addresses)) < len(addresses):
        message = "an endpoint is listed more than once; give it a weight instead"
        fields.problems.error(node.place, Code.DUPLICATE_NAME, message)
    plain = server.endpoints and all(endpoint.scheme == "http" for endpoint in server.endpoints)
    tls = fields.filled("tls")
    if plain and tls is not None and server.selector is None:
        message = "tls has no effect: no endpoint of this server begins with https://"
        fields.problems.warning(tls.place, Code.WITHOUT_EFFECT, message)


def _tell_not_enforced(fields: Fields, server: ModelServer) -> None:
    """What is read and kept, but does not come to pass."""
    node = fields.filled("disaggregation")
    if server.disaggregation is not None and node is not None:
        message = "disaggregation is not enforced by this version: whole requests go to the decode endpoints"
        fields.problems.warning(node.place, Code.NOT_ENFORCED, message)
