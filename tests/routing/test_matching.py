"""What conditions, matches, rules and globs promise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.match_spec import (
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
from proxy.config.spec import Origin, Rule, Target
from proxy.errors import ConfigError
from proxy.routing.matching import compile_condition, compile_glob, compile_match, compile_rule
from tests.routing.fake_request import FakeRequest

TARGETS = (Target("any"),)

CASES: list[tuple[ValueTest, str | None, bool]] = [
    (Exact("abc"), "abc", True),
    (Exact("abc"), "abcd", False),
    (Exact(""), "", True),
    (Exact(""), None, False),
    (Prefix("ab"), "abc", True),
    (Prefix("bc"), "abc", False),
    (Prefix(""), None, False),
    (Suffix("bc"), "abc", True),
    (Suffix("ab"), "abc", False),
    (Contains("b"), "abc", True),
    (Contains("x"), "abc", False),
    (Contains(""), None, False),
    (Regex("b."), "abc", True),
    (Regex("^b"), "abc", False),
    (Regex("^a.c$"), "aéc", True),
    (Regex(".*"), None, False),
    (Present(), "", True),
    (Present(), None, False),
    (Absent(), None, True),
    (Absent(), "", False),
]


def request(value: str | None) -> FakeRequest:
    values = {} if value is None else {"key": value}
    return FakeRequest(headers=values, parameters=values, body={} if value is None else {("key", "of"): value})


@pytest.mark.parametrize(("test", "value", "holds"), CASES)
def test_each_test_means_the_same_on_a_header_a_parameter_and_a_body_field(
    test: ValueTest, value: str | None, holds: bool
) -> None:
    for condition in (HeaderCondition("key", test), QueryCondition("key", test), BodyCondition(("key", "of"), test)):
        assert compile_condition(condition)(request(value)) is holds


@pytest.mark.parametrize(("test", "value", "holds"), [case for case in CASES if case[1] is not None])
def test_each_test_means_the_same_on_a_path(test: ValueTest, value: str, holds: bool) -> None:
    assert compile_condition(PathCondition(test))(FakeRequest(path=value)) is holds


def test_a_method_is_one_of_those_named() -> None:
    reads = compile_condition(MethodCondition(frozenset({"GET", "HEAD"})))
    assert reads(FakeRequest(method="HEAD"))
    assert not reads(FakeRequest(method="POST"))


@pytest.mark.parametrize("value", [f"user-{chr(code)}-1" for code in (0xDCFF, 0xD800, 0x00, 0x1F600)])
def test_a_value_that_is_no_utf8_meets_a_pattern_like_any_other(value: str) -> None:
    assert compile_condition(HeaderCondition("key", Regex("^user-.-[0-9]$")))(request(value))
    assert not compile_condition(HeaderCondition("key", Regex("^user-.-[a-z]$")))(request(value))


@given(st.text(st.characters(codec=None, categories=None)))
def test_no_value_breaks_a_pattern(value: str) -> None:
    assert compile_condition(HeaderCondition("key", Regex("(?s)^.*$")))(request(value))


def test_a_pattern_that_ruins_backtracking_is_answered_at_once() -> None:
    assert not compile_condition(HeaderCondition("key", Regex("^(a|a)*(a|aa)*$")))(request("a" * 100_000 + "b"))


def test_a_match_holds_when_all_of_its_conditions_hold() -> None:
    conditions = tuple(HeaderCondition(name, Present()) for name in "abcd")
    for count in range(1, 5):
        holds = compile_match(Match(conditions[:count]))
        assert holds(FakeRequest(headers=dict.fromkeys("abcd"[:count], "")))
        for missing in range(count):
            present = [name for place, name in enumerate("abcd"[:count]) if place != missing]
            assert not holds(FakeRequest(headers=dict.fromkeys(present, "")))


def test_a_rule_holds_when_any_of_its_matches_holds() -> None:
    matches = tuple(Match((HeaderCondition(name, Present()),)) for name in "abcd")
    for count in range(1, 5):
        holds = compile_rule(Rule("any", TARGETS, matches[:count]))
        assert holds is not None
        assert not holds(FakeRequest())
        for name in "abcd"[:count]:
            assert holds(FakeRequest(headers={name: ""}))


@pytest.mark.parametrize("matches", [(), (Match(()),), (Match((PathCondition(Exact("/x")),)), Match(()))])
def test_a_rule_without_conditions_holds_always(matches: tuple[Match, ...]) -> None:
    assert compile_rule(Rule("always", TARGETS, matches)) is None


def test_a_body_is_not_read_when_a_cheaper_condition_fails() -> None:
    class Bodiless(FakeRequest):
        def field(self, keys: tuple[str, ...]) -> str | None:
            raise AssertionError("the body was read")

    conditions: tuple[Condition, ...] = (
        BodyCondition(("user",), Exact("x")),
        HeaderCondition("key", Regex("^x$")),
        MethodCondition(frozenset({"POST"})),
    )
    holds = compile_match(Match(conditions))
    assert not holds(Bodiless(method="GET", headers={"key": "x"}))
    assert not holds(Bodiless(headers={"key": "y"}))


def test_a_pattern_that_is_not_re2_is_a_problem_at_its_place() -> None:
    origin = Origin("routes.yaml", 7, 3, "routes[0].rules[0]")
    rule = Rule("looks-back", TARGETS, (Match((PathCondition(Regex("(?<=a)b")),)),), origin=origin)
    with pytest.raises(ConfigError, match=r"routes.yaml:7:3: error bad-pattern .*looks-back.*\?<"):
        compile_rule(rule)


@pytest.mark.parametrize(
    ("pattern", "name", "holds"),
    [
        ("qwen", "qwen", True),
        ("qwen", "qwen-7b", False),
        ("qwen-*", "qwen-7b", True),
        ("qwen-*", "qwen-", True),
        ("qwen-*", "qwen", False),
        ("*", "", True),
        ("**", "anything", True),
        ("*-7b", "qwen-7b", True),
        ("*-7b", "qwen-7b-chat", False),
        ("a*a", "a", False),
        ("ab*ba", "aba", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*bc*c", "abc", False),
        ("[a]?.*", "[a]?.x", True),
        ("[a]?.*", "a.x", False),
        ("*\n*", "two\nlines", True),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, holds: bool) -> None:
    assert compile_glob(pattern)(name) is holds


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_glob_equals_its_meaning(pattern: str, name: str) -> None:
    meaning = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert compile_glob(pattern)(name) is bool(re.fullmatch(meaning, name, re.DOTALL))


def test_a_glob_of_many_stars_takes_linear_time() -> None:
    assert not compile_glob("a*" * 50 + "b")("a" * 100_000)
