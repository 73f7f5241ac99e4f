"""Promises of what moves canaries while the proxy serves: also with a supervisor and its processes."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config.settings_spec import Listener, Settings
from proxy.runtime.canaries import Action, CanaryError
from proxy.runtime.canary_course import Moment
from proxy.runtime.canary_keeper import CanaryKeeper
from proxy.runtime.canary_plan import CanaryPlan, CanaryWeights
from proxy.runtime.canary_state import FILE, UNREADABLE, CanaryStore, Phase
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.reading import Reading
from proxy.runtime.supervisor import Commands, Supervisor
from proxy.telemetry.report import WorkerReport
from tests.runtime.canary_stage import STEPS, UNIX, FakeWorker, plan

OUT = (CanaryWeights("chat", "all", 100, 0),)


class FakePlane:
    """A supervisor with one worker and a clock."""

    def __init__(self) -> None:
        self.steady = 1_000.0
        self.worker = FakeWorker(101)
        self.put: list[tuple[CanaryWeights, ...]] = []
        self.in_force: tuple[CanaryWeights, ...] = ()
        self.refusing = False
        self.hung: asyncio.Event | None = None

    def now(self) -> Moment:
        return Moment(self.steady, UNIX + self.steady)

    async def reports(self) -> list[WorkerReport]:
        return [self.worker.report()]

    async def put_weights(self, weights: tuple[CanaryWeights, ...]) -> None:
        if self.hung is not None:
            await self.hung.wait()
        if self.refusing:
            raise WorkerFailedError("worker 0 ended")
        if weights != self.in_force:
            self.put.append(weights)
        self.in_force = weights


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


async def keeper_of(plane: FakePlane, folder: Path | None, *plans: CanaryPlan) -> CanaryKeeper:
    keeper = CanaryKeeper(plane, CanaryStore(folder), asyncio.Lock(), plane.now)
    courses = keeper.prospect(Reading(canaries=plans))
    plane.in_force = keeper.weights(courses)
    await keeper.adopt(courses)
    return keeper


async def test_a_bad_canary_is_taken_out_written_down_and_told(
    plane: FakePlane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = await keeper_of(plane, tmp_path, plan())
    plane.worker.serve(1, 400, 40)
    plane.steady += 60.0
    await keeper.look()
    assert plane.put == [OUT]
    assert CanaryStore(tmp_path).load()["chat", "all"].phase is Phase.FAILED
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.message.startswith("canary chat/all: Failed, share 0%: 40 of 400 requests failed (90% success")


async def test_a_restart_begins_with_the_weights_of_before(plane: FakePlane, tmp_path: Path) -> None:
    keeper = await keeper_of(plane, tmp_path, plan())
    await keeper.command(Action.ABORT, "chat/all")
    again = FakePlane()
    await keeper_of(again, tmp_path, plan())
    assert again.in_force == OUT


async def test_weights_that_workers_did_not_take_are_put_again(plane: FakePlane, tmp_path: Path) -> None:
    keeper = await keeper_of(plane, tmp_path, plan())
    plane.worker.serve(1, 400, 40)
    plane.steady += 60.0
    plane.refusing = True
    await keeper.look()
    assert keeper.views()[0].phase is Phase.FAILED
    assert CanaryStore(tmp_path).load()["chat", "all"].phase is Phase.FAILED
    plane.refusing = False
    await keeper.look()
    assert plane.put == [OUT]


@pytest.mark.parametrize("by_command", [False, True])
async def test_a_verdict_outlives_a_supervisor_that_ends_while_a_worker_hangs(
    plane: FakePlane, tmp_path: Path, by_command: bool
) -> None:
    keeper = await keeper_of(plane, tmp_path, plan())
    plane.worker.serve(1, 400, 40)
    plane.steady += 60.0
    plane.hung = asyncio.Event()
    change = asyncio.create_task(keeper.command(Action.ABORT, "chat") if by_command else keeper.look())
    for _ in range(10):
        await asyncio.sleep(0)
    again = FakePlane()
    await keeper_of(again, tmp_path, plan())
    assert (plane.put, again.in_force) == ([], OUT)
    plane.hung.set()
    await change


async def test_a_verdict_outlives_a_reload_without_its_rule_and_a_restart_meanwhile(
    plane: FakePlane, tmp_path: Path
) -> None:
    keeper = await keeper_of(plane, tmp_path, plan())
    await keeper.command(Action.ABORT, "chat")
    await keeper.adopt(keeper.prospect(Reading()))
    again = FakePlane()
    keeper = await keeper_of(again, tmp_path)
    assert (keeper.views(), again.in_force) == ([], ())
    courses = keeper.prospect(Reading(canaries=(plan(),)))
    assert keeper.weights(courses) == OUT


async def test_a_canary_whose_saved_state_cannot_be_read_has_no_share_until_it_is_resumed(
    plane: FakePlane, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text('{"chat/all": {"digest": "d1", "phase": "Paused"}}')
    keeper = await keeper_of(plane, tmp_path, plan())
    assert (plane.in_force, keeper.views()[0].reason) == (OUT, UNREADABLE)
    await keeper.command(Action.RESUME, "chat")
    assert plane.in_force == ()
    again = FakePlane()
    await keeper_of(again, tmp_path, plan())
    assert again.in_force == ()


async def test_a_command_that_is_not_in_force_says_so_and_holds_all_the_same(plane: FakePlane) -> None:
    keeper = await keeper_of(plane, None, plan())
    plane.refusing = True
    with pytest.raises(WorkerFailedError):
        await keeper.command(Action.ABORT, "chat/all")
    plane.refusing = False
    await keeper.look()
    assert plane.put == [OUT]


async def test_a_command_for_a_canary_that_is_not_there_changes_nothing(plane: FakePlane) -> None:
    keeper = await keeper_of(plane, None, plan())
    with pytest.raises(CanaryError):
        await keeper.command(Action.ABORT, "talk")
    assert plane.put == []


async def test_nothing_changes_while_a_reload_is_under_way(plane: FakePlane) -> None:
    lock = asyncio.Lock()
    keeper = CanaryKeeper(plane, CanaryStore(None), lock, plane.now)
    await keeper.adopt(keeper.prospect(Reading(canaries=(plan(),))))
    async with lock:
        command = asyncio.create_task(keeper.command(Action.ABORT, "chat/all"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert plane.put == []
    await command
    assert plane.put == [OUT]


async def test_what_was_seen_before_a_new_file_is_no_evidence_on_it(plane: FakePlane) -> None:
    keeper = await keeper_of(plane, None, plan())
    plane.worker.serve(1, 400, 400)
    await keeper.adopt(keeper.prospect(Reading(canaries=(plan(digest="d2"),))))
    plane.steady += 60.0
    await keeper.look()
    assert plane.put == []


async def test_the_keeper_sleeps_while_there_is_no_canary_and_wakes_with_the_first(plane: FakePlane) -> None:
    keeper = await keeper_of(plane, None)
    keeping = asyncio.create_task(keeper.keep())
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        plane.worker.serve(1, 400, 40)
        first = keeper.prospect(Reading(canaries=(plan(),)))
        plane.worker.counts.clear()
        await keeper.adopt(first)
        plane.worker.serve(1, 400, 40)
        plane.steady += 60.0
        for _ in range(20):
            await asyncio.sleep(0)
        assert plane.put == [OUT]
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


# --- with real processes ----------------------------------------------------------------------------------------------

WORKER = (sys.executable, "-P", str(Path(__file__).parent / "canary_worker.py"))
ROUTES = """
servers:
  stable: {endpoints: ["http://127.0.0.1:1"]}
  new: {endpoints: ["http://127.0.0.1:2"]}
