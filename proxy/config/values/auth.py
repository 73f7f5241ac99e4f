"""Readers of what callers must show: JSON Web Tokens, API keys, client certificates."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from proxy.config.access_spec import ASYMMETRIC, Auth, JwtAuth
from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, Node, ScalarNode, described, quoted, shown
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import (
    alternatives,
    boolean,
    choice,
    duration_or_zero,
    existing_file,
    is_faulty,
    mismatch,
    name,
    one_or_more,
    text,
)

_URL = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_WITH_PASSWORD = re.compile(r"[^/]*://[^/]*@")
_SYMMETRIC = re.compile(r"(?i)HS[0-9]+")
_AUTH, _JWT = Auth(), JwtAuth()


def auth_of(fields: Fields) -> Auth | None:
    """What callers must show, if anything. A key without a value, its lines left out, would let anybody in."""
    _refuse_empty(fields, "auth", "which would let anybody in: say what callers must show, or leave the key out")
    return fields.get("auth", read_auth)


def read_auth(node: Node, problems: Problems) -> Auth | None:
    """What callers are known by: any of the ways that are given, of which there is at least one."""
    fields = fields_of(node, problems, "a mapping with jwt, keys, client_certificate, required, forward")
    if fields is None:
        return None
    with fields:
        before = problems.errors
        _refuse_empty(fields, "jwt", "so no token would do: say which are good, or leave the key out")
        _refuse_empty(fields, "keys", "so no API key would do: name the key file, or leave the key out")
        auth = Auth(
            jwt=fields.get("jwt", read_jwt),
            keys=fields.get("keys", existing_file),
            client_certificate=fields.get("client_certificate", boolean, _AUTH.client_certificate),
            required=fields.get("required", boolean, _AUTH.required),
            forward=fields.get("forward", boolean, _AUTH.forward),
        )
        if problems.errors == before and auth.jwt is None and auth.keys is None and not auth.client_certificate:
            message = "expected at least one of jwt, keys and client_certificate: nobody could be known otherwise"
            problems.error(fields.place, Code.MISSING_KEY, message)
    return auth


def _refuse_empty(fields: Fields, key: str, why: str) -> None:
    node = fields.node_of(key)
    if node is not None and fields.stands_empty(key):
        fields.problems.error(node.place, Code.MISSING_KEY, f"{key} is empty, {why}")


def read_jwt(node: Node, problems: Problems) -> JwtAuth | None:
    """Which JSON Web Tokens are good, and where the keys that they are checked with are found."""
    fields = fields_of(node, problems, "a mapping with issuer, audience, jwks, algorithms and so on")
    if fields is None:
        return None
    with fields:
        fields.exclusive(("audience", "audiences"))
        fields.exclusive(("jwks", "jwksUri"))  # Kthena's word
        audiences = fields.get("audience", one_or_more(text), _JWT.audiences)
        jwt = JwtAuth(
            issuer=fields.get("issuer", name),
            audiences=fields.get("audiences", one_or_more(text), audiences),
            jwks=fields.get("jwks", _read_keys, fields.get("jwksUri", _read_keys)),
            algorithms=fields.get("algorithms", _read_algorithms, _JWT.algorithms),
            leeway=fields.get("leeway", duration_or_zero, _JWT.leeway),
            user_claim=fields.get("user_claim", name, _JWT.user_claim),
            tier_claim=fields.get("tier_claim", name, _JWT.tier_claim),
        )
        check_issuer(fields, "issuer", "jwksUri" if fields.filled("jwksUri") is not None else "jwks")
    return jwt


def check_issuer(fields: Fields, issuer: str, keys: str) -> None:
    """There is an issuer or a place of keys; an issuer alone is a URL, through which its keys are found."""
    nodes = fields.node_of(issuer), fields.node_of(keys)
    if any(node is not None and is_faulty(node) for node in nodes):
        return
    node = fields.filled(issuer)
    if fields.filled(keys) is not None:
        return
    if node is None:
        message = f"expected {issuer}, {keys} or both: without them every token would do"
        fields.problems.error(fields.place, Code.MISSING_KEY, message)
    elif isinstance(node, ScalarNode) and _URL.fullmatch(node.text):
        _check_url(node, fields.problems)
    elif isinstance(node, ScalarNode) and isinstance(node.value, str) and node.text:
        message = f"this is no URL, and without {keys} the keys are found through the issuer's"
        fields.problems.error(node.place, Code.BAD_ADDRESS, message)


def _read_keys(node: Node, problems: Problems) -> str | None:
    """The URL of a key set, or the path of a file with one."""
    if isinstance(node, ScalarNode) and node.text.startswith(("http://", "https://")):
        return read_keys_url(node, problems)
    return existing_file(node, problems)


def read_keys_url(node: Node, problems: Problems) -> str | None:
    """The URL of a key set. Whoever can change what comes over plain http lets in whom they like, which is told."""
    found = text(node, problems)
    if found is None or not isinstance(node, ScalarNode):
        return None
    if _WITH_PASSWORD.match(found):
        problems.error(node.place, Code.BAD_ADDRESS, "a user and password do not belong in the URL of keys")
        return None
    if not _URL.fullmatch(found):
        message = f"expected a URL that begins with https:// or http://, found {_described(node)}"
        problems.error(node.place, Code.BAD_ADDRESS, message)
        return None
    return found if _check_url(node, problems) else None


def _check_url(node: ScalarNode, problems: Problems) -> bool:
    """Whether somebody can be asked there, over what can be trusted."""
    try:
        parts = urlsplit(node.text)
        host, port = parts.hostname, parts.port
        if parts.netloc.startswith("["):
            ip_address(host or "")
        sound = bool(host) and port != 0 and _AUTHORITY.fullmatch(parts.netloc) is not None
    except ValueError:
        sound = False
    if not sound:
        expected = "expected a host and a port from 1 to 65535 in this URL"
        problems.error(node.place, Code.BAD_ADDRESS, f"{expected}, found {_described(node)}")
        return False
    if parts.scheme == "http" and not _is_loopback(host or ""):
        message = "keys that come over plain http can be changed on their way, by which anyone gets in: use https"
        problems.warning(node.place, Code.BAD_ADDRESS, message)
    return True


def _described(node: ScalarNode) -> str:
    """What was found, without the query: a token may stand in it."""
    bare, mark, _ = node.text.partition("?")
    return f"{shown(bare)} and a query" if mark and not node.hidden else described(node)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read_algorithms(node: Node, problems: Problems) -> tuple[str, ...] | None:
    found = one_or_more(_read_algorithm)(node, problems)
    if isinstance(node, ListNode) and not node.items:
        mismatch(node, problems, "at least one algorithm")
        return None
    return None if found is None else tuple(dict.fromkeys(found))


def _read_algorithm(node: Node, problems: Problems) -> str | None:
    """One that a public key checks: with none of the others is a token proof of anything."""
    if not isinstance(node, ScalarNode) or not (node.text.lower() == "none" or _SYMMETRIC.fullmatch(node.text)):
        return choice(ASYMMETRIC)(node, problems)
    fault = (
        "signs nothing: anyone could make such a token"
        if node.text.lower() == "none"
        else "is keyed by a secret, and whoever knows the public key could sign with that instead"
    )
    message = f"the algorithm {quoted(node)} {fault}; expected {alternatives(ASYMMETRIC)}"
    problems.error(node.place, Code.BAD_VALUE, message)
    return None
