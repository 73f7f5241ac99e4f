"""Where selectors and the inventory miss each other: servers without endpoints, and endpoints without a server."""

from collections.abc import Iterable, Sequence

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.selection import Inventory
from proxy.config.spec import InventoryEntry, ModelServer, Origin, Selector
from proxy.config.values.kinds import alternatives

# As many names as a person reads in a line.
_MOST_NAMES = 5
# Whoever has more selectors without endpoints than this has one cause for all of them.
_MOST_EXPLAINED = 100


def check_endpoints(servers: Iterable[ModelServer], inventory: Inventory, problems: Problems) -> None:
    """Tell of selectors that find nothing, and why."""
    explained = 0
    for server in servers:
        if server.selector is None or server.endpoints:
            continue
        explained += 1
        wanted = described_selector(server.selector, problems)
        message = f"no endpoint is found for {problems.said(server.name)}, which looks for {wanted}"
        near = None
        if explained <= _MOST_EXPLAINED:
            reason, near = _Search(server.selector, inventory, problems).explained()
            message = f"{message}: {reason}"
        problems.warning(server.origin, Code.NO_ENDPOINTS, f"{message}; until there is one, its requests get 503", near)


def check_selected(inventory: Inventory, problems: Problems) -> None:
    """Tell of entries that no server selects: once a file, as a listing of a cluster holds many."""
    left: dict[str, list[Origin]] = {}
    for index, entry in enumerate(inventory.entries):
        if index not in inventory.selected:
            left.setdefault(entry.origin.file, []).append(entry.origin)
    for first, *others in left.values():
        more = f", nor {len(others)} more of this file" if others else ""
        problems.hint(first, Code.WITHOUT_EFFECT, f"no server selects this endpoint{more}")


def described_selector(selector: Selector, problems: Problems) -> str:
    """What a selector looks for, in words."""
    labels = [_label(key, value, problems) for key, value in selector.labels]
    wanted = [] if selector.workload is None else [f"the workload {problems.said(selector.workload)}"]
    if labels:
        wanted.append(f"the label{'s' if len(labels) > 1 else ''} {' and '.join(labels)}")
    what = " with ".join(wanted) or "any endpoint"
    return f"{what} in the namespace {problems.said(selector.namespace)}"


def _label(key: str, value: str, problems: Problems) -> str:
    return f"{key}={problems.said(value)}"


class _Search:
    """Why a selector finds nothing, as a reason and a text that may have been meant. Mutable for nobody."""

    def __init__(self, selector: Selector, inventory: Inventory, problems: Problems) -> None:
        self._selector = selector
        self._inventory = inventory
        self._problems = problems
        self._entries = inventory.within(selector.namespace)

    def explained(self) -> tuple[str, str | None]:
        """The first thing that is amiss, from the widest to the narrowest."""
        if not self._inventory.entries:
            return "no file lists any endpoint or Pod", None
        if not self._entries:
            return self._no_namespace()
        if (found := self._inventory.matching(self._selector)) or not self._wants_something():
            return self._no_port(found)
        if self._selector.workload is not None and (missing := self._no_workload(self._selector.workload)):
            return missing
        for key, value in self._selector.labels:
            if (missing := self._no_label(key, value)) is not None:
                return missing
        return "there are endpoints with each of them, but none with all", None

    def _wants_something(self) -> bool:
        return bool(self._selector.labels) or self._selector.workload is not None

    def _no_namespace(self) -> tuple[str, str | None]:
        known = self._inventory.namespaces()
        return f"the endpoints that are known are in {self._names(known)}", self._near(self._selector.namespace, known)

    def _no_port(self, found: Sequence[InventoryEntry]) -> tuple[str, str | None]:
        what = "there is such an endpoint" if len(found) == 1 else f"there are {len(found)} such endpoints"
        if self._selector.ports:
            return f"{what}, but none serves any of the ports that are asked for", None
        return f"{what}, but neither an endpoint nor the selector says a port", None

    def _no_workload(self, wanted: str) -> tuple[str, str | None] | None:
        known = list(dict.fromkeys(entry.workload for entry in self._entries if entry.workload is not None))
        if wanted in known:
            return None
        there = f"the workloads there are {self._names(known)}" if known else "no endpoint there names its workload"
        return there, self._near(wanted, known)

    def _no_label(self, key: str, value: str) -> tuple[str, str | None] | None:
        """A label that no entry has: its name is unknown, or its value."""
        labels = dict.fromkeys(label for entry in self._entries for label in entry.labels)
        if (key, value) in labels:
            return None
        values = [found for name, found in labels if name == key]
        if values:
            return f"the values of {key} there are {self._names(values)}", self._near(value, values)
        keys = list(dict.fromkeys(name for name, _ in labels))
        there = f"the labels there are {self._names(keys)}" if keys else "no endpoint there has any label"
        return there, self._near(key, keys)

    def _names(self, names: Sequence[str]) -> str:
        shown = [self._problems.said(name) for name in names[:_MOST_NAMES]]
        if len(names) > _MOST_NAMES:
            shown.append(f"{len(names) - _MOST_NAMES} more")
        return alternatives(shown).replace(" or ", " and ")

    def _near(self, word: str, known: Sequence[str]) -> str | None:
        near = self._problems.suggest(word, known)
        return None if near is None or near not in known or self._problems.veiled(near) else near
