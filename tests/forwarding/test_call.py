"""Which model is sent to a target, and in what body."""

import pytest

from proxy.config.spec import ModelServer, Rewrite, RewriteTarget
from proxy.errors import RequestError
from proxy.routing.rewriting import Rewriter
from tests.downstream.visits import get, post
from tests.forwarding.journeys import World

CHAT = b"/v1/chat/completions"
EXACT = Rewrite((RewriteTarget("m-v1"),), ("m",))
GENERIC = Rewrite((RewriteTarget("any"),))


def sent(data: bytes, *rewrites: Rewrite, model: str | None = None) -> tuple[str | None, bytes]:
    """The model that is sent to a server with these rewrites, and the body."""
    rewriter = Rewriter(ModelServer("pool", (), rewrites=rewrites)) if rewrites else None
    world = World([["ok"]], models=(model,), rewriter=rewriter)
    call = world.call(data)
    name = call.model_for(world.match.split.pick())
    return name, b"".join(call.body_for(name))


def chat(body: bytes, *lines: bytes, target: bytes = CHAT) -> bytes:
    return post(body, *lines, target=target)


async def test_a_rewrite_of_the_name_wins_over_one_of_any_name() -> None:
    assert sent(chat(b'{"model": "m"}'), GENERIC, EXACT) == ("m-v1", b'{"model": "m-v1"}')
    assert sent(chat(b'{"model": "x"}'), GENERIC, EXACT) == ("any", b'{"model": "any"}')


async def test_a_rewritten_name_is_not_rewritten_again() -> None:
    again = Rewrite((RewriteTarget("twice"),), ("m-v1",))
    assert sent(chat(b'{"model": "m"}'), EXACT, again)[0] == "m-v1"


async def test_a_name_without_a_rewrite_goes_as_it_came_byte_for_byte() -> None:
    body = b'{"b": 1,  "model":"x", "a": 12345678901234567890.0}'
    assert sent(chat(body), EXACT) == ("x", body)


@pytest.mark.parametrize("field", [b"x-llm-d-model-name-rewrite", b"X-Gateway-Model-Name-Rewrite"])
async def test_a_control_header_names_the_model_unless_a_rewrite_does(field: bytes) -> None:
    assert sent(chat(b'{"model": "x"}', field + b": asked"), EXACT)[0] == "asked"
    assert sent(chat(b'{"model": "m"}', field + b": asked"), EXACT)[0] == "m-v1"
    assert sent(chat(b'{"model": "x"}', field + b": asked"))[0] is None


async def test_a_request_without_a_model_gets_the_one_for_any_name() -> None:
    assert sent(chat(b'{"messages": []}'), GENERIC) == ("any", b'{"model":"any","messages": []}')
    assert sent(chat(b'{ "model": null }'), GENERIC) == ("any", b'{ "model": "any" }')
    assert sent(chat(b'{"model": ""}'), GENERIC) == ("any", b'{"model": "any"}')


@pytest.mark.parametrize("body", [b"{}", b'{"model": 5}', b'{"model": ""}'])
async def test_a_request_that_needs_a_model_and_gets_none_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        sent(chat(body), EXACT)
    assert (refused.value.status, refused.value.message) == (400, "model not found in request body")


@pytest.mark.parametrize(
    "data", [get(b"/v1/models"), chat(b'{"a": 1}', target=b"/v1/files"), chat(b"no json"), chat(b"[1]")]
)
async def test_what_needs_no_model_goes_as_it_came(data: bytes) -> None:
    assert sent(data, GENERIC, EXACT) == (None, data.partition(b"\r\n\r\n")[2])


async def test_a_split_is_exact_over_a_turn() -> None:
    split = Rewrite((RewriteTarget("v1", 90), RewriteTarget("v2", 10)), ("m",))
    rewriter = Rewriter(ModelServer("pool", (), rewrites=(split,)))
    world = World([["ok"]], rewriter=rewriter)
    names = [world.call(chat(b'{"model": "m"}')).model_for(world.match.split.pick()) for _ in range(100)]
    assert (names.count("v1"), names.count("v2")) == (90, 10)


async def test_a_target_of_a_plain_server_names_its_model_only_where_the_request_names_one() -> None:
    assert sent(chat(b'{"model": "m"}'), model="big") == ("big", b'{"model": "big"}')
    assert sent(chat(b'{"a": 1}'), model="big") == (None, b'{"a": 1}')
