"""Promises of copied requests: no client waits for one, and none of them grows without bound."""

import asyncio

import pytest

from proxy.config.access_spec import Auth
from proxy.config.spec import ModelServer, RateLimit
from proxy.errors import RequestError
from tests.downstream.visits import Visit, post
from tests.forwarding.journeys import World

CHAT = post(b'{"model": "m"}', target=b"/v1/chat/completions")


async def ask(world: World) -> bytes:
    visit = Visit()
    await world.forwarder.forward(world.call(CHAT, visit))
    return visit.hears().partition(b"\r\n\r\n")[2]


async def settle(world: World) -> None:
    """Let the copies come to their end, as far as they can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_copy_goes_to_the_other_server_under_its_models_name_and_its_answer_is_dropped() -> None:
    world = World([["ok"]], [["stream"]], models=(None, "next"), shadowed=4)
    assert await ask(world) == b"fine"
    await settle(world)
    assert world.asked == [[1], [1]]
    assert b'{"model": "next"}' in world.pools[1][0].transports[0].written
    assert world.endpoints[1].in_flight == 0


@pytest.mark.parametrize("outcome", ["refuse", "reset", "junk", "503", "cut"])
async def test_a_copy_that_fails_is_nobodys_trouble_and_is_not_sent_again(outcome: str) -> None:
    world = World([["ok"]], [[outcome, "ok"]], shadowed=4)
    assert await ask(world) == b"fine"
    await settle(world)
    assert world.pools[1][0].opened == 1
    assert world.endpoints[1].in_flight == 0


async def test_no_client_waits_for_a_copy_and_the_copies_under_way_are_bounded() -> None:
    world = World([["ok"] * 9], [["hang"] * 9], shadowed=2)
    for _ in range(5):
        assert await ask(world) == b"fine"
        await settle(world)
    assert world.asked == [[5], [2]]
    assert world.endpoints[1].in_flight == 2
    await world.forwarder.close()
    assert world.endpoints[1].in_flight == 0


async def test_a_copy_that_has_ended_makes_room_for_the_next() -> None:
    world = World([["ok"] * 3], [["ok"] * 3], shadowed=1)
    for _ in range(3):
        await ask(world)
        await settle(world)
    assert world.asked == [[3], [3]]


async def test_what_is_refused_or_beyond_a_limit_is_not_copied() -> None:
    refused = World([["ok"]], [["ok"]], shadowed=4, auths=(Auth(keys="/keys.yaml"),))
    with pytest.raises(RequestError):
        await ask(refused)
    limited = World([["ok"]], [["ok"]], shadowed=4)
    limited.limit(ModelServer("s0", (), rate_limit=RateLimit(1e-9, 1)))
    await ask(limited)
    with pytest.raises(RequestError):
        await ask(limited)
    for world in (refused, limited):
        await settle(world)
    assert (refused.asked, limited.asked) == ([[0], [0]], [[1], [1]])


async def test_a_copy_that_cannot_be_made_takes_nothing_of_its_servers_limit() -> None:
    world = World([["ok"] * 9], [["ok"] * 9], models=(None, "next"), shadowed=4)
    world.limit(ModelServer("s1", (), rate_limit=RateLimit(1e-9, 1)))
    twice = post(b'{"model": "m", "model": "m"}', target=b"/v1/chat/completions")
    visit = Visit()
    await world.forwarder.forward(world.call(twice, visit))
    await settle(world)
    await ask(world)
    await settle(world)
    assert [copy.outcome for copy in world.copies][1:] == ["ok"]
