"""Configurations for tests: arbitrary ones, within what the readers make of files, and how two of them are compared."""

from dataclasses import replace
from json import dumps
from pathlib import Path

from hypothesis import strategies as st

from proxy.config.access_spec import (
    ASYMMETRIC,
    UNITS,
    Auth,
    Counted,
    Fail,
    JwtAuth,
    Limit,
    Queueing,
    Redis,
    Share,
)
from proxy.config.joining import LAST
from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
    ValueTest,
)
from proxy.config.selection import Inventory
from proxy.config.spec import (
    NOWHERE,
    Analysis,
    Balance,
    Canary,
    Config,
    Credential,
    Disaggregation,
    EndpointSpec,
    Engine,
    InventoryEntry,
    ModelServer,
    Objective,
    RateLimit,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Selector,
    ServiceListener,
    Shadow,
    Sticky,
    StickyKind,
    Target,
    Timeouts,
    TokenLimit,
    UpstreamTls,
)
from proxy.config.values.policies import MOST_RETRIES, completed
from proxy.config.values.units import LARGEST_BYTES, LONGEST_SECONDS
from proxy.operators import Operator

# --- comparing --------------------------------------------------------------------------------------------------------


def comparable(config: Config) -> Config:
    """The configuration without what depends on the file that it was read from."""
    return Config(
        {name: _placeless_server(server) for name, server in config.servers.items()},
        tuple(_placeless_route(route) for route in config.routes),
        inventory=tuple(replace(entry, origin=NOWHERE) for entry in config.inventory),
    )


def _placeless_server(server: ModelServer) -> ModelServer:
    rewrites = tuple(replace(rewrite, origin=NOWHERE) for rewrite in server.rewrites)
    return replace(server, rewrites=rewrites, missing=False, origin=NOWHERE)


def _placeless_route(route: Route) -> Route:
    return replace(route, rules=tuple(_placeless_rule(rule) for rule in route.rules), origin=NOWHERE)


def _placeless_rule(rule: Rule) -> Rule:
    return replace(rule, matches=tuple(in_order(match) for match in rule.matches), origin=NOWHERE)


# All conditions of a match have to hold, so their order says nothing: this is the one of the native form.
_ORDER = (HeaderCondition, QueryCondition, PathCondition, MethodCondition, BodyCondition, FieldCondition)


def in_order(match: Match) -> Match:
    """The same match with its conditions sorted by what they ask of, those on one thing as they stand."""
    return Match(tuple(sorted(match.conditions, key=_rank)))


def _rank(condition: Condition) -> tuple[int, str]:
    subject = condition.keys if isinstance(condition, BodyCondition) else getattr(condition, "name", "")
    return _ORDER.index(type(condition)), ".".join(subject) if isinstance(subject, tuple) else subject


# --- values -----------------------------------------------------------------------------------------------------------

# Texts that YAML, our scalars or our variables would take for something else, if they stood there as they are.
ODD_TEXTS = [
    "true", "null", "~", "1", "-1", "1.0", ".5", "1e3", "0x1F", "0o7", "yes", "2026-11-20", "8:30", "a: b", "a:",
    "a #b", "#a", "- a", "-", "?", "? a", "a?", "<<", "*a", "a*", "&a", "!a", "|", ">", "%a", "@a", "`a", "{a}", "[a]",
    "a, b", "a]", "'a'", "it's", '"a"', 'a"b', "a\\b", "\\'\"", "${A}", "${", "$${A}", "$${", "${A:-b}", "$A", "---",
    "...", "é", "日本", "😀", "a\u00a0b", "a\u2028b", "a\x85b", "a\ufeffb", "a\u200bb", "=", "a=b", "a  b", "http://h:1/x?y",
]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=["Cs"])
PLAIN_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(0x20)), "\x7f"])


def tuples(items: st.SearchStrategy, most: int = 2, least: int = 0) -> st.SearchStrategy:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def pairs(keys: st.SearchStrategy, values: st.SearchStrategy, most: int = 2, least: int = 0) -> st.SearchStrategy:
    """Values by distinct keys, in their order."""
    return st.dictionaries(keys, values, min_size=least, max_size=most).map(lambda found: tuple(found.items()))


