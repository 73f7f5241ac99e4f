"""The keys of canaries and sticky splits, as JSON Schema has them."""

from proxy.config.native.canary import MOST_REQUESTS
from proxy.config.native.parts import HEAVIEST
from proxy.config.native.rules import STICKY_USER
from proxy.config.schema.values import (
    Form,
    Key,
    Schema,
    any_of,
    duration,
    either,
    exactly_one,
    listed,
    name,
    needs,
    number,
    ref,
    variable,
    whole,
)
from proxy.config.spec import Analysis, StickyKind

_STICKY = {
    StickyKind.HEADER: "A header.",
    StickyKind.QUERY: "A query parameter.",
    StickyKind.COOKIE: "A cookie.",
}


def sticky() -> Schema:
    """The word for the user, or what else names a caller."""
    return any_of({"const": STICKY_USER}, variable(), ref("sticky"))


def canary_forms(target: Schema) -> list[Form]:
    """A canary with all that is said of it, and what keeps callers on their side."""
    default = Analysis(0.0, 0.0)
    return [
        Form("canary", "A stable server and a new one on trial beside it.", (
            Key("stable", target, "The stable server.", required=True),
            Key("canary", target, "The new one.", required=True),
            Key("split", any_of(whole(0, 100), ref("split")), "The canary's share in per cent, or both weights; 10."),
            Key("analysis", ref("analysis"), "How the canary is judged."),
            Key("steps", listed(whole(1, 100), 1), "The shares that it goes through while it does well."),
        ), (needs("steps", "analysis"),)),
        Form("split", "The weights of both; what is left out is the rest of 100.", (
            Key("stable", whole(0, HEAVIEST), "The stable server's."),
            Key("canary", whole(0, HEAVIEST), "The canary's."),
        ), (either("stable", "canary"),)),
        Form("analysis", "How a canary is judged.", (
            Key("threshold", number(minimum=0, maximum=100), "The success that it must reach, in per cent.",
                required=True),
            Key("interval", duration(), "Over how long.", required=True),
            Key("min_requests", whole(1, MOST_REQUESTS), "With fewer of them it is watched on.", default.min_requests),
            Key("metrics", ref("metrics"), "Bounds on its times."),
        )),
        Form("metrics", "How many times the stable server's time it may take.", (
            Key("ttft", number(exclusiveMinimum=0), "To the first token."),
            Key("tpot", number(exclusiveMinimum=0), "For each further token."),
        )),
        Form("sticky", "What names a caller.", tuple(
            Key(kind.value, name(), meaning, filled=True) for kind, meaning in _STICKY.items()
        ), (exactly_one(kind.value for kind in _STICKY),)),
    ]  # fmt: skip
