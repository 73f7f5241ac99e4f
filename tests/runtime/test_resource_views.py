import pytest

from proxy.errors import Problem, Severity
from proxy.runtime.resource_views import Endpoints, Sync, server_views, sync_of
from tests.runtime.resource_stage import KEPT_KEY, OPEN, UNREADABLE, report


def test_an_endpoint_is_available_that_any_worker_finds_available() -> None:
    reports = [report("available", "ejected", "ejected"), report("ejected", "healthy", "unavailable")]
    assert server_views(reports, [])["chat"].endpoints == Endpoints(2, 3)


@pytest.mark.parametrize(
    ("state", "problem", "served"),
    [
        ("available", (), True),
        ("ejected", (), False),
        ("available", (UNREADABLE,), False),
        ("available", (KEPT_KEY,), True),
    ],
)
def test_a_server_is_served_with_an_endpoint_and_what_it_has_to_show(
    state: str, problem: tuple[()], served: bool
) -> None:
    assert server_views([report(state, problems=problem)], [])["chat"].served is served


def test_of_two_workers_the_one_that_can_do_less_is_believed() -> None:
    kept, lacking = report("available", problems=(KEPT_KEY,)), report("available", problems=(UNREADABLE,))
    for reports in ([kept, lacking], [lacking, kept]):
        assert server_views(reports, [])["chat"].problem == UNREADABLE


def test_a_port_is_told_of_each_of_its_servers() -> None:
    assert server_views([], [OPEN])["chat"].service == OPEN


def test_only_errors_hold_a_file_up() -> None:
    error = Problem(Severity.ERROR, "PS111", "a.yaml", 3, 5, "", "no such key")
    warning = Problem(Severity.WARNING, "PS135", "b.yaml", 1, 1, "", "no endpoint")
    assert sync_of((error, warning), successful=False) == Sync(False, (error,), {"a.yaml": [error]})
