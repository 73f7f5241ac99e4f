"""Where the parts of a Mixtrain configuration stand: its own checks name them by position, not by line."""

import re
from collections.abc import Iterator, Sequence

from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode

_PREFIX = re.compile(r"rule\[(\d+)\](?:\.(conditions|targets)\[(\d+)\])?: (.*)", re.DOTALL)
# The key that a check speaks of, by the words it begins with.
_KEYS = {
    "Rule name": "name",
    "Rule priority": "priority",
    "Condition field": "field",
    "Invalid field path": "field",
    "Invalid regex": "value",
    "Operator": "value",
    "Weight": "weight",
    "Timeout": "timeout_ms",
    "Retry count": "retry_count",
    "Endpoint": "endpoint",
    "Field 'provider'": "provider",
    "Field 'model_name'": "model_name",
    "Field 'endpoint'": "endpoint",
}
_DUPLICATE = re.compile(r"Duplicate rule name '(.*)' found", re.DOTALL)


class Places:
    """The nodes of one configuration, found by the keys and positions that lead to them.

    Mutable: where each rule's name stands last, once that was asked.
    """

    def __init__(self, root: Node) -> None:
        self._root = root
        self._last_names: dict[str, Place] | None = None

    def node(self, steps: Sequence[str | int]) -> Node | None:
        """The node at the end of these steps; None where there is none."""
        node: Node | None = self._root
        if isinstance(node, ListNode):  # a bare list of rules
            steps = steps[1:] if steps[:1] == ("rules",) else ("",)
        for step in steps:
            node = _below(node, step)
        return node

    def at(self, steps: Sequence[str | int]) -> Place:
        """The place of the node, or of the nearest one on the way to it."""
        for count in range(len(steps), 0, -1):
            node = self.node(tuple(steps[:count]))
            if node is not None:
                return node.place
        return self._root.place

    def of_message(self, said: str) -> tuple[Place, str]:
        """The place that a check's message names, and the message without its name."""
        found = _PREFIX.fullmatch(said)
        if found is None:
            return self._of_whole(said), said
        steps: list[str | int] = ["rules", int(found[1])]
        if found[2]:
            steps += [found[2], int(found[3])]
        key = next((key for words, key in _KEYS.items() if found[4].startswith(words)), None)
        return self.at([*steps, key] if key else steps), found[4]

    def _of_whole(self, said: str) -> Place:
        duplicate = _DUPLICATE.fullmatch(said)
        if duplicate is None:
            return self.at(("name",))
        if self._last_names is None:
            self._last_names = {node.text: node.place for node in self._rule_names()}
        return self._last_names.get(duplicate[1], self._root.place)

    def _rule_names(self) -> Iterator[ScalarNode]:
        rules = self.node(("rules",))
        for index in range(len(rules.items) if isinstance(rules, ListNode) else 0):
            node = self.node(("rules", index, "name"))
            if isinstance(node, ScalarNode):
                yield node


def _below(node: Node | None, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return node.entries.get(str(step))
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def hidden_texts(node: Node) -> list[str]:
    """The texts that came from variables, the longest first: no message may show one."""
    return sorted(set(_hidden(node)), key=len, reverse=True)


def _hidden(node: Node) -> Iterator[str]:
    match node:
        case ScalarNode():
            if node.hidden and node.text:
                yield node.text
        case ListNode():
            for item in node.items:
                yield from _hidden(item)
        case MappingNode():
            for item in node.entries.values():
                yield from _hidden(item)
