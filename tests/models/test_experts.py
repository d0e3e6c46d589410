from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from families import MIXTURES, load_family, random_pairs, sketched
from torch import nn
from transformers import Llama4ForCausalLM, Llama4TextConfig

from labelcast.errors import InputError
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import exact_gram, sketch_matrix, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A Mixtral of two blocks with four experts, two per token."""
    return load_family(tmp_path_factory.mktemp("mixture"), "plain")


def with_adapters(lm: LanguageModel, rank: int) -> Any:
    """The model with peft's adapters on linear layers and experts, with labelcast's A."""
    import copy

    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=32,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        target_parameters=["experts.gate_up_proj", "experts.down_proj"],
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(copy.deepcopy(lm.model), config)
    for name, module in adapted.get_base_model().named_modules():
        if not hasattr(module, "lora_A"):
            continue
        projection = getattr(module, "parameter_name", None)
        if projection is None:
            names = [name]
        else:
            block = name.partition(".experts")[0] + ".experts"
            names = [f"{block}.{expert}.{projection}" for expert in range(module.num_experts)]
        a = [sketch_matrix(n, module.in_features, rank, 0) for n in names]
        module.lora_A["default"].weight.data.copy_(torch.cat(a))
    return adapted.eval()


def test_the_sketch_equals_peft_on_every_expert(mixture: LanguageModel) -> None:
    """Each expert has its own A, and a B that sees only its own tokens."""
    pairs = random_pairs(1, shared=70)
    adapted = with_adapters(mixture, 16)
    kept = [published.gradients(adapted, pair) for pair in pairs]
    assert sum("experts" in name and "lora_B" in name for name in kept[0]) == 4
    upper = np.triu_indices(len(pairs), 1)
    assert sketched(mixture, pairs)[upper] == pytest.approx(published.pair_cosines(kept), abs=1e-4)


@pytest.mark.parametrize("family", MIXTURES)
def test_routers_get_no_adapter(family: str, tmp_path: Path) -> None:
    """Attention, experts and shared experts count; routers do not."""
    lm = load_family(tmp_path, family)
    names = list(linear_layers(lm))
    assert {name.rpartition(".")[2] for name in names} <= {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj", "gate_up_proj"),
    }
    config = lm.model.config
    count = next(
        getattr(config, field)
        for field in ("num_experts", "num_local_experts", "n_routed_experts")
        if getattr(config, field, None)
    )
    last = [name for name in names if ".layers.1." in name and ".experts." in name]
    assert len(last) == 2 * count
    assert len(set(map(sketch_of, last))) == len(last), "every expert has its own A"


def sketch_of(name: str) -> bytes:
    """A few numbers of a layer's A."""
    return bytes(sketch_matrix(name, 4, 2, 0).numpy().tobytes())


def test_an_expert_that_sees_no_token_of_an_example_has_no_gradient_for_it(
    tmp_path: Path,
) -> None:
    """Its inner products are zero for that example only, by either method."""
    lm = load_family(tmp_path, "many small experts")
    pairs = [Encoded([5, 6, 7], 1), Encoded([40, 41, 42], 1), *random_pairs(2, count=3)]
    seen = tokens_of_experts(lm, pairs)
    assert any(not count for counts in seen.values() for count in counts)
    assert any(not any(counts) for counts in seen.values()), "and some expert sees none at all"
    sketch = sketched_gram(lm, pairs, rank=16, seeds=[0], batch_size=3)
    exact = exact_gram(lm, pairs, batch_size=3, memory=1 << 40)
    for gram in (sketch, exact):
        for name, one in zip(gram.layers, gram.by_layer[:, 0], strict=True):
            if name in seen:
                for row, count in enumerate(seen[name]):
                    assert count or not one[row].any()
        assert (gram.values[0].sum(0).diagonal() > 0).all()


def tokens_of_experts(lm: LanguageModel, pairs: list[Encoded]) -> dict[str, list[int]]:
    """How many tokens of each example each expert sees, by the model's own router."""
    seen: dict[str, list[int]] = {}
    for pair in pairs:
        chosen: dict[str, torch.Tensor] = {}

        def note(name: str, found: dict[str, torch.Tensor] = chosen) -> Any:
            return lambda module, args, output: found.update({name: args[1]})

        handles = [
            module.register_forward_hook(note(name))
            for name, module in lm.model.named_modules()
            if name.endswith(".experts")
        ]
        published.answer_loss(lm.model, pair)
        for handle in handles:
            handle.remove()
        for name in linear_layers(lm):
            block, _, rest = name.partition(".experts.")
            if rest:
                expert = int(rest.partition(".")[0])
                found = int((chosen[f"{block}.experts"] == expert).sum())
                seen.setdefault(name, []).append(found)
    return seen


def test_the_experts_implementation_is_restored(mixture: LanguageModel) -> None:
    """After success and after an error."""
    config = mixture.model.config
    before = config._experts_implementation
    sketched(mixture, random_pairs(3))
    assert config._experts_implementation == before
    with pytest.raises(IndexError):
        sketched(mixture, [*random_pairs(3), Encoded([5, 10_000, 6], 1)])
    assert config._experts_implementation == before
    hooks = [len(module._forward_hooks) for module in mixture.model.modules()]
    assert not any(hooks)


def test_exact_with_little_memory_divides_the_experts_of_a_block(mixture: LanguageModel) -> None:
    """Experts of one block in different passes give the same matrix."""
    pairs = random_pairs(4, shared=70)
    whole = exact_gram(mixture, pairs, batch_size=3, memory=1 << 40)
    parts = exact_gram(mixture, pairs, batch_size=3, memory=30_000)
    scale = float(whole.by_layer.abs().max())
    torch.testing.assert_close(parts.by_layer, whole.by_layer, rtol=1e-4, atol=1e-6 * scale)
    assert parts.held_bytes < whole.held_bytes / 4


def test_unknown_experts_are_refused(mixture: LanguageModel) -> None:
    """Otherwise the value would silently leave the experts out."""
    config = Llama4TextConfig(
        vocab_size=104,
        hidden_size=32,
        intermediate_size=24,
        intermediate_size_mlp=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=2,
        interleave_moe_layer_step=1,
    )
    for model in (Llama4ForCausalLM(config), listed_experts()):
        other = LanguageModel(
            model, mixture.tokenizer, mixture.identity, mixture.device, mixture.dtype
        )
        with pytest.raises(InputError, match=r"experts .* does not know.*score"):
            linear_layers(other)


def listed_experts() -> nn.Module:
    """Experts as a list of modules, each called with some of the tokens."""
    model = nn.Module()
    expert = nn.Module()
    expert.up_proj = nn.Linear(4, 4)
    model.experts = nn.ModuleList([expert])
    block = nn.Module()
    block.mlp = model
    return block
