"""Where an issuer's keys come from: a URL, the issuer's own configuration document, or a file."""

import asyncio
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec
from yarl import URL

from proxy.access.signing_keys import KeysError
from proxy.config.access_spec import JwtAuth
from proxy.config.regular_file import read_regular

# In bytes. A set of 100 keys of 4096 bits is a tenth of it.
LARGEST_BODY = 1024 * 1024
MOST_REDIRECTS = 3
TIMEOUT = aiohttp.ClientTimeout(total=5.0, connect=3.0)
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])", re.IGNORECASE)
WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A key set as it came, and for how many seconds its sender says that it is fresh (None: not said)."""

    content: bytes
    max_age: float | None = None


class KeySource(Protocol):
    """A place that has an issuer's keys. Its `repr` holds no password and no query."""

    async def fetch(self) -> Fetched:
        """Get them. Raises KeysError."""


class KeyFile:
    """A key set in a file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def __repr__(self) -> str:
        return str(self._path)

    async def fetch(self) -> Fetched:
        """Read it, off the event loop. Raises KeysError."""
        try:
            content = await asyncio.to_thread(self._read)
        except OSError as error:
            raise KeysError(f"it cannot be read ({error.strerror})") from error
        if len(content) > LARGEST_BODY:
            raise KeysError("it is larger than 1 MiB")
        return Fetched(content)

    def _read(self) -> bytes:
        return read_regular(self._path, LARGEST_BODY + 1)


class KeyUrl:
    """A key set at a URL. `tls` replaces the system's trust in certificates."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._url = parse_url(url)
        self._tls = tls

    def __repr__(self) -> str:
        return public_form(self._url)

    async def fetch(self) -> Fetched:
        """Get it. Raises KeysError."""
        async with open_session(self._tls) as session:
            return await get(session, self._url)


class Discovery(msgspec.Struct, frozen=True):
    """What is needed of an issuer's configuration document (OpenID Connect Discovery 1.0 section 3)."""

    issuer: str
    jwks_uri: str


class KeyDiscovery:
    """A key set whose URL the issuer's configuration document tells, which is asked each time."""

    def __init__(self, issuer: str, tls: ssl.SSLContext | None = None) -> None:
        self._issuer = issuer
        self._url = parse_url(issuer.removesuffix("/") + WELL_KNOWN)
        self._tls = tls

    def __repr__(self) -> str:
        return public_form(self._url)

    async def fetch(self) -> Fetched:
        """Get the document, then the keys. Raises KeysError."""
        async with open_session(self._tls) as session:
            document = await get(session, self._url)
            return await get(session, self._keys_url(document.content))

    def _keys_url(self, document: bytes) -> URL:
        try:
            found = msgspec.json.decode(document, type=Discovery)
        except (ValueError, RecursionError) as error:
            raise KeysError("it is not a JSON object with issuer and jwks_uri") from error
        if found.issuer != self._issuer:
            # Section 4.3: else anybody who can answer at one URL could speak for another issuer.
            raise KeysError("its issuer is not exactly the one that is configured")
        url = parse_url(found.jwks_uri)
        if url.scheme != "https" and self._url.scheme != "http":
            raise KeysError("its jwks_uri is not https")
        return url


def key_source(auth: JwtAuth, tls: ssl.SSLContext | None = None) -> KeySource:
    """Where the keys of these tokens are. Raises KeysError where no place is named or its URL is none."""
    if auth.jwks is None:
        if auth.issuer is None:
            raise KeysError("neither an issuer nor its keys are named")
        return KeyDiscovery(auth.issuer, tls)
    if auth.jwks.startswith("/"):
        return KeyFile(auth.jwks)
    return KeyUrl(auth.jwks, tls)


def parse_url(text: str) -> URL:
    """A URL that may be asked. Raises KeysError."""
    try:
        url = URL(text)
    except (ValueError, TypeError) as error:
        raise KeysError("a URL in it cannot be read") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise KeysError("a URL in it is neither http nor https")
    return url


def public_form(url: URL) -> str:
    """A URL as it may stand in a log: no user, no password, no query, no fragment."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def open_session(tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session for one fetch. It keeps no cookies, asks no proxy of the environment, and unpacks nothing."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls if tls is not None else True, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=TIMEOUT,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "penstock"},
        auto_decompress=False,
        trust_env=False,
    )


async def get(session: aiohttp.ClientSession, url: URL) -> Fetched:
    """A bounded document, after a few redirects within one scheme. Raises KeysError."""
    scheme = url.scheme
    try:
        for _ in range(MOST_REDIRECTS + 1):
            async with session.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    return await read(response)
                url = parse_url(str(url.join(URL(response.headers.get("Location", "")))))
            if url.scheme != scheme:
                raise KeysError(f"{public_form(response.url)} redirects from {scheme} to {url.scheme}")
    except TimeoutError as error:
        raise KeysError(f"no answer within {TIMEOUT.total:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The error's text may hold what the other side sent.
        raise KeysError(f"it cannot be had ({type(error).__name__})") from error
    raise KeysError(f"more than {MOST_REDIRECTS} redirects")


async def read(response: aiohttp.ClientResponse) -> Fetched:
    """The body of an answer that must be a 200. Raises KeysError."""
    if response.status != 200:
        raise KeysError(f"the answer is a {response.status}")
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > LARGEST_BODY:
            response.close()
            raise KeysError("the answer is larger than 1 MiB")
    fresh = MAX_AGE.search(", ".join(response.headers.getall("Cache-Control", ())))
    return Fetched(bytes(content), float(fresh[1]) if fresh else None)
