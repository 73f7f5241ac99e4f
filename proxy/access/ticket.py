"""What one request was admitted with, until it is settled: how much of which limits, and what it still owes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.access.buckets import Bucket
from proxy.access.quota import Quota
from proxy.access.shared_store import SharedStore, Want


class StoreBucket(NamedTuple):
    """A bucket that other hosts share, and what was wanted of it."""

    store: SharedStore
    want: Want


Taking = tuple[Quota, Bucket | StoreBucket, float, float]
"""A limit, the bucket that was taken from, how much, and what was left: a bare tuple, since each request makes some."""

State = tuple[Quota, object, float, float]
"""A limit and what is left of it, where the bucket does not matter."""
Elsewhere = dict[SharedStore, list[Want]]
"""What each store is to be told."""


class Ticket:
    """What a request has taken. It is either settled or refunded, once; what comes later is ignored.

    `needs_usage` says that the engine's count of tokens is wanted. Mutable state: `taken`, empty when it is over.
    """

    __slots__ = ("_clock", "needs_usage", "taken")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.needs_usage = False
        self.taken: list[Taking] = []

    def __repr__(self) -> str:
        return f"<Ticket {[(quota, amount) for quota, _, amount, _ in self.taken]}>"

    @property
    def headers(self) -> bytes:
        """The `x-ratelimit-*` lines of a head: of the tightest limit of requests, and of that of tokens."""
        return tightest(self.taken)

    def extend(self, other: "Ticket") -> None:
        """Take over what another ticket holds, which is empty then."""
        self.taken += other.taken
        self.needs_usage = self.needs_usage or other.needs_usage
        other.taken = []

    def settle(self, input_tokens: int | None, output_tokens: int) -> None:
        """Correct the estimate of a prompt's tokens where their number is known, and charge those of the answer.

        Kthena takes nothing for an answer that has more tokens than its bucket has left, so that its output limits do
        not limit. Here it leaves a debt, which time pays back before the next request is admitted.
        """
        taken, self.taken = self.taken, []
        if not self.needs_usage:
            return
        now = self._clock()
        elsewhere: Elsewhere = {}
        for quota, bucket, amount, _ in taken:
            cost = quota.owed(amount, input_tokens, output_tokens)
            if cost:
                charge(bucket, cost, now, elsewhere)
        for store, wants in elsewhere.items():
            store.charge(wants)

    def refund(self) -> None:
        """Give all of it back, since nothing was asked of an engine."""
        self.give_back(0)

    def give_back(self, start: int) -> None:
        """Give back what was taken from this item of `taken` on."""
        taken, self.taken = self.taken[start:], self.taken[:start]
        now = self._clock()
        elsewhere: Elsewhere = {}
        for _, bucket, amount, _ in taken:
            if amount:
                charge(bucket, -amount, now, elsewhere)
        for store, wants in elsewhere.items():
            store.charge(wants)


def charge(bucket: Bucket | StoreBucket, cost: float, now: float, elsewhere: Elsewhere) -> None:
    """Charge a bucket of this host, or note what its store is to be told with the rest."""
    if isinstance(bucket, Bucket):
        bucket.charge(cost, now)
    else:
        elsewhere.setdefault(bucket.store, []).append(bucket.want._replace(cost=cost, at_least=0.0))


def tightest(taken: Sequence[State]) -> bytes:
    """Header lines of the limit with the least left among those of requests, and among those of tokens."""
    requests: State | None = None
    tokens: State | None = None
    for item in taken:
        if item[0].of_requests:
            if requests is None or item[3] < requests[3]:
                requests = item
        elif tokens is None or item[3] < tokens[3]:
            tokens = item
    lines = b"" if requests is None else requests[0].header(requests[3])
    return lines if tokens is None else lines + tokens[0].header(tokens[3])
