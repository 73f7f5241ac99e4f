"""`penstock demo`: engines, proxy and a few requests, to be watched."""

import asyncio
import signal
from typing import Annotated

import aiohttp
import typer
import uvloop
from rich.console import Console

from proxy.cli.demo_show import Show
from proxy.cli.demo_stage import DemoError, Stage, said, set_stage


def demo(
    port: Annotated[
        int | None,
        typer.Option(help="Where the proxy listens; 8400, or a free port if that is taken.", show_default=False),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the show.")] = False,
) -> None:
    """Start three simulated engines and the proxy before them, show requests on their way, and stay up until Ctrl-C.

    Needs no GPU and no network.
    """
    console = Console()
    try:
        uvloop.run(run_demo(console, port, once=once))
    except DemoError as error:
        Console(stderr=True).print(f"penstock: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from error


async def run_demo(console: Console, port: int | None, *, once: bool) -> None:
    """The whole demo. SIGINT and SIGTERM end it wherever it stands."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    play = asyncio.create_task(perform(console, port, once=once))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([play, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not play.done():
        play.cancel()
    try:
        await play
    except asyncio.CancelledError:
        console.print("\nstopped")


async def perform(console: Console, port: int | None, *, once: bool) -> None:
    """Set the stage, show, and wait. Raises DemoError where the proxy ends by itself."""
    console.print("Starting three simulated engines and the proxy …")
    async with set_stage(port) as stage:
        async with aiohttp.ClientSession() as client:
            await Show(stage, client, console).run()
        if not once:
            console.print(f"\nEdit {stage.routes_file}: the next request follows it.", soft_wrap=True)
            console.print("Everything stays up until Ctrl-C.")
            await watch(stage)


async def watch(stage: Stage) -> None:
    """Wait for the proxy's end, which should not come."""
    status = await stage.proxy.wait()
    raise DemoError(f"the proxy ended with status {status}\n{said(stage)}")
