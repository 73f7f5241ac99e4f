"""A key file on disk as the tools change it: whole or not at all, and by one at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.config.files import LARGEST_FILE
from proxy.config.regular_file import read_regular

NEW_MODE = 0o600

Change = Callable[[str | None], str]


def change_file(file: str, change: Change) -> None:
    """Put what `change` makes of a file's text (None: there is no file) in its place, in one step.

    Whoever else changes it waits, so no change is lost. What `change` raises leaves the file as it was. Raises OSError
    and UnicodeDecodeError.
    """
    # A link stays a link: what it leads to is exchanged.
    path = Path(file).resolve()
    with _locked(path):
        try:
            text = read_regular(path, LARGEST_FILE).decode()
        except FileNotFoundError:
            text = None
        _replace(path, change(text).encode())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among those who lock it. The lock is a file beside it that stays: to take it away could make two."""
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, NEW_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        beside.unlink()
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_MODE)
    try:
        with os.fdopen(handle, "wb") as stream:
            _keep_owner(path, handle)
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _keep_owner(path: Path, handle: int) -> None:
    """The mode of the file that it replaces, and its owner where that may be given: a proxy must still read it."""
    if not path.exists():
        return
    look = path.stat()
    with suppress(PermissionError):
        os.fchown(handle, look.st_uid, look.st_gid)
    os.fchmod(handle, look.st_mode & 0o777)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
