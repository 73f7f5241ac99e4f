"""The keys of native servers and of the inventory, as JSON Schema has them."""

from collections.abc import Sequence
from itertools import combinations

from proxy.config.access_spec import Queueing
from proxy.config.native.access import MOST_AT_ONCE
from proxy.config.native.parts import (
    CONNECTORS,
    HEAVIEST,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    SCHEMES,
)
from proxy.config.schema.access import limits, shown_forms
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
    fitting,
    listed,
    mapping_of,
    name,
    number,
    one_or_more,
    ref,
    share,
    text,
    text_map,
    together,
    whole,
    words,
)
from proxy.config.spec import Balance, Engine, InventoryEntry, ModelServer, Retries, Selector, Timeouts
from proxy.config.values.policies import MOST_RETRIES, STATUS_CLASSES, WIDEST_TIMEOUTS
from proxy.config.values.units import format_duration
from proxy.errors import UpstreamFailure

LONGEST_NAME = 1024
_URL = "^[hH][tT][tT][pP][sS]?://"
_TOKEN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"  # noqa: S105 - RFC 9110's word for the characters of a name
_LONGEST_PATH = 4096


def server_forms() -> list[Form]:
    """A server, each mapping in it, and an entry of the inventory."""
    return [
        _server(),
        _endpoint(),
        timeouts_form("server_timeout", "How long the server is waited for.", WIDEST_TIMEOUTS),
        _retries(),
        _rate_limit(),
        _tls(),
        _selector(),
        _rewrite(),
        _rewrite_target(),
        _disaggregation(),
        _side(),
        *shown_forms(),
        _entry(),
    ]


def _server() -> Form:
    default, queueing = ModelServer("", ()), Queueing()
    return Form("server", "A named group of alike endpoints with one policy set.", (
        Key("endpoints", one_or_more(any_of(fitting(_URL), ref("endpoint"))),
            "URLs, or mappings; an empty list answers 503."),
        Key("select", ref("select"), "Finds further endpoints in the inventory."),
        Key("engine", words(one.value for one in Engine), "The software that answers there.", default.engine.value),
        Key("model", name(), "The model's name that is sent upstream; the client's if not given."),
        Key("restore_model", boolean(), "Answers name the model as the client did.", default.restore_model),
        Key("rewrites", listed(ref("rewrite")), "Other names to send in place of the client's, in order."),
        Key("objectives", mapping_of(whole(LOWEST_PRIORITY, HIGHEST_PRIORITY), name()),
            "Priorities by the name that requests ask for them by."),
        Key("headers", mapping_of({"type": ["string", "number", "boolean"]}, {"pattern": _TOKEN}),
            "Set on each request that goes there."),
        Key("balance", words(one.value for one in Balance), "How an endpoint is chosen.", default.balance.value),
        Key("timeout", any_of(duration(), ref("server_timeout")), "One duration sets first_byte and idle."),
        Key("retries", any_of(whole(0, MOST_RETRIES), ref("retries")), "Tries after the first one."),
        Key("retry_budget", share(), "Retries allowed for each request of the last seconds, and ten beside.", "20%"),
        Key("rate_limit", ref("rate_limit"), "Beyond it, 429."),
        Key("tls", ref("tls"), "For https:// endpoints."),
        Key("disaggregation", ref("disaggregation"), "Prefill and decode on endpoints of their own. Not enforced yet."),
        Key("auth", ref("auth"), "What callers have to show.", filled=True),
        Key("limits", limits(), "How much may be taken; all of them hold."),
        Key("max_in_flight", whole(1, MOST_AT_ONCE), "Requests at once, over all workers."),
        Key("max_in_flight_per_endpoint", whole(1, MOST_AT_ONCE), "The same for each of its endpoints."),
        Key("max_pending", whole(0, MOST_AT_ONCE), "Requests that may wait for a place.", queueing.max_pending),
        Key("queue_timeout", duration(), "How long one may wait.", format_duration(queueing.timeout)),
        Key("listener", ref("service_listener"), "The port of the server's own service."),
        Key("api_key", text(), "What is shown to the engines; better in a variable or a file of its own."),
        Key("api_key_file", name(_LONGEST_PATH), "A file with what is shown to the engines."),
        Key("credential", ref("credential"), "A secret with what is shown to the engines."),
    ), (either("endpoints", "select"), *_one_key()))  # fmt: skip


def _one_key() -> list[Schema]:
    """Engines are shown one thing."""
    return [at_most_one(*pair) for pair in combinations(("api_key", "api_key_file", "credential"), 2)]


def _endpoint() -> Form:
    return Form("endpoint", "One address of a server.", (
        Key("url", fitting(_URL), "Where it is; a path is put before each request's own.", required=True),
        Key("weight", whole(1, HEAVIEST), "Its share beside the others.", 1),
        Key("labels", text_map(), "What selectors of others look for, and people."),
        Key("max_in_flight", whole(1, MOST_AT_ONCE), "Requests at once; as the server says if not given."),
    ))  # fmt: skip


