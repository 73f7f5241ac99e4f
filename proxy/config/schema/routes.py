"""The keys of native routes, as JSON Schema has them."""

from collections.abc import Sequence

from proxy.config.access_spec import UNITS
from proxy.config.native.parts import HEAVIEST
from proxy.config.native.routes import LAST_WORD, MOST_TOKENS
from proxy.config.native.targets import MOST_SHADOWS
from proxy.config.schema.access import PATH_PATTERN, limit_form, limits
from proxy.config.schema.canary import canary_forms, sticky
from proxy.config.schema.servers import LONGEST_NAME, inventory, servers, timeouts_form
from proxy.config.schema.values import (
    Form,
    Key,
    Schema,
    any_of,
    at_most_one,
    boolean,
    duration,
    either,
    exactly_one,
    fitting,
    listed,
    mapping_of,
    name,
    number,
    one_or_more,
    ref,
    size,
    text,
    where,
    whole,
    words,
)
from proxy.config.spec import Route, Shadow, Target, Timeouts, TokenLimit
from proxy.config.values.conditions import SINGLE_TESTS
from proxy.config.values.policies import MOST_RETRIES
from proxy.config.values.units import format_size
from proxy.operators import Operator

_TOKEN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"  # noqa: S105 - RFC 9110's word for the characters of a name
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}


def route_forms() -> list[Form]:
    """A route file, and each mapping in its routes."""
    return [
        Form("routes", "Servers, routes and an inventory of endpoints. It is read again whenever it changes.", (
            Key("servers", servers(), "Groups of alike endpoints, by name."),
            Key("routes", listed(ref("route")), "Which requests go where, in order."),
            Key("endpoints", inventory(), "The inventory: endpoints for whatever server selects them."),
        )),
        _route(),
        _token_limit(),
        limit_form(),
        _rule(),
        _target("target", "A server's share of a rule.", weighted=True),
        _target("fallback_target", "A server that is asked after others.", weighted=False),
        timeouts_form("timeout", "How long a server is waited for; the rest is as the wider scope says.", Timeouts()),
        _shadow(),
        *canary_forms(any_of(_reference(), ref("fallback_target"))),
        _match(),
        _test(
            "test",
            Key("all", listed(_tested(), 1), "All of these tests hold.", filled=True),
            Key("optional", boolean(), "It holds where there is no value, too.", default=False),
        ),
        _test("path_test"),
        _field(),
    ]  # fmt: skip


def _route() -> Form:
    default = Route("", ())
    return Form("route", "Which requests it is for, and ordered rules that say where those go.", (
        Key("name", name(LONGEST_NAME), "For logs, metrics and status.", required=True),
        Key("description", text(), "For people."),
        Key("kind", name(), "Which kind of document it was.", default.kind),
        Key("models", one_or_more(name(LONGEST_NAME)), "Exact names, or globs with *."),
        Key("adapters", one_or_more({**name(), "pattern": r"^[^*]+$"}), "LoRA adapters, by their full names."),
        Key("priority", any_of({"const": LAST_WORD}, whole(-HEAVIEST, HEAVIEST)), "The higher one is asked first.",
            default.priority),
        Key("token_limit", ref("token_limit"), "LLM tokens that it admits."),
        Key("auth", ref("auth"), "What callers have to show.", filled=True),
        Key("limits", limits(), "How much may be taken; all of them hold."),
        Key("rules", listed(ref("rule")), "In order; the first that holds decides."),
        Key("fallback", _fallbacks(), "Takes what no rule of any route took."),
    ), (either("rules", "fallback"),))  # fmt: skip


def _token_limit() -> Form:
    default = TokenLimit(None, None)
    return Form("token_limit", "LLM tokens that a route admits in a unit of time.", (
        Key("input", whole(1, MOST_TOKENS), "In requests."),
        Key("output", whole(1, MOST_TOKENS), "In answers."),
        Key("unit", words(UNITS), "The unit of time.", default.unit),
        Key("redis", fitting(r"^(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):[0-9]{1,5}$"),
            "Host and port of a limit that several hosts share."),
    ))  # fmt: skip


def _rule() -> Form:
    return Form("rule", "Holds when any of its matches holds, or when it has none.", (
        Key("name", name(LONGEST_NAME), "For logs and status; rule-1, rule-2 and so on if not given."),
        Key("description", text(), "For people."),
        Key("enabled", boolean(), "Whether it is asked at all.", default=True),
        Key("match", ref("match"), "Conditions that must all hold."),
        Key("matches", listed(ref("match")), "Several of them, any of which is enough."),
        Key("targets", one_or_more(any_of(_reference(), ref("target")), 1), "Servers' names, or mappings."),
        Key("canary", ref("canary"), "In place of targets: a stable server and a new one on trial."),
        Key("fallback", _fallbacks(), "Asked in order when the target has no answer."),
        Key("timeout", _timeout(), "What it sets wins over the server's."),
        Key("retries", _tries(), "Wins over the server's as a whole."),
        Key("shadow", any_of(_reference(), ref("shadow")), "Gets copies of requests; its answers are dropped."),
        Key("sticky", sticky(), "What keeps a caller on one side of a split."),
    ), (at_most_one("match", "matches"), either("targets", "canary"), at_most_one("targets", "canary")))  # fmt: skip


