"""Promises of a limit that was made ready: its buckets' names, its words, its header lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.buckets import Bucket, Verdict
from proxy.access.quota import MOST_SUBJECTS, Quota, ScopedLimit, Subject, format_reset
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Counted, Limit, Share
from tests.access.clocks import Clock

ALICE = Subject("k1", "alice", "qwen", "10.0.0.1")


def quota(limit: Limit, scope: str = "server/qwen-7b", table: SharedTable | None = None) -> Quota:
    shared = table or SharedTable.create(1, 1024, Clock())
    return Quota(ScopedLimit(limit, scope), lambda key, one: Bucket(shared, key, one.capacity, one.per_second))


def test_a_limit_that_is_not_split_has_one_bucket() -> None:
    one = quota(Limit(Counted.REQUESTS, 10))
    assert one.find(ALICE) is one.find(ALICE._replace(user="bob")) is one.bucket


def test_a_split_limit_has_a_bucket_for_each_of_what_it_is_split_by() -> None:
    one = quota(Limit(Counted.REQUESTS, 10, by=(Share.USER, Share.MODEL)))
    assert one.bucket is None
    assert one.find(ALICE) is one.find(ALICE._replace(address="10.0.0.2", key="k2"))
    assert one.find(ALICE) is not one.find(ALICE._replace(user="bob"))
    assert one.find(ALICE) is not one.find(ALICE._replace(model="llama"))


text = st.text(st.characters(codec=None), max_size=5) | st.sampled_from(["'", "', '", "a', 'b", "\\", "\0"])


@given(st.tuples(text, text), st.tuples(text, text))
def test_no_subject_can_pass_for_another(first: tuple[str, str], second: tuple[str, str]) -> None:
    one = quota(Limit(Counted.REQUESTS, 10, by=(Share.USER, Share.MODEL)))
    keys = [one.key(Subject("", user, model, "")) for user, model in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


@pytest.mark.parametrize(
    ("limit", "scope"),
    [
        (Limit(Counted.REQUESTS, 11), "server/a"),
        (Limit(Counted.TOKENS, 10), "server/a"),
        (Limit(Counted.REQUESTS, 10, "minute"), "server/a"),
        (Limit(Counted.REQUESTS, 10, burst=11), "server/a"),
        (Limit(Counted.REQUESTS, 10, by=(Share.USER,)), "server/a"),
        (Limit(Counted.REQUESTS, 10), "server/b"),
        (Limit(Counted.REQUESTS, 10), "route/a"),
    ],
)
def test_a_limit_that_changed_or_is_of_something_else_has_another_bucket(limit: Limit, scope: str) -> None:
    assert quota(limit, scope).key(ALICE) != quota(Limit(Counted.REQUESTS, 10), "server/a").key(ALICE)


def test_a_limit_written_otherwise_that_means_the_same_keeps_its_bucket() -> None:
    written, again = Limit(Counted.REQUESTS, 60, "minute", burst=60), Limit(Counted.REQUESTS, 60, "minute")
    assert quota(written).key(ALICE) == quota(again).key(ALICE)


def test_the_places_of_split_buckets_are_forgotten_now_and_then_but_not_what_they_hold() -> None:
    one = quota(Limit(Counted.REQUESTS, 10, by=(Share.ADDRESS,)))
    one.find(ALICE).take(4, 1000.0)
    one._buckets.update({str(number): one._buckets["10.0.0.1"] for number in range(MOST_SUBJECTS)})
    one.find(ALICE._replace(address="10.0.0.2"))
    assert len(one._buckets) == 1
    assert one.find(ALICE).free(1000.0) == 6


@pytest.mark.parametrize(
    ("counted", "cost"),
    [(Counted.REQUESTS, 1), (Counted.TOKENS, 70), (Counted.INPUT_TOKENS, 70), (Counted.OUTPUT_TOKENS, 0)],
)
def test_what_a_request_costs_at_first_depends_on_what_is_counted(counted: Counted, cost: float) -> None:
    assert quota(Limit(counted, 1000)).cost(70) == cost


@pytest.mark.parametrize(
    ("counted", "settled", "known", "owed"),
    [
        (Counted.REQUESTS, True, 60, 0),
        (Counted.INPUT_TOKENS, True, 60, -10),
        (Counted.INPUT_TOKENS, True, None, 0),
        (Counted.INPUT_TOKENS, False, 60, 0),
        (Counted.TOKENS, True, 80, 10 + 40),
        (Counted.TOKENS, True, None, 40),
        (Counted.TOKENS, False, 80, 40),
        (Counted.OUTPUT_TOKENS, True, 80, 40),
    ],
)
def test_what_a_request_owes_at_last_depends_on_what_is_counted(
    counted: Counted, settled: bool, known: int | None, owed: float
) -> None:
    one = quota(Limit(counted, 1000, settled=settled))
    assert one.owed(one.cost(70), known, 40) == owed


def test_a_refusal_says_which_limit_of_what() -> None:
    verdict = Verdict(False, 0.0, 1.0, 0.5)
    messages = [
        quota(Limit(counted, 10), scope).refusal(verdict, 5, b"").message
        for counted, scope in [
            (Counted.REQUESTS, "server/qwen-7b"),
            (Counted.INPUT_TOKENS, "route/chat"),
            (Counted.OUTPUT_TOKENS, "key/alice"),
            (Counted.TOKENS, "jwt/a/b"),
        ]
    ]
    assert messages == [
        "request rate limit exceeded for model server: qwen-7b",
        "input token rate limit exceeded for route: chat",
        "output token rate limit exceeded for key: alice",
        "token rate limit exceeded for jwt: a/b",
    ]


def test_the_refusal_of_a_prompt_that_never_fits_says_so_and_bids_nobody_wait() -> None:
    error = quota(Limit(Counted.INPUT_TOKENS, 100)).refusal(Verdict(False, 100.0, 0.0, None), 101, b"a: b\r\n")
    assert (error.status, error.code, error.kind) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error.retry_after is None
    assert error.headers == b"a: b\r\n"
    assert error.message.endswith("(the prompt has about 101 tokens, more than the limit of 100)")


def test_the_headers_are_those_that_clients_know() -> None:
    assert quota(Limit(Counted.REQUESTS, 10, burst=3)).header(2.0) == (
        b"x-ratelimit-limit-requests: 3\r\nx-ratelimit-remaining-requests: 2\r\nx-ratelimit-reset-requests: 100ms\r\n"
    )
    assert quota(Limit(Counted.OUTPUT_TOKENS, 60, "minute")).header(-5.5) == (
        b"x-ratelimit-limit-tokens: 60\r\nx-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 1m5.5s\r\n"
    )


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, b"0s"),
        (0.02, b"20ms"),
        (0.0001, b"1ms"),
        (0.9991, b"1s"),
        (1.0, b"1s"),
        (1.5, b"1.5s"),
        (59.9999, b"1m0s"),
        (360.0, b"6m0s"),
        (61.25, b"1m1.25s"),
        (7322.0, b"2h2m2s"),
    ],
)
def test_a_reset_is_written_as_openai_does(seconds: float, written: bytes) -> None:
    assert format_reset(seconds) == written


def test_a_quota_tells_what_it_is() -> None:
    assert repr(quota(Limit(Counted.TOKENS, 60, "minute"))) == "<Quota server/qwen-7b: 60 tokens a minute>"
