"""The road from paths to a configuration: files gathered, read, parsed, handed to their readers, and put together."""

import gc
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.dialects import read_document
from proxy.config.filed import FiledResource
from proxy.config.files import gather, read_texts
from proxy.config.joining import config_of
from proxy.config.problems import Problems
from proxy.config.spec import Config
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import Place
from proxy.errors import Problem


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded: no configuration if any problem is an error. `files` are those read or looked for, `filed` the
    resources in them.
    """

    config: Config | None
    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    filed: tuple[FiledResource, ...] = ()


def load(paths: Sequence[str], variables: Mapping[str, str] | None = None) -> LoadResult:
    """The configuration of all files at these paths, with all problems. `variables` default to the environment."""
    problems = Problems()
    files = gather(paths, problems)
    texts = read_texts(files, problems)
    return _loaded(texts, files, os.environ if variables is None else variables, problems)


def load_texts(texts: Mapping[str, str], variables: Mapping[str, str] | None = None) -> LoadResult:
    """The configuration of these texts by file name."""
    return _loaded(texts, tuple(texts), variables or {}, Problems())


def _loaded(
    texts: Mapping[str, str], files: tuple[str, ...], variables: Mapping[str, str], problems: Problems
) -> LoadResult:
    assembly = Assembly(problems, incomplete=problems.failed)
    with _uncollected():
        for file, text in texts.items():
            _read_file(file, text, variables, assembly)
        config = config_of(assembly, _version(texts))
    if not config.routes and not problems.failed:
        # A part of a configuration may be checked by itself; nothing at all is a slip.
        tell = problems.warning if assembly.documents else problems.error
        tell(_whole(files), Code.NOTHING_TO_SERVE, "nothing to serve: no route was found")
    failed = problems.failed
    return LoadResult(None if failed else config, problems.all(), files, tuple(assembly.filed))


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
