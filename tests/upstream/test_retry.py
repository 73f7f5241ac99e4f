"""Promises of retry decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.retry import RetryBudget, backoff, may_retry, parse_retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# --- may_retry --------------------------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_what_was_not_sent_may_always_be_retried(method: str, path: str) -> None:
    assert may_retry(method, path, sent=False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_an_idempotent_request_may_be_retried_anywhere(method: str) -> None:
    assert may_retry(method, "/v1/responses/resp_1", sent=True)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/rerank", "/v2/rerank"),
        *("/v1/score", "/score", "/pooling", "/classify", "/v1/classify", "/v1/messages", "/v1/messages/count_tokens"),
        *("/tokenize", "/detokenize", "/generate", "/inference/v1/generate"),
        *("/v1/chat/completions/batch", "/generative_scoring"),
        *("/v1/audio/transcriptions", "/v1/audio/translations"),
    ],
)
def test_a_stateless_generation_that_was_sent_may_be_retried(path: str) -> None:
    assert may_retry("POST", path, sent=True)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/responses", "/v1/responses/resp_1/cancel", "/v1/conversations", "/v1/files", "/v1/batches"),
        *("/v1/load_lora_adapter", "/unknown", "/", "", "/v1/chat/completions/", "/V1/CHAT/COMPLETIONS", "/x/v1/score"),
    ],
)
def test_what_may_leave_a_trace_is_not_sent_twice(path: str) -> None:
    assert not may_retry("POST", path, sent=True)


@pytest.mark.parametrize("method", ["PATCH", "CONNECT", "post", "get", "PURGE"])
def test_an_unknown_method_is_not_sent_twice(method: str) -> None:
    assert not may_retry(method, "/v1/chat/completions", sent=True)


# --- backoff ----------------------------------------------------------------------------------------------------------


def test_a_backoff_doubles_and_is_capped() -> None:
    assert [backoff(attempt, 1.0, lambda: 1.0) for attempt in (1, 2, 3, 4, 5000)] == [1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.integers(1, 10_000), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_jittered_over_its_whole_range(attempt: int, base: float, chance: float) -> None:
    assert backoff(attempt, base, lambda: chance) == chance * backoff(attempt, base, lambda: 1.0)
    assert 0 <= backoff(attempt, base, lambda: chance) <= 5.0


# --- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b" 120 ", 120.0),
        (b"9999999999", 9_999_999_999.0),
        (b"Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        (b"Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        (b"Sun Nov  6 08:49:47 1994", 10.0),
        (b"Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
    ],
)
def test_both_forms_of_retry_after_are_read(value: bytes, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-1",
        b"1.5",
        b"soon",
        b"1e3",
        b"\xd9\xa1",
        b"9" * 5000,
        b"Sun, 36 Nov 1994 08:49:47 GMT",
        b"12:00",
        b"Sun, 06 Nov 1994 25:49:47 GMT",
    ],
)
def test_a_senseless_retry_after_is_ignored(value: bytes) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.binary(max_size=100) | st.text("SunNov 0123456789:,-GMT", max_size=40).map(str.encode))
def test_no_retry_after_breaks_anything(value: bytes) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


# --- the budget -------------------------------------------------------------------------------------------------------


def test_low_traffic_may_be_retried_from_the_reserve() -> None:
    budget = RetryBudget(0.2, 10, Clock())
    assert sum(budget.withdraw() for _ in range(50)) == 10


def test_requests_earn_their_share_of_retries() -> None:
    budget = RetryBudget(0.2, 10, Clock())
    for _ in range(1000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(1000)) == 210


def test_the_reserve_comes_back() -> None:
    clock = Clock()
    budget = RetryBudget(0.2, 10, clock)
    for _ in range(3):
        assert sum(budget.withdraw() for _ in range(50)) == 10
        clock.now += 20.0


def test_what_was_earned_is_forgotten() -> None:
    clock = Clock()
    budget = RetryBudget(0.5, 0, clock)
    for _ in range(100):
        budget.deposit()
    clock.now += 30.0
    assert not budget.withdraw()


def test_what_was_earned_a_moment_ago_still_counts_in_the_next_window() -> None:
    clock = Clock()
    budget = RetryBudget(0.5, 0, clock)
    clock.now = 9.9
    for _ in range(100):
        budget.deposit()
    clock.now = 10.1
    assert sum(budget.withdraw() for _ in range(100)) == 50


def test_a_budget_of_nothing_grants_nothing() -> None:
    budget = RetryBudget(0.0, 0, Clock())
    for _ in range(100):
        budget.deposit()
    assert not budget.withdraw()


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300))
def test_an_outage_never_adds_more_than_the_share(steps: list[tuple[bool, float]]) -> None:
    clock = Clock()
    budget = RetryBudget(0.2, 3, clock)
    events: list[tuple[float, bool]] = []
    for deposit, pause in steps:
        clock.now += pause
        if deposit:
            budget.deposit()
        if deposit or budget.withdraw():
            events.append((clock.now, deposit))
    for end in range(0, int(clock.now) + 11, 10):
        retries = sum(not deposit for moment, deposit in events if end - 10 <= moment < end)
        requests = sum(deposit for moment, deposit in events if end - 30 <= moment < end)
        assert retries <= 2 * (0.2 * requests + 3)


def test_a_budget_tells_what_is_spent() -> None:
    budget = RetryBudget(0.2, 10, Clock())
    budget.deposit()
    budget.withdraw()
    assert repr(budget) == "<RetryBudget 1 of 10.2 retries spent>"
