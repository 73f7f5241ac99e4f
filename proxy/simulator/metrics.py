"""The metrics of vLLM and SGLang under their real names, read from an engine's living figures at each scrape."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.simulator.options import EngineOptions, Role, Software
from proxy.simulator.prefix_cache import BLOCK_TOKENS, PrefixCache

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DEFAULT_BLOCKS = 4096  # of the KV memory, where the prefix cache is off


@dataclass(slots=True)
class Load:
    """What an engine is busy with, and what it has done since its start. Adapters are counted by name, and
    `adapters_changed` is when (seconds since the epoch) their counts last did."""

    running: int = 0
    waiting: int = 0
    used_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generation_tokens: int = 0
    waiting_uncached_tokens: int = 0
    adapters_changed: float = 0.0
    running_adapters: Counter[str] = field(default_factory=Counter)
    waiting_adapters: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)


def memory_tokens(options: EngineOptions) -> int:
    """How many tokens the simulated KV memory holds."""
    return (options.prefix_cache_blocks or DEFAULT_BLOCKS) * BLOCK_TOKENS


def usage(options: EngineOptions, load: Load) -> float:
    """The share of the KV memory that running requests hold, 0 to 1."""
    return min(1.0, load.used_tokens / memory_tokens(options))


def throughput(options: EngineOptions, load: Load) -> float:
    """Tokens a second that the running requests are given."""
    return load.running / options.time_per_token if options.time_per_token else 0.0


def labels_of(options: EngineOptions) -> dict[str, str]:
    """The labels that each engine puts on its series."""
    match options.software:
        case Software.VLLM:
            return {"model_name": options.model, "engine": "0"}
        case Software.SGLANG:
            kinds = {None: "unified", Role.PREFILL: "prefill", Role.DECODE: "decode"}
            kind = kinds[options.role]
            return {"model_name": options.model, "engine_type": kind, "tp_rank": "0", "pp_rank": "0"}


class Meters:
    """An engine's histograms, and the page that shows them beside its living figures. Times are seconds."""

    def __init__(self, options: EngineOptions, load: Load, cache: PrefixCache) -> None:
        self._registry = CollectorRegistry()
        self._labels = labels_of(options)
        prefix = f"{options.software.value}:"
        self.first_token = self._histogram(f"{prefix}time_to_first_token_seconds", "Time to first token")
        self.inter_token = self._histogram(f"{prefix}inter_token_latency_seconds", "Time between tokens")
        self.whole = self._histogram(f"{prefix}e2e_request_latency_seconds", "Time of whole requests")
        self.queue = self._histogram(f"{prefix}request_queue_time_seconds", "Time in the queue")
        match options.software:
            case Software.VLLM:
                self._registry.register(VllmFigures(options, load, cache))
            case Software.SGLANG:
                self._registry.register(SglangFigures(options, load, cache))

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(name, text, tuple(self._labels), registry=self._registry, buckets=BUCKETS)
        return histogram.labels(**self._labels)


class Figures(Collector):
    """The gauges and counters of one engine."""

    def __init__(self, options: EngineOptions, load: Load, cache: PrefixCache) -> None:
        self._options = options
        self._load = load
        self._cache = cache
        self._labels = labels_of(options)

    def gauge(self, name: str, value: float, **more: str) -> Metric:
        """One gauge with the engine's labels and `more`."""
        labels = {**self._labels, **more}
        family = GaugeMetricFamily(name, name, labels=tuple(labels))
        family.add_metric(tuple(labels.values()), value)
        return family

    def counter(self, name: str, value: float) -> Metric:
        """One counter with the engine's labels; its sample's name ends in `_total`."""
        family = CounterMetricFamily(name, name, labels=tuple(self._labels))
        family.add_metric(tuple(self._labels.values()), value)
        return family


class VllmFigures(Figures):
    """vLLM 0.9 and later (before, the KV gauge was `vllm:gpu_cache_usage_perc`)."""

    def collect(self) -> Iterator[Metric]:
        """All families, as they are now."""
        options, load, cache = self._options, self._load, self._cache
        yield self.gauge("vllm:num_requests_running", load.running)
        yield self.gauge("vllm:num_requests_waiting", load.waiting)
        yield self.gauge("vllm:kv_cache_usage_perc", usage(options, load))
        yield self.counter("vllm:prefix_cache_queries", cache.queried_tokens)
        yield self.counter("vllm:prefix_cache_hits", cache.hit_tokens)
        yield self.counter("vllm:num_preemptions", 0)
        yield self.counter("vllm:prompt_tokens", load.prompt_tokens)
        yield self.counter("vllm:generation_tokens", load.generation_tokens)
        yield self._finished()
        yield self._cache_config()
        if options.adapters:
            yield self._adapters()

    def _finished(self) -> Metric:
        family = CounterMetricFamily(
            "vllm:request_success", "Finished requests", labels=(*self._labels, "finished_reason")
        )
        for reason in ("stop", "length", "abort"):
            family.add_metric((*self._labels.values(), reason), self._load.finished[reason])
        return family

    def _cache_config(self) -> Metric:
        blocks = memory_tokens(self._options) // BLOCK_TOKENS
        return self.gauge(
            "vllm:cache_config_info",
            1,
            block_size=str(BLOCK_TOKENS),
            num_gpu_blocks=str(blocks),
            enable_prefix_caching=str(self._options.prefix_cache_blocks > 0),
        )

    def _adapters(self) -> Metric:
        load = self._load
        family = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters at work",
            labels=("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
        )
        running, waiting = (",".join(sorted(+names)) for names in (load.running_adapters, load.waiting_adapters))
        family.add_metric((str(len(self._options.adapters)), running, waiting), load.adapters_changed)
        return family


class SglangFigures(Figures):
    """SGLang with `--enable-metrics`."""

    def collect(self) -> Iterator[Metric]:
        """All families, as they are now."""
        options, load, cache = self._options, self._load, self._cache
        hit_rate = cache.hit_tokens / cache.queried_tokens if cache.queried_tokens else 0.0
        yield self.gauge("sglang:num_running_reqs", load.running)
        yield self.gauge("sglang:num_queue_reqs", load.waiting)
        yield self.gauge("sglang:num_used_tokens", load.used_tokens)
        yield self.gauge("sglang:max_total_num_tokens", memory_tokens(options))
        yield self.gauge("sglang:token_usage", usage(options, load))
        yield self.gauge("sglang:cache_hit_rate", hit_rate)
        yield self.gauge("sglang:gen_throughput", throughput(options, load))
        yield self.gauge("sglang:utilization", load.running / options.max_running)
        yield self.counter("sglang:num_requests", sum(load.finished.values()))
        yield self.counter("sglang:prompt_tokens", load.prompt_tokens)
        yield self.counter("sglang:generation_tokens", load.generation_tokens)
        yield self.counter("sglang:cached_tokens", load.cached_tokens)