def _reference() -> Schema:
    return name(LONGEST_NAME)


def _fallbacks() -> Schema:
    return one_or_more(any_of(_reference(), ref("fallback_target")))


def _timeout() -> Schema:
    return any_of(duration(), ref("timeout"))


def _tries() -> Schema:
    return any_of(whole(0, MOST_RETRIES), ref("retries"))


def _target(form: str, meaning: str, *, weighted: bool) -> Form:
    weight = Key("weight", whole(0, HEAVIEST), "Its share; 0 takes nothing.", Target("").weight)
    return Form(form, meaning, (
        Key("server", _reference(), "The server's name.", required=True),
        *((weight,) if weighted else ()),
        Key("model", name(), "The model's name that is sent upstream; the server's if not given."),
        Key("timeout", _timeout(), "What it sets wins over the rule's."),
        Key("retries", _tries(), "Wins over the rule's as a whole."),
    ))  # fmt: skip


def _shadow() -> Form:
    default = Shadow(Target(""))
    return Form("shadow", "A server that gets copies of requests; its answers are dropped.", (
        Key("server", _reference(), "The server's name.", required=True),
        Key("model", name(), "The model's name that is sent upstream; the server's if not given."),
        Key("timeout", _timeout(), "What it sets wins over the rule's."),
        Key("max_in_flight", whole(1, MOST_SHADOWS), "Copies at once; beyond that none is sent.",
            default.max_in_flight),
        Key("percent", number(minimum=0, maximum=100), "The share of requests that is copied.", default.percent),
        Key("max_body", size(), "A longer body is not copied.", format_size(default.max_body)),
    ))  # fmt: skip


# --- matches ----------------------------------------------------------------------------------------------------------


def _tested() -> Schema:
    """A test of a value; a bare null is the word."""
    return any_of(_SCALAR, {"type": "null"}, ref("test"))


def _match() -> Form:
    return Form("match", "Conditions that must all hold.", (
        Key("headers", mapping_of(_tested(), {"pattern": _TOKEN}), "Header fields by name (any case)."),
        Key("query", mapping_of(_tested()), "Query parameters, decoded."),
        Key("path", any_of(fitting(PATH_PATTERN), ref("path_test")), "The path; one that ends in * is a prefix."),
        Key("method", one_or_more(fitting(_TOKEN)), "The method: one, or any of a list."),
        Key("body", mapping_of(_tested()), "Fields of a JSON body, by their keys from the top."),
        Key("fields", listed(ref("field")), "Comparisons with the request's data, as Mixtrain has them."),
    ))  # fmt: skip


def _test(form: str, *more: Key) -> Form:
    meanings = {
        "exact": "The value is this text.",
        "prefix": "It begins with this text.",
        "suffix": "It ends with this text.",
        "contains": "It holds this text.",
        "regex": "This RE2 pattern is found in it; ^ and $ anchor it.",
        "present": "There is a value.",
        "absent": "There is none.",
    }
    switches = {"present", "absent"}
    keys = [Key(test, boolean() if test in switches else _SCALAR, meanings[test], filled=True) for test in SINGLE_TESTS]
    names: Sequence[str] = [*SINGLE_TESTS, *(key.name for key in more if key.name == "all")]
    return Form(form, "One test of a value.", (*keys, *more), (exactly_one(names),))


def _field() -> Form:
    lists = [Operator.IN.value, Operator.NOT_IN.value]
    numbers = [Operator.GREATER_THAN.value, Operator.LESS_THAN.value]
    bare = {Operator.EXISTS, Operator.NOT_EXISTS}
    valued = [operator.value for operator in Operator if operator not in bare]
    return Form("field", "A comparison of a field of the request's data with a value.", (
        Key("field", {"type": "string", "pattern": r"\S"}, "Keys from the top with dots between, as in user.tier.",
            required=True),
        Key("operator", words(operator.value for operator in Operator), "How it compares.", required=True),
        Key("value", {"type": ["string", "number", "boolean", "array", "null"]}, "What it compares with."),
    ), (
        where("operator", valued, {}, ["value"]),
        where("operator", lists, {"value": any_of({"type": "array"})}),
        where("operator", numbers, {"value": {"type": ["number", "string", "boolean"]}}),
        where("operator", [Operator.REGEX.value], {"value": {"type": ["string", "number", "boolean", "array"]}}),
    ))  # fmt: skip
