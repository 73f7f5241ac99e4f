"""The reader of the inventory: endpoints that stand for themselves until a server's selector finds them.

Its form takes in llm-d's endpoint file.
"""

from dataclasses import replace

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import DEFAULT_NAMESPACE
from proxy.config.kubernetes.values import HIGHEST_PORT
from proxy.config.problems import Problems
from proxy.config.spec import InventoryEntry
from proxy.config.text.nodes import ListNode, Node, ScalarNode
from proxy.config.values.addresses import EndpointUrl, endpoint_url, host
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import listed, mismatch, name, text_map, whole

_HEAVIEST = 1_000_000


def read_inventory(node: Node, assembly: Assembly) -> None:
    """Add a list of endpoints to the inventory."""
    if not isinstance(node, ListNode):
        mismatch(node, assembly.problems, "a list of endpoints")
        return
    for item in node.items:
        entry = _read_entry(item, assembly)
        if entry is not None:
            assembly.inventory.append(entry)


def _read_entry(node: Node, assembly: Assembly) -> InventoryEntry | None:
    """An endpoint as its URL alone, or as a mapping; None where it has no address (which has then been told)."""
    if isinstance(node, ScalarNode):
        url = endpoint_url(node, assembly.problems)
        return None if url is None else _at_url(url, InventoryEntry("", origin=node.place.origin()))
    expected = "an endpoint: a URL such as http://10.0.0.11:8000, or a mapping with address, port and labels"
    fields = fields_of(node, assembly.problems, expected)
    if fields is None:
        return None
    with fields:
        found = _read_address(fields)
        _declare(fields, assembly)
        entry = InventoryEntry(
            host="",
            port=fields.get("port", _port),
            weight=fields.get("weight", whole(1, _HEAVIEST), 1),
            namespace=fields.get("namespace", name, DEFAULT_NAMESPACE),
            labels=fields.get("labels", text_map, ()),
            workload=fields.get("workload", name),
            active_ports=fields.get("active_ports", listed(_port)),
            origin=fields.place.origin(),
        )
    if found is None:
        return None
    return _at_url(found, entry) if isinstance(found, tuple) else replace(entry, host=found)


def _read_address(fields: Fields) -> EndpointUrl | str | None:
    """Where it is: a URL, which is complete, or a host alone."""
    fields.exclusive(("url", "address"))
    fields.exclusive(("url", "port"))
    if fields.filled("url") is not None:
        fields.node_of("address")
        return fields.get("url", endpoint_url)
    if fields.filled("address") is None and "address" not in fields.node.entries:
        fields.problems.error(fields.place, Code.MISSING_KEY, "the key 'address' is missing (or 'url' in its place)")
        return None
    return fields.require("address", host)


def _at_url(url: EndpointUrl, entry: InventoryEntry) -> InventoryEntry:
    scheme, found, number, prefix = url
    return replace(entry, scheme=scheme, host=found, port=number, prefix=prefix)


def _port(node: Node, problems: Problems) -> int | None:
    """A port as a number, or as the text that llm-d's endpoint file has."""
    if isinstance(node, ScalarNode) and node.text.isascii() and node.text.isdigit() and len(node.text) <= 5:
        number = int(node.text)
        if 1 <= number <= HIGHEST_PORT:
            return number
    mismatch(node, problems, f"a port from 1 to {HIGHEST_PORT}")
    return None


def _declare(fields: Fields, assembly: Assembly) -> None:
    """A name is given once in a namespace; it is for people alone."""
    found = fields.get("name", name)
    node, other = fields.filled("name"), fields.filled("namespace")
    if found is not None and isinstance(node, ScalarNode):
        namespace = other.text if isinstance(other, ScalarNode) else DEFAULT_NAMESPACE
        hidden = node.hidden or (isinstance(other, ScalarNode) and other.hidden)
        assembly.declare("endpoint", f"{namespace}/{found}", node.place, hidden=hidden)
