"""The matches of an HTTPRoute: what each asks of a request, and which of two is the more specific one."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config.codes import Code
from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    Exact,
    HeaderCondition,
    MethodCondition,
    PathCondition,
    Prefix,
    QueryCondition,
    Regex,
    ValueTest,
)
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, Node, ScalarNode, quoted
from proxy.config.values.conditions import read_pattern
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import is_header_name
from proxy.config.values.kinds import choice, mismatch, text

# Set from the body by a part of the Gateway that stands before its routes: there is none here, and the body itself can
# be asked. What an adapter's base model is only that part knows, so for adapters the second one never holds.
_MODEL_HEADERS = frozenset({"x-gateway-model-name", "x-gateway-base-model-name"})

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_EXACT, _REGEX, _PREFIX = 2, 1, 0

Rank = tuple[int, int, bool, int, int]


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """Any of its alternatives holds; in each of them all conditions.

    The higher rank is asked first: exact paths, then patterns, then prefixes, longer ones before shorter ones; then
    those with a method, then those with more headers, then those with more parameters.
    """

    alternatives: tuple[tuple[Condition, ...], ...]
    rank: Rank


EVERYTHING = HttpMatch(((),), (_PREFIX, 1, False, 0, 0))
"""What a rule without matches asks: any path that begins with /."""


def read_http_match(node: Node, problems: Problems) -> HttpMatch | None:
    """One entry of a rule's matches."""
    fields = fields_of(node, problems, "a mapping with path, headers, queryParams and method", strict=False)
    if fields is None:
        return None
    with fields:
        kind, length, paths = _read_path(fields)
        method = fields.get("method", choice(_METHODS))
        headers = _named_tests(fields, "headers", "a list of headers with name and value", folded=True)
        parameters = _named_tests(fields, "queryParams", "a list of parameters with name and value", folded=False)
    others: list[Condition] = [] if method is None else [MethodCondition(frozenset({method}))]
    others.extend(_header_condition(name, test) for name, test in headers)
    others.extend(QueryCondition(name, test) for name, test in parameters)
    alternatives = tuple((*path, *others) for path in paths)
    return HttpMatch(alternatives, (kind, length, method is not None, len(headers), len(parameters)))


def _header_condition(name: str, test: ValueTest) -> Condition:
    return BodyCondition(("model",), test) if name in _MODEL_HEADERS else HeaderCondition(name, test)


# --- paths ------------------------------------------------------------------------------------------------------------


def _read_path(fields: Fields) -> tuple[int, int, list[tuple[Condition, ...]]]:
    """The kind of a path's test, its length, and the conditions of which one must hold."""
    node = fields.filled("path")
    inner = None if node is None else fields_of(node, fields.problems, "a mapping with type and value", strict=False)
    if inner is None:
        return _PREFIX, 1, [()]
    with inner:
        kind = inner.get("type", choice(("PathPrefix", "Exact", "RegularExpression")), "PathPrefix")
        value = inner.get("value", text, "/")
        written = inner.filled("value")
    if kind == "RegularExpression":
        test = _whole_pattern(written, fields.problems) if isinstance(written, ScalarNode) else None
        return _REGEX, len(value), [()] if test is None else [(PathCondition(test),)]
    if not value.startswith("/") and written is not None:
        fields.problems.error(written.place, Code.BAD_VALUE, "a path begins with /")
    if kind == "Exact":
        return _EXACT, len(value), [(PathCondition(Exact(value)),)]
    return _PREFIX, max(1, len(value.rstrip("/"))), _below(value.rstrip("/"))


def _below(path: str) -> list[tuple[Condition, ...]]:
    """A prefix ends where a part of the path does: /foo takes /foo and /foo/bar, but not /foobar."""
    return [(PathCondition(Exact(path)),), (PathCondition(Prefix(f"{path}/")),)] if path else [()]


def _whole_pattern(node: ScalarNode, problems: Problems) -> Regex | None:
    """A pattern that the whole value fits."""
    found = read_pattern(node, problems)
    return None if found is None else Regex(f"^(?:{found.pattern})$")


# --- headers and parameters -------------------------------------------------------------------------------------------


def _named_tests(fields: Fields, section: str, expected: str, *, folded: bool) -> list[tuple[str, ValueTest]]:
    """The tests of a list of headers (whose names are folded to lower case) or parameters."""
    node = fields.filled(section)
    if node is None:
        return []
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, expected)
        return []
    found: dict[str, ValueTest] = {}
    for item in node.items:
        named = _read_named_test(item, fields.problems, folded=folded)
        if named is not None and found.setdefault(*named) is not named[1]:
            message = "of two entries of one name the first counts"
            fields.problems.warning(item.place, Code.WITHOUT_EFFECT, message)
    return list(found.items())


def _read_named_test(node: Node, problems: Problems, *, folded: bool) -> tuple[str, ValueTest] | None:
    fields = fields_of(node, problems, "a mapping with name and value", strict=False)
    if fields is None:
        return None
    with fields:
        kind = fields.get("type", choice(("Exact", "RegularExpression")), "Exact")
        name = fields.require("name", _header_name if folded else _filled_text)
        value = fields.require("value", _filled_text)
        written = fields.filled("value")
    if name is None or value is None or not isinstance(written, ScalarNode):
        return None
    test = Exact(value) if kind == "Exact" else _whole_pattern(written, problems)
    return None if test is None else (name.lower() if folded else name, test)


def _filled_text(node: Node, problems: Problems) -> str | None:
    found = text(node, problems)
    if found == "":
        mismatch(node, problems, "a text that is not empty")
        return None
    return found


def _header_name(node: Node, problems: Problems) -> str | None:
    found = text(node, problems)
    if found is None or is_header_name(found):
        return found
    said = quoted(node) if isinstance(node, ScalarNode) else ""
    problems.error(node.place, Code.BAD_VALUE, f"{said} cannot be the name of a header")
    return None


# --- precedence -------------------------------------------------------------------------------------------------------


def in_order(rules: Iterable[tuple[HttpMatch, ...]]) -> list[tuple[int, tuple[HttpMatch, ...]]]:
    """The matches of all rules, the most specific first, those of a rule together where they follow each other.

    Each comes with its rule's number. Of equal ones that of the earlier rule is the first.
    """
    matches = [(number, match) for number, rule in enumerate(rules) for match in rule]
    matches.sort(key=lambda numbered: numbered[1].rank, reverse=True)
    ordered: list[tuple[int, tuple[HttpMatch, ...]]] = []
    for number, match in matches:
        if ordered and ordered[-1][0] == number:
            ordered[-1] = (number, (*ordered[-1][1], match))
        else:
            ordered.append((number, (match,)))
    return ordered
