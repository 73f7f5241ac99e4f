"""A user's load test: chats, whole and streamed, with the time to first token as a row of its own.

Run `locust -f benchmarks/locustfile.py --host http://127.0.0.1:8400 --model NAME` and see README.md beside this file.
"""

import itertools
import random
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import orjson
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

PATH = "/v1/chat/completions"
WORDS = ("the", "water", "of", "the", "mill", "runs", "on", "through", "the", "night", "and", "grinds", "the", "corn")


class StreamError(Exception):
    """A stream that tells of an error, or ends without having said that it is done."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """Let a run say what it asks for; the web page shows the same fields."""
    parser.add_argument("--model", env_var="CHAT_MODEL", default="qwen", help="the model to ask for")
    parser.add_argument("--prompt-words", env_var="CHAT_PROMPT_WORDS", type=int, default=100, help="length of a prompt")
    parser.add_argument("--max-tokens", env_var="CHAT_MAX_TOKENS", type=int, default=64, help="length of an answer")
    parser.add_argument("--streamed", env_var="CHAT_STREAMED", type=float, default=0.5, help="share of streams, 0 to 1")
    parser.add_argument("--pause", env_var="CHAT_PAUSE", type=float, default=0.0, help="seconds between two chats")
    parser.add_argument("--key", env_var="CHAT_KEY", default="", is_secret=True, help="sent as a bearer token")


class ChatUser(FastHttpUser):
    """Somebody who asks, reads the answer, and asks again."""

    network_timeout = 300.0
    # A failed request is a finding: trying again would hide it.
    max_retries = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._serial = itertools.count(random.randrange(1_000_000))

    @property
    def options(self) -> Namespace:
        """What this run asks for."""
        options: Namespace = self.environment.parsed_options
        return options

    def wait_time(self) -> float:
        """Seconds until this user's next chat."""
        return float(self.options.pause)

    @task
    def chat(self) -> None:
        """One chat, streamed or whole, as the share of streams has it."""
        if random.random() < self.options.streamed:
            self.streamed_chat()
        else:
            self.whole_chat()

    def whole_chat(self) -> None:
        """Ask and wait for the whole answer."""
        with self.client.post(
            PATH, name="chat", data=self.body(stream=False), headers=self.headers(), catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(what_came(response.status_code))

    def streamed_chat(self) -> None:
        """Ask for a stream and read it to its end: row POST has the whole time, row TTFT that to the first token."""
        begin = time.perf_counter()
        with self.client.post(
            PATH,
            name="chat, streamed",
            data=self.body(stream=True),
            headers=self.headers(),
            stream=True,
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(what_came(response.status_code))
                return
            try:
                read = self.read_stream(data_lines(response.stream), begin)
                response.request_meta["response_length"] = read
            except StreamError as error:
                response.failure(error)
            response.request_meta["response_time"] = (time.perf_counter() - begin) * 1000

    def read_stream(self, lines: Iterator[bytes], begin: float) -> int:
        """Report the first token when it comes; the bytes read. Raises StreamError if [DONE] never comes."""
        length = 0
        waiting = True
        for line in lines:
            length += len(line)
            if line == b"[DONE]":
                return length
            if line.startswith(b'{"error"'):
                raise StreamError(f"error event: {line[:200].decode(errors='replace')}")
            if waiting and has_token(line):
                waiting = False
                self.report_first_token(time.perf_counter() - begin, length)
        raise StreamError("ended without [DONE]")

    def report_first_token(self, seconds: float, length: int) -> None:
        """Count it in a row of its own."""
        self.environment.events.request.fire(
            request_type="TTFT",
            name="chat, streamed",
            response_time=seconds * 1000,
            response_length=length,
            exception=None,
            context={},
        )

    def headers(self) -> dict[str, str]:
        """Those of a chat request."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.options.key:
            headers["Authorization"] = f"Bearer {self.options.key}"
        return headers

    def body(self, *, stream: bool) -> str:
        """A chat request whose prompt begins differently each time, so that no engine knows it already."""
        words = itertools.islice(itertools.cycle(WORDS), self.options.prompt_words)
        prompt = f"{next(self._serial)}: {' '.join(words)}"
        return orjson.dumps(
            {
                "model": self.options.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": self.options.max_tokens,
                "stream": stream,
            }
        ).decode()


def what_came(status: int) -> str:
    """Instead of an answer."""
    return f"status {status}" if status else "no answer"


def data_lines(stream: Any) -> Iterator[bytes]:
    """The data of each event, as it comes. Raises StreamError where the connection ends before the stream."""
    try:
        while line := stream.readline(b"\n"):
            if line.startswith(b"data:"):
                yield bytes(line[5:].strip())
    except FAILURE_EXCEPTIONS as error:
        raise StreamError(f"cut short: {error!r}") from error


def has_token(data: bytes) -> bool:
    """The event carries text; an engine's first one often carries only a role."""
    choices = orjson.loads(data).get("choices") or [{}]
    delta = choices[0].get("delta") or {}
    return bool(
        delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or delta.get("tool_calls")
    )
