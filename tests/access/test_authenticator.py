"""Promises of who is known by what a request shows."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.access.authenticator import FOREIGN, TOKEN_MEMORY, UNKNOWN_ISSUER, UNKNOWN_KEY, Authenticator
from proxy.access.demands import demand
from proxy.access.identity import CERTIFICATE, NOBODY, Caller
from proxy.access.key_sets import KeySet
from proxy.access.key_sources import Fetched
from proxy.access.keys import EXPIRED, digest_of
from proxy.access.presented import SEVERAL
from proxy.access.signing_keys import KeysError
from proxy.config.access_spec import Auth, JwtAuth
from proxy.errors import RequestError
from tests.access.heads import NOW, Clock, bearer, said
from tests.access.issuers import Signer, forge_hmac

SIGNER, STRANGER = Signer("ES256", "one"), Signer("RS256", "one")
ISSUER = JwtAuth("https://issuer", ("llm",))
CLAIMS = {"iss": "https://issuer", "aud": "llm", "sub": "sub-1", "exp": NOW + 600}
ADA = "psk-ada"
CERT = {"subject": ((("commonName", "node-1"),),), "notAfter": "Nov 14 22:13:20 2033 GMT"}


class Source:
    """A place with one key, or without any while it is `down`."""

    def __init__(self) -> None:
        self.down = False
        self.signers = [SIGNER]
        self.asked = 0

    async def fetch(self) -> Fetched:
        self.asked += 1
        if self.down:
            raise KeysError("it is down")
        return Fetched(json.dumps({"keys": [signer.jwk() for signer in self.signers]}).encode())


class World:
    """An authenticator with all that it asks, in hand."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.source = Source()
        self.made: list[KeySet] = []
        self.file = folder / "keys.yaml"
        self.write("ada")
        self.authenticator = Authenticator(clock=self.clock, key_set=self._key_set)

    def _key_set(self, auth: JwtAuth) -> KeySet:
        self.made.append(KeySet(self.source, clock=lambda: 0.0))
        return self.made[-1]

    def write(self, *names: str, more: str = "") -> None:
        digests = {name: digest_of(f"psk-{name}".encode()).hex() for name in names}
        lines = [f"  - {{name: {name}, sha256: {digest}{more}}}\n" for name, digest in digests.items()]
        self.file.write_text("version: 1\nkeys:\n" + "".join(lines))
        self.file.chmod(0o600)

    @property
    def keys(self) -> Auth:
        return Auth(keys=str(self.file))

    async def who(self, fields: Any, certificate: Any = None) -> str | None:
        caller = await self.authenticator.identify(fields, certificate)
        return None if caller.identity is None else caller.identity.id


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.authenticator.close()


def token(**changes: object) -> bytes:
    return SIGNER.mint({name: value for name, value in {**CLAIMS, **changes}.items() if value is not None})


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_is_known_at_once_in_either_field(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    for fields in (bearer(ADA), said((b"x-api-key", ADA.encode()))):
        caller = world.authenticator.known(fields)
        assert caller is not None
        assert caller.identity is not None
        assert (caller.identity.id, caller.fault, caller.credential) == ("ada", None, True)


async def test_who_shows_nothing_is_nobody(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    assert world.authenticator.known(said()) == NOBODY
    assert world.authenticator.known(said((b"Authorization", b"Basic YTpi"))) == NOBODY


async def test_an_unknown_key_and_what_is_none_of_ours_are_told_apart(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    assert world.authenticator.known(bearer("psk-eve")) == Caller(None, UNKNOWN_KEY, credential=True)
    assert world.authenticator.known(bearer("sk-engine")) == Caller(None, FOREIGN, credential=True)


async def test_two_credentials_are_a_fault_even_if_both_are_good(world: World) -> None:
    world.write("ada", "bob")
    await world.authenticator.adopt([replace(world.keys, client_certificate=True)])
    fields = said((b"Authorization", b"Bearer psk-ada"), (b"x-api-key", b"psk-bob"))
    assert world.authenticator.known(fields, CERT) == Caller(None, SEVERAL, credential=True)


async def test_an_expired_key_ends_on_a_connection_that_stays(world: World) -> None:
    world.write("ada", more=", expires: 2023-11-14T22:13:30Z")
    await world.authenticator.adopt([world.keys])
    fields = bearer(ADA)
    assert await world.who(fields) == "ada"
    world.clock.now += 10
    assert world.authenticator.known(fields) == Caller(None, EXPIRED, credential=True)


async def test_a_revoked_key_ends_on_a_connection_that_stays(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    fields, new = bearer(ADA), bearer("psk-bob")
    assert (await world.who(fields), await world.who(new)) == ("ada", None)
    world.write("bob")
    assert await world.authenticator.reload() == []
    assert (await world.who(fields), await world.who(new)) == (None, "bob")


async def test_a_file_that_goes_bad_is_told_and_its_keys_stay(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    world.file.write_text("keys: [")
    assert await world.authenticator.reload()
    assert await world.who(bearer(ADA)) == "ada"


async def test_the_same_fields_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.authenticator.adopt([world.keys])
    fields = bearer(ADA)
    first = world.authenticator.known(fields)
    monkeypatch.setattr("proxy.access.authenticator.presented", None)
    assert world.authenticator.known(fields) is first


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_is_known_once_its_keys_are_there(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER)])
    fields = bearer(token(tier="gold", name="Ada"))
    assert world.authenticator.known(fields) is None
    caller = await world.authenticator.identify(fields)
    assert caller.identity is not None
    assert (caller.identity.id, caller.identity.method, caller.identity.source) == ("sub-1", "jwt", ISSUER)
    assert caller.identity.expires == NOW + 630
    assert caller.identity.data == {**CLAIMS, "tier": "gold", "name": "Ada", "id": "sub-1"}
    assert world.authenticator.known(fields) is caller


async def test_a_claim_that_only_has_the_name_of_an_id_or_a_tier_is_none(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=replace(ISSUER, tier_claim="plan"))])
    caller = await world.authenticator.identify(bearer(token(id="root", tier="gold")))
    assert caller.identity is not None
    assert caller.identity.data["id"] == "sub-1"
    assert "tier" not in caller.identity.data


async def test_a_token_ends_with_its_expiry_and_leeway(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER)])
    fields = bearer(token())
    assert await world.who(fields) == "sub-1"
    world.clock.now = NOW + 629.9
    assert await world.who(fields) == "sub-1"
    world.clock.now = NOW + 630
    assert await world.who(fields) is None


