"""YAML text to nodes, composed from the parser's events so that depth, aliases and duplicate keys are in our hands."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import Documents, ListNode, MappingNode, Node, Place, ScalarNode, rebased, shown
from proxy.config.text.scalars import scalar

DEEPEST = 64
# An alias is a copy: nine lines of aliases to aliases can ask for a billion nodes.
MOST_ALIASED = 500_000

_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_CORE_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "map", "seq"))


class _Unreadable(Exception):  # noqa: N818 - it ends the reading of one text and never leaves this module
    """The rest of the text cannot be read; the problem has been collected."""


def yaml_documents(file: str, text: str, variables: Mapping[str, str], problems: Problems) -> Documents:
    """The documents of a text, in order; after a syntax error those before it. Empty documents are left out."""
    documents: list[Node] = []
    complete = False
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        composer = _Composer(file, yaml.parse(text, Loader=loader), variables, problems)
        documents.extend(composer.documents())
        complete = True
    except _Unreadable:
        pass
    except yaml.YAMLError as fault:
        code, place, message = _explained(file, text, fault)
        problems.error(place, code, message)
    except (ValueError, OverflowError) as fault:
        # The parsers let these through for characters that UTF-8 cannot carry and for escapes beyond Unicode.
        problems.error(Place(file), Code.SYNTAX, f"a character that cannot be read ({type(fault).__name__})")
    return Documents(tuple(documents), complete)


class _Composer:
    """Builds the documents of one text. Mutable: the stream of events, the anchors seen, the count of nodes."""

    def __init__(self, file: str, events: Iterator[Any], variables: Mapping[str, str], problems: Problems) -> None:
        self._file = file
        self._events = events
        self._variables = variables
        self._problems = problems
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._aliased = 0

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            self._anchors = {}
            first = next(self._events)
            node = self._node(first, self._place(first, None, ""), 1)
            if not (isinstance(node, ScalarNode) and node.empty):
                yield node

    def _node(self, event: Any, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        if depth > DEEPEST:
            self._stop(place, Code.TOO_DEEP, f"nested more than {DEEPEST} levels deep")
        before = self._count
        self._count += 1
        node = self._content(event, place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _content(self, event: Any, place: Place, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            plain = self._plain(event, place)
            return scalar(place, event.value, plain=plain, variables=self._variables, problems=self._problems)
        if event.tag is not None:
            self._check_tag(event.tag, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return ListNode(place, tuple(self._items(place, depth)))
        return self._mapping(place, depth)

    def _items(self, place: Place, depth: int) -> Iterator[Node]:
        index = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, self._place(event, place, index), depth + 1)
            index += 1

    def _mapping(self, place: Place, depth: int) -> MappingNode:
        entries: dict[str, Node] = {}
        marks: dict[str, tuple[int, int]] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, place)
            following = next(self._events)
            value = self._node(following, self._place(following, place, key), depth + 1)
            if key == "<<" and event.implicit[0]:
                merged.append(value)
            elif key in entries:
                self._duplicate(self._place(event, place, key), key, marks[key][0])
            else:
                entries[key] = value
                marks[key] = (event.start_mark.line + 1, event.start_mark.column + 1)
        for node in merged:
            self._merge(node, place, entries, marks)
        return MappingNode(place, entries, marks)

    def _key(self, event: Any, place: Place) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        here = self._place(event, place, "?")
        if isinstance(event, yaml.AliasEvent):
            self._stop(here, Code.BAD_ALIAS, "a key cannot be an alias; put it in quotes if a text is meant")
        self._stop(
            here, Code.WRONG_TYPE, "a key must be a text, not a list or a mapping; put it in quotes if a text is meant"
        )
        raise AssertionError

    def _merge(self, node: Node, place: Place, entries: dict[str, Node], marks: dict[str, tuple[int, int]]) -> None:
        """What `<<` brings in; the mapping's own keys win, and of several sources the first."""
        for source in node.items if isinstance(node, ListNode) else (node,):
            if not isinstance(source, MappingNode):
                self._problems.error(source.place, Code.WRONG_TYPE, "<< merges a mapping or a list of mappings")
                continue
            for key, value in source.entries.items():
                if key not in entries:
                    entries[key] = rebased(value, Place(self._file, 0, 0, place, key))
                    marks[key] = source.marks[key]

    def _alias(self, event: Any, place: Place) -> Node:
        if event.anchor not in self._anchors:
            message = f"*{event.anchor} refers to no anchor before it; put it in quotes if a text is meant"
            self._stop(place, Code.BAD_ALIAS, message)
        node, size = self._anchors[event.anchor]
        self._aliased += size
        self._count += size
        if self._aliased > MOST_ALIASED:
            self._stop(place, Code.BAD_ALIAS, f"aliases in this file stand for more than {MOST_ALIASED:,} values")
        return rebased(node, place)

    def _plain(self, event: Any, place: Place) -> bool:
        if event.tag is None:
            return bool(event.implicit[0])
        self._check_tag(event.tag, place)
        return event.tag not in _TEXT_TAGS

    def _check_tag(self, tag: str, place: Place) -> None:
        if tag not in _TEXT_TAGS | _CORE_TAGS:
            self._problems.error(place, Code.BAD_TAG, f"the tag {shown(tag)} is not read here; remove it")

    def _duplicate(self, place: Place, key: str, first: int) -> None:
        self._problems.error(place, Code.DUPLICATE_KEY, f"the key {shown(key)} was already given on line {first}")

    def _place(self, event: Any, parent: Place | None, key: str | int) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1, parent, key)

    def _stop(self, place: Place, code: Code, message: str) -> None:
        self._problems.error(place, code, message)
        raise _Unreadable


def _explained(file: str, text: str, fault: yaml.YAMLError) -> tuple[Code, Place, str]:
    """Where the parser stumbled, and why, in words that say what to do."""
    mark = getattr(fault, "problem_mark", None)
    if mark is None:
        reason = getattr(fault, "reason", None) or "a character that YAML does not allow"
        return Code.SYNTAX, Place(file), f"not YAML: {reason}"
    place = Place(file, mark.line + 1, mark.column + 1)
    context = getattr(fault, "context", None) or ""
    problem = getattr(fault, "problem", None) or "it cannot be parsed"
    if "nesting depth" in problem:  # newer parsers have a bound of their own, and scan ahead of ours
        return Code.TOO_DEEP, place, f"nested more than {DEEPEST} levels deep"
    return Code.SYNTAX, place, f"not YAML: {_advice(context, problem, text, mark.index)}"


def _advice(context: str, problem: str, text: str, index: int) -> str:
    if "scanning an alias" in context:
        return "a value that begins with * must be in quotes"
    if "cannot start any token" in problem and (found := text[index : index + 1]):
        if found == "\t":
            return "lines are indented with spaces, not tabs"
        return f"a value cannot begin with {found}; quote it"
    if "mapping values are not allowed" in problem:
        return "a colon is not allowed here; check the indentation, or quote the value"
    if "flow" in context and "${" in text[max(0, index - 1) : index + 1]:
        return "inside { } and [ ], a value with ${…} must be in quotes"
    if "unexpected end of stream" in problem and "quoted scalar" in context:
        return "a quote is opened here and never closed"
    return f"{problem} {context}".strip()
