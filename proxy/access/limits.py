"""How much may come: asked once for each request, over all limits that hold for it, and settled when it is over."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn
from weakref import WeakValueDictionary

from proxy.access.buckets import Bucket, Verdict
from proxy.access.quota import Quota, ScopedLimit, Subject
from proxy.access.shared_store import SharedStore
from proxy.access.shared_table import SharedTable
from proxy.access.ticket import StoreBucket, Ticket, tightest
from proxy.config.access_spec import Counted, Fail, Limit, Redis
from proxy.errors import RequestError


@dataclass(frozen=True, slots=True)
class SharedGroup:
    """Limits that one Redis keeps, and the same as limits of this host, for when it is away."""

    redis: Redis
    quotas: tuple[Quota, ...]
    on_this_host: "PreparedLimits"


@dataclass(frozen=True, slots=True)
class PreparedLimits:
    """The limits of a server, a route or a key, ready for requests: `local` ones are kept on this host alone, `shared`
    ones with others. `needs_usage` says that one of them counts tokens."""

    local: tuple[Quota, ...] = ()
    shared: tuple[SharedGroup, ...] = ()
    needs_usage: bool = False

    def __bool__(self) -> bool:
        return bool(self.local or self.shared)


class Limits:
    """All limits, as one worker sees them.

    A bucket is full at first, gains the limit's amount in each unit of time (a month has 30 days), and refuses what is
    not there. Input is taken as estimated, or refused; a prompt that is larger than the limit always is. A request is
    refused if a limit of output has less than one token left, and charged when its answer has ended. That is Kthena's
    arithmetic, but for one thing: Ticket.settle. `redis` keeps the limits that name no other; `stores` finds the store
    of a Redis.

    Mutable state: which buckets are in use, so that a reload finds those that stay.
    """

    def __init__(
        self,
        table: SharedTable,
        clock: Callable[[], float] = time.monotonic,
        stores: Callable[[Redis], SharedStore] | None = None,
        redis: Redis | None = None,
    ) -> None:
        self._table = table
        self._clock = clock
        self._stores = stores
        self._redis = redis
        self._buckets: WeakValueDictionary[str, Bucket] = WeakValueDictionary()

    def prepare(self, scoped: Sequence[ScopedLimit]) -> PreparedLimits:
        """Make limits ready. The same limit of the same scope has the same bucket, before a reload and after it.

        Raises what `stores` raises for a Redis that it cannot make a store of: now, not at the first request.
        """
        local: list[Quota] = []
        shared: dict[Redis, list[Quota]] = {}
        for one in dict.fromkeys(scoped):
            redis = one.limit.redis or self._redis
            held = local if redis is None or self._stores is None else shared.setdefault(redis, [])
            held.append(Quota(one, self._bucket))
        if self._stores is not None:
            for redis in shared:
                self._stores(redis)
        groups = tuple(
            SharedGroup(redis, tuple(quotas), PreparedLimits(tuple(quotas))) for redis, quotas in shared.items()
        )
        needs_usage = any(one.limit.counted is not Counted.REQUESTS for one in scoped)
        return PreparedLimits(tuple(local), groups, needs_usage)

    def admit(
        self, prepared: PreparedLimits, subject: Subject, input_tokens: float, ticket: Ticket | None = None
    ) -> Ticket:
        """Take what a request needs of each local limit, into `ticket` if there is an earlier one.

        `input_tokens` is the estimate. Raises RequestError (429) for the first limit that has not enough, when all that
        this call took is given back; an earlier ticket keeps what it had. Hot path: benchmarks/limits.py measures it.
        """
        if ticket is None:
            ticket = Ticket(self._clock)
        now = self._clock()
        taken = ticket.taken
        start = len(taken)
        for quota in prepared.local:
            bucket = quota.bucket or quota.find(subject)
            if quota.of_output:
                cost, left = 0.0, bucket.free(now)
                if not bucket.enough(left, 1.0):
                    _refuse(ticket, start, quota, bucket.verdict(left, 1.0 - left), 1.0)
            else:
                cost = 1.0 if quota.of_requests else input_tokens
                left = bucket.take(cost, now)
                if left < 0.0:
                    _refuse(ticket, start, quota, bucket.verdict(left + cost, -left), cost)
            taken.append((quota, bucket, cost, left))
        if prepared.needs_usage:
            ticket.needs_usage = True
        return ticket

    async def admit_shared(
        self, prepared: PreparedLimits, subject: Subject, input_tokens: float, ticket: Ticket | None = None
    ) -> Ticket:
        """Take what a request needs of each limit, also of those that other hosts share: each Redis is asked once.

        Where it is away, `fail` decides. Raises as `admit` does, and RequestError (503) where `fail` is closed.
        """
        if ticket is None:
            ticket = Ticket(self._clock)
        start = len(ticket.taken)
        self.admit(prepared, subject, input_tokens, ticket)
        try:
            for group in prepared.shared:
                await self._admit_group(group, subject, input_tokens, ticket)
        except BaseException:
            ticket.give_back(start)
            raise
        return ticket

    async def _admit_group(self, group: SharedGroup, subject: Subject, input_tokens: float, ticket: Ticket) -> None:
        assert self._stores is not None  # noqa: S101 - `prepare` made no group without
        store = self._stores(group.redis)
        wants = [quota.want(subject, input_tokens) for quota in group.quotas]
        verdicts = await store.take(wants, group.redis.timeout)
        if verdicts is None:
            self._admit_without(group, subject, input_tokens, ticket)
            return
        for quota, verdict, want in zip(group.quotas, verdicts, wants, strict=True):
            if not verdict.admitted:
                _refuse(ticket, len(ticket.taken), quota, verdict, want.cost)
        for quota, verdict, want in zip(group.quotas, verdicts, wants, strict=True):
            ticket.taken.append((quota, StoreBucket(store, want), want.cost, verdict.remaining))

    def _admit_without(self, group: SharedGroup, subject: Subject, input_tokens: float, ticket: Ticket) -> None:
        """What becomes of a request whose limits' Redis is away."""
        match group.redis.fail:
            case Fail.OPEN:
                return
            case Fail.LOCAL:
                self.admit(group.on_this_host, subject, input_tokens, ticket)
            case Fail.CLOSED:
                raise RequestError(
                    503, "the store of the rate limits is away", kind="server_error", code="limits_unavailable"
                )

    def _bucket(self, key: str, limit: Limit) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._table, key, limit.capacity, limit.per_second)
        return bucket


def _refuse(ticket: Ticket, start: int, quota: Quota, verdict: Verdict, asked: float) -> NoReturn:
    """Give back what was taken from `start` on, and say why."""
    state = (quota, quota.bucket, 0.0, verdict.remaining)
    headers = tightest([*ticket.taken, state])
    ticket.give_back(start)
    raise quota.refusal(verdict, asked, headers)
