"""The demo as a user runs it: the real command, its engines and its proxy."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


async def start(*arguments: str) -> Process:
    command = (sys.executable, "-u", "-m", "proxy.cli.main", "demo", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    )


def cells(row: str) -> list[str]:
    """The cells of a table's row: at least two blanks stand between them."""
    return re.split(r"\s{2,}", row.strip())


def there(folder: str) -> bool:
    return Path(folder).exists()


async def test_the_demo_shows_rules_the_split_and_a_stream_and_ends(unused_tcp_port: int) -> None:
    process = await start("--once", "--port", str(unused_tcp_port))
    output, errors = await process.communicate()
    text = output.decode()
    assert (process.returncode, errors) == (0, b""), errors.decode()
    rows = {row[0]: row[1:] for row in map(cells, text.splitlines()) if len(row) == 5}
    endpoint = rows["user-type: premium"][2]
    assert rows["model qwen"][0] == "chat / default"
    assert rows["model qwen"][3] == {"stable": "200 qwen-7b", "canary": "200 qwen-7b-next"}[rows["model qwen"][1]]
    assert rows["user-type: premium"] == ["chat / premium", "premium", endpoint, "200 qwen-72b"]
    assert rows["model qwen-72b"] == ["large / by-model", "premium", endpoint, "200 qwen-72b"]
    assert rows["model gpt-5"] == ["-", "-", "-", "404 route not found: no route serves the model 'gpt-5'"]
    assert f"http://{endpoint}" in rows["premium"]
    assert "stable: 7, canary: 3" in text
    assert "24 tokens, the first after " in text
    assert f"curl -N http://127.0.0.1:{unused_tcp_port}/v1/chat/completions" in text


async def test_the_tokens_of_the_stream_arrive_one_after_the_other(unused_tcp_port: int) -> None:
    process = await start("--once", "--port", str(unused_tcp_port))
    assert process.stdout is not None
    await process.stdout.readuntil(b"A stream, token by token\n")
    loop = asyncio.get_running_loop()
    times, text = [], b""
    while b" tokens, the first after" not in text:
        piece = await process.stdout.read(4096)
        assert piece, "the demo ended in its stream"
        times.append(loop.time())
        text += piece
    await process.communicate()
    assert len(times) > 10
    assert times[-1] - times[0] > 0.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_stays_up_until_it_is_stopped_and_leaves_nothing_behind(
    unused_tcp_port: int, number: signal.Signals
) -> None:
    process = await start("--port", str(unused_tcp_port))
    assert process.stdout is not None
    text = (await process.stdout.readuntil(b"until Ctrl-C.")).decode()
    folder = re.search(r"Edit (\S+)/routes/demo.yaml", text)
    assert folder is not None
    assert there(folder[1])
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{unused_tcp_port}/v1/models") as response:
            assert response.status == 200
        process.send_signal(number)
        await process.communicate()
        assert process.returncode == 0
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"http://127.0.0.1:{unused_tcp_port}/health")
    assert not there(folder[1])


async def test_a_port_that_is_taken_is_told(unused_tcp_port: int) -> None:
    async def nobody(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nobody, "127.0.0.1", unused_tcp_port):
        process = await start("--once", "--port", str(unused_tcp_port))
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"the proxy ended with status" in errors
    assert str(unused_tcp_port).encode() in errors
