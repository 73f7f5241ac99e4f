"""A matched request's journey: targets in order, endpoints within them, tries within bounds, and one answer."""

import asyncio
import math
import time
from collections.abc import Callable

from proxy.errors import RequestError, UpstreamError, UpstreamFailure
from proxy.forwarding.attempt import attempt
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Attempt
from proxy.forwarding.heads import response_framing, response_lines
from proxy.forwarding.relay import LAST_CHUNK, Relay, framed
from proxy.forwarding.splice import Piece
from proxy.routing.table import BoundTarget
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import backoff, may_retry, parse_retry_after
from proxy.upstream.server import UpstreamServer
from proxy.wire.clock import Sweeper
from proxy.wire.response_gate import Framing, ResponseHead

LONGEST_WAIT = 10.0
"""Seconds of an engine's Retry-After that a request waits for; a longer wish goes to the client with the answer."""

OUT_OF_TIME = "the request took longer than its total limit"

_EVENT_STREAM = b"text/event-stream"


class Forwarder:
    """Sends calls to their targets. It keeps nothing between calls."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        *,
        random: Callable[[], float],
        draining: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._random = random
        self._draining = draining

    async def forward(self, call: Call) -> None:
        """Answer the call from its target, or from the first fallback that can; RequestError if none does."""
        first, fallback = call.match.split.pick(), call.match.fallback
        error = await self._try_target(call, first, last=not fallback)
        for position, target in enumerate(fallback, 1):
            if error is None:
                return
            error = await self._try_target(call, target, last=position == len(fallback))
        if error is not None:
            raise error

    async def _try_target(self, call: Call, target: BoundTarget, *, last: bool) -> RequestError | None:
        """None if the client has its answer, else why this target has none. A lease is given back in the same block."""
        server = call.servers[target.server]
        error = self._admit(call, target.server)
        if error is not None:
            return error
        journey = Journey(call, target, server, last)
        while journey.error is None:
            endpoint = server.pick(journey.tried)
            if endpoint is None:
                return _no_endpoint(target.server)
            endpoint.in_flight += 1
            try:
                if await self._try_endpoint(journey, endpoint):
                    return None
            finally:
                endpoint.in_flight -= 1
            if journey.pause and journey.error is None:
                now = self._sweeper.now
                if now + journey.pause >= journey.total_deadline(now):
                    return as_request_error(UpstreamError(UpstreamFailure.TIMEOUT, OUT_OF_TIME, sent=False))
                await asyncio.sleep(journey.pause)
        return journey.error

    def _admit(self, call: Call, name: str) -> RequestError | None:
        """Take a permit of the server's rate limit; how things stand goes into the answer's head."""
        limiter = call.limiters.get(name)
        if limiter is None:
            return None
        verdict = limiter.admit()
        call.extra = limiter.headers(verdict)
        if verdict.admitted:
            return None
        message = f"the rate limit of model server {name!r} is exceeded"
        return RequestError(
            429,
            message,
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after=verdict.retry_after,
            headers=call.extra,
        )

    async def _try_endpoint(self, journey: "Journey", endpoint: Endpoint) -> bool:
        """Whether the client has its answer. If not, the journey holds a pause before the next try, or the error."""
        call, pool = journey.call, journey.server.pools[endpoint]
        record = journey.begin(endpoint)
        head = call.request.head
        try:
            connection, answer = await attempt(
                pool,
                journey.target,
                head.method,
                call.message_for(endpoint, journey.body),
                total_deadline=journey.total_deadline(self._sweeper.now),
                repeatable=journey.repeatable,
                interim_to=None if head.said.http10 else call.downstream,
            )
        except UpstreamError as error:
            record.outcome = error.failure.value
            journey.failed(error, self._random)
            return False
        try:
            record.outcome = "ok" if answer.status < 500 else str(answer.status)
            if answer.status in journey.target.retries.statuses and journey.wants_retry(answer, self._random):
                return False
            if connection.complete:
                self._answer_whole(call, connection, answer)
            else:
                await self._stream(call, connection, answer, record)
        finally:
            pool.give_back(connection)
        return True

    def _begin_answer(self, call: Call, head: ResponseHead) -> tuple[Framing, bool, bytes]:
        """How the client is answered: the framing, whether its connection stays open, and the head."""
        exchange, request = call.exchange, call.request.head
        exchange.first_byte = time.perf_counter()
        exchange.status = head.status
        http10 = request.said.http10
        framing = response_framing(head, http10)
        keep_alive = request.said.keep_alive and framing is not Framing.CLOSE and not self._draining()
        lines = response_lines(
            head,
            framing,
            http10=http10,
            keep_alive=keep_alive,
            request_id=call.lines.request_id,
            extra=call.extra,
        )
        return framing, keep_alive, lines

    def _answer_whole(self, call: Call, upstream: UpstreamConnection, head: ResponseHead) -> None:
        """An answer that is all here leaves in one write."""
        framing, keep_alive, data = self._begin_answer(call, head)
        chunks = upstream.take_chunks()
        if chunks:
            call.exchange.bytes_out += sum(map(len, chunks))
            data += framed(chunks, framing)
        call.downstream.write(data + LAST_CHUNK if framing is Framing.CHUNKED else data)
        call.downstream.finish(keep_alive)

    async def _stream(self, call: Call, upstream: UpstreamConnection, head: ResponseHead, record: Attempt) -> None:
        """Pass an answer on as it comes, to its end; an end too soon is made plain to the client."""
        framing, keep_alive, lines = self._begin_answer(call, head)
        relay = Relay(call.downstream, call.exchange, framing, lines, self._loop)
        relay.start(upstream)
        error = await relay.done
        if error is None:
            call.downstream.finish(keep_alive)
            return
        record.outcome = error.failure.value
        call.exchange.failure = "cut"
        if head.said.content_type.startswith(_EVENT_STREAM) and framing is not Framing.LENGTH:
            call.downstream.cut(relay.last_words(as_request_error(error), call.request.head.target))
        else:
            call.downstream.abort(reset=framing is Framing.CLOSE)


class Journey:
    """Owns a call's tries at one target: which endpoints it has seen, how many tries are left, and what comes next."""

    __slots__ = ("_left", "_tries", "body", "call", "error", "last", "pause", "repeatable", "server", "target", "tried")

    def __init__(self, call: Call, target: BoundTarget, server: UpstreamServer, last: bool) -> None:
        self.call = call
        self.target = target
        self.server = server
        self.last = last
        self.body: list[Piece] = call.body_for(target)
        self.tried: list[Endpoint] = []
        self.repeatable = may_retry(call.facts.method, call.facts.path, sent=True)
        self.error: RequestError | None = None
        self.pause = 0.0
        self._left = target.retries.attempts
        self._tries = 0
        server.budget.deposit()

    def begin(self, endpoint: Endpoint) -> Attempt:
        """A try begins."""
        exchange = self.call.exchange
        exchange.server = self.target.server
        exchange.endpoint = endpoint.address
        self.tried.append(endpoint)
        self._tries += 1
        record = Attempt(self.target.server, endpoint.address)
        exchange.attempts.append(record)
        return record

    def total_deadline(self, now: float) -> float:
        """When the whole request must have ended, on the loop's clock."""
        total = self.target.timeouts.total
        if total is None:
            return math.inf
        return now + total - (time.perf_counter() - self.call.exchange.started)

    def failed(self, error: UpstreamError, random: Callable[[], float]) -> None:
        """No answer came: another try if the rule allows it for this failure, else the error.

        What the engine may have begun, and must not be run twice, goes to no fallback either: RequestError.
        """
        if error.sent and not self.repeatable:
            raise as_request_error(error) from error
        # An endpoint that is down fails at once, so it is picked often: the budget would soon be spent on what costs
        # the engines nothing.
        free = not error.sent and self._elsewhere()
        if error.failure.value in self.target.retries.failures and self._grant(free=free):
            self.pause = self._backoff(random)
        else:
            self.error = as_request_error(error)

    def wants_retry(self, head: ResponseHead, random: Callable[[], float]) -> bool:
        """Whether an answer, whose status is one to retry on, is dropped and another one asked for."""
        if not self.repeatable:
            return False
        pause = self._pause_after(head, random)
        if pause is not None and self._grant():
            self.pause = pause
            return True
        if self.last:
            return False
        self.error = RequestError(head.status, "the engine answered with an error", kind="server_error")
        return True

    def _grant(self, *, free: bool = False) -> bool:
        """Whether there is a try left, and the server's budget has one for us; a `free` one needs no budget."""
        if self._left <= 0 or not (free or self.server.budget.withdraw()):
            return False
        self._left -= 1
        return True

    def _elsewhere(self) -> bool:
        """Whether there is an available endpoint that this request has not tried."""
        return any(endpoint.available and endpoint not in self.tried for endpoint in self.server.endpoints)

    def _backoff(self, random: Callable[[], float]) -> float:
        return backoff(self._tries, self.target.retries.backoff, random)

    def _pause_after(self, head: ResponseHead, random: Callable[[], float]) -> float | None:
        """The wait before the next try. Retry-After speaks for this endpoint: another one need not wait for it."""
        pause = self._backoff(random)
        if self._elsewhere():
            return pause
        for name, _, value in head.said.fields:
            if name == b"retry-after":
                wish = parse_retry_after(value, time.time())
                if wish is not None:
                    return None if wish > LONGEST_WAIT else max(wish, pause)
        return pause


def as_request_error(error: UpstreamError) -> RequestError:
    """What the client is told. Addresses of engines stay with us."""
    if error.failure is UpstreamFailure.TIMEOUT:
        return RequestError(504, error.message, kind="server_error", code="upstream_timeout")
    return RequestError(
        502, error.message, kind="server_error", code="upstream_" + error.failure.value.replace("-", "_")
    )


def _no_endpoint(server: str) -> RequestError:
    message = f"no endpoint of model server {server!r} is available"
    return RequestError(503, message, kind="server_error", code="no_endpoint", retry_after=1.0)