async def test_a_token_whose_key_is_withdrawn_ends_soon_on_a_connection_that_stays(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER)])
    fields = bearer(token())
    assert await world.who(fields) == "sub-1"
    world.source.signers = [STRANGER]
    await world.made[0].reload()
    world.clock.now += TOKEN_MEMORY
    assert await world.who(fields) is None


@pytest.mark.parametrize(
    "credential",
    [
        token(exp=NOW - 60),
        token(iss="https://other"),
        token(iss=None),
        token(aud="other"),
        STRANGER.mint(CLAIMS),
        forge_hmac(SIGNER.pem(), CLAIMS, kid="one"),
        SIGNER.mint(CLAIMS, alg="none"),
        token()[:-4] + b"AAAA",
    ],
    ids=["expired", "foreign", "no issuer", "audience", "signed by a stranger", "HS256 by public key", "none", "bent"],
)
async def test_a_forged_or_stale_token_is_a_fault_that_was_meant_for_us(world: World, credential: bytes) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER), replace(world.keys, required=False)])
    caller = await world.authenticator.identify(bearer(credential))
    assert caller.identity is None
    assert caller.fault is not None
    assert caller.fault.ours
    with pytest.raises(RequestError) as raised:
        demand([replace(world.keys, required=False)], caller)
    assert credential.decode() not in raised.value.message + raised.value.headers.decode()


async def test_a_token_of_an_unknown_issuer_costs_no_fetch(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER)])
    assert world.authenticator.known(bearer(token(iss="https://other"))) == Caller(
        None, UNKNOWN_ISSUER, credential=True
    )


async def test_each_audience_of_an_issuer_vouches_for_itself(world: World) -> None:
    other = replace(ISSUER, audiences=("batch",))
    await world.authenticator.adopt([Auth(jwt=ISSUER), Auth(jwt=other)])
    assert len(world.made) == 1
    batch = await world.authenticator.identify(bearer(token(aud="batch")))
    demand([Auth(jwt=other)], batch)
    with pytest.raises(RequestError):
        demand([Auth(jwt=ISSUER)], batch)
    demand([Auth(jwt=other), Auth(jwt=ISSUER)], await world.authenticator.identify(bearer(token(aud=["llm", "batch"]))))


async def test_a_key_that_looks_like_a_token_is_a_key(world: World) -> None:
    shaped = "eyJhIjoxfQ.e30.AAAA"
    world.file.write_text(f"version: 1\nkeys: [{{name: shaped, sha256: {digest_of(shaped.encode()).hex()}}}]\n")
    await world.authenticator.adopt([Auth(jwt=replace(ISSUER, issuer=None, jwks="https://k")), world.keys])
    assert await world.who(bearer(shaped)) == "shaped"


