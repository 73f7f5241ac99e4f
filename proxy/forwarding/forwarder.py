"""A matched request's journey: targets in order, endpoints within them, tries within bounds, and one answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from proxy.access.demands import demand
from proxy.access.identity import Caller
from proxy.config.spec import ModelServer
from proxy.errors import RequestError, UpstreamError, UpstreamFailure
from proxy.forwarding.attempt import attempt
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Attempt, Trial
from proxy.forwarding.filters import BodyFilter
from proxy.forwarding.heads import response_framing, response_lines
from proxy.forwarding.journey import Journey, as_request_error
from proxy.forwarding.relay import LAST_CHUNK, Relay, framed
from proxy.forwarding.shadow import Copy, Shadows
from proxy.forwarding.toll import Toll
from proxy.routing.table import BoundShadow, BoundTarget
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import NoPlaceError
from proxy.wire.clock import Sweeper
from proxy.wire.response_gate import Framing, ResponseHead, with_length

NO_CREDENTIAL = "the proxy cannot read the credential that it shows to this model server"
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
        observe_copy: Callable[[Copy], None],
        tells_fallback: bool = True,
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._random = random
        self._draining = draining
        self._tells_fallback = tells_fallback
        self._shadows = Shadows(loop, sweeper, observe_copy)

    async def close(self) -> None:
        """End what is under way that no client waits for."""
        await self._shadows.close()

    def forward(self, call: Call) -> Awaitable[None]:
        """Answer the call from its target, or from the first fallback that can; RequestError if none does."""
        match = call.match
        first = match.split.pick() if match.sticky is None else match.choose(call.facts)
        if first.auths:
            demand(first.auths, call.caller)
        # No frame for what is not asked for: a coroutine between two others costs 0.4 us (benchmarks/hot_path.py).
        return self._try_targets(call, first) if call.toll is None else self._try_limited(call, first, call.toll)

    async def _try_limited(self, call: Call, first: BoundTarget, toll: Toll) -> None:
        """The targets, once the limits of the caller and of the route let the call pass."""
        waiting = toll.enter(call.match.route)
        if waiting is not None:
            await waiting
        failed = False
        try:
            await self._try_targets(call, first)
        except RequestError:
            failed = True
            raise
        finally:
            toll.leave(failed=failed)

    async def _try_targets(self, call: Call, first: BoundTarget) -> None:
        match, fallback = call.match, call.match.fallback
        try:
            error = await self._try_target(call, first, last=not fallback, shadow=match.shadow)
        finally:
            if match.judged:
                call.exchange.trial = Trial(int(first is not match.split.items[0]), len(call.exchange.attempts))
        for position, target in enumerate(fallback, 1):
            if error is None:
                return
            if position == 1:
                call.link_failed(first.server, reason(error))
            if not _welcome(target, call.caller):
                # They go on to the next: a 401 would say that what they have is worth nothing.
                call.link_failed(target.server, "unauthorized")
                continue
            try:
                error = await self._try_target(call, target, last=position == len(fallback))
            except RequestError as end:
                end.headers += self._chain_line(call)
                raise
            if error is not None and position < len(fallback):
                call.link_failed(target.server, reason(error))
        if error is not None:
            error.headers += self._chain_line(call)
            raise error

    def _try_target(
        self, call: Call, target: BoundTarget, *, last: bool, shadow: BoundShadow | None = None
    ) -> Awaitable[RequestError | None]:
        """None if the client has its answer, else why this target has none.

        What is refused or exceeds a limit is not copied to a shadow either.
        """
        if call.toll is None and shadow is None:
            return self._try_endpoints(Journey(call, target, call.servers[target.server], last))
        if call.toll is not None and call.toll.limits(target.server):
            return self._try_limited_target(call, target, call.toll, last, shadow)
        return self._try_endpoints(self._depart(call, target, last, shadow))

    async def _try_limited_target(
        self, call: Call, target: BoundTarget, toll: Toll, last: bool, shadow: BoundShadow | None
    ) -> RequestError | None:
        """A target whose server has limits of its own."""
        try:
            waiting = toll.enter_server(target.server)
            if waiting is not None:
                await waiting
        except RequestError as refusal:
            return refusal
        failed = False
        try:
            error = await self._try_endpoints(self._depart(call, target, last, shadow))
            failed = error is not None
        except RequestError:
            failed = True
            raise
        finally:
            toll.leave_server(failed=failed)
        return error

    def _depart(self, call: Call, target: BoundTarget, last: bool, shadow: BoundShadow | None) -> Journey:
        """What is due before the first try at a target that lets the call pass."""
        if call.toll is not None and call.toll.counts:
            call.ask_for_usage(call.toll)
        if shadow is not None:
            self._shadows.copy(call, shadow)
        return Journey(call, target, call.servers[target.server], last)

    async def _try_endpoints(self, journey: Journey) -> RequestError | None:
        """None if the client has its answer, else why there is none. A lease is given back in the same block."""
        server = journey.server
        if server.credential is None and server.lacks_credential:
            return RequestError(503, NO_CREDENTIAL, kind="server_error", code="no_credential", retry_after=5.0)
        while journey.error is None:
            endpoint = server.take(journey.tried)
            if endpoint is None and server.gate is not None:
                try:
                    endpoint = await journey.wait_for_place(server.gate, self._sweeper.now)
                except NoPlaceError as error:
                    return error
            if endpoint is None:
                return _no_endpoint(server.spec)
            try:
                if await self._try_endpoint(journey, endpoint):
                    return None
            finally:
                server.give_back(endpoint)
            if journey.pause and journey.error is None:
                now = self._sweeper.now
                if now + journey.pause >= journey.total_deadline(now):
                    return as_request_error(UpstreamError(UpstreamFailure.TIMEOUT, OUT_OF_TIME, sent=False))
                await asyncio.sleep(journey.pause)
        return journey.error

    async def _try_endpoint(self, journey: Journey, endpoint: Endpoint) -> bool:
        """Whether the client has its answer. If not, the journey holds a pause before the next try, or the error."""
        call, server = journey.call, journey.server
        pool = server.pools[endpoint]
        record = journey.begin(endpoint)
        head = call.request.head
        try:
            connection, answer = await attempt(
                pool,
                journey.target,
                head.method,
                call.message_for(journey.target, server, endpoint, journey.body),
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
            passes = journey.filters(answer)
            if connection.complete:
                self._answer_whole(journey, connection, answer, passes)
            else:
                altered = with_length(answer, None) if journey.alters else answer
                await self._stream(call, connection, altered, record, passes)
        finally:
            pool.give_back(connection)
        return True

    def _extra_lines(self, call: Call) -> bytes:
        """How the limits stand, and which targets failed before."""
        limits = b"" if call.toll is None else call.toll.head_lines
        return limits + self._chain_line(call)

    def _chain_line(self, call: Call) -> bytes:
        """Which targets failed before, and why, for whoever asked."""
        if not call.exchange.chain or not self._tells_fallback:
            return b""
        links = ", ".join(f"{link.server}={link.reason}" for link in call.exchange.chain)
        return b"X-Penstock-Fallback: %b\r\n" % links.encode("ascii", "backslashreplace")

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
            extra=b"" if call.toll is None and not exchange.chain else self._extra_lines(call),
        )
        return framing, keep_alive, lines

    def _answer_whole(
        self, journey: Journey, upstream: UpstreamConnection, head: ResponseHead, passes: BodyFilter | None
    ) -> None:
        """An answer that is all here leaves in one write."""
        call, chunks = journey.call, upstream.take_chunks()
        if passes is not None:
            body = passes.feed(chunks[0] if len(chunks) == 1 else b"".join(chunks))
            if journey.alters:
                body += passes.rest()
                head = with_length(head, len(body))
            chunks = [body] if body else []
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
        passes: BodyFilter | None,
    ) -> None:
        """Pass an answer on as it comes, to its end; an end too soon is made plain to the client."""
        framing, keep_alive, lines = self._begin_answer(call, head)
        relay = Relay(call.downstream, call.exchange, framing, lines, self._loop, passes)
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


def reason(error: RequestError) -> str:
    """Why a target had no answer, in a word."""
    return error.code or str(error.status)


def _welcome(target: BoundTarget, caller: Caller) -> bool:
    """Whether a target's demands are met."""
    try:
        demand(target.auths, caller)
    except RequestError:
        return False
    return True


def _no_endpoint(server: ModelServer) -> RequestError:
    """In Kthena's words, which its users' alerts look for."""
    missing = f"can't find model server: {server.name} (no file defines it)"
    message = missing if server.missing else f"no available pods for model server: {server.name}"
    return RequestError(503, message, kind="server_error", code="no_endpoint", retry_after=1.0)
