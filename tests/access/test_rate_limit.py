"""Promises of the rate limit, on a clock that only the tests move."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.rate_limit import LimiterSet, RequestLimiter, Verdict, format_reset
from proxy.config.spec import ModelServer, RateLimit


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def server(name: str, rate_limit: RateLimit | None) -> ModelServer:
    return ModelServer(name, (), rate_limit=rate_limit)


def test_a_burst_is_admitted_and_the_next_request_refused() -> None:
    limiter = RequestLimiter(RateLimit(10, 3), Clock())
    assert [limiter.admit().admitted for _ in range(5)] == [True, True, True, False, False]


def test_a_verdict_says_what_remains_and_when_it_resets() -> None:
    limiter = RequestLimiter(RateLimit(10, 3), Clock())
    assert limiter.admit() == pytest.approx(Verdict(True, 2, 0.1, 0.0), abs=1e-6)
    assert limiter.admit() == pytest.approx(Verdict(True, 1, 0.2, 0.0), abs=1e-6)
    assert limiter.admit() == pytest.approx(Verdict(True, 0, 0.3, 0.1), abs=1e-6)
    assert limiter.admit() == pytest.approx(Verdict(False, 0, 0.3, 0.1), abs=1e-6)


def test_a_refused_request_takes_nothing() -> None:
    clock = Clock()
    limiter = RequestLimiter(RateLimit(1, 1), clock)
    limiter.admit()
    for _ in range(1000):
        assert not limiter.admit().admitted
    clock.now += 1.0
    assert limiter.admit().admitted


def test_permits_come_back_at_the_rate_and_only_up_to_the_burst() -> None:
    clock = Clock()
    limiter = RequestLimiter(RateLimit(2, 4), clock)
    for _ in range(4):
        limiter.admit()
    clock.now += 1.0
    assert [limiter.admit().admitted for _ in range(3)] == [True, True, False]
    clock.now += 3600.0
    assert sum(limiter.admit().admitted for _ in range(10)) == 4


@given(
    rate=st.floats(0.001, 100_000),
    burst=st.integers(1, 1000),
    start=st.floats(0, 1e7),
    pauses=st.lists(st.floats(0, 10), max_size=20),
)
def test_who_waits_as_told_is_admitted(rate: float, burst: int, start: float, pauses: list[float]) -> None:
    clock = Clock(start)
    limiter = RequestLimiter(RateLimit(rate, burst), clock)
    for pause in pauses:
        clock.now += pause / rate
        limiter.admit()
    verdict = limiter.admit()
    clock.now += math.ceil(verdict.retry_after * 1000) / 1000
    assert limiter.admit().admitted


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_window_admits_more_than_its_burst_and_its_rate(rate: int, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = RequestLimiter(RateLimit(rate, burst), clock)
    admitted = 0
    for pause in pauses:
        clock.now += pause
        admitted += limiter.admit().admitted
        assert admitted <= burst + rate * (clock.now - 1000.0) + 1e-3


def test_the_headers_are_those_that_clients_know() -> None:
    limiter = RequestLimiter(RateLimit(10, 3), Clock())
    assert limiter.headers(limiter.admit()) == (
        b"x-ratelimit-limit-requests: 3\r\nx-ratelimit-remaining-requests: 2\r\nx-ratelimit-reset-requests: 100ms\r\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
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
def test_a_reset_is_written_as_openai_does(seconds: float, text: bytes) -> None:
    assert format_reset(seconds) == text


def test_a_limiter_outlives_a_reload_that_leaves_its_limit_unchanged() -> None:
    limiters = LimiterSet(clock=Clock())
    limiters.update({"a": server("a", RateLimit(1, 1)), "b": server("b", RateLimit(1, 1))})
    taken = {name: limiter for name in ("a", "b") if (limiter := limiters.get(name)) and limiter.admit()}
    limiters.update({"a": server("a", RateLimit(1, 1)), "b": server("b", RateLimit(1, 2))})
    assert limiters.get("a") is taken["a"]
    assert limiters.get("b") is not taken["b"]


def test_a_server_without_a_limit_has_no_limiter() -> None:
    limiters = LimiterSet(clock=Clock())
    limiters.update({"a": server("a", RateLimit(1, 1)), "free": server("free", None)})
    assert limiters.get("free") is None
    limiters.update({"a": server("a", None)})
    assert limiters.get("a") is None


def test_several_workers_share_a_limit() -> None:
    sets = [LimiterSet(4, Clock()) for _ in range(4)]
    admitted = 0
    for limiters in sets:
        limiters.update({"a": server("a", RateLimit(100, 20))})
        limiter = limiters.get("a")
        assert limiter is not None
        admitted += sum(limiter.admit().admitted for _ in range(100))
    assert admitted == 20


def test_a_burst_smaller_than_the_workers_still_admits() -> None:
    limiters = LimiterSet(8, Clock())
    limiters.update({"a": server("a", RateLimit(1, 2))})
    limiter = limiters.get("a")
    assert limiter is not None
    assert limiter.admit().admitted


def test_a_limiter_tells_how_full_it_is() -> None:
    limiter = RequestLimiter(RateLimit(10, 3), Clock())
    limiter.admit()
    assert repr(limiter) == "<RequestLimiter 10/s, 1.0 of 3 taken>"
