import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from command_line import in_process
from families import load_family, random_pairs, save_family, sketched
from small_training import save_quantised
from tiny_model import save_llama

from labelcast.errors import InputError
from labelcast.models.coslow import cosine
from labelcast.models.encoding import Encoded
from labelcast.models.generation import generate, read_prefix
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.loading import LanguageModel, describe, load_model

pytest.importorskip("bitsandbytes")
KINDS: dict[str, dict[str, Any]] = {
    "nf4, scales quantised too": {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "float32",
    },
    "fp4": {"bnb_4bit_quant_type": "fp4", "bnb_4bit_compute_dtype": "float32"},
}


@pytest.fixture(scope="module", params=KINDS)
def quantised(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    """A small random Llama whose linear layers are packed into 4 bits."""
    folder = tmp_path_factory.mktemp("quantised")
    kind = KINDS[request.param]
    made = save_quantised(
        folder / "four", save_llama(folder / "whole", num_hidden_layers=2), **kind
    )
    return load_model(str(made), device="cpu", dtype="float32")


def gram_cosines(lm: LanguageModel, pairs: Sequence[Encoded]) -> Any:
    """Cosines [N,N] by the exact method."""
    gram = exact_gram(lm, pairs, batch_size=3, memory=1 << 40).values
    return cosine(gram[0, 0].numpy())


def test_the_weights_stay_packed(quantised: LanguageModel) -> None:
    """Loading unpacks nothing, and a pass restores weights and flags."""
    weight = quantised.model.model.layers[0].mlp.up_proj.weight
    before = weight.clone()
    sketched(quantised, random_pairs(0))
    weight = quantised.model.model.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.uint8
    assert torch.equal(weight, before)
    assert not any(w.requires_grad for w in quantised.model.parameters())


@pytest.mark.parametrize("shared", [0, 70])
def test_the_sketch_equals_peft_on_packed_layers(quantised: LanguageModel, shared: int) -> None:
    """Every cosine, in batches of one and four, equals real LoRA layers over 4 bits."""
    pairs = random_pairs(1, shared=shared)
    adapted = published.with_adapters(quantised, rank=16)
    kept = [published.gradients(adapted, pair) for pair in pairs]
    upper = np.triu_indices(len(pairs), 1)
    expected = published.pair_cosines(kept)
    for batch in (1, 4):
        assert sketched(quantised, pairs, batch)[upper] == pytest.approx(expected, abs=1e-4)


def unpacked(lm: LanguageModel, folder: Path) -> LanguageModel:
    """The same model with its weights unpacked to floats."""
    packing: Any = pytest.importorskip("bitsandbytes")
    save_llama(folder, num_hidden_layers=2)
    plain = load_model(str(folder), device="cpu", dtype="float32")
    layers = dict(lm.model.named_modules())
    for name, module in plain.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = layers[name].weight
            packed = weight.dtype == torch.uint8
            if packed:
                weight = packing.functional.dequantize_4bit(weight.data, weight.quant_state)
            module.weight.data.copy_(weight)
    return plain


def test_every_value_equals_the_unpacked_model(quantised: LanguageModel, tmp_path: Path) -> None:
    """Sketch, exact and confidence agree with plain layers with the unpacked weights."""
    plain = unpacked(quantised, tmp_path)
    pairs = random_pairs(2, shared=70)
    assert sketched(quantised, pairs) == pytest.approx(sketched(plain, pairs), abs=1e-4)
    exact, same = gram_cosines(quantised, pairs), gram_cosines(plain, pairs)
    assert exact == pytest.approx(same, abs=1e-4)
    prompts = [pair.tokens for pair in pairs]
    found = generate(quantised, prompts, read_prefix(quantised, prompts), 6)
    for prompt, answer in zip(prompts, found, strict=True):
        alone = published.confidence(plain, prompt, 6)
        if alone.margin > 1e-4:
            assert answer.tokens == alone.tokens
            assert answer.margin == pytest.approx(alone.margin, abs=1e-4)


def test_half_precision_inside_packed_layers(tmp_path: Path) -> None:
    """Layers that compute in bfloat16, as most on the hub, give cosines near float32's."""
    source = save_llama(tmp_path / "whole", num_hidden_layers=2)
    pairs = random_pairs(3)
    found = []
    for dtype in ("float32", "bfloat16"):
        folder = save_quantised(tmp_path / dtype, source, bnb_4bit_compute_dtype=dtype)
        found.append(sketched(load_model(str(folder), device="cpu", dtype="float32"), pairs))
    assert found[0] == pytest.approx(found[1], abs=0.03)


def every_value(lm: LanguageModel) -> tuple[Any, ...]:
    """Cosines of the sketch and of the exact method, generated tokens and their margins."""
    pairs = random_pairs(5, shared=70)
    prompts = [pair.tokens for pair in pairs]
    found = generate(lm, prompts, read_prefix(lm, prompts), 6)
    answers = [(answer.tokens, answer.margin) for answer in found]
    return sketched(lm, pairs).tolist(), gram_cosines(lm, pairs).tolist(), answers


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("width", [64, 32])
def test_values_do_not_depend_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any], width: int
) -> None:
    """With AVX512-BF16 or without, no layer repacks its weights and every value is the same.

    Layers of 32 inputs are narrower than a quantisation block.
    """
    modules: Any = pytest.importorskip("bitsandbytes.nn.modules")

    def repack(*args: Any) -> None:
        raise AssertionError("weights are repacked")

    monkeypatch.setattr(modules, "_convert_weight_packed_for_cpu", repack)
    source = save_llama(tmp_path / "whole", num_hidden_layers=2, hidden_size=width)
    folder = save_quantised(tmp_path / "four", source, **kind)
    found = []
    for has_bf16 in (False, True):
        monkeypatch.setattr(modules, "has_avx512bf16", lambda has_bf16=has_bf16: has_bf16)
        assert modules.Linear4bit(width, width).support_avx512bf16_for_cpu == has_bf16
        found.append(every_value(load_model(str(folder), device="cpu", dtype="float32")))
    assert found[0] == found[1]


