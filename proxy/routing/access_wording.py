"""Who may call, how much each may take and what the proxy shows, in words. No key, password or token is ever told."""

from urllib.parse import urlsplit

from proxy.config.access_spec import Auth, Counted, JwtAuth, Limit, Queueing, Redis, Share
from proxy.config.match_spec import PathCondition
from proxy.config.spec import Credential, ServiceListener
from proxy.config.values.units import format_duration
from proxy.routing.explain import describe
from proxy.routing.wording import counted

_JWT, _REDIS = JwtAuth(), Redis("")
_COUNTED = {
    Counted.REQUESTS: "requests",
    Counted.TOKENS: "tokens",
    Counted.INPUT_TOKENS: "input tokens",
    Counted.OUTPUT_TOKENS: "output tokens",
}
_SHARES = {Share.KEY: "key", Share.USER: "user", Share.MODEL: "model", Share.ADDRESS: "address"}


def auth(terms: Auth) -> str:
    """What callers have to show."""
    ways = [] if terms.jwt is None else [f"a JSON Web Token {_jwt(terms.jwt)}"]
    ways += [] if terms.keys is None else [f"an API key of {terms.keys}"]
    ways += ["a client certificate"] if terms.client_certificate else []
    ways += [] if terms.required else ["nothing"]
    return "; or ".join(ways) + (", which goes on to the engine" if terms.forward else "")


def _jwt(terms: JwtAuth) -> str:
    told = [f"of {'any issuer' if terms.issuer is None else without_secrets(terms.issuer)}"]
    told += [f"for {' or '.join(terms.audiences)}"] if terms.audiences else []
    told += [] if terms.jwks is None else [f"with keys of {without_secrets(terms.jwks)}"]
    told += [f"signed by {' or '.join(terms.algorithms)}"] if terms.algorithms != _JWT.algorithms else []
    told += [f"with a leeway of {format_duration(terms.leeway)}"] if terms.leeway != _JWT.leeway else []
    told += [f"the user in {terms.user_claim}"] if terms.user_claim != _JWT.user_claim else []
    told += [f"the tier in {terms.tier_claim}"] if terms.tier_claim != _JWT.tier_claim else []
    return ", ".join(told)


def limit(terms: Limit) -> str:
    """How much, of what, in which unit of time, and for whom."""
    told = f"{_amount(terms.amount)} {_COUNTED[terms.counted]} per {terms.unit}"
    if terms.by:
        told += f" for each {' and '.join(_SHARES[share] for share in terms.by)}"
    if terms.burst is not None:
        told += f", {_amount(terms.burst)} at once"
    return told if terms.redis is None else f"{told}, shared by {redis(terms.redis)}"


def _amount(value: float) -> str:
    return f"{value:,.15g}"


def redis(terms: Redis) -> str:
    """Where limits are kept, and what is done while nothing answers there."""
    told = [f"fail {terms.fail.value}"] if terms.fail is not _REDIS.fail else []
    told += [f"timeout {format_duration(terms.timeout)}"] if terms.timeout != _REDIS.timeout else []
    more = f" ({', '.join(told)})" if told else ""
    return f"{without_secrets(terms.url)}{more}"


def queueing(terms: Queueing) -> str:
    """How many requests at once, and how many wait."""
    told = [] if terms.max_in_flight is None else [f"at most {terms.max_in_flight:,} in flight"]
    told += [] if terms.per_endpoint is None else [f"at most {terms.per_endpoint:,} at each endpoint"]
    waiting = f"{counted(terms.max_pending, 'request')} may wait up to {format_duration(terms.timeout)}"
    return ", ".join([*told, waiting if terms.max_pending else "none may wait"])


def listener(terms: ServiceListener) -> str:
    """A port, its certificate, and what is served there."""
    secret = "" if terms.tls_secret is None else f" with TLS from {terms.tls_secret}"
    paths = " or ".join(describe(PathCondition(path)) for path in terms.paths)
    return f"port {terms.port}{secret}{f', where {paths}' if paths else ''}"


def credential(terms: Credential) -> str:
    """Where the key is that engines are shown, and how it is sent."""
    if terms.secret is not None:
        source = f"the key {terms.key} of the secret {terms.secret}"
    else:
        source = "an API key" if terms.file is None else f"the API key of {terms.file}"
    return source if terms.scheme == Credential().scheme else f"{source}, sent as {terms.scheme}"


def without_secrets(place: str) -> str:
    """A URL without user, password and query; anything else as it is."""
    try:
        parts = urlsplit(place)
    except ValueError:
        return "a URL"
    if "://" not in place:
        return place
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
