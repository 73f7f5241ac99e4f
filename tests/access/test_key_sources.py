"""Promises of getting keys: from real servers and files, with bounds on what they may do."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from proxy.access.key_sources import Fetched, KeyFile, KeyUrl, key_source
from proxy.access.signing_keys import KeysError
from proxy.config.access_spec import JwtAuth
from tests.access.issuers import Issuer, Signer


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(Signer("ES256")) as started:
        yield started


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side, with a certificate of that authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def trust(authority: trustme.CA) -> ssl.SSLContext:
    """A client's side that trusts that authority alone."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def why_not(auth: JwtAuth) -> str:
    with pytest.raises(KeysError) as caught:
        await key_source(auth).fetch()
    return str(caught.value)


async def test_keys_are_had_from_their_url(issuer: Issuer) -> None:
    assert await key_source(JwtAuth(jwks=issuer.jwks_url)).fetch() == Fetched(issuer.jwks())
    assert issuer.counts == {"/jwks": 1}


@pytest.mark.parametrize("ending", ["", "/"])
async def test_keys_are_found_through_the_issuer(issuer: Issuer, ending: str) -> None:
    issuer.document = {"issuer": issuer.url + ending}
    assert (await key_source(JwtAuth(issuer=issuer.url + ending)).fetch()).content == issuer.jwks()
    assert issuer.counts == {"/.well-known/openid-configuration": 1, "/jwks": 1}


async def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b"{}")
    assert await key_source(JwtAuth(jwks=str(file))).fetch() == Fetched(b"{}")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": "https://issuer.example"}, "not exactly"),
        ({"issuer": None}, "not a JSON object"),
        ({"jwks_uri": None}, "not a JSON object"),
        ({"jwks_uri": "file:///etc/passwd"}, "neither http nor https"),
        ({"jwks_uri": "/jwks"}, "neither http nor https"),
        ({"jwks_uri": "https://[/"}, "cannot be read"),
    ],
)
async def test_a_configuration_document_that_is_not_the_issuers_is_refused(
    issuer: Issuer, change: dict[str, object], why: str
) -> None:
    issuer.document = change
    assert why in await why_not(JwtAuth(issuer=issuer.url))
    assert issuer.counts["/jwks"] == 0


async def test_an_issuer_on_https_may_not_have_its_keys_on_http() -> None:
    authority = trustme.CA()
    async with Issuer(Signer("ES256"), tls=tls_of(authority)) as issuer:
        source = key_source(JwtAuth(issuer=issuer.url), trust(authority))
        assert (await source.fetch()).content == issuer.jwks()
        issuer.document = {"jwks_uri": "http://127.0.0.1:9/jwks"}
        with pytest.raises(KeysError, match="not https"):
            await source.fetch()


async def test_keys_on_https_may_not_redirect_to_http() -> None:
    authority = trustme.CA()
    async with Issuer(Signer("ES256"), tls=tls_of(authority)) as issuer:
        issuer.redirect = "http://127.0.0.1:9/jwks"
        with pytest.raises(KeysError, match="redirects from https to http"):
            await key_source(JwtAuth(jwks=issuer.jwks_url), trust(authority)).fetch()


async def test_a_certificate_that_is_not_trusted_is_refused() -> None:
    async with Issuer(Signer("ES256"), tls=tls_of(trustme.CA())) as issuer:
        assert "Certificate" in await why_not(JwtAuth(jwks=issuer.jwks_url))
    assert issuer.counts == {}


async def test_a_redirect_to_another_scheme_is_not_followed(issuer: Issuer) -> None:
    issuer.redirect = "https://127.0.0.1:9/jwks"
    assert "redirects from http to https" in await why_not(JwtAuth(jwks=issuer.jwks_url))


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:9/x"])
async def test_a_redirect_away_from_http_is_not_followed(issuer: Issuer, place: str) -> None:
    issuer.redirect = place
    assert "neither http nor https" in await why_not(JwtAuth(jwks=issuer.jwks_url))


async def test_a_redirect_within_the_scheme_is_followed(issuer: Issuer) -> None:
    issuer.redirect = "/moved"
    assert (await KeyUrl(issuer.jwks_url).fetch()).content == issuer.jwks()


async def test_redirects_end(issuer: Issuer) -> None:
    issuer.redirect = "/jwks"
    assert "more than 3 redirects" in await why_not(JwtAuth(jwks=issuer.jwks_url))
    assert issuer.counts["/jwks"] == 4


async def test_a_body_is_bounded(issuer: Issuer) -> None:
    issuer.body = b" " * (1024 * 1024 + 1)
    assert "larger than 1 MiB" in await why_not(JwtAuth(jwks=issuer.jwks_url))
    issuer.body = b" " * (1024 * 1024)
    assert (await KeyUrl(issuer.jwks_url).fetch()).content == issuer.body


async def test_a_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b" " * (1024 * 1024 + 1))
    assert "larger than 1 MiB" in await why_not(JwtAuth(jwks=str(file)))


async def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in await why_not(JwtAuth(jwks=str(tmp_path / "none.json")))


@pytest.mark.parametrize("status", [201, 204, 401, 404, 500, 503])
async def test_only_a_200_has_keys(issuer: Issuer, status: int) -> None:
    issuer.status = status
    assert str(status) in await why_not(JwtAuth(jwks=issuer.jwks_url))


async def test_a_connection_that_breaks_is_told(issuer: Issuer) -> None:
    issuer.down = True
    assert "cannot be had" in await why_not(JwtAuth(jwks=issuer.jwks_url))


async def test_a_server_that_is_away_is_told(issuer: Issuer) -> None:
    await issuer.stop()
    assert "cannot be had (ClientConnectorError)" in await why_not(JwtAuth(jwks=issuer.jwks_url))


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("max-age=120", 120.0),
        ("public, Max-Age=7200, must-revalidate", 7200.0),
        ("no-cache", None),
        ("max-age=-1", None),
        ("max-age=99999999999999", None),
        ("s-maxage=5", None),
    ],
)
async def test_how_long_keys_are_fresh_is_read(issuer: Issuer, field: str, seconds: float | None) -> None:
    issuer.headers = {"Cache-Control": field}
    assert (await KeyUrl(issuer.jwks_url).fetch()).max_age == seconds


@pytest.mark.parametrize("place", [None, "", "keys.json", "ftp://issuer.example/keys", "https://", "file:///etc/keys"])
def test_a_place_that_is_none_is_refused(place: str | None) -> None:
    with pytest.raises(KeysError):
        key_source(JwtAuth(jwks=place))


def test_a_source_shows_no_password_and_no_query() -> None:
    source = key_source(JwtAuth(jwks="https://user:secret@issuer.example:8443/keys?token=secret#secret"))
    assert repr(source) == "https://issuer.example:8443/keys"
    assert repr(KeyFile("/etc/penstock/keys.json")) == "/etc/penstock/keys.json"


async def test_the_environments_proxy_is_not_asked(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await KeyUrl(issuer.jwks_url).fetch()).content == issuer.jwks()
