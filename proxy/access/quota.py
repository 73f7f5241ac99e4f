"""A limit of a server, a route or a key made ready for requests: its buckets, its words, its header lines."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from proxy.access.buckets import TOLERANCE, Bucket, Verdict
from proxy.access.shared_store import Want
from proxy.config.access_spec import Counted, Limit, Share
from proxy.errors import RequestError

MOST_SUBJECTS = 20_000
"""Of one limit, whose buckets a worker remembers the places of. The buckets themselves stand in shared memory."""

SCOPES = {"server": "model server", "route": "route", "key": "key"}
WORDS = {
    Counted.REQUESTS: "request",
    Counted.TOKENS: "token",
    Counted.INPUT_TOKENS: "input token",
    Counted.OUTPUT_TOKENS: "output token",
}


class Subject(NamedTuple):
    """Whom a request comes from, and for which model: what a limit may be split by."""

    key: str
    user: str
    model: str
    address: str


SHARES = {Share.KEY: 0, Share.USER: 1, Share.MODEL: 2, Share.ADDRESS: 3}
"""Where a Subject holds what a limit is split by."""


@dataclass(frozen=True, slots=True)
class ScopedLimit:
    """A limit and what it is of: "server/NAME", "route/NAME" or "key/NAME". `owner` tells those of one name apart."""

    limit: Limit
    scope: str
    owner: str = ""


class Quota:
    """A scoped limit with its buckets. Mutable state: where the buckets are that were asked for so far.

    `bucket` is the only one of a limit that is not split, else None. Hot path: `find`.
    """

    __slots__ = (
        "_buckets",
        "_corrects",
        "_counts_output",
        "_head_lines",
        "_key",
        "_make",
        "_pick",
        "_scoped",
        "bucket",
        "capacity",
        "of_output",
        "of_requests",
        "per_second",
    )

    def __init__(self, scoped: ScopedLimit, make: Callable[[str, Limit], Bucket]) -> None:
        limit = scoped.limit
        self._scoped = scoped
        self._make = make
        # Whatever changes the arithmetic is in the key: a changed limit begins anew, an unchanged one goes on.
        self._key = repr(
            (scoped.scope, scoped.owner, limit.counted.value, limit.capacity, limit.per_second, names(limit.by))
        )
        self._buckets: dict[Any, Bucket] = {}
        self._pick = itemgetter(*(SHARES[share] for share in limit.by)) if limit.by else None
        self.bucket = None if limit.by else make(self._key, limit)
        self.capacity = limit.capacity
        self.per_second = limit.per_second
        self.of_requests = limit.counted is Counted.REQUESTS
        self.of_output = limit.counted is Counted.OUTPUT_TOKENS
        self._counts_output = limit.counted in {Counted.TOKENS, Counted.OUTPUT_TOKENS}
        self._corrects = limit.settled and limit.counted in {Counted.TOKENS, Counted.INPUT_TOKENS}
        self._head_lines = head_lines("requests" if self.of_requests else "tokens", limit.capacity)

    def __repr__(self) -> str:
        limit = self._scoped.limit
        return f"<Quota {self._scoped.scope}: {limit.amount:g} {limit.counted.value} a {limit.unit}>"

    def find(self, subject: Subject) -> Bucket:
        """The bucket that a subject's requests take from."""
        if self._pick is None:
            return self.bucket or self._make(self._key, self._scoped.limit)
        part = self._pick(subject)
        bucket = self._buckets.get(part)
        if bucket is None:
            if len(self._buckets) >= MOST_SUBJECTS:
                self._buckets.clear()
            bucket = self._buckets[part] = self._make(self.key(subject), self._scoped.limit)
        return bucket

    def key(self, subject: Subject) -> str:
        """The name of a subject's bucket. Strings within it are quoted, so that no subject can be another's."""
        return self._key if self._pick is None else f"{self._key}{self._pick(subject)!r}"

    def want(self, subject: Subject, input_tokens: float) -> Want:
        """What a request wants of this limit's bucket in a store that several hosts share."""
        at_least = 1.0 if self.of_output else 0.0
        return Want(self.key(subject), self.cost(input_tokens), self.capacity, self.per_second, at_least)

    def cost(self, input_tokens: float) -> float:
        """What a request takes when it is admitted."""
        if self.of_requests:
            return 1.0
        return 0.0 if self.of_output else input_tokens

    def owed(self, taken: float, input_tokens: int | None, output_tokens: int) -> float:
        """What a request must still pay once its tokens are known; below zero for what it gets back."""
        owed = float(output_tokens) if self._counts_output else 0.0
        if self._corrects and input_tokens is not None:
            owed += input_tokens - taken
        return owed

    def refusal(self, verdict: Verdict, asked: float, headers: bytes) -> RequestError:
        """The answer to a request that wanted more than there is."""
        kind, _, name = self._scoped.scope.partition("/")
        counted = self._scoped.limit.counted
        message = f"{WORDS[counted]} rate limit exceeded for {SCOPES.get(kind, kind)}: {name}"
        if verdict.retry_after is None and not self.of_requests:
            message += f" (the prompt has about {asked:.0f} tokens, more than the limit of {self.capacity:.0f})"
        return RequestError(
            429,
            message,
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after=verdict.retry_after,
            headers=headers,
        )

    def header(self, left: float) -> bytes:
        """How things stand with so much left, as lines of a head."""
        remaining = math.floor(left + TOLERANCE) if left > 0.0 else 0
        return self._head_lines % (remaining, format_reset((self.capacity - left) / self.per_second))


def names(by: tuple[Share, ...]) -> tuple[str, ...]:
    """What a limit is split by, in words."""
    return tuple(share.value for share in by)


def head_lines(family: str, capacity: float) -> bytes:
    """The fields that OpenAI's clients know, with places for what remains and the time until all of it is back."""
    return (
        f"x-ratelimit-limit-{family}: {math.floor(capacity)}\r\n"
        f"x-ratelimit-remaining-{family}: %d\r\n"
        f"x-ratelimit-reset-{family}: %b\r\n"
    ).encode()


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
