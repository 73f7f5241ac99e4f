"""A configuration is written so that it is read again as the same, in the words of the native form, and shortly."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.joining import LAST
from proxy.config.loader import load, load_texts
from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    Exact,
    HeaderCondition,
    Match,
    OrAbsent,
    PathCondition,
    Prefix,
    ValueTest,
)
from proxy.config.spec import (
    Analysis,
    Canary,
    Config,
    EndpointSpec,
    InventoryEntry,
    ModelServer,
    Origin,
    Route,
    Rule,
    Selector,
    Shadow,
    Sticky,
    StickyKind,
    Target,
)
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.config.writing.document import write_native
from proxy.routing.compiler import compile_table
from proxy.routing.table import RoutingTable
from tests.config.configs import BODY_KEYS, JSON_VALUES, PATHS, PROSE, comparable, configs
from tests.routing.fake_request import FakeRequest

ROOT = Path(__file__).parents[3]
SERVER = ModelServer("a", (EndpointSpec("http", "h", 8000),), timeouts=WIDEST_TIMEOUTS)


def read_again(config: Config) -> Config:
    written = write_native(config)
    loaded = load_texts({"a.yaml": written})
    assert loaded.config is not None, (written, loaded.problems)
    return loaded.config


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(configs())
def test_what_is_written_is_read_as_the_same(config: Config) -> None:
    assert comparable(read_again(config)) == comparable(config)


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=20)
@given(configs())
def test_what_was_written_is_written_again_in_the_same_words(config: Config) -> None:
    assert uncommented(write_native(read_again(config))) == uncommented(write_native(config))


def uncommented(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.strip().startswith("#")]


def decision(table: RoutingTable, request: FakeRequest) -> object:
    """Where a request goes, turn by turn, and on which terms."""
    found = table.lookup(request)
    if found is None:
        return None
    turns = [replace(found.split.pick(), rewriter=None) for _ in range(3)]
    fallback = [replace(target, rewriter=None) for target in found.fallback]
    shadow = None if found.shadow is None else replace(found.shadow.target, rewriter=None)
    return found.route, found.rule, turns, fallback, shadow


def requests(models: list[str]) -> st.SearchStrategy[FakeRequest]:
    return st.builds(
        FakeRequest,
        st.sampled_from([None, "a", *models]),
        st.sampled_from(["GET", "POST", "1"]),
        PATHS,
        st.dictionaries(st.sampled_from(["ab", "b-c", "x1"]), PROSE),
        st.dictionaries(st.just("a") | PROSE, PROSE),
        st.dictionaries(BODY_KEYS, PROSE),
        st.dictionaries(PROSE, JSON_VALUES),
    )


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=50)
@given(st.data())
def test_requests_go_where_they_went_before(data: st.DataObject) -> None:
    config = data.draw(configs())
    before, after = compile_table(config), compile_table(read_again(config))
    models = [name for route in config.routes for name in (*route.models, *route.adapters)]
    assert after.models == before.models
    for request in data.draw(st.lists(requests(models), min_size=1, max_size=5)):
        assert decision(after, request) == decision(before, request)


@pytest.mark.parametrize("folder", sorted((ROOT / "config" / "examples").iterdir()), ids=lambda folder: folder.name)
def test_the_examples_of_other_systems_are_read_as_the_same(folder: Path) -> None:
    loaded = load([str(folder)], {})
    assert loaded.config is not None
    assert comparable(read_again(loaded.config)) == comparable(loaded.config)


@pytest.mark.parametrize("folder", [ROOT / "config" / "routes"])
def test_native_files_are_read_as_the_same(folder: Path) -> None:
    loaded = load([str(folder)], {})
    assert loaded.config is not None
    assert comparable(read_again(loaded.config)) == comparable(loaded.config)


# --- words ------------------------------------------------------------------------------------------------------------


def server_text(server: ModelServer, *inventory: InventoryEntry) -> list[str]:
    """The lines below a server's name."""
    lines = write_native(Config({"a": server}, (), inventory=inventory)).splitlines()
    start = lines.index("  a:") + 1
    return [line.strip() for line in lines[start:] if line.startswith("    ")]


def rule_text(rule: Rule) -> list[str]:
    """The lines of a rule."""
    lines = write_native(Config({"a": SERVER}, (Route("r", (rule,)),))).splitlines()
    return [line.strip().removeprefix("- ") for line in lines[lines.index("    rules:") + 1 :]]


def match_text(*conditions: Condition) -> str:
    return rule_text(Rule("rule-1", (Target("a"),), (Match(conditions),)))[0]


