"""Penstock itself, with everything on: generated settings and routes."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from comparison.engine import MODEL
from comparison.peers import Launch, Proxy, Task
from comparison.processes import free_port

REPOSITORY = Path(__file__).resolve().parents[2]

_SETTINGS = """\
listeners:
  - address: 127.0.0.1:{port}
admin: {{address: 127.0.0.1:{admin}}}
workers: {workers}
routes: routes/
log: {{level: info, format: text, access: true, path: {folder}/penstock.log}}
"""

_SERVER = """\
  {name}:
    engine: vllm
    endpoints:
      - http://127.0.0.1:{first}
      - http://127.0.0.1:{second}
    balance: least-request
    timeout: {{connect: 5s, first_byte: 60s, idle: 60s}}
    retries: {{attempts: 2, on: [connect-failure, reset, 502, 503, 504], backoff: 25ms}}
    rate_limit: {{requests_per_second: 1000000, burst: 1000000}}
"""

_ROUTE = """\
  - name: {name}
    models: [{model}]
    rules:
      - name: premium
        match: {{headers: {{user-type: premium}}}}
        targets: [{{server: engine-a}}]
        timeout: 60s
        retries: 3
      - name: long-answers
        match: {{body: {{max_tokens: "8192"}}}}
        targets: [{{server: engine-b}}]
      - name: default
        targets:
          - {{server: engine-a, weight: 90{rewrite}}}
          - {{server: engine-b, weight: 10{rewrite}}}
        fallback: [{{server: engine-b}}]
"""

_SETUP = (
    "10 routes by model, each with a header rule, a body rule and a 90/10 split over two servers of two endpoints, "
    "least-request, rate limit, retries, timeouts, access log (text) to a file, metrics; JSON body read"
)


def penstock(*, rewrite: bool = False, routes: int = 10) -> Proxy:
    """Penstock from this repository, under this Python. With `rewrite` the split also sends another model name."""

    def launch(task: Task) -> Launch:
        settings = _write_configuration(task, rewrite=rewrite, routes=routes)
        # The import path is the repository's, whatever is installed beside it.
        return Launch(
            [sys.executable, "-m", "proxy.cli.main", "serve", "-c", str(settings)], {"PYTHONPATH": str(REPOSITORY)}
        )

    name = "Penstock, model rewritten" if rewrite else "Penstock"
    setup = f"{_SETUP}; the split sends another model name" if rewrite else _SETUP
    return Proxy(name, _version(), setup, launch, start_timeout=120.0, takes_workers=not rewrite)


def model_of_route(index: int) -> str:
    """The model that a route answers to; the first is the one that every other measurement asks for."""
    return f"{MODEL}-{index}" if index else MODEL


def _write_configuration(task: Task, *, rewrite: bool, routes: int) -> Path:
    first, second = task.engine_ports
    settings = task.folder / "penstock.yaml"
    folder = task.folder / "routes"
    folder.mkdir()
    settings.write_text(_SETTINGS.format(port=task.port, admin=free_port(), workers=task.workers, folder=task.folder))
    servers = "".join(_SERVER.format(name=name, first=first, second=second) for name in ("engine-a", "engine-b"))
    sent = ", model: another-bench-model" if rewrite else ""
    text = "".join(
        _ROUTE.format(name=f"chat-{index}", model=model_of_route(index), rewrite=sent) for index in range(routes)
    )
    (folder / "routes.yaml").write_text(f"servers:\n{servers}routes:\n{text}")
    return settings


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "of this repository"
