"""How much may come: each limit of the documents and of the native form, from a file to what a client is told.

Nearly all limits here are of a month, so that what drips into a bucket during a test is no whole permit.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.simulator.running import RunningEngine
from tests.end_to_end.callers import Keys, ask, bearer
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import Answer, RawClient, chat, get, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import StartServing

COMPLETIONS = "/v1/completions"
OUTPUT = 8  # tokens of each answer, unless told otherwise


def limited(url: str, *, route: str = "", server: str = "", more: str = "") -> str:
    """A route file: one server and one route that lead there, with policies of theirs; `more` are further servers."""
    return (
        f"servers:\n  engine: {{endpoints: ['{url}']{', ' + server if server else ''}}}\n{more}"
        f"routes: [{{name: chat, rules: [{{targets: [engine]}}]{', ' + route if route else ''}}}]\n"
    )


def prompted(characters: int, **more: object) -> bytes:
    """A completion of a prompt so long."""
    return post(json.dumps({"model": "qwen", "prompt": "x" * characters, **more}).encode(), COMPLETIONS)


async def statuses(front: Proxy, count: int, data: bytes = b"") -> list[int]:
    """What so many requests are told, one after the other."""
    return [(await ask(front.port, data or post(chat()))).status for _ in range(count)]


def refusal(answer: Answer) -> tuple[int, str]:
    """What a client is told in place of an answer."""
    return answer.status, json.loads(answer.body)["error"]["message"]


def left(answer: Answer, family: str = "tokens") -> int:
    return int(answer.field(f"x-ratelimit-remaining-{family}") or -1)


# --- Kthena's rateLimit -----------------------------------------------------------------------------------------------


def kthena(url: str, limit: str) -> Config:
    """A ModelRoute with this limit, and the ModelServer and the engine behind it."""
    api = "apiVersion: networking.serving.volcano.sh/v1alpha1"
    rules = "rules: [{targetModels: [{modelServerName: engine}]}]"
    server = "{inferenceEngine: vLLM, workloadPort: {port: 8000}, workloadSelector: {matchLabels: {app: e}}}"
    texts = {
        "route.yaml": f"{api}\nkind: ModelRoute\nmetadata: {{name: r}}\n"
        f"spec: {{modelName: qwen, {rules}, rateLimit: {limit}}}\n",
        "server.yaml": f"{api}\nkind: ModelServer\nmetadata: {{name: engine}}\nspec: {server}\n",
        "engines.yaml": f"endpoints: [{{url: '{url}', labels: {{app: e}}}}]\n",
    }
    loaded = load_texts(texts)
    assert loaded.config is not None, loaded.problems
    return loaded.config


async def test_the_documents_own_limit_lets_three_greetings_pass(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 30, outputTokensPerUnit: 100, unit: minute}"))
    hello = post(chat(messages=[{"role": "user", "content": "hello world"}]))  # 39 characters as ChatML
    assert await statuses(front, 3, hello) == [200] * 3
    status, message = refusal(await ask(front.port, hello))
    assert (status, "input token rate limit exceeded" in message) == (429, True)


@pytest.mark.parametrize(("characters", "tokens"), [(1, 1), (4, 1), (5, 2), (36, 9), (37, 10), (40, 10)])
async def test_a_prompt_counts_a_quarter_of_its_characters_rounded_up(
    proxy: StartProxy, qwen: RunningEngine, characters: int, tokens: int
) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 10, unit: month}"))
    answer = await ask(front.port, prompted(characters))
    assert (answer.status, left(answer)) == (200, 10 - tokens)


async def test_the_last_token_of_a_limit_is_given_and_not_one_more(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 30, unit: month}"))
    assert await statuses(front, 3, prompted(40)) == [200] * 3
    status, message = refusal(await ask(front.port, prompted(1)))
    assert (status, "input token rate limit exceeded" in message) == (429, True)


async def test_a_prompt_that_is_larger_than_the_limit_never_passes(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 10, unit: month}"))
    answer = await ask(front.port, prompted(41))
    status, message = refusal(answer)
    assert (status, "input token rate limit exceeded" in message) == (429, True)
    assert answer.field("retry-after") is None, "it would be refused then, too"
    assert await statuses(front, 1, prompted(40)) == [200], "what was refused has taken nothing"


async def test_characters_are_counted_and_not_bytes(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 10, unit: month}"))
    body = json.dumps({"model": "qwen", "prompt": "水" * 40}, ensure_ascii=False).encode()
    assert (await ask(front.port, post(body, COMPLETIONS))).status == 200


async def test_an_estimate_of_the_prompt_stays_one(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{inputTokensPerUnit: 100, unit: month}"))
    one_word = prompted(200)  # the engine counts one token
    assert left(await ask(front.port, one_word)) == 50
    assert left(await ask(front.port, one_word)) == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("limit", "answers"), [(OUTPUT, 1), (OUTPUT + 1, 2), (2 * OUTPUT, 2), (2 * OUTPUT + 1, 3)])
async def test_an_answer_is_charged_when_it_has_ended_and_refused_with_less_than_one_token_left(
    proxy: StartProxy, qwen: RunningEngine, stream: bool, limit: int, answers: int
) -> None:
    front = await proxy(kthena(qwen.url, f"{{outputTokensPerUnit: {limit}, unit: month}}"))
    data = prompted(5000, stream=stream)
    assert await statuses(front, answers, data) == [200] * answers
    status, message = refusal(await ask(front.port, data))
    assert (status, "output token rate limit exceeded" in message) == (429, True)


async def test_an_error_of_the_engines_costs_no_output(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(kthena(qwen.url, "{outputTokensPerUnit: 8, unit: month}"))
    assert await statuses(front, 3, prompted(4, n=0)) == [400] * 3
    assert await statuses(front, 2, prompted(4)) == [200, 429]


async def test_a_changed_limit_of_kthena_begins_anew(proxy: StartProxy, qwen: RunningEngine) -> None:
    one = kthena(qwen.url, "{inputTokensPerUnit: 10, unit: month}")
    front = await proxy(one)
    assert await statuses(front, 2, prompted(40)) == [200, 429]
    await front.apply(kthena(qwen.url, "{inputTokensPerUnit: 11, unit: month}"))
    assert await statuses(front, 2, prompted(40)) == [200, 429]


# --- streams that end before their time -------------------------------------------------------------------------------

EVENT = b'data: {"choices":[{"index":0,"text":"word"}]}\n\n'


async def three_words(connection: RawConnection) -> None:
    """An engine that says three words and then nothing."""
    while await connection.request():
        await connection.begin_stream()
        for _ in range(3):
            await connection.chunk(EVENT)
        await connection.gone()


async def test_a_stream_that_its_client_leaves_is_settled_with_what_was_streamed(proxy: StartProxy) -> None:
    async with raw_engine(three_words) as engine:
        front = await proxy(kthena(engine.url, "{outputTokensPerUnit: 100, unit: month}"))
        remaining = []
        for _ in range(3):
            async with raw_client(front.port) as client:
                client.send(prompted(4, stream=True))
                head = await client.head()
                heard = b""
                while heard.count(b"data: ") < 3:
                    heard += await client.chunk()
            await until(lambda: front.in_flight == 0)
            remaining.append(left(Answer(200, head, b"")))
        assert remaining == [100, 97, 94]


async def test_a_stream_that_its_engine_cuts_is_settled_with_what_was_streamed(proxy: StartProxy) -> None:
    async def talk(connection: RawConnection) -> None:
        while await connection.request():
            await connection.begin_stream()
            await connection.chunk(EVENT * 3)
            connection.reset()

    async with raw_engine(talk) as engine:
        front = await proxy(kthena(engine.url, "{outputTokensPerUnit: 100, unit: month}"))
        answers = [await ask(front.port, prompted(4, stream=True)) for _ in range(2)]
        assert [left(answer) for answer in answers] == [100, 97]


# --- native limits ----------------------------------------------------------------------------------------------------


async def test_answers_and_refusals_tell_how_a_limit_of_requests_stands(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(limited(qwen.url, route="limits: [{requests: 2, per: day}]"))
    answers = [await ask(front.port, post(chat())) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.field("x-ratelimit-limit-requests") for answer in answers] == ["2", "2", "2"]
    assert [left(answer, "requests") for answer in answers] == [1, 0, 0]
    assert [(answer.field("x-ratelimit-reset-requests") or "")[:5] for answer in answers] == ["12h0m", "23h59", "23h59"]
    assert answers[0].field("retry-after") is None
    assert 43_190 <= int(answers[2].field("retry-after") or 0) <= 43_201
    error = json.loads(answers[2].body)["error"]
    assert error == {
        "message": "request rate limit exceeded for route: chat",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }


async def test_answers_and_refusals_tell_how_a_limit_of_tokens_stands(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(limited(qwen.url, server="limits: [{tokens: 40, per: month}, {requests: 9, per: month}]"))
    answers = [await ask(front.port, prompted(80)) for _ in range(4)]
    # 20 are taken by estimate; 1 for the prompt's only word and 8 for the answer are what it costs in the end.
    assert [(answer.status, left(answer)) for answer in answers] == [(200, 20), (200, 11), (200, 2), (429, 13)]
    assert [left(answer, "requests") for answer in answers[:3]] == [8, 7, 6]
    assert [answer.field("x-ratelimit-limit-tokens") for answer in answers] == ["40"] * 4
    assert refusal(answers[3]) == (429, "token rate limit exceeded for model server: engine")


async def test_a_stream_tells_how_limits_stand_before_its_body(proxy: StartProxy) -> None:
    async def silent(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream()
        await connection.gone()

    async with raw_engine(silent) as engine:
        limits = "limits: [{tokens: 100, per: month}, {requests: 5, per: month}]"
        front = await proxy(limited(engine.url, route=limits))
        async with raw_client(front.port) as client:
            client.send(prompted(40, stream=True))
            answer = Answer(200, await client.head(), b"")
        assert (left(answer), left(answer, "requests")) == (90, 4)


async def test_all_limits_of_a_route_and_of_its_server_hold(proxy: StartProxy, qwen: RunningEngine) -> None:
    config = limited(
        qwen.url, route="limits: [{requests: 3, per: month}]", server="limits: [{requests: 2, per: month}]"
    )
    front = await proxy(config)
    answers = [await ask(front.port, post(chat())) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert [left(answer, "requests") for answer in answers[:2]] == [1, 0], "the tightest one is told"
    messages = {refusal(answer)[1] for answer in answers[2:]}
    assert messages == {"request rate limit exceeded for model server: engine"}, "what it refused has cost nothing"


@pytest.mark.parametrize("counted", ["requests", "input_tokens"])
async def test_a_limit_by_model_counts_each_model_alone(proxy: StartProxy, qwen: RunningEngine, counted: str) -> None:
    amount = 1 if counted == "requests" else 10
    front = await proxy(limited(qwen.url, route=f"limits: [{{{counted}: {amount}, per: month, by: model}}]"))
    for model in ("qwen", "sql-lora"):
        body = post(json.dumps({"model": model, "prompt": "x" * 40}).encode(), COMPLETIONS)
        assert await statuses(front, 2, body) == [200, 429], model


async def test_a_limit_by_address_counts_each_client_alone_whatever_it_says_of_itself(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    front = await proxy(limited(qwen.url, route="limits: [{requests: 2, per: month, by: address}]"))
    told = []
    for address in ("127.0.0.1", "127.0.0.2"):
        for number in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port, local_addr=(address, 0))
            client = RawClient(reader, writer)
            told.append((await client.ask(post(chat(), X_Forwarded_For=f"192.0.2.{number}"))).status)
            client.close()
    assert told == [200, 200, 429, 200, 200, 429]


async def test_a_limit_by_key_counts_each_key_alone_and_one_by_user_the_keys_of_a_user_together(
    proxy: StartProxy, qwen: RunningEngine, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    first, second = (keys.add(name, metadata={"user": "alice"}) for name in ("a1", "a2"))
    other = keys.add("b1", metadata={"user": "bob"})
    auth = f"auth: {{keys: '{keys.path}'}}"

    async def told(by: str) -> list[int]:
        front = await proxy(limited(qwen.url, route=f"{auth}, limits: [{{requests: 1, per: month, by: {by}}}]"))
        return [(await ask(front.port, post(chat(), **bearer(key)))).status for key in (first, second, other, first)]

    assert await told("key") == [200, 200, 200, 429]
    assert await told("user") == [200, 429, 200, 429]


async def test_a_key_has_limits_of_its_own_beside_those_of_the_route(
    proxy: StartProxy, qwen: RunningEngine, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    bounded = keys.add("bounded", limits=[{"requests": 2, "per": "month"}])
    free = keys.add("free")
    front = await proxy(
        limited(qwen.url, route=f"auth: {{keys: '{keys.path}'}}, limits: [{{requests: 4, per: month}}]")
    )
    answers = [await ask(front.port, post(chat(), **bearer(bounded))) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert refusal(answers[2])[1] == "request rate limit exceeded for key: bounded"
    assert await statuses(front, 3, post(chat(), **bearer(free))) == [200, 200, 429]


async def test_nothing_is_charged_where_no_engine_was_asked(proxy: StartProxy, qwen: RunningEngine) -> None:
    limits = "limits: [{requests: 2, per: month}, {tokens: 40, per: month}]"
    gone = (
        f"servers:\n  engine: {{select: {{labels: {{app: nobody}}}}, {limits}}}\n"
        f"routes: [{{name: chat, rules: [{{targets: [engine]}}], {limits}}}]\n"
    )
    front = await proxy(gone)
    assert await statuses(front, 5, prompted(80)) == [503] * 5
    await front.apply(limited(qwen.url, route=limits, server=limits))
    answer = await ask(front.port, prompted(80))
    assert (answer.status, left(answer, "requests"), left(answer)) == (200, 1, 20)


async def test_a_request_whose_engine_fails_counts_as_one_and_gets_its_tokens_back(proxy: StartProxy) -> None:
    async def failing(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(b"{}", b"Content-Type: application/json", status=b"500 Broken")

    async with raw_engine(failing) as engine:
        limits = "limits: [{requests: 9, per: month}, {tokens: 40, per: month}]"
        front = await proxy(limited(engine.url, route=limits))
        answers = [await ask(front.port, prompted(80)) for _ in range(3)]
        assert [(answer.status, left(answer), left(answer, "requests")) for answer in answers] == [
            (500, 20, 8),
            (500, 20, 7),
            (500, 20, 6),
        ]


async def test_a_request_that_no_engine_answers_counts_as_one_and_gets_its_tokens_back(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    async def leaving(connection: RawConnection) -> None:
        await connection.request()
        connection.reset()

    limits = "limits: [{requests: 9, per: month}, {tokens: 40, per: month}]"
    async with raw_engine(leaving) as engine:
        front = await proxy(limited(engine.url, route=limits))
        assert await statuses(front, 4, prompted(80)) == [502] * 4
    await front.apply(limited(qwen.url, route=limits))
    answer = await ask(front.port, prompted(80))
    assert (answer.status, left(answer, "requests"), left(answer)) == (200, 4, 20)


async def test_a_reload_keeps_what_a_limit_has_left_unless_the_limit_is_another(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    front = await proxy(limited(qwen.url, route="limits: [{requests: 3, per: month}]"))
    assert await statuses(front, 2) == [200, 200]
    await front.apply(limited(qwen.url, route="limits: [{requests: 3, per: month}]", server="restore_model: true"))
    assert await statuses(front, 2) == [200, 429]
    await front.apply(limited(qwen.url, route="limits: [{requests: 1, per: month}]"))
    assert await statuses(front, 2) == [200, 429]
    await front.apply(limited(qwen.url))
    assert await statuses(front, 2) == [200, 200]


async def test_a_fallback_takes_over_where_the_first_server_s_limit_is_reached(
    proxy: StartProxy, engine: StartEngine
) -> None:
    first, second = await engine(model="qwen"), await engine(model="qwen")
    front = await proxy(
        f"servers:\n  first: {{endpoints: ['{first.url}'], limits: [{{tokens: 25, per: month}}]}}\n"
        f"  second: {{endpoints: ['{second.url}'], limits: [{{requests: 2, per: month}}]}}\n"
        "routes: [{name: chat, rules: [{targets: [first], fallback: [second]}]}]\n"
    )
    answers = [await ask(front.port, prompted(80)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.field("x-penstock-fallback") for answer in answers] == [
        None,
        "first=rate_limit_exceeded",
        "first=rate_limit_exceeded",
        "first=rate_limit_exceeded",
    ]
    assert refusal(answers[3])[1] == "request rate limit exceeded for model server: second"
    executed = [running.engine.journal.counters.executed for running in (first, second)]
    assert executed == [1, 2]


async def test_no_fallback_takes_over_where_the_route_s_own_limit_is_reached(
    proxy: StartProxy, engine: StartEngine
) -> None:
    first, second = await engine(model="qwen"), await engine(model="qwen")
    front = await proxy(
        f"servers: {{first: {{endpoints: ['{first.url}']}}, second: {{endpoints: ['{second.url}']}}}}\n"
        "routes: [{name: chat, limits: [{requests: 1, per: month}],"
        " rules: [{targets: [first], fallback: [second]}]}]\n"
    )
    assert await statuses(front, 3) == [200, 429, 429]
    assert second.engine.journal.counters.executed == 0


async def test_requests_without_a_body_cost_no_tokens(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(limited(qwen.url, route="limits: [{tokens: 5, per: month}]"))
    answers = [await ask(front.port, get("/version"), method="GET") for _ in range(3)]
    assert [(answer.status, left(answer)) for answer in answers] == [(200, 5)] * 3


# --- usage that nobody asked for --------------------------------------------------------------------------------------

CHUNKS = [b'data: {"model":"%b","choices":[{"index":0,"delta":{"content":"w"}}]}\n\n'] * 3
USAGE = b'data: {"model":"%b","choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


async def telling(connection: RawConnection) -> None:
    """An engine that tells its usage where it is asked to, and calls itself by the name that it is asked for."""
    while request := await connection.request():
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        told = (body.get("stream_options") or {}).get("include_usage") is True
        await connection.begin_stream()
        for event in [*CHUNKS, *([USAGE] if told else []), DONE]:
            await connection.chunk(event.replace(b"%b", body["model"].encode()))
        await connection.end_stream()


def whole(name: bytes, *, told: bool) -> bytes:
    """The body of such a stream."""
    return b"".join([*CHUNKS, *([USAGE] if told else []), DONE]).replace(b"%b", name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
)
@pytest.mark.parametrize("rewrites", [False, True])
async def test_a_client_gets_the_usage_that_it_asked_for_and_no_other_though_the_engine_is_always_asked(
    proxy: StartProxy, options: Mapping[str, Any], told: bool, rewrites: bool
) -> None:
    server = "model: base, restore_model: true, " if rewrites else ""
    target = "{server: engine, model: base}" if rewrites else "engine"
    async with raw_engine(telling) as engine:
        front = await proxy(
            f"servers: {{engine: {{endpoints: ['{engine.url}'], {server}limits: [{{tokens: 1000, per: month}}]}}}}\n"
            f"routes: [{{name: chat, rules: [{{targets: [{target}]}}]}}]\n"
        )
        answers = [await ask(front.port, post(chat(stream=True, **options))) for _ in range(2)]
        sent = json.loads(engine.requests[0].partition(b"\r\n\r\n")[2])
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["model"] == ("base" if rewrites else "qwen")
    assert answers[0].body == whole(b"qwen", told=told)
    # The estimate of 9 (33 characters as ChatML) was taken, and the 5 and 3 that the engine told are what it cost.
    assert left(answers[0]) - left(answers[1]) == 8


async def test_a_stream_of_known_length_is_as_long_as_what_the_client_gets_of_it(proxy: StartProxy) -> None:
    async def at_once(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(whole(b"qwen", told=True), b"Content-Type: text/event-stream")

    async with raw_engine(at_once) as engine:
        front = await proxy(limited(engine.url, route="limits: [{tokens: 1000, per: month}]"))
        async with raw_client(front.port) as client:
            answers = [await client.ask(post(chat(stream=True))) for _ in range(2)]
    assert [answer.body for answer in answers] == [whole(b"qwen", told=False)] * 2


async def test_where_nothing_is_counted_a_stream_goes_as_it_came(proxy: StartProxy) -> None:
    async with raw_engine(telling) as engine:
        front = await proxy(limited(engine.url, route="limits: [{requests: 9, per: month}]"))
        body = chat(stream=True)
        assert (await ask(front.port, post(body))).body == whole(b"qwen", told=False)
        assert engine.requests[0].endswith(b"\r\n\r\n" + body)


async def test_tokens_are_told_in_the_metrics_and_in_the_access_log(
    serve: StartServing, engine: StartEngine, tmp_path: Path
) -> None:
    running = await engine(tokens=6)
    log = tmp_path / "access.log"
    front = await serve(
        limited(running.url, route="limits: [{tokens: 1000, per: month}]"), f"log: {{path: '{log}', format: text}}\n"
    )
    for stream in (False, True):
        assert (await ask(front.port, prompted(8, stream=stream))).status == 200
    scrape = Scrape(await front.ask_admin("/metrics"))
    told = [
        scrape.value("penstock_tokens_total", route="chat", server="engine", kind=kind) for kind in ("input", "output")
    ]
    assert told == [2, 12]
    await until(lambda: log.read_text().count("tokens=1+6") == 2)


async def test_long_names_of_models_that_clients_make_up_share_one_bucket(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    front = await proxy(limited(qwen.url, route="limits: [{requests: 1, per: month, by: model}]"))
    told = [(await ask(front.port, post(chat(model="m" * size)))).status for size in (10, 300, 301, 100_000)]
    assert 429 not in told[:2]
    assert told[2:] == [429, 429]
