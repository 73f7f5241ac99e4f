"""How a scalar's text becomes a value: YAML 1.2's core schema, so that `on`, `yes` and `8:30` stay texts."""

import re
from collections.abc import Mapping

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import Place, ScalarNode
from proxy.config.text.variables import expand

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# Twenty digits are more than any number here can use, and int() of a very long text is slow.
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_RADIX = re.compile(r"0x[0-9a-fA-F]{1,16}|0o[0-7]{1,20}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?")


def scalar(place: Place, text: str, *, plain: bool, variables: Mapping[str, str], problems: Problems) -> ScalarNode:
    """A scalar with its variables expanded. A quoted one stays a text, unless it came from a variable: inside { } such
    a value must be quoted, and may still be meant as a number."""
    hidden = faulty = False
    if "${" in text:
        expansion = expand(text, variables)
        for fault in expansion.faults:
            problems.error(place, Code.BAD_VARIABLE, fault)
        text, hidden, faulty = expansion.text, expansion.hidden, bool(expansion.faults)
        if hidden:
            problems.veil(text)
    value = resolved(text) if plain or hidden else text
    if value is None and not plain:
        value = text
    return ScalarNode(place, text, value, hidden, faulty)


def resolved(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if not (text[0].isascii() and (text[0].isdigit() or text[0] in "-+.")):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text
