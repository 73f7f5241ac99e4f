"""The proxy in the test's own process, with its listener on a free port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from proxy.config.loader import load_texts
from proxy.config.settings_spec import Listener, LogSettings, Settings
from proxy.config.spec import Config
from proxy.runtime.app import App
from proxy.runtime.sockets import bind
from proxy.telemetry.report import EndpointReport

StartProxy = Callable[..., Awaitable["Proxy"]]
QUIET = Settings(admin=None, log=LogSettings(access=False))


class Proxy:
    """A worker's application that listens on `port`."""

    def __init__(self, app: App, port: int, secure: bool) -> None:
        self.app = app
        self.port = port
        self.url = f"{'https' if secure else 'http'}://127.0.0.1:{port}"

    @property
    def in_flight(self) -> int:
        """Requests that any client waits for, or that any endpoint is thought to work on."""
        report = self.app.report()
        return report.in_flight + sum(endpoint.in_flight for endpoint in report.endpoints)

    def endpoint(self, url: str) -> EndpointReport:
        """What is going on at an endpoint."""
        return next(endpoint for endpoint in self.app.report().endpoints if endpoint.address == url)

    async def apply(self, routes: str | Config) -> None:
        """Put another configuration in force."""
        await self.app.apply(config_of(routes))


@asynccontextmanager
async def proxy_of(routes: str | Config, settings: Settings = QUIET) -> AsyncIterator[Proxy]:
    """A proxy with this route file, or with a configuration that was made of several."""
    app = App(settings)
    listener = replace(settings.listeners[0], host="127.0.0.1", port=0)
    sock = bind(listener, shared=False)
    try:
        await app.start()
        await app.apply(config_of(routes))
        await app.serve([(sock, listener)])
        yield Proxy(app, sock.getsockname()[1], listener.tls is not None)
    finally:
        await app.close()


def start_proxy(stack: AsyncExitStack) -> StartProxy:
    """What starts proxies that stop with the stack."""

    async def start(routes: str | Config, **changes: Any) -> Proxy:
        return await stack.enter_async_context(proxy_of(routes, replace(QUIET, **changes)))

    return start


def config_of(routes: str | Config) -> Config:
    """The configuration that a route file says, which must be right."""
    if isinstance(routes, Config):
        return routes
    result = load_texts({"routes.yaml": routes})
    assert result.config is not None, "\n".join(map(str, result.problems))
    return result.config


def one_route(*urls: str, server: str = "", rule: str = "") -> str:
    """A route file: the model qwen, served at these endpoints; more policies of the server and of the rule."""
    endpoints = ", ".join(repr(url) for url in urls)
    return (
        f"servers:\n  engine: {{endpoints: [{endpoints}]{', ' + server if server else ''}}}\n"
        "routes:\n  - name: chat\n    models: [qwen]\n    adapters: [sql-lora]\n"
        f"    rules: [{{name: all, targets: [engine]{', ' + rule if rule else ''}}}]\n"
        "  - name: rest\n"
        f"    rules: [{{name: any, match: {{path: '/*'}}, targets: [engine]{', ' + rule if rule else ''}}}]\n"
    )


def listening(**changes: Any) -> tuple[Listener, ...]:
    """Listeners of a test: one, with these changes."""
    return (Listener("127.0.0.1", 0, **changes),)
