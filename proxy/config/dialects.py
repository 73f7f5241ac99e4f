"""Which reader owns a document: by its apiVersion and kind, or by its shape."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.inference.http_route import read_http_route
from proxy.config.inference.pool import read_pool
from proxy.config.inference.rewrites import read_objective, read_rewrite
from proxy.config.kthena.model_route import read_model_route
from proxy.config.kthena.model_server import read_model_server
from proxy.config.kthena.provider import read_provider
from proxy.config.kubernetes.pods import read_pod
from proxy.config.kubernetes.resources import (
    INFERENCE_GROUPS,
    MODEL_GROUPS,
    POOL_GROUPS,
    Resource,
    filed,
    is_definition,
    read_resource,
)
from proxy.config.mixtrain.document import is_mixtrain, read_mixtrain
from proxy.config.native.document import KEYS, read_native
from proxy.config.settings import holds_settings
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described, shown
from proxy.config.values.fields import Fields
from proxy.config.values.kinds import mismatch

# How alike a kind must be to one of ours to be taken for a slip (difflib's ratio). ModelServing and ModelInfer, which
# are kinds of their own, are 0.78 and 0.67 like ModelServer; ModelRout is 0.95 like ModelRoute.
_NEAR = 0.8
# Nearer than that, and still no slips.
_STRANGERS = frozenset({"TCPRoute", "InferencePoolImport"})


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who reads a kind of resource, and of which API groups it may be."""

    groups: frozenset[str]
    read: Callable[[Resource, Assembly], None]
    needs_spec: bool = True


_OWNERS = {
    "ModelRoute": _Owner(MODEL_GROUPS, read_model_route),
    "ModelServer": _Owner(MODEL_GROUPS, read_model_server),
    "ExternalModelProvider": _Owner(MODEL_GROUPS, read_provider),
    "InferenceModelRewrite": _Owner(INFERENCE_GROUPS, read_rewrite),
    "InferencePool": _Owner(POOL_GROUPS, read_pool),
    "InferenceObjective": _Owner(INFERENCE_GROUPS, read_objective),
    "HTTPRoute": _Owner(frozenset({"gateway.networking.k8s.io"}), read_http_route),
    "Pod": _Owner(frozenset({""}), read_pod, needs_spec=False),
}


def read_document(node: Node, assembly: Assembly) -> None:
    """Hand a document to the reader that owns it."""
    assembly.documents += 1
    version, kind = _word(node, "apiVersion"), _word(node, "kind")
    if isinstance(node, MappingNode) and version is not None and kind is not None:
        _read_kind(node, version, kind, assembly)
    elif is_mixtrain(node):
        read_mixtrain(node, assembly)
    elif not isinstance(node, MappingNode):
        message = f"expected a document with {', '.join(sorted(KEYS))} or a kind, found {described(node)}"
        assembly.problems.error(node.place, Code.WRONG_TYPE, message)
    elif "apiVersion" in node.entries or "kind" in node.entries:
        _tell_half(node, assembly)
    elif holds_settings(node):
        message = "these are settings, not routes: they belong in penstock.yaml (penstock serve -c FILE)"
        assembly.problems.error(node.place, Code.WRONG_PLACE, message)
    else:
        read_native(node, assembly)


def _word(node: Node, key: str) -> ScalarNode | None:
    """What stands under a key, if it is a text."""
    found = node.entries.get(key) if isinstance(node, MappingNode) else None
    return found if isinstance(found, ScalarNode) and isinstance(found.value, str) and found.value else None


def _tell_half(node: MappingNode, assembly: Assembly) -> None:
    """A resource says both what it is and of which group; with one of them alone nobody knows whose it is."""
    assembly.incomplete = True
    with_advice = {"apiVersion": "such as v1", "kind": "such as InferencePool"}
    for key, example in with_advice.items():
        written = node.entries.get(key)
        if written is None:
            message = f"the key {shown(key)} is missing: a resource has apiVersion and kind"
            assembly.problems.error(node.place, Code.MISSING_KEY, message)
        elif _word(node, key) is None and not (isinstance(written, ScalarNode) and written.faulty):
            mismatch(written, assembly.problems, f"a text {example}")


