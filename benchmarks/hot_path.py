"""What a request costs inside the proxy, without a network: both transports are stand-ins that answer at once.

Run `python benchmarks/hot_path.py`: it prints the processor time of one 850-byte request, of one streamed event, and
the functions that took most of it with `--profile`. System calls, about half of a real request, are not in it, so that
a change of a microsecond can be seen.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import time

import uvloop

from proxy.config.settings_spec import LogSettings, Settings
from proxy.config.spec import (
    BodyCondition,
    Config,
    EndpointSpec,
    Exact,
    HeaderCondition,
    Match,
    ModelServer,
    RateLimit,
    Route,
    Rule,
    Target,
    Timeouts,
)
from proxy.downstream.connection import DownstreamConnection
from proxy.runtime.app import App
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import ConnectionPool

BODY = b'{"messages":[{"role":"user","content":"%b"}],"model":"qwen","user":"u1","stream":false}' % (b"hello wor " * 76)
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8400\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-xxxxxxxxxxxxxxxxxxxx\r\nUser-Agent: OpenAI/Python 3.52\r\nAccept: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 14:11:39 GMT\r\nserver: uvicorn\r\ncontent-length: 600\r\n"
    b"content-type: application/json\r\n\r\n" + b"x" * 600
)
EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"token"}}]}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


class Transport:
    """A transport that hands what is written to a function, and is never full."""

    def __init__(self, on_write):
        self._on_write = on_write

    def write(self, data):
        self._on_write(data)

    def writelines(self, pieces):
        self._on_write(b"".join(pieces))

    def get_extra_info(self, name):
        return ("127.0.0.1", 5) if name == "peername" else None

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        pass

    def close(self):
        pass


class Upstream(UpstreamConnection):
    """A connection whose engine answers in the next turn of the loop."""

    def connection_made(self, transport):
        self._transport = transport
        self._sweeper.add(self)

    def quiet(self):
        return True


async def make_app() -> App:
    """An application with routes, conditions, a split, limits, metrics and an access log."""
    app = App(Settings(log=LogSettings(path="/dev/null")))
    server = ModelServer(
        "s",
        (EndpointSpec("http", "127.0.0.1", 9100),),
        timeouts=Timeouts(5, 60, 60, None),
        rate_limit=RateLimit(1e9, 1_000_000_000),
    )
    premium = Match((HeaderCondition("user-type", Exact("premium")), BodyCondition(("user",), Exact("x"))))
    rules = (Rule("premium", (Target("s"),), matches=(premium,)), Rule("default", (Target("s", 90), Target("s", 10))))
    await app.apply(Config({"s": server}, (Route("chat", rules, models=("qwen",)),), "v1"))
    await app.start()
    return app


def wire(app: App, answers) -> DownstreamConnection:
    """A client and an engine on stand-in transports."""
    loop = asyncio.get_running_loop()
    pool: ConnectionPool = next(iter(app._registry.servers["s"].pools.values()))
    upstream = Upstream(loop, app._sweeper)
    upstream.connection_made(Transport(lambda _: answers(upstream)))
    pool._idle.append(upstream)
    return app._server()


async def unary(app: App, count: int) -> float:
    """Seconds of processor time per request, with 64 clients at once so that a turn of the loop serves many."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    left = count

    def client_of() -> DownstreamConnection:
        def answered(_):
            nonlocal left
            left -= 1
            if left > 0:
                loop.call_soon(client.data_received, REQUEST)
            elif not finished.done():
                finished.set_result(None)

        client = wire(app, lambda upstream: loop.call_soon(upstream.data_received, ANSWER))
        client.connection_made(Transport(answered))
        return client

    clients = [client_of() for _ in range(64)]
    began = time.process_time()
    for client in clients:
        client.data_received(REQUEST)
    await finished
    return (time.process_time() - began) / count


async def streamed(app: App, count: int) -> float:
    """Seconds of processor time per event."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()

    def feed(upstream, left):
        upstream.data_received(CHUNK)
        if left:
            loop.call_soon(feed, upstream, left - 1)
        else:
            upstream.data_received(b"0\r\n\r\n")
            finished.set_result(None)

    def answers(upstream):
        loop.call_soon(upstream.data_received, STREAM_HEAD)
        loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(feed, upstream, count)))

    client = wire(app, answers)
    client.connection_made(Transport(lambda _: None))
    began = time.process_time()
    client.data_received(REQUEST)
    await finished
    return (time.process_time() - began) / count


async def main(count: int, rounds: int, profile: bool, threshold: int = 0) -> None:
    app = await make_app()
    gc.freeze()
    if threshold:
        gc.set_threshold(threshold, 20, 50)
    if profile:
        profiler = cProfile.Profile()
        profiler.enable()
        await unary(app, count)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
    else:
        print(f"request: {min([await unary(app, count) for _ in range(rounds)]) * 1e6:.2f} us")
        print(f"event:   {min([await streamed(app, count) for _ in range(rounds)]) * 1e6:.2f} us")
    await app.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--gc", type=int, default=0, help="the collector's first threshold")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.count, arguments.rounds, arguments.profile, arguments.gc))
