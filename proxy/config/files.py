"""The files at the paths of a configuration, and their texts: what cannot be read is told, and never raised."""

import glob
from collections.abc import Sequence
from pathlib import Path

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.regular_file import read_regular
from proxy.config.text.nodes import Place

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 64 * 1024 * 1024
# Hidden files hold editors' swap files and the `..data` folder of a mounted ConfigMap; # and ~ mark editors' copies.
_SKIPPED_BEGINNINGS = (".", "#", "~")


def gather(paths: Sequence[str], problems: Problems) -> tuple[str, ...]:
    """The files at these paths, each once: a file itself, a folder's YAML and JSON files by name, what a glob finds."""
    files: dict[str, None] = {}
    for path in paths:
        files.update(dict.fromkeys(_files_at(path, problems)))
    return tuple(file for file in files if _has_plain_name(file, problems))


def _has_plain_name(file: str, problems: Problems) -> bool:
    """A name that logs, JSON and other processes can carry; any other is told, with its bytes spelled out."""
    plain = file.encode(errors="backslashreplace").decode()
    if plain != file:
        problems.error(Place(plain), Code.UNREADABLE, "its name is not UTF-8: rename it")
    return plain == file


def _files_at(path: str, problems: Problems) -> list[str]:
    try:
        return _files_of(path, problems)
    except (OSError, ValueError) as fault:
        problems.error(Place(path), Code.UNREADABLE, f"cannot be read: {reason(fault)}")
        return []


def _files_of(path: str, problems: Problems) -> list[str]:
    if Path(path).is_dir():
        return _files_in(path, problems)
    if Path(path).exists():
        return [path]
    # Path.glob takes no absolute pattern.
    matching = sorted(glob.glob(path)) if glob.has_magic(path) else []  # noqa: PTH207
    found = [file for file in matching if _is_candidate(Path(file))]
    if not found:
        problems.error(Place(path), Code.NO_SUCH_PATH, "there is no such file or folder")
    return found


def _files_in(folder: str, problems: Problems) -> list[str]:
    found = [str(file) for file in sorted(Path(folder).iterdir()) if file.suffix in SUFFIXES and _is_candidate(file)]
    if not found:
        problems.warning(Place(folder), Code.EMPTY_FILE, "the folder holds no .yaml, .yml or .json file")
    return found


def _is_candidate(file: Path) -> bool:
    """A regular file, or a link that leads nowhere: that one is told as unreadable instead of being overlooked."""
    return not file.name.startswith(_SKIPPED_BEGINNINGS) and (file.is_file() or not file.exists())


def read_texts(files: Sequence[str], problems: Problems) -> dict[str, str]:
    """The texts of those files that can be read."""
    texts: dict[str, str] = {}
    for file in files:
        try:
            texts[file] = _text_of(file)
        except (OSError, ValueError) as fault:
            problems.error(Place(file), Code.UNREADABLE, f"cannot be read: {reason(fault)}")
    return texts


def _text_of(file: str) -> str:
    content = read_regular(file, LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE // 1024**2}MiB")
    return content.decode()


def reason(fault: OSError | ValueError) -> str:
    """Why something could not be read, without its name."""
    match fault:
        case UnicodeDecodeError():
            return f"it is not UTF-8 text (byte {fault.start})"
        case OSError(strerror=str(said)):
            return said.lower()
        case _:
            return str(fault)
