"""Kinds of values: each reads one node, or tells what was expected and what was found, and answers None."""

import re
from collections.abc import Callable, Iterable
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import TypeVar

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described, quoted
from proxy.config.values.units import UnitError, parse_duration, parse_size

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
Kind = Callable[[Node, Problems], T | None]

# Names end up in log lines and metric labels, and texts in headers: none of these belongs in either.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME = 256
_LONGEST_FULL_NAME = 1024
_LONGEST_PATH = 4096


def mismatch(node: Node, problems: Problems, expected: str) -> None:
    """Tell that something else was found than what was expected."""
    problems.error(node.place, Code.WRONG_TYPE, f"expected {expected}, found {described(node)}")


def is_faulty(node: Node) -> bool:
    """A scalar whose variables could not be expanded, which has been told."""
    return isinstance(node, ScalarNode) and node.faulty


def text(node: Node, problems: Problems) -> str | None:
    """A text on one line. A number from a variable is taken as the text it is."""
    if not isinstance(node, ScalarNode) or not (isinstance(node.value, str) or node.hidden):
        advice = "a text (put it in quotes)" if isinstance(node, ScalarNode) and not node.empty else "a text"
        mismatch(node, problems, advice)
        return None
    if _CONTROL.search(node.text):
        problems.error(node.place, Code.BAD_VALUE, "a control character or a line break does not belong here")
        return None
    return node.text


def name(node: Node, problems: Problems) -> str | None:
    """A text that names something: not empty, without outer spaces, at most 256 characters."""
    return _name(node, problems, _LONGEST_NAME)


def full_name(node: Node, problems: Problems) -> str | None:
    """A name that may be put together of several, such as pool/default/vllm: at most 1024 characters."""
    return _name(node, problems, _LONGEST_FULL_NAME)


def _name(node: Node, problems: Problems, longest: int) -> str | None:
    found = text(node, problems)
    if found is None or (found and found == found.strip() and len(found) <= longest):
        return found
    fault = "is empty" if not found.strip() else "begins or ends with a space"
    fault = fault if len(found) <= longest else f"is longer than {longest} characters"
    problems.error(node.place, Code.BAD_VALUE, f"a name that {fault}")
    return None


def boolean(node: Node, problems: Problems) -> bool | None:
    """true or false."""
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        return node.value
    mismatch(node, problems, "true or false")
    return None


def whole(lowest: int, highest: int) -> Kind[int]:
    """A whole number within these bounds, both allowed."""

    def read(node: Node, problems: Problems) -> int | None:
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        mismatch(node, problems, f"a whole number from {lowest} to {highest}")
        return None

    return read


def positive(node: Node, problems: Problems) -> float | None:
    """A number above zero."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and isfinite(value):
        return float(value)
    mismatch(node, problems, "a number above 0")
    return None


def share(node: Node, problems: Problems) -> float | None:
    """A part of the whole: 20% or 0.2, from 0 to 100%."""
    written = node.text.strip() if isinstance(node, ScalarNode) else ""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)( ?%)?", written)
    value = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if 0 <= value <= 1:
        return value
    mismatch(node, problems, "a share such as 20% or 0.2")
    return None


def duration(node: Node, problems: Problems) -> float | None:
    """Seconds above zero."""
    seconds = duration_or_zero(node, problems)
    if seconds == 0:
        mismatch(node, problems, "a duration above 0")
        return None
    return seconds


def duration_or_zero(node: Node, problems: Problems) -> float | None:
    """Seconds."""
    try:
        return parse_duration(node.text if isinstance(node, ScalarNode) else "")
    except UnitError as fault:
        mismatch(node, problems, str(fault))
        return None


def size(node: Node, problems: Problems) -> int | None:
    """Bytes, at least one."""
    try:
        found = parse_size(node.text if isinstance(node, ScalarNode) else "")
    except UnitError as fault:
        mismatch(node, problems, str(fault))
        return None
    if found == 0:
        mismatch(node, problems, "a size above 0")
    return found or None


def choice(words: Iterable[str]) -> Kind[str]:
    """One of these words."""
    known = tuple(words)

    def read(node: Node, problems: Problems) -> str | None:
        if isinstance(node, ScalarNode) and node.text in known:
            return node.text
        near = problems.suggest(node.text, known) if isinstance(node, ScalarNode) and not node.hidden else None
        message = f"expected {alternatives(known)}, found {described(node)}"
        problems.error(node.place, Code.BAD_VALUE, message, near)
        return None

    return read


def member(kind: type[E]) -> Kind[E]:
    """The member of an enumeration whose value is this word."""
    read_word = choice(str(item.value) for item in kind)

    def read(node: Node, problems: Problems) -> E | None:
        word = read_word(node, problems)
        return None if word is None else kind(word)

    return read


def listed(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list of such values; what is wrong in it is told and left out."""

    def read(node: Node, problems: Problems) -> tuple[T, ...] | None:
        if not isinstance(node, ListNode):
            mismatch(node, problems, "a list")
            return None
        values = (kind(item, problems) for item in node.items if not is_faulty(item))
        return tuple(value for value in values if value is not None)

    return read


def one_or_more(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list of such values, or a single one."""
    read_list = listed(kind)

    def read(node: Node, problems: Problems) -> tuple[T, ...] | None:
        if isinstance(node, ListNode):
            return read_list(node, problems)
        value = kind(node, problems)
        return None if value is None else (value,)

    return read


def text_map(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """Texts by free keys, in the file's order; numbers and booleans are taken as written, as labels often are."""
    if not isinstance(node, MappingNode):
        mismatch(node, problems, "a mapping of texts")
        return None
    pairs: list[tuple[str, str]] = []
    for key, item in node.entries.items():
        if is_faulty(item):
            continue
        if not isinstance(item, ScalarNode) or item.empty:
            mismatch(item, problems, "a text")
        elif _CONTROL.search(key + item.text):
            problems.error(item.place, Code.BAD_VALUE, "a control character or a line break does not belong here")
        else:
            pairs.append((key, item.text))
    return tuple(pairs)


def beside(file: str, path: str) -> str:
    """A path as absolute, seen from the folder of the file that names it; `~` is the user's own folder."""
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        # There is no such user: then the path is taken as it stands.
        expanded = Path(path)
    return str(Path(file).absolute().parent.joinpath(expanded))


def path(node: Node, problems: Problems) -> str | None:
    """A path as an absolute one, relative to the file that names it."""
    found = _name(node, problems, _LONGEST_PATH)
    return None if found is None else beside(node.place.file, found)


def existing_file(node: Node, problems: Problems) -> str | None:
    """The path of a file that is there."""
    found = path(node, problems)
    if found is None or not isinstance(node, ScalarNode) or _is_file(found):
        return found
    where = "" if node.hidden else f" (looked for {found})"
    problems.error(node.place, Code.NO_SUCH_FILE, f"there is no file {quoted(node)}{where}")
    return None


def _is_file(found: str) -> bool:
    try:
        return Path(found).is_file()
    except OSError:
        # A path too long or not permitted is no file to us either.
        return False


def alternatives(words: Iterable[str]) -> str:
    """The words as a person would list them: a, b or c."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
