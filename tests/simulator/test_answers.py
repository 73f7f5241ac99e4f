import base64
import math
import struct

from proxy.simulator.answers import embedding_item, embedding_vector, model_cards
from proxy.simulator.options import EngineOptions


def test_an_embedding_depends_on_its_tokens_alone_and_has_length_one() -> None:
    one = embedding_vector((1, 2, 3), 16)
    assert one == embedding_vector([1, 2, 3], 16)
    assert one != embedding_vector((1, 2, 4), 16)
    assert math.isclose(sum(value * value for value in one), 1.0)


def test_base64_embeddings_are_little_endian_floats() -> None:
    item = embedding_item(0, [0.5, -1.0], as_base64=True)
    assert struct.unpack("<2f", base64.b64decode(item["embedding"])) == (0.5, -1.0)


def test_adapters_are_cards_with_the_model_as_parent() -> None:
    cards = model_cards(EngineOptions(model="qwen", adapters=("sql-lora",)), 7)["data"]
    assert [(card["id"], card["parent"]) for card in cards] == [("qwen", None), ("sql-lora", "qwen")]
