"""Who may call, how much each may take, and what the proxy itself shows, written as the native form has them."""

from collections.abc import Sequence

from proxy.config.access_spec import Auth, Counted, JwtAuth, Limit, Queueing, Redis
from proxy.config.spec import Credential, ServiceListener
from proxy.config.writing.matches import path_tree
from proxy.config.writing.values import duration, one_or_list, optional, said, unless
from proxy.config.writing.yaml_text import Tree, boolean, number, text

_AUTH, _JWT, _REDIS, _QUEUEING = Auth(), JwtAuth(), Redis(""), Queueing()
_LIMIT = Limit(Counted.REQUESTS, 1.0)
_CREDENTIAL = Credential()


def auth_tree(auth: Auth) -> Tree:
    """What callers have to show."""
    return said(
        jwt=optional(auth.jwt, _jwt),
        keys=optional(auth.keys, text),
        client_certificate=unless(auth.client_certificate, _AUTH.client_certificate, boolean),
        required=unless(auth.required, _AUTH.required, boolean),
        forward=unless(auth.forward, _AUTH.forward, boolean),
    )


def _jwt(jwt: JwtAuth) -> Tree:
    return said(
        issuer=optional(jwt.issuer, text),
        audience=one_or_list(jwt.audiences),
        jwks=optional(jwt.jwks, text),
        algorithms=None if jwt.algorithms == _JWT.algorithms else one_or_list(jwt.algorithms),
        leeway=unless(jwt.leeway, _JWT.leeway, duration),
        user_claim=unless(jwt.user_claim, _JWT.user_claim, text),
        tier_claim=unless(jwt.tier_claim, _JWT.tier_claim, text),
    )


def limits_tree(limits: Sequence[Limit]) -> Tree | None:
    """All limits; None where there is none."""
    return [_limit(limit) for limit in limits] or None


def _limit(limit: Limit) -> Tree:
    return {
        limit.counted.value: number(limit.amount),
        **said(
            per=unless(limit.unit, _LIMIT.unit, text),
            burst=optional(limit.burst, number),
            by=one_or_list([share.value for share in limit.by]),
            redis=optional(limit.redis, _redis),
        ),
    }


def _redis(redis: Redis) -> Tree:
    more = said(
        fail=unless(redis.fail, _REDIS.fail, lambda fail: text(fail.value)),
        timeout=unless(redis.timeout, _REDIS.timeout, duration),
    )
    return {"url": text(redis.url), **more} if more else text(redis.url)


def queueing_parts(queueing: Queueing | None) -> dict[str, Tree]:
    """The keys of a server that say how many requests it may have at once."""
    if queueing is None:
        return {}
    return said(
        max_in_flight=optional(queueing.max_in_flight, number),
        max_in_flight_per_endpoint=optional(queueing.per_endpoint, number),
        max_pending=unless(queueing.max_pending, _QUEUEING.max_pending, number),
        queue_timeout=unless(queueing.timeout, _QUEUEING.timeout, duration),
    )


def credential_parts(credential: Credential | None) -> dict[str, Tree]:
    """The one key of a server that says what the engines are shown: a key as it is, in a file or in a secret."""
    if credential is None:
        return {}
    if credential.secret is None:
        return said(api_key=optional(credential.value, text), api_key_file=optional(credential.file, text))
    secret = said(
        secret=text(credential.secret),
        key=text(credential.key),
        scheme=unless(credential.scheme, _CREDENTIAL.scheme, text),
    )
    return {"credential": secret}


def listener_tree(listener: ServiceListener) -> Tree:
    """The port of a server's own service."""
    paths = [path_tree(path) for path in listener.paths]
    return said(
        port=number(listener.port),
        tls_secret=optional(listener.tls_secret, text),
        path=paths[0] if len(paths) == 1 else None,
        paths=paths if len(paths) > 1 else None,
    )
