"""The toolkit of all readers: the fields of a mapping, read by name and kind, with every slip told at its place."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, overload

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import MappingNode, Node, Place, ScalarNode, described, shown
from proxy.config.values.kinds import Kind

T = TypeVar("T")


def fields_of(node: Node, problems: Problems, expected: str, *, strict: bool = True) -> "Fields | None":
    """The fields of a mapping; anything else is a problem, told as "expected …, found a list"."""
    if isinstance(node, MappingNode):
        return Fields(node, problems, strict=strict)
    problems.error(node.place, Code.WRONG_TYPE, f"expected {expected}, found {described(node)}")
    return None


class Fields:
    """The fields of one mapping. Mutable: the names asked for, so that leaving its `with` block tells of all others.

    A stranger among them is an error, and a warning where it is not `strict`: what a newer version of another system
    has added keeps nobody from serving the rest.
    """

    def __init__(self, node: MappingNode, problems: Problems, *, strict: bool = True) -> None:
        self.node = node
        self.problems = problems
        self.strict = strict
        self._asked: set[str] = set()

    @property
    def place(self) -> Place:
        return self.node.place

    def node_of(self, name: str) -> Node | None:
        """The value's node, even where it is null; None where the key is absent."""
        self._asked.add(name)
        return self.node.entries.get(name)

    def filled(self, name: str) -> Node | None:
        """The value's node; None where the key is absent, has no value, or holds a variable that is not set."""
        node = self.node_of(name)
        return None if isinstance(node, ScalarNode) and (node.empty or node.faulty) else node

    @overload
    def get(self, name: str, kind: Kind[T]) -> T | None: ...
    @overload
    def get(self, name: str, kind: Kind[T], default: T) -> T: ...
    def get(self, name: str, kind: Kind[T], default: T | None = None) -> T | None:
        """A field's value; the default where it is absent, null or wrong (which has then been told)."""
        node = self.filled(name)
        if node is None:
            return default
        value = kind(node, self.problems)
        return default if value is None else value

    def require(self, name: str, kind: Kind[T]) -> T | None:
        """A field that must be there; None where it is missing or wrong (which has then been told)."""
        return self.get(name, kind) if self.required(name) else None

    def required(self, name: str) -> Node | None:
        """The node of a field that must be there."""
        node = self.filled(name)
        written = self.node.entries.get(name)
        if isinstance(written, ScalarNode) and written.faulty:
            return None
        if node is None and written is not None:
            self.problems.error(self.node.key_place(name), Code.MISSING_KEY, f"the key {shown(name)} has no value")
        elif node is None:
            self.problems.error(self.place, Code.MISSING_KEY, f"the key {shown(name)} is missing")
        return node

    def exclusive(self, names: Iterable[str]) -> None:
        """At most one of these may be given."""
        given = [name for name in names if name in self.node.entries]
        if len(given) > 1:
            message = f"give one of {' and '.join(given)}, not several"
            self.problems.error(self.node.key_place(given[1]), Code.CONFLICTING_KEYS, message)

    def warn_of_empty(self, names: Iterable[str]) -> None:
        """Tell of each of these that stands without a value, as where the lines below it were commented out."""
        for name in names:
            if self.stands_empty(name):
                message = f"{shown(name)} has no value, so it is without effect: give it one, or leave the key out"
                self.problems.warning(self.node.key_place(name), Code.WITHOUT_EFFECT, message)

    def stands_empty(self, name: str) -> bool:
        """The key is there, and has no value. One with a variable that is not set has been told of."""
        node = self.node_of(name)
        return isinstance(node, ScalarNode) and node.empty and not node.faulty

    def rest(self) -> list[tuple[str, Node]]:
        """All entries not yet asked for, now asked for: for mappings whose keys are free."""
        left = [(key, node) for key, node in self.node.entries.items() if key not in self._asked]
        self._asked.update(key for key, _ in left)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self.node.entries.keys() <= self._asked:
            self._tell_unknown()

    def _tell_unknown(self) -> None:
        for key in self.node.entries:
            if key not in self._asked:
                near = self.problems.suggest(key, sorted(self._asked - self.node.entries.keys()) or sorted(self._asked))
                known = f"; known are {', '.join(sorted(self._asked))}" if near is None else ""
                message = f"unknown key {shown(key)}{known}"
                tell = self.problems.error if self.strict else self.problems.warning
                tell(self.node.key_place(key), Code.UNKNOWN_KEY, message, near)
