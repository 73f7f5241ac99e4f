"""InferencePool, and how other resources refer to one."""

import re
from dataclasses import dataclass

from proxy.config.assembly import Assembly, RewriteDocument
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import POOL_GROUP, POOL_GROUPS, Resource
from proxy.config.kubernetes.values import HIGHEST_PORT, Referral, check_most, declare, labels
from proxy.config.problems import Problems
from proxy.config.spec import Engine, ModelServer, Selector
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described, quoted, shown
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import Kind, alternatives, choice, mismatch, name, text, whole
from proxy.config.values.policies import WIDEST_TIMEOUTS

PREFIX = "pool/"
RESTORE_MODEL = "penstock/restore-model"
"""The annotation of a pool or a rewrite: "false" leaves the model's name in answers as the engine wrote it."""

_ENGINE_TYPES = ("llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type")
_ENGINES = {engine.value: engine for engine in (Engine.VLLM, Engine.SGLANG)}
_MOST_PORTS = 8

# https://gateway-api-inference-extension.sigs.k8s.io/reference/spec/#group and #kind
_GROUP = re.compile(r"|[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_KIND = re.compile(r"[a-zA-Z](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_LONGEST_GROUP = 253
_LONGEST_KIND = 63


def read_pool(resource: Resource, assembly: Assembly) -> None:
    """Add a pool to the assembly: a server that finds its endpoints by labels, on each of its ports.

    How a pool's endpoint picker is found, and what happens when it fails, says nothing here: endpoints are picked by
    the proxy itself.
    """
    key = f"{PREFIX}{resource.key}"
    if declare("server", key, resource, assembly):
        assembly.pools[key] = resource.place
        assembly.pool_groups[key] = resource.group
        restore = read_restore_model(resource, assembly.problems)
        assembly.rewrites.append(RewriteDocument(key, (), resource.age, resource.place, restore))
    if resource.spec is None:
        return
    with Fields(resource.spec, assembly.problems, strict=False) as fields:
        found = fields.require("selector", _read_selector)
        ports = _read_ports(fields)
        _check_protocol(fields)
        fields.get("endpointPickerRef", _read_picker)
        fields.get("extensionRef", _read_picker)
    if found is None or ports is None:
        return
    assembly.add_server(
        ModelServer(
            name=key,
            endpoints=(),
            engine=_engine(resource, found),
            timeouts=WIDEST_TIMEOUTS,
            selector=Selector(resource.namespace, found, ports=ports),
            origin=resource.place.origin(),
        )
    )


def _read_selector(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """Labels under matchLabels, or the labels themselves, as the first version had them."""
    if isinstance(node, MappingNode) and all(isinstance(item, ScalarNode) for item in node.entries.values()):
        return labels(node, problems)
    fields = fields_of(node, problems, "a mapping with matchLabels", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.require("matchLabels", labels)


def _read_ports(fields: Fields) -> tuple[int, ...] | None:
    """The ports under targetPorts, or a single one, as the first version had it."""
    fields.exclusive(("targetPorts", "targetPortNumber"))
    number = fields.get("targetPortNumber", whole(1, HIGHEST_PORT))
    if "targetPortNumber" in fields.node.entries:
        fields.node_of("targetPorts")
        return None if number is None else (number,)
    node = fields.required("targetPorts")
    if node is None:
        return None
    if not isinstance(node, ListNode) or not node.items:
        mismatch(node, fields.problems, f"a list of 1 to {_MOST_PORTS} ports")
        return None
    check_most(node, _MOST_PORTS, "ports", fields.problems)
    return _distinct([_read_port(item, fields.problems) for item in node.items], node, fields.problems)


def _distinct(ports: list[int | None], node: ListNode, problems: Problems) -> tuple[int, ...]:
    found = [port for port in ports if port is not None]
    if len(set(found)) < len(found):
        problems.error(node.place, Code.DUPLICATE_NAME, "a port is listed more than once")
    return tuple(dict.fromkeys(found))


def _read_port(node: Node, problems: Problems) -> int | None:
    fields = fields_of(node, problems, "a mapping with number", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.require("number", whole(1, HIGHEST_PORT))


def _check_protocol(fields: Fields) -> None:
    protocol = fields.get("appProtocol", choice(("http", "kubernetes.io/h2c")))
    node = fields.filled("appProtocol")
    if protocol == "kubernetes.io/h2c" and node is not None:
        message = "kubernetes.io/h2c has no effect: HTTP/1.1 is spoken to the endpoints, as engines do"
        fields.problems.warning(node.place, Code.WITHOUT_EFFECT, message)


def _read_picker(node: Node, problems: Problems) -> None:
    """Checked as far as a slip in it would be one anywhere; nothing is made of it."""
    fields = fields_of(node, problems, "a mapping with name, port and failureMode", strict=False)
    if fields is None:
        return
    with fields:
        fields.get("group", text)
        fields.get("kind", text)
        fields.require("name", name)
        fields.get("port", _read_port)
        fields.get("portNumber", whole(1, HIGHEST_PORT))
        fields.get("failureMode", choice(("FailOpen", "FailClose")))


def _engine(resource: Resource, selected: tuple[tuple[str, str], ...]) -> Engine:
    """What the pool says of its engine, in an annotation, a label or a label that its endpoints have."""
    annotations = {key: node.text for key, node in resource.annotations.items()}
    said = {**dict(selected), **dict(resource.labels), **annotations}
    found = (_ENGINES.get(said.get(key, "")) for key in _ENGINE_TYPES)
    return next((engine for engine in found if engine is not None), Engine.OPENAI)


def read_restore_model(resource: Resource, problems: Problems) -> bool | None:
    """Whether answers get the client's own model name back; None where the resource says nothing of it."""
    for key in resource.annotations:
        if key.startswith("penstock/") and key != RESTORE_MODEL:
            place = resource.annotations[key].place
            message = f"unknown annotation {shown(key)}"
            problems.warning(place, Code.UNKNOWN_KEY, message, RESTORE_MODEL)
    node = resource.annotations.get(RESTORE_MODEL)
    if node is None:
        return None
    if node.text not in {"true", "false"}:
        problems.error(node.place, Code.BAD_VALUE, f'expected "true" or "false", found {described(node)}')
        return None
    return node.text == "true"


# --- references -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolReference:
    """What a poolRef says: a pool of the same namespace, by name and API group."""

    referral: Referral
    group: str
    group_node: Node | None

    def follow(self, assembly: Assembly) -> str | None:
        """The pool's key, remembered so that it can be followed when all files are read; None where no pool can be of
        this group (which has then been told)."""
        if self.group in POOL_GROUPS:
            return self.referral.follow("InferencePool", PREFIX, assembly)
        place = self.referral.place if self.group_node is None else self.group_node.place
        said = quoted(self.group_node) if isinstance(self.group_node, ScalarNode) else shown(self.group)
        message = f"without effect: no InferencePool is of the group {said}, but of {alternatives(sorted(POOL_GROUPS))}"
        assembly.problems.warning(place, Code.WITHOUT_EFFECT, message, POOL_GROUP)
        return None


def pool_reference(namespace: str) -> Kind[PoolReference]:
    """A poolRef that stands in this namespace."""

    def read(node: Node, problems: Problems) -> PoolReference | None:
        fields = fields_of(node, problems, "a mapping with name", strict=False)
        if fields is None:
            return None
        with fields:
            group = fields.get("group", _fitting(_GROUP, 0, _LONGEST_GROUP, "an API group such as " + POOL_GROUP))
            kind = fields.get("kind", _fitting(_KIND, 1, _LONGEST_KIND, "a kind such as InferencePool"))
            found = fields.require("name", _fitting(re.compile(r"\S(?:.*\S)?"), 1, _LONGEST_GROUP, "a pool's name"))
            _check_kind(fields, kind)
        if found is None:
            return None
        referral = Referral(namespace, found, fields.node.entries["name"].place)
        return PoolReference(referral, POOL_GROUP if group is None else group, fields.filled("group"))

    return read


def _check_kind(fields: Fields, kind: str | None) -> None:
    node = fields.filled("kind")
    if kind not in {None, "InferencePool"} and node is not None:
        message = f"without effect: a poolRef means an InferencePool, whatever its kind says; found {described(node)}"
        fields.problems.warning(node.place, Code.WITHOUT_EFFECT, message)


def _fitting(pattern: re.Pattern[str], shortest: int, longest: int, expected: str) -> Kind[str]:
    """A text within these lengths that fits a pattern."""

    def read(node: Node, problems: Problems) -> str | None:
        found = text(node, problems)
        if found is None or (shortest <= len(found) <= longest and pattern.fullmatch(found)):
            return found
        limit = f" of at most {longest} characters" if len(found) > longest else ""
        problems.error(node.place, Code.BAD_VALUE, f"expected {expected}{limit}, found {described(node)}")
        return None

    return read
