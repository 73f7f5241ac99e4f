from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.prefix_cache import BLOCK_TOKENS, PrefixCache

PROMPT = tuple(range(64))


def test_a_prompt_seen_before_needs_no_prefill_but_for_its_last_block() -> None:
    cache = PrefixCache(100)
    assert cache.lookup(PROMPT, "qwen") == 0
    cache.insert(PROMPT, "qwen")
    assert cache.lookup(PROMPT, "qwen") == 48
    assert cache.lookup((*PROMPT, 1), "qwen") == 64


def test_a_block_counts_only_after_all_blocks_before_it() -> None:
    cache = PrefixCache(100)
    cache.insert(PROMPT, "qwen")
    assert cache.lookup((99, *PROMPT[1:], 1), "qwen") == 0
    assert cache.lookup((*PROMPT[:32], 99, *PROMPT[33:], 1), "qwen") == 32


def test_adapters_do_not_share_blocks() -> None:
    cache = PrefixCache(100)
    cache.insert(PROMPT, "sql-lora")
    assert cache.lookup(PROMPT, "qwen") == 0


def test_the_least_recently_used_blocks_leave_first() -> None:
    cache = PrefixCache(4)
    old, new = tuple(range(32)), tuple(range(100, 132))
    cache.insert(old, "")
    cache.insert(new, "")
    cache.lookup((*old, 1), "")
    cache.insert(tuple(range(200, 232)), "")
    assert cache.lookup((*old, 1), "") == 32
    assert cache.lookup((*new, 1), "") == 0


def test_hits_and_queries_are_counted_in_tokens() -> None:
    cache = PrefixCache(100)
    cache.insert(PROMPT, "")
    cache.lookup((*PROMPT, 1), "")
    cache.lookup((5, 6), "")
    assert (cache.queried_tokens, cache.hit_tokens) == (67, 64)


@given(st.lists(st.lists(st.integers(0, 3), max_size=80), max_size=12), st.integers(0, 6))
def test_the_cache_stays_within_its_bound_and_never_credits_a_whole_prompt(prompts: list[list[int]], size: int) -> None:
    cache = PrefixCache(size)
    for prompt in prompts:
        found = cache.lookup(prompt, "")
        assert found % BLOCK_TOKENS == 0
        assert found < max(1, len(prompt))
        cache.insert(prompt, "")
        assert len(cache) <= size
