"""Promises of a key file's text: what goes in or out leaves the rest as it was written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.key_file import read_key_text
from proxy.cli.key_edits import EditError, Entry, created, parse, with_key, without_key
from proxy.config.problems import Problems

DIGESTS = {name: format(i, "x") * 64 for i, name in enumerate(["ada", "bob", "eve"], 1)}
WRITTEN = f"""\
# Our callers.
version: 1   # the only one

keys:
  # Ada's laptop.
  - name: ada
    sha256: {DIGESTS["ada"]}
    # Ends with her stay.
    expires: 2027-01-31

  # The batch jobs.
  - name: bob
    sha256: "{DIGESTS["bob"]}"
    metadata:
      note: |
        of two lines

        and a # that is none
"""


def entry(name: str, **more: object) -> Entry:
    return {"name": name, "sha256": DIGESTS.get(name, "f" * 64), **more}  # type: ignore[dict-item]


def added(text: str, new: Entry, file: str = "keys.yaml") -> str:
    return with_key(parse(file, text), new)


def removed(text: str, name: str, file: str = "keys.yaml") -> str:
    return without_key(parse(file, text), name)


def names(text: str, file: str = "keys.yaml") -> list[str]:
    problems = Problems()
    keys = read_key_text(file, text, {}, problems)
    assert not problems.failed, problems.all()
    return [key.name for key in keys]


def test_a_key_is_added_behind_all_that_is_there() -> None:
    text = added(WRITTEN, entry("eve", models=["qwen", "llama-*"]))
    block = f"  - name: eve\n    sha256: {DIGESTS['eve']}\n    models: [qwen, llama-*]\n"
    assert text == WRITTEN + block


def test_a_key_that_is_added_and_taken_out_again_leaves_no_trace() -> None:
    assert removed(added(WRITTEN, entry("eve")), "eve") == WRITTEN


def test_taking_a_key_out_leaves_the_comments_around_it() -> None:
    lines = WRITTEN.splitlines(keepends=True)
    assert removed(WRITTEN, "ada") == "".join(lines[:5] + lines[9:])
    assert removed(WRITTEN, "bob") == "".join(lines[:11])


def test_a_comment_within_a_key_goes_with_it_wherever_it_begins() -> None:
    text = WRITTEN.replace("    # Ends with her stay.", "# Ends with her stay.")
    assert removed(text, "ada") == removed(WRITTEN, "ada")


def test_the_last_key_leaves_an_empty_list_and_the_next_one_fills_it() -> None:
    text = added(created("keys.yaml"), entry("ada"))
    emptied = removed(text, "ada")
    assert emptied == created("keys.yaml")
    assert added(emptied, entry("ada")) == text


@pytest.mark.parametrize(
    "text",
    [
        f"keys:\n- name: ada\n  sha256: {DIGESTS['ada']}\nversion: 1\n",
        f"version: 1\nkeys:\n- name: ada\n  sha256: {DIGESTS['ada']}",
        f"version: 1\nkeys:\n  -\n    name: ada\n    sha256: {DIGESTS['ada']}\n",
        f"version: 1\nkeys:\n  - {{name: ada, sha256: {DIGESTS['ada']}}}\n# the end\n",
        f"---\nversion: 1\nkeys:\n    - sha256: {DIGESTS['ada']}\n      name: ada\n...\n",
        f"version: 1\r\nkeys:\r\n  - name: ada\r\n    sha256: {DIGESTS['ada']}\r\n",
    ],
)
def test_other_layouts_are_kept_as_well(text: str) -> None:
    longer = added(text, entry("bob"))
    assert sorted(names(longer)) == ["ada", "bob"]
    assert set(text.split("\n")) <= set(longer.split("\n"))
    assert names(removed(longer, "ada")) == ["bob"]
    assert names(removed(text, "ada")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"version: 1\nkeys: [{{name: ada, sha256: {DIGESTS['ada']}}}]\n",
        f"{{version: 1, keys: [{{name: ada, sha256: {DIGESTS['ada']}}}]}}\n",
    ],
)
def test_a_list_within_a_line_is_left_to_people(text: str) -> None:
    with pytest.raises(EditError):
        added(text, entry("bob"))
    with pytest.raises(EditError):
        removed(text, "ada")


def test_variables_stay_variables() -> None:
    text = WRITTEN.replace(f'"{DIGESTS["bob"]}"', "${BOB}")
    assert "${BOB}" in added(text, entry("eve"))
    assert "${BOB}" in removed(text, "ada")


def test_json_is_written_anew_with_all_that_it_says() -> None:
    text = added(created("keys.json"), entry("ada"), "keys.json")
    text = added(text, entry("bob", metadata={"note": "${X} ü"}), "keys.json")
    assert json.loads(text)["keys"][1]["metadata"] == {"note": "${X} ü"}
    assert json.loads(removed(text, "bob", "keys.json")) == {"version": 1, "keys": [entry("ada")]}


@given(
    st.text(max_size=20).filter(lambda text: "${" not in text),
    st.dictionaries(st.text("ab: #-'\"{}[],&*!|>%@`", min_size=1, max_size=6), st.text(max_size=8), max_size=3),
)
def test_what_is_added_says_what_was_asked_for_or_is_refused(name: str, metadata: dict[str, str]) -> None:
    new = entry(name, metadata=metadata)
    try:
        text = added(WRITTEN, new)
    except EditError:
        return
    assert text.startswith(WRITTEN)
    assert parse("keys.yaml", text).keys[-1] == new


@pytest.mark.parametrize("text", ["- a\n", "{", "a: 1\n---\nb: 2\n", ""])
def test_what_is_no_mapping_is_no_key_file(text: str) -> None:
    with pytest.raises(EditError):
        parse("keys.yaml", text)