def test_a_file_reads_like_one_written_by_hand() -> None:
    text = (ROOT / "config" / "routes" / "more.yaml").read_text()
    chat = (ROOT / "config" / "routes" / "chat.yaml").read_text()
    config = load_texts({"chat.yaml": chat, "more.yaml": text}).config
    assert config is not None
    lines = write_native(config).splitlines()
    assert lines[lines.index("  - name: embeddings") :] == [
        "  - name: embeddings",
        "    models: embed",
        "    rules:",
        "      - match: {path: /v1/embeddings, method: POST}",
        "        targets: small",
        "",
        "  - name: batch",
        "    rules:",
        "      - name: offline",
        "        matches:",
        '          - {headers: {x-priority: {regex: "^(low|batch)$"}}}',
        "          - {query: {mode: batch}}",
        "          - {path: /v1/batches*}",
        "          - {body: {metadata.offline: true}}",
        "        targets: small",
        "        retries: 5",
    ]


def test_defaults_are_left_out() -> None:
    assert server_text(SERVER) == ["endpoints: [http://h:8000]"]
    assert rule_text(Rule("rule-1", (Target("a"),))) == ["targets: a"]


def test_a_url_is_as_short_as_it_can_be() -> None:
    endpoints = (
        EndpointSpec("http", "h", 80),
        EndpointSpec("https", "::1", 443, "/v1"),
        EndpointSpec("http", "h", 443, weight=2),
    )
    assert server_text(replace(SERVER, endpoints=endpoints)) == [
        "endpoints:",
        "- http://h",
        '- "https://[::1]/v1"',
        "- {url: http://h:443, weight: 2}",
    ]


@pytest.mark.parametrize(
    ("test", "written"),
    [
        (Exact("/v1/x"), "/v1/x"),
        (Prefix("/v1/"), "/v1/*"),
        (Prefix("/a*"), "/a**"),
        (Exact("/a*"), "{exact: /a*}"),
        (Prefix(""), '"*"'),
        (Exact(""), '{exact: ""}'),
        (Prefix("v1"), "{prefix: v1}"),
    ],
)
def test_a_path_is_bare_where_that_says_it(test: ValueTest, written: str) -> None:
    assert match_text(PathCondition(test)) == f"match: {{path: {written}}}"


@pytest.mark.parametrize(
    ("tests", "written"),
    [
        ([Exact("a")], "a"),
        ([Exact("1")], '"1"'),
        ([OrAbsent(Exact(""))], '{exact: "", optional: true}'),
        ([Exact("a"), Exact("b")], "{all: [a, b]}"),
    ],
)
def test_a_value_is_bare_where_that_says_it(tests: list[ValueTest], written: str) -> None:
    conditions = [HeaderCondition("x", test) for test in tests]
    assert match_text(*conditions) == f"match: {{headers: {{x: {written}}}}}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("gold", "gold"),
        ("true", "true"),
        ("null", "null"),
        ("1", "1"),
        ("1.5", "1.5"),
        ("1.10", '"1.10"'),
        ("0x1F", '"0x1F"'),
        ("~", '"~"'),
    ],
)
def test_a_value_in_a_body_stands_as_json_has_it(value: str, written: str) -> None:
    condition = BodyCondition(("user", "tier"), Exact(value))
    assert match_text(condition) == f"match: {{body: {{user.tier: {written}}}}}"


@pytest.mark.parametrize(
    ("canary", "weights", "written"),
    [
        (Canary(), (90, 10), "{stable: a, canary: {server: a, model: n}}"),
        (Canary(), (95, 5), "{stable: a, canary: {server: a, model: n}, split: 5}"),
        (Canary(), (2, 1), "{stable: a, canary: {server: a, model: n}, split: {stable: 2, canary: 1}}"),
        (Canary(), (100, 100), "{stable: a, canary: {server: a, model: n}, split: {stable: 100, canary: 100}}"),
    ],
)
def test_a_canary_is_written_with_its_share(canary: Canary, weights: tuple[int, int], written: str) -> None:
    stable, new = weights
    rule = Rule("rule-1", (Target("a", stable), Target("a", new, "n")), canary=canary)
    assert rule_text(rule) == [f"canary: {written}"]


def test_steps_say_the_share_of_a_canary() -> None:
    trial = Canary(Analysis(99.5, 300.0, 50, 1.5), (1, 5, 100))
    rule = Rule("rule-1", (Target("a", 99), Target("b", 1)), canary=trial, sticky=Sticky(StickyKind.HEADER, "x-a"))
    assert rule_text(rule) == [
        "canary:",
        "stable: a",
        "canary: b",
        "analysis: {threshold: 99.5, interval: 5m, min_requests: 50, metrics: {ttft: 1.5}}",
        "steps: [1, 5, 100]",
        "sticky: {header: x-a}",
    ]


