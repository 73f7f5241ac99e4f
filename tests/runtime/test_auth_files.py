"""Promises of which files callers' keys stand in."""

import pytest

from proxy.config.access_spec import Auth, JwtAuth
from proxy.runtime.auth_files import auth_files


@pytest.mark.parametrize(
    ("auth", "files"),
    [
        (Auth(keys="/a/keys.yaml"), ["/a/keys.yaml"]),
        (Auth(jwt=JwtAuth(jwks="/a/jwks.json")), ["/a/jwks.json"]),
        (
            Auth(keys="/a/keys.yaml", jwt=JwtAuth("https://issuer", jwks="/a/jwks.json")),
            ["/a/keys.yaml", "/a/jwks.json"],
        ),
        (Auth(jwt=JwtAuth("https://issuer")), []),
        (Auth(jwt=JwtAuth(jwks="https://issuer/keys")), []),
        (Auth(client_certificate=True), []),
    ],
)
def test_only_what_lies_on_disk_is_watched(auth: Auth, files: list[str]) -> None:
    assert list(auth_files(auth)) == files