PROSE = st.sampled_from(ODD_TEXTS) | st.text(CHARACTERS, max_size=8)
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(PLAIN_CHARACTERS, max_size=8)
NAMES = (st.just("a") | TEXTS | st.text("ab", min_size=1, max_size=256)).filter(
    lambda text: text and text == text.strip()
)
MODELS = NAMES | TEXTS.filter(bool)
FULL_NAMES = NAMES | st.builds("pool/{}/{}".format, NAMES, NAMES)
LABELS = pairs(NAMES, TEXTS)
HEADER_NAMES = st.text("ab-1!|~", min_size=1, max_size=4)
SECONDS = (
    st.integers(1, LONGEST_SECONDS).map(float)
    | st.integers(1, 10_000).map(lambda count: count / 1000)
    | st.sampled_from([0.1, 0.3, 1 / 3, 2 / 3 * 1e-6, 1.2345678901234567e-9, LONGEST_SECONDS - 1e-7])
    | st.floats(1e-9, LONGEST_SECONDS)
)
PORTS = st.integers(1, 65_535)
HOSTS = st.sampled_from(["10.0.0.1", "h", "engine-1.example", "::1", "2001:db8::a", "fe80::1%eth0"])
SECRETS = st.sampled_from(["default/a", "ns/engine.key"])
NUMBERS = st.integers(1, 10**9).map(float) | st.floats(1e-6, 1e12)
# Percentages and shares as they can be written, with nine decimals at the most.
SHARES = st.integers(0, 10**9).map(lambda count: count / 10**9) | st.integers(0, 100).map(lambda count: count / 100)
SOME_FILE = str(Path(__file__).absolute())
FILES = st.just(SOME_FILE)

TIMEOUTS = st.builds(Timeouts, *[st.none() | SECONDS] * 4) | SECONDS.map(lambda s: Timeouts(first_byte=s, idle=s))
RETRIES = st.builds(Retries, st.integers(0, MOST_RETRIES)) | st.builds(
    Retries,
    st.integers(0, MOST_RETRIES),
    st.frozensets(st.sampled_from(["connect-failure", "reset", "timeout", "protocol-error"])),
    st.frozensets(st.integers(400, 599), max_size=3) | st.just(frozenset(range(500, 600))),
    st.just(0.0) | SECONDS,
)

# --- tests of values --------------------------------------------------------------------------------------------------

NAMED_TESTS: st.SearchStrategy[ValueTest] = (
    st.builds(Exact, PROSE)
    | st.builds(Prefix, PROSE)
    | st.builds(Suffix, PROSE)
    | st.builds(Contains, PROSE)
    | st.builds(Regex, st.sampled_from(["a", "^b", "a.*b", "^$", r"^\d+$", "a'b\"", "x{1,2}"]))
    | st.just(Present())
    | st.just(Absent())
)
TESTS = NAMED_TESTS | st.builds(OrAbsent, NAMED_TESTS)
PATHS = st.sampled_from(["/", "/v1/x", "/v1/x*", "/a b", "/a#b", "", "v1", "é", "/${A}", "*"])
PATH_TESTS = st.builds(Exact, PATHS) | st.builds(Prefix, PATHS) | NAMED_TESTS

# --- access -----------------------------------------------------------------------------------------------------------

