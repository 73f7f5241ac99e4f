"""`penstock simulate`: one simulated engine, until Ctrl-C."""

import asyncio
import re
import signal
import ssl
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from proxy.simulator.options import EngineOptions, Role, Software
from proxy.simulator.running import serve_engine

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "us": 0.000_001, "m": 60.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|)")


def seconds(text: str | float) -> float:
    """A duration such as 50ms, 1.5s or 2 (seconds); a default comes as the number that it is."""
    found = DURATION.fullmatch(str(text).strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 50ms or 1.5s")
    return float(found[1]) * UNITS[found[2]]


Duration = Annotated[float, typer.Option(parser=seconds, metavar="DURATION")]


def simulate(  # noqa: PLR0913, PLR0917 (each is an option of the command)
    model: Annotated[str, typer.Option(help="The model's name.")],
    engine: Annotated[Software, typer.Option(help="The engine to simulate.")] = Software.VLLM,
    port: Annotated[int, typer.Option(help="Where to listen; 0 is a free port.")] = 9001,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    name: Annotated[
        str, typer.Option(help="What the engine calls itself in x-sim-engine; the model's name if absent.")
    ] = "",
    lora: Annotated[list[str] | None, typer.Option(help="An adapter's name; may be repeated.")] = None,
    time_to_first_token: Duration = 0.05,
    time_per_token: Duration = 0.01,
    prefill_per_token: Duration = 0.0,
    tokens: Annotated[int, typer.Option(min=1, help="How long an answer is unless its request sets a limit.")] = 32,
    role: Annotated[Role | None, typer.Option(help="Do one half of the work and check its fields.")] = None,
    bootstrap_port: Annotated[int | None, typer.Option(help="SGLang prefill: where decode engines come.")] = None,
    transfer_timeout: Duration = 30.0,
    prefix_cache_blocks: Annotated[int, typer.Option(min=0, help="Blocks of 16 tokens held; 0: none.")] = 4096,
    max_running: Annotated[int, typer.Option(min=1, help="Requests at once; others wait.")] = 256,
    max_model_len: Annotated[int, typer.Option(min=2, help="The longest prompt, in tokens.")] = 131_072,
    api_key: Annotated[str | None, typer.Option(help="Refuse /v1 requests without this key.")] = None,
    keepalive: Duration = 5.0,
    cert: Annotated[Path | None, typer.Option(exists=True, help="Serve HTTPS with this certificate.")] = None,
    key: Annotated[Path | None, typer.Option(exists=True, help="The certificate's key.")] = None,
) -> None:
    """Run a simulated engine until Ctrl-C: no model, but the answers, streams and metrics.

    \b
    Every answer names the engine in `x-sim-engine`.
    `x-sim-echo: 1` on a request is answered with what was received, as JSON.
    `GET /sim/requests` tells the last requests (headers, body, when they began
    and ended, whether their client left) and the counters received, executed,
    completed, aborted, refused, faulted, in_flight, probes. DELETE begins anew.

    \b
    `x-sim-fault: FAULT` on a request makes that request suffer FAULT.
    `POST /sim/faults {"fault": FAULT, "count": N, "path": "/health"}` makes
    the next N requests suffer it. No count: all until cleared; 0: cleared.
    No path: all but probes (health, metrics, loads). DELETE clears all.

    \b
    FAULT is one of:
      status=503      this status; status=503;retry-after=2 says when to retry
      refuse          close the connection before any byte
      reset           reset the connection (RST) before any byte
      garbage         send bytes that are not HTTP, then close
      stall           send nothing; stall=SECONDS goes on after that time
      slow=SECONDS    wait before each event, or before an unstreamed answer
      stall-after=N   stop after N events; with ;seconds=S, go on then
      reset-after=N   reset the connection after N events
      close-after=N   close it after N events, without the end of the body
    For an answer that is not streamed, N counts the bytes of its body.
    """
    options = EngineOptions(
        model=model,
        software=engine,
        name=name,
        host=host,
        port=port,
        adapters=tuple(lora or ()),
        time_to_first_token=time_to_first_token,
        time_per_token=time_per_token,
        prefill_per_token=prefill_per_token,
        tokens=tokens,
        role=role,
        bootstrap_port=bootstrap_port,
        transfer_timeout=transfer_timeout,
        prefix_cache_blocks=prefix_cache_blocks,
        max_running=max_running,
        max_model_len=max_model_len,
        api_key=api_key,
        keepalive=keepalive,
    )
    uvloop.run(run_engine(options, server_context(cert, key)))


def server_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The TLS context of the engine, None for plain HTTP."""
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


async def run_engine(options: EngineOptions, tls: ssl.SSLContext | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serve_engine(options, tls=tls) as running:
            what = f"{options.software.value} {options.model}"
            typer.echo(f"simulated engine {options.label} ({what}) at {running.url}, faults: penstock simulate --help")
            await stop.wait()
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
