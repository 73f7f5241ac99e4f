"""The admin listener: metrics, status, health, and a reload on demand."""

import ipaddress
import logging
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiolimiter import AsyncLimiter
from prometheus_client import CONTENT_TYPE_LATEST
from yarl import URL

from proxy.config.settings_spec import Listener
from proxy.errors import Problem
from proxy.runtime.canaries import Action, CanaryError
from proxy.runtime.canary_status import CanaryStatus
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.reload import Outcome
from proxy.runtime.resources import Resources
from proxy.runtime.sockets import bind, refuse_shared, spell
from proxy.runtime.status import Status, problem_status
from proxy.telemetry.exposition import ControlFacts, render
from proxy.telemetry.report import WorkerReport
from proxy.tls import listener_context, reload_certificate

MOST_RELOADS = 5
"""In a second; those beyond it wait their turn."""

FOR_MACHINES = frozenset({"/metrics", "/health", "/ready"})

LOG = logging.getLogger("penstock.admin")


class ControlPlane(Protocol):
    """What the admin listener asks of the supervisor."""

    @property
    def ready(self) -> bool:
        """Whether requests are served and nothing drains."""

    async def reports(self) -> Sequence[WorkerReport]:
        """What is going on in each worker."""

    def facts(self) -> ControlFacts:
        """What the metrics show of the configuration and of the workers."""

    async def status(self) -> Status:
        """What `/status` shows."""

    async def resources(self) -> Resources:
        """What `/servers`, `/routes` and `/rewrites` show."""

    async def reload(self) -> Outcome:
        """Read the configuration again, now."""

    def problems(self) -> tuple[Problem, ...]:
        """What was found when the configuration was last read."""

    def canaries(self) -> list[CanaryStatus]:
        """What `/canaries` shows."""

    async def command_canary(self, action: Action, name: str) -> CanaryStatus:
        """Do with a canary as an operator asks. Raises CanaryError or WorkerFailedError."""


def build(control: ControlPlane, address: Listener) -> web.Application:
    """The application behind the admin address."""
    admin = Admin(control)
    application = web.Application(middlewares=[guard(address.host)])
    application.add_routes(
        [
            web.get("/metrics", admin.metrics),
            web.get("/status", admin.status),
            web.get("/{kind:servers|routes|rewrites}", admin.resources),
            web.get("/health", admin.health),
            web.get("/ready", admin.ready),
            web.post("/reload", admin.reload),
            web.get("/canaries", admin.canaries),
            web.post("/canaries/{action:promote|abort|resume}", admin.command_canary),
        ]
    )
    return application


class Admin:
    """The handlers. Its state: how many reloads were asked for of late, since each of them starts a process."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        self._reloads = AsyncLimiter(MOST_RELOADS, 1.0)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Everything that Prometheus scrapes."""
        reports = await self._control.reports()
        return web.Response(body=render(reports, self._control.facts()), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def status(self, _request: web.Request) -> web.Response:
        """The configuration in force, and what is going on."""
        return json_response(await self._control.status())

    async def resources(self, request: web.Request) -> web.Response:
        """The servers, routes or rewrites in force, each with its documents' status."""
        kind = request.match_info["kind"]
        return json_response({kind: getattr(await self._control.resources(), kind)})

    async def health(self, _request: web.Request) -> web.Response:
        """200 while the supervisor lives."""
        return json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while requests are served; 503 before that and while a drain is under way."""
        if self._control.ready:
            return json_response({"status": "ready"})
        return json_response({"status": "not ready"}, status=503)

    async def reload(self, _request: web.Request) -> web.Response:
        """Read the configuration again: 200 where what lies in the files is now in force, 422 where it cannot be."""
        async with self._reloads:
            outcome = await self._control.reload()
        facts = self._control.facts()
        answer = {
            "outcome": outcome.value,
            "version": facts.config_version,
            "problems": [problem_status(problem) for problem in self._control.problems()],
        }
        return json_response(answer, status=200 if outcome.successful else 422)

    async def canaries(self, _request: web.Request) -> web.Response:
        """All canaries, and how they do."""
        return json_response({"canaries": self._control.canaries()})

    async def command_canary(self, request: web.Request) -> web.Response:
        """Promote, abort or resume the canary of `?name=`: 200 with what has become of it; 404 where there is none of
        this name or several, 503 where it is decided but workers could not put it in force.
        """
        name = request.query.get("name", "")
        if not name:
            return json_response({"error": "which canary? say ?name=route/rule"}, status=400)
        if not self._control.ready:
            return json_response({"error": "nothing is served now"}, status=503)
        try:
            return json_response(await self._control.command_canary(Action(request.match_info["action"]), name))
        except CanaryError as error:
            return json_response({"error": str(error)}, status=404)
        except WorkerFailedError as error:
            return json_response({"error": f"decided, but not in force yet: {error}"}, status=503)


class AdminServer:
    """The open admin listener."""

    def __init__(self, control: ControlPlane, listener: Listener) -> None:
        self._control = control
        self._listener = listener
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> Listener:
        """Open it. Returns its address, a port 0 replaced by the one that was given. Raises BindError, ConfigError."""
        if self._listener.tls is not None:
            self._context = listener_context(self._listener.tls)
        refuse_shared(self._listener)
        bound = bind(self._listener, shared=False)
        self._runner = web.AppRunner(build(self._control, self._listener), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, bound, ssl_context=self._context).start()
        if not is_loopback(self._listener.host):
            LOG.warning("the admin address %s is open to other machines", spell(self._listener))
        return replace(self._listener, port=bound.getsockname()[1])

    def reload_certificate(self) -> None:
        """Read the certificate again. Raises ConfigError, and keeps the old one then."""
        if self._context is not None and self._listener.tls is not None:
            reload_certificate(self._context, self._listener.tls)

    async def close(self) -> None:
        """Close it."""
        if self._runner is not None:
            await self._runner.cleanup()


def json_response(content: object, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def guard(host: str) -> Middleware:
    """Let no web page act through its visitor's browser: not by a name of its own that leads here (DNS rebinding),
    and not by a form or a script of another site.
    """

    open_to_machines = not is_loopback(host)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Scrapers and probes of other machines know us by names that we do not.
        for_machines = open_to_machines and request.path in FOR_MACHINES
        if not for_machines and not is_own_name(request.headers.get("Host"), host):
            return json_response({"error": "this host is not the admin address: use its IP address"}, status=403)
        if request.method != "GET" and is_foreign(request):
            return json_response({"error": "requests of other sites are refused"}, status=403)
        return await handler(request)

    return check


def is_own_name(named: str | None, host: str) -> bool:
    """Whether a Host header can be meant for us: an IP address, localhost, or the configured host. None is HTTP/1.0."""
    if named is None:
        return True
    try:
        name = URL.build(scheme="http", authority=named).host or ""
    except ValueError:
        return False
    return name.lower() in {"localhost", host.lower()} or is_address(name)


def is_foreign(request: web.Request) -> bool:
    """Whether a browser says that a page of another site sends this."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def is_address(name: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