COUNTS = st.integers(1, 1_000_000)
JWTS = st.builds(
    JwtAuth,
    st.just("https://issuer/a?b") | NAMES,
    tuples(TEXTS),
    st.just("https://issuer/keys") | FILES,
    st.just(ASYMMETRIC) | tuples(st.sampled_from(ASYMMETRIC), 2, 1).map(lambda found: tuple(dict.fromkeys(found))),
    st.just(0.0) | SECONDS,
    NAMES,
    NAMES,
) | st.sampled_from([JwtAuth("http://issuer"), JwtAuth(jwks=SOME_FILE)])
AUTHS = st.builds(Auth, st.none() | JWTS, st.none() | FILES, st.booleans(), st.booleans(), st.booleans()).filter(
    lambda auth: auth.jwt is not None or auth.keys is not None or auth.client_certificate
)
REDISES = st.builds(
    Redis,
    st.sampled_from(["redis://h", "rediss://user:p%40ss@[::1]:6380/1", "unix:///run/redis.sock?db=1"]),
    st.sampled_from(Fail),
    SECONDS,
)
LIMITS = tuples(
    st.builds(
        Limit,
        st.sampled_from(Counted),
        NUMBERS,
        st.sampled_from(list(UNITS)),
        st.none() | NUMBERS,
        st.lists(st.sampled_from(Share), max_size=2, unique=True).map(tuple),
        st.none() | REDISES | st.just(Redis("redis://h:1")),
    )
)
QUEUEINGS = st.builds(Queueing, st.none() | COUNTS, st.none() | COUNTS, st.integers(0, 1_000_000), SECONDS)
KEYS = st.sampled_from(["sk-1", "1", "true", "a b", "${A}", "#", "'\"\\"]) | st.text("!~aZ0", min_size=1, max_size=9)
CREDENTIALS = (
    st.builds(Credential, KEYS)
    | st.builds(Credential, st.none(), FILES)
    | st.builds(
        Credential,
        st.none(),
        st.none(),
        SECRETS,
        st.sampled_from(["api-key", "TOKEN", "a.b_c"]),
        st.sampled_from(["Bearer", "APIKey", "x-api-key"]),
    )
)

# --- servers ----------------------------------------------------------------------------------------------------------

ENDPOINTS = st.builds(
    EndpointSpec,
    st.sampled_from(["http", "https"]),
    HOSTS,
    PORTS | st.sampled_from([80, 443]),
    st.sampled_from(["", "/v1", "/a/%20$"]),
    st.integers(1, 3),
    LABELS,
    st.none() | COUNTS,
)
FEW_LABELS = pairs(st.sampled_from(["app", "role"]), st.sampled_from(["a", "b", "1"]))
NAMESPACES = st.sampled_from(["default", "prod"])
WORKLOADS = st.sampled_from([None, "w", "1"])
INVENTORY = st.builds(
    InventoryEntry,
    HOSTS | st.sampled_from(["H", "2001:DB8::A"]),
    port=st.none() | PORTS,
    weight=st.integers(1, 3),
    namespace=NAMESPACES,
    labels=FEW_LABELS,
    workload=WORKLOADS,
    active_ports=st.none() | tuples(st.sampled_from([1, 2, 3])),
) | st.builds(
    InventoryEntry,
    HOSTS,
    PORTS,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["", "/v1"]),
    st.integers(1, 3),
    NAMESPACES,
    FEW_LABELS,
    WORKLOADS,
)
SELECTORS = st.builds(
    Selector, NAMESPACES, FEW_LABELS, WORKLOADS, tuples(st.sampled_from([1, 2, 3])), st.sampled_from(["http", "https"])
)
REWRITES = st.builds(
    Rewrite,
    tuples(st.builds(RewriteTarget, MODELS, st.integers(0, 3)), 3, 1).filter(
        lambda split: any(one.weight for one in split)
    ),
    tuples(MODELS, 2),
    st.just("") | NAMES,
)
TLS = st.builds(UpstreamTls, st.none() | FILES, st.none(), st.none(), st.none() | NAMES, st.booleans()) | st.builds(
    UpstreamTls, st.none() | FILES, FILES, FILES
)


def bounded(server: ModelServer) -> ModelServer:
    """Whether requests may wait is said where something bounds them, and only there."""
    given = server.queueing
    bounds = [endpoint.max_in_flight for endpoint in server.endpoints]
    bounds += [] if given is None else [given.max_in_flight, given.per_endpoint]
    if all(bound is None for bound in bounds):
        return replace(server, queueing=None)
    return server if given is not None else replace(server, queueing=Queueing())


