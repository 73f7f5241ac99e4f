"""Which beginnings of prompts an engine still holds: chained hashes of whole blocks, the least recently used leave."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

BLOCK_TOKENS = 16


def block_hashes(tokens: Sequence[int], salt: str) -> Iterator[int]:
    """A hash for each full block that also stands for all blocks before it, as vLLM's automatic prefix caching does."""
    parent = hash(salt)
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        parent = hash((parent, tuple(tokens[start : start + BLOCK_TOKENS])))
        yield parent


class PrefixCache:
    """The blocks held, in order of last use; at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.queried_tokens = 0
        self.hit_tokens = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def __repr__(self) -> str:
        return f"<PrefixCache {len(self._blocks)} of {self._capacity} blocks>"

    def lookup(self, tokens: Sequence[int], salt: str) -> int:
        """How many tokens of this prompt need no prefill. The last token is always computed: its block never counts."""
        found = 0
        for block in block_hashes(tokens[:-1], salt):
            if block not in self._blocks:
                break
            self._blocks.move_to_end(block)
            found += BLOCK_TOKENS
        self.queried_tokens += len(tokens)
        self.hit_tokens += found
        return found

    def insert(self, tokens: Sequence[int], salt: str) -> None:
        """Hold this prompt's full blocks; the oldest blocks of others leave for them."""
        for block in block_hashes(tokens, salt):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
