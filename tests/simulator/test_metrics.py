from prometheus_client.parser import text_string_to_metric_families

from proxy.simulator.metrics import Load, Meters, throughput, usage
from proxy.simulator.options import EngineOptions, Role, Software
from proxy.simulator.prefix_cache import PrefixCache


def samples(options: EngineOptions, load: Load) -> dict[str, tuple[float, dict[str, str]]]:
    page = Meters(options, load, PrefixCache(4)).page().decode()
    families = text_string_to_metric_families(page)
    return {sample.name: (sample.value, sample.labels) for family in families for sample in family.samples}


def test_a_vllm_engine_shows_vllms_names() -> None:
    load = Load(running=3, waiting=2, used_tokens=32, adapters_changed=1700.5)
    load.running_adapters.update({"b": 1, "a": 2, "gone": 0})
    found = samples(EngineOptions(model="qwen", adapters=("a", "b"), prefix_cache_blocks=8), load)
    assert found["vllm:num_requests_running"] == (3, {"model_name": "qwen", "engine": "0"})
    assert found["vllm:num_requests_waiting"][0] == 2
    assert found["vllm:kv_cache_usage_perc"][0] == 0.25
    adapters = {"max_lora": "2", "running_lora_adapters": "a,b", "waiting_lora_adapters": ""}
    assert found["vllm:lora_requests_info"] == (1700.5, adapters)
    config = found["vllm:cache_config_info"][1]
    assert (config["block_size"], config["num_gpu_blocks"]) == ("16", "8")
    assert {
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:request_queue_time_seconds_bucket",
    } <= set(found)


def test_an_sglang_engine_shows_sglangs_names() -> None:
    options = EngineOptions(model="qwen", software=Software.SGLANG, role=Role.DECODE, max_running=4)
    found = samples(options, Load(running=1, waiting=5, used_tokens=10))
    value, labels = found["sglang:num_running_reqs"]
    assert (value, labels["engine_type"]) == (1, "decode")
    assert found["sglang:num_queue_reqs"][0] == 5
    assert found["sglang:num_used_tokens"][0] == 10
    assert found["sglang:utilization"][0] == 0.25
    assert {"sglang:token_usage", "sglang:cache_hit_rate", "sglang:gen_throughput", "sglang:num_requests_total"} <= set(
        found
    )
    assert not any(name.startswith("vllm:") for name in found)


def test_usage_is_a_share_and_throughput_a_rate() -> None:
    options = EngineOptions(model="qwen", prefix_cache_blocks=1, time_per_token=0.01)
    assert usage(options, Load(used_tokens=1000)) == 1.0
    assert throughput(options, Load(running=2)) == 200.0
    assert throughput(EngineOptions(model="qwen", time_per_token=0.0), Load(running=2)) == 0.0
