"""The files in which callers' keys stand."""

from collections.abc import Iterator

from proxy.config.access_spec import Auth


def auth_files(auth: Auth) -> Iterator[str]:
    """The key file, and the key set of tokens where it is a file."""
    if auth.keys is not None:
        yield auth.keys
    if auth.jwt is not None and auth.jwt.jwks is not None and auth.jwt.jwks.startswith("/"):
        yield auth.jwt.jwks
