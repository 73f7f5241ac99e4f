"""ModelServer as Kthena's CRD has it: endpoints found by labels, the engine on them, and how they are asked."""

from collections.abc import Mapping

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import HIGHEST_PORT, check_most, go_duration, label_name, labels, optional_name
from proxy.config.problems import Problems
from proxy.config.spec import Disaggregation, Engine, ModelServer, Retries, Selector, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import Kind, choice, mismatch, name, whole
from proxy.config.values.policies import MOST_RETRIES, completed

_ENGINES: Mapping[str, Engine] = {"vLLM": Engine.VLLM, "SGLang": Engine.SGLANG}
# How SGLang was spelled until June 2025.
_FORMER_SGLANG = "sgLang"
_DEFAULT_PORTS: Mapping[Engine, int] = {Engine.VLLM: 8000, Engine.SGLANG: 30000}
_SCHEMES = ("http", "https")
_CONNECTORS = ("http", "lmcache", "nixl", "mooncake")
_STICKY_SOURCES = ("Header", "Query", "Cookie", "JWTClaim")
MOST_STICKY_SOURCES = 16
_RETRY_INTERVAL = 0.1


def read_crd_server(resource: Resource, spec: MappingNode, assembly: Assembly) -> None:
    """Add the server."""
    with Fields(spec, assembly.problems, strict=False) as fields:
        engine = fields.require("inferenceEngine", _read_engine)
        model = fields.get("model", optional_name)
        connector = fields.get("kvConnector", _read_connector)
        found = fields.require("workloadSelector", _selection(engine, connector))
        port, scheme = _read_port(fields, engine)
        timeouts, retries = fields.get("trafficPolicy", _read_traffic) or (Timeouts(), Retries())
    if found is None:
        return
    matching, disaggregation = found
    if connector is not None and disaggregation is None:
        message = "a kvConnector has no effect without workloadSelector.pdGroup"
        assembly.problems.hint(spec.key_place("kvConnector"), Code.WITHOUT_EFFECT, message)
    server = ModelServer(
        name=resource.key,
        endpoints=(),
        engine=engine or Engine.OPENAI,
        model=model or None,
        timeouts=completed(timeouts),
        retries=retries,
        selector=Selector(resource.namespace, matching, ports=(port,), scheme=scheme),
        disaggregation=disaggregation,
        origin=resource.place.origin(),
    )
    assembly.add_server(server)


def _read_engine(node: Node, problems: Problems) -> Engine | None:
    if isinstance(node, ScalarNode) and node.text == _FORMER_SGLANG:
        return Engine.SGLANG
    word = choice(_ENGINES)(node, problems)
    return None if word is None else _ENGINES[word]


# --- endpoints --------------------------------------------------------------------------------------------------------

_Labels = tuple[tuple[str, str], ...]


def _selection(engine: Engine | None, connector: str | None) -> Kind[tuple[_Labels, Disaggregation | None]]:
    """The labels of the endpoints, and of those that prefill and decode where they are not the same."""
    # SGLang moves its caches by itself; a connector that is given, even an empty one, stands in for that.
    implied = "sglang" if engine is Engine.SGLANG and connector is None else connector

    def read(node: Node, problems: Problems) -> tuple[_Labels, Disaggregation | None] | None:
        fields = fields_of(node, problems, "a mapping with matchLabels", strict=False)
        if fields is None:
            return None
        with fields:
            matching = fields.require("matchLabels", labels)
            group = fields.get("pdGroup", _group(implied))
        return None if matching is None else (matching, group)

    return read


def _group(connector: str | None) -> Kind[Disaggregation]:
    def read(node: Node, problems: Problems) -> Disaggregation | None:
        fields = fields_of(node, problems, "a mapping with groupKey, prefillLabels, decodeLabels", strict=False)
        if fields is None:
            return None
        with fields:
            key = fields.require("groupKey", label_name)
            prefill = fields.require("prefillLabels", labels)
            decode = fields.require("decodeLabels", labels)
        if key is None or prefill is None or decode is None:
            return None
        message = "pdGroup is not enforced by this version: whole requests go to the endpoints with decodeLabels"
        problems.warning(node.place, Code.NOT_ENFORCED, message)
        return Disaggregation(key, prefill, decode, connector)

    return read


def _read_connector(node: Node, problems: Problems) -> str | None:
    fields = fields_of(node, problems, "a mapping with type", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.get("type", choice(_CONNECTORS), "http")


def _read_port(fields: Fields, engine: Engine | None) -> tuple[int, str]:
    """The port of endpoints that name none of their own, and their scheme."""
    default = _DEFAULT_PORTS[engine or Engine.VLLM]
    if fields.filled("workloadPort") is None:
        if engine is not None:
            message = f"workloadPort is not given: the engine's usual port {default} is taken"
            fields.problems.hint(fields.place, Code.MISSING_KEY, message)
        return default, "http"
    return fields.get("workloadPort", _read_workload_port) or (default, "http")


def _read_workload_port(node: Node, problems: Problems) -> tuple[int, str] | None:
    fields = fields_of(node, problems, "a mapping with port and protocol", strict=False)
    if fields is None:
        return None
    with fields:
        port = fields.require("port", whole(1, HIGHEST_PORT))
        scheme = fields.get("protocol", choice(_SCHEMES), "http")
    return None if port is None else (port, scheme)


# --- traffic ----------------------------------------------------------------------------------------------------------


def _read_traffic(node: Node, problems: Problems) -> tuple[Timeouts, Retries] | None:
    fields = fields_of(node, problems, "a mapping with timeout and retry", strict=False)
    if fields is None:
        return None
    with fields:
        # It limits the wait for an answer's head alone; 0 is no limit of its own.
        timeouts = Timeouts(first_byte=fields.get("timeout", go_duration) or None)
        retries = fields.get("retry", _read_retry, Retries())
        fields.get("sessionSticky", _read_sticky)
    return timeouts, retries


def _read_retry(node: Node, problems: Problems) -> Retries | None:
    fields = fields_of(node, problems, "a mapping with attempts and retryInterval", strict=False)
    if fields is None:
        return None
    with fields:
        attempts = fields.get("attempts", whole(0, MOST_RETRIES), Retries().attempts)
        return Retries(attempts, backoff=fields.get("retryInterval", go_duration, _RETRY_INTERVAL))


def _read_sticky(node: Node, problems: Problems) -> bool | None:
    """Which endpoint a session goes to is not kept; what it is known by is checked all the same."""
    fields = fields_of(node, problems, "a mapping with sources", strict=False)
    if fields is None:
        return None
    with fields:
        fields.get("sessionAffinitySeconds", whole(1, 2**31 - 1))
        sources = fields.required("sources")
    if isinstance(sources, ListNode) and sources.items:
        check_most(sources, MOST_STICKY_SOURCES, "sources", problems)
        for item in sources.items:
            _read_source(item, problems)
    elif sources is not None:
        mismatch(sources, problems, "at least one source")
    message = "sessionSticky is not enforced by this version: each request goes to the least busy endpoint"
    problems.warning(node.place, Code.NOT_ENFORCED, message)
    return True


def _read_source(node: Node, problems: Problems) -> None:
    fields = fields_of(node, problems, "a source: a mapping with type and name", strict=False)
    if fields is None:
        return
    with fields:
        fields.require("type", choice(_STICKY_SOURCES))
        fields.require("name", name)
