"""The listening sockets: bound by the supervisor, one for each worker and listener, and inherited by the workers."""

import os
import socket
from collections.abc import Sequence
from dataclasses import replace

from proxy.config.settings_spec import Listener
from proxy.errors import PenstockError


class BindError(PenstockError):
    """An address that cannot be listened on."""


def bind_all(listeners: Sequence[Listener], workers: int) -> tuple[tuple[Listener, ...], list[list[socket.socket]]]:
    """Bind every listener once for each worker; the kernel spreads connections over a port's sockets (SO_REUSEPORT).

    They listen only when a worker begins to accept: until the first configuration is in force clients are refused.
    Returns the listeners, a port 0 replaced by the one that was given, and each worker's sockets. Raises BindError.
    """
    bound: list[Listener] = []
    columns: list[list[socket.socket]] = []
    try:
        for listener in listeners:
            refuse_shared(listener)
            column: list[socket.socket] = []
            columns.append(column)
            for _ in range(workers):
                column.append(bind(listener))
                listener = replace(listener, port=column[0].getsockname()[1])  # noqa: PLW2901
            bound.append(listener)
    except BindError:
        close_all(columns)
        raise
    return tuple(bound), [list(row) for row in zip(*columns, strict=True)]


def close_all(rows: Sequence[Sequence[socket.socket]]) -> None:
    """Close them here; the workers that have inherited them still hold them."""
    for row in rows:
        for bound in row:
            bound.close()


def bind(listener: Listener, *, shared: bool = True) -> socket.socket:
    """A bound socket. Raises BindError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(f"cannot listen on {spell(listener)}: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise BindError(f"cannot listen on {spell(listener)}: {os.strerror(error.errno or 0)}") from error
    bound.setblocking(False)
    return bound


def refuse_shared(listener: Listener) -> None:
    """Raise BindError where somebody listens there already: SO_REUSEPORT would share the port with another Penstock."""
    if listener.port:
        bind(listener, shared=False).close()


def spell(listener: Listener) -> str:
    """An address as it is written in a URL."""
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{host}:{listener.port}"
