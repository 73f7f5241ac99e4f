"""API keys: how they are made, and the ring of a key file that tells whose a shown one is."""

import hmac
import os
import secrets
import string
from collections.abc import Callable, Mapping
from hashlib import sha256
from time import time
from typing import NamedTuple

from proxy.access.identity import Fault, Identity
from proxy.access.key_file import Key, read_key_file
from proxy.config.problems import Problems
from proxy.errors import Problem, Severity

PREFIX = "psk-"
_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 43  # of 62 characters each: 256 bits

EXPIRED = Fault("invalid_token", "The key has expired")


def make_key() -> str:
    """A new key: 256 random bits, by letters and digits alone, so that a double click takes all of it."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def digest_of(key: bytes) -> bytes:
    """What is stored of a key.

    A plain SHA-256: a slow hash with a salt makes up for passwords that can be guessed, and 2**256 keys cannot.
    """
    return sha256(key).digest()


class _Entry(NamedTuple):
    digest: bytes
    identity: Identity


class KeyRing:
    """The keys of one file. Mutable: what was last read without an error, which reading anew replaces in one step.

    `clock` gives seconds since 1970. A ring of a file that cannot be used holds no key until it is read anew: a worker
    that takes another one's place must serve what asks for no key. `problems` were found when it was made.
    """

    __slots__ = ("_clock", "_entries", "_text", "_variables", "generation", "path", "problems")

    def __init__(
        self, path: str, clock: Callable[[], float] = time, variables: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.generation = 0
        self._clock = clock
        self._variables = os.environ if variables is None else variables
        problems = Problems()
        self._text, keys = read_key_file(path, self._variables, problems)
        self.problems: tuple[Problem, ...] = problems.all()
        self._entries = {} if problems.failed else self._entries_of(keys)

    def __repr__(self) -> str:
        return f"<KeyRing {self.path}: {len(self._entries)} keys, generation {self.generation}>"

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, digest: bytes) -> Identity | Fault | None:
        """Whose key has this digest; a Fault where it has expired, None where it is unknown.

        No time tells how near a guess is: what is looked up is its digest, which nobody can steer, and what is found is
        compared in constant time. Hot path: benchmarks/access.py measures it.
        """
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.digest, digest):
            return None
        return entry.identity if entry.identity.expires > self._clock() else EXPIRED

    def reload(self) -> list[str]:
        """Read the file again; what is wrong with it, and then the keys stay as they were. Made to run in a thread."""
        problems = Problems()
        text, keys = read_key_file(self.path, self._variables, problems)
        told = [str(problem) for problem in problems.all()]
        if problems.failed:
            return [problem for problem in told if f": {Severity.WARNING.value} " not in problem]
        if text == self._text:
            return []
        self._entries = self._entries_of(keys)
        self._text = text
        self.generation += 1
        return told

    def _entries_of(self, keys: tuple[Key, ...]) -> dict[bytes, _Entry]:
        return {key.digest: _Entry(key.digest, key.identity(self.path)) for key in keys}
