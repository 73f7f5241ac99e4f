"""What readers find is kept with its place, its name and its age."""

from itertools import permutations

from proxy.config.assembly import Age, Assembly, where
from proxy.config.loader import load_texts
from proxy.config.problems import Problems
from proxy.config.spec import ModelServer, Origin
from proxy.config.text.nodes import Place

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"


def test_names_are_unique_across_files() -> None:
    route = "routes: [{name: r, models: [m%s], rules: [{targets: a}]}]"
    found = load_texts({"0.yaml": SERVER + route % 1, "1.yaml": SERVER + route % 2}).problems
    assert [(p.code, p.file) for p in found] == [("PS130", "1.yaml"), ("PS130", "1.yaml")]
    assert all("0.yaml:" in p.message for p in found)


def test_a_name_is_taken_by_the_first_of_its_kind() -> None:
    assembly = Assembly(Problems())
    assert assembly.declare("thing", "a", Place("x", 1))
    assert assembly.declare("other", "a", Place("x", 2))
    assert not assembly.declare("thing", "a", Place("x", 3))
    (problem,) = assembly.problems.all()
    assert problem.message == "the thing 'a' was already defined at x:1"


def test_a_name_from_a_variable_is_not_shown_when_it_is_taken() -> None:
    assembly = Assembly(Problems())
    assembly.declare("thing", "hunter2", Place("x", 1), hidden=True)
    assembly.declare("thing", "hunter2", Place("x", 2), hidden=True)
    assert "hunter2" not in assembly.problems.all()[0].message


def test_of_two_servers_of_one_name_the_first_stays() -> None:
    assembly = Assembly(Problems())
    assembly.add_server(ModelServer("a", (), model="first"))
    assembly.add_server(ModelServer("a", (), model="second"))
    assert assembly.servers["a"].model == "first"


def test_the_older_comes_first_then_the_lesser_name_and_what_has_no_age_comes_last() -> None:
    ages = [Age(1.0, "b/b"), Age(2.0, "a/a"), Age(2.0, "b/a"), Age(None, "a/a")]
    for order in permutations(ages):
        assert sorted(order, key=lambda age: age.rank) == ages


def test_what_has_no_age_keeps_its_order() -> None:
    ages = [Age(None, "b"), Age(None, "a")]
    assert sorted(ages, key=lambda age: age.rank) == ages


def test_a_place_is_named_by_file_and_line() -> None:
    assert where(Place("a.yaml", 3, 1)) == where(Origin("a.yaml", 3, 1, "")) == "a.yaml:3"
