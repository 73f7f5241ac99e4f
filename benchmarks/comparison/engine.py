"""The engine behind every proxy: a stub that costs next to nothing, for plain answers or for streams, on two ports."""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison.processes import ProcessTree, free_port

MODEL = "bench-model"
ANSWER_BYTES = 600
BODY_BYTES = 850

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/engine.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_timeout 3600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/engine-bodies;
  default_type application/json;
  server {{
    listen 127.0.0.1:{first} backlog=4096;
    listen 127.0.0.1:{second} backlog=4096;
    location / {{ return 200 '{{"status":"ok","object":"list","data":[{{"id":"{model}","object":"model"}}]}}'; }}
    location = /v1/chat/completions {{ return 200 '{answer}'; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running stub, and the two ports of the loopback address on which it answers."""

    process: ProcessTree
    ports: tuple[int, int]


def completion() -> str:
    """A chat completion of 600 bytes."""
    head = (
        f'{{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1760000000,"model":"{MODEL}",'
        '"choices":[{"index":0,"message":{"role":"assistant","content":"'
    )
    tail = (
        '","refusal":null,"tool_calls":[]},"logprobs":null,"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":142,"completion_tokens":48,"total_tokens":190}}'
    )
    return head + words(ANSWER_BYTES - len(head) - len(tail)) + tail


def words(length: int) -> str:
    """Text of so many characters, none of which JSON escapes."""
    return ("The water of the mill runs on through the night. " * (length // 48 + 1))[:length]


def chat_body(size: int = BODY_BYTES, model: str = MODEL) -> bytes:
    """A chat request of `size` bytes, on one line."""
    instruction = '{"role":"system","content":"Answer in one line."}'
    head = f'{{"model":"{model}","messages":[{instruction},{{"role":"user","content":"'
    tail = '"}],"temperature":0.7,"top_p":0.95,"max_tokens":256,"stream":false}'
    return (head + words(size - len(head) - len(tail)) + tail).encode()


def stream_request(events: int, interval: float) -> bytes:
    """A whole HTTP request for a stream of so many events, `interval` seconds apart; 0 for all at once."""
    order = f"stream {events} events every {round(interval * 1e6)} us. "
    head = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":"{order}'
    tail = '"}],"temperature":0.7,"max_tokens":256,"stream":true}'
    body = (head + words(BODY_BYTES - len(head) - len(tail)) + tail).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\naccept: */*\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )


@contextlib.contextmanager
def plain_engine(folder: Path, cores: Sequence[int]) -> Iterator[Engine]:
    """nginx that answers every request from its configuration: no proxy can be as cheap."""
    ports = free_port(), free_port()
    configuration = folder / "engine.conf"
    configuration.write_text(
        _NGINX.format(folder=folder, first=ports[0], second=ports[1], model=MODEL, answer=completion())
    )
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [nginx, "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    with _started(command, ports, folder / "engine.log", cores) as engine:
        yield engine


@contextlib.contextmanager
def stream_engine(folder: Path, cores: Sequence[int]) -> Iterator[Engine]:
    """The stub that sends events at a set pace."""
    ports = free_port(), free_port()
    command = [sys.executable, str(Path(__file__).with_name("stream_stub.py")), *map(str, ports)]
    with _started(command, ports, folder / "stream-engine.log", cores) as engine:
        yield engine


@contextlib.contextmanager
def _started(command: Sequence[str], ports: tuple[int, int], output: Path, cores: Sequence[int]) -> Iterator[Engine]:
    with ProcessTree(command, cores, output) as process:
        for port in ports:
            process.wait_until_it_answers(port, chat_body(), timeout=10)
        yield Engine(process, ports)
