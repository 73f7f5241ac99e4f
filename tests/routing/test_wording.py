"""Words are short, exact enough, and show no credential."""

import pytest

from proxy.config.spec import RateLimit, Retries, Selector, Shadow, Target, Timeouts, TokenLimit
from proxy.config.spec import Rule as RuleSpec
from proxy.routing import wording


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.7, "70%"),
        (1 / 3, "33.3%"),
        (1.0, "100%"),
        (0.0, "0%"),
        (0.0001, "<0.1%"),
        (0.99999, ">99.9%"),
        (0.055, "5.5%"),
    ],
)
def test_a_share_is_told_in_per_cent_and_never_as_nothing_or_all_where_it_is_not(share: float, told: str) -> None:
    assert wording.percent(share) == told


def test_shares_of_nothing_are_nothing() -> None:
    assert wording.shares([1, 3]) == [0.25, 0.75]
    assert wording.shares([0, 0]) == [0.0, 0.0]
    assert wording.shares([]) == []


def test_credentials_in_headers_are_not_shown() -> None:
    for name in ("Authorization", "x-api-key", "api-key", "COOKIE"):
        assert wording.header_value(name, "secret") == "***"
    assert wording.header_value("x-tier", "gold") == "gold"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\x1b[2J", r"'a\x1b[2J'"),
        ("x" * 61, "'" + "x" * 60 + "'..."),
        (True, "true"),
        (1.5, "1.5"),
        (["a", 1], '["a",1]'),
        ([list(range(100))], "[[" + ",".join(map(str, range(100)))[:58] + "..."),
        (10**30, str(10**30)),
    ],
)
def test_a_value_is_shown_on_one_line_and_cut(value: object, told: str) -> None:
    assert wording.shown_value(value) == told


def test_retries_are_told_with_their_causes() -> None:
    assert wording.retries(Retries()) == "2 on connect-failure, reset, 502, 503, 504, first pause up to 25ms"
    assert wording.retries(Retries(0)) == "none"
    every = Retries(1, frozenset(), frozenset(range(500, 600)) | {429}, 0.0)
    assert wording.retries(every) == "1 on 5xx, 429, without a pause"
    assert wording.causes(Retries(1, frozenset(), frozenset())) == "nothing"


def test_policies_are_told() -> None:
    assert wording.timeouts(Timeouts(5.0, 600.0)) == "connect 5s, first byte 10m"
    assert wording.timeouts(Timeouts()) == "none"
    assert wording.duration(None) == "none"
    assert wording.rate_limit(RateLimit(1.5, 3)) == "1.5 requests per second, 3 at once"
    assert wording.token_limit(TokenLimit(1000, None, "minute", "r:1")) == "1,000 tokens in per minute, shared by r:1"
    assert wording.token_limit(TokenLimit(None, None)) == "no tokens per second"


def test_a_selector_is_told() -> None:
    told = wording.selector(Selector("prod", (("app", "a"), ("b", "c")), "w", (8000, 8001)))
    assert told == "the workload w with labels app=a, b=c in the namespace prod, on port 8000, 8001"
    assert wording.selector(Selector()) == "any endpoint in the namespace default"


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (RuleSpec("r", (Target("a"),)), "single"),
        (RuleSpec("r", (Target("a"), Target("b", 0))), "single"),
        (RuleSpec("r", (Target("a"), Target("b"))), "split"),
        (RuleSpec("r", (Target("a"),), fallback=(Target("b"),)), "fallback"),
        (RuleSpec("r", (Target("a"),), shadow=Shadow(Target("b"))), "shadow"),
        (RuleSpec("r", (Target("a"), Target("b")), fallback=(Target("c"),)), "split+fallback"),
    ],
)
def test_a_rules_strategy_is_told_in_mixtrains_words(rule: RuleSpec, word: str) -> None:
    assert wording.strategy(rule) == word
