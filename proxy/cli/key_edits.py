"""Changes of a key file's text: a key goes in or out as a block of lines, and all the rest stays as it was written."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.access.key_file import VERSION
from proxy.config.problems import Problems
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import JsonValue, ListNode, MappingNode, plain
from proxy.config.text.scalars import resolved
from proxy.errors import PenstockError

NEW_FILE = f"""\
# Who may call. A key stands here by its SHA-256 alone: penstock keys create|list|revoke.
version: {VERSION}
keys: []
"""
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:/@*-]*[A-Za-z0-9_./@*-])?")
_DASH = re.compile(r"( *)-(?: |$)")
_EMPTY_LIST = re.compile(r"keys:[ \t]*\[[ \t]*\](?=\s*(?:#|$))")
_NO_LIST = re.compile(r"keys:(?=\s*(?:#|$))")

Entry = Mapping[str, JsonValue]


class EditError(PenstockError):
    """A file whose layout leaves no safe place for a change; the message says what to do."""


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key file's text, sound as it is, and what it says."""

    file: str
    text: str
    document: MappingNode
    keys: tuple[JsonValue, ...]

    @property
    def json(self) -> bool:
        return self.file.endswith(".json")


def parse(file: str, text: str) -> KeyText:
    """Read a text without errors; variables stay as they are written. Raises EditError for any other text."""
    problems = Problems()
    nodes = parse_documents(file, text.replace("${", "$${"), {}, problems).nodes
    document = nodes[0] if len(nodes) == 1 else None
    if problems.failed or not isinstance(document, MappingNode):
        raise EditError("it cannot be read as one mapping")
    keys = document.entries.get("keys")
    return KeyText(
        file, text, document, tuple(plain(item) for item in keys.items) if isinstance(keys, ListNode) else ()
    )


def with_key(before: KeyText, entry: Entry) -> str:
    """The text with one key more, at the end of the list if it can be, else at its beginning. Raises EditError."""
    if before.json:
        return _as_json(before, [*_json_keys(before), dict(entry)])
    wanted = _said([*before.keys, dict(entry)])
    for attempt in (_appended, _put_first):
        text = attempt(before, entry)
        if text is not None and _keeps(before, text, wanted):
            return text
    raise EditError("the keys in it do not stand in lines of their own: bring them into the form of a YAML list first")


def without_key(before: KeyText, name: str) -> str:
    """The text without the key of this name, which is there. Raises EditError."""
    place = next(i for i, key in enumerate(before.keys) if isinstance(key, dict) and key.get("name") == name)
    if before.json:
        left = _json_keys(before)
        del left[place]
        return _as_json(before, left)
    text = _cut(before, place)
    if text is None or not _keeps(before, text, _said([*before.keys[:place], *before.keys[place + 1 :]])):
        raise EditError("this key does not stand in lines of its own: take it out by hand")
    return text


def _keeps(before: KeyText, text: str, wanted: list[str]) -> bool:
    """The text has these keys in any order, and says otherwise the same as before."""
    try:
        after = parse(before.file, text)
    except EditError:
        return False
    if not isinstance(after.document.entries.get("keys"), ListNode):
        return False
    return _said(list(after.keys)) == wanted and _beside(after.document) == _beside(before.document)


def _said(keys: list[JsonValue]) -> list[str]:
    return sorted(json.dumps(key, sort_keys=True) for key in keys)


def _beside(document: MappingNode) -> dict[str, JsonValue]:
    return {key: plain(node) for key, node in document.entries.items() if key != "keys"}


# --- YAML, by lines ---------------------------------------------------------------------------------------------------


def _appended(before: KeyText, entry: Entry) -> str | None:
    """Behind the last line, where the list of keys reaches to the file's end."""
    indent = _indent(before)
    if indent is None:
        return None
    text = before.text if before.text.endswith("\n") else before.text + "\n"
    return text + _block(entry, indent)


def _put_first(before: KeyText, entry: Entry) -> str | None:
    """Below the line `keys:`, in place of an empty list."""
    lines = before.text.splitlines(keepends=True)
    line = before.document.marks.get("keys", (0, 0))[0] - 1
    if line < 0:
        return None
    opened = _EMPTY_LIST.sub("keys:", lines[line])
    indent = _indent(before)
    head = opened if opened.endswith("\n") else opened + "\n"
    return "".join([*lines[:line], head, _block(entry, "  " if indent is None else indent), *lines[line + 1 :]])


def _cut(before: KeyText, place: int) -> str | None:
    lines = before.text.splitlines(keepends=True)
    span = _span(before, lines, place)
    if span is None:
        return None
    left = [*lines[: span[0]], *lines[span[1] :]]
    if len(before.keys) == 1:
        line = before.document.marks["keys"][0] - 1
        left[line] = _NO_LIST.sub("keys: []", left[line])
    return "".join(left)


def _span(before: KeyText, lines: list[str], place: int) -> tuple[int, int] | None:
    """The first line of a key and the one behind its last. Comments between keys belong to the one below them."""
    first = _first_line(before, lines, place)
    if first is None:
        return None
    indent = len(lines[first]) - len(lines[first].lstrip(" "))
    last = first
    for i in range(first + 1, len(lines)):
        content = lines[i].strip()
        depth = len(lines[i]) - len(lines[i].lstrip(" "))
        if content and depth <= indent and not content.startswith("#"):
            break
        if content and depth > indent:
            last = i
    return first, last + 1


def _first_line(before: KeyText, lines: list[str], place: int) -> int | None:
    """Where the dash of a key is: on the line of its first field, or above it."""
    keys = before.document.entries.get("keys")
    if not isinstance(keys, ListNode):
        return None
    line = keys.items[place].place.line - 1
    while line >= 0 and not _DASH.match(lines[line]):
        line -= 1
    return line if line >= 0 else None


def _indent(before: KeyText) -> str | None:
    """What stands before the dashes of the list; None where there is none."""
    if not before.keys:
        return None
    lines = before.text.splitlines(keepends=True)
    line = _first_line(before, lines, 0)
    found = None if line is None else _DASH.match(lines[line])
    return None if found is None else found[1]


def _block(entry: Entry, indent: str) -> str:
    lines = [line for key, value in entry.items() for line in _lines(key, value)]
    return "".join(f"{indent}{'- ' if i == 0 else '  '}{line}\n" for i, line in enumerate(lines))


def _lines(key: str, value: JsonValue) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{_scalar(key)}:", *(f"  - {_flow(item)}" for item in value)]
    return [f"{_scalar(key)}: {_flow(value)}"]


def _flow(value: JsonValue) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(item) for item in value) + "]"
        case str():
            return _scalar(value)
        case _:
            return json.dumps(value)


def _scalar(text: str) -> str:
    """A text as it is where it can only be read as that, else in quotes."""
    if _PLAIN.fullmatch(text) and resolved(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


# --- JSON, which has no comments --------------------------------------------------------------------------------------


def _json_keys(before: KeyText) -> list[JsonValue]:
    listed = _loaded(before).get("keys")
    return list(listed) if isinstance(listed, list) else []


def _as_json(before: KeyText, keys: list[JsonValue]) -> str:
    return json.dumps({**_loaded(before), "keys": keys}, indent=2, ensure_ascii=False) + "\n"


def _loaded(before: KeyText) -> dict[str, JsonValue]:
    loaded: dict[str, JsonValue] = json.loads(before.text.removeprefix("\ufeff"))
    return loaded


def created(file: str) -> str:
    """The text of a file that has no key yet."""
    return json.dumps({"version": VERSION, "keys": []}) if file.endswith(".json") else NEW_FILE
