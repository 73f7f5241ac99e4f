"""The reader of native matches: what headers, query, path, method, body and request data must be like."""

from proxy.config.codes import Code
from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    HeaderCondition,
    Match,
    MethodCondition,
    PathCondition,
    QueryCondition,
    ValueTest,
)
from proxy.config.native.field_conditions import read_field_condition
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, shown
from proxy.config.values.conditions import Spelling, as_json, as_written, read_path_test, read_tests
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import is_header_name
from proxy.config.values.kinds import listed, mismatch, one_or_more


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
    fields = fields_of(node, problems, "a mapping with headers, query, path, method, body or fields")
    if fields is None:
        return None
    with fields:
        conditions: list[Condition] = []
        conditions.extend(_headers(fields))
        conditions.extend(_query(fields))
        conditions.extend(_path(fields))
        conditions.extend(_methods(fields))
        conditions.extend(_body(fields))
        conditions.extend(fields.get("fields", listed(read_field_condition), ()))
    return Match(tuple(conditions))


def _headers(fields: Fields) -> list[Condition]:
    conditions: list[Condition] = []
    for key, place_node, test in _named_tests(fields, "headers", as_written):
        if is_header_name(key):
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
    return [
        (key, node, test)
        for key, value in node.entries.items()
        for test in read_tests(value, fields.problems, spelling)
    ]


def _path(fields: Fields) -> list[Condition]:
    node = fields.filled("path")
    if node is None:
        return []
    test = read_path_test(node, fields.problems)
    return [] if test is None else [PathCondition(test)]


def _methods(fields: Fields) -> list[Condition]:
    methods = fields.get("method", one_or_more(_method))
    return [] if not methods else [MethodCondition(frozenset(methods))]


def _method(node: Node, problems: Problems) -> str | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and is_header_name(node.value):
        return node.value.upper()
    mismatch(node, problems, "a method such as POST")
    return None
