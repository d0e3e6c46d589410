import dataclasses
import weakref
from pathlib import Path
from typing import Any

import accelerate.hooks
import pytest
import torch
from families import in_a_thread, load_family, random_pairs, save_family, sketched
from transformers import AutoModelForCausalLM

from labelcast.errors import InputError
from labelcast.models.choices import choose_device
from labelcast.models.encoding import Encoded
from labelcast.models.generation import generate, read_prefix
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.likelihood import answer_log_likelihoods
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.plan import MemoryCosts, count_costs
from labelcast.models.recompute import offloaded, recomputed

LAYERS = 4


def dispatched(folder: Path, whole: LanguageModel) -> LanguageModel:
    """The model in `folder`, with embeddings and half the layers offloaded to disk."""
    places = dict.fromkeys(("model.embed_tokens", "lm_head"), "disk")
    places |= dict.fromkeys(("model.norm", "model.rotary_emb"), "cpu")
    places |= {f"model.layers.{i}": ("disk" if i % 2 else "cpu") for i in range(LAYERS)}
    model = AutoModelForCausalLM.from_pretrained(
        folder, device_map=places, dtype=torch.float32, offload_folder=folder / "offloaded"
    )
    return dataclasses.replace(whole, model=model.eval().requires_grad_(False))


@pytest.fixture(scope="module", params=["tied", "fused", "shared expert"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LanguageModel, LanguageModel]:
    """A model, and the same one spread over memory and disk."""
    folder = tmp_path_factory.mktemp("spread")
    whole = load_family(folder, request.param, num_hidden_layers=LAYERS)
    return whole, dispatched(folder, whole)


Both = tuple[LanguageModel, LanguageModel]


def counted(lm: LanguageModel, pairs: list[Encoded]) -> MemoryCosts:
    """What a pass takes."""
    return count_costs(lm, linear_layers(lm), pairs, 16)


def test_gradients_equal_the_unspread_model(both: Both) -> None:
    """Sketch and exact, in batches of one and four, with and without a shared prefix."""
    whole, spread = both
    assert offloaded(spread.model)
    assert not offloaded(whole.model)
    for shared in (0, 70):
        pairs = random_pairs(1, shared=shared)
        assert counted(spread, pairs) == counted(whole, pairs)
        expected = sketched(whole, pairs)
        for batch in (1, 4):
            assert sketched(spread, pairs, batch) == pytest.approx(expected, abs=1e-4)
    one, two = (exact_gram(lm, pairs, batch_size=3, memory=1 << 40) for lm in both)
    scale = float(one.values.abs().max())
    torch.testing.assert_close(two.values, one.values, rtol=1e-4, atol=1e-6 * scale)


def test_all_examples_at_once(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offloaded layers run again in the backward pass, in another thread as on a GPU."""
    whole, spread = both
    pairs = random_pairs(6)
    options: dict[str, Any] = {"rank": 8, "seeds": [0], "batch_size": 2, "at_once": 1 << 50}
    expected = sketched_gram(whole, pairs, **options).values
    monkeypatch.setattr(torch.Tensor, "backward", in_a_thread(torch.Tensor.backward))
    found = sketched_gram(spread, pairs, **options).values
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3 * scale)


def test_no_index_of_positions_is_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate would move it to the first GPU, and the hidden states are on the last."""
    lm = load_family(tmp_path, "tied")
    forward = lm.model.forward

    def checked(**arguments: Any) -> Any:
        assert not isinstance(arguments.get("logits_to_keep"), torch.Tensor)
        return forward(**arguments)

    monkeypatch.setattr(lm.model, "forward", checked)
    sketched(lm, random_pairs(1))
    answer_log_likelihoods(lm, ["a", "bc"], ["1", "23"])


def test_answers_equal_the_unspread_model(both: Both) -> None:
    """Tokens and probabilities, with a shared prefix."""
    prompts = [pair.tokens for pair in random_pairs(2, shared=20)]
    one, two = (generate(lm, prompts, read_prefix(lm, prompts), 6) for lm in both)
    for first, second in zip(one, two, strict=True):
        if first.margin > 1e-4:
            assert second.tokens == first.tokens
            assert second.probabilities == pytest.approx(first.probabilities, abs=1e-4)


def state(model: Any) -> Any:
    """The device of each weight, and the flags of each module."""
    places = [weight.device.type for weight in model.parameters()]
    sets = [
        (m.training, getattr(m, "gradient_checkpointing", None), sorted(vars(m)))
        for m in model.modules()
    ]
    return places, sets


def test_the_model_is_restored(both: Both) -> None:
    """Weights are offloaded again and flags are restored, after an error too."""
    _, spread = both
    before = state(spread.model)
    sketched(spread, random_pairs(3))
    assert state(spread.model) == before
    with pytest.raises(IndexError):
        sketched(spread, [*random_pairs(3), Encoded([5, 10_000, 6], 1)])
    assert state(spread.model)[1] == before[1]
    sketched(spread, random_pairs(3))
    assert state(spread.model) == before


def test_one_layers_weights_are_loaded_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backward pass never holds all offloaded weights, which would undo the offloading."""
    whole = load_family(tmp_path, "tied", num_hidden_layers=LAYERS)
    spread = dispatched(tmp_path, whole)
    layer = sum(w.numel() for w in spread.model.model.layers[1].parameters())
    words = spread.model.get_input_embeddings().weight.numel()
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0
    bring = accelerate.hooks.set_module_tensor_to_device

    def watched(module: Any, name: str, device: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal most
        bring(module, name, device, *args, **kwargs)
        weight = getattr(module, name)
        if weight.device.type != "meta":
            alive.add(weight)
            most = max(most, sum(w.numel() for w in alive))

    monkeypatch.setattr(accelerate.hooks, "set_module_tensor_to_device", watched)
    sketched(spread, random_pairs(4, count=2), 2)
    assert 0 < most <= layer + 2 * words


def test_an_unspread_model_is_not_recomputed(tmp_path: Path) -> None:
    """No flag is set if nothing is offloaded."""
    lm = load_family(tmp_path, "tied")
    before = state(lm.model)
    with recomputed(lm, ()):
        assert state(lm.model) == before


@pytest.mark.parametrize("family", ["tied", "plain"])
def test_spread_over_the_devices_of_this_machine(family: str, tmp_path: Path) -> None:
    """`spread` gives the values of the model on the CPU."""
    whole = load_family(tmp_path, family)
    spread = load_model(str(tmp_path), device="spread", dtype="float32")
    assert "spread over" in spread.device.reason
    assert spread.input_device.type == spread.device.value.partition(":")[0]
    pairs = random_pairs(5)
    assert sketched(spread, pairs) == pytest.approx(sketched(whole, pairs), abs=1e-3)
    prompts = [pair.tokens for pair in pairs]
    assert [a.tokens for a in generate(spread, prompts, read_prefix(spread, prompts), 3)] == [
        a.tokens for a in generate(whole, prompts, read_prefix(whole, prompts), 3)
    ]


def test_training_is_not_spread() -> None:
    """Except for loading, `spread` is refused, with the option to use instead."""
    with pytest.raises(InputError, match=r"--device spread.*--gpus-per-job"):
        choose_device("spread")


def test_a_saved_family_is_a_model_folder(tmp_path: Path) -> None:
    """The tests load what users load: config, tokenizer, safetensors."""
    names = {path.name for path in save_family(tmp_path, "plain").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
