"""An issuer of tokens to test against: keys, tokens signed with them, and a real server that publishes the keys."""

import asyncio
import functools
import json
import ssl
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@functools.cache
def private_key(algorithm: str, number: int = 0, bits: int = 2048) -> Any:
    """A private key of that kind. The same number gives the same key: an RSA key takes a while to make."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


def encode_part(content: bytes | Mapping[str, object]) -> bytes:
    """One part of a token."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=")


class Signer:
    """A key of an issuer, which signs tokens with one algorithm. `kid=None` names no key."""

    def __init__(self, algorithm: str = "RS256", kid: str | None = "one", *, number: int = 0, bits: int = 2048) -> None:
        self.algorithm = "EdDSA" if algorithm == "Ed448" else algorithm
        self.kid = kid
        self.private = private_key("RS256" if algorithm[:2] in {"RS", "PS"} else algorithm, number, bits)

    def jwk(self, **members: object) -> dict[str, object]:
        """The public key as it is published. A member that is None is left out."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = RSAAlgorithm.to_jwk(public, as_dict=True)
            numbers.pop("key_ops", None)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            numbers = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            numbers = OKPAlgorithm.to_jwk(public, as_dict=True)
        published = {**numbers, "use": "sig", "alg": self.algorithm, "kid": self.kid, **members}
        return {name: value for name, value in published.items() if value is not None}

    def pem(self) -> bytes:
        """The public key as a text that an attacker may use as a secret."""
        return bytes(self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def mint(self, claims: bytes | Mapping[str, object], **header: object) -> bytes:
        """A token with these claims and its true signature, whatever the header says. A header member that is None is
        left out."""
        full = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid, **header}
        head = encode_part({name: value for name, value in full.items() if value is not None})
        return self.sign(head + b"." + encode_part(claims))

    def sign(self, signed: bytes) -> bytes:
        """A token of two parts that are encoded already."""
        signature = get_default_algorithms()[self.algorithm].sign(signed, self.private)
        return signed + b"." + encode_part(signature)


def forge_hmac(secret: bytes, claims: Mapping[str, object], algorithm: str = "HS256", **header: object) -> bytes:
    """A token signed with a symmetric algorithm, by somebody who has only seen public keys."""
    full = {"alg": algorithm, "typ": "JWT", **header}
    signed = encode_part(full) + b"." + encode_part(claims)
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed, secret)
    return signed + b"." + encode_part(signature)


class Issuer:
    """A server with `/.well-known/openid-configuration` and `/jwks`, its keys, and ways to fail.

    `counts` holds the requests of each path. `down` closes each connection without an answer; `status`, `body` and
    `headers` replace those of `/jwks`, `document` replaces members of the configuration; `gate`, once set, holds
    `/jwks` until its event is; `redirect` sends askers of `/jwks` there.
    """

    def __init__(self, *signers: Signer, tls: ssl.SSLContext | None = None) -> None:
        self.signers = list(signers)
        self.counts: Counter[str] = Counter()
        self.down = False
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.document: dict[str, object] = {}
        self.gate: asyncio.Event | None = None
        self.redirect: str | None = None
        self.url = ""
        self._tls = tls
        self._runner: web.AppRunner | None = None

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    def jwks(self) -> bytes:
        """The published keys."""
        return json.dumps({"keys": [signer.jwk() for signer in self.signers]}).encode()

    def rotate(self, signer: Signer, *, keep: int = 0) -> Signer:
        """Sign with a new key from now on, and go on publishing so many of the old ones."""
        self.signers = [signer, *self.signers[:keep]]
        return signer

    def claims(self, lifetime: float = 3600.0, **changes: object) -> dict[str, object]:
        """Claims that hold for some seconds from now on. A claim that is None is left out."""
        now = int(time.time())
        full = {"iss": self.url, "aud": "llm", "sub": "ada", "iat": now, "exp": now + lifetime, **changes}
        return {name: value for name, value in full.items() if value is not None}

    def token(self, lifetime: float = 3600.0, **changes: object) -> str:
        """A token by the newest key."""
        return self.signers[0].mint(self.claims(lifetime, **changes)).decode()

    async def start(self) -> Self:
        """Listen on a free port of this host."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/jwks", self._keys)
        app.router.add_get("/moved", self._moved)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def stop(self) -> None:
        """Stop listening; connections from then on are refused."""
        if self.gate is not None:
            self.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _configuration(self, request: web.Request) -> web.Response:
        self._count(request)
        return web.json_response({"issuer": self.url, "jwks_uri": self.jwks_url, **self.document})

    async def _moved(self, request: web.Request) -> web.Response:
        self._count(request)
        return web.Response(body=self.jwks(), content_type="application/json")

    async def _keys(self, request: web.Request) -> web.Response:
        self._count(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.redirect is not None:
            return web.Response(status=302, headers={"Location": self.redirect})
        body = self.jwks() if self.body is None else self.body
        return web.Response(status=self.status, body=body, content_type="application/json", headers=self.headers)

    def _count(self, request: web.Request) -> None:
        self.counts[request.path] += 1
        if self.down and request.transport is not None:
            request.transport.abort()
