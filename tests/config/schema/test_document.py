"""The schema says what the readers read: every key, no other, and the same of each value."""

import re
from collections.abc import Callable, Iterator
from json import dumps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from proxy.config.codes import Code
from proxy.config.loader import load_texts
from proxy.config.native.field_conditions import plain
from proxy.config.problems import Problems
from proxy.config.schema.document import Part, json_schema
from proxy.config.settings import load_settings_text
from proxy.config.spec import Config
from proxy.config.text.document import parse_documents
from proxy.config.writing.document import write_native
from proxy.errors import Problem, Severity
from tests.config.configs import SOME_FILE, comparable, configs

ROOT = Path(__file__).parents[3]
SCHEMA = json_schema()
FORMS: dict[str, dict[str, Any]] = {name: form for name, form in SCHEMA["$defs"].items() if "properties" in form}
VALIDATOR = Draft202012Validator(SCHEMA)
STRANGER = "zzzzzzzz"  # near no key, so that the problem lists all that are known

# --- documents with a hole for each form ------------------------------------------------------------------------------

Document = dict[str, Any]
SERVERS: Document = {"s": {"endpoints": ["http://h"]}}
ROUTES = [{"name": "r", "rules": [{"targets": "s"}]}]
LABELS = {"labels": {"a": "b"}}
PAIR = {"stable": "s", "canary": "s"}
JUDGED = {"threshold": 1, "interval": 1}


def of_server(key: str, wrap: Callable[[Document], object] = lambda hole: hole) -> Callable[[Document], Document]:
    return lambda hole: {"servers": {"s": {**SERVERS["s"], key: wrap(hole)}}, "routes": ROUTES}


def of_route(key: str) -> Callable[[Document], Document]:
    return lambda hole: {"servers": SERVERS, "routes": [{**ROUTES[0], key: hole}]}


def of_rule(key: str, wrap: Callable[[Document], object] = lambda hole: hole) -> Callable[[Document], Document]:
    return lambda hole: {
        "servers": SERVERS,
        "routes": [{"name": "r", "rules": [{"targets": ["s", "s"], key: wrap(hole)}]}],
    }


def of_canary(wrap: Callable[[Document], object] = lambda hole: hole) -> Callable[[Document], Document]:
    return lambda hole: {"servers": SERVERS, "routes": [{"name": "r", "rules": [{"canary": wrap(hole)}]}]}


def of_settings(key: str, wrap: Callable[[Document], object] = lambda hole: hole) -> Callable[[Document], Document]:
    return lambda hole: {"routes": "x", key: wrap(hole)}


