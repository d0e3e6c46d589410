import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from labelcast.errors import InputError
from labelcast.models.constrained import AnswerTrie
from labelcast.models.encoding import encode_pair, encode_prompt, encoded, shared_prefix
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example

WORDS = tokenizer()
TEXT = st.text("abcdthe :1\nXYZ", min_size=1, max_size=20)


@given(TEXT, TEXT)
def test_the_prompt_is_a_prefix_and_the_answer_reads_back(prompt: str, answer: str) -> None:
    """The prompt's own tokens come first, and the rest decodes to the answer."""
    pair = encode_pair(WORDS, prompt, answer)
    split = len(pair.tokens) - pair.answer_length
    assert pair.tokens[:split] == encode_prompt(WORDS, prompt)
    assert pair.answer_length >= 1
    assert WORDS.decode(pair.tokens[split:]) == answer


def test_no_token_merges_across_the_boundary() -> None:
    """If prompt and answer would merge into one token, they are encoded separately."""
    joined = encode_prompt(WORDS, "x:1")
    assert joined[:2] != encode_prompt(WORDS, "x:")
    pair = encode_pair(WORDS, "x:", "1")
    assert pair.tokens == encode_prompt(WORDS, "x:") + encode_prompt(WORDS, "1")
    assert pair.answer_length == 1


def test_no_token_of_the_embedded_model_merges_across_the_boundary(smollm2: LanguageModel) -> None:
    """Its tokenizer merges 'un' and 'der' into one token; here they stay separate."""
    words = smollm2.tokenizer
    prompt, answer = "The cat is un", "der"
    both = encode_prompt(words, prompt + answer)
    first = encode_prompt(words, prompt)
    assert both[: len(first)] != first, "the example must merge"
    pair = encode_pair(words, prompt, answer)
    assert pair.tokens[: len(first)] == first
    assert words.decode(pair.tokens[-pair.answer_length :]) == answer


def test_special_tokens_in_the_text_are_one_token_and_none_is_added() -> None:
    """A rendered prompt already contains its special tokens as text."""
    assert encode_prompt(WORDS, "<turn>a<eos>") == WORDS.convert_tokens_to_ids(
        ["<turn>", "a", "<eos>"]
    )


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=6))
def test_shared_prefix_is_the_longest_that_leaves_one_token(sequences: list[list[int]]) -> None:
    """All sequences share it and no more, and each keeps a token of its own."""
    length = shared_prefix(sequences)
    assert length < min(map(len, sequences))
    assert len({tuple(s[:length]) for s in sequences}) == 1
    if length + 1 < min(map(len, sequences)):
        assert len({tuple(s[: length + 1]) for s in sequences}) > 1


def test_an_answer_without_tokens_is_named(tiny: LanguageModel) -> None:
    """The message is about the answer, and not about the prompt, which has tokens."""
    pair = encode_pair(tiny.tokenizer, "a prompt", "é")
    assert (pair.prompt, pair.answer_length) == (encode_prompt(WORDS, "a prompt"), 0)
    example = Example("1", 0, "line 1", {}, "a prompt", "é", "1")
    with pytest.raises(InputError, match=r"line 1 .*the answer is empty"):
        encoded(tiny, [example])
    with pytest.raises(InputError, match="the answer 'é' has no tokens"):
        AnswerTrie.of(tiny, "a prompt", ["yes", "é"], frozenset({1}))


def test_no_sequences_share_nothing() -> None:
    """The empty list has no shared prefix."""
    assert shared_prefix([]) == 0


def test_a_text_without_tokens_is_refused() -> None:
    """A word tokenizer without an unknown token fails; the message has the text."""
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="<none>"))
    )
    assert encode_prompt(words, "a") == [0]
    with pytest.raises(InputError, match="its tokenizer cannot read 'b'"):
        encode_prompt(words, "b")
