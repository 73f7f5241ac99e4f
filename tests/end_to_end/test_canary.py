"""Canaries: what counts for and against one, what comes of it in all workers, and splits on which a caller stays."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.routing.canary import SideEvidence
from tests.documents import NEEDED, blocks
from tests.end_to_end.callers import Keys, bearer
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import chat, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import ROOT, Serving, StartServing
from tests.end_to_end.sides import Side, StartSide, ask, drive, name_in

pytestmark = pytest.mark.timeout(90)
TWO = "workers: 2\ndrain_timeout: 5s\ndrain_notice: 0s\n"


def trial(
    stable: str, canary: str, *, split: int = 50, analysis: str = "", steps: str = "", rule: str = "", more: str = ""
) -> str:
    """A route file: the model qwen, served by a stable server and by one on trial."""
    judged = f", analysis: {{{analysis}}}" if analysis else ""
    stepped = f", steps: {steps}" if steps else f", split: {split}"
    return (
        "servers:\n"
        f"  stable: {{endpoints: ['{stable}'], retries: {{backoff: 1ms}}, retry_budget: 1}}\n"
        f"  next: {{endpoints: ['{canary}'], retries: {{backoff: 1ms}}, retry_budget: 1}}\n{more}"
        "routes:\n  - name: chat\n    models: [qwen]\n"
        f"    rules: [{{name: all, canary: {{stable: stable, canary: next{stepped}{judged}}}{rule}}}]\n"
    )


# --- what counts ------------------------------------------------------------------------------------------------------


JUDGED = "threshold: 95, interval: 1h"


def evidence(front: Proxy) -> tuple[SideEvidence, SideEvidence]:
    """What is known of the stable target and of the canary."""
    stable, canary = front.app.report().canaries
    return stable.evidence, canary.evidence


def counts(seen: SideEvidence) -> tuple[int, int]:
    return seen.trials, seen.failures


async def test_retries_hide_no_failure_of_a_canary(side: StartSide, proxy: StartProxy) -> None:
    stable, canary = await side("stable"), await side("next", every=2)
    front = await proxy(trial(stable.url, canary.url, analysis=JUDGED))
    answers = [await ask(front.port) for _ in range(40)]
    assert {answer.status for answer in answers} == {200}
    assert [counts(seen) for seen in evidence(front)] == [(20, 0), (canary.asked, canary.asked // 2)]
    assert canary.asked == 39  # the first went well; each further request met a failure and was tried again


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "413 Too Large", "429 Too Many Requests"])
async def test_an_error_of_the_clients_speaks_against_nobody(side: StartSide, proxy: StartProxy, status: str) -> None:
    stable, canary = await side("stable"), await side("next", every=1, status=status)
    front = await proxy(trial(stable.url, canary.url, analysis=JUDGED))
    for _ in range(20):
        await ask(front.port)
    assert [counts(seen) for seen in evidence(front)] == [(10, 0), (10, 0)]


@pytest.mark.parametrize("fault", ["status=500", "reset", "garbage", "refuse", "reset-after=2", "close-after=2"])
async def test_whatever_keeps_a_client_from_its_answer_is_a_failure(
    engine: StartEngine, side: StartSide, proxy: StartProxy, fault: str
) -> None:
    stable, canary = await side("stable"), await engine()
    canary.engine.faults.arm(fault, None)
    front = await proxy(trial(stable.url, canary.url, analysis=JUDGED, rule=", retries: 0"))
    for _ in range(6):
        await ask(front.port, chat(stream=True))
    assert [counts(seen) for seen in evidence(front)] == [(3, 0), (3, 3)]


async def test_an_answer_that_does_not_come_in_time_is_a_failure(side: StartSide, proxy: StartProxy) -> None:
    stable, canary = await side("stable"), await side("next", holds=True)
    front = await proxy(
        trial(stable.url, canary.url, analysis=JUDGED, rule=", retries: 0, timeout: {first_byte: 20ms}")
    )
    for _ in range(4):
        await ask(front.port)
    assert [counts(seen) for seen in evidence(front)] == [(2, 0), (2, 2)]


async def test_a_client_that_leaves_says_nothing_of_a_canary(side: StartSide, proxy: StartProxy) -> None:
    stable, canary = await side("stable"), await side("next", holds=True)
    front = await proxy(trial(stable.url, canary.url, split=100, analysis=JUDGED))
    async with raw_client(front.port) as client:
        client.post(chat())
        await until(lambda: canary.asked == 1)
    await until(lambda: front.in_flight == 0)
    assert counts(evidence(front)[1]) == (0, 0)


async def test_what_a_fallback_made_good_is_a_failure_of_the_canary_all_the_same(
    side: StartSide, proxy: StartProxy
) -> None:
    stable, canary = await side("stable"), await side("next", every=1)
    rule = ", fallback: [stable], retries: 0"
    front = await proxy(trial(stable.url, canary.url, analysis=JUDGED, rule=rule))
    answers = [await ask(front.port) for _ in range(20)]
    assert {name_in(answer) for answer in answers} == {"stable"}
    assert [counts(seen) for seen in evidence(front)] == [(10, 0), (10, 10)]


async def test_a_canary_with_no_endpoint_left_fails(side: StartSide, proxy: StartProxy) -> None:
    stable = await side("stable")
    routes = trial(stable.url, "nowhere", analysis=JUDGED)
    front = await proxy(routes.replace("['nowhere']", "[]"))
    for _ in range(10):
        await ask(front.port)
    assert [counts(seen) for seen in evidence(front)] == [(5, 0), (5, 5)]


async def test_a_canary_that_is_full_has_not_failed(side: StartSide, proxy: StartProxy) -> None:
    stable, canary = await side("stable"), await side("next", holds=True)
    routes = trial(stable.url, canary.url, split=100, analysis=JUDGED)
    front = await proxy(routes.replace(f"['{canary.url}']", f"[{{url: '{canary.url}', max_in_flight: 1}}]"))
    async with raw_client(front.port) as client:
        client.post(chat())
        await until(lambda: canary.working == 1)
        assert [(await ask(front.port)).status for _ in range(5)] == [429] * 5
        canary.hold.set()
        assert (await client.answer()).status == 200
    await until(lambda: front.in_flight == 0)
    assert counts(evidence(front)[1]) == (1, 0)


# --- canaries of a process with two workers, on a real clock ----------------------------------------------------------


async def canary_of(running: Serving) -> dict[str, Any]:
    """The one canary, as the admin listener tells it."""
    canaries = json.loads(await running.ask_admin("/canaries"))["canaries"]
    assert len(canaries) == 1
    return dict(canaries[0])


async def until_phase(running: Serving, phase: str, within: float = 15.0) -> dict[str, Any]:
    """Wait until the canary is in this phase."""

    async def there() -> bool:
        return bool((await canary_of(running))["phase"] == phase)

    await until_told(there, within)
    return await canary_of(running)


async def penstock(running: Serving, *words: str) -> str:
    """What the command prints, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "proxy.cli.main", *words, "-c", str(running.folder / "penstock.yaml")),
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@asynccontextmanager
async def traffic(port: int, clients: int = 12) -> AsyncIterator[Counter[int]]:
    """Chats, one after another on each of some connections, while the block runs; counted by their statuses."""
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def visit() -> None:
        async with raw_client(port) as client:
            while not over.is_set():
                statuses[(await client.ask(post(chat()))).status] += 1
                await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as visitors:
        for _ in range(clients):
            visitors.create_task(visit())
        try:
            yield statuses
        finally:
            over.set()


