"""A simulated engine that listens, for the command, the demo and tests alike."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from proxy.simulator.app import EngineApp
from proxy.simulator.engine import Engine, Sleep
from proxy.simulator.options import EngineOptions
from proxy.simulator.peer import PrefillPeers

SHUTDOWN_GRACE = 0.1  # seconds that requests in flight are left when the engine stops
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that answers at `url`."""

    engine: Engine
    url: str
    port: int
    bootstrap_port: int


@asynccontextmanager
async def serve_engine(
    options: EngineOptions,
    *,
    tls: ssl.SSLContext | None = None,
    sleep: Sleep = asyncio.sleep,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[RunningEngine]:
    """Listen until the block is left. Raises OSError where the port is taken."""
    engine = Engine(options, sleep=sleep, clock=clock)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        runner = web.AppRunner(
            EngineApp(engine, PrefillPeers(session)).build(),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=options.keepalive,
            shutdown_timeout=SHUTDOWN_GRACE,
        )
        await runner.setup()
        try:
            await listen(engine, runner, tls)
            yield running(engine, tls)
        finally:
            await runner.cleanup()


async def listen(engine: Engine, runner: web.AppRunner, tls: ssl.SSLContext | None) -> None:
    """Bind, and tell the engine the ports that it got."""
    options = engine.options
    await web.TCPSite(runner, options.host, options.port, ssl_context=tls, backlog=BACKLOG).start()
    engine.port = engine.bootstrap_port = runner.addresses[0][1]
    if options.bootstrap_port is not None:
        await web.TCPSite(runner, options.host, options.bootstrap_port).start()
        engine.bootstrap_port = runner.addresses[-1][1]


def running(engine: Engine, tls: ssl.SSLContext | None) -> RunningEngine:
    """Where the engine answers."""
    host = f"[{engine.host}]" if ":" in engine.host else engine.host
    url = f"{'https' if tls else 'http'}://{host}:{engine.port}"
    return RunningEngine(engine, url, engine.port, engine.bootstrap_port)
