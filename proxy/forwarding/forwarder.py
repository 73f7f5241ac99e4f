"""A matched request's journey: targets in order, endpoints within them, tries within bounds, and one answer."""

import asyncio
import time
from collections.abc import Callable

from proxy.config.spec import ModelServer
from proxy.errors import RequestError, UpstreamError, UpstreamFailure
from proxy.forwarding.attempt import attempt
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Attempt
from proxy.forwarding.heads import response_framing, response_lines
from proxy.forwarding.journey import Journey, as_request_error
from proxy.forwarding.relay import LAST_CHUNK, Relay, framed
from proxy.forwarding.restore import ModelRestorer
from proxy.forwarding.shadow import Shadows
from proxy.routing.table import BoundShadow, BoundTarget
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint
from proxy.wire.clock import Sweeper
from proxy.wire.response_gate import Framing, ResponseHead, with_length

OUT_OF_TIME = "the request took longer than its total limit"

_EVENT_STREAM = b"text/event-stream"


class Forwarder:
    """Sends calls to their targets. It keeps nothing between calls but the copies that are under way."""

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
        self._shadows = Shadows(loop, sweeper)

    async def close(self) -> None:
        """End what is under way that no client waits for."""
        await self._shadows.close()

    async def forward(self, call: Call) -> None:
        """Answer the call from its target, or from the first fallback that can; RequestError if none does."""
        first, fallback = call.match.split.pick(), call.match.fallback
        error = await self._try_target(call, first, last=not fallback, shadow=call.match.shadow)
        for position, target in enumerate(fallback, 1):
            if error is None:
                return
            error = await self._try_target(call, target, last=position == len(fallback))
        if error is not None:
            raise error

    async def _try_target(
        self, call: Call, target: BoundTarget, *, last: bool, shadow: BoundShadow | None = None
    ) -> RequestError | None:
        """None if the client has its answer, else why this target has none. A lease is given back in the same block.

        What is refused or exceeds a limit is not copied to a shadow either.
        """
        server = call.servers[target.server]
        if target.refusal is not None:
            raise RequestError(501, target.refusal, kind="server_error", code="not_enforced")
        error = self._admit(call, target.server)
        if error is not None:
            return error
        if shadow is not None:
            self._shadows.copy(call, shadow)
        journey = Journey(call, target, server, last)
        while journey.error is None:
            endpoint = server.pick(journey.tried)
            if endpoint is None:
                return _no_endpoint(server.spec)
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
        message = f"request rate limit exceeded for model server: {name}"
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
                call.message_for(journey.target, endpoint, journey.body),
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
            restorer = journey.restorer(answer)
            if connection.complete:
                self._answer_whole(call, connection, answer, restorer)
            else:
                await self._stream(call, connection, answer, record, restorer)
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

    def _answer_whole(
        self, call: Call, upstream: UpstreamConnection, head: ResponseHead, restorer: ModelRestorer | None
    ) -> None:
        """An answer that is all here leaves in one write."""
        chunks = upstream.take_chunks()
        if restorer is not None:
            body = restorer.feed(b"".join(chunks)) + restorer.rest()
            chunks, head = [body], with_length(head, len(body))
        framing, keep_alive, data = self._begin_answer(call, head)
        if chunks:
            call.exchange.bytes_out += sum(map(len, chunks))
            data += framed(chunks, framing)
        call.downstream.write(data + LAST_CHUNK if framing is Framing.CHUNKED else data)
        call.downstream.finish(keep_alive)

    async def _stream(
        self,
        call: Call,
        upstream: UpstreamConnection,
        head: ResponseHead,
        record: Attempt,
        restorer: ModelRestorer | None,
    ) -> None:
        """Pass an answer on as it comes, to its end; an end too soon is made plain to the client."""
        if restorer is not None:
            head = with_length(head, None)
        framing, keep_alive, lines = self._begin_answer(call, head)
        relay = Relay(call.downstream, call.exchange, framing, lines, self._loop, restorer)
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


def _no_endpoint(server: ModelServer) -> RequestError:
    """In Kthena's words, which its users' alerts look for."""
    missing = f"can't find model server: {server.name} (no file defines it)"
    message = missing if server.missing else f"no available pods for model server: {server.name}"
    return RequestError(503, message, kind="server_error", code="no_endpoint", retry_after=1.0)
