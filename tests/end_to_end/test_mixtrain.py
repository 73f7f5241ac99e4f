"""A Mixtrain file routes real requests: each strategy, and all that a target says of itself."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from proxy.config.loader import load_texts
from proxy.config.spec import Config
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import StartProxy
from tests.end_to_end.raw_client import Answer, chat, post, raw_client


def target(url: str, **more: object) -> dict[str, object]:
    return {"provider": "custom", "model_name": "engine-model", "endpoint": url, **more}


def rule(name: str, *targets: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"name": name, "targets": list(targets), **more}


def config_of(*rules: Mapping[str, object]) -> Config:
    loaded = load_texts({"routing.json": json.dumps({"name": "mix", "rules": list(rules)})})
    assert loaded.config is not None, loaded.problems
    return loaded.config


async def ask(port: int, body: Mapping[str, Any] | None = None, path: str = "/v1/chat/completions") -> Answer:
    async with raw_client(port) as client:
        return await client.ask(post(chat() if body is None else json.dumps(body).encode(), path))


async def named(connection: RawConnection) -> None:
    """Answers with what it was sent."""
    while request := await connection.request():
        await connection.answer(request)


async def silent(connection: RawConnection) -> None:
    """Takes requests and answers none."""
    await connection.request()
    await connection.gone()


async def failing(connection: RawConnection) -> None:
    """Has a fault of its own for each request."""
    while await connection.request():
        await connection.answer(b"broken", status=b"500 Oops")


async def test_the_callers_data_choose_the_rule_by_priority(proxy: StartProxy) -> None:
    async with raw_engine(named) as gold, raw_engine(named) as rest:
        premium = {"field": "user.tier", "operator": "equals", "value": "premium"}
        image = {"field": "request.type", "operator": "equals", "value": "image"}
        front = await proxy(
            config_of(
                rule("rest", target(rest.url)),
                rule("gold", target(gold.url), priority=100, conditions=[premium]),
                rule("images", target(gold.url), priority=50, conditions=[image]),
            )
        )
        await ask(front.port, {"user": {"tier": "premium"}})
        await ask(front.port, {"user": {"tier": "standard"}})
        await ask(front.port, {"prompt": "a cat"}, "/v1/images/generations")
        assert (len(gold.requests), len(rest.requests)) == (2, 1)


async def test_a_target_gets_its_model_its_headers_and_its_prefix(proxy: StartProxy) -> None:
    async with raw_engine(named) as engine:
        headers = {"Authorization": "Key own", "X-Extra": "1"}
        front = await proxy(config_of(rule("all", target(f"{engine.url}/fal/run", headers=headers))))
        async with raw_client(front.port) as client:
            answer = await client.ask(post(chat(), authorization="Bearer client"))
        head, _, body = answer.body.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /fal/run/v1/chat/completions HTTP/1.1\r\n")
        assert b"\r\nAuthorization: Key own\r\n" in head
        assert b"X-Extra: 1" in head
        assert b"client" not in head
        assert json.loads(body)["model"] == "engine-model"


async def test_a_split_shares_by_weight(proxy: StartProxy) -> None:
    async with raw_engine(named) as control, raw_engine(named) as variant:
        split = rule("ab", target(control.url, weight=0.8), target(variant.url, weight=0.2), strategy="split")
        front = await proxy(config_of(split))
        for _ in range(50):
            await ask(front.port)
        assert (len(control.requests), len(variant.requests)) == (40, 10)


async def test_a_fallback_asks_its_targets_in_order_until_one_succeeds(proxy: StartProxy) -> None:
    async with raw_engine(failing) as broken, raw_engine(named) as backup, raw_engine(named) as unused:
        chain = [target("http://127.0.0.1:9"), target(broken.url), target(backup.url), target(unused.url)]
        front = await proxy(config_of(rule("ha", *chain, strategy="fallback")))
        assert (await ask(front.port)).status == 200
        assert [len(engine.requests) for engine in (broken, backup, unused)] == [1, 1, 0]


async def test_a_target_is_tried_again_as_often_as_it_says_and_then_the_next_one(proxy: StartProxy) -> None:
    async with raw_engine(failing) as broken, raw_engine(named) as backup:
        chain = [target(broken.url, retry_count=3), target(backup.url)]
        front = await proxy(config_of(rule("ha", *chain, strategy="fallback")))
        assert (await ask(front.port)).status == 200
        assert len(broken.requests) == 4


async def test_the_last_targets_own_answer_is_the_clients(proxy: StartProxy) -> None:
    async with raw_engine(failing) as broken:
        front = await proxy(config_of(rule("one", target(broken.url, retry_count=1))))
        answer = await ask(front.port)
        assert (answer.status, answer.body, len(broken.requests)) == (500, b"broken", 2)


async def test_a_target_that_is_late_gives_way_to_the_next(proxy: StartProxy) -> None:
    async with raw_engine(silent) as late, raw_engine(named) as backup:
        chain = [target(late.url, timeout_ms=100), target(backup.url)]
        front = await proxy(config_of(rule("ha", *chain, strategy="fallback")))
        assert (await ask(front.port)).status == 200


async def test_a_shadow_gets_a_copy_that_no_client_waits_for(proxy: StartProxy) -> None:
    async with raw_engine(named) as primary, raw_engine(silent) as shadow:
        targets = [target(primary.url), target(shadow.url, model_name="experimental")]
        front = await proxy(config_of(rule("test", *targets, strategy="shadow")))
        for _ in range(3):
            answer = await ask(front.port)
            assert b'"engine-model"' in answer.body
        await until(lambda: len(shadow.requests) == 3)
        assert all(b'"experimental"' in request for request in shadow.requests)
        assert len(primary.requests) == 3


async def test_a_shadow_that_is_down_is_seen_by_no_client(proxy: StartProxy, engine: StartEngine) -> None:
    primary = await engine()
    front = await proxy(
        config_of(rule("test", target(primary.url, model_name="qwen"), target("http://127.0.0.1:9"), strategy="shadow"))
    )
    for _ in range(5):
        assert (await ask(front.port)).status == 200
    await asyncio.sleep(0.05)
    assert front.in_flight == 0


async def test_a_shadow_that_cannot_keep_up_gets_no_more_than_its_fill(proxy: StartProxy) -> None:
    async with raw_engine(named) as primary, raw_engine(silent) as shadow:
        front = await proxy(config_of(rule("test", target(primary.url), target(shadow.url), strategy="shadow")))
        for _ in range(40):
            assert (await ask(front.port)).status == 200
        await until(lambda: len(shadow.requests) == 32)
        assert len(primary.requests) == 40