def timeouts_form(form: str, meaning: str, default: Timeouts) -> Form:
    """Limits by name, with the defaults of a scope."""
    return Form(form, meaning, (
        Key("connect", duration(), "Until the connection stands, TLS included.", _written(default.connect)),
        Key("first_byte", duration(), "From the request to the head of its answer.", _written(default.first_byte)),
        Key("idle", duration(), "Between two reads of the answer.", _written(default.idle)),
        Key("total", duration(), "From the request's arrival to its end.", _written(default.total)),
    ))  # fmt: skip


def _written(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


def _retries() -> Form:
    default = Retries()
    failures = [failure.value for failure in UpstreamFailure]
    causes = any_of(words([*failures, *STATUS_CLASSES]), whole(400, 599))
    usual: Sequence[object] = [*sorted(default.failures), *sorted(default.statuses)]
    return Form("retries", "Tries after the first one.", (
        Key("attempts", whole(0, MOST_RETRIES), "How many.", default.attempts),
        Key("on", one_or_more(causes), "After which failures and statuses.", usual),
        Key("backoff", duration_or_zero(), "The most before the first of them; it doubles each time, up to 5 s.",
            format_duration(default.backoff)),
    ))  # fmt: skip


def _rate_limit() -> Form:
    return Form("rate_limit", "How much may come.", (
        Key("requests_per_second", number(exclusiveMinimum=0), "On average.", required=True),
        Key("burst", whole(1, 10_000_000), "At once; the rate, rounded up, if not given."),
    ))  # fmt: skip


def _tls() -> Form:
    path = name(_LONGEST_PATH)
    return Form("tls", "How https:// endpoints are checked, and what is shown to them.", (
        Key("ca", path, "The authority that endpoints' certificates come from."),
        Key("cert", path, "The certificate shown to endpoints."),
        Key("key", path, "Its key; both or neither."),
        Key("server_name", name(), "The name that the certificate must bear, and SNI."),
        Key("verify", boolean(), "Whether the endpoint's certificate is checked.", default=True),
    ), (together("cert", "key"),))  # fmt: skip


# --- what is found, and what is sent ----------------------------------------------------------------------------------


def _selector() -> Form:
    default = Selector()
    return Form("select", "Which entries of the inventory are endpoints of the server.", (
        Key("namespace", name(), "Theirs.", default.namespace),
        Key("labels", text_map(), "All of these they must have; {} takes every entry of the namespace."),
        Key("workload", name(), "The workload that they belong to."),
        Key("ports", one_or_more(_port()), "For entries without a port: an endpoint on each of these.", []),
        Key("scheme", words(SCHEMES), "For entries without a URL.", default.scheme),
    ), (either("labels", "workload"),))  # fmt: skip


def _port() -> Schema:
    return whole(1, 65_535)


def _rewrite() -> Form:
    model = name(LONGEST_NAME)
    return Form("rewrite", "What is sent in place of some models' names.", (
        Key("name", name(), "For people."),
        Key("models", one_or_more(model), "The names, exactly; all that no other rewrite names, if not given."),
        Key("targets", one_or_more(any_of(model, ref("rewrite_target")), 1), "What is sent.", required=True),
    ))  # fmt: skip


def _rewrite_target() -> Form:
    return Form("rewrite_target", "A model's name to send, and its share.", (
        Key("model", name(LONGEST_NAME), "The name that is sent.", required=True),
        Key("weight", whole(0, HEAVIEST), "Its share; 0 takes nothing.", 1),
    ))  # fmt: skip


# --- access and disaggregation ----------------------------------------------------------------------------------------


def _disaggregation() -> Form:
    return Form("disaggregation", "Prefill and decode on endpoints of their own.", (
        Key("group", name(), "The label whose value a pair shares.", required=True),
        Key("prefill", ref("labelled"), "The endpoints for prefill.", required=True),
        Key("decode", ref("labelled"), "The endpoints for decode.", required=True),
        Key("connector", words(CONNECTORS), "How they hand over."),
    ))  # fmt: skip


def _side() -> Form:
    labels = {**text_map(), "minProperties": 1}
    return Form("labelled", "Endpoints by their labels.", (
        Key("labels", labels, "All of these they must have.", required=True),
    ))  # fmt: skip


# --- the inventory ----------------------------------------------------------------------------------------------------


def _entry() -> Form:
    default = InventoryEntry("")
    port = any_of(_port(), {"type": "string", "pattern": "^[0-9]{1,5}$"})
    return Form("inventory_entry", "An endpoint that stands for itself until selectors find it.", (
        Key("name", name(), "For people; given once in a namespace."),
        Key("url", fitting(_URL), "Where it is, in place of address and port."),
        Key("address", text(), "Its host name or address."),
        Key("port", port, "Its port; the selector's if not given."),
        Key("weight", whole(1, HEAVIEST), "Its share beside the others.", default.weight),
        Key("namespace", name(), "Selectors look in their own.", default.namespace),
        Key("labels", text_map(), "What selectors look for."),
        Key("workload", name(), "The workload that it belongs to."),
        Key("active_ports", listed(port), "Those of a selector's ports that it serves; all if not given."),
    ), (either("url", "address"), at_most_one("url", "address"), at_most_one("url", "port")))  # fmt: skip


def inventory() -> Schema:
    """A list of endpoints."""
    return listed(any_of(fitting(_URL), ref("inventory_entry")))


def servers() -> Schema:
    """Servers by name."""
    return mapping_of(ref("server"), name(LONGEST_NAME))