routes:
  - name: chat
    rules: [{name: all, targets: [{server: stable, weight: 90}, {server: new, weight: 10}]}]
"""
READER = """
import sys, msgspec
from dataclasses import replace
from proxy.config.loader import load
from proxy.config.spec import Analysis, Canary
from proxy.runtime.reader import digest

result = load(sys.argv[1:])
if result.config is not None:
    canary = Canary(Analysis(95.0, 0.2), steps=STEPS)
    rules = {route.name: [replace(rule, canary=canary) for rule in route.rules] for route in result.config.routes}
    routes = [replace(route, rules=tuple(rules[route.name])) for route in result.config.routes]
    result = replace(result, config=replace(result.config, routes=tuple(routes)))
sys.stdout.buffer.write(msgspec.msgpack.encode(digest(result)))
"""


class Running:
    """A supervisor with two workers, which see what the test says."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self.supervisor = supervisor
        self.folder = folder

    def see(self, stable: tuple[int, int], canary: tuple[int, int]) -> None:
        """Both workers have counted so much."""
        text = json.dumps({"chat/all": [stable, canary]})
        (self.folder / "state" / "new").write_text(text)
        (self.folder / "state" / "new").rename(self.folder / "state" / "evidence.json")

    async def has(self, weights: str) -> bool:
        reports = await self.supervisor.reports()
        return len(reports) == 2 and all(f"chat/all {weights}" in report.metrics.failures for report in reports)


