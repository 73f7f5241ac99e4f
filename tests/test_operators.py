"""What each operator promises of a value that is there, and of one that is not."""

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.operators import Operator, compile_operator, find

HUGE = 10**400


def search(pattern: str) -> Callable[[str], bool]:
    found_in = re.compile(pattern).search
    return lambda text: found_in(text) is not None


def holds(operator: str, expected: object, actual: object) -> bool:
    return compile_operator(Operator(operator), expected, search)(actual)


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", " a", False),
        ("", "", True),
        ("1", 1, False),
        (1, 1.0, True),
        (1, True, True),
        (0, False, True),
        (0, -0.0, True),
        (None, None, True),
        ("a", None, False),
        (None, "a", False),
        ("a", ["a"], False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ({"k": 1}, {"k": True}, True),
        (math.nan, math.nan, False),
    ],
)
def test_equality_is_pythons_and_a_missing_value_is_none(expected: object, actual: object, equal: bool) -> None:
    assert holds("equals", expected, actual) is equal
    assert holds("not_equals", expected, actual) is not equal


@pytest.mark.parametrize(
    ("expected", "actual", "contained"),
    [
        ("b", "abc", True),
        ("B", "abc", False),
        ("", "", True),
        ("True", True, True),
        ("true", True, False),
        ("1.0", 1.0, True),
        ("1.0", 1, False),
        ("e", 1e20, True),
        ("a", ["a", "b"], True),
        ("', '", ["a", "b"], True),
        ("a", ["A"], False),
        ("tier", {"tier": "gold"}, True),
        ("gold", {"tier": "gold"}, True),
        ("None", None, False),
        ("", None, False),
    ],
)
def test_contains_looks_into_the_text_that_python_makes_of_a_value(
    expected: str, actual: object, contained: bool
) -> None:
    assert holds("contains", expected, actual) is contained
    assert holds("not_contains", expected, actual) is not contained


@pytest.mark.parametrize("expected", [1, None, ["a"], True])
def test_contains_fails_where_it_is_to_look_for_anything_but_a_text(expected: object) -> None:
    for operator in ("contains", "not_contains"):
        with pytest.raises(TypeError, match="requires string as left operand"):
            holds(operator, expected, "a")
    assert holds("contains", expected, None) is False
    assert holds("not_contains", expected, None) is True


@pytest.mark.parametrize(
    ("expected", "actual", "member"),
    [
        (["a", "b"], "a", True),
        (["a", "b"], "c", False),
        (["1"], 1, False),
        ([True], 1, True),
        ([1], 1.0, True),
        ([], "a", False),
        (["a", "b"], ["a", "b"], False),
        ([["a", "b"]], ["a", "b"], True),
        ([{"k": 1}], {"k": 1}, True),
        ([None], None, True),
        ([""], None, False),
        (["a"], None, False),
        ("abc", "a", False),
        (1, 1, False),
        (None, None, False),
        (("a",), "a", False),
    ],
)
def test_membership_asks_for_a_list_and_takes_a_list_as_one_value(
    expected: object, actual: object, member: bool
) -> None:
    assert holds("in", expected, actual) is member
    assert holds("not_in", expected, actual) is not member


def test_a_list_is_read_as_it_stands_when_a_value_comes() -> None:
    tiers = ["gold"]
    member = compile_operator(Operator.IN, tiers, search)
    assert not member("silver")
    tiers.append("silver")
    assert member("silver")


@pytest.mark.parametrize("actual", ["", 0, False, [], {}, "x"])
@pytest.mark.parametrize("expected", [None, False, "ignored"])
def test_whatever_is_not_null_exists(actual: object, expected: object) -> None:
    assert holds("exists", expected, actual) is True
    assert holds("not_exists", expected, actual) is False
    assert holds("exists", expected, None) is False
    assert holds("not_exists", expected, None) is True


