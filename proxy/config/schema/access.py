"""The keys that say who may call, how much each may take and what the proxy shows, as JSON Schema has them."""

from proxy.config.access_spec import ASYMMETRIC, UNITS, Auth, Counted, Fail, JwtAuth, Limit, Redis, Share
from proxy.config.native.access import CREDENTIAL_SCHEMES
from proxy.config.schema.values import (
    Form,
    Key,
    Schema,
    any_of,
    at_most_one,
    boolean,
    duration,
    duration_or_zero,
    either,
    exactly_one,
    fitting,
    listed,
    name,
    number,
    one_or_more,
    ref,
    switched_on,
    text,
    whole,
    words,
)
from proxy.config.values.units import format_duration

PATH_PATTERN = r"^(/.*|\*|)$"
_REDIS_URL = "^(redis|rediss|unix)://"
_LONGEST_PATH = 4096
_COUNTED = {
    Counted.REQUESTS: "Requests in a unit of time.",
    Counted.TOKENS: "LLM tokens in and out.",
    Counted.INPUT_TOKENS: "LLM tokens of requests.",
    Counted.OUTPUT_TOKENS: "LLM tokens of answers.",
}


def limits() -> Schema:
    """Limits, all of which hold."""
    return listed(ref("limit"))


def redis() -> Schema:
    """A Redis as its URL alone, or as a mapping."""
    return any_of(fitting(_REDIS_URL), ref("redis"))


def auth_forms() -> list[Form]:
    """Who may call, and the Redis that limits are shared through: settings and routes have them alike."""
    return [_auth(), _jwt(), _redis()]


def _auth() -> Form:
    default = Auth()
    known = {"anyOf": [*either("jwt", "keys")["anyOf"], switched_on("client_certificate")]}
    return Form("auth", "What callers have to show: any of these is enough.", (
        Key("jwt", ref("jwt"), "A JSON Web Token.", filled=True),
        Key("keys", name(_LONGEST_PATH), "An API key of this key file.", filled=True),
        Key("client_certificate", boolean(), "A client certificate.", default.client_certificate),
        Key("required", boolean(), "Whether those who show nothing are refused.", default.required),
        Key("forward", boolean(), "Whether what they show goes on to the engine.", default.forward),
    ), (known,))  # fmt: skip


def _jwt() -> Form:
    default = JwtAuth()
    return Form("jwt", "Which JSON Web Tokens are good.", (
        Key("issuer", name(), "Who must have issued them."),
        Key("audience", one_or_more(text()), "Whom they must be for: one of these."),
        Key("audiences", one_or_more(text()), "The same under another name."),
        Key("jwks", name(_LONGEST_PATH), "The URL or file of their keys; found through the issuer if not given."),
        Key("jwksUri", name(_LONGEST_PATH), "The same under Kthena's name."),
        Key("algorithms", one_or_more(words(ASYMMETRIC), 1), "Which signatures are taken.",
            list(default.algorithms)),
        Key("leeway", duration_or_zero(), "How far clocks may differ.", format_duration(default.leeway)),
        Key("user_claim", name(), "The claim with the caller's id.", default.user_claim),
        Key("tier_claim", name(), "The claim with the caller's tier.", default.tier_claim),
    ), (
        either("issuer", "jwks", "jwksUri"),
        at_most_one("audience", "audiences"),
        at_most_one("jwks", "jwksUri"),
    ))  # fmt: skip


def _redis() -> Form:
    default = Redis("")
    return Form("redis", "Where limits are kept that several hosts share.", (
        Key("url", fitting(_REDIS_URL), "Where it answers.", required=True),
        Key("fail", words(one.value for one in Fail), "What is done while it does not.", default.fail.value),
        Key("timeout", duration(), "How long it is waited for.", format_duration(default.timeout)),
    ))  # fmt: skip


def limit_form() -> Form:
    """A limit of a server or a route."""
    default = Limit(Counted.REQUESTS, 1.0)
    return Form("limit", "How much may be taken in a unit of time.", (
        *(Key(one.value, number(exclusiveMinimum=0), _COUNTED[one], filled=True) for one in Counted),
        Key("per", words(UNITS), "The unit of time; a month has 30 days.", default.unit),
        Key("burst", number(exclusiveMinimum=0), "How much may be taken at once; the amount if not given."),
        Key("by", one_or_more(words(one.value for one in Share)), "Each of these has a bucket of its own."),
        Key("redis", redis(), "Where it is kept; as the settings say if not given."),
    ), (exactly_one(one.value for one in Counted),))  # fmt: skip


def shown_forms() -> list[Form]:
    """The port of a server's own service, and a secret that engines are shown."""
    secret, path = fitting("^[^/]+/.+$"), any_of(fitting(PATH_PATTERN), ref("path_test"))
    return [
        Form("service_listener", "The port of a server's own service.", (
            Key("port", whole(1, 65_535), "Its number; several servers may share it.", required=True),
            Key("tls_secret", secret, "The secret with its certificate, as namespace/name."),
            Key("path", path, "What is served there: one that ends in * is a prefix. All, if not given."),
            Key("paths", listed(path), "Several of them, any of which is enough."),
        ), (at_most_one("path", "paths"),)),
        Form("credential", "A secret that is shown to the engines.", (
            Key("secret", secret, "The secret that holds it, as namespace/name.", required=True),
            Key("key", fitting("^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,253}$"), "Its key in the secret, a file's name.",
                required=True),
            Key("scheme", words(CREDENTIAL_SCHEMES), "How it is sent.", CREDENTIAL_SCHEMES[0]),
        )),
    ]  # fmt: skip
