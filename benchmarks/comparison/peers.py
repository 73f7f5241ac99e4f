"""The other proxies: where each is found, and how each is told to do the same work."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comparison.engine import MODEL
from comparison.processes import free_port


@dataclass(frozen=True, slots=True)
class Task:
    """What a proxy is started for: listen on `port`, forward to the engine's ports, keep files in `folder`."""

    port: int
    engine_ports: tuple[int, int]
    folder: Path
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves in the foreground."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """So many streams at once, the events of each so many seconds apart."""

    streams: int
    interval: float

    def __str__(self) -> str:
        return f"{self.streams} x {1 / self.interval:g}/s"


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """What streams a proxy is given: busy ones for processor time, calm ones for latency, idle ones for memory."""

    busy: Pace = Pace(128, 0.01)
    calm: Pace = Pace(16, 0.02)
    idle: int = 1000


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is installed here. `setup` says how it is configured, for the report."""

    name: str
    version: str
    setup: str
    launch: Callable[[Task], Launch]
    streams: StreamLoad | None = StreamLoad()
    start_timeout: float = 30.0
    takes_workers: bool = False
    large_bodies: bool = True


_NGINX = """\
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log error;
events {{ worker_connections 16384; }}
http {{
  access_log {folder}/nginx-access.log combined;
  keepalive_requests 1000000000;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/nginx-bodies;
  proxy_temp_path {folder}/nginx-proxy;
  upstream engine {{
    server 127.0.0.1:{first};
    server 127.0.0.1:{second};
    keepalive 2048;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096{reuseport};
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering off;
      proxy_read_timeout 60s;
    }}
  }}
}}
"""

_HAPROXY = """\
global
  maxconn 8192
  nbthread {workers}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  option http-no-delay
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend engine
backend engine
  balance roundrobin
  server first 127.0.0.1:{first} pool-max-conn 2048
  server second 127.0.0.1:{second} pool-max-conn 2048
"""

_ENVOY = """\
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
    - name: in
      address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/{manager}
                stat_prefix: in
                codec_type: HTTP1
                use_remote_address: true
                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: {folder}/envoy-access.log
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {{prefix: "/"}}
                          route: {{cluster: engine, timeout: 0s, idle_timeout: 60s}}
  clusters:
    - name: engine
      type: STATIC
      connect_timeout: 5s
      lb_policy: ROUND_ROBIN
      circuit_breakers:
        thresholds: [{{max_connections: 16384, max_pending_requests: 16384, max_requests: 16384, max_retries: 16384}}]
      load_assignment:
        cluster_name: engine
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {first}}}}}}}
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {second}}}}}}}
"""

_ENVOY_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

_LITELLM = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{first}/v1", api_key: none}}
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{second}/v1", api_key: none}}
litellm_settings: {{num_retries: 0, telemetry: false}}
"""


def installed_peers(folder: Path) -> list[Proxy | str]:
    """Every peer in the report's order: the proxy where it is installed, else a line that says what is missing."""
    return [
        _nginx(),
        _haproxy(),
        _envoy(folder / "envoy" / "bin" / "envoy"),
        _vllm_router(folder / "vllmr" / "bin" / "vllm-router"),
        _vllm_router(folder / "vllmr" / "bin" / "vllm-router", defaults=True),
        _sglang_router(folder / "sgl" / "bin" / "sglang-router"),
        _sglang_router(folder / "sgl" / "bin" / "sglang-router", defaults=True),
        _litellm(folder / "litellm" / "bin" / "litellm"),
    ]


def _nginx() -> Proxy | str:
    program = _found("nginx")
    if program is None:
        return "nginx is not installed"

    def launch(task: Task) -> Launch:
        path = _written(task, "nginx.conf", _NGINX, reuseport=" reuseport" if task.workers > 1 else "")
        return Launch([program, "-p", str(task.folder), "-e", "stderr", "-c", str(path)])

    setup = "kept-alive upstream connections, `proxy_buffering off`, access log (combined) to a file; body not read"
    return Proxy("nginx", _version([program, "-v"]), setup, launch, takes_workers=True)


