import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.match_spec import Exact, PathCondition, Prefix, Regex, Suffix, ValueTest
from proxy.config.spec import Config, ModelServer, ServiceListener
from proxy.routing.service_tables import claims, servers_by_port, servers_of, service_routes, service_steps
from proxy.routing.table import RoutingTable
from tests.routing.fake_request import FakeRequest


def server(name: str, *paths: ValueTest, port: int | None = 8080) -> ModelServer:
    return ModelServer(name, (), listener=None if port is None else ServiceListener(port, paths=paths))


def tables(*servers: ModelServer) -> dict[int, RoutingTable]:
    steps = service_steps(Config({server.name: server for server in servers}, ()), {})
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            found: dict[int, RoutingTable] = finished.value
            return found


def route_at(table: RoutingTable, path: str) -> str | None:
    match = table.lookup(FakeRequest(path=path))
    return None if match is None else match.route


def test_each_port_knows_its_own_servers_alone() -> None:
    found = tables(server("a", Prefix("/a")), server("b", Prefix("/b"), port=9090), server("c", port=None))
    assert set(found) == {8080, 9090}
    assert (route_at(found[8080], "/a"), route_at(found[8080], "/b")) == ("server/a", None)
    assert (route_at(found[9090], "/b"), route_at(found[9090], "/a")) == ("server/b", None)


def test_a_server_without_paths_takes_what_no_other_of_its_port_does() -> None:
    (table,) = tables(server("all"), server("chat", Prefix("/chat"))).values()
    assert (route_at(table, "/chat/x"), route_at(table, "/x")) == ("server/chat", "server/all")


@pytest.mark.parametrize(
    ("path", "winner"),
    [
        ("/v1/models/big", "server/exact"),
        ("/v1/models/big/infer", "server/long"),
        ("/v1/models/small", "server/short"),
        ("/v2/chat", "server/pattern"),
        ("/other", "server/all"),
    ],
)
def test_the_most_specific_path_wins_whatever_the_order_of_the_files(path: str, winner: str) -> None:
    servers = [
        server("all", Prefix("/")),
        server("pattern", Suffix("chat"), Regex("/big")),
        server("short", Prefix("/v1/models/")),
        server("long", Prefix("/v1/models/big/")),
        server("exact", Exact("/v1/models/big")),
    ]
    for order in (servers, servers[::-1]):
        (table,) = tables(*order).values()
        assert route_at(table, path) == winner


TEXTS = st.from_regex("/[ab]{1,3}", fullmatch=True)
TESTS = st.one_of(*(st.builds(kind, TEXTS) for kind in (Exact, Prefix, Suffix)))


@given(st.lists(TESTS, min_size=1, max_size=6))
def test_exact_paths_come_before_prefixes_and_these_before_other_patterns_the_longer_first(
    paths: list[Exact | Prefix | Suffix],
) -> None:
    met = [rule.matches[0].conditions[0] for route in service_routes([server("a", *paths)]) for rule in route.rules]
    ordered = sorted(paths, key=lambda path: ((Exact, Prefix, Suffix).index(type(path)), -len(path.value)))
    assert met == [PathCondition(path) for path in ordered]


def test_a_port_leads_to_its_servers_under_the_name_of_their_own_path_and_with_their_policies() -> None:
    asked = server("default/llama", Exact("/a"), Prefix("/a/"))
    (table,) = tables(asked).values()
    match = table.lookup(FakeRequest(path="/a/b"))
    assert match is not None
    assert (match.route, match.rule) == ("server/default/llama", "path")
    target = match.choose(FakeRequest(path="/a/b"))
    assert (target.server, target.timeouts, target.retries) == (asked.name, asked.timeouts, asked.retries)
    assert servers_of(table) == {"default/llama"}


def test_only_who_names_exactly_a_path_claims_it() -> None:
    (table,) = tables(server("a", Exact("/health"), Prefix("/re"))).values()
    assert claims(table, "/health")
    assert not claims(table, "/ready")


def test_servers_of_a_port_stand_in_the_files_order() -> None:
    ports = servers_by_port(Config({name: server(name) for name in ("b", "a")}, ()))
    assert [found.name for found in ports[8080]] == ["b", "a"]
