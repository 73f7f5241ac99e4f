"""Matches and tests of values, written as the native form has them."""

from collections.abc import Callable, Sequence
from json import dumps, loads
from typing import assert_never

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
    ValueTest,
)
from proxy.config.text.scalars import resolved
from proxy.config.writing.values import json_tree, one_or_list, said
from proxy.config.writing.yaml_text import Scalar, Tree, boolean, text


def match_tree(match: Match) -> Tree:
    """All conditions of a match by what they ask of."""
    headers: dict[str, list[ValueTest]] = {}
    query: dict[str, list[ValueTest]] = {}
    body: dict[str, list[ValueTest]] = {}
    fields: list[Tree] = []
    single: dict[str, Tree] = {}
    for condition in match.conditions:
        match condition:
            case HeaderCondition(name, test):
                headers.setdefault(name, []).append(test)
            case QueryCondition(name, test):
                query.setdefault(name, []).append(test)
            case PathCondition(test):
                single["path"] = path_tree(test)
            case MethodCondition(methods):
                single["method"] = one_or_list(sorted(methods)) or []
            case BodyCondition(keys, test):
                body.setdefault(".".join(keys), []).append(test)
            case FieldCondition():
                fields.append(_field(condition))
            case _:
                assert_never(condition)
    return said(
        headers={name: _tests(tests, _test) for name, tests in headers.items()} or None,
        query={name: _tests(tests, _test) for name, tests in query.items()} or None,
        path=single.get("path"),
        method=single.get("method"),
        body={name: _tests(tests, _in_body) for name, tests in body.items()} or None,
        fields=fields or None,
    )


def _tests(tests: Sequence[ValueTest], write: Callable[[ValueTest], Tree]) -> Tree:
    """A single test by itself, several together."""
    return write(tests[0]) if len(tests) == 1 else {"all": [write(test) for test in tests]}


def _test(test: ValueTest) -> Tree:
    """An exact text by itself, any other test by its name."""
    if isinstance(test, Exact):
        return text(test.value)
    if isinstance(test, OrAbsent):
        return {**_named(test.test), "optional": boolean(True)}
    return _named(test)


def _in_body(test: ValueTest) -> Tree:
    """Exact texts that JSON has for numbers and words stand as those; a body's other values never look like them."""
    if isinstance(test, Exact) and is_word_of_json(test.value):
        return Scalar(test.value)
    return _test(test)


def is_word_of_json(value: str) -> bool:
    """The text is how JSON spells a number, true, false or null, and is read as that from a file, too."""
    found = resolved(value)
    return not isinstance(found, str) and dumps(found) == value


def _named(test: ValueTest) -> dict[str, Tree]:
    match test:
        case Exact(value):
            return {"exact": text(value)}
        case Prefix(value):
            return {"prefix": text(value)}
        case Suffix(value):
            return {"suffix": text(value)}
        case Contains(value):
            return {"contains": text(value)}
        case Regex(pattern):
            return {"regex": text(pattern)}
        case Present():
            return {"present": boolean(True)}
        case Absent():
            return {"absent": boolean(True)}
        case OrAbsent(inner):
            return _named(inner)
        case _:
            assert_never(test)


def path_tree(test: ValueTest) -> Tree:
    """A bare path is exact, and a prefix where it ends in `*`. A path begins with /; others have to be named."""
    match test:
        case Exact(value) if not value.endswith("*") and value.startswith("/"):
            return text(value)
        case Prefix(value) if value.startswith("/") or not value:
            return text(f"{value}*")
        case OrAbsent(inner):
            # There always is a path.
            return path_tree(inner)
        case _:
            return _named(test)


def _field(condition: FieldCondition) -> Tree:
    value = None if condition.value == "null" and condition.operator.value.endswith("exists") else condition.value
    return said(
        field=text(condition.field),
        operator=text(condition.operator.value),
        value=None if value is None else json_tree(loads(value)),
    )