async def reached(running: Serving, canary: Side, count: int = 100) -> int:
    """How many of so many requests reach the canary."""
    before = canary.asked
    assert {answer.status for answer in await drive(running.port, count)} == {200}
    return canary.asked - before


@pytest.mark.slow
async def test_a_canary_that_fails_a_tenth_is_rolled_back_by_the_first_judgement_with_evidence_and_stays_so(
    side: StartSide, serve: StartServing
) -> None:
    stable, canary = await side("stable"), await side("next", every=10)
    analysis = "threshold: 95, interval: 1s, min_requests: 400"
    routes = trial(stable.url, canary.url, analysis=analysis)
    running = await serve(routes, TWO)
    answers = await drive(running.port, 840)
    assert {answer.status for answer in answers} == {200}, "the failures were tried again"
    assert canary.asked >= 420
    # Nothing comes after these: had the judgement passed it, a new window would have stayed empty.
    told = await until_phase(running, "Failed")
    assert told["weight"] == 0
    assert told["canary"]["requests"] >= 400
    assert "significantly below" in told["reason"]
    assert await reached(running, canary) == 0
    listing = await penstock(running, "canary", "list")
    assert "chat/all  Failed  0%" in listing
    assert told["reason"] in listing
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.families["penstock_canary_weight"].samples[0].value == 0
    assert scrape.value("penstock_canary_phase", route="chat", rule="all", phase="Failed") == 1
    assert "canary chat/all: Failed, share 0%: " in running.text

    await replace_a_worker(running)
    assert await reached(running, canary) == 0

    running.signal(signal.SIGTERM)
    assert await running.ended() == 0
    await running.start(routes, TWO, (), {})
    again = await canary_of(running)
    assert (again["phase"], again["reason"], again["since"]) == ("Failed", told["reason"], told["since"])
    assert await reached(running, canary) == 0

    version = await running.version()
    running.file.write_text(routes + "  - {name: other, models: [other], rules: [{targets: [stable]}]}\n")
    await until_told(lambda: is_new(running, version))
    assert (await canary_of(running))["phase"] == "Failed"
    assert await reached(running, canary) == 0

    version = await running.version()
    running.file.write_text(routes.replace("threshold: 95", "threshold: 96"))
    await until_told(lambda: is_new(running, version))
    assert (await canary_of(running))["phase"] == "Watching"
    assert await reached(running, canary) > 40


