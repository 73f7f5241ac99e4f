"""What a rule of Kthena's ModelRoute asks of a request: its headers, its URI and the model in its body."""

from collections.abc import Iterable
from typing import cast

import re2

from proxy.config.codes import Code
from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    Exact,
    HeaderCondition,
    Match,
    OrAbsent,
    PathCondition,
    Prefix,
    Regex,
    ValueTest,
)
from proxy.config.problems import Problems
from proxy.config.text.nodes import MappingNode, Node, ScalarNode, shown
from proxy.config.values.conditions import read_pattern
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import is_header_name
from proxy.config.values.kinds import mismatch, text

# Of several tests of one value Kthena uses the first of these.
_PRECEDENCE = ("exact", "prefix", "regex")
# They are found in every text, also in the empty one.
_EVERYTHING: frozenset[ValueTest] = frozenset({Prefix(""), Regex(""), Regex(".*"), Regex("^")})


def read_model_match(node: Node, problems: Problems) -> tuple[Match, ...] | None:
    """All that it asks for must hold; nothing asked means that every request matches."""
    fields = fields_of(node, problems, "a mapping with headers, uri and body", strict=False)
    if fields is None:
        return None
    with fields:
        conditions: list[Condition] = [*_headers(fields), *_uri(fields)]
        model = fields.get("body", _read_body)
    if model is not None:
        conditions.append(BodyCondition(("model",), Exact(model)))
    return (Match(tuple(conditions)),) if conditions else ()


def _headers(fields: Fields) -> Iterable[Condition]:
    node = fields.filled("headers")
    if node is None:
        return
    if not isinstance(node, MappingNode):
        mismatch(node, fields.problems, "a mapping of names to tests, such as user-type: {exact: premium}")
        return
    for key, value in node.entries.items():
        test = read_string_match(value, fields.problems)
        if not is_header_name(key):
            message = f"{shown(key)} cannot be the name of a header"
            fields.problems.error(node.key_place(key), Code.BAD_VALUE, message)
        elif test is not None:
            yield HeaderCondition(key.lower(), _also_absent(test))


def _also_absent(test: ValueTest) -> ValueTest:
    """Kthena reads a header that is not there as an empty text."""
    return OrAbsent(test) if _holds_on_nothing(test) else test


def _holds_on_nothing(test: ValueTest) -> bool:
    match test:
        case Exact(value):
            return not value
        case Regex(pattern):
            options = re2.Options()
            options.log_errors = False
            return re2.compile(pattern, options).search("") is not None
        case _:
            # A prefix that is not empty.
            return False


def _uri(fields: Fields) -> Iterable[Condition]:
    node = fields.filled("uri")
    if node is None:
        return
    test = read_string_match(node, fields.problems)
    if isinstance(test, Exact | Prefix) and not test.value.startswith("/"):
        message = "every path begins with /, so this rule never matches"
        fields.problems.warning(node.place, Code.UNREACHABLE_RULE, message)
    if test is not None:
        yield PathCondition(test)


def _read_body(node: Node, problems: Problems) -> str | None:
    """The model that the body must name, compared exactly."""
    fields = fields_of(node, problems, "a mapping with model", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.get("model", text)


def read_string_match(node: Node, problems: Problems) -> ValueTest | None:
    """The one test that is used of those given; None where it holds on every text, or is wrong."""
    fields = fields_of(node, problems, "a mapping with one of exact, prefix, regex", strict=False)
    if fields is None:
        return None
    with fields:
        given = [kind for kind in _PRECEDENCE if fields.filled(kind) is not None]
        test = _read_test(given[0], fields) if given else None
    if not given and not _holds_a_fault(fields):
        message = "none of exact, prefix and regex is given, so every value matches"
        problems.warning(node.place, Code.WITHOUT_EFFECT, message)
    for kind in given[1:]:
        message = f"{kind} is not used: of several tests {given[0]} comes first"
        problems.warning(fields.node.key_place(kind), Code.WITHOUT_EFFECT, message)
    return None if test in _EVERYTHING else test


def _read_test(kind: str, fields: Fields) -> ValueTest | None:
    written = fields.get(kind, text)
    if written is None:
        return None
    if kind == "regex":
        return read_pattern(cast("ScalarNode", fields.filled(kind)), fields.problems)
    return Exact(written) if kind == "exact" else Prefix(written)


def _holds_a_fault(fields: Fields) -> bool:
    """A value whose variables are not set has been told already."""
    nodes = [fields.node_of(kind) for kind in _PRECEDENCE]
    return any(isinstance(node, ScalarNode) and node.faulty for node in nodes)