SERVERS = st.builds(
    ModelServer,
    st.just(""),
    st.lists(ENDPOINTS, max_size=3, unique_by=lambda endpoint: endpoint.address).map(tuple),
    st.sampled_from(Engine),
    st.none() | NAMES,
    st.sampled_from(Balance),
    TIMEOUTS.map(completed),
    st.just(Retries()) | RETRIES,
    SHARES,
    st.none() | st.builds(RateLimit, NUMBERS, st.integers(1, 10_000_000)),
    st.none() | TLS,
    pairs(HEADER_NAMES.map(str.lower), TEXTS),
    st.booleans(),
    tuples(REWRITES),
    pairs(NAMES, st.integers(-5, 5)).map(lambda found: tuple(Objective(*one) for one in found)),
    st.none() | SELECTORS,
    st.none()
    | st.builds(
        Disaggregation,
        NAMES,
        pairs(NAMES, TEXTS, least=1),
        pairs(NAMES, TEXTS, least=1),
        st.sampled_from([None, "http", "nixl", "lmcache", "mooncake", "sglang"]),
    ),
    st.none() | AUTHS,
    LIMITS,
    st.none() | QUEUEINGS,
    # Those on one port have all a certificate or none.
    st.none()
    | st.builds(ServiceListener, PORTS.filter(lambda port: port % 2), st.just("ns/cert") | SECRETS, tuples(PATH_TESTS))
    | st.builds(ServiceListener, PORTS.filter(lambda port: not port % 2), st.none(), tuples(PATH_TESTS)),
    st.none() | CREDENTIALS,
).map(bounded) | st.just(ModelServer("", (), timeouts=completed(Timeouts()), missing=True))

# --- matches ----------------------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.floats(allow_nan=False) | PROSE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PROSE, inner, max_size=2),
    max_leaves=3,
)
JSON_LISTS = st.lists(JSON_VALUES, max_size=2)
SCALARS = JSON_VALUES.filter(lambda value: not isinstance(value, dict))


def field_conditions(operators: list[Operator], values: st.SearchStrategy) -> st.SearchStrategy[FieldCondition]:
    written = values.map(lambda value: dumps(value, ensure_ascii=False))
    return st.builds(FieldCondition, PROSE.filter(str.strip), st.sampled_from(operators), written)


FIELD_CONDITIONS = (
    field_conditions([Operator.EQUALS, Operator.NOT_EQUALS, Operator.CONTAINS, Operator.NOT_CONTAINS], SCALARS)
    | field_conditions([Operator.IN, Operator.NOT_IN], JSON_LISTS)
    | field_conditions([Operator.EXISTS, Operator.NOT_EXISTS], st.none() | SCALARS)
    | field_conditions(
        [Operator.GREATER_THAN, Operator.LESS_THAN], st.integers(-9, 9) | st.sampled_from([1.5, "15", " 2 ", True])
    )
    | field_conditions([Operator.REGEX], st.sampled_from(["a", "^$", "1", r"\d", 5, ["a"]]))
)
METHODS = st.frozensets(st.sampled_from(["GET", "POST", "1"]), min_size=1)
BODY_KEYS = st.sampled_from([("model",), ("user", "tier"), ("a b", "${c"), ("1",), ("true", "null")])


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """Any conditions, also several on one thing."""
    headers = draw(st.lists(st.builds(HeaderCondition, st.sampled_from(["ab", "b-c", "x1"]), TESTS), max_size=3))
    query = draw(st.lists(st.builds(QueryCondition, st.just("a") | PROSE, TESTS), max_size=2))
    path = draw(tuples(st.builds(PathCondition, PATH_TESTS), 1))
    methods = draw(
        tuples(st.builds(MethodCondition, st.frozensets(st.sampled_from(["GET", "POST", "1"]), min_size=1)), 1)
    )
    body = draw(st.lists(st.builds(BodyCondition, BODY_KEYS, TESTS), max_size=2))
    fields = draw(tuples(FIELD_CONDITIONS))
    # In whatever order, as a reader may have them.
    found: list[Condition] = [*path, *methods, *body, *headers, *query, *fields]
    return Match(tuple(found))


MATCHES = tuples(matches().filter(lambda match: match.conditions), 2)

# --- routes -----------------------------------------------------------------------------------------------------------


