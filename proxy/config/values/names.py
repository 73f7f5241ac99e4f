"""Texts for people, and models' names."""

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import Node, ScalarNode
from proxy.config.values.kinds import mismatch, text

_LONGEST_MODEL = 1024


def prose(node: Node, problems: Problems) -> str | None:
    """A text for people, also one of several lines."""
    if isinstance(node, ScalarNode) and (isinstance(node.value, str) or node.hidden):
        return node.text
    mismatch(node, problems, "a text")
    return None


def model_name(node: Node, problems: Problems) -> str | None:
    """A model's name, which is compared as it stands."""
    found = text(node, problems)
    if found is None or not isinstance(node, ScalarNode):
        return None
    if not 0 < len(found) <= _LONGEST_MODEL:
        fault = "is empty" if not found else f"is longer than {_LONGEST_MODEL} characters"
        problems.error(node.place, Code.BAD_VALUE, f"a name that {fault}")
        return None
    if found != found.strip():
        problems.warning(node.place, Code.BAD_VALUE, "the space at an end is a part of this name")
    return found
