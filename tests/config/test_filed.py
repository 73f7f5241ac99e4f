from proxy.config.loader import load_texts

POOL = """\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: vllm, namespace: chat, generation: 7, creationTimestamp: "2026-11-20T13:37:38Z"}
spec: {selector: {matchLabels: {app: vllm}}, targetPorts: [{number: 8000}]}
"""


def test_a_resource_keeps_what_it_calls_itself() -> None:
    (filed,) = load_texts({"pool.yaml": POOL}).filed
    assert (filed.api_version, filed.kind, filed.key) == (
        "inference.networking.k8s.io/v1",
        "InferencePool",
        "chat/vllm",
    )
    assert (filed.generation, filed.created) == (7, 1_795_181_858.0)


def test_what_becomes_of_a_resource_stands_at_its_place() -> None:
    result = load_texts({"pool.yaml": POOL})
    assert result.config is not None
    assert result.config.servers["pool/chat/vllm"].origin == result.filed[0].origin


def test_a_generation_that_is_no_count_is_none() -> None:
    for written in ("yes", "-1", "9223372036854775808", "{}"):
        (filed,) = load_texts({"pool.yaml": POOL.replace("generation: 7", f"generation: {written}")}).filed
        assert filed.generation is None
