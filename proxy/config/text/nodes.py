"""The tree that a document is parsed into: every key and value knows its file, line, column and path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config.spec import Origin

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_/-]+")
_SHOWN = 48


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands. Lines and columns count from 1; line 0 is the whole file. `key` is its name in `parent`."""

    file: str
    line: int = 0
    column: int = 0
    parent: "Place | None" = None
    key: str | int = ""

    @property
    def path(self) -> str:
        """The place in the document, such as `routes[0].rules[1].targets[0].server`."""
        steps: list[str] = []
        place: Place | None = self
        while place is not None and place.parent is not None:
            steps.append(_step(place.key))
            place = place.parent
        return "".join(reversed(steps)).removeprefix(".")

    def origin(self) -> Origin:
        """The same place, for what is made of the node."""
        return Origin(self.file, self.line, self.column, self.path)


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{shown(key)}]"


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value: `text` as written, `value` as the schema reads it.

    `hidden` says that some of it came from a variable: then it may be a secret, and is never shown.
    """

    place: Place
    text: str
    value: str | int | float | bool | None
    hidden: bool = False
    # Its variables could not be expanded. That has been told, so nothing more is said of it.
    faulty: bool = False

    @property
    def empty(self) -> bool:
        """Nothing, or null, was written."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of nodes."""

    place: Place
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Nodes by key, in the file's order. `marks` holds line and column of each key."""

    place: Place
    entries: "Mapping[str, Node]"
    marks: Mapping[str, tuple[int, int]]

    def key_place(self, key: str) -> Place:
        """Where the key itself stands, before its value."""
        line, column = self.marks[key]
        return Place(self.place.file, line, column, self.place, key)


Node = ScalarNode | ListNode | MappingNode
JsonValue = str | int | float | bool | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a text that hold something. `complete`: the text could be read to its end."""

    nodes: tuple[Node, ...]
    complete: bool


def shown(text: str) -> str:
    """A text in quotes, cut where it is long, with what is not printable spelled out."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return repr(cut)


def described(node: Node) -> str:
    """What was found instead of what was expected; never a value that came from a variable."""
    match node:
        case ListNode():
            return "a list" if node.items else "an empty list"
        case MappingNode():
            return "a mapping" if node.entries else "an empty mapping"
        case ScalarNode(hidden=True):
            return "a value that comes from a variable"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool()):
            return node.text
        case ScalarNode(value=int() | float()):
            return f"the number {node.text}"
        case _:
            return shown(node.text)


def quoted(node: ScalarNode) -> str:
    """A scalar's text in quotes, or a stand-in where it came from a variable."""
    return "'…' (from a variable)" if node.hidden else shown(node.text)


def plain(node: Node) -> JsonValue:
    """What a node says, without its places."""
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [plain(item) for item in node.items]
        case MappingNode():
            return {key: plain(item) for key, item in node.entries.items()}


def rebased(node: Node, place: Place) -> Node:
    """The same content at another path, as an alias or a merge puts it there; its lines and columns stay."""
    here = Place(node.place.file, node.place.line, node.place.column, place.parent, place.key)
    match node:
        case ScalarNode():
            return ScalarNode(here, node.text, node.value, node.hidden, node.faulty)
        case ListNode():
            return ListNode(here, tuple(rebased(item, _below(here, i)) for i, item in enumerate(node.items)))
        case MappingNode():
            entries = {key: rebased(item, _below(here, key)) for key, item in node.entries.items()}
            return MappingNode(here, entries, node.marks)


def _below(parent: Place, key: str | int) -> Place:
    return Place(parent.file, 0, 0, parent, key)
