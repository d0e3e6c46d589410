import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import TEMPLATE, load_llama, save, save_llama, tokenizer
from transformers import BartConfig, BartModel

from labelcast.errors import InputError, RunError
from labelcast.models import choices, embedded
from labelcast.models.checks import count_numbers
from labelcast.models.choices import bf16_gain, choose_batch, choose_device, choose_dtype
from labelcast.models.identity import fingerprint
from labelcast.models.loading import LanguageModel, load_any, load_model


def no_config(folder: Path) -> str:
    """A folder with weights only."""
    save_llama(folder)
    (folder / "config.json").unlink()
    return str(folder)


def pickled(folder: Path) -> str:
    """A model folder whose weights are pickled."""
    save_llama(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return str(folder)


def no_weights(folder: Path) -> str:
    """A model folder without weights."""
    save_llama(folder)
    (folder / "model.safetensors").unlink()
    return str(folder)


def broken_weights(folder: Path) -> str:
    """A model folder whose weights were cut off."""
    save_llama(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    return str(folder)


def lacking(folder: Path) -> str:
    """A model folder with missing weights, as after an interrupted download."""
    path = save_llama(folder) / "model.safetensors"
    kept = load_file(path)
    del kept["model.layers.1.mlp.up_proj.weight"]
    save_file(kept, path, metadata={"format": "pt"})
    return str(folder)


def of_another_size(folder: Path) -> str:
    """A model folder with another model's config."""
    path = save_llama(folder) / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 96', '"intermediate_size": 98'))
    return str(folder)


def foreign_tokenizer(folder: Path) -> str:
    """A model folder with the tokenizer of a model with more tokens."""
    save_llama(folder, vocab_size=50)
    return str(folder)


def code_on_the_hub(folder: Path) -> str:
    """A model folder whose config names attention code on the hub."""
    path = save_llama(folder) / "config.json"
    config = json.loads(path.read_text()) | {"attn_implementation": "someone/evil"}
    path.write_text(json.dumps(config))
    return str(folder)


def broken_config(folder: Path) -> str:
    """A model folder whose config is not JSON."""
    save_llama(folder)
    (folder / "config.json").write_text("{")
    return str(folder)


def no_tokenizer(folder: Path) -> str:
    """A model folder without a tokenizer."""
    save_llama(folder)
    for path in folder.glob("token*"):
        path.unlink()
    return str(folder)


def unknown_type(folder: Path) -> str:
    """A model folder of a model type that does not exist."""
    save_llama(folder)
    (folder / "config.json").write_text('{"model_type": "nothing-like-it"}')
    return str(folder)


def not_quantised(folder: Path) -> str:
    """A model folder whose config says that its weights have 4 bits; they have 32."""
    pytest.importorskip("bitsandbytes")
    path = save_llama(folder) / "config.json"
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    config = json.loads(path.read_text()) | {"quantization_config": quantised}
    path.write_text(json.dumps(config))
    return str(folder)


def encoder_decoder(folder: Path) -> str:
    """A BART folder, of which transformers would load the decoder alone."""
    words = tokenizer()
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = BartConfig(vocab_size=len(words), **sizes, **heads)
    return str(save(folder, BartModel(config), words))


def pictures(folder: Path) -> str:
    """A folder of a model that also sees, which transformers loads by another class."""
    path = save_llama(folder) / "config.json"
    path.write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    return str(folder)


def false_gguf(folder: Path) -> str:
    """A .gguf file that is not GGUF."""
    path = folder / "model.gguf"
    path.write_bytes(b"not a model")
    return str(path)


def cut_gguf(folder: Path) -> str:
    """A GGUF file that ends after a few bytes."""
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    return str(path)


def gguf_of_long_words(folder: Path) -> str:
    """A GGUF file that claims a string far longer than itself."""
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60) + bytes(50))
    return str(path)


def absent_gguf(folder: Path) -> str:
    """A .gguf path that does not exist."""
    return str(folder / "none.gguf")


def some_file(folder: Path) -> str:
    """A file of another format."""
    path = folder / "notes.txt"
    path.write_text("x")
    return str(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_config, "no config.json"),
        (pickled, "never read"),
        (no_weights, "no weights"),
        (broken_weights, "cannot be loaded"),
        (lacking, r"lack 1 of its weights \(model.layers.1.mlp.up_proj.weight first\)"),
        (of_another_size, r"9 of its weights are not as its config says .* \[64, 96\]"),
        (foreign_tokenizer, "tokenizer has .* tokens, but its weights know 50"),
        (code_on_the_hub, "code of its own to run .attn_implementation"),
        (broken_config, "cannot be loaded"),
        (no_tokenizer, "cannot be loaded"),
        (unknown_type, "nothing-like-it|cannot be loaded"),
        (not_quantised, "not as bitsandbytes writes them"),
        (encoder_decoder, r"an encoder and a decoder \(type bart\).*--observe"),
        (pictures, "its type qwen2_5_vl is neither a causal language model nor an encoder"),
        (false_gguf, "does not begin with GGUF"),
        (cut_gguf, "GGUF"),
        (gguf_of_long_words, "not a readable GGUF file"),
        (absent_gguf, "no such file"),
        (some_file, "not a .gguf"),
        (lambda folder: "nothing here", "no such folder or file"),
        (lambda folder: "no-such-owner/no-such-model", "not found"),
    ],
)
def test_what_cannot_be_loaded_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], str],
    message: str,
) -> None:
    """Each wrong model gives a one-line message that names it and says what is wrong."""
    monkeypatch.setenv("LABELCAST_CACHE", str(tmp_path / "cache"))
    spec = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_model(spec)
    assert spec in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loaded_model_is_frozen_and_ready(tiny: LanguageModel) -> None:
    """Evaluation mode, float32 on a CPU, no weight that requires a gradient."""
    assert not tiny.model.training
    assert not any(weight.requires_grad for weight in tiny.model.parameters())
    assert (tiny.device.value, tiny.dtype.value) == ("cpu", torch.float32)
    assert tiny.context == 256
    assert tiny.identity.architecture["num_hidden_layers"] == 3


