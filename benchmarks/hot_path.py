"""What a request costs inside the proxy, without a network: both transports are stand-ins that answer at once.

Run `python benchmarks/hot_path.py`: it prints the processor time of one 850-byte request, of one streamed event, and
the functions that took most of it with `--profile`. System calls, about half of a real request, are not in it, so that
a change of a microsecond can be seen. `--policies key,requests,tokens` has an API key asked for, and limits kept (or
some of them); `--against` runs each round beside one of an application with these other policies ("" is none), and
tells the ratio of the shortest rounds.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import uvloop

from proxy.config.match_spec import BodyCondition, Exact, HeaderCondition, Match
from proxy.config.settings_spec import LogSettings, Settings
from proxy.config.spec import Config, EndpointSpec, ModelServer, RateLimit, Route, Rule, Target, Timeouts
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
USAGE = b'"usage":{"prompt_tokens":152,"total_tokens":192,"completion_tokens":40,"prompt_tokens_details":null}}'
CHOICE = b'"choices":[{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],'
COMPLETION = b'{"id":"chatcmpl-1","object":"chat.completion","model":"qwen",' + CHOICE % (b"word " * 70) + USAGE
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 14:11:39 GMT\r\nserver: uvicorn\r\ncontent-length: %d\r\n"
    b"content-type: application/json\r\n\r\n%b" % (len(COMPLETION), COMPLETION)
)
POLICIES = ("key", "requests", "tokens", "rate")
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


async def make_app(policies: frozenset[str] = frozenset({"rate"})) -> App:
    """An application with routes, conditions, a split, metrics and an access log, and with these policies."""
    app = App(Settings(log=LogSettings(path="/dev/null")))
    server = ModelServer(
        "s",
        (EndpointSpec("http", "127.0.0.1", 9100),),
        timeouts=Timeouts(5, 60, 60, None),
        rate_limit=RateLimit(1e9, 1_000_000_000) if "rate" in policies else None,
    )
    premium = Match((HeaderCondition("user-type", Exact("premium")), BodyCondition(("user",), Exact("x"))))
    rules = (Rule("premium", (Target("s"),), matches=(premium,)), Rule("default", (Target("s", 90), Target("s", 10))))
    with tempfile.TemporaryDirectory() as folder:
        route = Route("chat", rules, models=("qwen",), **access_of(policies, Path(folder)))
        await app.apply(Config({"s": server}, (route,), "v1"))
    await app.start()
    return app


def access_of(policies: frozenset[str], folder: Path) -> dict[str, object]:
    """What a route asks of its callers under these policies."""
    if not policies - {"rate"}:
        return {}
    # Versions before them are compared as well.
    from proxy.config.access_spec import Auth, Counted, Limit  # noqa: PLC0415

    asked: dict[str, object] = {}
    if "key" in policies:
        keys = folder / "keys.yaml"
        digest = sha256(b"sk-xxxxxxxxxxxxxxxxxxxx").hexdigest()
        keys.write_text(f"version: 1\nkeys: [{{name: bench, sha256: {digest}}}]\n")
        asked["auth"] = Auth(keys=str(keys))
    limits = {"requests": Limit(Counted.REQUESTS, 1e9), "tokens": Limit(Counted.TOKENS, 1e12, "minute")}
    asked["limits"] = tuple(limit for name, limit in limits.items() if name in policies)
    return asked


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


async def main(count: int, rounds: int, policies: str, against: str | None, profile: bool) -> None:
    apps = [await make_app(parsed(said)) for said in (policies, against) if said is not None]
    gc.freeze()
    if profile:
        profiler = cProfile.Profile()
        profiler.enable()
        await unary(apps[0], count)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
    else:
        for name, measure in (("request", unary), ("event", streamed)):
            times = [[await measure(app, count) for app in apps] for _ in range(rounds)]
            best = [min(column) * 1e6 for column in zip(*times, strict=True)]
            ratio = f", {best[1]:.2f} us against it: {best[0] / best[1]:.3f}" if against is not None else ""
            print(f"{name + ':':8} {best[0]:.2f} us{ratio}")
    for app in apps:
        await app.close()


def parsed(policies: str) -> frozenset[str]:
    """Policies by name; says which there are."""
    named = frozenset(filter(None, policies.split(",")))
    if named - set(POLICIES):
        raise SystemExit(f"policies are {', '.join(POLICIES)}")
    return named


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--policies", default="rate", help="of key, requests, tokens, rate (the server's)")
    parser.add_argument("--against", help="other policies to compare with")
    parser.add_argument("--gc", type=int, default=0, help="the collector's first threshold")
    arguments = parser.parse_args()
    if arguments.gc:
        gc.set_threshold(arguments.gc, 20, 50)
    uvloop.run(main(arguments.count, arguments.rounds, arguments.policies, arguments.against, arguments.profile))
