"""Lines on their way to a file or a pipe, in few system calls and without ever holding up a request."""

import logging
import os
import select
import stat
from collections import deque

from proxy.errors import PenstockError

LARGEST_PIECE = 64 * 1024  # bytes
STANDARD_OUTPUT = 1
LINE_FEED = 0x0A
# O_NONBLOCK matters where the path is a named pipe: opening one without a reader fails instead of waiting for it.
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
MOST_WAITING = 65_536  # lines; 3 s of 20,000 requests a second

logger = logging.getLogger("penstock.access")


class LineWriter:
    """Owns a file descriptor and the lines that wait for it. `path` is a file, or "-" for standard output.

    A piece ends where a line ends, so that workers that share a file or a pipe do not cut each other's lines. A pipe
    that nobody reads keeps lines waiting, and drops new ones above a bound, but never blocks. The state is the lines,
    the rest of a piece that was written in part, and whether that part ended within a line (`_cut`).
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.dropped = 0
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._cut = False
        self._sink = Sink.open(path)

    @property
    def waiting(self) -> int:
        """Lines not yet written, a half-written one among them."""
        return len(self._lines) + bool(self._rest)

    def append(self, line: bytes) -> None:
        """Add a line, which ends in a line feed. Hot path."""
        if len(self._lines) >= MOST_WAITING:
            self.dropped += 1
            return
        self._lines.append(line)

    def flush(self) -> None:
        """Write what waits, or count it as dropped where it cannot be written; never raises."""
        while piece := self._rest or self._take():
            self._rest = piece
            try:
                written = self._sink.write(piece)
            except BlockingIOError:
                return
            except OSError as error:
                self._drop(error)
                return
            self._rest = piece[written:]
            self._cut = piece[written - 1] != LINE_FEED if written else self._cut

    def _take(self) -> bytes:
        """Whole lines, as many as go into one piece; a longer line goes alone."""
        lines = self._lines
        largest = self._sink.largest_piece
        taken: list[bytes] = []
        size = 0
        while lines and (not taken or size + len(lines[0]) <= largest):
            size += len(lines[0])
            taken.append(lines.popleft())
        if taken and self._cut:
            taken.insert(0, b"\n")
        return b"".join(taken)

    def _drop(self, error: OSError) -> None:
        """Count what waits as lost. What was cut stays cut: the next line then starts with a line feed of its own."""
        if not self.dropped:
            logger.warning("access log %s cannot be written, lines are dropped: %s", self.path, error.strerror)
        self.dropped += self._rest.count(b"\n") - self._rest.startswith(b"\n") + len(self._lines)
        self._rest = b""
        self._lines.clear()

    def reopen(self) -> None:
        """Open the path anew; where that fails, the old file stays in use and a warning is logged."""
        self.flush()
        try:
            fresh = Sink.open(self.path)
        except PenstockError as error:
            logger.warning("%s", error)
            return
        self._sink.close()
        self._sink = fresh
        self._cut = False

    def close(self) -> None:
        """Write what waits and close."""
        self.flush()
        self._sink.close()


class Sink:
    """An open file descriptor, and how it may be written to without blocking."""

    def __init__(self, fd: int) -> None:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._fd = fd
        # A pipe takes up to PIPE_BUF bytes whole or not at all, so that workers that share it do not mix their lines.
        self.largest_piece = LARGEST_PIECE if regular else select.PIPE_BUF
        self._may_block = not regular and os.get_blocking(fd)

    @classmethod
    def open(cls, path: str) -> "Sink":
        """Open a file for appending, or standard output for "-". Raises PenstockError."""
        try:
            return cls(open_standard_output() if path == "-" else os.open(path, APPEND, 0o640))
        except OSError as error:
            raise PenstockError(f"access log {path} cannot be opened: {error.strerror}") from error

    def write(self, piece: bytes) -> int:
        """The bytes written. Raises BlockingIOError where the reader is behind, other OSErrors as they come."""
        if self._may_block and not select.select((), (self._fd,), (), 0)[1]:
            raise BlockingIOError
        return os.write(self._fd, piece)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def open_standard_output() -> int:
    """A descriptor of our own for standard output: of a pipe one that never blocks, which others' still may."""
    if stat.S_ISFIFO(os.fstat(STANDARD_OUTPUT).st_mode):
        try:
            return os.open(f"/dev/fd/{STANDARD_OUTPUT}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # Another user's pipe, or no /dev/fd: asking before each write must do.
            return os.dup(STANDARD_OUTPUT)
    return os.dup(STANDARD_OUTPUT)
