"""Whether, when and how often a request is tried again: decisions only, in plain functions."""

import calendar
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate

# RFC 9110 section 9.2.2.
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

# Endpoints of vLLM and SGLang that compute an answer and keep nothing: running them twice wastes work, no more.
# Not among them: /v1/responses and /v1/conversations (they store), files, batches, whatever is unknown.
STATELESS_PATHS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/chat/completions/batch",
        "/v1/completions",
        "/generative_scoring",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/generate",
        "/inference/v1/generate",
        "/v1/embeddings",
        "/v2/embed",
        "/encode",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/score",
        "/score",
        "/pooling",
        "/v1/classify",
        "/classify",
        "/v1/tokenize",
        "/tokenize",
        "/v1/detokenize",
        "/detokenize",
        "/v1/moderations",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/images/edits",
    }
)

LONGEST_BACKOFF = 5.0  # seconds
BUDGET_WINDOW = 10.0  # seconds; the time that Finagle's and linkerd's retry budgets look back
LONGEST_DELTA = 10  # digits; RFC 9110 sets no limit, and ten say 300 years


def may_retry(method: str, path: str, *, sent: bool) -> bool:
    """Whether a request may be tried again before any byte has gone to the client.

    `sent` tells whether the engine may have begun to work on it, `path` is the client's without the query.
    """
    if not sent or method in IDEMPOTENT_METHODS:
        return True
    return method == "POST" and path in STATELESS_PATHS


def backoff(attempt: int, base: float, random: Callable[[], float]) -> float:
    """The pause in seconds before a retry, the first one being attempt 1; `random` gives numbers from 0 up to 1.

    Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    doublings = min(attempt - 1, 64)
    return random() * min(LONGEST_BACKOFF, base * 2.0**doublings)


def parse_retry_after(value: bytes, now_unix: float) -> float | None:
    """The seconds to wait that a Retry-After field asks for (RFC 9110 section 10.2.3), None where it makes no sense.

    It is the engine's wish, unbounded: the caller decides whether that is too long.
    """
    value = value.strip(b" \t")
    if value.isdigit():
        return float(value) if len(value) <= LONGEST_DELTA else None
    moment = parse_http_date(value)
    return None if moment is None else max(0.0, moment - now_unix)


def parse_http_date(value: bytes) -> float | None:
    """Unix seconds of an HTTP-date in any of its three forms (RFC 9110 section 5.6.7), None where it is none."""
    if len(value) > 64 or not value.isascii() or b":" not in value:
        return None
    try:
        fields = parsedate(value.decode("ascii"))
        if fields is None:
            return None
        return float(calendar.timegm(datetime(*fields[:6]).timetuple()))  # noqa: DTZ001 - an HTTP-date is in GMT
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class RetryBudget:
    """How many retries a model server's requests have earned, so that an outage is not made worse by its retries.

    Within the last ten to twenty seconds the retries are at most `share` of the requests, and `reserve` more, which let
    a server of little traffic be retried at all. Its state is two windows of counts, the current and the one before.
    `clock` gives seconds.
    """

    __slots__ = (
        "_clock",
        "_earlier_requests",
        "_earlier_retries",
        "_ends",
        "_requests",
        "_reserve",
        "_retries",
        "_share",
    )

    def __init__(self, share: float = 0.2, reserve: int = 10, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._reserve = reserve
        self._clock = clock
        self._ends = clock() + BUDGET_WINDOW
        self._requests = self._retries = 0
        self._earlier_requests = self._earlier_retries = 0

    def __repr__(self) -> str:
        retries = self._retries + self._earlier_retries
        return f"<RetryBudget {retries} of {self._allowed():.1f} retries spent>"

    def deposit(self) -> None:
        """A request has come. Hot path: benchmarks/telemetry.py measures it."""
        if self._clock() >= self._ends:
            self._turn()
        self._requests += 1

    def withdraw(self) -> bool:
        """Whether a retry is granted; if so, it counts."""
        if self._clock() >= self._ends:
            self._turn()
        if self._retries + self._earlier_retries + 1 > self._allowed():
            return False
        self._retries += 1
        return True

    def _allowed(self) -> float:
        return self._share * (self._requests + self._earlier_requests) + self._reserve

    def _turn(self) -> None:
        now = self._clock()
        recent = now < self._ends + BUDGET_WINDOW
        self._earlier_requests = self._requests if recent else 0
        self._earlier_retries = self._retries if recent else 0
        self._requests = self._retries = 0
        self._ends = now + BUDGET_WINDOW
