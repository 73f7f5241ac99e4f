"""What it costs to know a caller, in nanoseconds.

Run `python benchmarks/access.py`. Each figure is the best of seven rounds, the loop's own cost taken off. Each kind of
credential has a function that lists its parts.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from proxy.access.authenticator import Authenticator
from proxy.access.demands import demand, permit_model, permit_rewrites
from proxy.access.key_sets import KeySet
from proxy.access.key_sources import Fetched
from proxy.access.keys import digest_of, make_key
from proxy.access.targets import refuse_ambiguous
from proxy.access.token_parts import looks_like_token, unverified_issuer
from proxy.access.tokens import TokenVerifier
from proxy.config.access_spec import Auth, JwtAuth
from proxy.wire.request_gate import RequestFields, check_fields

ROUNDS = 7
CALLS = 20_000
ISSUER = "https://login.example.com/realms/llm"


class Part(NamedTuple):
    """Something to measure: `prepare` makes the call anew for each round, and each input is handed to it `times`."""

    name: str
    prepare: Callable[[], Callable[[Any], object]]
    inputs: Sequence[Any]
    times: int = 1


def measure(part: Part) -> float:
    """Nanoseconds of one call."""
    inputs = list(part.inputs) * part.times
    loop = min(one_round(None, inputs) for _ in range(ROUNDS))
    return min(one_round(part.prepare(), inputs) for _ in range(ROUNDS)) - loop


def one_round(call: Callable[[Any], object] | None, inputs: list[Any]) -> float:
    """Nanoseconds of one turn of the loop."""
    begun = time.perf_counter_ns()
    if call is None:
        for _ in inputs:
            pass
    else:
        for item in inputs:
            call(item)
    return (time.perf_counter_ns() - begun) / len(inputs)


class Published:
    """A key set that is at hand."""

    def __init__(self, key: dict[str, Any]) -> None:
        self._content = json.dumps({"keys": [key]}).encode()

    async def fetch(self) -> Fetched:
        """The key set as it is published."""
        return Fetched(self._content)


def verifier(key: dict[str, Any], kid: str) -> TokenVerifier:
    """A verifier that has the key and remembers no token yet."""
    keys = KeySet(Published({**key, "kid": kid, "use": "sig"}))
    asyncio.run(keys.reload())
    return TokenVerifier(JwtAuth(issuer=ISSUER, audiences=("llm",)), keys)


def mint(private: Any, algorithm: str, number: int) -> bytes:
    """A token as an issuer of today makes them: about 550 bytes with RSA, 300 with an elliptic curve."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "llm", "sub": f"user-{number}", "iat": now, "exp": now + 3600, "tier": "gold"}
    return jwt.encode(claims, private, algorithm, {"kid": algorithm}).encode()


def token_parts() -> list[Part]:
    """JSON Web Tokens: seen for the first time, remembered, and forged."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    kinds: list[tuple[str, Any, dict[str, Any]]] = [
        ("RS256", rsa_key, RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)),
        ("PS256", rsa_key, RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)),
        ("ES256", ec_key, ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True)),
        ("EdDSA", ed_key, OKPAlgorithm.to_jwk(ed_key.public_key(), as_dict=True)),
    ]
    parts = []
    for algorithm, private, public in kinds:
        tokens = [mint(private, algorithm, number) for number in range(300)]
        forged = [token[:-8] + b"AAAAAAAA" for token in tokens]
        warm = verifier(public, algorithm)
        for token in tokens:
            if warm.known(token) != warm.known(token):
                raise SystemExit(f"a good {algorithm} token is refused")
        parts += [
            Part(f"token: {algorithm}, first seen", lambda k=public, a=algorithm: verifier(k, a).known, tokens),  # type: ignore[misc]
            Part(f"token: {algorithm}, forged", lambda warm=warm: warm.known, forged),  # type: ignore[misc]
            Part(f"token: {algorithm}, remembered", lambda warm=warm: warm.known, tokens, CALLS // 300),  # type: ignore[misc]
        ]
    tokens = [mint(rsa_key, "RS256", number) for number in range(300)]
    return [
        *parts,
        Part("token: told from a key", lambda: looks_like_token, tokens, CALLS // 300),
        Part("token: its issuer, unverified", lambda: unverified_issuer, tokens, CALLS // 300),
    ]


def key_parts() -> list[Part]:
    """API keys in a file of a thousand: from a head's fields to the verdict of a route, and the path that it judges."""
    made = [make_key() for _ in range(1_000)]
    auths = [Auth(keys=str(key_file(made)))]
    authenticator = Authenticator()
    asyncio.run(authenticator.adopt(auths))
    Path(str(auths[0].keys)).unlink()
    heads = [request_fields(key) for key in made[:300]]
    strangers = [request_fields(make_key()) for _ in range(300)]

    def first_seen(said: RequestFields) -> object:
        said.caller = None
        return authenticator.known(said)

    callers = [caller for said in heads if (caller := authenticator.known(said)) is not None]
    if not all(caller.identity for caller in callers):
        raise SystemExit("a good key is refused")
    identities = [caller.identity for caller in callers]
    times = CALLS // 300
    return [
        Part("key: first seen on a connection", lambda: first_seen, heads, times),
        Part("key: unknown", lambda: first_seen, strangers, times),
        Part("key: seen before on the connection", lambda: authenticator.known, heads, times),
        Part("demand: the identity's source", lambda: lambda caller: demand(auths, caller), callers, times),
        Part("models: by name", lambda: lambda known: permit_model(known, "qwen"), identities, times),
        Part("models: by glob", lambda: lambda known: permit_model(known, "llama-3"), identities, times),
        Part("models: control headers", lambda: lambda said: permit_rewrites(identities[0], said.fields), heads, times),
        Part("path: plain", lambda: refuse_ambiguous, [b"/v1/chat/completions"] * 300, times),
        Part("path: with an escape", lambda: refuse_ambiguous, [b"/v1/models/org%20model"] * 300, times),
    ]


def key_file(keys: list[str]) -> Path:
    """A file of these keys, kept to two models."""
    lines = [f"  - {{name: key-{n}, sha256: {digest_of(key.encode()).hex()}" for n, key in enumerate(keys)]
    with NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        file.write("version: 1\nkeys:\n" + "".join(f"{line}, models: [qwen, llama-*]}}\n" for line in lines))
    return Path(file.name)


def request_fields(key: str) -> RequestFields:
    """The fields that an OpenAI client sends."""
    return check_fields(
        "1.1",
        [
            (b"Host", b"penstock"),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"gzip, deflate"),
            (b"Connection", b"keep-alive"),
            (b"Content-Type", b"application/json"),
            (b"User-Agent", b"OpenAI/Python 3.52.0"),
            (b"X-Stainless-Lang", b"python"),
            (b"X-Stainless-Retry-Count", b"0"),
            (b"Authorization", b"Bearer " + key.encode()),
        ],
    )


def main() -> None:
    """Print a line for each part."""
    for part in (*key_parts(), *token_parts()):
        print(f"{part.name:45} {measure(part):9.0f} ns")


if __name__ == "__main__":
    main()