async def replace_a_worker(running: Serving) -> None:
    """Kill one, and wait until another has taken its place."""
    victim = (await running.status())["workers"][0]["pid"]
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        pids = {worker["pid"] for worker in (await running.status())["workers"]}
        return len(pids) == 2 and victim not in pids and await running.ready()

    await until_told(replaced, 20)


async def is_new(running: Serving, version: str) -> bool:
    return await running.version() != version


@pytest.mark.slow
@pytest.mark.parametrize("steps", [[10, 50, 100], [1, 5, 25, 50, 100]], ids=str)
async def test_a_canary_as_good_as_stable_goes_through_its_steps_and_is_promoted(
    side: StartSide, serve: StartServing, steps: list[int]
) -> None:
    stable, canary = await side("stable"), await side("next")
    analysis = "threshold: 99, interval: 1s, min_requests: 5"
    running = await serve(trial(stable.url, canary.url, analysis=analysis, steps=str(steps)), TWO)
    weights: list[float] = []
    async with traffic(running.port) as statuses:
        while (told := await canary_of(running))["phase"] == "Progressing":
            if told["weight"] not in weights:
                weights.append(told["weight"])
            await asyncio.sleep(0.05)
    assert weights == steps
    assert (told["phase"], told["weight"], set(statuses)) == ("Promoted", 100, {200})
    assert await reached(running, canary) == 100
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_canary_weight", route="chat", rule="all") == 100
    assert "Promoted  100%" in await penstock(running, "canary", "list")


@pytest.mark.slow
async def test_a_canary_of_too_few_requests_is_neither_rolled_back_nor_promoted(
    side: StartSide, serve: StartServing
) -> None:
    stable, canary = await side("stable"), await side("next", every=1)
    analysis = "threshold: 95, interval: 1s, min_requests: 20"
    rule = ", retries: 0"
    running = await serve(trial(stable.url, canary.url, analysis=analysis, steps="[50, 100]", rule=rule), TWO)
    for _ in range(8):
        await drive(running.port, 2, clients=1)

    async def judged() -> bool:
        return bool((await canary_of(running))["reason"] == f"too little evidence: {canary.asked} of 20 requests")

    await until_told(judged)
    assert 0 < canary.asked < 20
    await asyncio.sleep(2.2)  # two more judgements
    told = await canary_of(running)
    assert (told["phase"], told["weight"], told["step"]) == ("Progressing", 50, 1)


