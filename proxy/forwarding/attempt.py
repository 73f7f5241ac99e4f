"""One try at one endpoint, up to the head of its answer."""

from proxy.downstream.connection import DownstreamConnection
from proxy.errors import UpstreamError, UpstreamFailure
from proxy.forwarding.heads import interim_lines
from proxy.forwarding.splice import Piece
from proxy.routing.table import BoundTarget
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import ConnectionPool
from proxy.wire.response_gate import ResponseHead


async def attempt(
    pool: ConnectionPool,
    target: BoundTarget,
    method: bytes,
    message: list[Piece],
    *,
    total_deadline: float,
    repeatable: bool,
    interim_to: DownstreamConnection | None,
) -> tuple[UpstreamConnection, ResponseHead]:
    """Send the message and wait for the head of its answer; UpstreamError if there is none.

    A kept-alive connection that ends without a byte of an answer was most likely closed by the engine while we wrote:
    a `repeatable` request goes out once more, on a fresh connection, and that does not count as a retry.
    """
    connection = pool.take()
    if connection is not None:
        try:
            return connection, await _ask(connection, target, method, message, total_deadline, interim_to)
        except UpstreamError as error:
            if error.failure is not UpstreamFailure.RESET or connection.got_bytes or not repeatable:
                raise
    connection = await pool.open(target.timeouts.connect)
    return connection, await _ask(connection, target, method, message, total_deadline, interim_to)


async def _ask(
    connection: UpstreamConnection,
    target: BoundTarget,
    method: bytes,
    message: list[Piece],
    total_deadline: float,
    interim_to: DownstreamConnection | None,
) -> ResponseHead:
    """The head of the answer. Whatever goes wrong, also a client that leaves, ends the connection."""
    on_interim = None if interim_to is None else (lambda head: interim_to.write(interim_lines(head)))
    try:
        return await connection.send(
            method,
            message,
            first_byte=target.timeouts.first_byte,
            idle=target.timeouts.idle,
            total_deadline=total_deadline,
            on_interim=on_interim,
        )
    except BaseException:
        connection.close()
        raise
