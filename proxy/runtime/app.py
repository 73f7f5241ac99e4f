"""The application of one worker: it takes requests from the front door, routes them, forwards them and tells of it."""

import asyncio
import os
import random
import socket
import ssl
import time
from collections.abc import Sequence

from proxy.access.authenticator import Authenticator
from proxy.access.limits import Limits
from proxy.access.redis_store import RedisStores
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Auth
from proxy.config.settings_spec import Listener, Settings
from proxy.config.spec import Config
from proxy.downstream.server import DownstreamServer
from proxy.errors import ConfigError
from proxy.forwarding.admission import Admission
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.peek import Peek
from proxy.forwarding.snapshot import Snapshot
from proxy.routing.compiler import compile_steps
from proxy.routing.service_tables import route_name, service_steps
from proxy.runtime.doors import Doors
from proxy.runtime.metrics_line import MetricsLine
from proxy.runtime.pace import Pace
from proxy.runtime.reception import Reception, model_card, model_list
from proxy.runtime.server_problems import server_problems
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.evidence import Evidence
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.report import EndpointReport, WorkerReport
from proxy.tls import listener_context, reload_certificate
from proxy.upstream.server import ServerRegistry, UpstreamServer
from proxy.wire.clock import Sweeper

FLUSH_INTERVAL = 0.25
"""Seconds that a line of the access log may wait in memory."""

RELEASE_SLICE = 100
"""Entries of an old routing table that are freed between two looks at the clock."""


class App:
    """Owns all that lives in a worker: its front door, its model servers, its counters and its log.

    `table` is the memory that all workers share; left out, the worker is alone.
    """

    def __init__(self, settings: Settings, *, worker: int = 0, table: SharedTable | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._worker = worker
        self._loop = loop
        self._sweeper = Sweeper(loop)
        self._table = SharedTable.create(1) if table is None else table
        self._table.begin_worker()
        self._stores = RedisStores(time.monotonic)
        self._limits = Limits(self._table, time.monotonic, self._stores.find, settings.redis)
        self._registry = ServerRegistry(loop, self._sweeper, self._table.gauge, settings.secrets)
        self._authenticator = Authenticator()
        self._metrics = Metrics()
        self._evidence = Evidence()
        self._access_log = AccessLog(settings.log.path, settings.log.format) if settings.log.access else None
        self._next_flush = 0.0
        self._contexts: list[tuple[Listener, ssl.SSLContext]] = []
        self._forwarder = Forwarder(
            loop,
            self._sweeper,
            random=random.random,
            draining=self._is_draining,
            observe_copy=self._metrics.observe_copy,
            tells_fallback=settings.fallback_header,
        )
        self._reception = Reception(
            self._authenticator,
            self._forwarder,
            auth=settings.auth,
            draining=self._is_draining,
            record=self._record,
        )
        self._server = DownstreamServer(
            self._reception.handle,
            limits=settings.limits,
            sweeper=self._sweeper,
            loop=loop,
            trusted_proxies=settings.trusted_proxies,
            on_refusal=self._reception.refused,
        )
        self._doors = Doors(self._server, settings)

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

    async def set_services(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        """Have these ports of model servers open and no others, and tell what failed."""
        return await self._doors.set(ports)

    def hold_metrics_line(self, line: MetricsLine) -> None:
        """Here the metrics of the whole proxy can be had."""
        self._reception.metrics_line = line

    async def apply(self, config: Config) -> None:
        """Build what serves a configuration beside what serves now, in slices, and swap in one assignment."""
        pace = Pace()
        before = self._reception.snapshot
        table = await pace.finish(compile_steps(config, None if before is None else before.table))
        services = await pace.finish(service_steps(config, {} if before is None else before.services))
        del before
        admission = Admission(self._limits, table.models)
        await pace.finish(admission.prepare(config))
        servers: dict[str, UpstreamServer] = {}
        for name, spec in config.servers.items():
            servers[name] = self._registry.adopt(spec)
            await pace.breathe()
        models = await _model_list(table.models, pace)
        await self._authenticator.adopt(_auths(self._settings, config))
        snapshot = Snapshot(config, table, servers, admission, Peek(table.body_fields), models, services=services)
        previous, self._reception.snapshot = self._reception.snapshot, snapshot
        self._registry.replace(servers)
        self._evidence.retain(config, time.perf_counter())
        await pace.breathe()
        self._metrics.retain(
            {route.name for route in config.routes} | {route_name(name) for name in config.servers},
            {name: {endpoint.address for endpoint in server.endpoints} for name, server in servers.items()},
        )
        remains = [] if previous is None else _remains(previous)
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
        await self._authenticator.close()
        await self._stores.close()
        if self._access_log is not None:
            self._access_log.close()

    async def reload_secrets(self) -> list[str]:
        """Read all certificates, keys and credentials again; tells what failed, and goes on with the old ones there."""
        failures = [*self._registry.renew_secrets(), *await self._authenticator.reload()]
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
        snapshot = self._reception.snapshot
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
            canaries=self._evidence.counters(),
            local_rows=self._table.overflowed,
            problems=server_problems(self._registry),
        )

    def _is_draining(self) -> bool:
        return self._server.draining

    def _record(self, exchange: Exchange) -> None:
        """Hand a finished exchange to all that count or tell it. On the hot path."""
        self._metrics.observe(exchange)
        if exchange.trial is not None:
            self._evidence.observe(exchange)
        if self._access_log is not None:
            self._access_log.write(exchange)

    async def _quiet(self, until: float) -> None:
        """Return when nothing is in flight, or at this time of the loop's clock."""
        while self._server.in_flight and self._loop.time() < until:  # noqa: ASYNC110 - an event would cost each request
            await asyncio.sleep(0.02)


def _remains(snapshot: Snapshot) -> list[object]:
    """What the tables of a snapshot are made of, for whoever lets them go a slice at a time."""
    tables = (snapshot.table, *snapshot.services.values())
    return [part for table in tables for part in (*table.remains(), *table.routes)]


async def _model_list(names: Sequence[str], pace: Pace) -> bytes:
    cards = []
    for name in names:
        cards.append(model_card(name))
        await pace.breathe()
    return model_list(cards)


def _auths(settings: Settings, config: Config) -> dict[Auth, None]:
    """All ways in which anything asks callers to show who they are, each once."""
    found = (settings.auth, *(route.auth for route in config.routes), *(one.auth for one in config.servers.values()))
    return {auth: None for auth in found if auth is not None}