def test_a_shadow_says_what_differs() -> None:
    assert rule_text(Rule("rule-1", (Target("a"),), shadow=Shadow(Target("a")))) == ["targets: a", "shadow: a"]
    shadow = Shadow(Target("a"), 32, 2.5, 64 * 1024)
    assert rule_text(Rule("rule-1", (Target("a"),), shadow=shadow, sticky=Sticky(StickyKind.USER))) == [
        "targets: a",
        "shadow: {server: a, percent: 2.5, max_body: 64KiB}",
        "sticky: user",
    ]


def test_a_server_that_no_file_defines_is_empty_and_says_why() -> None:
    missing = ModelServer("b", (), timeouts=WIDEST_TIMEOUTS, missing=True)
    lines = write_native(Config({"b": missing}, ())).splitlines()
    assert lines == [
        "servers:",
        "  # No file defines this server: until one does, its requests get 503.",
        "  b:",
        "    endpoints: []",
    ]


def test_routes_keep_the_order_in_which_they_are_asked() -> None:
    order = [5, 0, 0, -1_000_000, LAST]
    routes = [Route(f"r{place}", (Rule("rule-1", (Target("a"),)),), priority=one) for place, one in enumerate(order)]
    config = Config({"a": SERVER}, tuple(routes))
    assert [route.name for route in read_again(config).routes] == [route.name for route in routes]
    assert "priority: last" in write_native(config)


# --- selected endpoints -----------------------------------------------------------------------------------------------

FOUND = InventoryEntry("10.0.0.1", labels=(("app", "x"),))
SELECTOR = Selector(labels=(("app", "x"),), ports=(1, 2))
SELECTED = tuple(EndpointSpec("http", "10.0.0.1", port, labels=FOUND.labels) for port in (1, 2))


def test_endpoints_that_a_selector_finds_are_not_listed() -> None:
    server = replace(SERVER, endpoints=SELECTED, selector=SELECTOR)
    assert server_text(server, FOUND) == ["select: {labels: {app: x}, ports: [1, 2]}"]


def test_endpoints_that_are_listed_beside_a_selector_stay_listed() -> None:
    server = replace(SERVER, endpoints=SERVER.endpoints + SELECTED, selector=SELECTOR)
    assert server_text(server, FOUND)[0] == "endpoints: [http://h:8000]"


def test_an_endpoint_that_is_listed_in_other_words_than_it_is_found_stays_listed() -> None:
    listed = EndpointSpec("http", "10.0.0.1", 2, weight=5)
    server = replace(SERVER, endpoints=(listed, SELECTED[0]), selector=SELECTOR)
    assert server_text(server, FOUND)[0] == "endpoints: [{url: http://10.0.0.1:2, weight: 5}]"


def test_what_is_selected_while_nothing_is_there_is_kept() -> None:
    server = replace(SERVER, endpoints=(), selector=SELECTOR)
    assert read_again(Config({"a": server}, ())).servers["a"].selector == SELECTOR


# --- completeness -----------------------------------------------------------------------------------------------------

# Places are no part of what is said; a digest is made of what is read; limits that files set are always settled.
UNSAID = {"origin", "version", "settled"}


def varied(value: object, seen: dict[tuple[str, str], set[object]]) -> None:
    """Note what each field of each part holds."""
    if is_dataclass(value) and not isinstance(value, Origin):
        for field in fields(value):
            found = getattr(value, field.name)
            seen.setdefault((type(value).__name__, field.name), set()).add(repr(found))
            varied(found, seen)
    elif isinstance(value, dict | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            varied(item, seen)


def test_the_arbitrary_configurations_vary_every_field_of_the_spec() -> None:
    seen: dict[tuple[str, str], set[object]] = {}

    @settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=100, database=None, derandomize=True)
    @given(configs())
    def collect(config: Config) -> None:
        varied(config, seen)

    collect()
    constant = {name for name, values in seen.items() if len(values) < 2 and name[1] not in UNSAID}
    assert constant == set()
    assert {name for name, _ in seen} >= {"FieldCondition", "OrAbsent", "Credential", "Disaggregation", "Shadow"}
    assert {name for name, _ in seen} >= {"JwtAuth", "Limit", "Redis", "Queueing", "Canary", "Analysis", "Sticky"}
