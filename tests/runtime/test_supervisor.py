import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config.settings_spec import Listener, ListenerTls, Settings
from proxy.errors import ConfigError
from proxy.runtime.reload import Outcome
from proxy.runtime.supervisor import Commands, Supervisor
from proxy.runtime.workers import RestartPause

FAKE_WORKER = (sys.executable, "-P", str(Path(__file__).parent / "fake_worker.py"))
PATIENCE = 30.0


def routes_named(*names: str) -> str:
    lines = ["servers: {engine: {endpoints: ['http://127.0.0.1:1']}}", "routes:"]
    lines += [
        f"  - {{name: {name}, models: [{name}], rules: [{{name: all, targets: [{{server: engine}}]}}]}}"
        for name in names
    ]
    return "\n".join(lines)


class Running:
    """A supervisor with its real processes; the workers' application is a fake one."""

    def __init__(self, supervisor: Supervisor, life: asyncio.Task[int], routes: Path) -> None:
        self.supervisor = supervisor
        self.life = life
        self.routes = routes

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        listener = self.supervisor._settings.listeners[0]
        return await asyncio.open_connection(listener.host, listener.port)

    async def ask(self) -> tuple[int, str]:
        """The process and the configuration that answer a new connection."""
        reader, writer = await self.connect()
        writer.write(b"who are you\n")
        pid, version = (await reader.read()).decode().split(" ")
        writer.close()
        return int(pid), version

    async def pids(self) -> set[int]:
        return {report.pid for report in await self.supervisor.reports()}

    async def versions(self) -> set[str]:
        return {report.config_version for report in await self.supervisor.reports()}

    def reloads(self, outcome: Outcome) -> int:
        return self.supervisor.facts().reloads[outcome.value]


@asynccontextmanager
async def running(
    folder: Path, workers: int = 2, drain_timeout: float = 20.0, tls: ListenerTls | None = None
) -> AsyncIterator[Running]:
    routes = folder / "routes.yaml"
    if not routes.exists():
        routes.write_text(routes_named("first"))
    settings = Settings(
        listeners=(Listener("127.0.0.1", 0, tls),),
        admin=Listener("127.0.0.1", 0),
        workers=workers,
        routes=(str(folder),),
        drain_timeout=drain_timeout,
        drain_notice=0.0,
    )
    supervisor = Supervisor(settings, Commands(worker=FAKE_WORKER))
    life = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: supervisor.ready or life.done())
        if life.done():
            life.result()
        yield Running(supervisor, life, routes)
    finally:
        life.cancel()
        await asyncio.wait([life])


async def until(promise: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not promise():  # noqa: ASYNC110 - other processes tell of no event
            await asyncio.sleep(0.01)


async def until_async(promise: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await promise():  # noqa: ASYNC110 - other processes tell of no event
            await asyncio.sleep(0.01)


async def test_workers_share_one_port(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        answers = {(await stage.ask())[0] for _ in range(100)}
        assert answers == await stage.pids()
        assert len(answers) == 2


async def test_a_dead_worker_is_replaced_and_nobody_is_refused_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path, workers=1) as stage:
        before, version = await stage.ask()
        os.kill(before, signal.SIGKILL)
        await until(lambda: not is_alive(before))
        after = await asyncio.gather(*(stage.ask() for _ in range(20)))
        assert {pid for pid, _ in after} == await stage.pids()
        assert before not in {pid for pid, _ in after}
        assert {answered for _, answered in after} == {version}
        assert stage.supervisor.facts().worker_restarts == 1


async def test_while_a_worker_that_keeps_dying_is_waited_for_the_others_take_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RestartPause, "STEPS", (1.0,))
    async with running(tmp_path) as stage:
        pids = await stage.pids()
        dead, _ = await stage.ask()
        os.kill(dead, signal.SIGKILL)
        await until(lambda: stage.supervisor.facts().worker_restarts == 1)
        answers = [(await stage.ask())[0] for _ in range(20)]
        assert set(answers) == pids - {dead}

        async def both_answer() -> bool:
            return len({(await stage.ask())[0] for _ in range(50)}) == 2

        await until_async(both_answer)


async def test_what_a_dead_worker_had_counted_is_not_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, workers=1) as stage:
        pid, _ = await stage.ask()
        await stage.supervisor.reports()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: stage.supervisor.facts().worker_restarts == 1)
        assert stage.supervisor.facts().departed.failures == {"served": 1}


