"""Notices that files have changed: at once by the kernel's word, and by looking where it says nothing."""

import asyncio
import glob
import hashlib
import logging
import os
import stat
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from proxy.config.files import LARGEST_FILE

SUFFIXES = (".yaml", ".yml", ".json")
SKIPPED_BEGINNINGS = (".", "#", "~")  # editors' swap files and copies
DEBOUNCE = 100  # milliseconds in which changes that come together are one
QUIET = 30  # milliseconds without a change that end the wait earlier

LOG = logging.getLogger("penstock.watch")

# What a file looks like from outside. The inode tells of a rename, ctime of a write that restored size and mtime.
Look = tuple[int, int, int, int, int]
Directory = tuple[str, int, int]


class Watcher:
    """Watches files, folders (the YAML and JSON files in them) and globs.

    Its state: how each file looked, and a digest of what it held, when it was last asked.
    """

    def __init__(self, patterns: Sequence[str], *, poll: float = 2.0) -> None:
        self._patterns = patterns
        self._poll = poll
        self._named: frozenset[str] = frozenset()
        self._looks: dict[str, Look | None] = {}
        self._digests: dict[str, bytes] = {}

    def watch_also(self, files: Iterable[str]) -> None:
        """Watch these files too, instead of those that were named so before. Their present content is no change."""
        self._named = frozenset(files)
        for file in self._files() - self._looks.keys():
            self._looks[file] = look_at(file)
            self._digests[file] = digest(file)

    async def look(self) -> bool:
        """Whether the content of any file has changed since the last look."""
        return await asyncio.to_thread(self._look)

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield after each change of content. Take a first `look` beforehand: what changes after it is not missed."""
        while True:
            directories = await asyncio.to_thread(self._directories)
            if await self.look():
                yield
            async with aclosing(self._signals(directories)) as signals:
                async for _ in signals:
                    if await self.look():
                        yield
                    if await asyncio.to_thread(self._directories) != directories:
                        break

    async def _signals(self, directories: frozenset[Directory]) -> AsyncGenerator[None, None]:
        """Yield when the kernel tells of a change in these directories, and at least every `poll` seconds."""
        if not directories:
            await asyncio.sleep(self._poll)
            yield
            return
        kernel = awatch(
            *sorted({path for path, _, _ in directories}),
            watch_filter=None,
            debounce=DEBOUNCE,
            step=QUIET,
            rust_timeout=int(self._poll * 1000),
            yield_on_timeout=True,
            recursive=False,
            ignore_permission_denied=True,
        )
        try:
            async with aclosing(kernel):
                async for _ in kernel:
                    yield
        except (OSError, RuntimeError) as error:  # out of inotify watches, or a directory that has just gone
            LOG.debug("watching by looking: %s", error)
            await asyncio.sleep(self._poll)
            yield

    def _look(self) -> bool:
        looks = {file: look_at(file) for file in self._files()}
        gone = self._looks.keys() - looks.keys()
        suspects = [file for file, look in looks.items() if file not in self._looks or self._looks[file] != look]
        found = {file: digest(file) for file in suspects}
        changed = bool(gone) or any(self._digests.get(file) != content for file, content in found.items())
        self._looks = looks
        self._digests = {file: found[file] if file in found else self._digests[file] for file in looks}
        return changed

    def _files(self) -> set[str]:
        return {file for pattern in self._patterns for file in expand(pattern)} | self._named

    def _directories(self) -> frozenset[Directory]:
        """The directories in which a change may be seen, with their identity: one that was made anew is another one."""
        paths = {path for pattern in self._patterns for path in roots(pattern)}
        for file in self._files():
            paths |= {Path(file).parent, Path(os.path.realpath(file)).parent}
        return frozenset(identified for path in paths if (identified := identify(path)) is not None)


def expand(pattern: str) -> list[str]:
    """The files that a path, a folder or a glob stands for; a file that is missing is still one."""
    try:
        return [str(file) for file in Path(pattern).iterdir() if is_candidate(file.name)]
    except NotADirectoryError:
        return [pattern]
    except OSError:  # it is not there, or must not be read
        pass
    if glob.has_magic(pattern):
        return glob.glob(pattern)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return [pattern]


def is_candidate(name: str) -> bool:
    """Whether a file in a watched folder may be one that is read."""
    return name.endswith(SUFFIXES) and not name.startswith(SKIPPED_BEGINNINGS)


def roots(pattern: str) -> list[Path]:
    """The directories where files of a path, a folder or a glob appear and vanish."""
    path = Path(pattern)
    if identify(path):
        return [path, path.parent] if path.is_symlink() else [path]
    while glob.has_magic(str(path)):
        path = path.parent
    return [path] if identify(path) else [path.parent]


def identify(path: Path) -> Directory | None:
    """A directory with its device and inode; None where there is none."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return (str(path), seen.st_dev, seen.st_ino) if stat.S_ISDIR(seen.st_mode) else None


def look_at(file: str) -> Look | None:
    """How a file looks from outside, through symlinks; None where it cannot be seen."""
    try:
        seen = Path(file).stat()
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size)


def digest(file: str) -> bytes:
    """A digest of a file's content; one that cannot be read differs from any that can.

    Only what can be a route file is opened: a named pipe would hold us until somebody writes, a device for ever.
    """
    try:
        seen = Path(file).stat()
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > LARGEST_FILE:
            return b"no file to read"
        return hashlib.blake2b(Path(file).read_bytes(), digest_size=16).digest()
    except OSError as error:
        return b"unreadable: %d" % (error.errno or 0)