def test_a_model_without_chat_template(tmp_path: Path) -> None:
    """It loads, for rendered records; rendering a task is refused with its name."""
    lm = load_llama(tmp_path, template=None)
    assert not lm.has_chat_template
    with pytest.raises(InputError, match=r"no chat template.*input_text") as caught:
        lm.render("Sort.", "b a")
    assert str(tmp_path) in str(caught.value)


def test_the_instruction_is_a_system_turn(tiny: LanguageModel) -> None:
    """The prompt ends where the answer begins."""
    assert tiny.render("Sort.", "b a") == (
        "<turn>system\nSort.<eos>\n<turn>user\nb a<eos>\n<turn>assistant\n"
    )


REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
IGNORES = TEMPLATE.replace("{{ m.content }}", "{{ m.content if m.role != 'system' else '' }}")


@pytest.mark.parametrize("template", [REFUSES + TEMPLATE, IGNORES])
def test_without_a_system_turn_the_instruction_opens_the_user_turn(
    tmp_path: Path, template: str
) -> None:
    """For a template that refuses or drops a system turn."""
    lm = load_llama(tmp_path, template=template)
    assert lm.render("Sort.", "b a") == "<turn>user\nSort.\n\nb a<eos>\n<turn>assistant\n"


def test_a_template_always_gets_the_same_date(tmp_path: Path) -> None:
    """A run that is resumed on another day has the same prompts."""
    asks = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}|{% endif %}"
    asks += '{{- strftime_now("%Y-%m-%d") }}|{% set form = "%H" %}{{ strftime_now(form) }}|'
    lm = load_llama(tmp_path, template=asks + TEMPLATE)
    rest = load_llama(tmp_path, template=TEMPLATE).render("Sort.", "b a")
    assert lm.render("Sort.", "b a") == f"26 Jul 2024|2024-07-26|26 Jul 2024|{rest}"


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_a_reasoning_model_answers_without_thinking(tmp_path: Path, switch: str) -> None:
    """Where its template has a switch, under either name, also if thinking is the default."""
    asks = f"{{% if {switch} is not defined or {switch} %}}<think>{{% endif %}}"
    lm = load_llama(tmp_path, template=TEMPLATE + asks)
    assert "<think>" not in lm.render("I", "text")


def test_a_template_that_fails_names_the_model(tmp_path: Path) -> None:
    """The template's own message is shown, without a traceback."""
    lm = load_llama(tmp_path, template="{{ raise_exception('never works') }}")
    with pytest.raises(InputError, match=r"chat template fails \(never works\)"):
        lm.render("Sort.", "b a")


def test_a_template_that_drops_the_text_is_refused(tmp_path: Path) -> None:
    """All prompts would be the same."""
    lm = load_llama(tmp_path, template=TEMPLATE.replace("{{ m.content }}", "hello"))
    with pytest.raises(InputError, match="leaves out the user's text"):
        lm.render("Sort.", "b a")


