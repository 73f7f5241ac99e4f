"""What runs in a worker's process: the application, told by the supervisor what to do."""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Sequence
from typing import Protocol, assert_never

from proxy.config.settings_spec import Listener, Settings
from proxy.config.spec import Config
from proxy.errors import PenstockError
from proxy.runtime.channel import (
    Applied,
    Boot,
    Channel,
    ChannelClosedError,
    Command,
    ConfigBegin,
    ConfigCommit,
    ConfigPiece,
    Drain,
    Drained,
    Failed,
    MetricsText,
    Notice,
    Ready,
    ReloadSecrets,
    ReopenLogs,
    Report,
    ReportRequest,
    SecretsReloaded,
    ServicesSet,
    SetServices,
    Stop,
)
from proxy.runtime.metrics_line import MetricsLine
from proxy.runtime.pieces import Assembler
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.report import WorkerReport

RELEASE_SLICE = 100  # routes or servers of the old configuration that are freed between two requests

# A request leaves no cycle behind, so that the collector only walks what is alive: at its default of 700 new objects
# that took 2 of 32 us of a request (benchmarks/hot_path.py --gc).
COLLECTIONS = (50_000, 20, 50)

LOG = logging.getLogger("penstock.worker")

Grant = tuple[socket.socket, Listener]


class Application(Protocol):
    """What serves the requests of one worker."""

    async def start(self) -> None:
        """Begin what runs in the background."""

    async def serve(self, sockets: Sequence[Grant]) -> None:
        """Open the listeners on sockets that are bound already."""

    async def apply(self, config: Config) -> None:
        """Put a configuration in force without holding the event loop."""

    async def set_services(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        """Have these ports of model servers open and no others, and tell what failed."""

    def hold_metrics_line(self, line: MetricsLine) -> None:
        """Here the metrics of the whole proxy can be had."""

    def report(self) -> WorkerReport:
        """Tell what is going on."""

    async def reload_secrets(self) -> list[str]:
        """Read certificates, keys and credentials again, and tell what failed."""

    def reopen_logs(self) -> None:
        """Open log files again."""

    async def drain(self, notice: float, limit: float, /) -> None:
        """Take new requests for `notice` seconds; return when nothing is in flight, or after `limit` seconds."""

    async def close(self) -> None:
        """Stop at once."""


class DataPlane:
    """A worker's life: configurations come in pieces, the listeners open with the first one, a drain ends it."""

    def __init__(
        self, channel: Channel[Command], app: Application, settings: Settings, sockets: Sequence[Grant]
    ) -> None:
        self._channel = channel
        self._app = app
        self._settings = settings
        self._sockets = sockets
        self._assembler = Assembler("")
        self._config: Config | None = None
        self._applying = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None
        self._metrics = MetricsLine(self._tell)
        app.hold_metrics_line(self._metrics)

    async def run(self) -> None:
        """Serve until told to stop, or until nothing is in flight after the supervisor is gone."""
        try:
            await self._app.start()
            await self._tell(Ready())
            async with asyncio.TaskGroup() as tasks:
                under_way = await self._follow(tasks)
                for task in under_way:
                    task.cancel()
        finally:
            await self._app.close()

    async def _follow(self, tasks: asyncio.TaskGroup) -> set[asyncio.Task[None]]:
        """Do as told until nothing is left to do; returns the tasks that are still under way."""
        under_way: set[asyncio.Task[None]] = set()
        while (command := await self._channel.receive()) is not None:
            if isinstance(command, Stop):
                return under_way
            task = await self._obey(command, tasks)
            if task is not None:
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        LOG.warning("the supervisor is gone: worker %d drains", os.getpid())
        await self._begin_drain(tasks, 0.0, self._settings.drain_timeout)
        return under_way

    async def _obey(self, command: Command, tasks: asyncio.TaskGroup) -> asyncio.Task[None] | None:
        match command:
            case ConfigBegin():
                # A full collection while a big configuration is built costs 100 ms and frees nothing.
                gc.disable()
                self._assembler = Assembler(command.version)
            case ConfigPiece():
                self._assembler.add(command.data)
                await asyncio.sleep(0)  # pieces that have arrived already must not be read in one go
            case ConfigCommit():
                config, self._assembler = self._assembler.config(command.weights), Assembler("")
                return tasks.create_task(self._apply(config))
            case Drain():
                return self._begin_drain(tasks, command.notice, command.timeout)
            case ReloadSecrets():
                return tasks.create_task(self._reload_secrets())
            case ReportRequest() | ReopenLogs():
                await self._answer(command)
            case SetServices():
                return tasks.create_task(self._set_services(command))
            case MetricsText():
                self._metrics.take(command)
            case Boot() | Stop():
                raise AssertionError(f"{type(command).__name__} is not for now")
            case _:
                assert_never(command)
        return None

    async def _answer(self, command: ReportRequest | ReopenLogs) -> None:
        match command:
            case ReportRequest():
                await self._tell(Report(command.number, self._app.report()))
            case ReopenLogs():
                self._app.reopen_logs()
            case _:
                assert_never(command)

    async def _reload_secrets(self) -> None:
        """Beside what else is asked: a file on a disk that does not answer may take its time."""
        async with self._applying:
            failures = await self._app.reload_secrets()
        await self._tell(SecretsReloaded(tuple(failures)))

    async def _apply(self, config: Config) -> None:
        async with self._applying:
            try:
                await self._app.apply(config)
                if self._config is None:
                    await self._app.serve(self._sockets)
            except PenstockError as error:  # it says all that an operator needs
                await self._tell(Failed(config.version, str(error)))
                return
            except Exception as error:  # whatever it is, the old configuration serves on
                LOG.exception("configuration %s could not be applied", config.version)
                await self._tell(Failed(config.version, f"{type(error).__name__}: {error}"))
                return
            finally:
                settle_garbage()
            remains = self._adopt(config)
            await self._tell(Applied(config.version))
            await release(remains)

    async def _set_services(self, command: SetServices) -> None:
        """Before the first configuration there is nothing to serve: the supervisor asks again behind it."""
        failures: list[ServiceFailure] = []
        async with self._applying:
            try:
                if self._config is not None:
                    failures = await self._app.set_services(command.ports)
            except Exception as error:  # whatever it is, everything else serves on
                LOG.exception("the ports of model servers could not be set")
                failures = [ServiceFailure(port.port, type(error).__name__) for port in command.ports]
        await self._tell(ServicesSet(command.number, tuple(failures)))

    def _adopt(self, config: Config) -> list[object]:
        """Hold the new configuration; returns what the old one was made of."""
        previous, self._config = self._config, config
        return [] if previous is None else [*previous.servers.values(), *previous.routes]

    def _begin_drain(self, tasks: asyncio.TaskGroup, notice: float, limit: float) -> asyncio.Task[None]:
        if self._draining is None:
            self._draining = tasks.create_task(self._drain(notice, limit))
        return self._draining

    async def _drain(self, notice: float, limit: float) -> None:
        await self._app.drain(notice, limit)
        await self._tell(Drained())

    async def _tell(self, message: Notice) -> None:
        try:
            await self._channel.send(message)
        except ChannelClosedError:
            LOG.debug("nobody listens to %s", type(message).__name__)  # `receive` says so too, and ends this life


def settle_garbage() -> None:
    """Take what lives now out of the collector's sight: a full collection walks only what came later."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*COLLECTIONS)


async def release(remains: list[object]) -> None:
    """Free what an old configuration was made of, a slice at a time: 10,000 routes at once hold the loop for 20 ms."""
    while remains:
        del remains[-RELEASE_SLICE:]
        await asyncio.sleep(0)
