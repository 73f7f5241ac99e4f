"""The small file in which the way of each canary outlives a restart."""

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

import msgspec

FILE = "canaries.json"
LARGEST = 16 * 1024 * 1024  # bytes

_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)

LOG = logging.getLogger("penstock.canary")


class Phase(Enum):
    """How far a canary has come; the values are the words of the file, of the admin API and of the metric."""

    PROGRESSING = "Progressing"  # it goes through its steps
    WATCHING = "Watching"  # it has no steps, and is judged at the share that the file gives it
    FAILED = "Failed"
    PROMOTED = "Promoted"
    ABORTED = "Aborted"


class SavedCanary(msgspec.Struct, frozen=True):
    """What is kept of one canary: its plan's digest, its phase and step, its share in per cent, since when, and why.

    `since` is unix time in seconds.
    """

    digest: str
    phase: Phase
    weight: float
    step: int
    since: float
    reason: str = ""


class CanaryStore:
    """The file in a folder; without a folder nothing is kept. Its state: what it was told last."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / FILE
        self._last: dict[str, SavedCanary] = {}
        self._told = False

    def load(self) -> dict[str, SavedCanary]:
        """What was kept, by name.

        An entry that cannot be read, a later version's perhaps, is told and counts for nothing; so does a whole file,
        which is put aside before it is written anew.
        """
        if self._file is None:
            return {}
        try:
            with self._file.open("rb") as file:
                content = file.read(LARGEST)
            entries = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except FileNotFoundError:
            return {}
        except (OSError, *_UNREADABLE) as error:
            LOG.error("%s cannot be read, canaries begin anew: %s", self._file, error)  # noqa: TRY400 - says it all
            with suppress(OSError):
                self._file.rename(self._file.with_name(f"{FILE}.bad"))
            return {}
        self._last = {name: saved for name, entry in entries.items() if (saved := _entry(name, entry)) is not None}
        return dict(self._last)

    def save(self, canaries: Mapping[str, SavedCanary]) -> None:
        """Keep this in place of all that was. What cannot be written is told once, and lives on in memory."""
        if self._file is None or canaries == self._last:
            return
        try:
            write_atomically(self._file, msgspec.json.format(msgspec.json.encode(canaries), indent=2))
        except OSError as error:
            if not self._told:
                LOG.error("%s cannot be written, a restart forgets canaries: %s", self._file, error)  # noqa: TRY400
            self._told = True
            return
        self._last = dict(canaries)
        self._told = False


def _entry(name: str, entry: msgspec.Raw) -> SavedCanary | None:
    try:
        return msgspec.json.decode(entry, type=SavedCanary)
    except _UNREADABLE as error:
        LOG.error("what was kept of the canary %s cannot be read, it begins anew: %s", name, error)  # noqa: TRY400
        return None


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file that nobody ever sees in part, and that only its owner may read. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # it makes the file with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
