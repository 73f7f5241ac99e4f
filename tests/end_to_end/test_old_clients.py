"""What clients of HTTP/1.0 get, whose only sign of an end is that of the connection."""

import asyncio

import pytest

from tests.end_to_end.engines import RawConnection, raw_engine
from tests.end_to_end.proxies import StartProxy

ROUTES = """
servers: {{qwen: {{endpoints: ["{url}"], retries: 0}}}}
routes: [{{name: all, rules: [{{targets: [{{server: qwen}}]}}]}}]
"""


async def test_a_cut_answer_is_a_reset_and_no_end(proxy: StartProxy) -> None:
    async def half(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream(b"text/plain")
        await connection.chunk(b"half of it")
        connection.reset()

    async with raw_engine(half) as engine:
        front = await proxy(ROUTES.format(url=engine.url))
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET /text HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10.0)
        writer.close()


async def test_a_whole_answer_ends_with_the_connection(proxy: StartProxy) -> None:
    async def whole(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream(b"text/plain")
        await connection.chunk(b"all of it")
        await connection.say(b"0\r\n\r\n")

    async with raw_engine(whole) as engine:
        front = await proxy(ROUTES.format(url=engine.url))
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET /text HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10.0)
        assert b"transfer-encoding" not in answer.lower()
        assert answer.endswith(b"\r\n\r\nall of it")
        writer.close()
