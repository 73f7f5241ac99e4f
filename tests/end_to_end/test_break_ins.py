"""Attempts to get in without a right to: each is refused, and no engine hears of it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from proxy.access.keys import digest_of
from proxy.config.access_spec import Auth
from proxy.config.settings_spec import LogSettings
from proxy.runtime.service_plan import plan_services
from tests.access.issuers import Issuer, Signer, encode_part, forge_hmac
from tests.end_to_end.callers import Keys, api_key, ask, bearer, error_of, field_of, hello, status_of
from tests.end_to_end.engines import RawEngine, raw_engine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import StartProxy, config_of
from tests.end_to_end.raw_client import RawClient, chat, get, post, raw_client
from tests.end_to_end.test_listeners import free_ports


@pytest.fixture
async def engine(stack: AsyncExitStack) -> RawEngine:
    """An engine that hears what comes through."""
    return await stack.enter_async_context(raw_engine(hello))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def closed(engine: RawEngine, keys: Keys) -> str:
    """All of it asks for a key."""
    return (
        f"servers: {{engine: {{endpoints: ['{engine.url}'], auth: {{keys: '{keys.path}'}}}}}}\n"
        "routes: [{name: all, rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}]\n"
    )


def half_closed(engine: RawEngine, keys: Keys) -> str:
    """What begins with /secure asks for a key, the rest for none; one engine has both."""
    return (
        f"servers: {{engine: {{endpoints: ['{engine.url}']}}}}\n"
        "routes:\n"
        f"  - {{name: secure, auth: {{keys: '{keys.path}'}},"
        " rules: [{name: any, match: {path: '/secure*'}, targets: [engine]}]}\n"
        "  - {name: rest, rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}\n"
    )


async def statuses(client: RawClient) -> list[int]:
    """The statuses of all answers until the proxy closes."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", await client.rest())]


def request(target: str, *lines: str, host: str | None = "Host: proxy", body: str = "{}") -> bytes:
    """A request with exactly these lines, after which the client is done."""
    head = [f"POST {target} HTTP/1.1", *([] if host is None else [host]), f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *lines, "Connection: close", "", body]).encode("latin-1")


# --- paths ------------------------------------------------------------------------------------------------------------

PATHS = [
    "/secure", "/secure/", "/secure/x", "/secure?x=1", "/secure?", "/secured",
    "//secure", "///secure", "/%2fsecure", "/%2Fsecure", "/./secure", "/x/../secure", "/x/%2e%2e/secure",
    "/x/.%2e/secure", "/x/%2E./secure", "/x/..%2fsecure", "/x%2f..%2fsecure", "/x/..;/secure", "/x;/../secure",
    "/;/secure", "/;x/secure", "/secure;x", "/secure;x=1/y", "/secure%3bx", "/%3b/secure",
    "/%73ecure", "/secur%65", "/%73%65%63%75%72%65", "/%53ecure/../%73ecure",
    "/%2573ecure", "/%252fsecure", "/%25%37%33ecure", "/x/%252e%252e/secure",
    "/\\secure", "\\secure", "/x\\..\\secure", "/%5csecure", "/x/..%5csecure", "/x/%5c../secure",
    "/%00secure", "/secure%00", "/%0asecure", "/secure%0d%0aX:y", "/%20/../secure", "/\tsecure",
    "/%c0%afsecure", "/x/%c0%ae%c0%ae/secure", "/%u0073ecure", "/%zzsecure", "/%7", "/secure%",
    "/%e2%88%95/../secure", "/%ef%bc%8f/../secure", "/x#/../secure", "/#/secure", "#/secure",
    "secure", "?/secure", ".", "*", "",
    "http://proxy/secure", "HTTP://proxy/secure", "http://proxy//secure", "http://proxy/x/../secure",
    "http://proxy/%73ecure", "https://proxy:443/secure", "http://user@proxy/secure", "http:///secure",
    "http://proxy\\secure", "http://proxy#/../secure", "http:/secure", "//proxy/secure", "ftp://proxy/secure",
    "file:///secure", "http://[::1]/secure", "http://[::1/secure", "http://proxy:x/secure",
]  # fmt: skip


