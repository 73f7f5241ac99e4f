"""The proxy as a user starts it: `penstock serve` with its files in a folder."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson

ROOT = Path(__file__).resolve().parent.parent.parent
START = 30.0  # seconds; the machine may be busy
StartServing = Callable[..., Awaitable["Serving"]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Serving:
    """A folder with settings and routes, and the processes that serve it."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.port = free_port()
        self.admin = free_port()
        self.routes = folder / "routes"
        self.file = self.routes / "chat.yaml"
        self.output = folder / "output.txt"
        self.url = f"http://127.0.0.1:{self.port}"
        self._client = client
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The supervisor."""
        assert self._process is not None
        return self._process

    @property
    def text(self) -> str:
        """All that it has printed so far."""
        return self.output.read_text(errors="replace")

    async def start(self, routes: str, settings: str, listeners: Sequence[str], variables: Mapping[str, str]) -> None:
        """Write the files, start, and wait until it is ready. `listeners` are further ones."""
        self.routes.mkdir(exist_ok=True)
        self.file.write_text(routes)
        addresses = ", ".join((f"{{address: 127.0.0.1:{self.port}}}", *listeners))
        (self.folder / "penstock.yaml").write_text(
            f"listeners: [{addresses}]\nadmin: {{address: 127.0.0.1:{self.admin}}}\n{settings}"
        )
        with self.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "proxy.cli.main", "serve", "-c", str(self.folder / "penstock.yaml")),
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(START):
            while not await self.ready():
                assert self.process.returncode is None, self.text
                await asyncio.sleep(0.02)

    async def ready(self) -> bool:
        """What /ready says, on the admin listener (all workers serve) and on the listener."""
        with suppress(aiohttp.ClientConnectionError):
            for port in (self.admin, self.port):
                async with self._client.get(f"http://127.0.0.1:{port}/ready") as answer:
                    if answer.status != 200:
                        return False
            return True
        return False

    async def ask_admin(self, path: str, method: str = "GET") -> bytes:
        """What the admin listener answers."""
        async with self._client.request(method, f"http://127.0.0.1:{self.admin}{path}") as answer:
            return await answer.read()

    async def status(self) -> dict[str, Any]:
        """What /status tells."""
        status: dict[str, Any] = orjson.loads(await self.ask_admin("/status"))
        return status

    async def version(self) -> str:
        """The version of the configuration in force."""
        return str((await self.status())["config"]["version"])

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    async def ended(self, within: float = 20.0) -> int:
        """The exit status."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def close(self) -> None:
        """End it at once: workers without a supervisor end by themselves."""
        if self._process is None or self._process.returncode is not None:
            return
        pids = [worker["pid"] for worker in (await self.status())["workers"]] if await self.ready() else []
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def serving(
    folder: Path, routes: str, settings: str = "", listeners: Sequence[str] = (), **variables: str
) -> AsyncIterator[Serving]:
    """`penstock serve` until the block is left."""
    timeout = aiohttp.ClientTimeout(total=10)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        running = Serving(folder, client)
        try:
            await running.start(routes, settings, listeners, variables)
            yield running
        finally:
            await running.close()


def start_serving(stack: AsyncExitStack, folder: Path) -> StartServing:
    """What starts `penstock serve`; it ends with the stack."""

    async def start(routes: str, settings: str = "", listeners: Sequence[str] = (), **variables: str) -> Serving:
        return await stack.enter_async_context(serving(folder, routes, settings, listeners, **variables))

    return start
