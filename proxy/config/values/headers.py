"""Header fields that a configuration names or sets."""

import re

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import MappingNode, Node, shown
from proxy.config.values.kinds import text_map
from proxy.wire.fields import HOP_BY_HOP

# RFC 9110 section 5.6.2: a token.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# These belong to a connection, or are worked out for each request.
_UNSETTABLE = frozenset(field.decode() for field in HOP_BY_HOP) | {"host", "content-length"}


def is_header_name(text: str) -> bool:
    """Whether a header can be called so."""
    return _TOKEN.fullmatch(text) is not None


def header_map(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """Values by header names, as they are written."""
    found = text_map(node, problems)
    if found is None or not isinstance(node, MappingNode):
        return None
    seen: set[str] = set()
    for key in node.entries:
        place, lower = node.key_place(key), key.lower()
        if not is_header_name(key):
            problems.error(place, Code.BAD_VALUE, f"{shown(key)} cannot be the name of a header")
        elif lower in _UNSETTABLE:
            problems.error(place, Code.BAD_VALUE, f"the header {shown(key)} is the proxy's own to set")
        elif lower in seen:
            problems.error(place, Code.DUPLICATE_KEY, f"the header {shown(key)} was already given in other letters")
        seen.add(lower)
    return found
