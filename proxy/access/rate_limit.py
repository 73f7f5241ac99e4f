"""How many requests a model server takes: a leaky bucket for each, asked without waiting."""

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiolimiter import AsyncLimiter

from proxy.config.spec import ModelServer, RateLimit

# Of a permit. Sums of floats fall short by less, and a client that has waited as told must not be sent away again.
TOLERANCE = 1e-6
NEARLY_ONE = 1.0 - TOLERANCE
HALF_TOLERANCE = TOLERANCE / 2


class Verdict(NamedTuple):
    """The answer to one request. Times are in seconds; `remaining` counts requests that would be admitted now.

    `reset` is the time until the whole burst is free again, `retry_after` the time until one request is (0 if one is).
    A tuple, because a frozen dataclass costs twice as much to make (benchmarks/telemetry.py).
    """

    admitted: bool
    remaining: int
    reset: float
    retry_after: float


class RequestLimiter(AsyncLimiter):
    """The permits of one model server in one worker: aiolimiter's bucket with an admission that never waits.

    `clock` gives seconds and never goes back. The bucket's level is the only state.
    """

    __slots__ = ("_clock", "rate_limit")

    def __init__(self, rate_limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(rate_limit.burst, rate_limit.burst / rate_limit.requests_per_second)
        self.rate_limit = rate_limit
        self._clock = clock

    def __repr__(self) -> str:
        limit = self.rate_limit
        return f"<RequestLimiter {limit.requests_per_second:g}/s, {self._level:.1f} of {limit.burst} taken>"

    def _leak(self) -> None:
        """Drip out what has gone by since the last look: aiolimiter's arithmetic, on our clock."""
        now = self._clock()
        level = self._level - (now - self._last_check) * self._rate_per_sec
        self._level = level if level > 0.0 else 0.0  # noqa: FURB136 - max() costs 80 ns more
        self._last_check = now

    def admit(self) -> Verdict:
        """Take a permit if one is free, and tell how things stand. Hot path: benchmarks/telemetry.py measures it."""
        admitted = self.has_capacity(NEARLY_ONE)
        if admitted:
            self._level += 1.0
        level = self._level
        free = self.max_rate - level + TOLERANCE
        rate = self._rate_per_sec
        return Verdict(admitted, int(free), level / rate, 0.0 if free >= 1.0 else (1.0 - free + HALF_TOLERANCE) / rate)

    def headers(self, verdict: Verdict) -> bytes:
        """The fields that OpenAI's clients know, as lines of a head."""
        return (
            b"x-ratelimit-limit-requests: %d\r\n"
            b"x-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %b\r\n"
        ) % (self.rate_limit.burst, verdict.remaining, format_reset(verdict.reset))


def format_reset(seconds: float) -> bytes:
    """A duration as OpenAI writes it ("20ms", "1s", "1.5s", "6m0s"), rounded up to milliseconds."""
    milliseconds = math.ceil(seconds * 1000 - TOLERANCE)
    if milliseconds <= 0:
        return b"0s"
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, part = divmod(milliseconds, 1000)
    text = f"{whole}.{part:03d}".rstrip("0").rstrip(".") if part else str(whole)
    if hours:
        return f"{hours}h{minutes}m{text}s".encode()
    return f"{minutes}m{text}s".encode() if minutes else f"{text}s".encode()


class LimiterSet:
    """The limiters of all model servers by name. A limiter outlives a reload that leaves its rate limit unchanged."""

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._limiters: dict[str, RequestLimiter] = {}

    def get(self, server: str) -> RequestLimiter | None:
        """The limiter of a model server, None where it has no rate limit."""
        return self._limiters.get(server)

    def update(self, servers: Mapping[str, ModelServer]) -> None:
        """Adopt the limiters of servers that keep their rate limit, make those that are new, drop those that went."""
        self._limiters = {
            name: self._adopt(name, worker_share(server.rate_limit, self._workers))
            for name, server in servers.items()
            if server.rate_limit is not None
        }

    def _adopt(self, name: str, rate_limit: RateLimit) -> RequestLimiter:
        limiter = self._limiters.get(name)
        if limiter is not None and limiter.rate_limit == rate_limit:
            return limiter
        return RequestLimiter(rate_limit, self._clock)


def worker_share(rate_limit: RateLimit, workers: int) -> RateLimit:
    """What one of several workers may admit, so that all of them together keep the limit (a burst of at least one)."""
    return RateLimit(rate_limit.requests_per_second / workers, max(1, rate_limit.burst // workers))