@asynccontextmanager
async def running(folder: Path, steps: tuple[int, ...] = ()) -> AsyncIterator[Running]:
    (folder / "routes").mkdir(exist_ok=True)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "routes" / "chat.yaml").write_text(ROUTES)
    settings = Settings(
        listeners=(Listener("127.0.0.1", 0),),
        admin=None,
        workers=2,
        routes=(str(folder / "routes"),),
        state=str(folder / "state"),
        drain_notice=0.0,
    )
    reader = (sys.executable, "-P", "-c", READER.replace("STEPS", repr(steps)))
    supervisor = Supervisor(settings, Commands(WORKER, reader))
    life = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: asyncio.sleep(0.01, supervisor.ready or life.done()))
        if life.done():
            life.result()
        yield Running(supervisor, folder)
    finally:
        life.cancel()
        await asyncio.wait([life])


async def until(promise: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30.0):
        while not await promise():  # noqa: ASYNC110 - other processes tell of no event
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))


async def test_all_workers_take_a_bad_canary_out_also_one_that_begins_later_and_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        await until(lambda: stage.has("90/10"))
        version = stage.supervisor.facts().config_version
        stage.see((900, 4), (200, 40))
        await until(lambda: stage.has("100/0"))
        assert stage.supervisor.facts().config_version == version
        os.kill((await stage.supervisor.reports())[0].pid, signal.SIGKILL)
        await until(lambda: asyncio.sleep(0.0, stage.supervisor.facts().worker_restarts == 1))
        await until(lambda: stage.has("100/0"))
        assert stage.supervisor.canaries()[0].phase == "Failed"
    assert json.loads((tmp_path / "state" / FILE).read_text())['["chat","all"]']["phase"] == "Failed"
    (tmp_path / "state" / "evidence.json").unlink()
    async with running(tmp_path) as stage:
        assert await stage.has("100/0")
        assert "80 of 400 requests failed" in stage.supervisor.canaries()[0].reason


async def test_a_good_canary_is_promoted_by_its_steps_and_a_reload_between_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, steps=STEPS) as stage:
        assert await stage.has("99/1")
        stage.see((900, 4), (100, 0))
        await until(lambda: stage.has("95/5"))
        (tmp_path / "routes" / "more.yaml").write_text(
            "routes: [{name: more, models: [more], rules: [{name: one, targets: [{server: stable}]}]}]"
        )
        await until(lambda: asyncio.sleep(0.0, stage.supervisor.facts().reloads["applied"] == 1))
        assert await stage.has("95/5")
        shares = []

        async def promoted() -> bool:
            stage.see((2_000 + 900 * len(shares), 4), (200 + 100 * len(shares), 0))
            shares.append(stage.supervisor.canaries()[0].weight)
            return stage.supervisor.canaries()[0].phase == "Promoted"

        await until(promoted)
        assert shares == sorted(shares)
        assert set(shares) <= set(STEPS)
        await until(lambda: stage.has("0/100"))


async def test_a_changed_file_begins_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        await stage.supervisor.command_canary(Action.ABORT, "chat")
        assert await stage.has("100/0")
        file = tmp_path / "routes" / "chat.yaml"
        file.write_text(ROUTES.replace("weight: 10", "weight: 20"))
        await until(lambda: stage.has("90/20"))
        assert stage.supervisor.canaries()[0].phase == "Watching"
