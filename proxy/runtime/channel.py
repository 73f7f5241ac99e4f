"""What the supervisor and a worker say to each other, in length-prefixed frames over a socket pair."""

import asyncio
import socket
import struct
from typing import Generic, TypeVar

import msgspec

from proxy.errors import PenstockError
from proxy.runtime.canary_plan import CanaryWeights
from proxy.runtime.service_plan import ServiceFailure, ServicePort
from proxy.telemetry.report import WorkerReport

LENGTH = struct.Struct("!I")
READ_AHEAD = 1024 * 1024  # bytes that wait in the reader before the sender is held back

# --- from the supervisor ---------------------------------------------------------------------------------------------


class ListenerGrant(msgspec.Struct, frozen=True):
    """An inherited socket by its file descriptor, and the listener that it serves by its place in the settings."""

    descriptor: int
    listener: int


class Boot(msgspec.Struct, frozen=True, tag=True):
    """The first frame: which worker this is, its pickled `Settings`, its sockets, and the descriptor of the memory that
    all workers share."""

    worker: int
    settings: bytes
    listeners: tuple[ListenerGrant, ...]
    table: int


class ConfigBegin(msgspec.Struct, frozen=True, tag=True):
    """A configuration follows, in pieces."""

    version: str


class ConfigPiece(msgspec.Struct, frozen=True, tag=True):
    """A pickled list of `Part`s, small enough to be read between two requests."""

    data: bytes


class ConfigCommit(msgspec.Struct, frozen=True, tag=True):
    """All pieces are there: apply them, with these weights in place of their own. Answered by `Applied` or `Failed`."""

    weights: tuple[CanaryWeights, ...] = ()


class ReportRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by a `Report` with the same number."""

    number: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Take no new requests after `notice` seconds, end the old ones within `timeout` seconds. Answered by `Drained`."""

    notice: float
    timeout: float


class ReloadSecrets(msgspec.Struct, frozen=True, tag=True):
    """Read certificates, keys and credentials again. Answered by `SecretsReloaded`."""


class ReopenLogs(msgspec.Struct, frozen=True, tag=True):
    """Open log files again: they have been moved away."""


class SetServices(msgspec.Struct, frozen=True, tag=True):
    """Have these ports of model servers open and no others. Answered by `ServicesSet` with the same number."""

    number: int
    ports: tuple[ServicePort, ...]


class MetricsText(msgspec.Struct, frozen=True, tag=True):
    """The answer to the `MetricsWanted` of this number: the metrics of the whole proxy."""

    number: int
    body: bytes


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Exit at once."""


Command = (
    Boot
    | ConfigBegin
    | ConfigPiece
    | ConfigCommit
    | ReportRequest
    | Drain
    | ReloadSecrets
    | ReopenLogs
    | SetServices
    | MetricsText
    | Stop
)

# --- from a worker ---------------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Booted; waits for its first configuration."""


class Applied(msgspec.Struct, frozen=True, tag=True):
    """The configuration of this version is in force, and the listeners are open."""

    version: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """What was asked could not be done: the boot where `version` is empty, else the configuration of this version."""

    version: str
    message: str


class Report(msgspec.Struct, frozen=True, tag=True):
    """The answer to the `ReportRequest` of this number."""

    number: int
    report: WorkerReport


class SecretsReloaded(msgspec.Struct, frozen=True, tag=True):
    """What failed while certificates and keys were read again; nothing if it is empty."""

    failures: tuple[str, ...]


class ServicesSet(msgspec.Struct, frozen=True, tag=True):
    """The answer to the `SetServices` of this number: what failed, nothing if it is empty."""

    number: int
    failures: tuple[ServiceFailure, ...]


class MetricsWanted(msgspec.Struct, frozen=True, tag=True):
    """A client asks a worker for metrics. Answered by `MetricsText` with the same number."""

    number: int


class Drained(msgspec.Struct, frozen=True, tag=True):
    """Nothing is in flight any more, or the time is over."""


Notice = Ready | Applied | Failed | Report | SecretsReloaded | ServicesSet | MetricsWanted | Drained

# --- the channel -----------------------------------------------------------------------------------------------------

Incoming = TypeVar("Incoming")


class ChannelClosedError(PenstockError):
    """The process at the other end is gone."""


class Channel(Generic[Incoming]):
    """One end of the socket pair. Frames sent are whole and in order; whatever arrives is of the other end's kind."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: "msgspec.msgpack.Decoder[Incoming]",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()

    async def send(self, message: Command | Notice) -> None:
        """Send one frame, and wait while the other end is slow. Raises ChannelClosedError."""
        data = self._encoder.encode(message)
        try:
            self._writer.write(LENGTH.pack(len(data)) + data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # uvloop: RuntimeError on a closed transport
            raise ChannelClosedError(str(error)) from error

    async def receive(self) -> Incoming | None:
        """Wait for one message; None when the other end is gone, also in the middle of a frame."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return None
        return self._decoder.decode(data)

    async def close(self) -> None:
        """Close this end; the other one receives None."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


async def open_for_supervisor(end: socket.socket) -> Channel[Notice]:
    """The supervisor's end: notices arrive."""
    reader, writer = await asyncio.open_connection(sock=end, limit=READ_AHEAD)
    decoder: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)
    return Channel(reader, writer, decoder)


async def open_for_worker(end: socket.socket) -> Channel[Command]:
    """The worker's end: commands arrive."""
    reader, writer = await asyncio.open_connection(sock=end, limit=READ_AHEAD)
    decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
    return Channel(reader, writer, decoder)
