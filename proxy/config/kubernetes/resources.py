"""What all Kubernetes resources have in common: their kind, their metadata and their spec."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from proxy.config.assembly import Age
from proxy.config.codes import Code
from proxy.config.filed import FiledResource
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import mismatch, name, text, text_map

DEFAULT_NAMESPACE = "default"
# What the API server keeps beside, and a dump of it shows.
_PLUMBING = (
    "uid",
    "resourceVersion",
    "generation",
    "generateName",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)

# Kthena's group, and that of MatrixInfer, as which it began.
MODEL_GROUPS = frozenset({"networking.serving.volcano.sh", "networking.matrixinfer.ai"})
POOL_GROUP = "inference.networking.k8s.io"
# The second one is where pools were before they were stable.
POOL_GROUPS = frozenset({POOL_GROUP, "inference.networking.x-k8s.io"})
# Rewrites and objectives moved to llm-d.ai; the pools' own group is a slip of documents that people copy.
INFERENCE_GROUPS = POOL_GROUPS | {"llm-d.ai"}

# What stands in the place of values where a document defines a resource's form, as reference pages do.
_TYPE_WORDS = frozenset({"string", "boolean", "int32", "int64", "integer", "number", "object", "array", "float"})


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as filed. `place` is its name's; `spec` is None where it has none (which has then been told, unless
    its kind needs none)."""

    group: str
    kind: str
    name: str
    namespace: str
    age: Age
    labels: tuple[tuple[str, str], ...]
    annotations: Mapping[str, ScalarNode]
    place: Place
    spec: MappingNode | None
    node: MappingNode

    @property
    def key(self) -> str:
        """How others call it: "namespace/name"."""
        return f"{self.namespace}/{self.name}"


def _namespace(metadata: Fields) -> str:
    """The namespace; an empty one is none, as templates write it."""
    node = metadata.node_of("namespace")
    if isinstance(node, ScalarNode) and node.value == "":
        return DEFAULT_NAMESPACE
    return metadata.get("namespace", name, DEFAULT_NAMESPACE)


def read_resource(node: MappingNode, problems: Problems, *, needs_spec: bool = True) -> Resource | None:
    """A document's metadata; None where it has no name (which has then been told)."""
    with Fields(node, problems, strict=False) as fields:
        version = fields.get("apiVersion", text) or ""
        kind = fields.get("kind", text) or ""
        metadata_node = fields.required("metadata")
        spec = fields.filled("spec")
        fields.node_of("status")
    if metadata_node is None:
        return None
    metadata = fields_of(metadata_node, problems, "a mapping with name and namespace", strict=False)
    if metadata is None:
        return None
    with metadata:
        found = metadata.require("name", name)
        namespace = _namespace(metadata)
        created = metadata.get("creationTimestamp", timestamp)
        labels = metadata.get("labels", text_map) or ()
        annotations = metadata.get("annotations", _annotations) or {}
        for key in _PLUMBING:
            metadata.node_of(key)
    if found is None:
        return None
    if spec is not None and not isinstance(spec, MappingNode):
        mismatch(spec, problems, "a mapping")
    elif spec is None and needs_spec:
        fields.required("spec")
    return Resource(
        group=version.rpartition("/")[0],
        kind=kind,
        name=found,
        namespace=namespace,
        age=Age(created, f"{namespace}/{found}"),
        labels=labels,
        annotations=annotations,
        place=metadata.node.entries["name"].place,
        spec=spec if isinstance(spec, MappingNode) else None,
        node=node,
    )


def filed(resource: Resource) -> FiledResource:
    """What a resource calls itself."""
    version, generation = resource.node.entries.get("apiVersion"), _generation(resource.node)
    return FiledResource(
        api_version=version.text if isinstance(version, ScalarNode) else "",
        kind=resource.kind,
        namespace=resource.namespace,
        name=resource.name,
        origin=resource.place.origin(),
        generation=generation,
        created=resource.age.created,
    )


def _generation(node: MappingNode) -> int | None:
    """Which edit of it this is, as the API server counts them in a dump."""
    metadata = node.entries.get("metadata")
    counted = metadata.entries.get("generation") if isinstance(metadata, MappingNode) else None
    value = counted.value if isinstance(counted, ScalarNode) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def timestamp(node: Node, problems: Problems) -> float | None:
    """Unix seconds of a time such as 2026-11-20T13:37:38Z (RFC 3339)."""
    try:
        moment = datetime.fromisoformat(node.text if isinstance(node, ScalarNode) else "")
        seconds = moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None:
        problems.error(node.place, Code.BAD_VALUE, "expected a time such as 2026-11-20T13:37:38Z")
    return seconds


def _annotations(node: Node, problems: Problems) -> Mapping[str, ScalarNode] | None:
    """Annotations as they stand: most are other programs' notes to themselves, some of them whole documents."""
    if not isinstance(node, MappingNode):
        mismatch(node, problems, "a mapping of texts")
        return None
    return {key: item for key, item in node.entries.items() if isinstance(item, ScalarNode) and not item.faulty}


def is_definition(node: MappingNode) -> bool:
    """The document defines a kind instead of being one of it: types stand wherever values would."""
    spec = node.entries.get("spec")
    words = iter(()) if spec is None else _scalars(spec)
    first = next(words, None)
    return first is not None and first.text in _TYPE_WORDS and all(word.text in _TYPE_WORDS for word in words)


def _scalars(node: Node) -> Iterator[ScalarNode]:
    match node:
        case ScalarNode():
            yield node
        case ListNode():
            for item in node.items:
                yield from _scalars(item)
        case MappingNode():
            for item in node.entries.values():
                yield from _scalars(item)