# What fills the hole where nothing else is said.
HOLES: dict[str, tuple[Callable[[Document], Document], Document]] = {
    "settings": (lambda hole: hole, {"routes": "x", "workers": 1}),
    "listener": (of_settings("listeners", lambda hole: [hole]), {"address": ":1"}),
    "listener_tls": (
        of_settings("listeners", lambda hole: [{"address": ":1", "tls": hole}]),
        {"cert": SOME_FILE, "key": SOME_FILE},
    ),
    "limits": (of_settings("limits"), {}),
    "log": (of_settings("log"), {}),
    "routes": (lambda hole: hole, {"servers": SERVERS, "routes": ROUTES}),
    "server": (lambda hole: {"servers": {"s": hole}, "routes": ROUTES}, SERVERS["s"]),
    "endpoint": (of_server("endpoints", lambda hole: [hole]), {"url": "http://h"}),
    "server_timeout": (of_server("timeout"), {}),
    "retries": (of_server("retries"), {}),
    "rate_limit": (of_server("rate_limit"), {"requests_per_second": 1}),
    "tls": (of_server("tls"), {}),
    "select": (of_server("select"), {"workload": "w"}),
    "rewrite": (of_server("rewrites", lambda hole: [hole]), {"targets": "m"}),
    "rewrite_target": (of_server("rewrites", lambda hole: [{"targets": ["n", hole]}]), {"model": "m"}),
    "disaggregation": (of_server("disaggregation"), {"group": "g", "prefill": LABELS, "decode": LABELS}),
    "labelled": (
        of_server("disaggregation", lambda hole: {"group": "g", "prefill": LABELS, "decode": hole}),
        LABELS,
    ),
    "auth": (of_server("auth"), {"keys": SOME_FILE}),
    "jwt": (of_server("auth", lambda hole: {"jwt": hole}), {"issuer": "https://i", "jwks": "https://h/keys"}),
    "redis": (of_settings("redis"), {"url": "redis://h"}),
    "limit": (of_server("limits", lambda hole: [hole]), {"requests": 1}),
    "service_listener": (of_server("listener"), {"port": 1}),
    "credential": (of_server("credential"), {"secret": "a/b", "key": "k"}),
    "inventory_entry": (lambda hole: {"endpoints": [hole]}, {"address": "h"}),
    "route": (lambda hole: {"servers": SERVERS, "routes": [hole]}, ROUTES[0]),
    "token_limit": (of_route("token_limit"), {}),
    "rule": (
        lambda hole: {"servers": SERVERS, "routes": [{"name": "r", "rules": [hole]}]},
        {"targets": ["s", "s"]},
    ),
    "target": (of_rule("targets", lambda hole: ["s", hole]), {"server": "s"}),
    "fallback_target": (of_rule("fallback", lambda hole: [hole]), {"server": "s"}),
    "timeout": (of_rule("timeout"), {}),
    "shadow": (of_rule("shadow"), {"server": "s"}),
    "canary": (of_canary(), {**PAIR, "analysis": JUDGED}),
    "split": (of_canary(lambda hole: {**PAIR, "split": hole}), {"stable": 90, "canary": 10}),
    "analysis": (of_canary(lambda hole: {**PAIR, "analysis": hole}), JUDGED),
    "metrics": (of_canary(lambda hole: {**PAIR, "analysis": {**JUDGED, "metrics": hole}}), {}),
    "sticky": (of_rule("sticky"), {"header": "a"}),
    "match": (of_rule("match"), {"path": "/"}),
    "test": (of_rule("match", lambda hole: {"headers": {"a": hole}}), {"exact": "a"}),
    "path_test": (of_rule("match", lambda hole: {"path": hole}), {"exact": "/a"}),
    "field": (of_rule("match", lambda hole: {"fields": [hole]}), {"field": "a", "operator": "equals", "value": 1}),
}
KEYS = [(form, key) for form, schema in FORMS.items() for key in schema["properties"]]
OF_SETTINGS = {"settings", "listener", "listener_tls", "limits", "log", "redis"}
# Of these one stands alone: what is given takes the place of what a form needs.
ALONE = [
    {"exact", "prefix", "suffix", "contains", "regex", "present", "absent", "all"},
    {"requests", "tokens", "input_tokens", "output_tokens"},
    {"header", "query", "cookie"},
    {"targets", "canary"},
    {"address", "url"},
]


def filled(form: str, **content: object) -> Document:
    """A form's document with this content in its hole, and what else it needs."""
    make, needed = HOLES[form]
    alone = [] if form == "canary" else ALONE
    left_out = {key for keys in alone if keys & content.keys() for key in keys}
    return make({**{key: value for key, value in needed.items() if key not in left_out}, **content})


def read(form: str, document: Document) -> tuple[object, tuple[Problem, ...]]:
    """What the form's reader makes of a document, and what it has against it."""
    text = dumps(document)
    if form in OF_SETTINGS:
        settings_read = load_settings_text(str(ROOT / "penstock.json"), text, {})
        return settings_read.settings, settings_read.problems
    loaded = load_texts({str(ROOT / "routes.json"): text})
    return loaded.config and comparable(loaded.config), loaded.problems


