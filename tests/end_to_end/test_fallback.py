"""Fallbacks: what leads to the next target, what never does, and who is told of the chain."""

import json
import re
from pathlib import Path

import pytest

from proxy.config.loader import load_texts
from proxy.config.settings_spec import LogSettings
from tests.documents import NEEDED, blocks
from tests.end_to_end.callers import Keys, error_of
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import StartProxy
from tests.end_to_end.raw_client import chat, get, raw_client
from tests.end_to_end.serving import free_port
from tests.end_to_end.sides import StartSide, ask, name_in

CHAIN = "x-penstock-fallback"


def chain(first: str, *others: str, terms: str = "", rule: str = "", more: str = "") -> str:
    """A route file: the model qwen at `first` under these terms, then at the others in turn."""
    urls = dict(zip(("first", "second", "third"), (first, *others), strict=False))
    servers = "".join(
        f"  {name}: {{endpoints: {[url] if url else []}, retries: 0{terms if name == 'first' else ''}}}\n"
        for name, url in urls.items()
    )
    fallback = f", fallback: [{', '.join(list(urls)[1:])}]" if others else ""
    return (
        f"servers:\n{servers}{more}routes:\n  - name: chat\n    models: [qwen]\n"
        f"    rules: [{{name: all, targets: [first]{fallback}{rule}}}]\n"
    )


# --- what leads to the next target ------------------------------------------------------------------------------------


async def test_a_server_without_an_endpoint_gives_way(side: StartSide, proxy: StartProxy) -> None:
    second = await side("second")
    front = await proxy(chain("", second.url))
    answer = await ask(front.port)
    assert (name_in(answer), answer.field(CHAIN)) == ("second", "first=no_endpoint")


async def test_a_full_server_gives_way(side: StartSide, proxy: StartProxy) -> None:
    first, second = await side("first", holds=True), await side("second")
    front = await proxy(chain(first.url, second.url, terms=", max_in_flight: 1"))
    async with raw_client(front.port) as client:
        client.post(chat())
        await until(lambda: first.asked == 1)
        answer = await ask(front.port)
        assert (name_in(answer), answer.field(CHAIN)) == ("second", "first=queue_full")
        first.hold.set()
        assert name_in(await client.answer()) == "first"
    assert front.in_flight == 0


async def test_who_waits_for_too_long_is_served_by_the_next(side: StartSide, proxy: StartProxy) -> None:
    first, second = await side("first", holds=True), await side("second")
    terms = ", max_in_flight: 1, max_pending: 5, queue_timeout: 30ms"
    front = await proxy(chain(first.url, second.url, terms=terms))
    async with raw_client(front.port) as client:
        client.post(chat())
        await until(lambda: first.asked == 1)
        answer = await ask(front.port)
        assert (name_in(answer), answer.field(CHAIN)) == ("second", "first=queue_timeout")


async def test_a_server_that_is_late_with_its_first_byte_gives_way(side: StartSide, proxy: StartProxy) -> None:
    first, second = await side("first", holds=True), await side("second")
    front = await proxy(chain(first.url, second.url, terms=", timeout: {first_byte: 30ms}"))
    answer = await ask(front.port)
    assert (name_in(answer), answer.field(CHAIN)) == ("second", "first=upstream_timeout")


async def test_a_status_that_is_listed_leads_on_and_another_is_the_clients(side: StartSide, proxy: StartProxy) -> None:
    second = await side("second")
    for status, listed in (("503 Unavailable", True), ("500 Oops", False), ("529 Overloaded", True)):
        first = await side("first", every=1, status=status)
        front = await proxy(chain(first.url, second.url, rule=", retries: {attempts: 0, on: [503, 529]}"))
        answer = await ask(front.port)
        assert name_in(answer) == ("second" if listed else "first")
        assert answer.field(CHAIN) == (f"first={status[:3]}" if listed else None)
        assert answer.status == (200 if listed else 500)


@pytest.mark.parametrize("fault", ["refuse", "reset", "garbage"])
async def test_a_broken_connection_leads_on(
    engine: StartEngine, side: StartSide, proxy: StartProxy, fault: str
) -> None:
    first, second = await engine(), await side("second")
    first.engine.faults.arm(fault, None)
    front = await proxy(chain(first.url, second.url))
    assert name_in(await ask(front.port)) == "second"


async def test_an_exhausted_limit_leads_on(side: StartSide, proxy: StartProxy) -> None:
    first, second = await side("first"), await side("second")
    front = await proxy(chain(first.url, second.url, terms=", limits: [{requests: 1, per: day}]"))
    assert [name_in(await ask(front.port)) for _ in range(3)] == ["first", "second", "second"]