async def test_an_edit_reaches_all_workers(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        before = await stage.versions()
        stage.routes.write_text(routes_named("first", "second"))
        await until(lambda: stage.reloads(Outcome.APPLIED) == 1)
        after = await stage.versions()
        assert len(after) == 1
        assert after.isdisjoint(before)
        assert after == {stage.supervisor.facts().config_version}


async def test_a_bad_edit_changes_nothing_and_is_told_until_it_is_taken_back(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        good, before = stage.routes.read_text(), await stage.versions()
        stage.routes.write_text("routes: [{name: broken, modles: [x]}]")
        await until(lambda: stage.reloads(Outcome.REJECTED) == 1)
        assert await stage.versions() == before
        assert not stage.supervisor.facts().last_reload_successful
        assert any(problem.line == 1 for problem in stage.supervisor.problems())
        stage.routes.write_text(good)
        await until(lambda: stage.reloads(Outcome.UNCHANGED) == 1)
        assert stage.supervisor.facts().last_reload_successful
        assert stage.supervisor.problems() == ()


async def test_a_folder_that_goes_away_leaves_the_configuration_in_force(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        before = await stage.versions()
        stage.routes.unlink()
        await until(lambda: stage.reloads(Outcome.REJECTED) == 1)
        assert await stage.versions() == before


async def test_what_one_worker_refuses_is_in_force_in_none(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        before, pids = await stage.versions(), await stage.pids()
        stage.routes.write_text(routes_named("refuse"))
        await until(lambda: stage.reloads(Outcome.FAILED) == 1)
        assert await stage.versions() == before
        assert await stage.pids() == pids
        assert "this route is refused" in stage.supervisor.problems()[-1].message


async def test_a_configuration_that_kills_workers_is_given_up(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        before, pids = await stage.versions(), await stage.pids()
        stage.routes.write_text(routes_named("crash"))
        await until(lambda: stage.reloads(Outcome.FAILED) == 1)

        async def both_are_new() -> bool:
            present = await stage.pids()
            return len(present) == 2 and present.isdisjoint(pids) and await stage.versions() == before

        await until_async(both_are_new)


async def test_a_configuration_with_errors_serves_nothing_and_tells_them_all(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("routes: [{name: a, modles: [x]}, {name: b, modles: [y]}]")
    with pytest.raises(ConfigError) as raised:
        async with running(tmp_path):
            pass
    assert len([problem for problem in raised.value.problems if "modles" in problem.message]) == 2


async def test_hangup_reads_the_files_again(tmp_path: Path) -> None:
    async with running(tmp_path, workers=1) as stage:
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: stage.reloads(Outcome.UNCHANGED) == 1)


async def test_a_renewed_certificate_is_read_again_by_all_workers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = tmp_path / "tls.crt"
    certificate.write_text("old")
    async with running(tmp_path, tls=ListenerTls(str(certificate), str(tmp_path / "tls.key"))):
        certificate.write_text("new")
        await until(lambda: all(f"worker {worker}: they were read" in caplog.text for worker in (0, 1)))


async def test_the_first_signal_lets_requests_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        reader, writer = await stage.connect()
        await until_async(lambda: in_flight(stage))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not stage.supervisor.ready)
        await until_async(lambda: is_refused(stage))
        writer.write(b"still there?\n")
        assert await reader.read()
        writer.close()
        assert await stage.life == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_second_signal_stops_at_once(tmp_path: Path, number: signal.Signals, status: int) -> None:
    async with running(tmp_path, workers=1) as stage:
        _, writer = await stage.connect()
        await until_async(lambda: in_flight(stage))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not stage.supervisor.ready)
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10.0):
            assert await stage.life == status
        writer.close()


async def test_what_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, workers=1, drain_timeout=0.2) as stage:
        _, writer = await stage.connect()
        await until_async(lambda: in_flight(stage))
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10.0):
            assert await stage.life == 0
        writer.close()


async def test_no_process_is_left_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        pids = await stage.pids()
    assert not any(is_alive(pid) for pid in pids)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/fd/0").exists()


async def in_flight(stage: Running) -> bool:
    return any(report.in_flight for report in await stage.supervisor.reports())


async def is_refused(stage: Running) -> bool:
    listener = stage.supervisor._settings.listeners[0]
    with socket.socket() as client:
        return client.connect_ex((listener.host, listener.port)) != 0
