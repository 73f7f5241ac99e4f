"""What routes and servers demand of a caller: pure functions that pass, or raise the answer."""

from collections.abc import Sequence

from proxy.access.identity import CERTIFICATE, Caller, Identity
from proxy.config.access_spec import Auth
from proxy.config.text.nodes import shown
from proxy.errors import RequestError
from proxy.wire.fields import Field

REALM = b'Bearer realm="penstock"'

# A client's wish for another model than its body names (Gateway API inference extension).
REWRITE_FIELDS = frozenset({b"x-llm-d-model-name-rewrite", b"x-gateway-model-name-rewrite"})


def demand(auths: Sequence[Auth], caller: Caller) -> None:
    """Pass a caller whom each of these knows by one of its sources; RequestError (401) for anybody else.

    One that is not required passes others too, but for those who show what was meant for us and is worth nothing: they
    should hear of it. Hot path: benchmarks/access.py measures it.
    """
    identity = caller.identity
    for auth in auths:
        if identity is not None and _knows(auth, identity):
            continue
        if not auth.required and (caller.fault is None or not caller.fault.ours):
            continue
        raise _refusal(caller)


def _knows(auth: Auth, identity: Identity) -> bool:
    if auth.keys is not None and identity.vouched_by(auth.keys):
        return True
    if auth.jwt is not None and identity.vouched_by(auth.jwt):
        return True
    return auth.client_certificate and identity.vouched_by(CERTIFICATE)


def _refusal(caller: Caller) -> RequestError:
    fault = caller.fault
    if fault is not None and fault.unavailable is not None:
        return fault.unavailable
    if not caller.credential:
        message = "Nothing says who calls: send a key or a token as Authorization: Bearer …, or a key as x-api-key."
        return _unauthorized(message, REALM)
    error = "invalid_token" if fault is None else fault.error
    description = "The credential is not accepted here" if fault is None else fault.description
    challenge = REALM + f', error="{error}", error_description="{description}"'.encode("ascii", "replace")
    return _unauthorized(f"{description}.", challenge)


def _unauthorized(message: str, challenge: bytes) -> RequestError:
    headers = b"WWW-Authenticate: " + challenge + b"\r\n"
    return RequestError(401, message, kind="authentication_error", code="invalid_api_key", headers=headers)


def permit_model(identity: Identity | None, model: str | None) -> None:
    """Pass the model that a request names; RequestError (403) where its caller may use some, and not this one.

    A request that names none is then refused too: what an engine takes for it is not ours to know.
    """
    if identity is None or identity.permits is None or (model is not None and identity.permits(model)):
        return
    what = "a request that names no model" if model is None else f"the model {shown(model)}"
    raise RequestError(
        403, f"This caller may not use {what}.", kind="permission_error", code="model_not_allowed", param="model"
    )


def permit_rewrites(identity: Identity | None, fields: Sequence[Field]) -> None:
    """Pass the models that control headers ask for in place of the body's; RequestError (403) as for the body's own.

    Several fields of a name are one value, joined by ", ", as whoever obeys them reads it.
    """
    if identity is None or identity.permits is None:
        return
    asked: dict[bytes, bytes] = {}
    for name, _, value in fields:
        if name in REWRITE_FIELDS:
            asked[name] = asked[name] + b", " + value if name in asked else value
    for value in asked.values():
        model = value.strip(b" \t").decode("utf-8", "surrogateescape")
        if model:
            permit_model(identity, model)
