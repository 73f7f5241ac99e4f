"""Selectors find what a look at every entry would find."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.selection import Inventory
from proxy.config.spec import EndpointSpec, InventoryEntry, ModelServer, Selector


def entry(host: str = "h", **fields: object) -> InventoryEntry:
    return replace(InventoryEntry(host), **fields)  # type: ignore[arg-type]


def addresses(selector: Selector, *entries: InventoryEntry) -> list[str]:
    return [endpoint.address for endpoint in Inventory(entries).select(selector)]


def test_an_entry_has_all_of_the_labels_that_a_selector_asks_for() -> None:
    both = entry("both", labels=(("app", "a"), ("zone", "z")), port=1)
    one = entry("one", labels=(("app", "a"),), port=1)
    assert addresses(Selector(labels=(("app", "a"),)), both, one) == ["http://both:1", "http://one:1"]
    assert addresses(Selector(labels=(("zone", "z"), ("app", "a"))), both, one) == ["http://both:1"]


def test_an_entry_is_of_the_workload_and_the_namespace() -> None:
    entries = [entry("a", workload="w", port=1), entry("b", port=1), entry("c", workload="w", namespace="n", port=1)]
    assert addresses(Selector(workload="w"), *entries) == ["http://a:1"]
    assert addresses(Selector(workload="w", labels=(("app", "a"),)), *entries) == []
    assert addresses(Selector(namespace="n"), *entries) == ["http://c:1"]


def test_an_entry_with_the_labels_but_of_another_workload_is_not_found() -> None:
    labels = (("app", "a"),)
    both = entry("both", workload="w", labels=labels, port=1)
    others = [
        entry("x", workload="v", labels=labels, port=1),
        *(entry(f"w{i}", workload="w", port=1) for i in range(3)),
    ]
    assert addresses(Selector(workload="w", labels=labels), both, *others) == ["http://both:1"]


def test_the_port_is_the_entrys_own_else_each_of_the_selectors() -> None:
    selector = Selector(ports=(8000, 8001))
    assert addresses(selector, entry("a", port=9)) == ["http://a:9"]
    assert addresses(selector, entry("a")) == ["http://a:8000", "http://a:8001"]
    assert addresses(Selector(), entry("a")) == []


def test_an_entry_may_serve_some_of_the_ports_alone() -> None:
    selector = Selector(ports=(8000, 8001))
    assert addresses(selector, entry("a", active_ports=(8001, 9))) == ["http://a:8001"]
    assert addresses(selector, entry("a", active_ports=())) == []


def test_an_endpoint_keeps_what_its_entry_says() -> None:
    said = entry("::1", scheme="https", port=443, prefix="/v1", weight=3, labels=(("a", "b"),))
    assert Inventory([said]).select(Selector()) == (EndpointSpec("https", "::1", 443, "/v1", 3, (("a", "b"),)),)


def test_an_address_that_is_found_twice_or_listed_already_is_there_once() -> None:
    listed = EndpointSpec("http", "a", 8000, weight=5)
    server = ModelServer("s", (listed,), selector=Selector(ports=(8000,)))
    completed = Inventory([entry("a"), entry("b"), entry("b")]).complete(server)
    assert completed.endpoints == (listed, EndpointSpec("http", "b", 8000))


def test_an_inventory_knows_what_was_selected() -> None:
    inventory = Inventory([entry("a", labels=(("x", "1"),)), entry("b")])
    inventory.select(Selector(labels=(("x", "1"),)))
    assert inventory.selected == {0}


def test_a_server_without_a_selector_is_left_as_it_is() -> None:
    server = ModelServer("s", ())
    assert Inventory([entry()]).complete(server) is server


FEW = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(FEW, FEW, max_size=3).map(lambda labels: tuple(labels.items()))
PORTS = st.lists(st.integers(1, 4), unique=True, max_size=3).map(tuple)
ENTRIES = st.lists(
    st.builds(
        InventoryEntry,
        host=FEW,
        port=st.none() | st.integers(1, 4),
        scheme=st.none() | st.just("https"),
        namespace=FEW,
        labels=LABELS,
        workload=st.none() | FEW,
        active_ports=st.none() | PORTS,
    ),
    max_size=12,
)
SELECTORS = st.builds(Selector, namespace=FEW, labels=LABELS, workload=st.none() | FEW, ports=PORTS)


def naive(entries: list[InventoryEntry], selector: Selector) -> list[str]:
    found: list[str] = []
    for one in entries:
        if one.namespace != selector.namespace or not set(selector.labels) <= set(one.labels):
            continue
        if selector.workload is not None and one.workload != selector.workload:
            continue
        ports = (
            [one.port]
            if one.port is not None
            else [port for port in selector.ports if one.active_ports is None or port in one.active_ports]
        )
        found.extend(f"{one.scheme or selector.scheme}://{one.host}:{port}" for port in ports)
    return list(dict.fromkeys(found))


@given(ENTRIES, SELECTORS)
def test_a_selector_finds_what_a_look_at_every_entry_finds(entries: list[InventoryEntry], selector: Selector) -> None:
    assert addresses(selector, *entries) == naive(entries, selector)
