"""The demo's show: requests on their way, and the terminal that tells of them."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from proxy.cli.demo_stage import DemoError, Stage

QUESTION = {"messages": [{"role": "user", "content": "What does a penstock do?"}]}
CHAT = "/v1/chat/completions"
LOG_LIMIT = 5.0  # seconds until the line of an answered request must be in the access log
COLOURS = {"stable": "green", "canary": "yellow", "premium": "magenta"}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to show. `title` is for the reader."""

    title: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()


ASKS = (
    Ask("model qwen", "qwen"),
    Ask("user-type: premium", "qwen", (("user-type", "premium"),)),
    Ask("model qwen-72b", "qwen-72b"),
    Ask("model gpt-5", "gpt-5"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: what the client saw, and the name under which the proxy wrote it down."""

    status: int
    engine: str
    text: str
    request_id: str


class Show:
    """Sends the requests and prints what came of them."""

    def __init__(self, stage: Stage, client: aiohttp.ClientSession, console: Console) -> None:
        self._stage = stage
        self._client = client
        self._console = console

    async def run(self) -> None:
        """All of it."""
        await self._picture()
        await self._rules()
        await self._split()
        await self._stream()
        self._curl_lines()

    async def _picture(self) -> None:
        """What stands behind the proxy, as its admin listener tells it."""
        async with self._client.get(f"{self._stage.admin_url}/status") as response:
            status = await response.json()
        self._console.print(f"\n[bold]Penstock[/] at [cyan]{self._stage.url}[/], admin at {self._stage.admin_url}\n")
        table = plain_table("Behind it", "server", "engine", "model", "endpoint", "state")
        for server in status["servers"]:
            for endpoint in server["endpoints"]:
                name = Text(server["name"], COLOURS.get(server["name"], ""))
                table.add_row(name, server["engine"], server["model"], endpoint["address"], endpoint["state"])
        self._console.print(table)
        self._console.print()
        self._console.print(Syntax(self._stage.routes_file.read_text(), "yaml", background_color="default"))

    async def _rules(self) -> None:
        """Each request with the rule, the target and the endpoint that answered it."""
        told = [await self._ask(ask) for ask in ASKS]
        lines = await self._lines_of([one.request_id for one in told])
        table = plain_table("Which rule answers", "request", "route / rule", "target", "endpoint", "answer")
        for ask, one in zip(ASKS, told, strict=True):
            table.add_row(ask.title, *row(one, lines[one.request_id]))
        self._console.print(table)

    async def _split(self) -> None:
        """Ten requests, one after the other: exactly seven and three."""
        told = [await self._ask(ASKS[0]) for _ in range(10)]
        lines = await self._lines_of([one.request_id for one in told])
        servers = [str(lines[one.request_id]["server"]) for one in told]
        self._console.print("\n[bold]Ten requests, split 70/30[/]")
        self._console.print(Text.assemble(*((f"{server} ", COLOURS.get(server, "")) for server in servers)))
        self._console.print(", ".join(f"{server}: {count}" for server, count in Counter(servers).most_common()))

    async def _ask(self, ask: Ask) -> Told:
        body = {**QUESTION, "model": ask.model, "max_tokens": 6}
        async with self._client.post(self._stage.url + CHAT, json=body, headers=dict(ask.headers)) as response:
            answer = await response.json()
            return Told(
                status=response.status,
                engine=response.headers.get("x-sim-engine", ""),
                text=answer_text(answer),
                request_id=response.headers.get("x-request-id", ""),
            )

    async def _stream(self) -> None:
        """One answer, each token when it comes."""
        body = {**QUESTION, "model": "qwen", "stream": True}
        self._console.print("\n[bold]A stream, token by token[/]")
        started = time.perf_counter()
        first, count = 0.0, 0
        headers = {"user-type": "premium"}
        async with self._client.post(self._stage.url + CHAT, json=body, headers=headers) as response:
            async for line in response.content:
                token = event_text(line)
                if not token:
                    continue
                count += 1
                first = first or time.perf_counter() - started
                self._console.print(token, end="", markup=False, highlight=False, soft_wrap=True, style="magenta")
        took = time.perf_counter() - started
        self._console.print(f"\n{count} tokens, the first after {first:.3f} s, the last after {took:.3f} s")

    def _curl_lines(self) -> None:
        """What the reader may try."""
        self._console.print("\n[bold]Try it[/]")
        for headers, extra in (([], {}), (["user-type: premium"], {}), ([], {"stream": True})):
            self._console.print(
                curl_line(self._stage.url, headers, extra), markup=False, highlight=False, soft_wrap=True
            )
        self._console.print(f"curl {self._stage.admin_url}/status", markup=False, highlight=False, soft_wrap=True)

    async def _lines_of(self, request_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The access log's words on these requests. It is written a moment after the answer."""
        deadline = time.monotonic() + LOG_LIMIT
        while True:
            lines = read_log(self._stage)
            if all(request_id in lines for request_id in request_ids):
                return lines
            if time.monotonic() > deadline:
                raise DemoError("the proxy has not logged what it answered")
            await asyncio.sleep(0.02)


def read_log(stage: Stage) -> dict[str, dict[str, Any]]:
    """All whole lines of the access log by request."""
    try:
        content = stage.access_log.read_bytes()
    except FileNotFoundError:
        return {}
    whole = content[: content.rfind(b"\n") + 1]
    return {line["request_id"]: line for line in map(orjson.loads, whole.splitlines())}


def plain_table(title: str, *columns: str) -> Table:
    """A table without a frame, which fits into 80 columns."""
    table = Table(
        *columns, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.show_edge = table.pad_edge = False
    return table


def row(told: Told, line: dict[str, Any]) -> tuple[Text | str, ...]:
    """A request's row after its title."""
    server = line["server"] or "-"
    where = f"{line['route']} / {line['rule']}" if line["rule"] else line["route"] or "-"
    answer = Text(f"{told.status} {told.engine or told.text}", "" if told.status == 200 else "red")
    target = Text(server, COLOURS.get(server, ""))
    endpoint = str(line["endpoint"]).removeprefix("http://") or "-"
    return where, target, endpoint, answer


def answer_text(answer: dict[str, Any]) -> str:
    """What an answer says, or what an error does."""
    if "error" in answer:
        return str(answer["error"]["message"])
    return str(answer["choices"][0]["message"]["content"])


def event_text(line: bytes) -> str:
    """The token in a line of a stream; empty where there is none."""
    if not line.startswith(b"data: {"):
        return ""
    choices = orjson.loads(line[6:])["choices"]
    return choices[0]["delta"].get("content", "") if choices else ""


def curl_line(url: str, headers: Sequence[str], extra: Mapping[str, object]) -> str:
    """A command that asks the question."""
    body = json.dumps({"model": "qwen", **QUESTION, **extra})
    options = "".join(f" -H '{header}'" for header in headers)
    unbuffered = " -N" if "stream" in extra else ""
    return f"curl{unbuffered} {url}{CHAT} -H 'content-type: application/json'{options} -d '{body}'"
