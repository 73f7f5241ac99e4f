"""The files in which callers' keys stand, and whether they can be used."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from proxy.access.key_file import read_key_file
from proxy.access.key_sources import LARGEST_BODY
from proxy.access.signing_keys import KeysError, read_keys
from proxy.config.access_spec import Auth
from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.regular_file import read_regular
from proxy.config.text.nodes import Place
from proxy.errors import Problem


def auth_files(auth: Auth) -> Iterator[str]:
    """The key file, and the key set of tokens where it is a file."""
    if auth.keys is not None:
        yield auth.keys
    if (key_set := key_set_file(auth)) is not None:
        yield key_set


def key_set_file(auth: Auth) -> str | None:
    """The key set of tokens, if it is a file."""
    place = None if auth.jwt is None else auth.jwt.jwks
    return place if place is not None and place.startswith("/") else None


def check_auth_files(auths: Iterable[Auth | None]) -> tuple[Problem, ...]:
    """What is wrong with the files of these, each read once.

    A configuration that names a bad one is not put in force. Workers are milder: one that takes another's place goes on
    without its keys.
    """
    problems = Problems()
    asked = [auth for auth in auths if auth is not None]
    for file in dict.fromkeys(auth.keys for auth in asked if auth.keys is not None):
        read_key_file(file, os.environ, problems)
    for file in dict.fromkeys(place for auth in asked if (place := key_set_file(auth)) is not None):
        _check_key_set(file, problems)
    return problems.all()


def _check_key_set(file: str, problems: Problems) -> None:
    try:
        read_keys(read_regular(Path(file), LARGEST_BODY))
    except OSError as fault:
        problems.error(Place(file), Code.UNREADABLE, f"cannot be read: {(fault.strerror or 'no file').lower()}")
    except KeysError as fault:
        problems.error(Place(file), Code.UNREADABLE, f"holds no keys of tokens: {fault}")
