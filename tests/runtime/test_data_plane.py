import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from proxy.config.settings_spec import Settings
from proxy.config.spec import Config, EndpointSpec, ModelServer, Route
from proxy.runtime.channel import (
    Applied,
    Channel,
    ConfigBegin,
    ConfigCommit,
    ConfigPiece,
    Drain,
    Drained,
    Failed,
    MetricsText,
    MetricsWanted,
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
    open_for_supervisor,
    open_for_worker,
)
from proxy.runtime.data_plane import DataPlane, Grant, release
from proxy.runtime.metrics_line import MetricsLine
from proxy.runtime.pieces import cut
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.report import MetricsSnapshot, WorkerReport


class RecordingApp:
    """Writes down what it is told; a configuration of the version "bad" cannot be applied."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.config: Config | None = None
        self.drained = asyncio.Event()
        self.may_apply = asyncio.Event()
        self.may_apply.set()

    async def start(self) -> None:
        self.told.append("start")

    async def serve(self, sockets: Sequence[Grant]) -> None:
        self.told.append("serve")

    async def apply(self, config: Config) -> None:
        await self.may_apply.wait()
        if config.version == "bad":
            raise ValueError("it is bad")
        self.told.append(f"apply {config.version}")
        self.config = config

    async def set_services(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        if any(port.port == 13 for port in ports):
            raise OverflowError
        self.told.append(f"services {[port.port for port in ports]}")
        return [ServiceFailure(port.port, "occupied") for port in ports]

    def hold_metrics_line(self, line: MetricsLine) -> None:
        self.metrics_line = line

    def report(self) -> WorkerReport:
        return WorkerReport(0, 1, "v1", 2, 3, False, [], MetricsSnapshot())

    async def reload_secrets(self) -> list[str]:
        return ["no such file"]

    def reopen_logs(self) -> None:
        self.told.append("reopen")

    async def drain(self, notice: float, limit: float, /) -> None:
        self.told.append(f"drain {notice} {limit}")
        await self.drained.wait()

    async def close(self) -> None:
        self.told.append("close")


class Stage:
    """A data plane with an application that records, and the supervisor's end of its channel."""

    def __init__(self, app: RecordingApp, channel: Channel[Notice], life: asyncio.Task[None]) -> None:
        self.app = app
        self.channel = channel
        self.life = life

    async def send_config(self, config: Config) -> None:
        await self.channel.send(ConfigBegin(config.version))
        for piece in cut(config):
            await self.channel.send(ConfigPiece(piece))
        await self.channel.send(ConfigCommit())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    ours, theirs = socket.socketpair()
    app = RecordingApp()
    supervisor, worker = await open_for_supervisor(ours), await open_for_worker(theirs)
    life = asyncio.create_task(DataPlane(worker, app, Settings(drain_timeout=42.0), []).run())
    assert await supervisor.receive() == Ready()
    yield Stage(app, supervisor, life)
    gc.unfreeze()
    life.cancel()
    await asyncio.wait([life])
    await supervisor.close()
    await worker.close()


def config(version: str, routes: int = 1) -> Config:
    server = ModelServer("engine", (EndpointSpec("http", "127.0.0.1", 8000),))
    return Config({"engine": server}, tuple(Route(f"route-{number}", ()) for number in range(routes)), version)


async def test_the_listeners_open_with_the_first_configuration_and_only_then(stage: Stage) -> None:
    assert stage.app.told == ["start"]
    for version in ("v1", "v2"):
        await stage.send_config(config(version))
        assert await stage.channel.receive() == Applied(version)
    assert stage.app.told == ["start", "apply v1", "serve", "apply v2"]


async def test_a_configuration_arrives_whole(stage: Stage) -> None:
    asked = config("v1", routes=2500)
    await stage.send_config(asked)
    await stage.channel.receive()
    assert stage.app.config == asked


async def test_one_that_cannot_be_applied_is_told_and_the_worker_lives_on(stage: Stage) -> None:
    await stage.send_config(config("bad"))
    assert await stage.channel.receive() == Failed("bad", "ValueError: it is bad")
    await stage.send_config(config("v2"))
    assert await stage.channel.receive() == Applied("v2")


