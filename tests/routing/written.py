"""Configurations written as native YAML, for tests of what is told about them."""

from hypothesis import HealthCheck, settings

from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.routing.compiler import compile_table
from proxy.routing.table import RoutingTable

# Whole configurations take their time to be drawn, the more so on a busy machine.
PATIENT = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))

SERVERS = """
servers:
  small: {engine: vllm, endpoints: [http://h:1], timeout: 20s}
  next: {model: qwen-next, endpoints: [http://h:2]}
  large: {endpoints: [{url: "http://h:3", labels: {zone: a}}], retries: 0}
  empty: {endpoints: []}
"""
CHAT = """
routes:
  - name: chat
    models: [qwen, "qwen-*"]
    adapters: [lora]
    rules:
      - name: premium
        match: {headers: {user-type: premium}, path: /v1/*}
        targets: [{server: large, model: qwen-72b}]
      - name: default
        targets: [{server: small, weight: 70}, {server: next, weight: 30}]
        fallback: [large, empty]
  - name: batch
    rules:
      - name: offline
        matches:
          - {headers: {x-priority: {regex: "^(low|batch)$"}}}
          - {body: {metadata.offline: true}}
        targets: small
        timeout: {total: 5m}
        retries: 5
"""


def written(routes: str = CHAT, servers: str = SERVERS) -> Config:
    """The configuration of a native text."""
    loaded = load_texts({"a.yaml": servers + routes})
    assert loaded.config is not None, loaded.problems
    return loaded.config


def table_of(routes: str = CHAT, servers: str = SERVERS) -> RoutingTable:
    """The table of a native text."""
    return compile_table(written(routes, servers))