# --- resources --------------------------------------------------------------------------------------------------------


def _read_kind(node: MappingNode, version: ScalarNode, kind: ScalarNode, assembly: Assembly) -> None:
    owner = _OWNERS.get(kind.text)
    if owner is not None and _group(version) in owner.groups:
        _read_resource(node, kind, owner, assembly)
    elif kind.text == "List" or (kind.text.endswith("List") and kind.text.removesuffix("List") in _OWNERS):
        _read_list(node, version, kind, assembly)
    elif kind.hidden or version.hidden:
        assembly.problems.warning(node.place, Code.UNKNOWN_KIND, "skipped: its kind, from a variable, is not read here")
    elif owner is not None:
        expected = " or ".join(sorted(owner.groups)) if "" not in owner.groups else "v1"
        message = f"skipped: {kind.text} of {shown(version.text)} is not read here, but that of {expected} is"
        assembly.problems.warning(version.place, Code.UNKNOWN_KIND, message)
    else:
        _skip(node, version, kind, assembly)


def _group(version: ScalarNode) -> str:
    """The group alone: what a version of it has added is told field by field."""
    return version.text.rpartition("/")[0]


def _read_resource(node: MappingNode, kind: ScalarNode, owner: _Owner, assembly: Assembly) -> None:
    if is_definition(node):
        message = f"skipped: this defines what {kind.text} is (types stand where values would)"
        assembly.problems.hint(node.place, Code.DEFINITION, message)
        return
    resource = read_resource(node, assembly.problems, needs_spec=owner.needs_spec)
    if resource is None:
        assembly.incomplete = True
        return
    assembly.filed.append(filed(resource))
    owner.read(resource, assembly)


def _read_list(node: MappingNode, version: ScalarNode, kind: ScalarNode, assembly: Assembly) -> None:
    """Each item by itself, as if it stood in a document of its own."""
    with Fields(node, assembly.problems, strict=False) as fields:
        for key in ("apiVersion", "kind", "metadata"):
            fields.node_of(key)
        items = fields.required("items")
    if not isinstance(items, ListNode):
        assembly.incomplete = True
        if items is not None:
            mismatch(items, assembly.problems, "a list of resources")
        return
    for item in items.items:
        read_document(item if kind.text == "List" else _named(item, version, kind), assembly)


def _named(item: Node, version: ScalarNode, kind: ScalarNode) -> Node:
    """An item of a list of one kind, which may leave its own apiVersion and kind out, as Kubernetes' API does."""
    if not isinstance(item, MappingNode):
        return item
    name = kind.text.removesuffix("List")
    said = {"apiVersion": version, "kind": ScalarNode(kind.place, name, name, kind.hidden)}
    marks = {key: (node.place.line, node.place.column) for key, node in said.items()}
    return MappingNode(item.place, {**said, **item.entries}, {**marks, **item.marks})


def _skip(node: MappingNode, version: ScalarNode, kind: ScalarNode, assembly: Assembly) -> None:
    """Kubernetes' own plumbing is no business of ours; what is nearly one of our kinds is a slip."""
    if kind.text == "InferenceModel":
        message = "skipped: InferenceModel has given way to InferenceModelRewrite and InferenceObjective"
        assembly.problems.warning(kind.place, Code.UNKNOWN_KIND, message, "InferenceModelRewrite")
        return
    near = None if kind.text in _STRANGERS else _nearest(kind.text)
    if near is not None:
        message = f"skipped: documents of the kind {shown(kind.text)} are not read here"
        assembly.problems.warning(kind.place, Code.UNKNOWN_KIND, message, near)
        return
    said = f"{shown(kind.text)} of {shown(version.text)}"
    assembly.problems.hint(node.place, Code.FOREIGN_KIND, f"skipped: {said} says nothing about routing")


def _nearest(kind: str) -> str | None:
    if len(kind) > 64:
        return None
    by_small = {known.lower(): known for known in _OWNERS}
    near = get_close_matches(kind.lower(), by_small, n=1, cutoff=_NEAR)
    return by_small[near[0]] if near else None
