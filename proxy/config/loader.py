"""The road from paths to a configuration: files gathered, read, parsed, handed to their readers, and put together."""

import gc
import glob
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.config.assembly import Assembly, config_of
from proxy.config.codes import Code
from proxy.config.document import parse_documents
from proxy.config.native import KEYS, read_native
from proxy.config.nodes import MappingNode, Node, Place, ScalarNode, described, shown
from proxy.config.problems import Problems
from proxy.config.settings import holds_settings
from proxy.config.spec import Config
from proxy.errors import Problem

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 64 * 1024 * 1024
# Hidden files hold editors' swap files and the `..data` folder of a mounted ConfigMap; # and ~ mark editors' copies.
_SKIPPED_BEGINNINGS = (".", "#", "~")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded: no configuration if any problem is an error. `files` are those read or looked for."""

    config: Config | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]


def load(paths: Sequence[str], variables: Mapping[str, str] | None = None) -> LoadResult:
    """The configuration of all files at these paths, with all problems. `variables` default to the environment."""
    problems = Problems()
    files = gather(paths, problems)
    texts = read_texts(files, problems)
    return _loaded(texts, files, os.environ if variables is None else variables, problems)


def load_texts(texts: Mapping[str, str], variables: Mapping[str, str] | None = None) -> LoadResult:
    """The configuration of these texts by file name."""
    return _loaded(texts, tuple(texts), variables or {}, Problems())


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
    with Path(file).open("rb") as stream:
        content = stream.read(LARGEST_FILE + 1)
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


def _loaded(
    texts: Mapping[str, str], files: tuple[str, ...], variables: Mapping[str, str], problems: Problems
) -> LoadResult:
    assembly = Assembly(problems, incomplete=problems.failed)
    with _uncollected():
        for file, text in texts.items():
            _read_file(file, text, variables, assembly)
        config = config_of(assembly, _version(texts))
    if not config.routes and not problems.failed:
        problems.error(_whole(files), Code.NOTHING_TO_SERVE, "nothing to serve: no route was found")
    failed = problems.failed
    return LoadResult(None if failed else config, problems.all(), files)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the garbage collector rest: nodes and specs form no cycles, and walking all of them again and again
    makes 10,000 routes take 5.4 s instead of 1.8 s (Python 3.11, one file of 3.2 MB)."""
    resting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if resting:
            gc.enable()


def _whole(files: tuple[str, ...]) -> Place:
    return Place(files[0] if len(files) == 1 else "")


def _version(texts: Mapping[str, str]) -> str:
    """Twelve hex digits of a digest of all names and contents, each with its length before it."""
    digest = hashlib.sha256()
    for part in (part for item in texts.items() for part in item):
        content = part.encode(errors="surrogatepass")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:12]


def _read_file(file: str, text: str, variables: Mapping[str, str], assembly: Assembly) -> None:
    documents = parse_documents(file, text, variables, assembly.problems)
    assembly.incomplete = assembly.incomplete or not documents.complete
    if documents.complete and not documents.nodes:
        assembly.problems.warning(Place(file), Code.EMPTY_FILE, "the file is empty")
    for node in documents.nodes:
        read_document(node, assembly)


def read_document(node: Node, assembly: Assembly) -> None:
    """Hand a document to the reader that owns it, by its apiVersion and kind or by its shape."""
    problems = assembly.problems
    if not isinstance(node, MappingNode):
        message = f"expected a document with {' and '.join(sorted(KEYS))}, found {described(node)}"
        problems.error(node.place, Code.WRONG_TYPE, message)
        return
    kind, version = node.entries.get("kind"), node.entries.get("apiVersion")
    if isinstance(kind, ScalarNode) and isinstance(version, ScalarNode):
        said = "(from a variable)" if kind.hidden or version.hidden else f"{shown(kind.text)} of {shown(version.text)}"
        problems.warning(node.place, Code.UNKNOWN_KIND, f"documents of the kind {said} are not read by this version")
        return
    if holds_settings(node):
        message = "these are settings, not routes: they belong in penstock.yaml (penstock serve -c FILE)"
        problems.error(node.place, Code.WRONG_PLACE, message)
        return
    read_native(node, assembly)
