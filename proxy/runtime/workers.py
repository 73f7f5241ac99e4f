"""All workers: one process for each slot, replaced when it dies, and all on one configuration."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Settings
from proxy.runtime.channel import Command
from proxy.runtime.process import WORKER, MetricsSource, WorkerFailedError, WorkerProcess, WorkerRefusedError, spawn
from proxy.runtime.reading import Reading
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.runtime.sockets import BindError, bind, close_all
from proxy.telemetry.metrics import merge
from proxy.telemetry.report import MetricsSnapshot, WorkerReport

BOOT_TIMEOUT = 60.0
APPLY_TIMEOUT = 60.0
REPORT_TIMEOUT = 2.0
SERVICES_TIMEOUT = 10.0

LOG = logging.getLogger("penstock.supervisor")


class RestartPause:
    """How long to wait before a worker that died is replaced: not at all, unless it keeps dying. Seconds."""

    STEPS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
    SETTLED = 60.0  # a worker that lived so long did not die of its start

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived: float) -> float:
        """The pause after a worker that lived so long."""
        if lived >= self.SETTLED:
            self._deaths = 0
        pause = self.STEPS[min(self._deaths, len(self.STEPS) - 1)]
        self._deaths += 1
        return pause


class Workers:
    """The processes by slot. What changes: the processes, the reading in force, and what is left of those that died."""

    def __init__(
        self,
        settings: Settings,
        rows: Sequence[Sequence[socket.socket]],
        table: SharedTable,
        command: Sequence[str] = WORKER,
        metrics: MetricsSource | None = None,
    ) -> None:
        self.restarts = 0
        self.services_lacking = False
        self.departed = MetricsSnapshot()
        self._settings = settings
        self._rows = [list(row) for row in rows]
        self._table = table
        self._command = command
        self._metrics = metrics
        self._services: Sequence[ServicePort] = ()
        self._processes: dict[int, WorkerProcess] = {}
        self._reading = Reading()
        self._applying = asyncio.Lock()

    @property
    def pids(self) -> dict[int, int]:
        """The number of each slot's process."""
        return {worker: process.pid for worker, process in self._processes.items()}

    @property
    def alive(self) -> bool:
        """Whether any worker's process is there."""
        return any(process.alive for process in self._processes.values())

    async def start(self, reading: Reading) -> None:
        """Start all, and return when all serve. Raises WorkerFailedError."""
        self._reading = reading
        results = await asyncio.gather(*(self._begin(slot) for slot in range(len(self._rows))), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def keep(self) -> None:
        """Replace whatever dies, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for slot in range(len(self._rows)):
                tasks.create_task(self._keep_one(slot))

    async def apply(self, reading: Reading) -> None:
        """Put a configuration in force in all workers, or in none. Raises WorkerFailedError where it is none.

        A worker that dies of it, or is silent, while others can live with it is replaced by one that begins with it.
        """
        async with self._applying:
            processes = list(self._processes.values())
            results = await asyncio.gather(
                *(process.apply(reading, APPLY_TIMEOUT) for process in processes), return_exceptions=True
            )
            failures = [result for result in results if isinstance(result, BaseException)]
            done = [process for process, result in zip(processes, results, strict=True) if result is None]
            silent = [
                process
                for process, result in zip(processes, results, strict=True)
                if isinstance(result, WorkerFailedError) and not isinstance(result, WorkerRefusedError)
            ]
            refused = any(isinstance(failure, WorkerRefusedError) for failure in failures)
            if failures and (refused or not done):
                await asyncio.gather(*(self._restore(process) for process in done))
                await asyncio.gather(*(process.kill() for process in silent))  # or they would apply it later
                raise failures[0]
            self._reading = reading
            for process, result in zip(processes, results, strict=True):
                if result is not None:
                    LOG.error("%s; it is replaced", result)
                    await process.kill()

    async def set_services(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        """Have these ports of model servers open in every worker, also in those that begin later, and no others.

        Returns what failed, each failure once.
        """
        self._services = ports
        self.services_lacking = False
        processes = self._processes.values()
        told = await asyncio.gather(*(process.set_services(ports, SERVICES_TIMEOUT) for process in processes))
        return list(dict.fromkeys(failure for failures in told for failure in failures))

    async def reports(self) -> list[WorkerReport]:
        """What is going on in each worker."""
        reports = await asyncio.gather(*(process.report(REPORT_TIMEOUT) for process in self._processes.values()))
        return [report for report in reports if report is not None]

    async def tell(self, command: Command) -> None:
        """Send a command to every worker."""
        await asyncio.gather(*(process.send(command) for process in self._processes.values()))

    async def drain(self, notice: float, limit: float) -> None:
        """Let all finish what is in flight, and wait for their end. Our copies of the sockets are closed first:
        otherwise the kernel would go on accepting for workers that have stopped to.
        """
        close_all(self._rows)
        await asyncio.gather(*(process.drain(notice, limit) for process in self._processes.values()))

    async def stop(self) -> None:
        """End all at once."""
        close_all(self._rows)
        await asyncio.gather(*(process.stop() for process in self._processes.values()))

    async def _begin(self, slot: int) -> None:
        """Start one worker and return when it serves. Raises WorkerFailedError."""
        process = await spawn(slot, self._rows[slot], self._table.fileno(), self._command, self._metrics)
        self._processes[slot] = process
        await process.boot(self._settings, self._rows[slot], self._table.fileno(), BOOT_TIMEOUT)
        async with self._applying:
            await process.apply(self._reading, APPLY_TIMEOUT)
        for failure in await process.set_services(self._services, SERVICES_TIMEOUT) if self._services else ():
            self.services_lacking = True
            LOG.error("worker %d: port %d: %s", slot, failure.port, failure.message)

    async def _keep_one(self, slot: int) -> None:
        pauses = RestartPause()
        started = time.monotonic()
        while True:
            process = self._processes[slot]
            status = await process.wait()
            pause = pauses.after(time.monotonic() - started)
            LOG.error("%r: %s", process, f"replaced in {pause} s" if pause else "replaced at once")
            self._bury(process, status)
            await self._wait_aside(slot, pause)
            started = time.monotonic()
            try:
                self._bind_again(slot)
                await self._begin(slot)
            except (WorkerFailedError, BindError) as error:
                LOG.error("worker %d: %s", slot, error)  # noqa: TRY400 - the message says it all
                await self._processes[slot].kill()

    def _bury(self, process: WorkerProcess, status: int) -> None:
        self.restarts += 1
        if process.last_report is not None:
            self.departed = merge([self.departed, process.last_report.metrics])
            process.last_report = None
        LOG.debug("worker %d ended with %d", process.worker, status)

    async def _wait_aside(self, slot: int, pause: float) -> None:
        """Wait, with the slot's sockets closed: otherwise the kernel would go on giving it its share of connections.

        New ones are bound, not the old ones listened on again: after a shutdown they do not always get connections.
        """
        if not pause:
            return
        close_all([self._rows[slot]])
        await asyncio.sleep(pause)

    def _bind_again(self, slot: int) -> None:
        if any(bound.fileno() < 0 for bound in self._rows[slot]):
            self._rows[slot] = [bind(listener) for listener in self._settings.listeners]

    async def _restore(self, process: WorkerProcess) -> None:
        try:
            await process.apply(self._reading, APPLY_TIMEOUT)
        except WorkerFailedError as error:
            LOG.error("worker %d could not go back to its configuration: %s", process.worker, error)  # noqa: TRY400
            await process.kill()
