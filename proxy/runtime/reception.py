"""The reception of one worker: each request is known, led somewhere, answered whatever happens, and recorded."""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.access.authenticator import Authenticator
from proxy.access.demands import demand, permit_model, permit_rewrites
from proxy.access.identity import CERTIFICATE, NOBODY, Caller, Identity
from proxy.access.targets import refuse_ambiguous
from proxy.config.access_spec import Auth
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.heads import RequestLines
from proxy.forwarding.snapshot import Snapshot
from proxy.forwarding.toll import Toll
from proxy.runtime.doors import LOCAL_PATHS, health_answer, is_local, local_answer, service_match
from proxy.runtime.metrics_line import MetricsLine
from proxy.wire.error_body import render, render_error

LOG = logging.getLogger("penstock.app")

_MODELS = b"/v1/models"

ANSWERED_HERE = frozenset({b"/metrics", b"/health", b"/ready", _MODELS})
"""Paths that never reach an engine; the metrics only at model servers' own ports."""

_STRANGER: Mapping[str, object] = {}
"""What conditions see under `user` of somebody unknown, where a credential is asked for and need not be shown: a body
may not say there what others have to prove."""


class Reception:
    """Owns the snapshot in force, and the numbers of the requests that came.

    `auth` is what the settings ask of every request, `record` takes each finished exchange, `metrics_line` says where
    the metrics of the whole proxy can be had.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        forwarder: Forwarder,
        *,
        auth: Auth | None,
        draining: Callable[[], bool],
        record: Callable[[Exchange], None],
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.metrics_line: MetricsLine | None = None
        self._authenticator = authenticator
        self._forwarder = forwarder
        self._auths = () if auth is None else (auth,)
        self._forwards = auth is not None and auth.forward
        self._draining = draining
        self._record = record
        self._request_prefix = secrets.token_hex(6).encode()
        self._request_number = itertools.count(1)

    async def handle(self, downstream: DownstreamConnection, request: Request) -> None:
        """Answer one request, and hand over the record of it."""
        head = request.head
        method, target = head.method.decode(), head.target.decode("latin-1")
        exchange = Exchange("", downstream.client, method, target, time.perf_counter(), bytes_in=len(request.body))
        try:
            path = head.path
            if path in LOCAL_PATHS and await self._served_locally(path, downstream, request, exchange):
                return
            caller = NOBODY
            if self._authenticator.active:
                caller = await self._known(downstream, request, exchange)
            call = self._called(path, downstream, request, exchange, caller)
            if call is not None:
                await self._forwarder.forward(call)
        except RequestError as error:
            self._tell(downstream, request, exchange, error)
        except asyncio.CancelledError:
            exchange.status = 499
            exchange.failure = "client_gone"
            raise
        except Exception:  # the outermost edge: a fault of ours ends this request alone
            LOG.exception("a request failed inside the proxy")
            exchange.failure = "internal_error"
            exchange.status = 500
            downstream.abort()
        finally:
            exchange.finished = time.perf_counter()
            self._record(exchange)

    def refused(self, downstream: DownstreamConnection, error: RequestError) -> None:
        """A message that did not pass the gate: recorded like a request, without what cannot be trusted."""
        now = time.perf_counter()
        exchange = Exchange("", downstream.client, "-", "-", now, finished=now)
        exchange.status = error.status
        exchange.failure = error.code or "bad_request"
        self._record(exchange)

    # --- who calls, and where it goes --------------------------------------------------------------------------------

    async def _known(self, downstream: DownstreamConnection, request: Request, exchange: Exchange) -> Caller:
        """Who calls. The raw target is judged before anything is parsed, and so is what the settings ask of all."""
        refuse_ambiguous(request.head.target)
        said, certificate = request.head.said, downstream.client_certificate
        caller = self._authenticator.known(said, certificate)
        if caller is None:
            caller = await self._authenticator.identify(said, certificate)
        if caller.identity is not None:
            exchange.caller = caller.identity.id
        if self._auths:
            demand(self._auths, caller)
        return caller

    def _called(
        self, path: bytes, downstream: DownstreamConnection, request: Request, exchange: Exchange, caller: Caller
    ) -> Call | None:
        """Where the request goes; None if it was answered here."""
        snapshot, head = self.snapshot, request.head
        if snapshot is None:
            raise RequestError(503, "no configuration is in force yet", kind="server_error", retry_after=1.0)
        if path == _MODELS and head.method in {b"GET", b"HEAD"} and downstream.service is None:
            self._answer(downstream, request, exchange, 200, models_for(caller.identity, snapshot))
            return None
        number = b"%b-%x" % (self._request_prefix, next(self._request_number))
        lines = RequestLines(head, downstream, number)
        exchange.request_id = lines.request_id.decode("latin-1")
        identity = caller.identity
        user = identity.data if identity is not None else _STRANGER if self._authenticator.active else None
        facts = Facts(request, snapshot.peek, user)
        exchange.model = facts.model
        if identity is not None and identity.permits is not None:
            permit_model(identity, facts.model)
            permit_rewrites(identity, head.said.fields)
        service = downstream.service
        match = snapshot.table.lookup(facts) if service is None else service_match(service, facts, snapshot)
        if match is None:
            raise _no_route(facts, request)
        exchange.route = match.route
        exchange.rule = match.rule
        call = Call(downstream, request, facts, match, snapshot, exchange, lines, caller)
        call.strips = caller.credential and not self._forwards and _was_for_us(caller)
        if match.timed or snapshot.admission.active or (identity is not None and identity.limits):
            address = downstream.client
            call.toll = Toll(
                snapshot.admission, request, facts, exchange, identity, address=address, counts=match.timed
            )
        return call

    # --- what is answered here ---------------------------------------------------------------------------------------

    async def _served_locally(
        self, path: bytes, downstream: DownstreamConnection, request: Request, exchange: Exchange
    ) -> bool:
        """Whether this is a path that the proxy answers by itself, to whoever asks; it is answered then."""
        service = downstream.service
        if service is None:
            if path == b"/metrics":
                return False
            self._answer(downstream, request, exchange, *health_answer(path, self.snapshot, draining=self._draining()))
            return True
        if not is_local(path, service, self.snapshot):
            return False
        if path == b"/metrics":
            body = None if self.metrics_line is None else await self.metrics_line.ask()
            if body is None:
                raise RequestError(503, "the metrics cannot be had", kind="server_error", code="no_metrics")
            self._answer(downstream, request, exchange, 200, body, CONTENT_TYPE_LATEST.encode())
            return True
        answer = local_answer(path, service, self.snapshot, draining=self._draining())
        self._answer(downstream, request, exchange, *answer)
        return True

    def _answer(
        self,
        downstream: DownstreamConnection,
        request: Request,
        exchange: Exchange,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
    ) -> None:
        keep_alive = request.head.said.keep_alive and not self._draining()
        exchange.status = status
        exchange.bytes_out = len(body)
        with_body = request.head.method != b"HEAD"
        message = render(status, body, keep_alive=keep_alive, with_body=with_body, content_type=content_type)
        downstream.write(message)
        downstream.finish(keep_alive)

    def _tell(
        self, downstream: DownstreamConnection, request: Request, exchange: Exchange, error: RequestError
    ) -> None:
        """Answer with an error of ours."""
        head = request.head
        exchange.status = error.status
        exchange.failure = error.code or "refused"
        keep_alive = head.said.keep_alive and not error.close and not self._draining()
        extra = b""
        if exchange.request_id:
            extra = b"X-Request-Id: %b\r\n" % exchange.request_id.encode("latin-1")
        with_body = head.method != b"HEAD"
        data = render_error(error, head.target, keep_alive=keep_alive, with_body=with_body, extra=extra)
        exchange.bytes_out = len(data) - data.index(b"\r\n\r\n") - 4
        downstream.write(data)
        downstream.finish(keep_alive)


def models_for(identity: Identity | None, snapshot: Snapshot) -> bytes:
    """The document of GET /v1/models: what the caller may use of what is served."""
    if identity is None or identity.permits is None:
        return snapshot.models
    return model_list([model_card(name) for name in snapshot.table.models if identity.permits(name)])


def model_card(name: str) -> bytes:
    """A model, as OpenAI's API shapes it."""
    return msgspec.json.encode({"id": name, "object": "model", "created": 0, "owned_by": "penstock"})


def model_list(cards: Sequence[bytes]) -> bytes:
    """All models, as OpenAI's API shapes them."""
    return b'{"object":"list","data":[' + b",".join(cards) + b"]}"


def _was_for_us(caller: Caller) -> bool:
    """Whether what was shown told us who calls, or was meant to: an engine has no business with it."""
    if caller.fault is not None:
        return caller.fault.ours
    return caller.identity is not None and caller.identity.method != CERTIFICATE


def _no_route(facts: Facts, request: Request) -> RequestError:
    """Says what was missing: a body that can be read, a model's name, or a route for it."""
    if facts.model is not None:
        message = f"route not found: no route serves the model {facts.model[:200]!r}"
        return RequestError(404, message, code="model_not_found", param="model")
    is_json = b"json" in request.head.said.content_type
    if request.body and is_json and not facts.json:
        return RequestError(400, "the request's body is not a valid JSON object", code="invalid_json")
    message = f"route not found: no route matches {facts.method} {facts.path[:200]!r}, and the request names no model"
    return RequestError(404, message, code="no_route")
