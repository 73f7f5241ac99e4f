"""The application of one worker: it takes requests from the front door, routes them, forwards them and tells of it."""

import asyncio
import itertools
import logging
import os
import random
import secrets
import socket
import ssl
import time
from collections.abc import Sequence

import msgspec

from proxy.access.rate_limit import LimiterSet
from proxy.config.settings_spec import Listener, Settings
from proxy.config.spec import Config
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.downstream.server import DownstreamServer
from proxy.errors import ConfigError, RequestError
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.heads import RequestLines
from proxy.forwarding.peek import Peek
from proxy.forwarding.snapshot import Snapshot
from proxy.routing.compiler import compile_steps
from proxy.routing.table import RoutingTable
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.report import EndpointReport, WorkerReport
from proxy.tls import listener_context, reload_certificate
from proxy.upstream.server import ServerRegistry, UpstreamServer
from proxy.wire.clock import Sweeper
from proxy.wire.error_body import render, render_error

LOG = logging.getLogger("penstock.app")

FLUSH_INTERVAL = 0.25
"""Seconds that a line of the access log may wait in memory."""

SLICE = 0.004
"""Seconds of work on a new configuration between two looks at the event loop."""

RELEASE_SLICE = 100
"""Entries of an old routing table that are freed between two looks at the clock."""

_LOCAL_PATHS = frozenset({b"/health", b"/ready", b"/v1/models"})
_OK = b'{"status":"ok"}'
_DRAINING = b'{"status":"draining"}'