def unpack(layer: Any, *, by_rows: bool) -> torch.Tensor:
    """The weight [O,I] of a 4-bit layer as bitsandbytes unpacks it.

    Blocks are counted through all rows, or from each row's start, as its code for AVX512 does.
    """
    functional: Any = pytest.importorskip("bitsandbytes.functional")
    state, packed = layer.weight.quant_state, layer.weight.data.flatten()
    inputs, size, scales = state.shape[-1], state.blocksize, state.absmax
    if state.nested:
        scales = functional.dequantize_blockwise(scales, state.state2) + state.offset
    place = torch.arange(state.shape.numel())
    block = (
        place // inputs * (inputs // size) + place % inputs // size if by_rows else place // size
    )
    codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten().long()
    return (state.code[codes] * scales[block]).reshape(state.shape)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_unpacked_weights_do_not_depend_on_the_cpu(tmp_path: Path, kind: dict[str, Any]) -> None:
    """Also for rows of 32 and 96 inputs, which do not end with a block of 64."""
    packing: Any = pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM

    source = save_llama(tmp_path / "whole", num_hidden_layers=1, hidden_size=32)
    folder = save_quantised(tmp_path / "four", source, **kind)
    saved = AutoModelForCausalLM.from_pretrained(folder, device_map={"": "cpu"})
    loaded = load_model(str(folder), device="cpu", dtype="float32").model
    for name, layer in saved.named_modules():
        if isinstance(layer, packing.nn.Linear4bit):
            expected = unpack(layer, by_rows=False)
            found = loaded.get_submodule(name)
            for by_rows in (False, True):
                assert torch.allclose(unpack(found, by_rows=by_rows), expected)
            weight = packing.functional.dequantize_4bit(found.weight, found.weight.quant_state)
            assert torch.allclose(weight.float(), expected)


def test_only_4_bit_models_import_it_and_quietly(tmp_path: Path) -> None:
    """Another model runs without it; what it logs on a CPU with AVX512-BF16 is dropped."""
    model = save_llama(tmp_path / "model", num_hidden_layers=1)
    folder = save_quantised(tmp_path / "four", model, **KINDS["fp4"])
    pool = tmp_path / "pool.jsonl"
    records = [{"input_text": f"say {n}", "ground_truth": "yes"} for n in range(6)]
    pool.write_text("".join(json.dumps(record) + "\n" for record in records))
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import avx512_bf16
from labelcast.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert "torch" in sys.modules and "bitsandbytes" not in sys.modules
print("scored", file=sys.stderr)
import labelcast
labelcast.load_model({str(folder)!r}, device="cpu")
assert avx512_bf16.found()
assert "torch._inductor.compile_fx" not in sys.modules
sys.exit()
"""
    args = ("score", pool, "--model", model, "--out", tmp_path / "run", "--device", "cpu")
    done = in_process([*args, "--n-label", 2, "--max-new-tokens", 2], code=code)
    assert done.status == 0, done.err
    assert done.err.rpartition("scored\n")[1:] == ("scored\n", "")


def test_a_mixture_with_packed_attention(tmp_path: Path) -> None:
    """If attention is packed and experts are not, both count, in any batch."""
    source = save_family(tmp_path / "whole", "plain")
    folder = save_quantised(tmp_path / "four", source, bnb_4bit_compute_dtype="float32")
    lm = load_model(str(folder), device="cpu", dtype="float32")
    pairs = random_pairs(4, shared=70)
    gram = sketched_gram(lm, pairs, rank=16, seeds=[0], batch_size=3)
    alone = sketched_gram(lm, pairs, rank=16, seeds=[0], batch_size=1)
    assert (gram.by_layer[:, 0].diagonal(dim1=-2, dim2=-1).sum(-1) > 0).all()
    assert cosine(gram.values[0].sum(0).numpy()) == pytest.approx(
        cosine(alone.values[0].sum(0).numpy()), abs=1e-4
    )
    whole = load_family(tmp_path / "again", "plain")
    assert sketched(whole, pairs) == pytest.approx(sketched(lm, pairs), abs=0.3)


def test_it_has_the_fingerprint_of_the_unquantised_model(tmp_path: Path) -> None:
    """Its description, made without weights, is that of the unquantised model."""
    source = save_llama(tmp_path / "whole", num_hidden_layers=2)
    folder = save_quantised(tmp_path / "four", source, **KINDS["fp4"])
    (whole, parameters), (four, as_many) = describe(str(source)), describe(str(folder))
    assert four.fingerprint == whole.fingerprint
    assert as_many == parameters


def test_without_bitsandbytes_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the command that installs it."""
    import transformers.quantizers.quantizer_bnb_4bit as packed

    monkeypatch.setattr(packed, "is_bitsandbytes_available", lambda *args: False)
    path = save_llama(tmp_path) / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"pip install 'labelcast\[4bit\]'") as caught:
        load_model(str(tmp_path), device="cpu")
    assert "\n" not in str(caught.value)
