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
    a `repeatable` request goes out once more, on a fresh connection, and that does not count as a retry. Whatever goes
    wrong, also a client that leaves, ends the connection.
    """
    timeouts = target.timeouts
    on_interim = None if interim_to is None else (lambda head: interim_to.write(interim_lines(head)))
    connection = pool.take()
    pooled = connection is not None
    while True:
        if connection is None:
            connection = await pool.open(timeouts.connect)
        try:
            head = await connection.send(
                method,
                message,
                first_byte=timeouts.first_byte,
                idle=timeouts.idle,
                total_deadline=total_deadline,
                on_interim=on_interim,
            )
        except UpstreamError as error:
            connection.close()
            if not pooled or not repeatable or error.failure is not UpstreamFailure.RESET or connection.got_bytes:
                raise
            connection, pooled = None, False
        except BaseException:
            connection.close()
            raise
        else:
            return connection, head
