"""Whatever lies at a path, loading it gives a configuration or problems."""

import gc
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.files import gather
from proxy.config.loader import load, load_texts
from proxy.config.problems import Problems
from proxy.errors import Severity

GOOD = "servers: {a: {endpoints: [http://h:1]}}\nroutes: [{name: r, rules: [{targets: a}]}]\n"


def gathered(*paths: Path | str) -> tuple[list[str], list[str]]:
    problems = Problems()
    files = gather([str(path) for path in paths], problems)
    return [Path(file).name for file in files], [problem.code for problem in problems.all()]


def test_a_folder_gives_its_yaml_and_json_files_by_name(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "d.txt", ".hidden.yaml", "#e.yaml", "~f.yaml", "g.yaml~", "h.yaml.swp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.yaml").mkdir()
    assert gathered(tmp_path) == (["a.yaml", "b.yml", "c.json"], [])


def test_the_links_of_a_mounted_config_map_are_followed_and_its_own_folders_are_not(tmp_path: Path) -> None:
    version = tmp_path / "..2024_01_01"
    version.mkdir()
    (version / "chat.yaml").write_text(GOOD)
    (tmp_path / "..data").symlink_to(version)
    (tmp_path / "chat.yaml").symlink_to(tmp_path / "..data" / "chat.yaml")
    result = load([str(tmp_path)])
    assert result.config is not None
    assert result.files == (str(tmp_path / "chat.yaml"),)


def test_a_glob_gives_what_it_finds(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.json"):
        (tmp_path / name).touch()
    assert gathered(tmp_path / "*.yaml") == (["a.yaml", "b.yaml"], [])


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    assert gathered(tmp_path, tmp_path / "a.yaml", tmp_path) == (["a.yaml"], [])


@pytest.mark.parametrize("path", ["none", "none/*.yaml", "none.yaml", "a\0b", "x" * 5000])
def test_a_path_that_leads_nowhere_is_a_problem(path: str, tmp_path: Path) -> None:
    result = load([str(tmp_path / path)])
    assert result.config is None
    assert {problem.code for problem in result.problems} <= {"PS100", "PS108"}
    assert result.problems


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \xe9"])
def test_a_file_that_is_no_text_is_a_problem(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    (problem,) = load([str(tmp_path)]).problems
    assert problem.code == "PS100"
    assert "UTF-8" in problem.message


def test_a_file_whose_name_is_no_text_is_a_problem_that_can_be_told(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).write_text(GOOD)
    (problem,) = load([str(tmp_path)]).problems
    assert (problem.code, problem.file) == ("PS100", f"{tmp_path}/\\udcff.yaml")


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "gone")
    assert [problem.code for problem in load([str(tmp_path)]).problems] == ["PS100"]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load([str(tmp_path)]).problems == ()


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "---\n---\n", "null"])
def test_an_empty_configuration_is_never_applied(text: str) -> None:
    result = load_texts({"a.yaml": text})
    assert result.config is None
    assert "PS107" in [problem.code for problem in result.problems]


def test_no_text_at_all_is_nothing_to_serve() -> None:
    assert [problem.code for problem in load_texts({}).problems] == ["PS107"]


def test_servers_without_a_route_are_nothing_to_serve() -> None:
    codes = [problem.code for problem in load_texts({"a.yaml": GOOD.splitlines()[0]}).problems]
    assert sorted(codes) == ["PS107", "PS132"]


def test_an_empty_file_beside_a_full_one_is_a_warning() -> None:
    result = load_texts({"a.yaml": "", "b.yaml": GOOD})
    assert result.config is not None
    assert [(problem.severity, problem.code) for problem in result.problems] == [(Severity.WARNING, "PS106")]


def test_problems_of_all_files_are_told_at_once_from_top_to_end() -> None:
    bad = "routes: 1\nservers:\n  %s: {endpoint: [http://h:1]}\n"
    result = load_texts({"b.yaml": bad % "b", "a.yaml": bad % "a"})
    assert result.config is None
    places = [(p.file, p.line) for p in result.problems if p.severity is Severity.ERROR]
    assert places == [(file, line) for file in ("b.yaml", "a.yaml") for line in (1, 3, 3)]


