"""A model server's gate: how many requests it has in flight at once, over all workers, and who waits for a place."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from proxy.balancing.policy import Policy
from proxy.config.access_spec import Queueing
from proxy.config.spec import EndpointSpec, ModelServer
from proxy.errors import RequestError
from proxy.upstream.drain_rate import DrainRate
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gauge import Gauge
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.queue import Entry, FairQueue
from proxy.upstream.turns import Demand, Turns

LOOK_INTERVAL = 0.005
"""Seconds between two looks at the shared gauges while requests wait here: a place may have become free elsewhere."""

UNBOUNDED = Queueing()


class Refusal(Enum):
    """Why a request got no place, in the words of `x-llm-d-request-dropped-reason`."""

    SATURATED = "rejected-saturated"
    EXPIRED = "rejected-ttl-expired"
    EVICTED = "evicted-priority"


class NoPlaceError(RequestError):
    """A request that got no place at a model server. Nothing was sent: another target may be asked."""


Pools = Mapping[Endpoint, ConnectionPool]


class Waiter(NamedTuple):
    """A request in the queue: the endpoints that it has tried, those that it knows (None: all), and what will hold its
    endpoint or its refusal."""

    tried: Collection[Endpoint]
    pools: Pools | None
    place: asyncio.Future[Endpoint | NoPlaceError]


class Gate:
    """Owns the places of a model server in this worker, and the requests that wait for one.

    It outlives reloads: `follow` changes its bounds and endpoints.
    """

    __slots__ = (
        "_closed",
        "_drained",
        "_endpoints",
        "_gauges",
        "_in_flight",
        "_limit",
        "_loop",
        "_name",
        "_policy",
        "_priorities",
        "_queue",
        "_queueing",
        "_timer",
        "_turns",
        "_waiting",
        "pools",
    )

    def __init__(
        self,
        spec: ModelServer,
        pools: Mapping[Endpoint, ConnectionPool],
        policy: Policy,
        *,
        gauges: Callable[[str], Gauge],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._name = spec.name
        self._gauges = gauges
        self._loop = loop
        self._in_flight = gauges(f"in_flight/{spec.name}")
        self._waiting = gauges(f"waiting/{spec.name}")
        self._queue: FairQueue[Waiter] = FairQueue()
        self._drained = DrainRate()
        self._timer: asyncio.TimerHandle | None = None
        self._turns = Turns()
        self._closed = False
        self.follow(spec, pools, policy)

    def __repr__(self) -> str:
        return f"<Gate of {self._name}, {self.in_flight} in flight, {self.waiting} waiting>"

    @property
    def in_flight(self) -> int:
        """Requests of this worker that hold a place."""
        return self._in_flight.own

    @property
    def waiting(self) -> int:
        """Requests of this worker that wait for a place."""
        return len(self._queue)

    def priority(self, objective: str | None) -> int:
        """The priority that the objective of this name has here; 0 for none and for an unknown one."""
        return self._priorities.get(objective, 0) if objective is not None else 0

    # --- taking and giving back --------------------------------------------------------------------------------------

    def take(self, tried: Collection[Endpoint], pools: Pools | None = None) -> Endpoint | None:
        """An endpoint, leased, if there is a place and nobody waits for one in any worker; else None.

        `pools` are those of the configuration that the request began with: an endpoint that a reload brought is none of
        its, since that one's terms, and the credential that it is shown, are others.
        Whoever got one calls `release` in the same block. Hot path: benchmarks/queueing.py.
        """
        if self._queueing.max_pending and self._waiting.total():
            return None
        return self._claim(tried, pools)

    def release(self, endpoint: Endpoint) -> None:
        """Give a lease back. The place goes to the next that waits here, unless it is another worker's turn."""
        endpoint.in_flight -= 1
        endpoint.gauge.add(-1)
        self._in_flight.add(-1)
        self._drained.count(self._loop.time())
        if self._queue:
            self._hand_over()

    async def wait(
        self,
        tried: Collection[Endpoint],
        caller: str,
        priority: int = 0,
        deadline: float = math.inf,
        pools: Pools | None = None,
    ) -> Endpoint | None:
        """An endpoint, leased, as soon as it is this request's turn; None where none is available, full or not.

        `caller` is whose turn it takes, `deadline` is on the loop's clock, `pools` as for `take`. A priority below 0
        does not wait. Raises
        NoPlaceError: refused, displaced by a higher priority, out of time, or the server has gone. Cancelled, it leaves
        nothing behind.
        """
        expires = min(deadline, self._loop.time() + self._queueing.timeout)
        while any(endpoint.available for endpoint in self._known(pools)):
            entry = self._line_up(Waiter(tried, pools, self._loop.create_future()), caller, priority, expires)
            endpoint = await self._outcome(entry)
            if endpoint in self.pools:
                return endpoint
            self.release(endpoint)  # a reload took it away between the hand-over and now
        return None

    # --- reloads -----------------------------------------------------------------------------------------------------

    def follow(self, spec: ModelServer, pools: Mapping[Endpoint, ConnectionPool], policy: Policy) -> None:
        """These are the bounds and endpoints now. Who waits and finds room is served at once; too many drain down."""
        self._queueing = queueing = spec.queueing or UNBOUNDED
        self._limit = queueing.max_in_flight
        self._priorities = {objective.name: objective.priority for objective in spec.objectives}
        for endpoint in pools:
            endpoint.gauge = self._gauges(f"endpoint_in_flight/{spec.name} {endpoint.address}")
            own = endpoint.spec.max_in_flight
            endpoint.limit = own if own is not None else queueing.per_endpoint
        self.pools = pools
        self._endpoints = list(pools)
        self._policy = policy
        self._hand_over()

    def close(self) -> None:
        """The server is gone: nobody waits for it any more. Leases are still given back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for entry in self._queue.clear():
            self._dismiss(entry, self._gone())

    def check(self, now: float) -> None:
        """One look: whose time is over, and whether a place is free that nobody told us of."""
        for entry in self._queue.expired(now):
            self._dismiss(entry, self._refused(503, "queue_timeout", Refusal.EXPIRED, "no place became free in time"))
        if self._queue:
            self._hand_over(overdue=self._turns.look(free=self._has_room()))

    # --- places ------------------------------------------------------------------------------------------------------

    def _known(self, pools: Pools | None) -> list[Endpoint]:
        """The endpoints that a request of these pools may be sent to."""
        if pools is None or pools is self.pools:
            return self._endpoints
        return [endpoint for endpoint in self._endpoints if endpoint in pools]

    def _claim(self, tried: Collection[Endpoint], pools: Pools | None) -> Endpoint | None:
        """A place counted over all workers, or None. Claimed first and looked at then, as `Endpoint.claim` is."""
        in_flight = self._in_flight
        in_flight.add(1)
        if self._limit is None or in_flight.total() <= self._limit:
            known = self._known(pools)
            endpoint = self._policy.pick(known, tried)
            if endpoint is not None and not endpoint.claim():
                endpoint = self._claim_other(known, tried)
            if endpoint is not None:
                endpoint.in_flight += 1
                return endpoint
        in_flight.add(-1)
        return None

    def _claim_other(self, known: Sequence[Endpoint], tried: Collection[Endpoint]) -> Endpoint | None:
        """The policy's choice was full: its choice among those that are not."""
        roomy = [endpoint for endpoint in known if endpoint.has_room]
        while (endpoint := self._policy.pick(roomy, tried)) is not None:
            if endpoint.claim():
                return endpoint
            roomy.remove(endpoint)
        return None

    def _has_room(self) -> bool:
        """A look before a claim: claims that fail would hide the place from another worker for their moment."""
        if self._limit is not None and self._in_flight.total() >= self._limit:
            return False
        return any(endpoint.available and endpoint.has_room for endpoint in self._endpoints)

    # --- the queue ---------------------------------------------------------------------------------------------------

    def _line_up(self, waiter: Waiter, caller: str, priority: int, expires: float) -> Entry[Waiter]:
        """Join the queue, or raise. The place in it is counted over all workers before it is looked at, too."""
        if self._closed:
            raise self._gone()
        if priority < 0:
            raise self._refused(429, "shed", Refusal.SATURATED, "it is full, and requests of this priority do not wait")
        self._waiting.add(1)
        if self._waiting.total() > self._queueing.max_pending:
            displaced = self._queue.displace(priority)
            self._waiting.add(-1)
            if displaced is None:
                raise self._refused(429, "queue_full", Refusal.SATURATED, "it is full, and so is its queue")
            self._waiting.add(1)
            error = self._refused(429, "queue_full", Refusal.EVICTED, "a request of higher priority needed the room")
            self._dismiss(displaced, error)
        entry = self._queue.push(waiter, caller, priority, expires)
        self._hand_over()
        if self._timer is None and self._queue:
            self._timer = self._loop.call_later(LOOK_INTERVAL, self._look)
        return entry

    async def _outcome(self, entry: Entry[Waiter]) -> Endpoint:
        """What becomes of it. Given up at any moment, it leaves the queue, or gives back what it had got meanwhile."""
        outcome: Endpoint | NoPlaceError | None = None
        try:
            outcome = await entry.item.place
        finally:
            if outcome is None:
                self._abandon(entry)
        if isinstance(outcome, NoPlaceError):
            raise outcome
        return outcome

    def _abandon(self, entry: Entry[Waiter]) -> None:
        place = entry.item.place
        if self._queue.remove(entry):
            self._waiting.add(-1)
        elif not place.cancelled() and isinstance(endpoint := place.result(), Endpoint):
            self.release(endpoint)

    def _dismiss(self, entry: Entry[Waiter], error: NoPlaceError) -> None:
        """It has left the queue without a place."""
        self._waiting.add(-1)
        if not entry.item.place.done():
            entry.item.place.set_result(error)

    def _look(self) -> None:
        self._timer = None
        self.check(self._loop.time())
        if self._queue:
            self._timer = self._loop.call_later(LOOK_INTERVAL, self._look)

    def _hand_over(self, *, overdue: bool = False) -> None:
        """Give free places to those who wait here, while there are any and they are ours to give.

        An `overdue` place is: it was left to other workers, and none has taken it.
        """
        queue = self._queue
        while (entry := queue.peek()) is not None:
            waiter = entry.item
            if waiter.place.done():  # cancelled, and its task has not run yet
                queue.remove(entry)
                self._waiting.add(-1)
                continue
            if not self._known(waiter.pools):  # a reload took all that it knew, and others must not wait behind it
                queue.remove(entry)
                self._dismiss(entry, self._gone())
                continue
            if not (self._has_room() and (overdue or self._ours())):
                return
            endpoint = self._claim(waiter.tried, waiter.pools)
            if endpoint is None:
                return
            queue.pop()
            self._waiting.add(-1)
            waiter.place.set_result(endpoint)

    def _ours(self) -> bool:
        """Whether a free place is this worker's to give."""
        in_flight, waiting = self._in_flight, self._waiting
        demand = Demand(in_flight.own, waiting.own, in_flight.total(), waiting.total(), self._places())
        return self._turns.ours(demand)

    def _places(self) -> float:
        """How many there are in all, as far as bounds say it."""
        places = math.inf if self._limit is None else self._limit
        bounded_endpoints = 0
        for endpoint in self._endpoints:
            if endpoint.available:
                if endpoint.limit is None:
                    return places
                bounded_endpoints += endpoint.limit
        return min(places, bounded_endpoints)

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _refused(self, status: int, code: str, reason: Refusal, why: str) -> NoPlaceError:
        return NoPlaceError(
            status,
            f"no place at model server {self._name}: {why}",
            kind="rate_limit_error" if status == 429 else "server_error",
            code=code,
            retry_after=self._drained.retry_after(len(self._queue), self._loop.time()),
            headers=b"x-llm-d-request-dropped-reason: %b\r\n" % reason.value.encode(),
        )

    def _gone(self) -> NoPlaceError:
        message = f"model server {self._name} has left the configuration, or all endpoints that were known of it"
        return NoPlaceError(503, message, kind="server_error", code="no_endpoint", retry_after=1.0)


def bounded(spec: ModelServer, endpoints: Sequence[EndpointSpec]) -> bool:
    """Whether a server, or any of its endpoints, has a bound: without one it needs no gate."""
    queueing = spec.queueing or UNBOUNDED
    if queueing.max_in_flight is not None or queueing.per_endpoint is not None:
        return True
    return any(endpoint.max_in_flight is not None for endpoint in endpoints)