@pytest.mark.parametrize("target", PATHS)
async def test_no_spelling_of_a_path_gets_around_the_key_that_it_asks_for(
    proxy: StartProxy, engine: RawEngine, keys: Keys, target: str
) -> None:
    front = await proxy(half_closed(engine, keys))
    async with raw_client(front.port) as client:
        client.send(request(target))
        answered = await statuses(client)
    assert len(answered) == 1
    assert answered[0] in {400, 401, 404, 405}
    assert engine.requests == []


async def test_what_asks_for_no_key_is_served_in_all_honest_spellings(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    front = await proxy(half_closed(engine, keys))
    for target in ("/", "/x", "/x/", "/x%20y", "/x?a=/../secure&b=//secure", "/a,b(c)/d:e@f", "/caf%C3%A9", "/.well"):
        assert (await ask(front.port, request(target))).status in {200, 400}, target
    assert [heard.split(b" ", 2)[1].decode() for heard in engine.requests] == [
        "/", "/x", "/x/", "/x%20y", "/x?a=/../secure&b=//secure", "/a,b(c)/d:e@f", "/caf%C3%A9", "/.well",
    ]  # fmt: skip


@pytest.mark.parametrize("target", PATHS)
async def test_nor_at_the_port_of_a_service(proxy: StartProxy, engine: RawEngine, keys: Keys, target: str) -> None:
    (port,) = free_ports(1)
    config = config_of(
        f"servers:\n  secure: {{endpoints: ['{engine.url}'], listener: {{port: {port}, path: '/secure*'}},"
        f" auth: {{keys: '{keys.path}'}}}}\n"
        f"  rest: {{endpoints: ['{engine.url}'], listener: {{port: {port}}}}}\n"
        "routes: [{name: rest, rules: [{name: any, match: {path: '/*'}, targets: [rest]}]}]\n"
    )
    front = await proxy(config)
    assert await front.app.set_services(plan_services(config)) == []
    async with raw_client(port) as client:
        client.send(request(target))
        answered = await statuses(client)
    assert len(answered) == 1
    assert answered[0] in {400, 401, 404, 405}
    assert engine.requests == []
    assert (await ask(port, request("/other"))).status == 200


# --- hosts ------------------------------------------------------------------------------------------------------------

HOSTS = [
    None, "Host:", "Host: ", "Host: proxy/secure", "Host: proxy?x", "Host: proxy#@x", "Host: localhost:4000/#@x",
    "Host: user@proxy", "Host: proxy, other", "Host: proxy other", "Host: proxy:80:80", "Host: proxy:port",
    "Host: [::1", "Host: http://proxy", "Host: proxy\\secure", "Host: proxy\r\nHost: other", "Host: proxy%zz",
    "Host: proxy\x00", "Host: pr\xf6xy", "Host : proxy", " Host: proxy", "Host\t: proxy",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_that_is_none_is_refused(
    proxy: StartProxy, engine: RawEngine, keys: Keys, host: str | None
) -> None:
    key = keys.add("ada")
    front = await proxy(half_closed(engine, keys))
    for target in ("/secure", "/open"):
        async with raw_client(front.port) as client:
            client.send(request(target, f"Authorization: Bearer {key}", host=host))
            assert await statuses(client) == [400]
    assert engine.requests == []


async def test_a_host_of_another_opens_no_route(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    routes = (
        f"servers: {{engine: {{endpoints: ['{engine.url}']}}}}\n"
        "routes:\n"
        "  - {name: open, rules: [{name: any, match: {headers: {host: open.example}}, targets: [engine]}]}\n"
        f"  - {{name: rest, auth: {{keys: '{keys.path}'}},"
        " rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}\n"
    )
    front = await proxy(routes)
    # What stands in the target is the host, whatever the field says, and the engine hears of that one alone.
    answer = await ask(front.port, request("http://closed.example/x", host="Host: open.example"))
    assert (answer.status, engine.requests) == (401, [])
    for spelled in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host"):
        assert (await ask(front.port, request("/x", f"{spelled}: open.example"))).status == 401
    assert (await ask(front.port, request("http://open.example/x", host="Host: closed.example"))).status == 200
    assert field_of(engine.requests[0], "host") == ["open.example"]


# --- heads ------------------------------------------------------------------------------------------------------------

# What the lines of a head get that holds the key KEY, or none. 401 leaves the connection to the next request.
HEADS = {
    "a key in Proxy-Authorization": (["Proxy-Authorization: Bearer KEY"], 401),
    "a key in a cookie": (["Cookie: authorization=Bearer KEY; x-api-key=KEY"], 401),
    "a key as Basic": (["Authorization: Basic KEY"], 401),
    "a key without a scheme": (["Authorization: KEY"], 401),
    "underscores for dashes": (["X_Api_Key: KEY"], 401),
    "a field of engines of others": (["Api-Key: KEY"], 401),
    "two alike": (["Authorization: Bearer KEY", "Authorization: Bearer KEY"], 401),
    "a stranger's first": (["Authorization: Bearer other", "Authorization: Bearer KEY"], 401),
    "a stranger's last": (["Authorization: Bearer KEY", "authorization: Bearer other"], 401),
    "two in one": (["Authorization: Bearer other, Bearer KEY"], 401),
    "a stranger's in the other field": (["Authorization: Bearer KEY", "X-Api-Key: other"], 401),
    "two keys in the other field": (["X-Api-Key: other", "X-Api-Key: KEY"], 401),
    "in quotes": (['Authorization: Bearer "KEY"'], 401),
    "with a tab": (["Authorization: Bearer\tKEY"], 401),
    "a word behind it": (["Authorization: Bearer KEY x"], 401),
    "a folded line": (["Authorization: Bearer", " KEY"], 400),
    "a folded line with a tab": (["X-Other: x", "\tAuthorization: Bearer KEY"], 400),
    "a blank before the colon": (["Authorization : Bearer KEY"], 400),
    "a blank before the name": ([" Authorization: Bearer KEY"], 400),
    "a bare LF": (["X-Other: x\nAuthorization: Bearer KEY"], 400),
    "a bare CR": (["X-Other: x\rAuthorization: Bearer KEY"], 400),
    "a NUL": (["Authorization: Bearer KEY\x00"], 400),
    "a NUL in a name": (["Authoriz\x00ation: Bearer KEY"], 400),
    "another length": (["Content-Length: 3", "Authorization: Bearer KEY"], 400),
    "a length and chunks": (["Transfer-Encoding: chunked", "Authorization: Bearer KEY"], 400),
    "a coding that is none": (["Transfer-Encoding: xchunked", "Authorization: Bearer KEY"], 400),
    "the client's word for who it is": (
        ["X-Forwarded-User: ada", "X-User-Id: ada", "X-Penstock-Caller: ada", "X-Remote-User: ada", "From: ada",
         "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Original-URL: /health", "X-Rewrite-URL: /health",
         "X-HTTP-Method-Override: OPTIONS", "X-Gateway-Destination-Endpoint: 127.0.0.1:1"],
        401,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADS)
async def test_no_head_lets_in_that_two_could_read_differently(
    proxy: StartProxy, engine: RawEngine, keys: Keys, what: str
) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    lines, expected = HEADS[what]
    async with raw_client(front.port) as client:
        client.send(request("/x", *(line.replace("KEY", key) for line in lines)))
        assert await statuses(client) == [expected]
    assert engine.requests == []


async def test_a_key_in_the_query_is_not_looked_at_and_stands_in_no_log(
    proxy: StartProxy, engine: RawEngine, keys: Keys, tmp_path: Path
) -> None:
    key, log = keys.add("ada"), tmp_path / "access.log"
    front = await proxy(closed(engine, keys), log=LogSettings(path=str(log)))
    for name in ("key", "api_key", "api-key", "access_token", "authorization", "x-api-key"):
        body = json.dumps({name: key, "model": "qwen"}).encode()
        answer = await ask(front.port, post(body, f"/x?{name}={key}&{name}=Bearer%20{key}"))
        assert answer.status == 401
        assert key not in answer.body.decode()
    await until(lambda: log.exists() and log.read_text().count("POST /x 401") == 6)
    assert key not in log.read_text()
    assert engine.requests == []


async def test_a_key_in_a_trailer_comes_too_late(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    head = b"POST /x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n"
    answer = await ask(front.port, head + f"2\r\n{{}}\r\n0\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    assert (answer.status, engine.requests) == (401, [])


async def test_a_credential_may_be_long_and_a_head_too_but_not_for_ever(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    keys.add("ada")
    front = await proxy(closed(engine, keys))
    for length, expected in ((16_000, 401), (20_000, 401), (40_000, 431), (1_000_000, 431)):
        async with raw_client(front.port) as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer " + b"a" * length)
            client.send(b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert (await client.answer()).status == expected
    many = [f"X-{number}: x" for number in range(300)]
    assert (await ask(front.port, request("/x", *many))).status == 431
    assert engine.requests == []


async def test_no_connection_field_takes_a_credential_away_or_lets_one_through(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    for named in ("authorization", "x-api-key", "Authorization, x-gateway-model-name-rewrite"):
        for fields in (bearer(key), api_key(key)):
            assert await status_of(front.port, {**fields, "Connection": named}) == 200
            assert key.encode() not in engine.requests[-1]
    assert await status_of(front.port, {"Connection": "authorization"}) == 401


# --- one connection, several callers ----------------------------------------------------------------------------------


async def test_a_connection_carries_no_identity_from_one_request_to_the_next(
    proxy: StartProxy, engine: RawEngine, keys: Keys, tmp_path: Path
) -> None:
    ada, bob, log = keys.add("ada"), keys.add("bob"), tmp_path / "access.log"
    front = await proxy(closed(engine, keys), log=LogSettings(path=str(log)))
    wrong = f"{ada[:-1]}{'a' if ada[-1] != 'a' else 'b'}"
    body = chat()
    # Three times each: the third is known by its bytes alone, which all have the same number of.
    turns = [("ada", bearer(ada)), ("bob", bearer(bob)), ("", bearer(wrong)), ("ada", bearer(ada)), ("", {})]
    expected = []
    async with raw_client(front.port) as client:
        for name, fields in turns:
            for _ in range(3):
                assert (await client.ask(post(body, **fields))).status == (200 if name else 401)
                expected.append(name)
    await until(lambda: log.exists() and len(log.read_text().splitlines()) == len(expected))
    told = [re.findall(r" caller=(\w+)", line) for line in log.read_text().splitlines()]
    assert told == [[name] if name else [] for name in expected]
    assert len(engine.requests) == 9


async def test_each_request_of_a_pipeline_is_judged_by_itself(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    good, bad = post(chat(), "/good", **bearer(key)), post(chat(), "/bad")
    last = post(chat(), "/bad", Connection="close", **bearer("psk-" + "a" * 43))
    async with raw_client(front.port) as client:
        client.send(good + bad + good + bad + last)
        answers = [await client.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 401, 200, 401, 401]
    assert [heard.split(b" ", 2)[1] for heard in engine.requests] == [b"/good", b"/good"]


async def test_what_hides_in_a_body_is_no_request(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    hidden = get("/hidden")
    async with raw_client(front.port) as client:
        assert (await client.ask(post(hidden, "/outer", **bearer(key)))).status == 200
        assert (await client.ask(post(hidden, "/outer"))).status == 401
    # Behind its last chunk stands the next request, which shows nothing.
    chunked = (
        f"POST /outer HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with raw_client(front.port) as client:
        client.send(chunked.encode() + b"2\r\n{}\r\n0\r\n\r\n" + get("/hidden", Connection="close"))
        assert await statuses(client) == [200, 401]
    assert [heard.split(b" ", 2)[1] for heard in engine.requests] == [b"/outer", b"/outer"]


async def test_what_the_engines_connection_served_before_lets_nobody_in(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    for fields, expected in ((bearer(key), 200), ({}, 401), (bearer(key), 200), (bearer("x"), 401)):
        assert await status_of(front.port, fields) == expected
    assert (len(engine.requests), engine.connections) == (2, 1)


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_of_one_file_opens_nothing_that_asks_for_another(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    mine, theirs = Keys(tmp_path, "mine"), Keys(tmp_path, "theirs")
    key, other = mine.add("ada"), theirs.add("ada")
    routes = (
        f"servers:\n  one: {{endpoints: ['{engine.url}'], auth: {{keys: '{mine.path}'}}}}\n"
        f"  two: {{endpoints: ['{engine.url}'], auth: {{keys: '{theirs.path}'}}}}\n"
        "routes:\n"
        "  - {name: one, rules: [{name: any, match: {path: /one}, targets: [one]}]}\n"
        "  - {name: two, rules: [{name: any, match: {path: /two}, targets: [two]}]}\n"
    )
    front = await proxy(routes)
    async with raw_client(front.port) as client:
        for path, shown, expected in (
            ("/one", key, 200), ("/two", key, 401), ("/two", other, 200), ("/one", other, 401), ("/one", key, 200),
        ):  # fmt: skip
            answer = await client.ask(post(chat(), path, **bearer(shown)))
            assert answer.status == expected, path
            if expected == 401:
                assert "not accepted here" in (answer.field("WWW-Authenticate") or "")
    assert len(engine.requests) == 3


async def test_what_the_file_holds_of_a_key_is_no_key(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    key = keys.add("ada")
    front = await proxy(closed(engine, keys))
    digest = digest_of(key.encode())
    for shown in (digest.hex(), digest.hex().upper(), "ada", f"psk-{digest.hex()}", key.upper(), key[4:], f"{key}="):
        assert await status_of(front.port, bearer(shown)) == 401
    assert engine.requests == []


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(Signer("RS256"), Signer("ES256", "two")) as running:
        yield running


def forgeries(issuer: Issuer) -> dict[str, bytes]:
    """Tokens of somebody who has seen the public keys and a good token."""
    signer, claims = issuer.signers[0], issuer.claims()
    stranger = Signer("RS256", "one", number=9)
    good = signer.mint(claims)
    head, body, signature = good.split(b".")
    root = encode_part({**claims, "sub": "root"})
    none = encode_part({"alg": "none", "typ": "JWT"})
    return {
        "other claims": head + b"." + root + b"." + signature,
        "another head": encode_part({"alg": "PS256", "kid": "one"}) + b"." + body + b"." + signature,
        "no signature": head + b"." + body + b".",
        "two parts": head + b"." + body,
        "zeroes": head + b"." + body + b"." + encode_part(bytes(256)),
        "alg none": none + b"." + body + b".",
        "alg none with a signature": none + b"." + body + b"." + signature,
        "alg nOnE": encode_part({"alg": "nOnE"}) + b"." + body + b".",
        "HS256 by the public key": forge_hmac(signer.pem(), claims, kid="one"),
        "HS256 by the published key": forge_hmac(json.dumps(signer.jwk()).encode(), claims, kid="one"),
        "HS256 by nothing": forge_hmac(b"", claims),
        "a stranger's key": stranger.mint(claims),
        "a key of its own": stranger.mint(claims, jwk=stranger.jwk()),
        "keys of its own": stranger.mint(claims, jku=f"{issuer.url}/moved", x5u=f"{issuer.url}/moved"),
        "an id that is a path": stranger.mint(claims, kid="../../../../dev/null"),
        "an id that is a query": stranger.mint(claims, kid="x' UNION SELECT 'key"),
        "another's key": issuer.signers[1].mint(claims, kid="one"),
        "expired": signer.mint(issuer.claims(lifetime=-31)),
        "never ends": signer.mint(issuer.claims(exp=None)),
        "ends in no number": signer.mint(issuer.claims(exp="never")),
        "not yet": signer.mint(issuer.claims(nbf=issuer.claims()["exp"])),
        "of nobody": signer.mint(issuer.claims(sub=None)),
        "of a list": signer.mint(issuer.claims(sub=["ada"])),
        "for others": signer.mint(issuer.claims(aud="llm2")),
        "for nobody": signer.mint(issuer.claims(aud=None)),
        "of an issuer alike": signer.mint(issuer.claims(iss=f"{issuer.url}/")),
        "of no issuer": signer.mint(issuer.claims(iss=None)),
        "oversized claims": signer.mint(issuer.claims(more="x" * 16_000)),
        "a critical extension": signer.mint(claims, crit=["b64"], b64=False),
        "encrypted": encode_part({"alg": "RSA-OAEP", "enc": "A256GCM"}) + b".a.b.c.d",
    }


async def test_no_forged_token_gets_in(proxy: StartProxy, engine: RawEngine, issuer: Issuer) -> None:
    jwt = f"{{issuer: '{issuer.url}', audience: llm}}"
    front = await proxy(
        f"servers: {{engine: {{endpoints: ['{engine.url}'], auth: {{jwt: {jwt}}}}}}}\n"
        "routes: [{name: all, rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}]\n"
    )
    assert await status_of(front.port, bearer(issuer.token())) == 200
    heard = len(engine.requests)
    async with raw_client(front.port) as client:
        for what, token in forgeries(issuer).items():
            for fields in (bearer(token.decode()), api_key(token.decode())):
                answer = await client.ask(post(chat(), **fields))
                assert answer.status == 401, what
                assert 'error="inv' in (answer.field("WWW-Authenticate") or ""), what
                assert token.decode() not in (answer.head + answer.body).decode("latin-1")
        assert (await client.ask(post(chat(), **bearer(issuer.token())))).status == 200
    assert len(engine.requests) == heard + 1
    assert issuer.counts["/moved"] == 0


# --- models -----------------------------------------------------------------------------------------------------------

# Bodies of a key that may use `small`, of which some reader could take the model for `large`.
BODIES = {
    "the other one last": b'{"model": "small", "model": "large"}',
    "the other one first and last": b'{"model": "large", "model": "small", "model": "large"}',
    "an escaped name": b'{"model": "small", "mod\\u0065l": "large"}',
    "an escaped name alone": b'{"\\u006d\\u006f\\u0064\\u0065\\u006c": "large"}',
    "an escaped value": b'{"model": "l\\u0061rge"}',
    "a list": b'{"model": ["small", "large"]}',
    "null": b'{"model": null}',
    "a list behind it": b'{"model": "small", "model": ["large"]}',
    "in a list": b'[{"model": "large"}]',
    "something behind it": b'{"model": "small"} {"model": "large"}',
    "a comma too many": b'{"model": "small",}',
    "a comment": b'{"model": "small" /* , "model": "large" */}',
    "no number": b'{"model": "small", "n": NaN, "model": "large"}',
    "a byte order mark": b'\xef\xbb\xbf{"model": "large"}',
    "UTF-16": '{"model": "large"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"model": "large"}'.encode("utf-16-le"),
    "UTF-32": '{"model": "large"}'.encode("utf-32-be"),
    "a NUL behind it": b'{"model": "large"}\x00',
    "a NUL in it": b'{"model": "small\\u0000large"}',
    "a blank behind it": b'{"model": "small "}',
    "a surrogate": b'{"model": "small\\ud800"}',
    "a form": b"model=large",
    "nothing": b"",
}


@pytest.mark.parametrize("what", BODIES)
async def test_no_body_hides_a_model_that_a_key_may_not_use(
    proxy: StartProxy, engine: RawEngine, keys: Keys, what: str
) -> None:
    key = keys.add("ada", models=["small"])
    front = await proxy(closed(engine, keys))
    body = BODIES[what]
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        head = f"POST /x HTTP/1.1\r\nHost: proxy\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        answer = await ask(front.port, f"{head}X-Api-Key: {key}\r\n\r\n".encode() + body)
        assert (answer.status, error_of(answer)) == (403, "model_not_allowed"), content_type
    assert engine.requests == []


async def test_of_a_model_given_twice_the_engine_takes_the_one_that_was_judged(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada", models=["small"])
    front = await proxy(closed(engine, keys))
    answer = await ask(front.port, post(b'{"model": "large", "model": "small"}', **bearer(key)))
    assert answer.status == 200
    body = engine.requests[0].partition(b"\r\n\r\n")[2]
    assert (json.loads(body)["model"], orjson.loads(body)["model"]) == ("small", "small")


async def test_a_control_header_names_no_model_or_endpoint_that_a_key_may_not_use(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada", models=["small"])
    front = await proxy(closed(engine, keys))
    name = "x-gateway-model-name-rewrite"
    for lines in ([f"{name}: large"], [f"{name}: small", f"{name}: large"], [f"{name.upper()}: \t large"],
                  ["x-llm-d-model-name-rewrite: large", f"{name}: small"], [f"{name}: small, small"]):  # fmt: skip
        data = request("/x", f"x-api-key: {key}", *lines, body='{"model": "small"}')
        assert (await ask(front.port, data)).status == 403, lines
    assert engine.requests == []
    controls = ("x-prefiller-host-port", "x-gateway-destination-endpoint", "x-data-parallel-host-port", name)
    lines = [f"{control}: {'small' if control == name else '127.0.0.1:1'}" for control in controls]
    assert (await ask(front.port, request("/x", f"x-api-key: {key}", *lines, body='{"model": "small"}'))).status == 200
    assert [field_of(engine.requests[0], control) for control in controls] == [[], [], [], []]


async def test_the_settings_key_is_asked_for_before_anything_is_read_of_a_request(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    front = await proxy(closed(engine, keys), auth=Auth(keys=str(keys.path)))
    for data in (post(b"{", "/x"), post(chat("nobody"), "/nowhere"), get("/v1/models"), get("/v1/models", "HEAD")):
        method = data.split(b" ", 1)[0].decode()
        assert (await ask(front.port, data, method=method)).status == 401
    assert engine.requests == []


FORMS = {
    "twice": 'form-data; name="model"',
    "a name without quotes": "form-data; name=model",
    "two names": 'form-data; name="x"; name="model"',
    "blanks": 'form-data; name = "model"',
    "two dispositions": 'form-data; name="x"\r\nContent-Disposition: form-data; name="model"',
    "almost a file": 'form-data; name="model"; x="filename"',
}


@pytest.mark.parametrize("what", FORMS)
async def test_no_form_hides_a_model_that_a_key_may_not_use(
    proxy: StartProxy, engine: RawEngine, keys: Keys, what: str
) -> None:
    key = keys.add("ada", models=["small"])
    front = await proxy(closed(engine, keys))

    def form(*parts: str) -> bytes:
        body = "".join(f"--xyz\r\nContent-Disposition: {part}\r\n" for part in parts) + "--xyz--\r\n"
        lines = (f"x-api-key: {key}", "Content-Type: multipart/form-data; boundary=xyz")
        return request("/v1/audio/transcriptions", *lines, body=body)

    small = 'form-data; name="model"\r\n\r\nsmall'
    assert (await ask(front.port, form(small, 'form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'))).status == 200
    assert (await ask(front.port, form(small, f"{FORMS[what]}\r\n\r\nlarge"))).status == 403
    assert len(engine.requests) == 1