async def test_it_reports_while_a_configuration_is_being_applied(stage: Stage) -> None:
    stage.app.may_apply.clear()
    await stage.send_config(config("v1"))
    await stage.channel.send(ReportRequest(9))
    answer = await stage.channel.receive()
    assert isinstance(answer, Report)
    assert (answer.number, answer.report.in_flight) == (9, 3)
    stage.app.may_apply.set()
    assert await stage.channel.receive() == Applied("v1")


async def test_the_collector_rests_while_a_configuration_is_built_and_works_again_after_it(stage: Stage) -> None:
    stage.app.may_apply.clear()
    await stage.send_config(config("v1"))
    await stage.channel.send(ReportRequest(1))
    await stage.channel.receive()
    assert not gc.isenabled()
    stage.app.may_apply.set()
    await stage.channel.receive()
    assert gc.isenabled()


async def test_certificates_and_logs_are_passed_on(stage: Stage) -> None:
    await stage.channel.send(ReopenLogs())
    await stage.channel.send(ReloadSecrets())
    assert await stage.channel.receive() == SecretsReloaded(("no such file",))
    assert "reopen" in stage.app.told


async def test_a_drain_is_told_when_it_is_over_and_stop_ends_the_life(stage: Stage) -> None:
    await stage.channel.send(Drain(5.0, 30.0))
    await stage.channel.send(Drain(5.0, 30.0))
    stage.app.drained.set()
    assert await stage.channel.receive() == Drained()
    await stage.channel.send(Stop())
    await stage.life
    assert stage.app.told == ["start", "drain 5.0 30.0", "close"]


async def test_stop_does_not_wait_for_a_drain(stage: Stage) -> None:
    await stage.channel.send(Drain(5.0, 30.0))
    await stage.channel.send(Stop())
    await stage.life
    assert stage.app.told[-1] == "close"


async def test_without_a_supervisor_it_drains_at_once_and_ends(stage: Stage) -> None:
    await stage.channel.close()
    stage.app.drained.set()
    await stage.life
    assert stage.app.told == ["start", "drain 0.0 42.0", "close"]


async def test_ten_thousand_routes_arrive_without_holding_the_loop(stage: Stage) -> None:
    asked = config("v1", routes=10_000)
    pieces = list(cut(asked))
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.thread_time()  # what others take of the processor is not ours
            await asyncio.sleep(0)
            worst = max(worst, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    await stage.channel.send(ConfigBegin("v1"))
    for piece in pieces:
        await stage.channel.send(ConfigPiece(piece))
    await stage.channel.send(ConfigCommit())
    assert await stage.channel.receive() == Applied("v1")
    watching.cancel()
    assert worst < 0.020


async def test_an_old_configuration_is_freed_in_slices() -> None:
    remains: list[object] = [object() for _ in range(250)]
    lengths = []
    task = asyncio.create_task(release(remains))
    while not task.done():
        lengths.append(len(remains))
        await asyncio.sleep(0)
    assert lengths[:4] == [250, 150, 50, 0]


# --- ports of model servers -------------------------------------------------------------------------------------------

PORTS = (ServicePort(8080, (("a", None),)),)


async def test_ports_of_servers_wait_for_the_first_configuration(stage: Stage) -> None:
    await stage.channel.send(SetServices(1, PORTS))
    assert await stage.channel.receive() == ServicesSet(1, ())
    await stage.send_config(config("v1"))
    assert await stage.channel.receive() == Applied("v1")
    await stage.channel.send(SetServices(2, PORTS))
    assert await stage.channel.receive() == ServicesSet(2, (ServiceFailure(8080, "occupied"),))
    assert stage.app.told == ["start", "apply v1", "serve", "services [8080]"]


async def test_ports_that_cannot_be_set_for_whatever_reason_end_no_worker(stage: Stage) -> None:
    await stage.send_config(config("v1"))
    await stage.channel.receive()
    await stage.channel.send(SetServices(1, (ServicePort(13, (("a", None),)),)))
    assert await stage.channel.receive() == ServicesSet(1, (ServiceFailure(13, "OverflowError"),))
    await stage.channel.send(ReportRequest(2))
    assert isinstance(await stage.channel.receive(), Report)


async def test_the_metrics_of_the_whole_proxy_come_from_the_supervisor(stage: Stage) -> None:
    asking = asyncio.create_task(stage.app.metrics_line.ask())
    wanted = await stage.channel.receive()
    assert isinstance(wanted, MetricsWanted)
    await stage.channel.send(MetricsText(wanted.number, b"up 1"))
    assert await asking == b"up 1"