async def test_the_next_target_gets_the_model_that_it_knows(side: StartSide, proxy: StartProxy) -> None:
    first, second = await side("first", every=1), await side("second")
    routes = chain(first.url, second.url).replace("fallback: [second]", "fallback: [{server: second, model: small}]")
    front = await proxy(routes)
    assert name_in(await ask(front.port)) == "second"
    assert (b'"qwen"' in first.heard[0], b'"small"' in second.heard[0]) == (True, True)


# --- what never does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["400 Bad Request", "401 No", "404 Not Found", "429 Too Many Requests"])
async def test_an_error_of_the_clients_is_no_reason_to_ask_another(
    side: StartSide, proxy: StartProxy, status: str
) -> None:
    first, second = await side("first", every=1, status=status), await side("second")
    front = await proxy(chain(first.url, second.url))
    answer = await ask(front.port)
    assert (answer.status, name_in(answer), answer.field(CHAIN)) == (int(status[:3]), "first", None)
    assert second.asked == 0


@pytest.mark.parametrize("fault", ["reset-after=2", "close-after=2"])
async def test_nobody_else_is_asked_once_a_byte_has_gone_to_the_client(
    engine: StartEngine, side: StartSide, proxy: StartProxy, fault: str
) -> None:
    first, second = await engine(), await side("second")
    first.engine.faults.arm(fault, None)
    front = await proxy(chain(first.url, second.url))
    async with raw_client(front.port) as client:
        client.post(chat(stream=True))
        head, body = await client.head(), await client.rest()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert CHAIN.encode() not in head.lower()
    assert b"data: " in body
    assert b"[DONE]" not in body
    assert second.asked == 0


async def breaks_off(connection: RawConnection) -> None:
    """Takes a request, and is gone."""
    await connection.request()
    connection.reset()


async def test_what_must_not_run_twice_goes_to_nobody_else(side: StartSide, proxy: StartProxy) -> None:
    second = await side("second")
    async with raw_engine(breaks_off) as first:
        front = await proxy(chain(first.url, second.url))
        answer = await ask(front.port, path="/v1/files")
        assert (answer.status, error_of(answer), second.asked) == (502, "upstream_reset", 0)


# --- who is told ------------------------------------------------------------------------------------------------------


async def test_an_answer_tells_all_that_failed_before_it_and_one_without_says_nothing(
    side: StartSide, proxy: StartProxy
) -> None:
    second, third = await side("second", every=2), await side("third")
    front = await proxy(chain(f"http://127.0.0.1:{free_port()}", second.url, third.url))
    answers = [await ask(front.port) for _ in range(2)]
    assert [name_in(answer) for answer in answers] == ["second", "third"]
    assert [answer.field(CHAIN) for answer in answers] == [
        "first=upstream_connect_failure",
        "first=upstream_connect_failure, second=503",
    ]
    await front.apply(chain(third.url, second.url))
    assert (await ask(front.port)).field(CHAIN) is None


async def test_a_stream_tells_it_too(engine: StartEngine, proxy: StartProxy) -> None:
    second = await engine()
    front = await proxy(chain("", second.url))
    answer = await ask(front.port, chat(stream=True))
    assert (answer.status, answer.field(CHAIN)) == (200, "first=no_endpoint")
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_the_last_error_tells_who_failed_before(side: StartSide, proxy: StartProxy) -> None:
    second = await side("second", every=1)
    front = await proxy(chain("", second.url))
    answer = await ask(front.port)
    assert (answer.status, name_in(answer), answer.field(CHAIN)) == (503, "second", "first=no_endpoint")
    await front.apply(chain("", f"http://127.0.0.1:{free_port()}"))
    answer = await ask(front.port)
    assert (answer.status, error_of(answer)) == (502, "upstream_connect_failure")
    assert answer.field(CHAIN) == "first=no_endpoint"


