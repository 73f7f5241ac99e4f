"""YAML text made of plain data, laid out as a person would: short things on one line, quotes only where needed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from proxy.config.text.scalars import resolved

_WIDEST = 120
# A key that is longer has to be marked with ? (YAML 1.2.2, 7.4.2: at most 1024 characters).
_LONGEST_KEY = 1_000
# These end a plain scalar, or begin something else, at one place or another.
_NOT_PLAIN = re.compile(r"[,\[\]{}?]|: | #|[: ]\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as YAML spells it."""

    spelled: str


@dataclass(frozen=True, slots=True)
class Block:
    """What gets lines of its own, with empty ones between its parts where it is spaced."""

    content: "Mapping[str, Tree] | Sequence[Tree]"
    spaced: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """What has a comment on the line before it."""

    content: "Tree"
    comment: str


Tree = Union[Scalar, Block, Remark, Mapping[str, "Tree"], Sequence["Tree"]]  # noqa: UP007 - it names itself


def text(value: str) -> Scalar:
    """A value that is read as this text, also where it looks like a number or holds what begins a variable."""
    return Scalar(_spelled(value.replace("${", "$${")))


def boolean(value: bool) -> Scalar:
    """true or false."""
    return Scalar("true" if value else "false")


def number(value: float) -> Scalar:
    """A number, without a fraction where it is whole."""
    is_whole = isinstance(value, int) or (value.is_integer() and abs(value) < 1e15)
    return Scalar(str(int(value)) if is_whole else repr(value))


def document(parts: Mapping[str, Tree]) -> str:
    """The text of a document whose parts are apart from each other."""
    return "".join(f"{line}\n" for line in _mapping(parts, 0, spaced=True)) or "{}\n"


# --- layout -----------------------------------------------------------------------------------------------------------


def _lines(tree: Tree, indent: int, *, spaced: bool = False) -> Iterator[str]:
    match tree:
        case Block(content, is_spaced):
            return _lines(content, indent, spaced=is_spaced)
        case Remark(content):
            return _lines(content, indent)
        case Scalar(spelled):
            return iter([" " * indent + spelled])
        case Mapping():
            return _mapping(tree, indent, spaced=spaced)
        case _:
            return _list(tree, indent, spaced=spaced)


def _mapping(entries: Mapping[str, Tree], indent: int, *, spaced: bool) -> Iterator[str]:
    pad = " " * indent
    for place, (name, value) in enumerate(entries.items()):
        if spaced and place:
            yield ""
        if isinstance(value, Remark):
            yield f"{pad}# {value.comment}"
        key = _spelled(name)
        start = f"{pad}{key}:"
        if len(key) > _LONGEST_KEY:
            yield f"{pad}? {key}"
            start = f"{pad}:"
        flow = _flow(value)
        if flow is not None and (isinstance(value, Scalar) or len(start) + len(flow) < _WIDEST):
            yield f"{start} {flow}"
        else:
            yield start
            yield from _lines(value, indent + 2)


def _list(items: Sequence[Tree], indent: int, *, spaced: bool) -> Iterator[str]:
    pad = " " * indent
    for place, item in enumerate(items):
        if spaced and place:
            yield ""
        flow = _flow(item)
        if flow is not None and indent + len(flow) + 2 <= _WIDEST:
            yield f"{pad}- {flow}"
        else:
            first, *rest = _lines(item, indent + 2)
            yield f"{pad}- {first.lstrip()}"
            yield from rest


def _flow(tree: Tree) -> str | None:
    """All of it on one line; None where that is not how a person would write it."""
    match tree:
        case Scalar(spelled):
            return spelled
        case Block(content):
            return None if content else _flow(content)
        case Remark(content):
            return _flow(content)
        case Mapping():
            parts = {_spelled(key): _flow(value) for key, value in tree.items()}
            if None in parts.values() or any(len(key) > _LONGEST_KEY for key in parts):
                return None
            return "{" + ", ".join(f"{key}: {part}" for key, part in parts.items()) + "}"
        case _:
            items = [_flow(item) for item in tree]
            if None in items or (len(items) > 1 and any(isinstance(item, Mapping) for item in tree)):
                return None
            return "[" + ", ".join(item for item in items if item is not None) + "]"


# --- scalars ----------------------------------------------------------------------------------------------------------


def _spelled(value: str) -> str:
    if _is_plain(value):
        return value
    if value.isprintable() and ("\\" in value or '"' in value):
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _is_plain(value: str) -> bool:
    """It can stand without quotes, wherever it stands, and is then read as a text."""
    return (
        value != ""
        and (value[0].isalnum() or value[0] in "_/")
        and value.isprintable()
        and not _NOT_PLAIN.search(value)
        and isinstance(resolved(value), str)
    )


def _escaped(character: str) -> str:
    if character.isprintable() and character not in _ESCAPES:
        return character
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
