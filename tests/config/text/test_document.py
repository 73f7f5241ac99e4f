"""Any text becomes documents or problems, and every key and value knows its place."""

import json
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.problems import Problems
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode
from proxy.errors import Problem


def parse(text: str, file: str = "a.yaml") -> tuple[tuple[Node, ...], tuple[Problem, ...]]:
    problems = Problems()
    return parse_documents(file, text, {}, problems).nodes, problems.all()


def plain(node: Node) -> object:
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [plain(item) for item in node.items]
        case MappingNode():
            return {key: plain(item) for key, item in node.entries.items()}


def scalars(node: Node) -> Iterator[ScalarNode]:
    match node:
        case ScalarNode():
            yield node
        case ListNode():
            for item in node.items:
                yield from scalars(item)
        case MappingNode():
            for item in node.entries.values():
                yield from scalars(item)


def codes(text: str, file: str = "a.yaml") -> list[str]:
    return [problem.code for problem in parse(text, file)[1]]


def test_every_value_knows_its_line_column_and_path() -> None:
    (node,), _ = parse("routes:\n  - name: a\n    rules:\n      - {x.y: 1}\n")
    places = [(s.place.line, s.place.column, s.place.path) for s in scalars(node)]
    assert places == [(2, 11, "routes[0].name"), (4, 15, "routes[0].rules[0]['x.y']")]


def test_json_keeps_the_same_places_as_yaml() -> None:
    text = '{\n  "routes": [\n    {"name": "a", "n": [1, true, null]}\n  ]\n}'
    (from_yaml,), _ = parse(text)
    (from_json,), _ = parse(text, "a.json")
    assert [s.place.origin() for s in scalars(from_json)] == [
        s.place.origin().__class__("a.json", s.place.line, s.place.column, s.place.path) for s in scalars(from_yaml)
    ]


def test_a_key_knows_its_own_place() -> None:
    (node,), _ = parse("a:\n  bc: 1\n")
    assert isinstance(node, MappingNode)
    inner = node.entries["a"]
    assert isinstance(inner, MappingNode)
    assert inner.key_place("bc").origin() == inner.entries["bc"].place.origin().__class__("a.yaml", 2, 3, "a.bc")


@pytest.mark.parametrize("text", ["on", "yes", "no", "8:30", "1_000", "2024-01-01", "0b1", "+", "-", "."])
def test_what_is_no_number_boolean_or_null_in_yaml_1_2_stays_a_text(text: str) -> None:
    (node,), _ = parse(f"a: {text}\n") if text != "-" else parse("a: '-'\n")
    assert plain(node) == {"a": text}


def test_scalars_are_read_by_the_core_schema() -> None:
    (node,), problems = parse("[1, -2, 0x10, 0o17, 1.5, 1e3, true, False, null, ~, '', '1', !!str 1]")
    assert plain(node) == [1, -2, 16, 15, 1.5, 1000.0, True, False, None, None, "", "1", "1"]
    assert not problems


def test_a_file_may_hold_several_documents() -> None:
    nodes, problems = parse("a: 1\n---\n---\nb: 2\n...\n# no more\n")
    assert [plain(node) for node in nodes] == [{"a": 1}, {"b": 2}]
    assert not problems


def test_documents_before_a_syntax_error_are_still_read() -> None:
    nodes, problems = parse("a: 1\n---\nb: [\n")
    assert [plain(node) for node in nodes] == [{"a": 1}]
    assert [problem.code for problem in problems] == ["PS101"]


def test_aliases_and_merges_are_expanded_and_own_keys_win() -> None:
    (node,), problems = parse("base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n")
    assert plain(node) == {"base": {"x": 1, "y": 2}, "one": {"y": 3, "x": 1}, "two": {"x": 1, "y": 2}}
    assert not problems


def test_an_aliased_value_has_the_line_of_its_anchor_and_the_path_of_its_use() -> None:
    (node,), _ = parse("base: &b {x: 1}\ntwo: *b\n")
    assert [(s.place.line, s.place.path) for s in scalars(node)] == [(1, "base.x"), (1, "two.x")]


def test_a_bomb_of_aliases_is_told_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert codes("\n".join(lines)) == ["PS104"]


@pytest.mark.parametrize("text", ["&a [*a]", "a: *b", "? *a\n: 1"])
def test_an_alias_without_an_anchor_before_it_is_a_problem(text: str) -> None:
    assert codes(text) == ["PS104"]


@pytest.mark.parametrize(
    ("text", "file"), [("[" * 10_000, "a.yaml"), ("- " * 5_000, "a.yaml"), ("[" * 10_000, "a.json")]
)
def test_a_document_nested_too_deep_is_a_problem(text: str, file: str) -> None:
    assert codes(text, file) == ["PS103"]


@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_a_key_given_twice_is_a_problem_that_names_the_first_line(file: str) -> None:
    _, (problem,) = parse('{"a": 1,\n"a": 2}', file)
    assert (problem.code, problem.line) == ("PS102", 2)
    assert "line 1" in problem.message


def test_a_tag_that_asks_for_an_object_is_a_problem_and_runs_nothing() -> None:
    assert codes("a: !!python/object/apply:os.system ['true']") == ["PS105"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("models: [*]", "must be in quotes"),
        ("a:\n\t- b", "spaces, not tabs"),
        ("a: @x", "cannot begin with @"),
        ("a: b: c", "check the indentation"),
        ("a: 'x", "never closed"),
        ("a: \x00", "not YAML"),
        ("a: \ud800", "cannot be read"),
    ],
)
def test_a_syntax_error_says_what_to_do(text: str, advice: str) -> None:
    _, (problem,) = parse(text)
    assert advice in problem.message


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1,}', 1, 9),
        ('{"a"\n 1}', 2, 2),
        ("[1\n2]", 2, 1),
        ('{"a": tru}', 1, 7),
        ('"\\ud800"', 1, 1),
        ('"a\nb"', 1, 1),
        ("[1] x", 1, 5),
        ("[NaN]", 1, 2),
        ("{'a': 1}", 1, 2),
        ("[", 1, 2),
    ],
)
def test_what_is_no_json_is_told_at_its_place(text: str, line: int, column: int) -> None:
    _, (problem,) = parse(text, "a.json")
    assert (problem.code, problem.line, problem.column) == ("PS101", line, column)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON.filter(lambda value: value is not None and "${" not in json.dumps(value)), st.sampled_from([None, 1]))
def test_json_is_read_as_the_standard_library_reads_it(value: object, indent: int | None) -> None:
    (node,), problems = parse(json.dumps(value, indent=indent), "a.json")
    assert plain(node) == value
    assert not problems


@given(st.text() | st.text(alphabet="{}[]:,-&*a1'\"\\\n \t#!|>%@?~$<u0"), st.sampled_from(["a.yaml", "a.json"]))
def test_no_text_makes_the_parser_raise(text: str, file: str) -> None:
    parse(text, file)


@given(st.text(alphabet="{}[]:,-&*a1'\"\\\n \t#!|>%@?~$<u0"))
def test_no_text_makes_the_parser_written_in_python_raise(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        parse(text)
