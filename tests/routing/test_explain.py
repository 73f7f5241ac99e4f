"""What an explanation promises: it tells what lookup did."""

import pytest

from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Config,
    Contains,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    ModelServer,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Route,
    Rule,
    Suffix,
    Target,
)
from proxy.routing.compiler import compile_table
from proxy.routing.explain import Verdict, describe, why
from tests.routing.fake_request import FakeRequest

PREMIUM = Match((PathCondition(Prefix("/v1/")), HeaderCondition("user-type", Exact("premium"))))
INSIDER = Match((QueryCondition("beta", Present()),))
TABLE = compile_table(
    Config(
        {"s": ModelServer("s", ())},
        (
            Route("any", (Rule("rest", (Target("s"),)),), models=("*",)),
            Route("chat", (Rule("premium", (Target("s"),), (PREMIUM, INSIDER)),), models=("qwen",)),
        ),
    )
)


def test_each_rule_tried_tells_what_it_failed_on() -> None:
    assert why(TABLE, FakeRequest("qwen")) == [
        Verdict("chat", "premium", False, "not: header user-type is 'premium'; not: query parameter beta is present"),
        Verdict("any", "rest", True, "holds always"),
    ]


def test_the_rule_that_answers_tells_what_held() -> None:
    request = FakeRequest("qwen", headers={"user-type": "premium"})
    reason = "path begins with '/v1/' and header user-type is 'premium'"
    assert why(TABLE, request) == [Verdict("chat", "premium", True, reason)]


def test_nothing_holds_where_lookup_finds_nothing() -> None:
    assert TABLE.lookup(FakeRequest(None)) is None
    assert why(TABLE, FakeRequest(None)) == []


def test_an_adapter_is_explained_too() -> None:
    table = compile_table(
        Config({"s": ModelServer("s", ())}, (Route("l", (Rule("r", (Target("s"),)),), adapters=("lora",)),))
    )
    assert why(table, FakeRequest("lora")) == [Verdict("l", "r", True, "holds always")]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (MethodCondition(frozenset({"POST", "GET"})), "method is GET or POST"),
        (PathCondition(Suffix("/x")), "path ends with '/x'"),
        (HeaderCondition("a", Absent()), "header a is absent"),
        (QueryCondition("q", Contains("x")), "query parameter q contains 'x'"),
        (BodyCondition(("user", "id"), Regex("^x")), "body field user.id matches '^x'"),
    ],
)
def test_a_condition_can_be_put_in_words(condition: Condition, words: str) -> None:
    assert describe(condition) == words
