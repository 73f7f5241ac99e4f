"""The reader of a key file: who may call by which key, each key told by its SHA-256 alone."""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from proxy.access.identity import Identity
from proxy.config.access_spec import Limit
from proxy.config.codes import Code
from proxy.config.files import read_texts
from proxy.config.problems import Problems
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode, plain
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import is_faulty, mismatch, name, one_or_more, whole
from proxy.config.values.limits import read_limits
from proxy.config.values.names import model_name

VERSION = 1
HIGHEST_PRIORITY = 1_000_000
# What the proxy itself says of a key, which metadata must not contradict.
OWN_DATA = ("id", "name")

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a file. `created` and `expires` are in seconds since 1970; `line` is where it stands."""

    name: str
    digest: bytes = field(repr=False)
    created: float | None = None
    expires: float | None = None
    tier: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    priority: int = 0
    line: int = 0

    def identity(self, source: str) -> Identity:
        """Who shows this key, which is of this file. What the proxy says of it wins over metadata."""
        tier = {} if self.tier is None else {"tier": self.tier}
        data = {**self.metadata, **tier, "id": self.name, "name": self.name}
        user = self.metadata.get("user")
        return Identity(
            id=self.name,
            method="key",
            source=source,
            data=data,
            models=self.models,
            limits=self.limits,
            priority=self.priority,
            expires=float("inf") if self.expires is None else self.expires,
            user="" if user is None else str(user),
            owner=self.digest.hex(),
        )


def read_key_file(file: str, variables: Mapping[str, str], problems: Problems) -> tuple[str, tuple[Key, ...]]:
    """The file's text and its keys; what is wrong with either is told, and also that others may change the file."""
    text = read_texts([file], problems).get(file)
    if text is None:
        return "", ()
    _check_mode(file, problems)
    return text, read_key_text(file, text, variables, problems)


def read_key_text(file: str, text: str, variables: Mapping[str, str], problems: Problems) -> tuple[Key, ...]:
    """The keys in a text, JSON where the file's name says so."""
    documents = parse_documents(file, text, variables, problems)
    for surplus in documents.nodes[1:]:
        problems.error(surplus.place, Code.WRONG_PLACE, "a key file holds one document")
    if documents.nodes:
        return _read_document(documents.nodes[0], problems)
    if not problems.failed:
        # A file that is being written is empty for a moment, and that must lock nobody out.
        problems.error(Place(file), Code.EMPTY_FILE, "expected a mapping with version and keys, found nothing")
    return ()


def _check_mode(file: str, problems: Problems) -> None:
    """To read a digest helps nobody to a key of 256 random bits; to write one lets in whoever wrote it."""
    if Path(file).stat().st_mode & _WRITABLE_BY_OTHERS:
        message = "others than its owner may write this file, and so make keys: chmod go-w it"
        problems.warning(Place(file), Code.EXPOSED_KEY, message)


def _read_document(node: Node, problems: Problems) -> tuple[Key, ...]:
    fields = fields_of(node, problems, "a mapping with version and keys")
    if fields is None:
        return ()
    with fields:
        fields.require("version", whole(VERSION, VERSION))
        listed = fields.required("keys")
    if listed is None:
        return ()
    if not isinstance(listed, ListNode):
        mismatch(listed, problems, "a list of keys")
        return ()
    keys = [(item.place, _read_key(item, problems)) for item in listed.items]
    found = [(place, key) for place, key in keys if key is not None]
    _tell_doubles(found, problems)
    return tuple(key for _, key in found)


def _read_key(node: Node, problems: Problems) -> Key | None:
    fields = fields_of(node, problems, "a key: a mapping with name and sha256")
    if fields is None:
        return None
    with fields:
        called = fields.require("name", name)
        digest = fields.require("sha256", _read_digest)
        metadata: Mapping[str, object] = fields.get("metadata", _read_metadata) or {}
        key = Key(
            name=called or "",
            digest=digest or b"",
            created=fields.get("created", _read_time),
            expires=_read_expiry(fields),
            tier=fields.get("tier", name, _own_tier(metadata)),
            metadata=metadata,
            models=fields.get("models", _read_models, ()),
            limits=fields.get("limits", read_limits, ()),
            priority=fields.get("priority", whole(-HIGHEST_PRIORITY, HIGHEST_PRIORITY), 0),
            line=node.place.line,
        )
    return None if called is None or digest is None else key


def _own_tier(metadata: Mapping[str, object]) -> str | None:
    tier = metadata.get("tier")
    return tier if isinstance(tier, str) else None


def _read_digest(node: Node, problems: Problems) -> bytes | None:
    """A SHA-256 as hexadecimal digits. What stands there instead may be the key itself, so no message shows it."""
    if isinstance(node, ScalarNode) and _DIGEST.fullmatch(node.text):
        return bytes.fromhex(node.text)
    found = f"a text of {len(node.text)} characters" if isinstance(node, ScalarNode) else "no text"
    message = f"expected the SHA-256 of a key as 64 hexadecimal digits, found {found}"
    problems.error(node.place, Code.BAD_VALUE, message)
    return None


def _read_expiry(fields: Fields) -> float | None:
    """An expiry that cannot be read is an error, and null too: a key that never ends has none."""
    if "expires" in fields.node.entries:
        return fields.require("expires", _read_time)
    fields.node_of("expires")
    return None


def _read_time(node: Node, problems: Problems) -> float | None:
    """Seconds since 1970 of a date or a time (RFC 3339); UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(node.text if isinstance(node, ScalarNode) else "")
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        mismatch(node, problems, "a time such as 2027-01-31 or 2027-01-31T18:00:00Z")
        return None


def _read_metadata(node: Node, problems: Problems) -> dict[str, object] | None:
    if not isinstance(node, MappingNode):
        mismatch(node, problems, "a mapping, such as {team: search}")
        return None
    for word in OWN_DATA:
        if word in node.entries:
            message = f"{word!r} is the key's own name, and cannot be set here"
            problems.error(node.key_place(word), Code.CONFLICTING_KEYS, message)
    tier = node.entries.get("tier")
    if tier is not None and not is_faulty(tier):
        name(tier, problems)
    return {key: plain(item) for key, item in node.entries.items()}


def _read_models(node: Node, problems: Problems) -> tuple[str, ...] | None:
    """Names and globs. None at all may be meant to forbid them, where leaving the field out allows them."""
    if isinstance(node, ListNode) and not node.items:
        mismatch(node, problems, "at least one model's name or glob (without models: all of them)")
        return None
    found = one_or_more(model_name)(node, problems)
    return None if found is None else tuple(dict.fromkeys(found))


def _tell_doubles(keys: list[tuple[Place, Key]], problems: Problems) -> None:
    names: dict[str, int] = {}
    digests: dict[bytes, int] = {}
    for place, key in keys:
        first = names.setdefault(key.name, place.line)
        if first != place.line:
            said = problems.said(key.name)
            problems.error(place, Code.DUPLICATE_NAME, f"the name {said} is given to another key at line {first}")
        first = digests.setdefault(key.digest, place.line)
        if first != place.line:
            problems.error(place, Code.DUPLICATE_NAME, f"this is the same key as the one at line {first}")
