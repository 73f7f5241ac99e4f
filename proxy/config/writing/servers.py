"""Model servers and the inventory, written as the native form has them."""

from collections.abc import Mapping, Sequence
from math import ceil

from proxy.config.selection import Inventory
from proxy.config.spec import (
    Disaggregation,
    EndpointSpec,
    InventoryEntry,
    ModelServer,
    RateLimit,
    Retries,
    Rewrite,
    Selector,
    UpstreamTls,
)
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.config.writing.access import auth_tree, credential_parts, limits_tree, listener_tree, queueing_parts
from proxy.config.writing.values import (
    one_or_list,
    optional,
    retries,
    said,
    share,
    text_map,
    texts,
    timeouts,
    unless,
)
from proxy.config.writing.yaml_text import Block, Remark, Tree, boolean, number, text

_DEFAULT = ModelServer("", ())
_SELECTOR = Selector()
_ENTRY = InventoryEntry("")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def servers_tree(servers: Mapping[str, ModelServer], inventory: Sequence[InventoryEntry]) -> Tree:
    """All servers by name."""
    found = Inventory(tuple(inventory))
    return Block({name: _server(server, found) for name, server in servers.items()}, spaced=True)


def _server(server: ModelServer, inventory: Inventory) -> Tree:
    listed = listed_endpoints(server, inventory)
    parts = said(
        endpoints=None if server.selector is not None and not listed else [endpoint(one) for one in listed],
        select=optional(server.selector, _selector),
        engine=unless(server.engine, _DEFAULT.engine, lambda engine: text(engine.value)),
        model=optional(server.model, text),
        restore_model=unless(server.restore_model, _DEFAULT.restore_model, boolean),
        rewrites=[_rewrite(one) for one in server.rewrites] or None,
        objectives={one.name: number(one.priority) for one in server.objectives} or None,
        headers=text_map(server.headers),
        balance=unless(server.balance, _DEFAULT.balance, lambda balance: text(balance.value)),
        timeout=timeouts(server.timeouts, WIDEST_TIMEOUTS),
        retries=unless(server.retries, Retries(), retries),
        retry_budget=unless(server.retry_budget, _DEFAULT.retry_budget, share),
        rate_limit=optional(server.rate_limit, _rate_limit),
        tls=optional(server.tls, _tls),
        disaggregation=optional(server.disaggregation, _disaggregation),
        auth=optional(server.auth, auth_tree),
        limits=limits_tree(server.limits),
        listener=optional(server.listener, listener_tree),
        **queueing_parts(server.queueing),
        **credential_parts(server.credential),
    )
    if server.missing:
        return Remark(Block(parts), "No file defines this server: until one does, its requests get 503.")
    return Block(parts)


def listed_endpoints(server: ModelServer, inventory: Inventory) -> tuple[EndpointSpec, ...]:
    """The endpoints that a server lists: the fewest to which its selector adds all others, in their order."""
    if server.selector is None:
        return server.endpoints
    selected = inventory.select(server.selector)
    addresses: set[str] = set()
    for count in range(len(server.endpoints)):
        rest = server.endpoints[count:]
        if rest == tuple(one for one in selected if one.address not in addresses):
            return server.endpoints[:count]
        addresses.add(server.endpoints[count].address)
    return server.endpoints


def endpoint(spec: EndpointSpec) -> Tree:
    """An endpoint as its URL alone, where that says all."""
    url = text(url_of(spec.scheme, spec.host, spec.port, spec.prefix))
    more = said(
        weight=unless(spec.weight, 1, number),
        labels=text_map(spec.labels),
        max_in_flight=optional(spec.max_in_flight, number),
    )
    return {"url": url, **more} if more else url


def url_of(scheme: str, host: str, port: int, prefix: str) -> str:
    """An endpoint's URL, without the port that its scheme has anyway."""
    bracketed = f"[{host}]" if ":" in host else host
    tail = "" if port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{bracketed}{tail}{prefix}"


def _selector(selector: Selector) -> Tree:
    labels = text_map(selector.labels)
    # Without labels and a workload everything is chosen: that has to be said.
    everything: Tree | None = {} if selector.workload is None else None
    return said(
        namespace=unless(selector.namespace, _SELECTOR.namespace, text),
        labels=everything if labels is None else labels,
        workload=optional(selector.workload, text),
        ports=_ports(selector.ports),
        scheme=unless(selector.scheme, _SELECTOR.scheme, text),
    )


def _ports(ports: Sequence[int]) -> Tree | None:
    if not ports:
        return None
    return number(ports[0]) if len(ports) == 1 else [number(port) for port in ports]


def _rewrite(rewrite: Rewrite) -> Tree:
    models = [target.model for target in rewrite.targets]
    split: Tree = [said(model=text(one.model), weight=unless(one.weight, 1, number)) for one in rewrite.targets]
    if all(target.weight == 1 for target in rewrite.targets):
        split = text(models[0]) if len(models) == 1 else texts(models)
    return said(
        name=unless(rewrite.name, "", text),
        models=one_or_list(rewrite.models),
        targets=split,
    )


def _rate_limit(limit: RateLimit) -> Tree:
    return said(
        requests_per_second=number(limit.requests_per_second),
        burst=unless(limit.burst, ceil(limit.requests_per_second), number),
    )


def _tls(tls: UpstreamTls) -> Tree:
    return said(
        ca=optional(tls.ca, text),
        cert=optional(tls.cert, text),
        key=optional(tls.key, text),
        server_name=optional(tls.server_name, text),
        verify=unless(tls.verify, True, boolean),
    )


def _disaggregation(pairs: Disaggregation) -> Tree:
    return said(
        group=text(pairs.group_key),
        prefill=said(labels=text_map(pairs.prefill_labels)),
        decode=said(labels=text_map(pairs.decode_labels)),
        connector=optional(pairs.connector, text),
    )


# --- the inventory ----------------------------------------------------------------------------------------------------


def inventory_tree(entries: Sequence[InventoryEntry]) -> Tree:
    """All entries of the inventory, in their order."""
    return Block([_entry(entry) for entry in entries])


def _entry(entry: InventoryEntry) -> Tree:
    address: dict[str, Tree] = said(address=text(entry.host), port=optional(entry.port, number))
    if entry.scheme is not None and entry.port is not None:
        address = {"url": text(url_of(entry.scheme, entry.host, entry.port, entry.prefix))}
    more = said(
        weight=unless(entry.weight, _ENTRY.weight, number),
        namespace=unless(entry.namespace, _ENTRY.namespace, text),
        labels=text_map(entry.labels),
        workload=optional(entry.workload, text),
        active_ports=optional(entry.active_ports, lambda ports: [number(port) for port in ports]),
    )
    return {**address, **more} if more or "url" not in address else address["url"]
