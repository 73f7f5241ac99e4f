"""Readers of what a match asks of a request: headers, query parameters, path, methods and body fields."""

import re
from collections.abc import Callable
from json import dumps

import re2

from proxy.config.codes import Code
from proxy.config.fields import Fields, fields_of
from proxy.config.kinds import boolean, is_faulty, mismatch, one_or_more
from proxy.config.nodes import ListNode, MappingNode, Node, ScalarNode, described, quoted, shown
from proxy.config.problems import Problems
from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
    ValueTest,
)

# RFC 9110 section 5.6.2: a token.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST_PATTERN = 4_096
_TESTS = ("exact", "prefix", "suffix", "contains", "regex", "present", "absent")
_BY_TEXT: dict[str, Callable[[str], ValueTest]] = {
    "exact": Exact,
    "prefix": Prefix,
    "suffix": Suffix,
    "contains": Contains,
}

# How the exact text of a bare scalar is spelled: as written, or for body fields as JSON spells it.
Spelling = Callable[[ScalarNode], str]


def as_written(node: ScalarNode) -> str:
    """The text that stands in the file."""
    return node.text


def as_json(node: ScalarNode) -> str:
    """A text as it is; a number, true, false and null as JSON spells them."""
    return node.value if isinstance(node.value, str) else dumps(node.value)


def read_matches(fields: Fields) -> tuple[Match, ...]:
    """The matches of a rule, from its `match` or `matches`. None at all means that every request matches."""
    fields.exclusive(("match", "matches"))
    single, several = fields.filled("match"), fields.filled("matches")
    if several is not None and not isinstance(several, ListNode):
        mismatch(several, fields.problems, "a list of matches (a single one is written under `match`)")
        return ()
    nodes = several.items if isinstance(several, ListNode) else ()
    if single is not None:
        nodes = (single,)
    found = [match for node in nodes if (match := read_match(node, fields.problems)) is not None]
    # One match that asks for nothing makes the whole any-of hold.
    return () if any(not match.conditions for match in found) else tuple(found)


def read_match(node: Node, problems: Problems) -> Match | None:
    """One mapping of conditions, all of which must hold."""
    fields = fields_of(node, problems, "a mapping with headers, query, path, method or body")
    if fields is None:
        return None
    with fields:
        conditions: list[Condition] = []
        conditions.extend(_headers(fields))
        conditions.extend(_query(fields))
        conditions.extend(_path(fields))
        conditions.extend(_methods(fields))
        conditions.extend(_body(fields))
    return Match(tuple(conditions))


def _headers(fields: Fields) -> list[Condition]:
    conditions: list[Condition] = []
    for key, place_node, test in _named_tests(fields, "headers", as_written):
        if _TOKEN.fullmatch(key):
            conditions.append(HeaderCondition(key.lower(), test))
        else:
            place = place_node.key_place(key)
            fields.problems.error(place, Code.BAD_VALUE, f"{shown(key)} cannot be the name of a header")
    return conditions


def _query(fields: Fields) -> list[Condition]:
    return [QueryCondition(key, test) for key, _, test in _named_tests(fields, "query", as_written)]


def _body(fields: Fields) -> list[Condition]:
    conditions: list[Condition] = []
    for key, place_node, test in _named_tests(fields, "body", as_json):
        keys = tuple(key.split("."))
        if all(keys):
            conditions.append(BodyCondition(keys, test))
        else:
            message = f"{shown(key)} is no body field; write the keys from the top with dots between, as in user.tier"
            fields.problems.error(place_node.key_place(key), Code.BAD_VALUE, message)
    return conditions


def _named_tests(fields: Fields, section: str, spelling: Spelling) -> list[tuple[str, MappingNode, ValueTest]]:
    node = fields.filled(section)
    if node is None:
        return []
    if not isinstance(node, MappingNode):
        mismatch(node, fields.problems, "a mapping of names to values, such as user-type: premium")
        return []
    tests = [(key, read_test(value, fields.problems, spelling)) for key, value in node.entries.items()]
    return [(key, node, test) for key, test in tests if test is not None]


def _path(fields: Fields) -> list[Condition]:
    node = fields.filled("path")
    if node is None:
        return []
    test = read_path_test(node, fields.problems)
    return [] if test is None else [PathCondition(test)]


def read_path_test(node: Node, problems: Problems) -> ValueTest | None:
    """A bare path is exact, or a prefix where it ends in `*`; a mapping is a test like any other."""
    test = read_test(node, problems, as_written)
    if isinstance(test, Exact) and isinstance(node, ScalarNode) and test.value.endswith("*"):
        test = Prefix(test.value[:-1])
    if isinstance(test, Exact | Prefix) and test.value and not test.value.startswith("/"):
        problems.error(node.place, Code.BAD_VALUE, "a path begins with /")
        return None
    return test


def _methods(fields: Fields) -> list[Condition]:
    methods = fields.get("method", one_or_more(_method))
    return [] if not methods else [MethodCondition(frozenset(methods))]


def _method(node: Node, problems: Problems) -> str | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and _TOKEN.fullmatch(node.value):
        return node.value.upper()
    mismatch(node, problems, "a method such as POST")
    return None


def read_test(node: Node, problems: Problems, spelling: Spelling) -> ValueTest | None:
    """A bare value is exact; a mapping holds exactly one of the tests by name."""
    if is_faulty(node):
        return None
    if isinstance(node, MappingNode):
        return _read_named_test(node, problems)
    if isinstance(node, ListNode) or (node.empty and not node.text):
        mismatch(
            node, problems, "a value, or a mapping with one of exact, prefix, suffix, contains, regex, present, absent"
        )
        return None
    return Exact(spelling(node))


def _read_named_test(node: MappingNode, problems: Problems) -> ValueTest | None:
    with Fields(node, problems) as fields:
        given = [(kind, value) for kind in _TESTS if (value := fields.node_of(kind)) is not None]
    if len(given) == 1:
        kind, value = given[0]
        return _test(kind, value, problems)
    if given or not node.entries:
        found = f"found {' and '.join(kind for kind, _ in given)}" if given else "found none"
        problems.error(node.place, Code.CONFLICTING_KEYS, f"expected exactly one of {', '.join(_TESTS)}; {found}")
    return None


def _test(kind: str, node: Node, problems: Problems) -> ValueTest | None:
    if is_faulty(node):
        return None
    if kind in {"present", "absent"}:
        wanted = boolean(node, problems)
        return None if wanted is None else Present() if wanted == (kind == "present") else Absent()
    if not isinstance(node, ScalarNode) or node.empty:
        problems.error(node.place, Code.WRONG_TYPE, f"expected a text, found {described(node)}")
        return None
    if kind == "regex":
        return read_pattern(node, problems)
    return _BY_TEXT[kind](node.text)


def read_pattern(node: ScalarNode, problems: Problems) -> Regex | None:
    """An RE2 pattern, compiled once to see that it can be."""
    fault = pattern_fault(node.text)
    if fault is None:
        return Regex(node.text)
    said = "" if node.hidden else f": {fault}"
    problems.error(node.place, Code.BAD_PATTERN, f"{quoted(node)} is no pattern that RE2 accepts{said}")
    return None


def pattern_fault(pattern: str) -> str | None:
    """What RE2 says against a pattern; None where it accepts it."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"it is longer than {_LONGEST_PATTERN} characters"
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as fault:
        said = fault.args[0] if fault.args else b""
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    return None
