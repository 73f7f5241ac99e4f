import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

ROUTES = """
servers:
  engine: {endpoints: ["http://127.0.0.1:1"]}
routes:
  - {name: chat, models: [qwen], rules: [{name: all, targets: [{server: engine}]}]}
"""
ROOT = str(Path(__file__).resolve().parent.parent.parent)
PATIENCE = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Folder:
    """A settings file with its routes."""

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self.admin = free_port()
        self.routes = path / "routes" / "chat.yaml"
        self.routes.parent.mkdir()
        self.routes.write_text(ROUTES)
        self.settings = path / "penstock.yaml"
        self.settings.write_text(
            f"listeners: [{{address: 127.0.0.1:{self.port}}}]\n"
            f"admin: {{address: 127.0.0.1:{self.admin}}}\n"
            "workers: 2\n"
            "drain_timeout: 10s\n"
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def start(*arguments: str, cwd: Path, variables: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.cli.main",
        "serve",
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ROOT, **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def output_of(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    return output.decode()


async def until_it_serves(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while b"serves on" not in (line := await process.stdout.readline()):
            assert line, "it ended"


async def test_it_serves_reloads_and_ends(folder: Folder, tmp_path: Path) -> None:
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    try:
        await until_it_serves(process)
        async with ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{folder.port}/health") as answer:
                assert answer.status == 200
            folder.routes.write_text(ROUTES.replace("qwen", "llama"))
            async with client.post(f"http://127.0.0.1:{folder.admin}/reload") as answer:
                assert orjson.loads(await answer.read())["outcome"] in {"applied", "unchanged"}
            async with client.get(f"http://127.0.0.1:{folder.admin}/status") as answer:
                status = orjson.loads(await answer.read())
        assert status["routes"][0]["models"] == ["llama"]
        assert {worker["config_version"] for worker in status["workers"]} == {status["config"]["version"]}
        process.send_signal(signal.SIGTERM)
        await output_of(process)
        assert process.returncode == 0
    finally:
        await end(process)


async def test_the_settings_are_found_without_being_named(folder: Folder, tmp_path: Path) -> None:
    process = await start(cwd=tmp_path)
    try:
        await until_it_serves(process)
    finally:
        await end(process)


async def test_a_folder_of_our_packages_name_is_not_taken_for_it(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    process = await start("-c", str(folder.settings), cwd=tmp_path, variables={"PYTHONSAFEPATH": "1"})
    try:
        await until_it_serves(process)
    finally:
        await end(process)


async def test_a_configuration_with_errors_is_told_whole_and_exits_2(folder: Folder, tmp_path: Path) -> None:
    folder.routes.write_text("routes:\n  - {name: a, modles: [x]}\n  - {name: b, modles: [y]}\n")
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    output = await output_of(process)
    assert process.returncode == 2
    assert f"{folder.routes}:2:" in output
    assert f"{folder.routes}:3:" in output
    assert "nothing is served" in output
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", folder.port))


async def test_settings_with_errors_exit_2(folder: Folder, tmp_path: Path) -> None:
    folder.settings.write_text("worker: 2\n")
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    assert "workers" in await output_of(process)
    assert process.returncode == 2


async def test_a_port_that_is_taken_is_named_and_exits_1(folder: Folder, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", folder.port)):
        process = await start("-c", str(folder.settings), cwd=tmp_path)
        assert f"cannot listen on 127.0.0.1:{folder.port}: Address already in use" in await output_of(process)
    assert process.returncode == 1


async def test_an_admin_port_that_is_taken_is_named_and_exits_1(folder: Folder, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", folder.admin)):
        process = await start("-c", str(folder.settings), cwd=tmp_path)
        assert f"cannot listen on 127.0.0.1:{folder.admin}: Address already in use" in await output_of(process)
    assert process.returncode == 1


async def test_nothing_to_serve_is_told(tmp_path: Path) -> None:
    process = await start(cwd=tmp_path)
    assert "-c FILE" in await output_of(process)
    assert process.returncode == 2


async def test_a_settings_file_without_routes_is_named(folder: Folder, tmp_path: Path) -> None:
    folder.settings.write_text("routes: []\n")
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    assert f"{folder.settings} names no routes" in await output_of(process)
    assert process.returncode == 2


async def test_an_access_log_that_cannot_be_opened_is_told_in_a_line(folder: Folder, tmp_path: Path) -> None:
    with folder.settings.open("a") as file:
        file.write("log: {path: none/access.log}\n")
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    expected = f"penstock: access log {tmp_path}/none/access.log cannot be opened: No such file or directory\n"
    assert await output_of(process) == expected
    assert process.returncode == 1


async def test_a_certificate_that_is_none_is_told_in_a_line(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    tls = "tls: {cert: junk.pem, key: junk.pem}"
    folder.settings.write_text(f"listeners: [{{address: '127.0.0.1:{folder.port}', {tls}}}]\nadmin: false\n")
    process = await start("-c", str(folder.settings), cwd=tmp_path)
    expected = f"penstock: {tmp_path}/junk.pem: error tls-file: holds no certificate in PEM form\n"
    assert await output_of(process) == expected
    assert process.returncode == 1


async def end(process: asyncio.subprocess.Process) -> None:
    """End it the short way: a worker without its supervisor ends by itself."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
