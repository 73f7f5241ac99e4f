import asyncio
import re
import signal
import sys

import aiohttp
import pytest
import typer
from typer.testing import CliRunner

from proxy.cli.main import build
from proxy.cli.simulate import seconds
from proxy.simulator.faults import SPELLINGS


@pytest.mark.parametrize(
    ("text", "value"), [("50ms", 0.05), ("1.5s", 1.5), ("2", 2.0), (0.05, 0.05), ("3us", 0.000003), ("1m", 60.0)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str | float, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ms", "5 parsecs", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)


def test_the_help_tells_of_every_fault() -> None:
    shown = CliRunner().invoke(build(), ["simulate", "--help"], env={"COLUMNS": "100"}).output
    for spelling in SPELLINGS.split(", "):
        assert f" {re.split('[;[=]', spelling)[0]}" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_until_it_is_told_to_stop(unused_tcp_port: int, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "proxy.cli.main",
        "simulate",
        "--model",
        "qwen",
        "--engine",
        "sglang",
        "--name",
        "one",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, "--port", str(unused_tcp_port), "--time-to-first-token", "1ms", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert f"one (sglang qwen) at http://127.0.0.1:{unused_tcp_port}".encode() in line
    url = f"http://127.0.0.1:{unused_tcp_port}/v1/completions"
    async with aiohttp.ClientSession() as client, client.post(url, json={"prompt": "a"}) as response:
        assert response.status == 200
    process.send_signal(number)
    assert await process.wait() == 0
