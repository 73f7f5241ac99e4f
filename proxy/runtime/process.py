"""One worker's process, as the supervisor holds it: spawned with its sockets, spoken to over its channel."""

import asyncio
import logging
import pickle
import socket
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar, assert_never

from proxy.config.settings_spec import Settings
from proxy.errors import PenstockError
from proxy.runtime.channel import (
    Applied,
    Boot,
    CertificatesReloaded,
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
    Notice,
    Ready,
    Report,
    ReportRequest,
    Stop,
    open_for_supervisor,
)
from proxy.runtime.children import child_environment, module_command
from proxy.runtime.reading import Reading
from proxy.telemetry.report import WorkerReport

Answer = TypeVar("Answer")

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

    def __init__(self, worker: int, process: Process, channel: Channel[Notice]) -> None:
        self.worker = worker
        self.last_report: WorkerReport | None = None
        self._process = process
        self._channel = channel
        self._numbers = count(1)
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._applied: asyncio.Future[None] | None = None
        self._applying = ""
        self._reports: dict[int, asyncio.Future[WorkerReport]] = {}
        self._listening = loop.create_task(self._listen())

    def __repr__(self) -> str:
        state = "running" if self._process.returncode is None else f"ended with {self._process.returncode}"
        return f"<WorkerProcess {self.worker} pid {self.pid} {state}>"

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    async def boot(self, settings: Settings, sockets: Sequence[socket.socket], limit: float) -> None:
        """Send the first frame and wait until the worker has begun. Raises WorkerFailedError."""
        grants = tuple(ListenerGrant(bound.fileno(), place) for place, bound in enumerate(sockets))
        await self.send(Boot(self.worker, pickle.dumps(settings), grants))
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
                await self.send(ConfigCommit())
        except TimeoutError as error:
            raise WorkerFailedError(f"worker {self.worker} did not take the configuration in {limit:.0f} s") from error
        await self._await_answer(self._applied, limit, "apply the configuration")

    async def report(self, limit: float) -> WorkerReport | None:
        """Ask the worker what is going on; its last report where it does not answer in time."""
        number = next(self._numbers)
        answer: asyncio.Future[WorkerReport] = self._expect()
        self._reports[number] = answer
        try:
            async with asyncio.timeout(limit):
                await self.send(ReportRequest(number))
                self.last_report = await answer
        except (TimeoutError, WorkerFailedError):
            LOG.debug("worker %d does not report", self.worker)
        finally:
            self._reports.pop(number, None)
        return self.last_report

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
        for answer in (self._ready, self._applied, *self._reports.values()):
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
            case Report(number, report):
                resolve(self._reports.get(number), report)
            case CertificatesReloaded(failures):
                for failure in failures:
                    LOG.error("worker %d: certificates: %s", self.worker, failure)
            case Drained():
                await self.send(Stop())
            case _:
                assert_never(notice)


def resolve(answer: "asyncio.Future[Answer] | None", value: Answer) -> None:
    """Give an answer to whoever still waits for it."""
    if answer is not None and not answer.done():
        answer.set_result(value)


def reject(answer: "asyncio.Future[None] | asyncio.Future[WorkerReport] | None", reason: WorkerFailedError) -> None:
    """Tell whoever still waits that no answer will come."""
    if answer is not None and not answer.done():
        answer.set_exception(reason)
        answer.exception()  # whoever waited may have given up: then nobody asks


async def spawn(worker: int, sockets: Sequence[socket.socket], command: Sequence[str] = WORKER) -> WorkerProcess:
    """Start a worker's process, which inherits these sockets and one end of a channel, and nothing else.

    Raises WorkerFailedError.
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
            pass_fds=(theirs.fileno(), *(bound.fileno() for bound in sockets)),
            env=child_environment(),
            process_group=0,  # Ctrl-C in a terminal is for the supervisor
        )
    except OSError as error:
        ours.close()
        raise WorkerFailedError(f"worker {worker} could not be started: {error.strerror}") from error
    finally:
        theirs.close()
    return WorkerProcess(worker, process, await open_for_supervisor(ours))
