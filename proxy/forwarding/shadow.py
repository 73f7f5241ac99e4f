"""Copies of requests, sent beside them: their answers are dropped, and no client ever waits for one."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from proxy.access.demands import demand
from proxy.errors import RequestError, UpstreamError
from proxy.forwarding.attempt import attempt
from proxy.forwarding.call import Call
from proxy.forwarding.splice import Piece
from proxy.routing.table import BoundShadow, BoundTarget
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.server import UpstreamServer
from proxy.wire.clock import Sweeper

LOG = logging.getLogger("penstock.shadow")

CROWDED = "crowded"
TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Copy:
    """What became of one copy. `outcome` is "ok", a status from 500 up, the words of an `UpstreamFailure`, the code of
    the error that kept it from being sent, or "crowded" or "too_large" for one that was not made. Seconds.
    """

    route: str
    rule: str
    server: str
    outcome: str
    duration: float = 0.0


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
    """Owns the copies under way, counted by the rule that asks for them: one that has its fill gets no more for now.

    `observe` is told of every copy that was asked for.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper, observe: Callable[[Copy], None]) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._observe = observe
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[tuple[str, str]] = Counter()

    def __repr__(self) -> str:
        return f"<Shadows, {len(self._tasks)} in flight>"

    def copy(self, call: Call, shadow: BoundShadow) -> None:
        """Send a copy if it is this request's turn, and as many as are allowed are not under way yet."""
        if shadow.share is not None and not shadow.share.pick():
            return
        rule = (call.match.route, call.match.rule)
        unfit = TOO_LARGE if len(call.request.body) > shadow.max_body else ""
        if self._in_flight[rule] >= shadow.max_in_flight:
            unfit = CROWDED
        if unfit:
            self._observe(Copy(*rule, shadow.target.server, unfit))
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
        began = time.perf_counter()
        outcome = "internal_error"
        try:
            outcome = await self._send_once(call, target)
        except UpstreamError as error:
            outcome = error.failure.value
            LOG.debug("the copy for model server %s failed: %s", target.server, error)
        except RequestError as error:
            outcome = error.code or str(error.status)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception:  # the outermost edge: a fault of ours in a copy is nobody's answer
            LOG.exception("a copied request failed inside the proxy")
        finally:
            duration = time.perf_counter() - began
            self._observe(Copy(call.match.route, call.match.rule, target.server, outcome, duration))

    async def _send_once(self, call: Call, target: BoundTarget) -> str:
        """One try at one endpoint, on the terms of the target's server. Returns the outcome."""
        server = call.servers[target.server]
        demand(target.auths, call.caller)
        if server.lacks_credential:
            raise RequestError(503, "the credential cannot be read", code="no_credential")
        body = call.body_for(call.model_for(target))
        ticket = None if call.toll is None else await call.toll.take(target.server)
        endpoint = server.take(())
        if endpoint is None:
            if ticket is not None:
                ticket.refund()
            full = any(endpoint.available for endpoint in server.endpoints)
            raise RequestError(503, "no place for the copy", code="queue_full" if full else "no_endpoint")
        try:
            return await self._exchange(call, target, server, endpoint, body)
        finally:
            server.give_back(endpoint)
            if ticket is not None:
                ticket.settle(None, 0)

    async def _exchange(
        self, call: Call, target: BoundTarget, server: UpstreamServer, endpoint: Endpoint, body: list[Piece]
    ) -> str:
        total = target.timeouts.total
        pool = server.pools[endpoint]
        connection, head = await attempt(
            pool,
            target,
            call.request.head.method,
            call.message_for(target, server, endpoint, body),
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
        return "ok" if head.status < 500 else str(head.status)
