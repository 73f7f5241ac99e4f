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

UNREADABLE = "its saved state cannot be read"

Key = tuple[str, str]
"""A route and its rule."""

_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)

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

    `since` is unix time in seconds, and so is `gone`: since when its rule is away, None where it is there. An empty
    digest is that of an entry that cannot be read, and fits any plan.
    """

    digest: str
    phase: Phase
    weight: float
    step: int
    since: float
    reason: str = ""
    gone: float | None = None

    def fits(self, digest: str) -> bool:
        """Whether it is the saved form of a plan of this digest."""
        return self.digest in {"", digest}


class _Remains(msgspec.Struct):
    digest: str = ""


class CanaryStore:
    """The file in a folder; without a folder nothing is kept. Its state: what it was told last."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / FILE
        self._last: dict[Key, SavedCanary] = {}
        self._told = False

    def load(self) -> dict[Key, SavedCanary]:
        """What was kept.

        An entry that cannot be read, a later version's perhaps, is told and counts as aborted: it may have failed. A
        whole file that cannot be read is told, put aside as `canaries.json.bad`, and counts for nothing.
        """
        if self._file is None:
            return {}
        try:
            with self._file.open("rb") as file:
                content = file.read(LARGEST)
            entries = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except FileNotFoundError:
            return {}
        except (OSError, *_FAULTS) as error:
            LOG.error("%s cannot be read, canaries begin anew: %s", self._file, error)  # noqa: TRY400 - says it all
            _put_aside(self._file)
            return {}
        self._last = _by_key(entries)
        return dict(self._last)

    def save(self, canaries: Mapping[Key, SavedCanary]) -> None:
        """Keep this in place of all that was. What cannot be written is told once, and lives on in memory."""
        if self._file is None or canaries == self._last:
            return
        try:
            entries = {msgspec.json.encode(key).decode(): saved for key, saved in canaries.items()}
            write_atomically(self._file, msgspec.json.format(msgspec.json.encode(entries), indent=2))
        except OSError as error:
            if not self._told:
                LOG.error("%s cannot be written, a restart forgets canaries: %s", self._file, error)  # noqa: TRY400
            self._told = True
            return
        self._last = dict(canaries)
        self._told = False


def _put_aside(file: Path) -> None:
    aside = file.with_name(f"{file.name}.bad")
    try:
        file.replace(aside)
    except OSError as error:
        LOG.error("%s cannot be put aside: %s", file, error)  # noqa: TRY400
    else:
        LOG.error("what it held is in %s", aside)


def _by_key(entries: Mapping[str, msgspec.Raw]) -> dict[Key, SavedCanary]:
    """The entries, under each key that their names may mean; a name that means one thing only comes first."""
    found: dict[Key, SavedCanary] = {}
    named = [(_keys(name), _entry(name, entry)) for name, entry in entries.items()]
    for keys, saved in sorted(named, key=lambda each: len(each[0])):
        for key in keys:
            found.setdefault(key, saved)
    return found


def _keys(name: str) -> list[Key]:
    """Names are JSON of the route and the rule. Earlier versions wrote route/rule, which may be divided at any slash:
    the digest, which is of both names, tells which division is meant.
    """
    try:
        return [msgspec.json.decode(name, type=Key)]
    except _FAULTS:
        places = [place for place, letter in enumerate(name) if letter == "/"]
        return [(name[:place], name[place + 1 :]) for place in places]


def _entry(name: str, entry: msgspec.Raw) -> SavedCanary:
    try:
        return msgspec.json.decode(entry, type=SavedCanary)
    except _FAULTS as error:
        LOG.error("what was kept of the canary %s cannot be read, it is held at no share: %s", name, error)  # noqa: TRY400
        return SavedCanary(_digest(entry), Phase.ABORTED, 0.0, 0, 0.0, UNREADABLE)


def _digest(entry: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(entry, type=_Remains).digest
    except _FAULTS:
        return ""


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
