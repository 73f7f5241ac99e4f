"""Copies of requests, sent beside them: their answers are dropped, and no client ever waits for one."""

import asyncio
import logging
import math
from collections import Counter

from proxy.errors import RequestError, UpstreamError
from proxy.forwarding.attempt import attempt
from proxy.forwarding.call import Call
from proxy.forwarding.splice import Piece
from proxy.routing.table import BoundShadow, BoundTarget
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.pool import ConnectionPool
from proxy.wire.clock import Sweeper

LOG = logging.getLogger("penstock.shadow")


class Drain:
    """Takes an answer's body and drops it. `done` brings None, or the error that ended the answer."""

    __slots__ = ("done",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[UpstreamError | None] = loop.create_future()

    def body(self, chunks: list[bytes]) -> None:
        """Bytes that nobody asked for."""

    def finished(self, error: UpstreamError | None) -> None:
        """The answer has ended."""
        if not self.done.done():
            self.done.set_result(error)


class Shadows:
    """Owns the copies under way, counted by the rule that asks for them: one that has its fill gets no more for now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[tuple[str, str]] = Counter()

    def __repr__(self) -> str:
        return f"<Shadows, {len(self._tasks)} in flight>"

    def copy(self, call: Call, shadow: BoundShadow) -> None:
        """Send a copy, unless as many as are allowed are under way."""
        rule = (call.match.route, call.match.rule)
        if self._in_flight[rule] >= shadow.max_in_flight:
            LOG.debug("no copy for %s/%s: %d are in flight", *rule, shadow.max_in_flight)
            return
        self._in_flight[rule] += 1
        task = self._loop.create_task(self._send(call, shadow.target))
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, rule))

    async def close(self) -> None:
        """End all of them."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None], rule: tuple[str, str]) -> None:
        self._tasks.discard(task)
        self._in_flight[rule] -= 1
        if not self._in_flight[rule]:
            del self._in_flight[rule]

    async def _send(self, call: Call, target: BoundTarget) -> None:
        try:
            await self._send_once(call, target)
        except (RequestError, UpstreamError) as error:
            LOG.debug("the copy for model server %s failed: %s", target.server, error)
        except Exception:  # the outermost edge: a fault of ours in a copy is nobody's answer
            LOG.exception("a copied request failed inside the proxy")

    async def _send_once(self, call: Call, target: BoundTarget) -> None:
        """One try at one endpoint, within the limits of the target's server."""
        server = call.servers[target.server]
        limiter = call.limiters.get(target.server)
        if target.refusal is not None or (limiter is not None and not limiter.admit().admitted):
            return
        body = call.body_for(call.model_for(target))
        endpoint = server.pick(())
        if endpoint is None:
            return
        endpoint.in_flight += 1
        try:
            await self._exchange(call, target, endpoint, server.pools[endpoint], body)
        finally:
            endpoint.in_flight -= 1

    async def _exchange(
        self, call: Call, target: BoundTarget, endpoint: Endpoint, pool: ConnectionPool, body: list[Piece]
    ) -> None:
        total = target.timeouts.total
        connection, _ = await attempt(
            pool,
            target,
            call.request.head.method,
            call.message_for(target, endpoint, body),
            total_deadline=math.inf if total is None else self._sweeper.now + total,
            repeatable=False,
            interim_to=None,
        )
        try:
            drain = Drain(self._loop)
            connection.stream_to(drain)
            error = await drain.done
            if error is not None:
                raise error
        finally:
            pool.give_back(connection)
