"""What is paid to know a request's and an answer's tokens, in nanoseconds.

Run `python benchmarks/usage.py`. Each figure is the best of a hundred short rounds, the loop's own cost
taken off: on a busy machine a few of them run undisturbed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from proxy.forwarding.include_usage import with_usage
from proxy.forwarding.meter import AnswerMeter, StreamMeter
from proxy.forwarding.prompt import estimate
from proxy.forwarding.usage import Usage

ROUNDS = 100
CALLS = 1_000
CHAT = "/v1/chat/completions"
HEAD = (
    '"id":"chatcmpl-9f8d7c6b5a4e4f3d9c2b1a0f","object":"chat.completion","created":1760000000,"model":"Qwen/Qwen2.5-7B"'
)
USAGE = '"usage":{"prompt_tokens":128,"total_tokens":192,"completion_tokens":64,"prompt_tokens_details":null}'


def request(**members: object) -> bytes:
    """A chat of three messages in some 850 bytes."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant. " * 4},
        {"role": "user", "content": "Tell me of the sea and its shores. " * 6},
        {"role": "assistant", "content": "x" * 250},
    ]
    sampling = {"max_tokens": 256, "temperature": 0.7, "top_p": 0.95, "stop": ["\n\n"], "user": "abc"}
    return json.dumps({"model": "Qwen/Qwen2.5-7B-Instruct", "messages": messages, **sampling, **members}).encode()


def event(rest: str) -> bytes:
    """One event of a stream."""
    return f"data: {{{HEAD},{rest}}}\n\n".encode()


def measure(call: Callable[[], object]) -> float:
    """Nanoseconds of one call."""
    return min(one_round(call) for _ in range(ROUNDS)) - min(one_round(None) for _ in range(ROUNDS))


def one_round(call: Callable[[], object] | None) -> float:
    """Nanoseconds of one turn of the loop."""
    turns = range(CALLS)
    begun = time.perf_counter_ns()
    if call is None:
        for _ in turns:
            pass
    else:
        for _ in turns:
            call()
    return (time.perf_counter_ns() - begun) / CALLS


def requests() -> list[tuple[str, Callable[[], object]]]:
    """What is asked of a request."""
    whole, stream = request(), request(stream=True)
    asking = request(stream=True, stream_options={"include_usage": True})
    other = request(stream=True, stream_options={"include_usage": False, "continuous_usage_stats": False})
    return [
        ("estimate: three messages", lambda: estimate(whole, CHAT, b"application/json")),
        ("include_usage: not a stream", lambda: with_usage(whole, CHAT)),
        ("include_usage: put in front", lambda: with_usage(stream, CHAT)),
        ("include_usage: asked already", lambda: with_usage(asking, CHAT)),
        ("include_usage: made true where it stands", lambda: with_usage(other, CHAT)),
    ]


def reads(meter: StreamMeter, kind: str) -> list[tuple[str, Callable[[], object]]]:
    """What is paid for each read of a stream."""
    plain = event('"choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]')
    text = event('"choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":null}]')
    null = event('"choices":[{"index":0,"delta":{"content":" the"},"finish_reason":null}],"usage":null')
    told, many, first, second = event('"choices":[],' + USAGE), plain * 8, plain[:100], plain[100:]
    return [
        (f"stream, {kind}: an event", lambda: meter.feed(plain)),
        (f"stream, {kind}: an event with usage null", lambda: meter.feed(null)),
        (f"stream, {kind}: an event of a completion", lambda: meter.feed(text)),
        (f"stream, {kind}: eight events", lambda: meter.feed(many)),
        (f"stream, {kind}: an event in two reads", lambda: (meter.feed(first), meter.feed(second))),
        (f"stream, {kind}: the usage, once a stream", lambda: meter.feed(told)),
    ]


def main() -> None:
    """Print a line for each part."""
    clock = time.perf_counter
    choices = (
        '"choices":[{"index":0,"message":{"role":"assistant","content":"' + "x" * 280 + '"},"finish_reason":"stop"}]'
    )
    answer = f"{{{HEAD},{choices},{USAGE}}}".encode()

    def whole() -> Usage:
        meter = AnswerMeter(clock)
        meter.feed(answer)
        return meter.usage()

    parts = requests()
    parts += reads(StreamMeter(clock), "shown")
    parts += reads(StreamMeter(clock, hide=True), "hidden")
    parts += [("stream: a meter", lambda: StreamMeter(clock)), (f"whole answer, {len(answer)} bytes", whole)]
    for name, call in parts:
        print(f"{name:45} {measure(call):7.0f} ns")


if __name__ == "__main__":
    main()