@pytest.mark.slow
async def test_the_evidence_of_both_workers_adds_up(side: StartSide, serve: StartServing) -> None:
    stable, canary = await side("stable"), await side("next", every=7)
    analysis = "threshold: 50, interval: 1s, min_requests: 100000"
    running = await serve(trial(stable.url, canary.url, analysis=analysis, rule=", retries: 0"), TWO)
    answers = await drive(running.port, 700)
    workers = {(answer.field("x-request-id") or "").split("-")[0] for answer in answers}
    assert len(workers) == 2, "one worker took all connections"

    async def complete() -> bool:
        told = await canary_of(running)
        return bool(told["stable"]["requests"] + told["canary"]["requests"] == 700)

    await until_told(complete)
    told = await canary_of(running)
    assert (told["stable"]["requests"], told["stable"]["failures"]) == (stable.asked, 0)
    assert (told["canary"]["requests"], told["canary"]["failures"]) == (canary.asked, canary.asked // 7)


@pytest.mark.slow
async def test_a_canary_that_is_slow_to_its_first_token_is_rolled_back(
    engine: StartEngine, serve: StartServing
) -> None:
    stable = await engine(time_to_first_token=0.05, tokens=2)
    canary = await engine(time_to_first_token=0.15, tokens=2)
    analysis = "threshold: 90, interval: 1s, min_requests: 20, metrics: {ttft: 1.5}"
    running = await serve(trial(stable.url, canary.url, analysis=analysis), TWO)

    async def visit() -> None:
        async with raw_client(running.port) as client:
            for _ in range(12):
                assert (await client.ask(post(chat(stream=True)))).whole

    await asyncio.gather(*(visit() for _ in range(16)))
    told = await until_phase(running, "Failed")
    assert "time to first token" in told["reason"]
    assert "(1.5 allowed): significantly above" in told["reason"]
    before = canary.engine.journal.counters.received
    await drive(running.port, 32)
    assert canary.engine.journal.counters.received == before


@pytest.mark.slow
async def test_an_operator_promotes_aborts_and_resumes_a_canary(side: StartSide, serve: StartServing) -> None:
    stable, canary = await side("stable"), await side("next")
    analysis = "threshold: 95, interval: 1h"
    running = await serve(trial(stable.url, canary.url, analysis=analysis, steps="[50, 100]"), TWO)
    assert "Promoted  100%" in await penstock(running, "canary", "promote", "chat/all")
    assert await reached(running, canary) == 100
    assert "Aborted" in await penstock(running, "canary", "abort", "chat")
    assert await reached(running, canary) == 0
    assert "Progressing  50%" in await penstock(running, "canary", "resume", "chat")
    assert 40 <= await reached(running, canary) <= 60
    told = await canary_of(running)
    assert (told["phase"], told["reason"]) == ("Progressing", "resumed by command")


@NEEDED
@pytest.mark.slow
async def test_the_documents_canary_is_judged_by_its_own_threshold(side: StartSide, serve: StartServing) -> None:
    stable, canary = await side("stable"), await side("next", every=10)
    block = next(block.text for block in blocks("yaml") if "canary-deployment" in block.text)
    assert "threshold: 95" in block
    assert 'interval: "5m"' in block
    servers = "".join(served(name) for name in ("stable-model-server", "canary-model-server"))
    entries = [
        {"url": stable.url, "namespace": "ml-models", "workload": "stable-model-server"},
        {"url": canary.url, "namespace": "ml-models", "workload": "canary-model-server"},
    ]
    inventory = f"---\nendpoints: {json.dumps(entries)}\n"
    running = await serve(block.replace('"5m"', '"1s"') + servers + inventory, TWO)
    path = "/v1/models/production/infer"
    seen: Counter[str] = Counter()

    async def visit(port: int) -> None:
        async with raw_client(port) as client:
            for _ in range(100):
                answer = await client.ask(post(b'{"inputs": 1}', path))
                seen[name_in(answer)] += 1

    told = await canary_of(running)
    assert (told["phase"], told["weight"]) == ("Watching", 10)
    while (told := await canary_of(running))["phase"] == "Watching" and seen.total() < 20_000:
        await asyncio.gather(*(visit(running.port) for _ in range(8)))
    told = await canary_of(running)
    assert (told["phase"], told["weight"]) == ("Failed", 0)
    assert "threshold 95%" in told["reason"]
    asked = canary.asked
    await asyncio.gather(*(visit(running.port) for _ in range(2)))
    assert canary.asked == asked


def served(name: str) -> str:
    """A ModelServer of this name, which finds the workload of its name."""
    return (
        "---\napiVersion: networking.matrixinfer.ai/v1alpha1\nkind: ModelServer\n"
        f"metadata: {{name: {name}, namespace: ml-models}}\n"
        f"spec: {{modelInferRef: {{name: {name}}}, service: {{port: 8080}}, routing: {{path: /servers/{name}}}}}\n"
    )


# --- splits on which a caller stays -----------------------------------------------------------------------------------


async def sides_of(port: int, callers: int, kind: str) -> dict[int, str]:
    """On which side each of so many callers is, who name themselves by this kind of thing."""
    found = {}  # an odd number of callers: taking turns would not look the same twice
    async with raw_client(port) as client:
        for caller in range(callers):
            found[caller] = name_in(await client.ask(said_by(caller, kind)))
    return found


def said_by(caller: int, kind: str) -> bytes:
    match kind:
        case "header":
            return post(chat(), x_session=f"s-{caller}")
        case "query":
            return post(chat(), path=f"/v1/chat/completions?session=s-{caller}")
        case "cookie":
            return post(chat(), cookie=f"theme=dark; session=s-{caller}; x=y")
        case _:
            return post(chat(user=f"user-{caller}"))


STICKY = {
    "header": ", sticky: {header: X-Session}",
    "query": ", sticky: {query: session}",
    "cookie": ", sticky: {cookie: session}",
    "user": ", sticky: user",
}


@pytest.mark.parametrize("kind", STICKY)
async def test_a_caller_stays_on_its_side_also_over_a_reload(side: StartSide, proxy: StartProxy, kind: str) -> None:
    stable, canary = await side("stable"), await side("next")
    routes = trial(stable.url, canary.url, rule=STICKY[kind])
    front = await proxy(routes)
    first = await sides_of(front.port, 61, kind)
    assert set(first.values()) == {"stable", "next"}
    assert await sides_of(front.port, 61, kind) == first
    await front.apply(routes + "  - {name: other, models: [other], rules: [{targets: [stable]}]}\n")
    assert await sides_of(front.port, 61, kind) == first


async def test_a_key_names_its_holder_whatever_the_body_says(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    shown = {f"holder-{number}": keys.add(f"holder-{number}") for number in range(25)}
    stable, canary = await side("stable"), await side("next")
    more = f"routes:\n  - name: chat\n    auth: {{keys: {keys.path}}}\n"
    routes = trial(stable.url, canary.url, rule=STICKY["user"]).replace("routes:\n  - name: chat\n", more)
    front = await proxy(routes)
    found: dict[str, set[str]] = {}
    async with raw_client(front.port) as client:
        for user in ("a", "b", "c"):
            for holder, key in shown.items():
                answer = await client.ask(post(chat(user=user), **bearer(key)))
                found.setdefault(holder, set()).add(name_in(answer))
    assert {len(names) for names in found.values()} == {1}
    assert set.union(*found.values()) == {"stable", "next"}


async def test_of_2000_callers_the_canary_gets_its_share_and_keeps_them_as_it_grows(
    side: StartSide, proxy: StartProxy
) -> None:
    stable, canary = await side("stable"), await side("next")
    front = await proxy(trial(stable.url, canary.url, split=10, rule=STICKY["header"]))
    first = await sides_of(front.port, 2000, "header")
    share = Counter(first.values())["next"] / 2000
    assert 0.07 <= share <= 0.13
    await front.apply(trial(stable.url, canary.url, split=30, rule=STICKY["header"]))
    grown = await sides_of(front.port, 2000, "header")
    assert all(grown[caller] == "next" for caller, name in first.items() if name == "next")
    assert 0.27 <= Counter(grown.values())["next"] / 2000 <= 0.33


async def test_a_request_that_names_nobody_takes_its_turn(side: StartSide, proxy: StartProxy) -> None:
    stable, canary = await side("stable"), await side("next")
    front = await proxy(trial(stable.url, canary.url, split=10, rule=STICKY["header"]))
    turns: Counter[str] = Counter()
    async with raw_client(front.port) as client:
        for _ in range(100):
            turns[name_in(await client.ask(post(chat())))] += 1
            await client.ask(post(chat(), x_session="always the same"))
    assert turns == {"stable": 90, "next": 10}


async def test_both_workers_put_a_caller_on_the_same_side(side: StartSide, serve: StartServing) -> None:
    stable, canary = await side("stable"), await side("next")
    running = await serve(trial(stable.url, canary.url, rule=STICKY["header"]), TWO)
    found = await sides_of(running.port, 31, "header")
    assert all([await sides_of(running.port, 31, "header") == found for _ in range(5)])
    workers = set()
    for _ in range(24):
        answer = await ask(running.port, x_session="s-1")
        workers.add((answer.field("x-request-id") or "").split("-")[0])
        assert name_in(answer) == found[1]
    assert len(workers) == 2, "one worker took all connections"
