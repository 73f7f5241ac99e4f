"""What the demo stands on: simulated engines, a sample configuration, and the proxy as a child process."""

import asyncio
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from proxy.errors import PenstockError
from proxy.simulator.options import EngineOptions, Software
from proxy.simulator.running import RunningEngine, serve_engine

START_LIMIT = 20.0  # seconds that the proxy may take to answer /ready
STOP_LIMIT = 5.0  # seconds that it may take to end

ENGINES = {
    "stable": EngineOptions(model="qwen-7b", name="qwen-7b", time_to_first_token=0.08, time_per_token=0.03, tokens=24),
    "canary": EngineOptions(
        model="qwen-7b-next", name="qwen-7b-next", time_to_first_token=0.06, time_per_token=0.02, tokens=24
    ),
    "premium": EngineOptions(
        model="qwen-72b",
        name="qwen-72b",
        software=Software.SGLANG,
        time_to_first_token=0.15,
        time_per_token=0.06,
        tokens=24,
    ),
}

SETTINGS = """\
listeners:
  - address: 127.0.0.1:{port}
admin: {{address: "127.0.0.1:{admin_port}"}}
routes: routes/
drain_timeout: 2s
drain_notice: 0s
log: {{format: json, path: {log}}}
"""

ROUTES = """\
servers:
{servers}
routes:
  - name: chat
    models: [qwen]                  # the model that clients name
    rules:
      - name: premium
        match: {{headers: {{user-type: premium}}}}
        targets: [{{server: premium}}]
      - name: default
        targets:
          - {{server: stable, weight: 70}}
          - {{server: canary, weight: 30}}
  - name: large
    models: [qwen-72b]
    rules:
      - name: by-model
        targets: [{{server: premium}}]
"""

SERVER = """\
  {name}:
    engine: {engine}
    model: {model}{pad}# the name that the engine knows
    endpoints: [{url}]
"""


class DemoError(PenstockError):
    """The demo cannot run, with what the proxy said."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. `url` and `admin_url` have no slash at the end."""

    engines: dict[str, RunningEngine]
    folder: Path
    url: str
    admin_url: str
    proxy: Process

    @property
    def routes_file(self) -> Path:
        """The routes, to be edited while the proxy runs."""
        return self.folder / "routes" / "demo.yaml"

    @property
    def access_log(self) -> Path:
        """One JSON object for each request."""
        return self.folder / "access.log"


def choose_port(wanted: int, taken: Sequence[int] = ()) -> int:
    """The wanted port if it can be had, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                found: int = probe.getsockname()[1]
            except OSError:
                continue
        if found not in taken:
            return found
    raise DemoError("no free port on 127.0.0.1")


def write_files(folder: Path, engines: dict[str, RunningEngine], port: int, admin_port: int) -> Path:
    """Write the sample configuration; gives the settings file."""
    servers = [
        SERVER.format(
            name=name,
            engine=running.engine.options.software.value,
            model=running.engine.options.model,
            pad=" " * max(1, 25 - len(running.engine.options.model)),
            url=running.url,
        )
        for name, running in engines.items()
    ]
    (folder / "routes").mkdir()
    (folder / "routes" / "demo.yaml").write_text(ROUTES.format(servers="".join(servers)))
    settings = folder / "penstock.yaml"
    settings.write_text(SETTINGS.format(port=port, admin_port=admin_port, log=folder / "access.log"))
    return settings


@asynccontextmanager
async def set_stage(port: int | None) -> AsyncIterator[Stage]:
    """Start the engines and the proxy, and end them with the block. Raises DemoError if the proxy does not come up."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-demo-")))
        engines = {name: await stack.enter_async_context(serve_engine(options)) for name, options in ENGINES.items()}
        own = choose_port(8400) if port is None else port
        admin = choose_port(8401, taken=[own])
        settings = write_files(folder, engines, own, admin)
        proxy = await stack.enter_async_context(run_proxy(settings, folder / "proxy.log"))
        stage = Stage(engines, folder, f"http://127.0.0.1:{own}", f"http://127.0.0.1:{admin}", proxy)
        await until_ready(stage)
        yield stage


@asynccontextmanager
async def run_proxy(settings: Path, log: Path) -> AsyncIterator[Process]:
    """`penstock serve` as a child process. Ctrl-C in the terminal does not reach it: it ends when we end it."""
    with log.open("wb") as output:
        command = (sys.executable, "-m", "proxy.cli.main", "serve", "-c", str(settings))
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Ask the child to end, and make it end if it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def until_ready(stage: Stage) -> None:
    """Wait until the proxy takes requests."""
    try:
        async with asyncio.timeout(START_LIMIT), aiohttp.ClientSession() as client:
            while not await is_ready(client, stage):  # noqa: ASYNC110 (another process tells us by HTTP alone)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DemoError(f"the proxy was not ready after {START_LIMIT:g} s\n{said(stage)}") from None


async def is_ready(client: aiohttp.ClientSession, stage: Stage) -> bool:
    """Whether `/ready` answers 200. Raises DemoError where the proxy has ended."""
    if stage.proxy.returncode is not None:
        raise DemoError(f"the proxy ended with status {stage.proxy.returncode}\n{said(stage)}")
    try:
        async with client.get(f"{stage.url}/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def said(stage: Stage) -> str:
    """What the proxy wrote."""
    return (stage.folder / "proxy.log").read_text(errors="replace")[-4000:]
