import asyncio
import socket

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.runtime.channel import (
    LENGTH,
    Applied,
    Channel,
    Command,
    ConfigBegin,
    ConfigCommit,
    ConfigPiece,
    Drain,
    ReportRequest,
    Stop,
    open_for_supervisor,
    open_for_worker,
)

COMMANDS: list[Command] = [
    ConfigBegin("v1"),
    ConfigPiece(bytes(range(256)) * 300),
    ConfigPiece(b""),
    ConfigCommit(),
    ReportRequest(7),
    Drain(5.0, 300.0),
    Stop(),
]


def frames(commands: list[Command]) -> bytes:
    encoded = [msgspec.msgpack.encode(command) for command in commands]
    return b"".join(LENGTH.pack(len(data)) + data for data in encoded)


async def received_in_pieces(data: bytes, cuts: list[int]) -> list[Command]:
    reader = asyncio.StreamReader()
    left, right = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=left)
    decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
    channel = Channel(reader, writer, decoder)

    async def feed() -> None:
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if end > start:
                reader.feed_data(data[start:end])
                await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    commands = []
    while (command := await channel.receive()) is not None:
        commands.append(command)
    await feeding
    await channel.close()
    right.close()
    return commands


@given(st.lists(st.integers(0, len(frames(COMMANDS)))))
def test_what_arrives_does_not_depend_on_where_it_was_cut(cuts: list[int]) -> None:
    assert asyncio.run(received_in_pieces(frames(COMMANDS), sorted(cuts))) == COMMANDS


@given(st.integers(0, len(frames(COMMANDS)) - 1))
def test_a_frame_that_is_cut_off_is_the_end_and_nothing_else(length: int) -> None:
    commands = asyncio.run(received_in_pieces(frames(COMMANDS)[:length], []))
    assert commands == COMMANDS[: len(commands)]
    assert len(commands) < len(COMMANDS)


async def test_both_ends_understand_each_other_and_notice_the_other_ones_end() -> None:
    ours, theirs = socket.socketpair()
    supervisor, worker = await open_for_supervisor(ours), await open_for_worker(theirs)
    await supervisor.send(ConfigBegin("v2"))
    assert await worker.receive() == ConfigBegin("v2")
    await worker.send(Applied("v2"))
    assert await supervisor.receive() == Applied("v2")
    await worker.close()
    assert await supervisor.receive() is None
    await supervisor.close()
