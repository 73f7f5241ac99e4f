"""The documents that dialects come from, where they lie beside the repository: their blocks and their commands."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
FOLDER = SHARED / "seeds"
NEEDED = pytest.mark.skipif(not FOLDER.is_dir(), reason="the documents do not lie beside the repository")

_BLOCK = re.compile(r"^([ \t]*)```(\w+)\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document."""

    document: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document[:3]}-{self.language}-{self.number}"


@dataclass(frozen=True, slots=True)
class Curl:
    """What a curl command sends."""

    method: str
    target: str
    headers: tuple[str, ...]
    body: bytes

    def on_the_wire(self) -> bytes:
        """As bytes."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: proxy", *self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages, in order; none where the documents are not here."""
    found: list[Block] = []
    for file in sorted(FOLDER.glob("*.txt")):
        matches = _BLOCK.finditer(file.read_text())
        of_file = (Block(file.stem, number, match[2], match[3]) for number, match in enumerate(matches))
        found += [block for block in of_file if block.language in languages]
    return found


def yaml_of(document: str) -> str:
    """All resources of the document whose name begins so, as one file; what defines a kind is left out."""
    parts = [block.text for block in blocks("yaml") if block.document.startswith(document)]
    return "\n---\n".join(part for part in parts if "name: string" not in part)


def curls(document: str) -> list[Curl]:
    """All curl commands of the document whose name begins so."""
    return [curl for block in blocks("bash") if block.document.startswith(document) for curl in _curls_in(block.text)]


def _curls_in(script: str) -> Iterator[Curl]:
    variables = dict(re.findall(r'^export (\w+)="([^"]*)"', script, re.MULTILINE))
    for command in _commands(script.replace("\\\n", " ")):
        if command.startswith("curl "):
            yield _curl(shlex.split(_expanded(command, variables)))


def _commands(script: str) -> Iterator[str]:
    """The commands of a script, cut at line ends and semicolons that are not quoted."""
    command, quote, escaped = "", "", False
    for character in script + "\n":
        if not quote and character in "\n;":
            yield command.strip()
            command = ""
            continue
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "\"'":
            quote = "" if quote == character else quote or character
        command += character


def _expanded(command: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: variables.get(found[1], found[1].lower()), command)


def _curl(words: list[str]) -> Curl:
    method, url, headers, body = "", "", [], ""
    arguments = iter(words[1:])
    for word in arguments:
        match word:
            case "-X":
                method = next(arguments)
            case "-H":
                headers.append(next(arguments))
            case "-d":
                body = next(arguments)
            case _:
                url = word
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return Curl(method or ("POST" if body else "GET"), target, tuple(headers), body.encode())
