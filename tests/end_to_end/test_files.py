"""Route files that change while `penstock serve` runs."""

import asyncio
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until_told
from tests.end_to_end.proxies import one_route
from tests.end_to_end.raw_client import chat, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import Serving, StartServing

SEEN_WITHIN = 5.0  # seconds

pytestmark = pytest.mark.timeout(90)


def naming(url: str, model: str) -> str:
    return (
        f"servers: {{e: {{endpoints: ['{url}'], model: qwen}}}}\n"
        f"routes: [{{name: chat, models: ['{model}'], rules: [{{targets: e}}]}}]\n"
    )


async def serves(running: Serving, model: str) -> bool:
    async with raw_client(running.port) as client:
        return (await client.ask(post(chat(model)))).status == 200


async def follows(running: Serving, model: str) -> None:
    """Wait until requests for this model are served."""
    await until_told(lambda: serves(running, model), SEEN_WITHIN)


@pytest.fixture
async def running(serve: StartServing, qwen: RunningEngine) -> Serving:
    return await serve(naming(qwen.url, "m0"), "drain_timeout: 2s\ndrain_notice: 0s\n")


async def test_every_way_to_change_a_file_is_followed(running: Serving, qwen: RunningEngine) -> None:
    assert await serves(running, "m0")
    running.file.write_text(naming(qwen.url, "m1"))  # in place
    await follows(running, "m1")
    beside = running.folder / "new"
    beside.write_text(naming(qwen.url, "m2"))
    beside.rename(running.file)  # as an editor does it
    await follows(running, "m2")
    look = running.file.stat()
    beside.write_text(naming(qwen.url, "m3"))
    os.utime(beside, ns=(look.st_atime_ns, look.st_mtime_ns))
    assert beside.stat().st_size == look.st_size
    beside.rename(running.file)  # with the same size and the same time
    await follows(running, "m3")
    more = running.routes / "more.yml"
    more.write_text(
        naming(qwen.url, "m4").replace("e:", "e2:", 1).replace("chat", "chat2").replace("targets: e", "targets: e2")
    )
    await follows(running, "m4")
    assert await serves(running, "m3")
    more.unlink()
    await until_told(lambda: gone(running, "m4"), SEEN_WITHIN)
    assert await serves(running, "m3")


async def gone(running: Serving, model: str) -> bool:
    return not await serves(running, model)


async def test_a_mounted_config_map_is_followed_when_its_link_is_swapped(
    serve: StartServing, qwen: RunningEngine, tmp_path: Path
) -> None:
    mount = tmp_path / "mounted"

    def publish(turn: int) -> None:
        """As the kubelet does it."""
        new = mount / f"..2026_{turn}"
        new.mkdir(parents=True)
        (new / "chat.yaml").write_text(naming(qwen.url, f"m{turn}"))
        (mount / "..data_tmp").symlink_to(new.name)
        (mount / "..data_tmp").rename(mount / "..data")
        if turn:
            shutil.rmtree(mount / f"..2026_{turn - 1}")
        else:
            (mount / "chat.yaml").symlink_to("..data/chat.yaml")

    publish(0)
    running = await serve("", f"routes: {mount}\n")
    for turn in range(1, 4):
        publish(turn)
        await follows(running, f"m{turn}")


BAD = [
    "servers: {e: {endpoints: [",
    "servers: {e: {endponts: ['http://a:1']}}\nroutes: [{name: r, rules: [{targets: e}]}]\n",
    "servers: {e: {endpoints: ['http://a:1']}}\nroutes: [{name: r, rules: [{targets: nobody}]}]\n",
    "servers: {e: {endpoints: ['http://a:99999']}}\nroutes: [{name: r, rules: [{targets: e}]}]\n",
    "servers: {e: {endpoints: ['http://a:1']}}\nroutes: [{name: r, rules: [{match: {path: {regex: (}}, targets: e}]}]",
    "",
    "null\n",
    "- 1\n",
    "\x00\x01",
    "servers: {}\nroutes: []\n",
    "servers: {e: {endpoints: ['${UNSET_IN_TESTS}']}}\nroutes: [{name: r, rules: [{targets: e}]}]\n",
]