@pytest.mark.parametrize(
    ("expected", "actual", "above", "below"),
    [
        (100, 150, True, False),
        (100, 100, False, False),
        (100, 50, False, True),
        ("100", "150", True, False),
        (100, " 150 ", True, False),
        (100, "1e3", True, False),
        (100, "1_50", True, False),
        (100, "inf", True, False),
        (0, "١٢", True, False),
        (0, True, True, False),
        (1, False, False, True),
        (True, 5, True, False),
        (2**53, 2**53 + 1, False, False),
        (0, "nan", False, False),
        (math.nan, 1, False, False),
        (0, "many", False, False),
        (0, "2024-01-01", False, False),
        (0, [1], False, False),
        (0, {"a": 1}, False, False),
        (0, None, False, False),
        (None, 5, False, False),
        ("many", 5, False, False),
        ([1], 5, False, False),
    ],
)
def test_numbers_are_what_float_makes_of_both_sides(expected: object, actual: object, above: bool, below: bool) -> None:
    assert holds("greater_than", expected, actual) is above
    assert holds("less_than", expected, actual) is below


@pytest.mark.parametrize("operator", ["greater_than", "less_than"])
def test_an_integer_beyond_any_float_fails_on_either_side(operator: str) -> None:
    with pytest.raises(OverflowError):
        holds(operator, 0, HUGE)
    with pytest.raises(OverflowError):
        holds(operator, HUGE, 0)
    assert holds(operator, HUGE, None) is False
    assert holds(operator, HUGE, "many") is False


@pytest.mark.parametrize(
    ("pattern", "actual", "found"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^b", "a\nb", False),
        ("c$", "abc\n", True),
        ("ABC", "abc", False),
        ("(?i)ABC", "abc", True),
        ("", "", True),
        (r"^\d+$", 123, True),
        ("True", True, True),
        ("'a', 'b'", ["a", "b"], True),
        ("None", None, False),
        (5, 152, True),
        (None, "None", True),
        (["a"], "'", True),
        (["a"], "b", False),
        ("(", "(", False),
        (r"\p{L}", "p", False),
        ("a" + "{1,999999999999999999999}", "a", False),
    ],
)
def test_a_pattern_is_searched_in_the_text_of_a_value(pattern: object, actual: object, found: bool) -> None:
    assert holds("regex", pattern, actual) is found


def test_patterns_are_compiled_once_by_the_compiler_that_is_given() -> None:
    compiled: list[str] = []

    def starts_with(pattern: str) -> Callable[[str], bool]:
        compiled.append(pattern)
        return lambda text: text.startswith(pattern)

    predicate = compile_operator(Operator.REGEX, "a.", starts_with)
    assert [predicate("a.b"), predicate("ab"), predicate(None)] == [True, False, False]
    assert compiled == ["a."]


@pytest.mark.parametrize("fault", [ValueError("bad"), re.error("bad")])
def test_a_pattern_that_the_compiler_refuses_is_never_found(fault: Exception) -> None:
    def refuse(_: str) -> Callable[[str], bool]:
        raise fault

    assert compile_operator(Operator.REGEX, "a", refuse)("a") is False


def test_a_value_is_found_by_its_keys_from_the_top() -> None:
    data = {"user": {"tier": "gold", "": 1, "a.b": 2}, "0": "zero"}
    assert find(data, ("user", "tier")) == "gold"
    assert find(data, ("user", "")) == 1
    assert find(data, ("0",)) == "zero"
    assert find(data, ()) is data


@pytest.mark.parametrize(
    "data",
    [{}, {"a": None}, {"a": {"B": 1}}, {"a": [1]}, {"a": "text"}, {"a.b": 1}, {"a": {"b": None}}, [1], "a", None],
)
def test_whatever_cannot_be_found_is_none(data: object) -> None:
    assert find(data, ("a", "b")) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["equals", "contains", "in", "exists"]), JSON, JSON)
def test_each_operator_with_a_not_is_the_others_inverse(operator: str, expected: object, actual: object) -> None:
    if operator == "contains" and not isinstance(expected, str):
        return
    assert holds(operator, expected, actual) is not holds(f"not_{operator}", expected, actual)


@given(st.sampled_from([operator for operator in Operator if operator is not Operator.REGEX]), JSON)
def test_a_missing_value_breaks_no_operator(operator: Operator, expected: object) -> None:
    assert compile_operator(operator, expected, search)(None) in {True, False}
