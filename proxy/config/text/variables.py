"""Expansion of `${VAR}` and `${VAR:-default}` in values; `$${` stands for a literal `${`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\$\{")


@dataclass(frozen=True, slots=True)
class Expansion:
    """A text after expansion. `hidden`: some of it came from a variable. `faults`: what was wrong, to be told."""

    text: str
    hidden: bool
    faults: tuple[str, ...]


def expand(text: str, variables: Mapping[str, str]) -> Expansion:
    """The text with its variables' values. As in a shell, `:-` also stands in for a variable that is set but empty."""
    faults: list[str] = []
    hidden = False

    def value_of(found: re.Match[str]) -> str:
        nonlocal hidden
        if found[0] == "$${":
            return "${"
        if found[1] is None:
            faults.append("${ begins no variable: write ${NAME} or ${NAME:-default}, or $${ for a literal ${")
            return ""
        hidden = True
        return _value(found[1], found[2], variables, faults)

    expanded = _REFERENCE.sub(value_of, text)
    return Expansion(expanded, hidden, tuple(faults))


def _value(name: str, default: str | None, variables: Mapping[str, str], faults: list[str]) -> str:
    value = variables.get(name)
    if default is not None:
        return value or default
    if value is None:
        faults.append(f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-…}}")
    return value or ""