async def test_an_issuer_that_is_away_is_told_to_those_alone_who_are_asked_for_its_token(world: World) -> None:
    world.source.down = True
    await world.authenticator.adopt([replace(world.keys, jwt=ISSUER, client_certificate=True)])
    assert await world.who(bearer(ADA)) == "ada"
    caller = await world.authenticator.identify(bearer(token()))
    demand([], caller)
    with pytest.raises(RequestError) as raised:
        demand([Auth(jwt=ISSUER)], caller)
    assert raised.value.status == 503
    assert await world.who(bearer(token()), CERT) == "node-1"


# --- certificates -----------------------------------------------------------------------------------------------------


async def test_a_certificate_is_an_identity_where_one_is_asked_for(world: World) -> None:
    await world.authenticator.adopt([world.keys])
    assert await world.who(said(), CERT) is None
    await world.authenticator.adopt([Auth(client_certificate=True)])
    assert await world.who(said(), CERT) == "node-1"


async def test_a_key_beside_a_certificate_names_the_caller_and_both_vouch(world: World) -> None:
    auths = [Auth(client_certificate=True), world.keys]
    await world.authenticator.adopt(auths)
    caller = await world.authenticator.identify(bearer(ADA), CERT)
    assert caller.identity is not None
    assert (caller.identity.id, caller.identity.vouched_by(CERTIFICATE)) == ("ada", True)
    demand(auths, caller)


async def test_fields_that_come_with_another_certificate_are_read_again(world: World) -> None:
    await world.authenticator.adopt([Auth(client_certificate=True)])
    fields = said()
    assert await world.who(fields, CERT) == "node-1"
    assert await world.who(fields, {**CERT, "subject": ((("commonName", "node-2"),),)}) == "node-2"
    assert await world.who(fields) is None


async def test_a_certificate_ends_on_a_connection_that_stays(world: World) -> None:
    await world.authenticator.adopt([Auth(client_certificate=True)])
    fields = said()
    world.clock.now = 2_015_619_199.0
    assert await world.who(fields, CERT) == "node-1"
    world.clock.now += 1
    assert await world.who(fields, CERT) is None


# --- configurations ---------------------------------------------------------------------------------------------------


async def test_it_is_active_where_anything_is_configured(world: World) -> None:
    assert not world.authenticator.active
    await world.authenticator.adopt([world.keys, Auth(jwt=ISSUER)])
    assert world.authenticator.active
    assert world.authenticator.files == (str(world.file),)
    await world.authenticator.adopt([])
    assert not world.authenticator.active


async def test_what_stays_in_a_configuration_keeps_its_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER)])
    fields = bearer(token())
    assert await world.who(fields) == "sub-1"
    await world.authenticator.adopt([Auth(jwt=replace(ISSUER)), world.keys])
    # The token is remembered: nobody takes it apart again.
    monkeypatch.setattr("proxy.access.tokens.read_parts", None)
    assert await world.who(fields) == "sub-1"
    assert (len(world.made), world.source.asked) == (1, 1)


async def test_what_leaves_a_configuration_is_unknown_at_once_and_closed(world: World) -> None:
    await world.authenticator.adopt([Auth(jwt=ISSUER), world.keys])
    fields, key = bearer(token()), bearer(ADA)
    assert (await world.who(fields), await world.who(key)) == ("sub-1", "ada")
    await world.authenticator.adopt([])
    assert (await world.who(fields), await world.who(key)) == (None, None)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_file_that_cannot_be_used_lets_nobody_in_and_keeps_nobody_else_out(
    world: World, tmp_path: Path
) -> None:
    bad = tmp_path / "none.yaml"
    await world.authenticator.adopt([world.keys, Auth(keys=str(bad))])
    assert await world.who(bearer(ADA)) == "ada"
    with pytest.raises(RequestError):
        demand([Auth(keys=str(bad))], await world.authenticator.identify(bearer(ADA)))


async def test_a_file_of_an_issuers_keys_is_read_at_once(tmp_path: Path) -> None:
    authenticator = Authenticator(clock=Clock())
    file = tmp_path / "jwks.json"
    auth = replace(ISSUER, jwks=str(file))
    await authenticator.adopt([Auth(jwt=auth)])
    assert (await authenticator.identify(bearer(token()))).identity is None
    await authenticator.adopt([])
    file.write_text(json.dumps({"keys": [SIGNER.jwk()]}))
    await authenticator.adopt([Auth(jwt=auth)])
    assert authenticator.files == (str(file),)
    assert authenticator.known(bearer(token())) is not None
    file.write_text("{")
    assert [line.startswith(f"{file}: ") for line in await authenticator.reload()] == [True]
    assert authenticator.known(bearer(token())) is not None
    await authenticator.close()


async def test_it_is_shown_without_anything_secret(world: World) -> None:
    await world.authenticator.adopt([world.keys, Auth(jwt=ISSUER)])
    assert repr(world.authenticator) == "<Authenticator 1 key files, 1 kinds of tokens>"
