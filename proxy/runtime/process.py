"""One worker's process, as the supervisor holds it: spawned with its sockets, spoken to over its channel."""

import asyncio
import logging
import pickle
import socket
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar, assert_never

from proxy.config.settings_spec import Settings
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
    ListenerGrant,
    MetricsText,
    MetricsWanted,
    Notice,
    Ready,
    Report,
    ReportRequest,
    SecretsReloaded,
    ServicesSet,
    SetServices,
    Stop,
    open_for_supervisor,
)
from proxy.runtime.children import child_environment, module_command
from proxy.runtime.reading import Reading
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.report import WorkerReport

Answer = TypeVar("Answer")

MetricsSource = Callable[[], Awaitable[bytes]]

WORKER = tuple(module_command("proxy.runtime.worker"))

LOG = logging.getLogger("penstock.supervisor")


class WorkerFailedError(PenstockError):
    """A worker that could not begin, or that could not put a configuration in force."""


class WorkerRefusedError(WorkerFailedError):
    """A worker that lives on, but says that it cannot do what was asked."""


class WorkerProcess:
    """A worker's process with our end of its channel.

    Its state: the answers that are awaited, the last report, and how it ended.
    """

    def __init__(
        self, worker: int, process: Process, channel: Channel[Notice], metrics: MetricsSource | None = None
    ) -> None:
        self.worker = worker
        self.last_report: WorkerReport | None = None
        self._process = process
        self._channel = channel
        self._numbers = count(1)
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._applied: asyncio.Future[None] | None = None
        self._applying = ""
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._metrics = metrics
        self._telling: asyncio.Task[None] | None = None
        self._listening = loop.create_task(self._listen())

    def __repr__(self) -> str:
        state = "running" if self._process.returncode is None else f"ended with {self._process.returncode}"
        return f"<WorkerProcess {self.worker} pid {self.pid} {state}>"

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def boot(self, settings: Settings, sockets: Sequence[socket.socket], table: int, limit: float) -> None:
        """Send the first frame and wait until the worker has begun. Raises WorkerFailedError."""
        grants = tuple(ListenerGrant(bound.fileno(), place) for place, bound in enumerate(sockets))
        await self.send(Boot(self.worker, pickle.dumps(settings), grants, table))
        await self._await_answer(self._ready, limit, "begin")

    async def apply(self, reading: Reading, limit: float) -> None:
        """Send a configuration and wait until it is in force; one at a time. Raises WorkerFailedError."""
        self._applied = self._expect()
        self._applying = reading.version
        try:
            async with asyncio.timeout(limit):
                await self.send(ConfigBegin(reading.version))
                for piece in reading.pieces:
                    await self.send(ConfigPiece(piece))
                await self.send(ConfigCommit(reading.weights))
        except TimeoutError as error:
            raise WorkerFailedError(f"worker {self.worker} did not take the configuration in {limit:.0f} s") from error
        await self._await_answer(self._applied, limit, "apply the configuration")

    async def report(self, limit: float) -> WorkerReport | None:
        """Ask the worker what is going on; its last report where it does not answer in time."""
        number = next(self._numbers)
        answer: asyncio.Future[WorkerReport] = self._expect()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(limit):
                await self.send(ReportRequest(number))
                self.last_report = await answer
        except (TimeoutError, WorkerFailedError):
            LOG.debug("worker %d does not report", self.worker)
        finally:
            self._answers.pop(number, None)
        return self.last_report

    async def set_services(self, ports: Sequence[ServicePort], limit: float) -> tuple[ServiceFailure, ...]:
        """Have the worker open these ports and no others. Returns what failed; a worker that does not answer has told
        nothing: its end, or its silence, is noticed elsewhere.
        """
        number = next(self._numbers)
        answer: asyncio.Future[tuple[ServiceFailure, ...]] = self._expect()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(limit):
                await self.send(SetServices(number, tuple(ports)))
                return await answer
        except (TimeoutError, WorkerFailedError):
            LOG.debug("worker %d does not tell of its ports", self.worker)
            return ()
        finally:
            self._answers.pop(number, None)

    async def send(self, command: Command) -> None:
        """Send one frame; a worker that is gone takes none, and its end is noticed elsewhere."""
        with suppress(ChannelClosedError):
            await self._channel.send(command)

    async def drain(self, notice: float, limit: float) -> None:
        """Let the worker finish what is in flight, and wait for its end; kill it when the time is over."""
        await self.send(Drain(notice, limit))
        try:
            async with asyncio.timeout(limit + 5.0):
                await self.wait()
        except TimeoutError:
            LOG.warning("worker %d (pid %d) does not end: killed", self.worker, self.pid)
            await self.kill()

    async def stop(self, limit: float = 2.0) -> None:
        """End the process at once; kill it when it does not obey."""
        await self.send(Stop())
        try:
            async with asyncio.timeout(limit):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kill the process and wait for its end."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.wait()

    async def wait(self) -> int:
        """Wait for the process' end. Returns its exit status, negative for a signal."""
        status = await self._process.wait()
        await asyncio.wait([self._listening])
        return status

    def _expect(self) -> "asyncio.Future[Answer]":
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._listening.done():
            answer.set_exception(self._gone())
        return answer

    def _gone(self) -> WorkerFailedError:
        return WorkerFailedError(f"worker {self.worker} (pid {self.pid}) ended with status {self._process.returncode}")

    async def _await_answer(self, answer: "asyncio.Future[None]", limit: float, what: str) -> None:
        try:
            async with asyncio.timeout(limit):
                await answer
        except TimeoutError as error:
            raise WorkerFailedError(f"worker {self.worker} did not {what} in {limit:.0f} s") from error

    async def _listen(self) -> None:
        """Take what the worker says until it is gone; whoever waits for an answer then learns that."""
        while (notice := await self._channel.receive()) is not None:
            await self._take(notice)
        await self._channel.close()
        await self._process.wait()
        if self._telling is not None:
            self._telling.cancel()
        for answer in (self._ready, self._applied, *self._answers.values()):
            reject(answer, self._gone())

    async def _take(self, notice: Notice) -> None:
        match notice:
            case Ready():
                resolve(self._ready, None)
            case Applied(version):
                if version == self._applying:  # an answer that comes too late is none to what was asked since
                    resolve(self._applied, None)
            case Failed(version, message):
                if not version or version == self._applying:
                    reject(self._applied if version else self._ready, WorkerRefusedError(message))
            case Report(number, answer) | ServicesSet(number, answer):
                resolve(self._answers.get(number), answer)
            case SecretsReloaded(failures):
                for failure in failures:
                    LOG.error("worker %d: %s", self.worker, failure)
            case MetricsWanted(number):
                self._begin_telling(number)
            case Drained():
                await self.send(Stop())
            case _:
                assert_never(notice)

    def _begin_telling(self, number: int) -> None:
        """What is told takes this worker's report too, so that `_listen` must not wait for it."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell_metrics(number))

    async def _tell_metrics(self, number: int) -> None:
        if self._metrics is not None:
            await self.send(MetricsText(number, await self._metrics()))


def resolve(answer: "asyncio.Future[Answer] | None", value: Answer) -> None:
    """Give an answer to whoever still waits for it."""
    if answer is not None and not answer.done():
        answer.set_result(value)


def reject(answer: "asyncio.Future[Any] | None", reason: WorkerFailedError) -> None:
    """Tell whoever still waits that no answer will come."""
    if answer is not None and not answer.done():
        answer.set_exception(reason)
        answer.exception()  # whoever waited may have given up: then nobody asks


async def spawn(
    worker: int,
    sockets: Sequence[socket.socket],
    table: int,
    command: Sequence[str] = WORKER,
    metrics: MetricsSource | None = None,
) -> WorkerProcess:
    """Start a worker's process, which inherits these sockets and one end of a channel, and nothing else.

    `metrics` is asked for the metrics of the whole proxy when the worker wants them. Raises WorkerFailedError.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise WorkerFailedError(f"worker {worker} could not be started: {error.strerror}") from error
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), table, *(bound.fileno() for bound in sockets)),
            env=child_environment(),
            process_group=0,  # Ctrl-C in a terminal is for the supervisor
        )
    except OSError as error:
        ours.close()
        raise WorkerFailedError(f"worker {worker} could not be started: {error.strerror}") from error
    finally:
        theirs.close()
    return WorkerProcess(worker, process, await open_for_supervisor(ours), metrics)
