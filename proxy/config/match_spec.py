"""What was asked of requests: tests of one value, conditions, and matches of several. All of it is frozen."""

from dataclasses import dataclass
from typing import Union

from proxy.operators import Operator

# --- tests of one value ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exact:
    """The value is this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The value begins with this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Suffix:
    """The value ends with this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The value holds this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Regex:
    """An RE2 pattern is found somewhere in the value (anchor it with ^ and $)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value, whatever it is."""


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value."""


@dataclass(frozen=True, slots=True)
class OrAbsent:
    """There is no value, or it passes this test."""

    test: "ValueTest"


ValueTest = Union[Exact, Prefix, Suffix, Contains, Regex, Present, Absent, OrAbsent]  # noqa: UP007 - it names itself

# --- conditions on a request -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeaderCondition:
    """On a header; `name` is lower-case. Several fields of a name are joined by ", "."""

    name: str
    test: ValueTest


@dataclass(frozen=True, slots=True)
class QueryCondition:
    """On a query parameter, percent-decoded; the first one where a name stands twice."""

    name: str
    test: ValueTest


@dataclass(frozen=True, slots=True)
class PathCondition:
    """On the request's path, percent-decoded, without the query."""

    test: ValueTest


@dataclass(frozen=True, slots=True)
class MethodCondition:
    """On the method: one of these, upper-case."""

    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class BodyCondition:
    """On a field of a JSON body, by its keys from the top. Other scalars than strings compare as JSON spells them."""

    keys: tuple[str, ...]
    test: ValueTest


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """On a field of the request's data, by a dotted path, as Mixtrain's operators compare it.

    The data are the body's own top-level keys, and under `request` what the message itself says (method, path, type,
    model, stream, headers, query) unless the body has an object of that name. `value` is JSON text: it tells 1, 1.0 and
    true apart.
    """

    field: str
    operator: Operator
    value: str = "null"


Condition = HeaderCondition | QueryCondition | PathCondition | MethodCondition | BodyCondition | FieldCondition


@dataclass(frozen=True, slots=True)
class Match:
    """All of its conditions hold."""

    conditions: tuple[Condition, ...]
