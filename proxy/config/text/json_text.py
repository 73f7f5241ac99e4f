"""JSON text to nodes that keep line and column, as those of the standard library do not."""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import Documents, ListNode, MappingNode, Node, Place, shown
from proxy.config.text.scalars import scalar
from proxy.config.text.yaml_text import DEEPEST

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?")
_WORD = re.compile(r"true|false|null")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Unreadable(Exception):  # noqa: N818 - it ends the reading of one text and never leaves this module
    """The text is no JSON from `index` on."""

    def __init__(self, index: int, message: str, code: Code = Code.SYNTAX) -> None:
        super().__init__(message)
        self.index = index
        self.message = message
        self.code = code


def json_documents(file: str, text: str, variables: Mapping[str, str], problems: Problems) -> Documents:
    """The one document of a text, or none where the text is empty or is no JSON."""
    if not text.strip():
        return Documents((), complete=True)
    reading = _Reading(file, text, variables, problems)
    try:
        return Documents((reading.document(),), complete=True)
    except _Unreadable as fault:
        place = reading.place(fault.index, None, "")
        message = fault.message if fault.code is not Code.SYNTAX else f"not JSON: {fault.message}"
        problems.error(place, fault.code, message)
        return Documents((), complete=False)


class _Reading:
    """One pass over a text. Mutable: the index that it has come to."""

    def __init__(self, file: str, text: str, variables: Mapping[str, str], problems: Problems) -> None:
        self._file = file
        self._text = text
        self._variables = variables
        self._problems = problems
        self._index = 0
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, index: int, parent: Place | None, key: str | int) -> Place:
        line = bisect_right(self._lines, index)
        return Place(self._file, line, index - self._lines[line - 1] + 1, parent, key)

    def document(self) -> Node:
        node = self._value(None, "", 1)
        if self._peek():
            raise _Unreadable(self._index, "something follows the end of the document")
        return node

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        found = _SPACE.match(self._text, self._index)
        self._index = found.end() if found else self._index
        return self._text[self._index : self._index + 1]

    def _value(self, parent: Place | None, key: str | int, depth: int) -> Node:
        first = self._peek()
        place = self.place(self._index, parent, key)
        if depth > DEEPEST:
            raise _Unreadable(self._index, f"nested more than {DEEPEST} levels deep", Code.TOO_DEEP)
        if first == "{":
            return self._mapping(place, depth)
        if first == "[":
            return self._list(place, depth)
        if first == '"':
            return scalar(place, self._string(), plain=False, variables=self._variables, problems=self._problems)
        found = _WORD.match(self._text, self._index) or _NUMBER.match(self._text, self._index)
        if found is None:
            raise _Unreadable(self._index, _instead_of_a_value(first))
        self._index = found.end()
        return scalar(place, found[0], plain=True, variables=self._variables, problems=self._problems)

    def _list(self, place: Place, depth: int) -> ListNode:
        items: list[Node] = []
        self._index += 1
        if self._peek() == "]":
            self._index += 1
            return ListNode(place, ())
        while True:
            items.append(self._value(place, len(items), depth + 1))
            if self._ends("]"):
                return ListNode(place, tuple(items))

    def _mapping(self, place: Place, depth: int) -> MappingNode:
        entries: dict[str, Node] = {}
        marks: dict[str, tuple[int, int]] = {}
        self._index += 1
        if self._peek() == "}":
            self._index += 1
            return MappingNode(place, entries, marks)
        while True:
            self._entry(place, depth, entries, marks)
            if self._ends("}"):
                return MappingNode(place, entries, marks)

    def _entry(self, parent: Place, depth: int, entries: dict[str, Node], marks: dict[str, tuple[int, int]]) -> None:
        if (first := self._peek()) != '"':
            raise _Unreadable(
                self._index, "a surplus comma before }" if first == "}" else "a key in double quotes is missing"
            )
        at = self.place(self._index, parent, "")
        key = self._string()
        if self._peek() != ":":
            raise _Unreadable(self._index, f"a colon is missing after the key {shown(key)}")
        self._index += 1
        value = self._value(parent, key, depth + 1)
        if key in entries:
            place = Place(at.file, at.line, at.column, parent, key)
            message = f"the key {shown(key)} was already given on line {marks[key][0]}"
            self._problems.error(place, Code.DUPLICATE_KEY, message)
            return
        entries[key] = value
        marks[key] = (at.line, at.column)

    def _ends(self, closing: str) -> bool:
        """Past a comma (false) or past the closing bracket (true)."""
        found = self._peek()
        if found not in {",", closing} or not found:
            raise _Unreadable(self._index, f"a comma or {closing} is missing")
        self._index += 1
        return found == closing

    def _string(self) -> str:
        found = _STRING.match(self._text, self._index)
        if found is None:
            raise _Unreadable(self._index, "a text that is not closed, or holds a wrong escape or a control character")
        text = str(json.loads(found[0])) if "\\" in found[0] else found[0][1:-1]
        if _SURROGATE.search(text):
            raise _Unreadable(self._index, "a text with half of a surrogate pair")
        self._index = found.end()
        return text


def _instead_of_a_value(first: str) -> str:
    if not first:
        return "it ends before it is complete"
    return f"a surplus comma before {first}" if first in "]}" else "a value is missing or is not one of JSON's"
