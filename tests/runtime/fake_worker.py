"""A worker's process whose application answers by itself, so that the supervisor is tested without the data plane.

It obeys the configuration: a route `refuse` cannot be applied, a route `crash` ends the process.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Settings
from proxy.config.spec import Config
from proxy.runtime.boot import run_worker
from proxy.runtime.data_plane import Grant
from proxy.runtime.metrics_line import MetricsLine
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.report import MetricsSnapshot, WorkerReport


class FakeApp:
    """Answers each connection with its process number and the version in force, once a line has come."""

    def __init__(self, settings: Settings, worker: int, table: SharedTable) -> None:
        self.worker = worker
        self.version = ""
        self.served = 0
        self.in_flight = 0
        self.draining = False
        self.servers: list[asyncio.Server] = []

    async def start(self) -> None:
        pass

    async def serve(self, sockets: Sequence[Grant]) -> None:
        for bound, _ in sockets:
            self.servers.append(await asyncio.start_server(self.answer, sock=bound))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.in_flight += 1
        try:
            if await reader.readline():
                self.served += 1
                writer.write(f"{os.getpid()} {self.version}".encode())
                await writer.drain()
        finally:
            self.in_flight -= 1
            writer.close()

    async def apply(self, config: Config) -> None:
        names = {route.name for route in config.routes}
        if "refuse" in names:
            raise ValueError("this route is refused")
        if "crash" in names:
            os._exit(13)
        self.version = config.version

    async def set_services(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        return []

    def hold_metrics_line(self, line: MetricsLine) -> None:
        pass

    def report(self) -> WorkerReport:
        counters = MetricsSnapshot(failures={"served": self.served})
        return WorkerReport(
            self.worker, os.getpid(), self.version, self.in_flight, self.in_flight, self.draining, [], counters
        )

    async def reload_secrets(self) -> list[str]:
        return ["they were read"]

    def reopen_logs(self) -> None:
        pass

    async def drain(self, notice: float, limit: float, /) -> None:
        self.draining = True
        for server in self.servers:
            server.close()
        end = asyncio.get_running_loop().time() + limit
        while self.in_flight and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for server in self.servers:
            server.close()


if __name__ == "__main__":
    sys.exit(run_worker(int(sys.argv[1]), FakeApp))
