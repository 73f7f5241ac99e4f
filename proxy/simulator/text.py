"""Tokens of a prompt, and made-up words for an answer: the same words for the same prompt and seed."""

import hashlib
import random
import re
import zlib
from collections.abc import Iterator, Sequence

PIECE = re.compile(r"\w+|[^\w\s]")

VOCABULARY = (  # noqa: SIM905 (a hundred quoted words read worse)
    "water gate river stone wheel mill field light morning harbour valley bridge garden letter window winter summer "
    "engine signal measure pattern answer question number system model token stream channel current level balance "
    "weight route target server request client message moment second minute pressure volume surface depth shadow "
    "quiet steady open narrow broad gentle bright simple certain ready early late near far first last slow quick "
    "moves turns holds carries follows reaches returns begins ends waits opens closes rises falls keeps gives takes "
    "the a one every each this that through over under beside between before after with without and but so then"
).split()


def token_ids(text: str) -> tuple[int, ...]:
    """A number for each word and each sign; a real tokenizer cuts finer, but equally the same each time."""
    return tuple(zlib.crc32(piece.encode()) for piece in PIECE.findall(text))


def seed_of(tokens: Sequence[int], seed: int, choice: int) -> int:
    """One number out of a prompt, the request's seed and the choice's index."""
    digest = hashlib.blake2b(repr((tuple(tokens), seed, choice)).encode(), digest_size=8)
    return int.from_bytes(digest.digest())


def words(seed: int) -> Iterator[str]:
    """Endless text, one token at a time, in sentences of a few words."""
    dice = random.Random(seed)
    left, first = dice.randint(5, 12), True
    while True:
        word = dice.choice(VOCABULARY)
        left -= 1
        text = word.capitalize() if first else word
        yield text + ("." if left == 0 else "")
        first = left == 0
        if first:
            left = dice.randint(5, 12)


def spaced(word: str, index: int) -> str:
    """A token as a detokenizer gives it: all but the first carry the space before them."""
    return word if index == 0 else f" {word}"
