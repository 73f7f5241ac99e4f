"""Promises of which models may be used."""

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.model_names import compile_models
from proxy.routing.matching import compile_globs


def test_without_models_there_is_nothing_to_test() -> None:
    assert compile_models(()) is None


@pytest.mark.parametrize(
    ("models", "name", "fits"),
    [
        (("qwen",), "qwen", True),
        (("qwen",), "qwen-7b", False),
        (("qwen",), "QWEN", False),
        (("qwen-*",), "qwen-7b", True),
        (("qwen-*",), "qwen", False),
        (("*-chat", "llama"), "llama", True),
        (("*-chat", "llama"), "a-chat", True),
        (("a*a",), "a", False),
        (("a*b*c",), "a-b-c", True),
        (("a*b*c",), "a-c-b", False),
        (("*",), "", True),
        (("q?en",), "qwen", False),
    ],
)
def test_a_name_fits_a_name_or_a_glob(models: tuple[str, ...], name: str, fits: bool) -> None:
    permits = compile_models(models)
    assert permits is not None
    assert permits(name) is fits


@given(pattern=st.text("ab*", max_size=8), name=st.text("ab", max_size=8))
def test_globs_mean_what_they_mean_in_routes(pattern: str, name: str) -> None:
    permits = compile_models((pattern,))
    assert permits is not None
    assert permits(name) == compile_globs((pattern,))(name)
    assert permits(name) == bool(re.fullmatch(fnmatch.translate(pattern), name))
