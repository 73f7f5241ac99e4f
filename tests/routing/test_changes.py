"""Changes are told in few words, and no value that is secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.access_spec import Auth, Counted, Limit, Queueing, Redis
from proxy.config.match_spec import Exact, HeaderCondition, Match
from proxy.config.spec import (
    Analysis,
    Balance,
    Canary,
    Credential,
    Origin,
    RateLimit,
    Retries,
    Selector,
    ServiceListener,
    Shadow,
    Sticky,
    StickyKind,
    Target,
    Timeouts,
    TokenLimit,
    UpstreamTls,
)
from proxy.routing.changes import (
    Action,
    Change,
    Part,
    change,
    field_changes,
    keyed_changes,
    moved,
    said,
    target_words,
    when,
)


@given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True))
def test_what_moved_is_enough_to_explain_the_order_and_no_more(old: list[int], new: list[int]) -> None:
    names, others = list(map(str, old)), list(map(str, new))
    gone = {name for name, _ in moved(names, others)}
    stayed = [name for name in names if name in others and name not in gone]
    assert stayed == [name for name in others if name in names and name not in gone]
    assert gone <= set(names) & set(others)
    if gone:
        assert [name for name in names if name in others] != [name for name in others if name in names]


def test_one_that_moved_is_told_with_its_neighbour() -> None:
    assert moved(["a", "b", "c"], ["c", "a", "b"]) == [("c", None)]
    assert moved(["a", "b", "c"], ["b", "c", "x", "a"]) == [("a", "c")]
    assert moved(["a", "b"], ["a", "x", "b"]) == []


def test_things_by_name_are_new_gone_or_another() -> None:
    changes = keyed_changes("header", {"a": "1", "b": "2", "c": ""}, {"b": "3", "c": "", "d": "4", "e": ""})
    assert changes == ["header a removed", "header b: 2 → 3", "header d added (4)", "header e added"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (Timeouts(1.0, 60.0), Timeouts(1.0, 120.0, total=5.0), "t: first byte 1m → 2m, total none → 5s"),
        (None, RateLimit(5.0, 10), "t none → 5 requests per second, 10 at once"),
        (Balance.RANDOM, Balance.LEAST_REQUEST, "t random → least-request"),
        (False, True, "t no → yes"),
        ("", "x", "t none → x"),
        ((), (Target("a"), Target("b", model="m")), "t none → a, b (model m)"),
    ],
)
def test_a_value_is_told_with_what_it_became(old: object, new: object, told: str) -> None:
    assert change("t", old, new) == told


def test_a_secret_that_differs_is_not_shown() -> None:
    match = Match((HeaderCondition("authorization", Exact("a")),))
    other = Match((HeaderCondition("authorization", Exact("b")),))
    assert change("when", (match,), (other,)) == "when: changed where it is not shown"
    keys = Credential(value="hunter2"), Credential(value="hunter3")
    assert change("credential", *keys) == "credential: changed where it is not shown"
    shared = [(Limit(Counted.TOKENS, 5.0, redis=Redis(f"redis://:{word}@h")),) for word in ("hunter2", "hunter3")]
    assert change("limits", *shared) == "limits: changed where it is not shown"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Retries(1), "1 on connect-failure, reset, 502, 503, 504, first pause up to 25ms"),
        (TokenLimit(5, 6), "5 tokens in and 6 tokens out per second"),
        (Selector("n"), "any endpoint in the namespace n"),
        (Shadow(Target("s"), 3), "s, at most 3 at once"),
        (Shadow(Target("s"), 3, 2.5, 2048), "s, 2.5% of requests, at most 3 at once, bodies of at most 2KiB"),
        (Analysis(99.0, 60.0), "at least 99% of its requests, 20 or more, must succeed in each 1m"),
        (Canary(), "is not judged"),
        (
            Canary(Analysis(99.5, 60.0, 1000, 1.5, 2.0), (1, 5)),
            (
                "at least 99.5% of its requests, 1,000 or more, must succeed in each 1m, and take at most 1.5 times as "
                "long to its first token and 2 times as long for each further one as those of the stable target; "
                "its steps are 1%, 5%"
            ),
        ),
        (Sticky(StickyKind.USER), "each user"),
        (Sticky(StickyKind.COOKIE, "sid"), "each value of the cookie sid"),
        (Auth(client_certificate=True), "a client certificate"),
        ((Limit(Counted.REQUESTS, 5.0), Limit(Counted.TOKENS, 7.0)), "5 requests per second; 7 tokens per second"),
        (Queueing(5), "at most 5 in flight, none may wait"),
        (ServiceListener(80), "port 80"),
        (Credential(value="hunter2"), "an API key"),
        (UpstreamTls(ca="/a"), "ca /a, verify yes"),
        ((("a", "b"), ("c", "d")), "a=b, c=d"),
        (frozenset({"b", "a"}), "a, b"),
        (Match(()), "always"),
        (5, "5"),
    ],
)
def test_whatever_a_spec_holds_can_be_said(value: object, told: str) -> None:
    assert said(value) == told


def test_a_target_is_told_with_its_own_terms() -> None:
    target = Target("a", model="m", timeouts=Timeouts(idle=5.0), retries=Retries(0))
    assert target_words(target) == "a (model m, timeouts idle 5s, retries none)"


def test_matches_are_alternatives() -> None:
    one, other = (Match((HeaderCondition(name, Exact("v")),)) for name in ("x", "y"))
    assert when((one, other)) == "header x is 'v' or header y is 'v'"
    assert when(()) == "always"


def test_where_something_stands_is_no_field_that_changes() -> None:
    assert field_changes(UpstreamTls(), UpstreamTls(verify=False), ()) == ["verify yes → no"]
    assert said(Origin("f", 1, 1, "")) != ""


def test_a_change_names_its_part() -> None:
    assert Change(Action.ADDED, Part.RULE, "default", "chat").subject == "route chat, rule default"
    assert Change(Action.REMOVED, Part.SERVER, "small").subject == "server small"
