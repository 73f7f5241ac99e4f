from itertools import islice

from proxy.simulator.text import seed_of, spaced, token_ids, words


def test_a_text_has_the_same_tokens_each_time_and_one_for_each_word_and_sign() -> None:
    assert len(token_ids("Hello, world!")) == 4
    assert token_ids("Hello, world!") == token_ids("Hello ,  world !")
    assert token_ids("Hello") == (0xF7D18982,)


def test_an_answer_depends_on_prompt_seed_and_choice_alone() -> None:
    def text(prompt: str, seed: int, choice: int) -> list[str]:
        return list(islice(words(seed_of(token_ids(prompt), seed, choice)), 20))

    assert text("a b", 1, 0) == text("a b", 1, 0)
    assert (
        len({tuple(text(*arguments)) for arguments in [("a b", 1, 0), ("a c", 1, 0), ("a b", 2, 0), ("a b", 1, 1)]})
        == 4
    )


def test_words_form_sentences() -> None:
    text = "".join(spaced(word, index) for index, word in enumerate(islice(words(7), 60)))
    sentences = text.split(". ")
    assert len(sentences) > 3
    assert all(sentence[0].isupper() for sentence in sentences)
    assert not text.startswith(" ")