async def test_a_bad_file_changes_nothing_and_is_told_everywhere(running: Serving, qwen: RunningEngine) -> None:
    version = await running.version()
    for text in BAD:
        running.file.write_text(text)
        answer = await running.ask_admin("/reload", "POST")
        assert b'"outcome":"rejected"' in answer, text
        assert await serves(running, "m0")
    running.file.write_text(BAD[1])
    await running.ask_admin("/reload", "POST")
    status = await running.status()
    assert status["config"]["version"] == version
    assert not status["config"]["last_reload_successful"]
    problem = next(problem for problem in status["config"]["problems"] if "suggestion" in problem)
    assert (problem["file"], problem["line"], problem["suggestion"]) == (str(running.file), 1, "endpoints")
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_config_last_reload_successful") == 0
    assert scrape.value("penstock_config_problems") == len(status["config"]["problems"])
    assert f"{running.file}:1:" in running.text
    running.file.write_text(naming(qwen.url, "m9"))
    await follows(running, "m9")
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_config_last_reload_successful") == 1
    assert scrape.value("penstock_config_problems") == 0
    assert scrape.value("penstock_config_reloads_total", outcome="rejected") >= len(BAD)


async def test_files_that_vanish_or_cannot_be_read_change_nothing(running: Serving, qwen: RunningEngine) -> None:
    good = naming(qwen.url, "m0")
    running.file.unlink()
    assert b"rejected" in await running.ask_admin("/reload", "POST")
    assert await serves(running, "m0")
    shutil.rmtree(running.routes)
    assert b"rejected" in await running.ask_admin("/reload", "POST")
    assert await serves(running, "m0")
    running.routes.mkdir()
    running.file.mkdir()  # a folder in the file's place
    await running.ask_admin("/reload", "POST")
    assert await serves(running, "m0")
    running.file.rmdir()
    running.file.symlink_to(running.folder / "nowhere.yaml")
    assert b"rejected" in await running.ask_admin("/reload", "POST")
    running.file.unlink()
    running.file.write_text(good.replace("m0", "m1"))
    await follows(running, "m1")


async def test_a_half_written_file_is_followed_once_it_is_whole(running: Serving, qwen: RunningEngine) -> None:
    whole = naming(qwen.url, "m7")
    with running.file.open("w") as file:
        file.write(whole[:60])
        file.flush()
        await until_told(lambda: has_failed(running), SEEN_WITHIN)
        assert await serves(running, "m0")
        file.write(whole[60:])
    await follows(running, "m7")


async def has_failed(running: Serving) -> bool:
    return not (await running.status())["config"]["last_reload_successful"]


@pytest.mark.slow
async def test_a_hundred_rewrites_under_load_fail_nothing(serve: StartServing, engine: StartEngine) -> None:
    slow = await engine(tokens=30, time_per_token=0.01)

    def routes(turn: int) -> str:
        return one_route(slow.url, server=f"retries: {turn % 5}, timeout: {20 + turn}s")

    running = await serve(routes(0), "workers: 2\nlog: {access: false}\n")
    over = asyncio.Event()
    answers: Counter[bool] = Counter()

    async def visit(stream: bool) -> None:
        async with raw_client(running.port) as client:
            while not over.is_set():
                answer = await client.ask(post(chat(stream=stream)))
                assert (answer.status, answer.whole) == (200, True)
                assert answer.body.endswith(b"data: [DONE]\n\n") == stream
                answers[stream] += 1

    async with asyncio.TaskGroup() as visitors:
        for number in range(8):
            visitors.create_task(visit(number % 2 == 0))
        for turn in range(1, 101):
            running.file.write_text(routes(turn))
            await asyncio.sleep(0.05)
        running.file.write_text(routes(101) + "# the last one\n")
        await running.ask_admin("/reload", "POST")
        over.set()
    status = await running.status()
    assert status["config"]["last_reload_successful"]
    assert status["config"]["reloads"]["applied"] >= 5
    assert {worker["config_version"] for worker in status["workers"]} == {status["config"]["version"]}
    assert min(answers.values()) > 20