async def test_an_error_that_ends_the_chain_at_once_tells_it_too(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    third = await side("third")
    async with raw_engine(breaks_off) as second:
        front = await proxy(chain("", second.url, third.url))
        answer = await ask(front.port, path="/v1/files")
        assert (answer.status, error_of(answer), third.asked) == (502, "upstream_reset", 0)
        assert answer.field(CHAIN) == "first=no_endpoint"
    keys = Keys(tmp_path)
    routes = chain("", third.url).replace("retries: 0}\nroutes", f"retries: 0, auth: {{keys: {keys.path}}}}}\nroutes")
    await front.apply(routes)
    answer = await ask(front.port)
    assert (answer.status, answer.field(CHAIN), third.asked) == (503, "first=no_endpoint, second=unauthorized", 0)


@pytest.mark.parametrize("url", ["second", ""], ids=["answer", "error"])
async def test_the_header_can_be_turned_off(side: StartSide, proxy: StartProxy, url: str) -> None:
    second = await side("second")
    front = await proxy(chain("", second.url if url else ""), fallback_header=False)
    answer = await ask(front.port)
    assert (answer.status, answer.field(CHAIN)) == (200 if url else 503, None)


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_access_log_tells_the_chain(side: StartSide, proxy: StartProxy, tmp_path: Path, form: str) -> None:
    second, third = await side("second", every=1), await side("third")
    log = tmp_path / "access.log"
    settings = LogSettings(access=True, path=str(log), format=form)
    front = await proxy(chain("", second.url, third.url), log=settings, fallback_header=False)
    await ask(front.port)
    await until(lambda: log.read_bytes().endswith(b"\n"))
    line = log.read_text()
    if form == "text":
        assert " status=" not in line
        assert re.search(r" 200 .* server=third .* chain=first:no_endpoint,second:503\n$", line)
        return
    told = json.loads(line)
    assert told["chain"] == [
        {"server": "first", "reason": "no_endpoint"},
        {"server": "second", "reason": "503"},
    ]
    assert [(each["server"], each["outcome"]) for each in told["attempts"]] == [("second", "503"), ("third", "ok")]
    assert (told["server"], told["status"], told["failure"]) == ("third", 200, "")


async def test_a_name_that_is_no_header_text_does_not_break_the_answer(side: StartSide, proxy: StartProxy) -> None:
    second = await side("second")
    front = await proxy(chain("", second.url).replace("first", '"köln, 1"'))
    answer = await ask(front.port)
    assert answer.status == 200
    assert answer.field(CHAIN) == "k\\xf6ln, 1=no_endpoint"


# --- the documents' own -----------------------------------------------------------------------------------------------


def model_server(name: str, namespace: str) -> str:
    return (
        "apiVersion: networking.matrixinfer.ai/v1alpha1\nkind: ModelServer\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{modelInferRef: {{name: {name}}}, service: {{port: 8080}}, routing: {{path: /servers/{name}}}}}\n"
    )


@NEEDED
async def test_a_model_routes_fallback_takes_what_no_rule_took(side: StartSide, proxy: StartProxy) -> None:
    block = next(block.text for block in blocks("yaml") if "header-routing" in block.text)
    names = ("premium-model-server", "standard-model-server", "default-model-server")
    sides = {name: await side(name) for name in names}
    texts = {f"{name}.yaml": model_server(name, "production") for name in names}
    entries = [{"url": each.url, "namespace": "production", "workload": name} for name, each in sides.items()]
    loaded = load_texts({"routes.yaml": block, "engines.yaml": json.dumps({"endpoints": entries}), **texts})
    assert loaded.config is not None, loaded.problems
    front = await proxy(loaded.config)

    async def led(**fields: str) -> str:
        async with raw_client(front.port) as client:
            return name_in(await client.ask(get("/v1/models/test/infer", **fields), "GET"))

    assert await led(user_type="premium") == "premium-model-server"
    assert await led(user_type="standard") == "standard-model-server"
    assert await led(user_type="nobody") == "default-model-server"
    assert await led() == "default-model-server"


@NEEDED
async def test_mixtrains_targets_are_tried_in_order_until_one_succeeds(side: StartSide, proxy: StartProxy) -> None:
    primary = await side("primary", every=1, status="500 Oops")
    emergency = await side("emergency")
    targets = [
        {"provider": "modal", "model_name": "primary", "endpoint": primary.url},
        {"provider": "fal", "model_name": "backup", "endpoint": f"http://127.0.0.1:{free_port()}"},
        {"provider": "custom", "model_name": "emergency", "endpoint": emergency.url},
    ]
    rules = [{"name": "ha_routing", "priority": 100, "strategy": "fallback", "targets": targets}]
    loaded = load_texts({"routing.json": json.dumps({"name": "reliable", "rules": rules})})
    assert loaded.config is not None, loaded.problems
    front = await proxy(loaded.config)
    answer = await ask(front.port)
    assert (answer.status, name_in(answer)) == (200, "emergency")
    links = (answer.field(CHAIN) or "").split(", ")
    assert [link.partition("=")[2] for link in links] == ["500", "upstream_connect_failure"]


async def test_a_fallback_that_the_caller_may_not_use_is_passed_over(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    second, third = await side("second"), await side("third")
    routes = chain("", second.url, third.url)
    front = await proxy(
        routes.replace(f"'{second.url}'], ", f"'{second.url}'], auth: {{keys: {Keys(tmp_path).path}}}, ")
    )
    answer = await ask(front.port)
    assert (name_in(answer), answer.field(CHAIN), second.asked) == (
        "third",
        "first=no_endpoint, second=unauthorized",
        0,
    )
