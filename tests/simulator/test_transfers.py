import asyncio
from dataclasses import replace

import pytest

from proxy.simulator.refusal import RefusedError
from proxy.simulator.transfers import REMEMBERED, PinnedBlocks, Rooms, Used


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_blocks_are_fetched_once() -> None:
    pinned = PinnedBlocks(30.0, Clock())
    handle = pinned.pin("engine", "a", 40, "127.0.0.1", 1)
    assert handle.block_ids == (0, 1, 2)
    pinned.fetch(handle)
    assert len(pinned) == 0
    with pytest.raises(RefusedError, match="fetched before"):
        pinned.fetch(handle)


def test_a_prefill_that_never_happened_cannot_be_fetched() -> None:
    pinned = PinnedBlocks(30.0, Clock())
    handle = pinned.pin("engine", "a", 40, "127.0.0.1", 1)
    with pytest.raises(RefusedError, match="no prefill b"):
        pinned.fetch(replace(handle, request_id="b"))


def test_every_field_of_a_handle_must_come_back_as_it_was() -> None:
    pinned = PinnedBlocks(30.0, Clock())
    handle = pinned.pin("engine", "a", 40, "127.0.0.1", 1)
    for wrong in (replace(handle, engine_id="x"), replace(handle, block_ids=(0,)), replace(handle, port=2)):
        with pytest.raises(RefusedError, match="not those that the prefill a answered"):
            pinned.fetch(wrong)
    pinned.fetch(handle)


def test_blocks_that_nobody_fetches_are_freed_after_the_timeout() -> None:
    clock = Clock()
    pinned = PinnedBlocks(30.0, clock)
    handle = pinned.pin("engine", "a", 40, "127.0.0.1", 1)
    clock.now = 30.0
    assert len(pinned) == 1
    clock.now = 30.1
    assert len(pinned) == 0
    assert pinned.expired == 1
    with pytest.raises(RefusedError, match="no prefill a"):
        pinned.fetch(handle)


def test_the_memory_of_used_names_is_bounded() -> None:
    used = Used()
    for number in range(REMEMBERED + 1):
        used.add(str(number))
    assert "0" not in used
    assert "1" in used


async def test_neither_half_goes_on_before_the_other_has_come() -> None:
    rooms = Rooms(5.0)
    decode = asyncio.create_task(rooms.fetch(7))
    await asyncio.sleep(0)
    assert not decode.done()
    async with rooms.prefilling(7) as room:
        await asyncio.sleep(0)
        assert not decode.done()
        await rooms.hand_over(room)
    await decode
    assert len(rooms) == 0


async def test_a_prefill_waits_for_its_decode() -> None:
    rooms = Rooms(5.0)
    async with rooms.prefilling(7) as room:
        prefill = asyncio.create_task(rooms.hand_over(room))
        await asyncio.sleep(0)
        assert not prefill.done()
        await rooms.fetch(7)
        await prefill


async def test_a_room_is_used_once() -> None:
    rooms = Rooms(5.0)
    async with rooms.prefilling(7):
        with pytest.raises(RefusedError, match="has a prefill already"):
            await rooms.prefilling(7).__aenter__()
    with pytest.raises(RefusedError, match="used before"):
        await rooms.fetch(7)


async def test_a_half_whose_other_half_does_not_come_fails() -> None:
    rooms = Rooms(0.0)
    with pytest.raises(RefusedError, match="prefill engine did not come") as caught:
        await rooms.fetch(7)
    assert caught.value.status == 500
    async with rooms.prefilling(8) as room:
        with pytest.raises(RefusedError, match="decode engine did not come"):
            await rooms.hand_over(room)
    assert len(rooms) == 0
