"""How a worker's process begins: signals, the first frame, the sockets, then its life."""

import gc
import logging
import pickle
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvloop

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Settings
from proxy.errors import PenstockError
from proxy.runtime.channel import Boot, Channel, ChannelClosedError, Command, Failed, open_for_worker
from proxy.runtime.data_plane import Application, DataPlane, Grant, settle_garbage
from proxy.telemetry.logs import set_up_logging

AppFactory = Callable[[Settings, int, SharedTable], Application]

LOG = logging.getLogger("penstock.worker")


def run_worker(descriptor: int, make_app: AppFactory) -> int:
    """Live one worker's life at this end of the channel. Returns the exit status: 0, or 1 where it could not begin."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group; the supervisor says what they mean
    end = socket.socket(fileno=descriptor)
    end.set_inheritable(False)
    return uvloop.run(boot(end, make_app))


async def boot(end: socket.socket, make_app: AppFactory) -> int:
    """Read the first frame, build the application, and run until the end."""
    channel = await open_for_worker(end)
    try:
        command = await channel.receive()
        if not isinstance(command, Boot):
            return 1
        data_plane = await prepare(channel, command, make_app)
        if data_plane is None:
            return 1
        del command
        gc.collect()
        settle_garbage()
        await data_plane.run()
        return 0
    finally:
        await channel.close()


async def prepare(channel: Channel[Command], command: Boot, make_app: AppFactory) -> DataPlane | None:
    """Build everything that needs no configuration; where that fails the supervisor is told why."""
    try:
        settings: Settings = pickle.loads(command.settings)  # noqa: S301 - from the supervisor, over its socket pair
        set_up_logging(settings.log)
        sockets = take_sockets(command, settings)
        table = SharedTable.attach(command.table, command.worker)
        return DataPlane(channel, make_app(settings, command.worker, table), settings, sockets)
    except PenstockError as error:  # it says all that an operator needs
        await refuse(channel, str(error))
    except Exception as error:  # the outermost edge: the reason must reach the operator
        LOG.exception("worker %d could not begin", command.worker)
        await refuse(channel, f"{type(error).__name__}: {error}")
    return None


async def refuse(channel: Channel[Command], reason: str) -> None:
    """Tell the supervisor why there will be no worker."""
    with suppress(ChannelClosedError):
        await channel.send(Failed("", reason))


def take_sockets(command: Boot, settings: Settings) -> list[Grant]:
    """The inherited sockets with their listeners."""
    grants: list[Grant] = []
    for grant in command.listeners:
        bound = socket.socket(fileno=grant.descriptor)
        bound.set_inheritable(False)
        bound.setblocking(False)
        grants.append((bound, settings.listeners[grant.listener]))
    return grants
