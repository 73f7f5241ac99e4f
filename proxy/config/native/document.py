"""The reader of the native form: `servers` by name, `routes` with their rules, and an inventory of `endpoints`."""

from proxy.config.assembly import Assembly
from proxy.config.native.inventory import read_inventory
from proxy.config.native.routes import read_routes
from proxy.config.native.servers import read_servers
from proxy.config.text.nodes import MappingNode
from proxy.config.values.fields import Fields

KEYS = frozenset({"servers", "routes", "endpoints"})


def read_native(node: MappingNode, assembly: Assembly) -> None:
    """Add a document's servers, routes and endpoints to the assembly."""
    with Fields(node, assembly.problems) as fields:
        servers = fields.filled("servers")
        routes = fields.filled("routes")
        endpoints = fields.filled("endpoints")
    if servers is not None:
        read_servers(servers, assembly)
    if routes is not None:
        read_routes(routes, assembly)
    if endpoints is not None:
        read_inventory(endpoints, assembly)