def errors(form: str, document: Document) -> list[Problem]:
    return [problem for problem in read(form, document)[1] if problem.severity is Severity.ERROR]


# --- keys and values --------------------------------------------------------------------------------------------------


def test_it_is_a_schema() -> None:
    for part in (None, *Part):
        Draft202012Validator.check_schema(json_schema(part))


def test_every_form_is_tried() -> None:
    assert HOLES.keys() == FORMS.keys()
    for form in FORMS:
        assert errors(form, filled(form)) == []
        assert VALIDATOR.is_valid(filled(form)), form


@pytest.mark.parametrize("form", FORMS)
def test_its_keys_are_those_that_the_reader_knows(form: str) -> None:
    message = next(p.message for p in errors(form, filled(form, **{STRANGER: 1})) if p.code == Code.UNKNOWN_KEY)
    known = set(message.partition("; known are ")[2].split(", "))
    assert set(FORMS[form]["properties"]) == known
    assert not VALIDATOR.is_valid(filled(form, **{STRANGER: 1}))


@pytest.mark.parametrize(("form", "key"), KEYS)
def test_every_key_is_told_in_a_line(form: str, key: str) -> None:
    assert re.fullmatch(r"[A-Z].{2,90}\.", FORMS[form]["properties"][key]["description"])


EXAMPLES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 50, 1.5, 0.2, 10**7, 10**12, "", "a", "a/b", "5s", "0s", "20%", "64MiB", "a:1",
    "/a", "*", "http://h", "100", "last", "auto", "${A:-1}", "${A:-true}", [], [1], ["a"], ["a", "b"], ["http://h"],
    [None], [[]], [{}], {}, {"a": "b"}, {"a": 1}, {"a": None}, {"a": []},
]  # fmt: skip
OF_THE_SHAPE = {Code.WRONG_TYPE, Code.UNKNOWN_KEY, Code.MISSING_KEY, Code.CONFLICTING_KEYS}
# Sizes in texts are not compared; whether there is a folder routes/ is no matter of a document.
BEYOND = [("limits", "max_header", "100"), ("settings", "routes", None)]


@pytest.mark.parametrize(("form", "key"), KEYS)
def test_it_takes_what_the_reader_takes_and_no_other_shape(form: str, key: str) -> None:
    for value in EXAMPLES:
        document = filled(form, **{key: value})
        found = errors(form, document)
        if not found:
            assert VALIDATOR.is_valid(document), value
        elif OF_THE_SHAPE & {problem.code for problem in found} and (form, key, value) not in BEYOND:
            # What is in a variable only the reader knows.
            assert not VALIDATOR.is_valid(document) or "${" in str(value), value


def inner(schema: Any) -> Iterator[dict[str, Any]]:
    """All schemas in a key's schema, without what they refer to."""
    if isinstance(schema, list):
        for item in schema:
            yield from inner(item)
    elif isinstance(schema, dict):
        yield schema
        yield from inner(schema.get("anyOf", []))
        yield from inner(schema.get("items", []))


def with_bounds() -> Iterator[tuple[str, str, int]]:
    for form, key in KEYS:
        for found in inner(FORMS[form]["properties"][key]):
            for bound in ("minimum", "maximum"):
                if found.get("type") == "integer" and bound in found:
                    yield form, key, found[bound]


@pytest.mark.parametrize(("form", "key", "bound"), list(with_bounds()))
def test_its_bounds_are_the_readers(form: str, key: str, bound: int) -> None:
    for value in (bound - 1, bound, bound + 1):
        document = filled(form, **{key: [value] if "array" in str(FORMS[form]["properties"][key]) else value})
        assert VALIDATOR.is_valid(document) == (errors(form, document) == []), value


def with_words() -> Iterator[tuple[str, str, list[str]]]:
    for form, key in KEYS:
        for found in inner(FORMS[form]["properties"][key]):
            if "enum" in found:
                yield form, key, found["enum"]


