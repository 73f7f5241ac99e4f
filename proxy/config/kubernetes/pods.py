"""Pod documents as a part of the inventory: a Pod that is ready is an endpoint for whoever selects it."""

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import declare
from proxy.config.problems import Problems
from proxy.config.spec import InventoryEntry
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described
from proxy.config.values.addresses import host
from proxy.config.values.fields import Fields, fields_of

# The ports of its pool that a Pod serves, where it does not serve them all; the second is the first one's old name.
_ACTIVE_PORTS = ("llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports")
# The ModelInfer or ModelServing that made the Pod.
_WORKLOADS = ("modelinfer.matrixinfer.ai/name", "modelserving.volcano.sh/name")


def read_pod(resource: Resource, assembly: Assembly) -> None:
    """Add a Pod to the inventory, unless it is not there to serve."""
    problems = assembly.problems
    declare(resource.kind, resource.key, resource, assembly)
    node = resource.node.entries.get("status")
    status = None
    if node is not None and not (isinstance(node, ScalarNode) and node.empty):
        status = fields_of(node, problems, "a mapping with podIP", strict=False)
        if status is None:
            return
    idle = _why_idle(resource, status)
    if idle is not None or status is None:
        problems.hint(resource.place, Code.NO_ENDPOINTS, f"this Pod is no endpoint: {idle}")
        return
    address = _read_address(status)
    if address is None:
        return
    labels = dict(resource.labels)
    assembly.inventory.append(
        InventoryEntry(
            host=address,
            namespace=resource.namespace,
            labels=resource.labels,
            workload=next((labels[key] for key in _WORKLOADS if key in labels), None),
            active_ports=_read_active_ports(resource, problems),
            origin=resource.place.origin(),
        )
    )


def _why_idle(resource: Resource, status: Fields | None) -> str | None:
    """Why a Pod gets no requests; None where nothing speaks against it."""
    metadata = resource.node.entries.get("metadata")
    if isinstance(metadata, MappingNode) and _is_filled(metadata.entries.get("deletionTimestamp")):
        return "it is being deleted"
    if status is None:
        return "it has no podIP yet"
    phase = status.filled("phase")
    if phase is not None and not (isinstance(phase, ScalarNode) and phase.text == "Running"):
        return f"its phase is {described(phase)}"
    if not _is_ready(status.filled("conditions")):
        return "it is not ready"
    return None if _address_node(status) is not None else "it has no podIP yet"


def _is_filled(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, ScalarNode) and node.empty)


def _is_ready(conditions: Node | None) -> bool:
    """Whether no condition says that it is not: a Pod written by hand may have none."""
    for item in conditions.items if isinstance(conditions, ListNode) else ():
        words = item.entries if isinstance(item, MappingNode) else {}
        kind, status = words.get("type"), words.get("status")
        if isinstance(kind, ScalarNode) and isinstance(status, ScalarNode) and kind.text == "Ready":
            return status.text.lower() == "true"
    return True


def _address_node(status: Fields) -> Node | None:
    """Where its address stands: podIP, or the first of podIPs, which are the same in two forms."""
    written = status.filled("podIP")
    several = status.filled("podIPs")
    if _has_text(written) or not isinstance(several, ListNode):
        return written if _has_text(written) else None
    for item in several.items:
        if isinstance(item, MappingNode) and _has_text(found := item.entries.get("ip")):
            return found
    return None


def _has_text(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, ScalarNode) and not node.text)


def _read_address(status: Fields) -> str | None:
    node = _address_node(status)
    return None if node is None else host(node, status.problems)


def _read_active_ports(resource: Resource, problems: Problems) -> tuple[int, ...] | None:
    written = next((resource.annotations[key] for key in _ACTIVE_PORTS if key in resource.annotations), None)
    if written is None:
        return None
    words = [word.strip() for word in written.text.split(",")]
    if not all(_is_port(word) for word in words if word):
        message = f"expected ports such as 8000,8001, found {described(written)}: what is no port is left out"
        problems.warning(written.place, Code.BAD_VALUE, message)
    return tuple(int(word) for word in words if _is_port(word))


def _is_port(word: str) -> bool:
    return len(word) <= 5 and word.isascii() and word.isdigit() and 1 <= int(word) <= 65_535
