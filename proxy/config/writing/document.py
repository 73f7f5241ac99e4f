"""A configuration as native YAML: what was read, from files of whatever kind, in the words of one kind."""

from proxy.config.spec import Config
from proxy.config.writing.routes import routes_tree
from proxy.config.writing.servers import inventory_tree, servers_tree
from proxy.config.writing.yaml_text import Tree, document


def write_native(config: Config) -> str:
    """A text that is read as the same configuration again, but for the places in files. Paths in it are absolute."""
    parts: dict[str, Tree] = {}
    if config.servers:
        parts["servers"] = servers_tree(config.servers, config.inventory)
    if config.routes:
        parts["routes"] = routes_tree(config.routes)
    if config.inventory:
        parts["endpoints"] = inventory_tree(config.inventory)
    return document(parts)
