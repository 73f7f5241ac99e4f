"""Files with keys and credentials that change, turn bad or vanish while workers serve."""

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.callers import Keys, bearer, hello, status_of
from tests.end_to_end.engines import raw_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.serving import Serving, StartServing

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
TWO = "workers: 2\n"


def routes(url: str, more: str = "", server: str = "") -> str:
    return (
        f"servers: {{engine: {{endpoints: ['{url}']{server}}}}}\n"
        "routes:\n  - {name: open, models: [open], rules: [{targets: [engine]}]}\n" + more
    )


def locked(keys: Path) -> str:
    return f"  - {{name: locked, models: [locked], auth: {{keys: '{keys}'}}, rules: [{{targets: [engine]}}]}}\n"


async def statuses(front: Serving, key: str, model: str) -> set[int]:
    """How ten requests end, on connections of their own, so that both workers are asked."""
    return {await status_of(front.port, bearer(key), model=model) for _ in range(10)}


async def test_a_key_file_that_turned_bad_closes_its_routes_in_a_new_worker_and_no_others(
    serve: StartServing, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    ada = keys.add("ada")
    async with raw_engine(hello) as engine:
        front = await serve(routes(engine.url, locked(keys.path)), TWO)
        assert await statuses(front, ada, "locked") == {200}
        good = keys.path.read_text()
        keys.path.write_text("{")
        await until(lambda: str(keys.path) in front.text)
        for worker in (await front.status())["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        before = {worker["pid"] for worker in (await front.status())["workers"]}

        async def replaced() -> bool:
            now = (await front.status())["workers"]
            return len(now) == 2 and not before & {worker["pid"] for worker in now} and await front.ready()

        await until_told(replaced)
        assert await statuses(front, ada, "open") == {200}
        assert await statuses(front, ada, "locked") == {401}
        keys.path.write_text(good)

        async def let_in() -> bool:
            return await statuses(front, ada, "locked") == {200}

        await until_told(let_in)


async def test_a_reload_that_names_a_bad_key_file_is_refused_and_made_up_for_once_it_is_mended(
    serve: StartServing, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    ada = keys.add("ada")
    good = keys.path.read_text()
    keys.path.write_text("version: 9\n")
    async with raw_engine(hello) as engine:
        front = await serve(routes(engine.url), TWO)
        front.file.write_text(routes(engine.url, locked(keys.path)))
        await until(lambda: "configuration rejected" in front.text)
        assert await statuses(front, ada, "open") == {200}
        keys.path.write_text(good)
        await until(lambda: "configuration applied" in front.text)
        assert await statuses(front, ada, "locked") == {200}


async def test_a_named_pipe_in_a_secrets_place_holds_no_worker(serve: StartServing, tmp_path: Path) -> None:
    secret = tmp_path / "engine.key"
    secret.write_text("sk-one")
    async with raw_engine(hello) as engine:
        front = await serve(routes(engine.url, server=f", api_key_file: '{secret}'"), TWO)
        secret.unlink()
        os.mkfifo(secret)
        await until(lambda: f"{secret}: error credential: cannot be read" in front.text)
        assert await statuses(front, "none", "open") == {200}
        secret.unlink()
        secret.write_text("sk-two")

        async def shown() -> bool:
            await status_of(front.port, {}, model="open")
            return b"Bearer sk-two" in engine.requests[-1]

        await until_told(shown)