@pytest.mark.parametrize(("form", "key", "words"), list(with_words()))
def test_its_words_are_the_readers(form: str, key: str, words: list[str]) -> None:
    said = errors(form, filled(form, **{key: STRANGER}))[0].message
    told = re.split(", | or ", said.removeprefix("expected ").partition(", found")[0])
    assert set(words) == {word for word in told if " " not in word}


def with_defaults() -> Iterator[tuple[str, str]]:
    for form, key in KEYS:
        if "default" in FORMS[form]["properties"][key] and (form, key) != ("settings", "routes"):
            yield form, key


@pytest.mark.parametrize(("form", "key"), list(with_defaults()))
def test_a_default_written_out_changes_nothing(form: str, key: str) -> None:
    make, needed = HOLES[form]
    without = {name: value for name, value in needed.items() if name != key}
    given = {**without, key: FORMS[form]["properties"][key]["default"]}
    assert errors(form, make(given)) == []
    assert read(form, make(given))[0] == read(form, make(without))[0]


# --- files ------------------------------------------------------------------------------------------------------------


def documents(text: str, name: str = "a.yaml") -> list[Any]:
    """What an editor sees."""
    return [plain(node) for node in parse_documents(name, text, {}, Problems()).nodes]


def faults(document: object, part: Part | None = None) -> list[str]:
    return [error.message for error in Draft202012Validator(json_schema(part)).iter_errors(document)]


FILES = sorted((ROOT / "config").rglob("*.yaml"))
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
# Parts of the sample files are shown under their file's name.
SAMPLES = [block for block in BLOCKS if not block.startswith(("# config/", "# keys.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_it_takes_the_sample_files(file: Path) -> None:
    assert [faults(document) for document in documents(file.read_text()) if faults(document)] == []


@pytest.mark.parametrize("file", [ROOT / "config" / "penstock.yaml", *(ROOT / "config" / "routes").iterdir()])
def test_the_sample_files_lead_editors_to_it(file: Path) -> None:
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
    assert found
    assert (file.parent / found[1]).resolve() == ROOT / "config" / "penstock.schema.json"


@pytest.mark.parametrize("sample", SAMPLES)
def test_it_takes_the_samples_of_the_readme(sample: str) -> None:
    assert [faults(document) for document in documents(sample) if faults(document)] == []


@given(configs())
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=50)
def test_it_takes_whatever_is_written(config: Config) -> None:
    (document,) = documents(write_native(config))
    assert faults(document) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("workers: 1", Part.SETTINGS),
        ("routes: routes/", Part.SETTINGS),
        ("routes: [a, b]", Part.SETTINGS),
        ("routes: []\nlog: {}", Part.SETTINGS),
        ("servers: {}", Part.ROUTES),
        ("routes: []", Part.ROUTES),
        ("routes: [{name: r, rules: [{targets: s}]}]", Part.ROUTES),
        ("endpoints: [http://h]", Part.ROUTES),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}}", Part.ROUTES),
        ("{}", Part.ROUTES),
    ],
)
def test_one_schema_tells_settings_from_routes_by_their_keys(text: str, kind: Part) -> None:
    (document,) = documents(text)
    assert faults(document) == []
    assert faults(document, kind) == []


@pytest.mark.parametrize(
    "text", ["workers: 1\nservers: {}", "routes: [a, {name: b}]", "rules: []", "server: {}", "a", "[]", "worker: 1"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    (document,) = documents(text)
    assert faults(document) != []
    assert load_texts({"a.yaml": text}).config is None


def test_each_kind_has_a_schema_of_its_own() -> None:
    (of_settings_,) = documents("workers: 1")
    (of_routes,) = documents("servers: {}")
    assert (faults(of_settings_, Part.ROUTES) != [], faults(of_routes, Part.SETTINGS) != []) == (True, True)
    assert "server" not in json_schema(Part.SETTINGS)["$defs"]
    assert "log" not in json_schema(Part.ROUTES)["$defs"]
