import pickle

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Config, EndpointSpec, ModelServer, Route, Rule, Target
from proxy.runtime.canary_plan import CanaryWeights
from proxy.runtime.pieces import PIECE_WEIGHT, Assembler, cut


def route(number: int, rules: int) -> Route:
    return Route(f"route-{number}", tuple(Rule(f"rule-{place}", (Target("server-0"),)) for place in range(rules)))


def server(number: int, endpoints: int) -> ModelServer:
    specs = tuple(EndpointSpec("http", "127.0.0.1", 1000 + place) for place in range(endpoints))
    return ModelServer(f"server-{number}", specs)


def config(routes: list[int], servers: list[int]) -> Config:
    return Config(
        {f"server-{number}": server(number, endpoints) for number, endpoints in enumerate(servers)},
        tuple(route(number, rules) for number, rules in enumerate(routes)),
        "v1",
    )


def put_together(pieces: list[bytes]) -> Config:
    assembler = Assembler("v1")
    for piece in pieces:
        assembler.add(piece)
    return assembler.config()


@given(st.lists(st.integers(0, 450), max_size=12), st.lists(st.integers(0, 450), max_size=12))
def test_what_was_cut_comes_together_again(routes: list[int], servers: list[int]) -> None:
    asked = config(routes, servers)
    assert put_together(list(cut(asked))) == asked


def test_the_order_of_routes_and_servers_is_kept() -> None:
    asked = config([2] * 500, [3] * 500)
    made = put_together(list(cut(asked)))
    assert list(made.servers) == list(asked.servers)
    assert [each.name for each in made.routes] == [each.name for each in asked.routes]


def test_no_piece_is_long_to_read_however_big_a_route_or_a_server_is() -> None:
    pieces = list(cut(config([5000, *[2] * 1000], [5000, *[2] * 1000])))
    assert max(len(pickle.loads(piece)) for piece in pieces) <= PIECE_WEIGHT
    assert max(len(piece) for piece in pieces) < 64 * 1024


def test_weights_that_come_beside_the_pieces_stand_in_place_of_their_own() -> None:
    split = Route("chat", (Rule("all", (Target("server-0", 90), Target("server-1", 10))),))
    assembler = Assembler("v1")
    for piece in cut(Config({}, (*config([2], []).routes, split), "v1")):
        assembler.add(piece)
    made = assembler.config([CanaryWeights("chat", "all", 100, 0)])
    assert [target.weight for target in made.routes[1].rules[0].targets] == [100, 0]
    assert made.routes[0] == config([2], []).routes[0]
    assert made.version == "v1"
