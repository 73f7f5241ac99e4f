"""Each shape of a file leads to the same configuration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mixtrain.engine import RoutingEngineFactory
from proxy.mixtrain.shapes import unwrap

RULES = [{"name": "r", "targets": [{"provider": "custom", "model_name": "m", "endpoint": "http://m"}]}]
CONFIG = {"name": "c", "rules": RULES}


def test_a_plain_configuration_stays_as_it_is_and_nothing_is_said() -> None:
    found = unwrap(CONFIG)
    assert found.config is CONFIG
    assert found.message is None


def test_an_export_of_the_platforms_pages_holds_the_configuration() -> None:
    found = unwrap({"metadata": {"exported_at": "today"}, "config": CONFIG})
    assert found.config is CONFIG
    assert found.message == "Detected frontend export format, extracting config..."


def test_a_list_of_rules_gets_a_name() -> None:
    found = unwrap(RULES)
    assert found.config == {
        "name": "Imported Configuration",
        "description": "Configuration imported from rules array",
        "rules": RULES,
    }
    assert found.message == "Detected rules array format, wrapping with config structure..."


@pytest.mark.parametrize(
    ("record", "name", "description"),
    [
        ({"config_data": {"rules": RULES}}, "Backend Configuration", None),
        ({"id": 3, "status": "active", "config_data": {"rules": RULES}}, "Backend Configuration", None),
        ({"name": "Prod", "version": 2, "config_data": {"rules": RULES}}, "Prod", None),
        ({"name": "Prod", "description": "d", "config_data": {"rules": RULES, "name": "own"}}, "own", "d"),
        ({"name": None, "config_data": {"rules": RULES}}, "Backend Configuration", None),
    ],
)
def test_a_record_of_the_platform_holds_the_rules_with_or_without_a_name(
    record: dict[str, Any], name: str, description: str | None
) -> None:
    found = unwrap(record)
    assert (found.config["name"], found.config.get("description"), found.config["rules"]) == (name, description, RULES)
    assert found.message is None
    assert RoutingEngineFactory.from_json(found.config).route_request({}).matched_rule is not None


@pytest.mark.parametrize("parsed", [{}, {"name": "c"}, {"config_data": 1}, {"config": CONFIG}, None, 7, "text"])
def test_what_has_no_known_shape_is_left_for_the_reader_to_refuse(parsed: object) -> None:
    found = unwrap(parsed)
    assert found.config is parsed
    assert found.message is None


KEYS = st.sampled_from(["name", "rules", "metadata", "config", "config_data", "description"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_no_json_breaks_it_and_its_input_is_never_altered(parsed: object) -> None:
    before = repr(parsed)
    unwrap(parsed)
    assert repr(parsed) == before
