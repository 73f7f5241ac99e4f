"""Endpoints for servers that choose them from the inventory, by labels or by workload."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from proxy.config.spec import EndpointSpec, InventoryEntry, ModelServer, Selector

_NONE: list[int] = []


class Inventory:
    """The entries of all files, found by what selectors ask for: with thousands of both, not every server looks at
    every entry. Mutable: which entries have been selected so far."""

    def __init__(self, entries: Sequence[InventoryEntry]) -> None:
        self.entries = entries
        self.selected: set[int] = set()
        self._labels = [frozenset(entry.labels) for entry in entries]
        self._by_namespace: dict[str, list[int]] = defaultdict(list)
        self._by_workload: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._by_label: dict[tuple[str, tuple[str, str]], list[int]] = defaultdict(list)
        for index, entry in enumerate(entries):
            self._by_namespace[entry.namespace].append(index)
            if entry.workload is not None:
                self._by_workload[entry.namespace, entry.workload].append(index)
            for label in self._labels[index]:
                self._by_label[entry.namespace, label].append(index)

    def namespaces(self) -> list[str]:
        """Every namespace that has entries."""
        return list(self._by_namespace)

    def within(self, namespace: str) -> list[InventoryEntry]:
        """The entries of a namespace, in the order of the files."""
        return [self.entries[index] for index in self._by_namespace.get(namespace, _NONE)]

    def matching(self, selector: Selector) -> list[InventoryEntry]:
        """The entries that a selector finds, whatever their ports, in the order of the files."""
        return [self.entries[index] for index in self._indices(selector)]

    def select(self, selector: Selector) -> tuple[EndpointSpec, ...]:
        """The endpoints that a selector finds, each address once. Their entries count as selected."""
        found: dict[str, EndpointSpec] = {}
        for index in self._indices(selector):
            self.selected.add(index)
            for endpoint in _endpoints(self.entries[index], selector):
                found.setdefault(endpoint.address, endpoint)
        return tuple(found.values())

    def complete(self, server: ModelServer) -> ModelServer:
        """The server with the endpoints that its selector finds behind those that it lists."""
        if server.selector is None:
            return server
        listed = {endpoint.address for endpoint in server.endpoints}
        more = tuple(endpoint for endpoint in self.select(server.selector) if endpoint.address not in listed)
        return replace(server, endpoints=server.endpoints + more)

    def _indices(self, selector: Selector) -> list[int]:
        namespace = selector.namespace
        candidates = [self._by_label.get((namespace, label), _NONE) for label in selector.labels]
        if selector.workload is not None:
            candidates.append(self._by_workload.get((namespace, selector.workload), _NONE))
        fewest = min(candidates, key=len, default=self._by_namespace.get(namespace, _NONE))
        wanted = frozenset(selector.labels)
        return [
            index
            for index in fewest
            if wanted <= self._labels[index]
            and (selector.workload is None or selector.workload == self.entries[index].workload)
        ]


def _endpoints(entry: InventoryEntry, selector: Selector) -> list[EndpointSpec]:
    """One endpoint on the entry's own port, else one on each port of the selector that the entry serves."""
    if entry.port is not None:
        ports: tuple[int, ...] = (entry.port,)
    elif entry.active_ports is not None:
        ports = tuple(port for port in selector.ports if port in entry.active_ports)
    else:
        ports = selector.ports
    scheme = entry.scheme or selector.scheme
    return [EndpointSpec(scheme, entry.host, port, entry.prefix, entry.weight, entry.labels) for port in ports]