class App:
    """Owns all that lives in a worker: its front door, its model servers, its counters, its log and its snapshot."""

    def __init__(self, settings: Settings, *, worker: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._worker = worker
        self._loop = loop
        self._sweeper = Sweeper(loop)
        self._registry = ServerRegistry(loop, self._sweeper)
        self._limiters = LimiterSet(max(1, settings.workers or os.cpu_count() or 1))
        self._metrics = Metrics()
        self._access_log = AccessLog(settings.log.path, settings.log.format) if settings.log.access else None
        self._next_flush = 0.0
        self._snapshot: Snapshot | None = None
        self._contexts: list[tuple[Listener, ssl.SSLContext]] = []
        self._request_prefix = secrets.token_hex(6).encode()
        self._request_number = itertools.count(1)
        self._server = DownstreamServer(
            self.handle,
            limits=settings.limits,
            sweeper=self._sweeper,
            loop=loop,
            trusted_proxies=settings.trusted_proxies,
            on_refusal=self._refused,
        )
        self._forwarder = Forwarder(loop, self._sweeper, random=random.random, draining=lambda: self._server.draining)

    # --- a worker's life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin what runs in the background."""
        self._sweeper.add(self)
        self._sweeper.start()

    async def serve(self, sockets: Sequence[tuple[socket.socket, Listener]]) -> None:
        """Open the listeners on sockets that are bound already."""
        doors: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        for sock, listener in sockets:
            context = None
            if listener.tls is not None:
                context = listener_context(listener.tls)
                self._contexts.append((listener, context))
            doors.append((sock, context))
        await self._server.listen(doors)

    async def apply(self, config: Config) -> None:
        """Build what serves a configuration beside what serves now, in slices, and swap in one assignment."""
        pace = Pace()
        table = await _compiled(config, self._snapshot.table if self._snapshot is not None else None, pace)
        servers: dict[str, UpstreamServer] = {}
        for name, spec in config.servers.items():
            servers[name] = self._registry.adopt(spec)
            await pace.breathe()
        models = await _model_list(table.models, pace)
        self._limiters.update(config.servers)
        await pace.breathe()
        snapshot = Snapshot(config, table, servers, self._limiters, Peek(table.body_fields), models)
        previous, self._snapshot = self._snapshot, snapshot
        self._registry.replace(servers)
        await pace.breathe()
        self._metrics.retain(
            {route.name for route in config.routes},
            {name: {endpoint.address for endpoint in server.endpoints} for name, server in servers.items()},
        )
        remains = [] if previous is None else previous.table.remains()
        del previous
        while remains:  # to free a table of 10,000 routes at once would hold the loop for 20 ms
            del remains[-RELEASE_SLICE:]
            await pace.breathe()

    async def drain(self, notice: float, limit: float) -> None:
        """Let what is in flight end; returns when nothing is, or after `limit` seconds.

        For `notice` seconds new requests are still taken, so that whoever watches `/ready` can go elsewhere first; then
        the listeners close.
        """
        self._server.draining = True
        began = self._loop.time()
        await self._quiet(began + min(notice, limit))
        await self._server.stop_accepting()
        self._server.close_idle()
        await self._quiet(began + limit)

    async def close(self) -> None:
        """Stop at once."""
        await self._server.close()
        await self._forwarder.close()
        self._registry.close()
        self._sweeper.stop()
        if self._access_log is not None:
            self._access_log.close()

    def reload_certificates(self) -> list[str]:
        """Read all certificate files again; tells what failed, and goes on with the old ones there."""
        failures = self._registry.renew_certificates()
        for listener, context in self._contexts:
            if listener.tls is None:
                continue
            try:
                reload_certificate(context, listener.tls)
            except ConfigError as error:
                failures.append(str(error))
        return failures

    def reopen_logs(self) -> None:
        """Open the access log again, as log rotation asks."""
        if self._access_log is not None:
            self._access_log.reopen()

    def check(self, now: float) -> None:
        """The sweeper calls this: write what the access log holds."""
        if self._access_log is not None and now >= self._next_flush:
            self._next_flush = now + FLUSH_INTERVAL
            self._access_log.flush()

    def report(self) -> WorkerReport:
        """What is going on."""
        snapshot = self._snapshot
        endpoints = [
            EndpointReport(name, endpoint.address, endpoint.in_flight, pool.idle, endpoint.state)
            for name, server in self._registry.servers.items()
            for endpoint, pool in server.pools.items()
        ]
        return WorkerReport(
            worker=self._worker,
            pid=os.getpid(),
            config_version=snapshot.config.version if snapshot is not None else "",
            connections=len(self._server.connections),
            in_flight=self._server.in_flight,
            draining=self._server.draining,
            endpoints=endpoints,
            metrics=self._metrics.snapshot(),
        )

    # --- a request's life --------------------------------------------------------------------------------------------

    async def handle(self, downstream: DownstreamConnection, request: Request) -> None:
        """Answer one request, whatever happens, and hand over the record of it."""
        head = request.head
        method, target = head.method.decode(), head.target.decode("latin-1")
        exchange = Exchange("", downstream.client, method, target, time.perf_counter(), bytes_in=len(request.body))
        try:
            call = self._route(downstream, request, exchange)
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
            self._metrics.observe(exchange)
            if self._access_log is not None:
                self._access_log.write(exchange)

    def _route(self, downstream: DownstreamConnection, request: Request, exchange: Exchange) -> Call | None:
        """Where the request goes; None if it was answered here."""
        snapshot = self._snapshot
        path = request.head.path
        if path in _LOCAL_PATHS and self._serve_locally(path, downstream, request, exchange, snapshot):
            return None
        if snapshot is None:
            raise RequestError(503, "no configuration is in force yet", kind="server_error", retry_after=1.0)
        number = b"%b-%x" % (self._request_prefix, next(self._request_number))
        lines = RequestLines(request.head, downstream, number)
        exchange.request_id = lines.request_id.decode("latin-1")
        facts = Facts(request, snapshot.peek)
        exchange.model = facts.model
        match = snapshot.table.lookup(facts)
        if match is None:
            raise _no_route(facts, request)
        exchange.route = match.route
        exchange.rule = match.rule
        return Call(downstream, request, facts, match, snapshot, exchange, lines)

    def _serve_locally(
        self,
        path: bytes,
        downstream: DownstreamConnection,
        request: Request,
        exchange: Exchange,
        snapshot: Snapshot | None,
    ) -> bool:
        """The paths that the proxy answers itself; True if this was one."""
        status, body = 200, _OK
        if path == b"/v1/models" and request.head.method in {b"GET", b"HEAD"} and snapshot is not None:
            body = snapshot.models
        elif path == b"/v1/models":
            return False
        elif path == b"/ready" and (self._server.draining or snapshot is None):
            status, body = 503, _DRAINING
        keep_alive = request.head.said.keep_alive and not self._server.draining
        exchange.status = status
        exchange.bytes_out = len(body)
        with_body = request.head.method != b"HEAD"
        downstream.write(render(status, body, keep_alive=keep_alive, with_body=with_body))
        downstream.finish(keep_alive)
        return True

    def _tell(
        self, downstream: DownstreamConnection, request: Request, exchange: Exchange, error: RequestError
    ) -> None:
        """Answer with an error of ours."""
        head = request.head
        exchange.status = error.status
        exchange.failure = error.code or "refused"
        keep_alive = head.said.keep_alive and not error.close and not self._server.draining
        extra = b""
        if exchange.request_id:
            extra = b"X-Request-Id: %b\r\n" % exchange.request_id.encode("latin-1")
        with_body = head.method != b"HEAD"
        data = render_error(error, head.target, keep_alive=keep_alive, with_body=with_body, extra=extra)
        exchange.bytes_out = len(data) - data.index(b"\r\n\r\n") - 4
        downstream.write(data)
        downstream.finish(keep_alive)

    def _refused(self, downstream: DownstreamConnection, error: RequestError) -> None:
        """A message that did not pass the gate: counted and logged like a request, without what cannot be trusted."""
        now = time.perf_counter()
        exchange = Exchange("", downstream.client, "-", "-", now, finished=now)
        exchange.status = error.status
        exchange.failure = error.code or "bad_request"
        self._metrics.observe(exchange)
        if self._access_log is not None:
            self._access_log.write(exchange)

    async def _quiet(self, until: float) -> None:
        """Return when nothing is in flight, or at this time of the loop's clock."""
        while self._server.in_flight and self._loop.time() < until:  # noqa: ASYNC110 - an event would cost each request
            await asyncio.sleep(0.02)


class Pace:
    """Keeps long work from holding the event loop: `breathe` lets others run once `SLICE` seconds have gone by."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def breathe(self) -> None:
        """Call this between two small pieces of work."""
        if time.perf_counter() - self._began > SLICE:
            await asyncio.sleep(0)
            self._began = time.perf_counter()


async def _compiled(config: Config, previous: RoutingTable | None, pace: Pace) -> RoutingTable:
    steps = compile_steps(config, previous)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            table: RoutingTable = finished.value
            return table
        await pace.breathe()


async def _model_list(names: Sequence[str], pace: Pace) -> bytes:
    """The document of GET /v1/models, as OpenAI's API shapes it."""
    cards = []
    for name in names:
        cards.append(msgspec.json.encode({"id": name, "object": "model", "created": 0, "owned_by": "penstock"}))
        await pace.breathe()
    return b'{"object":"list","data":[' + b",".join(cards) + b"]}"


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
