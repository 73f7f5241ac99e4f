"""Readers of what one value of a request must be like: exact texts, beginnings, patterns, paths."""

from collections.abc import Callable
from json import dumps

import re2

from proxy.config.codes import Code
from proxy.config.match_spec import Absent, Contains, Exact, OrAbsent, Prefix, Present, Regex, Suffix, ValueTest
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described, quoted
from proxy.config.values.fields import Fields
from proxy.config.values.kinds import boolean, is_faulty, mismatch

_LONGEST_PATTERN = 65_536
SINGLE_TESTS = ("exact", "prefix", "suffix", "contains", "regex", "present", "absent")
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


def read_path_test(node: Node, problems: Problems) -> ValueTest | None:
    """A bare path is exact, or a prefix where it ends in `*`; a mapping holds one test by its name."""
    if isinstance(node, MappingNode):
        return _read_explicit_path(node, problems)
    test = _read_bare_test(node, problems, as_written)
    if isinstance(test, Exact) and test.value.endswith("*"):
        test = Prefix(test.value[:-1])
    if isinstance(test, Exact | Prefix) and test.value and not test.value.startswith("/"):
        problems.error(node.place, Code.BAD_VALUE, "a path begins with /")
        return None
    return test


def _read_explicit_path(node: MappingNode, problems: Problems) -> ValueTest | None:
    with Fields(node, problems) as fields:
        test = _read_single_test(fields, SINGLE_TESTS, beside=frozenset())
    if isinstance(test, Exact | Prefix) and test.value and not test.value.startswith("/"):
        message = "every path begins with /, so this never holds"
        problems.warning(node.place, Code.UNREACHABLE_RULE, message)
    return test


def read_tests(node: Node, problems: Problems, spelling: Spelling) -> tuple[ValueTest, ...]:
    """What a value must be like; all of the tests have to hold. A bare value is exact, a mapping holds a test by name.

    With `optional: true` it holds where there is no value, too.
    """
    if not isinstance(node, MappingNode):
        test = _read_bare_test(node, problems, spelling)
        return () if test is None else (test,)
    with Fields(node, problems) as fields:
        tests = _read_named_tests(fields, spelling)
        optional = fields.get("optional", boolean, default=False)
    return tuple(test if isinstance(test, OrAbsent) else OrAbsent(test) for test in tests) if optional else tests


def _read_named_tests(fields: Fields, spelling: Spelling) -> tuple[ValueTest, ...]:
    several = fields.node_of("all")
    if several is None:
        test = _read_single_test(fields, (*SINGLE_TESTS, "all"), beside=frozenset({"optional"}))
        return () if test is None else (test,)
    fields.exclusive(("all", *(kind for kind in SINGLE_TESTS if fields.node_of(kind) is not None)))
    return _read_all(several, fields.problems, spelling)


def _read_all(node: Node, problems: Problems, spelling: Spelling) -> tuple[ValueTest, ...]:
    if not isinstance(node, ListNode) or not node.items:
        mismatch(node, problems, "a list of tests" if not isinstance(node, ListNode) else "at least one test")
        return ()
    return tuple(test for item in node.items for test in read_tests(item, problems, spelling))


def _read_bare_test(node: Node, problems: Problems, spelling: Spelling) -> ValueTest | None:
    if is_faulty(node):
        return None
    if not isinstance(node, ScalarNode) or (node.empty and not node.text):
        mismatch(node, problems, f"a value, or a mapping with one of {', '.join(SINGLE_TESTS)}")
        return None
    return Exact(spelling(node))


def _read_single_test(fields: Fields, expected: tuple[str, ...], *, beside: frozenset[str]) -> ValueTest | None:
    """Exactly one test by its name; others may stand beside it."""
    given = [(kind, value) for kind in SINGLE_TESTS if (value := fields.node_of(kind)) is not None]
    if len(given) == 1:
        kind, value = given[0]
        return _test(kind, value, fields.problems)
    # A stranger will be told as such.
    if given or fields.node.entries.keys() <= beside:
        found = f"found {' and '.join(kind for kind, _ in given)}" if given else "found none"
        message = f"expected exactly one of {', '.join(expected)}; {found}"
        fields.problems.error(fields.place, Code.CONFLICTING_KEYS, message)
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