def _haproxy() -> Proxy | str:
    program = _found("haproxy")
    if program is None:
        return "HAProxy is not installed"

    def launch(task: Task) -> Launch:
        return Launch([program, "-db", "-f", str(_written(task, "haproxy.cfg", _HAPROXY))])

    setup = (
        "`http-reuse always`, `option http-no-delay`, access log (httplog) to a file by way of stdout; body not read"
    )
    return Proxy("HAProxy", _version([program, "-v"]), setup, launch, takes_workers=True)


def _envoy(program: Path) -> Proxy | str:
    if not program.exists():
        return f"Envoy is not installed ({program})"

    def launch(task: Task) -> Launch:
        path = _written(task, "envoy.yaml", _ENVOY, admin=free_port(), manager=_ENVOY_MANAGER)
        workers = ["--concurrency", str(task.workers)]
        return Launch([str(program), "-c", str(path), *workers, "--log-level", "error", "--use-dynamic-base-id"])

    setup = "router filter alone, access log (default format) to a file, statistics; body not read"
    return Proxy("Envoy", _version([str(program), "--version"]), setup, launch, takes_workers=True)


def _vllm_router(program: Path, *, defaults: bool = False) -> Proxy | str:
    return _router("vLLM Router", "vllm-router", program, [str(program)], "warning", defaults=defaults)


def _sglang_router(program: Path, *, defaults: bool = False) -> Proxy | str:
    return _router("SGLang gateway", "sglang-router", program, [str(program), "launch"], "warn", defaults=defaults)


def _router(
    name: str, package: str, program: Path, command: Sequence[str], quiet: str, *, defaults: bool
) -> Proxy | str:
    """Lean: round robin, no retries, no line for each request. With `defaults`: as its own command line has it."""
    if not program.exists():
        return f"{name} is not installed ({program})"
    lean = [] if defaults else ["--policy", "round_robin", "--disable-retries", "--log-level", quiet]

    def launch(task: Task) -> Launch:
        engines = [f"http://127.0.0.1:{port}" for port in task.engine_ports]
        address = ["--host", "127.0.0.1", "--port", str(task.port), "--prometheus-port", str(free_port())]
        return Launch([*command, *address, "--worker-urls", *engines, "--worker-startup-check-interval", "1", *lean])

    version = _package_version(program, package)
    if defaults:
        setup = "its own defaults: cache-aware policy, retries, a log line for each request; JSON body read"
        return Proxy(f"{name}, defaults", version, setup, launch, streams=None, large_bodies=False)
    setup = "round robin, no retries, log level warning (no access log), metrics; JSON body read"
    return Proxy(name, version, setup, launch)


def _litellm(program: Path) -> Proxy | str:
    if not program.exists():
        return f"LiteLLM is not installed ({program})"

    def launch(task: Task) -> Launch:
        path = _written(task, "litellm.yaml", _LITELLM, model=MODEL)
        address = ["--host", "127.0.0.1", "--port", str(task.port), "--num_workers", "1"]
        # The price list that comes with the package, so that the start needs no network.
        environment = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOG": "ERROR",
        }
        return Launch([str(program), "--config", str(path), *address], environment)

    setup = (
        "one model, two deployments, no key, no database, one worker; uvicorn's access log to a file by way of stdout"
    )
    return Proxy(
        "LiteLLM",
        _package_version(program, "litellm"),
        setup,
        launch,
        # It takes a hundred times longer for an event: at the others' pace it would only queue.
        streams=StreamLoad(busy=Pace(8, 0.1), calm=Pace(2, 0.1), idle=100),
        start_timeout=120.0,
        large_bodies=False,
    )


def _written(task: Task, name: str, template: str, **values: object) -> Path:
    path = task.folder / name
    first, second = task.engine_ports
    common = {"port": task.port, "first": first, "second": second, "folder": task.folder, "workers": task.workers}
    path.write_text(template.format(**common, **values))
    return path


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _version(command: Sequence[str]) -> str:
    """The first version number that the command prints."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    number = re.search(r"\d+\.\d+\.\d+", ended.stdout + ended.stderr)
    return number[0] if number else "of unknown version"


def _package_version(program: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    python = program.with_name("python")
    ended = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False, timeout=30)
    return ended.stdout.strip() or "of unknown version"