def test_the_fingerprint_identifies_the_model_not_its_folder(tmp_path: Path) -> None:
    """It is the same in another folder and dtype, and differs with the template or the size."""
    first = save_llama(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    original = load_model(str(first)).identity
    copied = load_model(str(tmp_path / "second"), dtype="bfloat16").identity
    assert original.fingerprint == copied.fingerprint
    base = load_llama(tmp_path / "base", template=None).identity
    assert base.architecture == original.architecture
    deeper = load_llama(tmp_path / "deeper", num_hidden_layers=2).identity
    assert len({original.fingerprint, base.fingerprint, deeper.fingerprint}) == 3


def test_the_fingerprint_depends_on_the_vocabulary() -> None:
    """One more token makes another model."""
    words, more = tokenizer(), tokenizer()
    more.add_tokens(["<new>"])
    assert fingerprint({}, words) == fingerprint({"dtype": "bfloat16"}, words)
    assert fingerprint({}, words) != fingerprint({}, more)


def test_a_folder_has_no_hub_id(tiny: LanguageModel) -> None:
    """A local copy is identified by its fingerprint only."""
    assert tiny.identity.hub_id is None


def test_the_embedded_model(smollm2: LanguageModel) -> None:
    """It has its name as hub id, renders a task, and encodes a special token as one token."""
    assert smollm2.identity.hub_id == "smollm2"
    assert smollm2.context == 8192
    prompt = smollm2.render("Sort.", "b a")
    assert "Sort." in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    assert len(smollm2.tokenizer.encode("<|im_start|>", add_special_tokens=False)) == 1


def test_the_embedded_model_is_dequantised_once(
    smollm2: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call uses the folder of the first and converts nothing."""
    monkeypatch.setattr(embedded, "_convert", lambda *paths: pytest.fail("converted again"))
    folder = embedded.dequantised(embedded.gguf_file())
    assert folder == embedded.dequantised(embedded.gguf_file())
    assert (folder / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_gguf_file_that_lacks_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise they would be drawn at random, and kept in the cache."""
    monkeypatch.setenv("LABELCAST_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    complete = embedded.gguf_file().read_bytes()
    path.write_bytes(complete.replace(b"blk.3.ffn_up.weight", b"blk.3.ffn_xx.weight"))
    with pytest.raises(InputError, match=r"lack 1 of its weights \(model.layers.3.mlp.up_proj"):
        load_model(str(path))
    assert not list((tmp_path / "cache").glob("gguf-*"))


def test_an_interrupted_conversion_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that fails leaves no folder that looks complete."""
    monkeypatch.setenv("LABELCAST_CACHE", str(tmp_path))

    def fails(path: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded, "_convert", fails)
    with pytest.raises(RunError, match=r"disk is full.*LABELCAST_CACHE"):
        embedded.dequantised(embedded.gguf_file())
    assert not [path for path in tmp_path.iterdir() if path.name not in ("hashes", ".lock")]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting that helps."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABELCAST_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(RunError, match="LABELCAST_CACHE"):
        embedded.dequantised(embedded.gguf_file())


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda: choose_device("cuda:99"), "--device cuda:99"),
        (lambda: choose_device("nonsense"), "--device nonsense"),
        (lambda: choose_dtype("float8", "cpu", 1), "--dtype float8"),
        (lambda: choose_batch(0, "cpu", "gradients"), "--batch-size 0"),
    ],
)
def test_impossible_choices(choose: Callable[[], object], message: str) -> None:
    """What does not exist is refused by the name of its option."""
    with pytest.raises(InputError, match=message):
        choose()


def test_weights_go_straight_to_the_device(tmp_path: Path) -> None:
    """As they do to a GPU: no hook of accelerate remains, and the weights are the same."""
    folder = str(save_llama(tmp_path / "model"))
    one, two = (load_model(folder, device=where).model for where in ("cpu", "cpu:0"))
    assert not any(hasattr(module, "_hf_hook") for module in two.modules())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_dtype_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows from this process's share of the memory; how much faster 16 bits are is timed."""
    monkeypatch.setattr(choices, "gpu_size", lambda device: 80e9)
    monkeypatch.setattr(choices, "computes_bf16", lambda device: True)
    monkeypatch.setattr(choices, "bf16_gain", lambda device: 9.7)
    eight = choose_dtype("auto", "cuda", 8_030_000_000)
    assert eight.value is torch.float32
    assert "--dtype bfloat16 is up to 10 times as fast" in eight.reason
    assert choose_dtype("auto", "cuda", 14_000_000_000).value is torch.bfloat16
    monkeypatch.setattr(choices, "gpu_size", lambda device: 40e9)
    assert choose_dtype("auto", "cuda", 8_030_000_000).value is torch.bfloat16


def test_weights_that_are_there_twice_count_once(tmp_path: Path) -> None:
    """Mistral's folders also have all weights in one file that transformers does not read."""
    folder = save_llama(tmp_path / "model")
    before = count_numbers("m", folder)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert count_numbers("m", folder) == before > 0


def test_the_gpu_that_is_asked_for_decides_on_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T4 beside an A100 has no instructions for it."""
    capabilities = {"cuda": (8, 0), "cuda:1": (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.get)
    assert [choices.computes_bf16(one) for one in ("cuda", "cuda:1", "cpu")] == [True, False, False]


def test_the_gain_of_bfloat16_is_timed() -> None:
    """On this machine's own processor."""
    assert 0 < bf16_gain("cpu", 256) < 1000


def test_choices_come_with_their_reason() -> None:
    """A choice gives its reason; what the user asks for is taken."""
    assert choose_dtype("auto", "cpu", 1).value is torch.float32
    assert "ranking" in choose_dtype("auto", "cpu", 1).reason
    assert str(choose_batch(7, "cpu", "gradients")) == "7 (asked for)"
    assert choose_batch(None, "cpu", "confidence").reason


def test_a_kept_head_is_not_a_model(tmp_path: Path) -> None:
    """`tune --recipe linear` keeps the head alone, and the error says which model to give."""
    (tmp_path / "classifier.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"only the head of a frozen encoder.*--model minilm"):
        load_any(str(tmp_path))