STICKIES = st.sampled_from(
    [Sticky(StickyKind.USER), Sticky(StickyKind.HEADER, "x-a"), Sticky(StickyKind.COOKIE, "A")]
) | (st.builds(Sticky, st.just(StickyKind.QUERY), NAMES))
ANALYSES = st.builds(
    Analysis,
    st.integers(0, 100).map(float) | st.floats(0, 100),
    SECONDS,
    COUNTS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
)
STEPS = st.sets(st.integers(1, 100), min_size=1, max_size=3).map(sorted).map(tuple)
CANARIES = st.builds(Canary, st.none() | ANALYSES) | st.builds(Canary, ANALYSES, STEPS)


def on_trial(rule: Rule) -> Rule:
    """A canary is the second of two targets, and its steps say its share."""
    if rule.canary is None or len(rule.targets) != 2:
        return replace(rule, canary=None)
    if not rule.canary.steps:
        return rule
    first = rule.canary.steps[0]
    stable, canary = rule.targets
    return replace(rule, targets=(replace(stable, weight=100 - first), replace(canary, weight=first)))


@st.composite
def routes(draw: st.DrawFn, servers: list[str]) -> Route:
    """A route that leads to some of these servers."""
    server = st.sampled_from(servers)
    target = st.builds(Target, server, st.integers(0, 3), st.none() | NAMES, TIMEOUTS, st.none() | RETRIES)
    simple = st.builds(Target, server)
    fallback = tuples(target.map(lambda one: replace(one, weight=1)) | simple)
    targets = tuples(target | simple, 3, 1).filter(lambda found: any(one.weight for one in found))
    shadow = st.builds(
        Shadow,
        target.map(lambda one: replace(one, weight=1, retries=None)) | simple,
        st.integers(1, 99),
        st.integers(0, 100).map(float) | st.floats(0, 100),
        st.integers(1, LARGEST_BYTES),
    )
    rule = st.builds(
        Rule,
        FULL_NAMES,
        targets,
        MATCHES,
        fallback,
        TIMEOUTS,
        st.none() | RETRIES,
        st.none() | shadow,
        st.none() | CANARIES,
        st.none() | STICKIES,
        st.booleans(),
        st.just("") | PROSE,
    )
    rules = draw(st.lists(rule, max_size=3, unique_by=lambda one: one.name))
    rules = [on_trial(one) for one in rules]
    if draw(st.booleans()):
        rules = [replace(one, name=f"rule-{number}") for number, one in enumerate(rules, 1)]
    last = draw(fallback)
    return Route(
        draw(FULL_NAMES),
        tuple(rules) if rules or last else (Rule("rule-1", draw(targets)),),
        draw(st.lists(MODELS, max_size=2, unique=True).map(tuple)),
        draw(st.lists(NAMES.filter(lambda name: "*" not in name), max_size=2, unique=True).map(tuple)),
        draw(st.sampled_from([0, LAST]) | st.integers(-1_000_000, 1_000_000)),
        last,
        draw(st.none() | TOKEN_LIMITS),
        draw(st.none() | AUTHS),
        draw(LIMITS),
        draw(st.just("") | PROSE),
        draw(st.sampled_from(["route", "ModelRoute", "InferencePool"])),
    )


TOKENS = st.none() | st.integers(1, 2**32)
TOKEN_LIMITS = st.builds(
    TokenLimit,
    TOKENS,
    TOKENS,
    st.sampled_from(["second", "minute", "hour", "day", "month"]),
    st.sampled_from([None, "redis:6379", "[::1]:6379"]),
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Servers with the endpoints that they list and select, and routes in their order."""
    inventory = draw(tuples(INVENTORY, 3))
    found = Inventory(inventory)
    named = draw(st.dictionaries(FULL_NAMES, SERVERS, min_size=1, max_size=3))
    servers = {name: found.complete(replace(server, name=name)) for name, server in named.items()}
    chosen = draw(st.lists(routes(list(servers)), max_size=3, unique_by=lambda route: route.name))
    ordered = sorted(chosen, key=lambda route: -route.priority)
    return Config(servers, tuple(ordered), inventory=inventory)
