"""Operators between a value found in a request and the value that a condition expects, as Mixtrain evaluates them."""

import operator as compare
import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

Predicate = Callable[[object], bool]
# From a pattern to a test whether it is found somewhere in a text. It raises re.error or ValueError on a bad pattern.
PatternCompiler = Callable[[str], Callable[[str], bool]]


class Operator(StrEnum):
    """How a condition compares; the values are the words of a Mixtrain file."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    IN = "in"
    NOT_IN = "not_in"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    GREATER_THAN = "greater_than"
    LESS_THAN = "less_than"
    REGEX = "regex"


def find(data: object, keys: tuple[str, ...]) -> object:
    """The value under these keys, from the top; None where one is missing or stands in anything but a dict."""
    for key in keys:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def compile_operator(operator: Operator, expected: object, search: PatternCompiler) -> Predicate:
    """A prepared predicate on the actual value, which is None where the field is missing.

    Equality is Python's: 1 equals 1.0 and True. Texts are Python's too: `contains` and `regex` look into str(actual).
    Numbers are read by float(), from texts as well; what is no number compares false. A list is kept, not copied.
    A pattern that cannot be compiled is never found. The predicate raises where Mixtrain's rule would fail: TypeError
    when `contains` expects anything but a text, OverflowError on an integer beyond a float. On the hot path: see
    benchmarks/mixtrain.py.
    """
    if operator is Operator.REGEX:
        return _regex(expected, search)
    return _COMPILERS[operator](expected)


def _equals(expected: Any) -> Predicate:
    return partial(compare.eq, expected)


def _not_equals(expected: Any) -> Predicate:
    return partial(compare.ne, expected)


def _contains(expected: Any) -> Predicate:
    return lambda actual: actual is not None and expected in str(actual)


def _not_contains(expected: Any) -> Predicate:
    return lambda actual: actual is None or expected not in str(actual)


def _in(expected: Any) -> Predicate:
    return partial(compare.contains, expected) if isinstance(expected, list) else _never


def _not_in(expected: Any) -> Predicate:
    return (lambda actual: actual not in expected) if isinstance(expected, list) else _always


def _exists(_: Any) -> Predicate:
    return lambda actual: actual is not None


def _not_exists(_: Any) -> Predicate:
    return lambda actual: actual is None


def _greater_than(expected: Any) -> Predicate:
    return _numeric(expected, compare.gt)


def _less_than(expected: Any) -> Predicate:
    return _numeric(expected, compare.lt)


def _numeric(expected: Any, holds: Callable[[float, float], bool]) -> Predicate:
    bound = _prepared_number(expected)

    def compares(actual: Any) -> bool:
        if actual is None:
            return False
        try:
            return holds(float(actual), float(expected) if bound is None else bound)
        except (TypeError, ValueError):
            return False

    return compares


def _prepared_number(expected: Any) -> float | None:
    """None where float() fails: it is then asked on each call, to fail at its turn."""
    try:
        return float(expected)
    except (TypeError, ValueError, OverflowError):
        return None


def _regex(expected: object, search: PatternCompiler) -> Predicate:
    try:
        found_in = search(str(expected))
    except (re.error, ValueError, OverflowError, RecursionError):
        return _never
    return lambda actual: actual is not None and found_in(str(actual))


def _never(_: object) -> bool:
    return False


def _always(_: object) -> bool:
    return True


_COMPILERS: dict[Operator, Callable[[Any], Predicate]] = {
    Operator.EQUALS: _equals,
    Operator.NOT_EQUALS: _not_equals,
    Operator.CONTAINS: _contains,
    Operator.NOT_CONTAINS: _not_contains,
    Operator.IN: _in,
    Operator.NOT_IN: _not_in,
    Operator.EXISTS: _exists,
    Operator.NOT_EXISTS: _not_exists,
    Operator.GREATER_THAN: _greater_than,
    Operator.LESS_THAN: _less_than,
}
