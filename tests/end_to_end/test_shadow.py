"""Shadows: which requests are copied, what a copy says, whom it never troubles, and where it is counted."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.end_to_end.callers import Keys, api_key, bearer, field_of
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import stopwatch, until, until_told
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import chat, get, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import StartServing, free_port
from tests.end_to_end.sides import StartSide, ask, drive, name_in


def shadowed(primary: str, shadow: str, terms: str = "", *, server: str = "", settings: str = "") -> str:
    """A route file: the model qwen, with copies to a shadow on these terms."""
    return (
        "servers:\n"
        f"  primary: {{endpoints: ['{primary}'], retries: 0{settings}}}\n"
        f"  dark: {{endpoints: ['{shadow}']{server}}}\n"
        "routes:\n  - name: chat\n    models: [qwen]\n"
        f"    rules: [{{name: all, targets: [primary], shadow: {{server: dark{terms}}}}}]\n"
    )


def copies(front: Proxy) -> dict[str, int]:
    """How many copies came to which end."""
    return {series.outcome: series.count for series in front.app.report().metrics.shadows}


async def copied(front: Proxy, **outcomes: int) -> None:
    """Wait until as many copies as these have come to these ends, and no others."""
    await until(lambda: sum(copies(front).values()) >= sum(outcomes.values()))
    assert copies(front) == outcomes


# --- which, and what they say -----------------------------------------------------------------------------------------


async def test_exactly_the_asked_share_is_copied(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, ", percent: 25"))
    answers = [await ask(front.port) for _ in range(100)]
    assert {name_in(answer) for answer in answers} == {"primary"}
    await copied(front, ok=25)
    assert (primary.asked, dark.asked) == (100, 25)


async def test_all_are_copied_where_no_share_is_named_and_none_where_it_is_0(
    side: StartSide, proxy: StartProxy
) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url))
    await drive(front.port, 12)
    await copied(front, ok=12)
    await front.apply(shadowed(primary.url, dark.url, ", percent: 0"))
    await drive(front.port, 12)
    assert (primary.asked, dark.asked) == (24, 12)


async def test_a_copy_says_the_same_under_another_models_name(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, ", model: qwen-next"))
    await ask(front.port, chat(temperature=0.5), x_mine="yes")
    await copied(front, ok=1)
    first, second = (engine.heard[0].partition(b"\r\n\r\n")[2] for engine in (primary, dark))
    assert json.loads(first) == json.loads(chat(temperature=0.5))
    assert json.loads(second) == {**json.loads(first), "model": "qwen-next"}
    assert field_of(dark.heard[0], "x-mine") == ["yes"]
    assert field_of(dark.heard[0], "x-request-id") == field_of(primary.heard[0], "x-request-id")


async def test_a_request_without_a_body_is_copied(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url).replace("    models: [qwen]\n", ""))
    async with raw_client(front.port) as client:
        assert name_in(await client.ask(get("/anything"), "GET")) == "primary"
    await copied(front, ok=1)
    assert dark.heard[0].startswith(b"GET /anything HTTP/1.1\r\n")


async def test_a_streams_copy_is_read_to_its_end_and_dropped(
    engine: StartEngine, side: StartSide, proxy: StartProxy
) -> None:
    primary, dark = await side("primary"), await engine(tokens=400)
    front = await proxy(shadowed(primary.url, dark.url))
    assert name_in(await ask(front.port, chat(stream=True))) == "primary"
    await copied(front, ok=1)
    assert dark.engine.journal.counters.completed == 1


async def test_a_copy_shows_the_shadows_own_credential_and_not_the_callers(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    key = keys.add("ann")
    primary, dark = await side("primary"), await side("dark")
    routes = shadowed(primary.url, dark.url, server=", api_key: dark-secret", settings=", api_key: main-secret")
    front = await proxy(routes.replace("    models:", f"    auth: {{keys: {keys.path}}}\n    models:"))
    for shown in (bearer(key), api_key(key)):
        assert (await ask(front.port, None, **shown)).status == 200
    await copied(front, ok=2)
    for number in range(2):
        assert field_of(primary.heard[number], "authorization") == ["Bearer main-secret"]
        assert field_of(dark.heard[number], "authorization") == ["Bearer dark-secret"]
        assert key.encode() not in dark.heard[number]


# --- whom it never troubles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("status=503", "503"),
        ("status=429", "ok"),
        ("reset", "reset"),
        ("refuse", "reset"),
        ("garbage", "protocol-error"),
        ("reset-after=2", "reset"),
    ],
)
async def test_a_shadow_that_fails_is_seen_in_the_metrics_alone(
    engine: StartEngine, side: StartSide, proxy: StartProxy, fault: str, outcome: str
) -> None:
    primary, dark = await side("primary"), await engine()
    dark.engine.faults.arm(fault, None)
    front = await proxy(shadowed(primary.url, dark.url))
    for _ in range(4):
        answer = await ask(front.port, chat(stream=True))
        assert (answer.status, name_in(answer), answer.whole) == (200, "primary", True)
    await copied(front, **{outcome: 4})
    assert dark.engine.journal.counters.received == 4, "a copy is not tried again"
    await until(lambda: front.in_flight == 0)


async def test_a_shadow_that_nobody_listens_at_is_counted(side: StartSide, proxy: StartProxy) -> None:
    primary = await side("primary")
    front = await proxy(shadowed(primary.url, f"http://127.0.0.1:{free_port()}"))
    assert [name_in(await ask(front.port)) for _ in range(3)] == ["primary"] * 3
    await copied(front, **{"connect-failure": 3})


async def test_no_client_waits_for_a_shadow_that_hangs(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url, ", max_in_flight: 100"))
    async with stopwatch() as watch, raw_client(front.port) as client:
        for _ in range(100):
            assert name_in(await client.ask(post(chat()))) == "primary"
    assert watch.seconds < 3.0
    await until(lambda: dark.working == 100)
    assert copies(front) == {}
    dark.hold.set()
    await copied(front, ok=100)
    await until(lambda: front.in_flight == 0)


async def flood(connection: RawConnection) -> None:
    """An answer without an end."""
    await connection.request()
    await connection.begin_stream()
    while True:
        await connection.chunk(b"x" * 65536)


async def test_a_shadows_time_is_bounded(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url, ", timeout: {first_byte: 30ms}"))
    await ask(front.port)
    await copied(front, timeout=1)
    async with raw_engine(flood) as endless:
        await front.apply(shadowed(primary.url, endless.url, ", timeout: {total: 50ms}"))
        await ask(front.port)
        await copied(front, timeout=2)
    await until(lambda: front.in_flight == 0)


async def test_a_client_that_has_its_answer_and_leaves_takes_no_copy_with_it(
    side: StartSide, proxy: StartProxy
) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url))
    await ask(front.port)
    await until(lambda: dark.working == 1)
    dark.hold.set()
    await copied(front, ok=1)


async def test_a_shadow_that_leaves_the_configuration_ends_in_peace(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url))
    await ask(front.port)
    await until(lambda: dark.working == 1)
    plain = f"servers: {{primary: {{endpoints: ['{primary.url}']}}}}\n"
    await front.apply(plain + "routes: [{name: chat, models: [qwen], rules: [{name: all, targets: [primary]}]}]\n")
    assert name_in(await ask(front.port)) == "primary"
    dark.hold.set()
    await until(lambda: dark.working == 0)
    await until(lambda: front.in_flight == 0)
    assert dark.asked == 1


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_no_more_copies_are_under_way_than_the_rule_allows(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url, ", max_in_flight: 3"))
    await drive(front.port, 10)
    await until(lambda: dark.working == 3)
    assert copies(front) == {"crowded": 7}
    dark.hold.set()
    await until(lambda: copies(front) == {"crowded": 7, "ok": 3})
    assert name_in(await ask(front.port)) == "primary"
    await copied(front, crowded=7, ok=4)
    assert dark.most == 3


async def test_a_long_body_is_not_copied(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, ", max_body: 1KiB"))
    short, long = chat(), chat(padding="x" * 1024)
    assert {name_in(await ask(front.port, body)) for body in (short, long)} == {"primary"}
    await copied(front, ok=1, too_large=1)
    assert (len(primary.heard), len(dark.heard)) == (2, 1)


async def test_the_bound_of_the_shadows_server_holds_for_copies(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark", holds=True)
    front = await proxy(shadowed(primary.url, dark.url, server=", max_in_flight: 2, max_pending: 10"))
    await drive(front.port, 6)
    await until(lambda: dark.working == 2)
    assert copies(front) == {"queue_full": 4}
    dark.hold.set()
    await until(lambda: copies(front) == {"queue_full": 4, "ok": 2})
    assert dark.most == 2


async def test_the_limits_of_the_shadows_server_hold_for_copies_and_for_them_alone(
    side: StartSide, proxy: StartProxy
) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, server=", limits: [{requests: 3, per: day}]"))
    answers = [await ask(front.port) for _ in range(8)]
    assert {(answer.status, name_in(answer)) for answer in answers} == {(200, "primary")}
    await until(lambda: sum(copies(front).values()) == 8)
    assert (copies(front)["ok"], dark.asked) == (3, 3)
    assert copies(front) == {"ok": 3, "rate_limit_exceeded": 5}


async def test_who_may_not_call_the_shadows_server_is_served_and_not_copied(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    key = keys.add("ann")
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, server=f", auth: {{keys: {keys.path}}}"))
    assert name_in(await ask(front.port)) == "primary"
    await copied(front, invalid_api_key=1)
    assert name_in(await ask(front.port, None, **bearer(key))) == "primary"
    await copied(front, invalid_api_key=1, ok=1)
    assert dark.asked == 1


async def test_what_the_primary_refuses_is_not_copied(side: StartSide, proxy: StartProxy) -> None:
    primary, dark = await side("primary"), await side("dark")
    front = await proxy(shadowed(primary.url, dark.url, settings=", limits: [{requests: 2, per: day}]"))
    assert [(await ask(front.port)).status for _ in range(4)] == [200, 200, 429, 429]
    await copied(front, ok=2)
    assert dark.asked == 2


# --- both workers -----------------------------------------------------------------------------------------------------


async def test_the_metrics_of_both_workers_tell_what_became_of_copies(side: StartSide, serve: StartServing) -> None:
    primary, dark = await side("primary"), await side("dark", every=4)
    running = await serve(shadowed(primary.url, dark.url, ", percent: 50, max_body: 4KiB"), "workers: 2\n")
    answers = await drive(running.port, 200)
    assert {name_in(answer) for answer in answers} == {"primary"}
    await asyncio.gather(*(ask(running.port, chat(padding="x" * 5000)) for _ in range(8)))
    labels = {"route": "chat", "rule": "all", "server": "dark"}
    scrape = Scrape(b"")

    async def complete() -> bool:
        nonlocal scrape
        scrape = Scrape(await running.ask_admin("/metrics"))
        return scrape.value("penstock_shadow_requests_total", **labels) >= 103

    await until_told(complete)
    tells = {
        outcome: scrape.value("penstock_shadow_requests_total", outcome=outcome, **labels)
        for outcome in ("ok", "503", "too_large")
    }
    assert tells == {"ok": dark.asked - dark.asked // 4, "503": dark.asked // 4, "too_large": tells["too_large"]}
    assert sum(tells.values()) in {103, 104, 105}, "each worker takes the turns of its own half"
    assert scrape.value("penstock_shadow_seconds_total", outcome="ok", **labels) > 0