def test_a_kind_that_says_nothing_about_routing_is_skipped_with_a_hint_that_names_it() -> None:
    result = load_texts({"a.yaml": f"apiVersion: v1\nkind: Service\n---\n{GOOD}"})
    assert result.config is not None
    (problem,) = result.problems
    assert (problem.severity, problem.code) == (Severity.HINT, "PS116")
    assert "Service" in problem.message


def test_settings_among_the_routes_are_told_to_be_in_the_wrong_place() -> None:
    assert [problem.code for problem in load_texts({"a.yaml": "workers: 2\n"}).problems] == ["PS115"]


def test_the_version_follows_names_and_contents() -> None:
    def version(*texts: tuple[str, str]) -> str:
        config = load_texts(dict(texts)).config
        assert config is not None
        return config.version

    one = version(("a.yaml", GOOD))
    assert len(one) == 12
    assert one == version(("a.yaml", GOOD))
    assert (
        len({one, version(("b.yaml", GOOD)), version(("a.yaml", GOOD + " ")), version(("a.yaml", GOOD), ("b", ""))})
        == 4
    )


def test_the_garbage_collector_is_at_work_again_after_loading() -> None:
    load_texts({"a.yaml": GOOD})
    assert gc.isenabled()


# fmt: off
ANY_KEY = st.sampled_from([
    "servers", "routes", "name", "models", "adapters", "rules", "match", "matches", "targets", "fallback", "server",
    "weight", "model", "endpoints", "url", "labels", "timeout", "connect", "first_byte", "retries", "on", "attempts",
    "backoff", "rate_limit", "requests_per_second", "burst", "tls", "ca", "cert", "headers", "query", "path",
    "method", "body", "exact", "regex", "present", "absent", "priority", "engine", "balance", "retry_budget",
    "apiVersion", "kind", "workers", "limits",
])
# fmt: on
ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["a", "5s", "http://h:1", "${A}", "${", "*", "/x*", "20%", "^(", "\x00", "~nobody/x", "http://[", "1e999"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_KEY | st.text(max_size=3), inner, max_size=6),
    max_leaves=40,
)


@given(st.fixed_dictionaries({}, optional={"servers": ANY_VALUE, "routes": ANY_VALUE, "kind": ANY_VALUE}))
def test_no_document_makes_a_reader_raise(document: object) -> None:
    text = yaml.safe_dump(document, allow_unicode=True)
    result = load_texts({"a.yaml": text}, {"A": "x"})
    assert (result.config is None) == any(problem.severity is Severity.ERROR for problem in result.problems)


SERVER_FIELDS = st.dictionaries(ANY_KEY, ANY_VALUE, max_size=8)
RULE = st.fixed_dictionaries(
    {"targets": ANY_VALUE}, optional={"match": ANY_VALUE, "matches": ANY_VALUE, "name": ANY_VALUE}
)
ROUTES = st.lists(
    st.fixed_dictionaries({"name": ANY_VALUE, "rules": st.lists(RULE | ANY_VALUE, max_size=3)}), max_size=3
)


@given(st.dictionaries(st.text(max_size=4), SERVER_FIELDS, max_size=3), ROUTES)
def test_no_server_or_rule_makes_a_reader_raise(servers: object, routes: object) -> None:
    load_texts({"a.yaml": yaml.safe_dump({"servers": servers, "routes": routes}, allow_unicode=True)}, {"A": "\x00"})


@given(st.text(), st.sampled_from(["a.yaml", "a.json"]))
def test_no_text_makes_loading_raise(text: str, file: str) -> None:
    load_texts({file: text})


@pytest.mark.slow
def test_ten_thousand_routes_load_in_seconds() -> None:
    rules = "rules: [{match: {headers: {tier: x}}, targets: a}, {targets: [{server: a, weight: 90}, {server: a}]}]"
    routes = "\n".join(f"  - {{name: r{number}, models: [m{number}], {rules}}}" for number in range(10_000))
    result = load_texts({"a.yaml": f"servers: {{a: {{endpoints: [http://h]}}}}\nroutes:\n{routes}\n"})
    assert result.config is not None
    assert len(result.config.routes) == 10_000
