"""Memory of training, with made-up figures for GPUs."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu as gpu_bench
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from small_training import (
    QUICK,
    QUICK_LORA,
    fresh,
    load,
    made_examples,
    records,
    save_model,
    unlabelled,
)
from transformers import TrainingArguments

from labelcast.errors import LabelcastWarning, NoMemoryError, RunError
from labelcast.models import choices
from labelcast.models.choices import Choice
from labelcast.models.loading import LanguageModel
from labelcast.training import checkpoints, finetune, memory
from labelcast.training.backend import FineTuned, Fit, Placement
from labelcast.training.finetune import CausalBackend
from labelcast.training.memory import fitting, outline, size_of, training_bytes
from labelcast.training.recipe import FULL, LORA, Recipe
from labelcast.training.sequences import encode
from labelcast.training.splits import Budget
from labelcast.training.trainer import AnswerTrainer, make_trainer, train_on, with_adapters

CPU = Placement("cpu", "float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return load(folder)


def llama_8b(dtype: torch.dtype) -> LanguageModel:
    """Llama 3.1 8B without weights, on a GPU that is not there."""
    lm = gpu_bench.build(gpu_bench.LLAMA_8B, "meta", dtype)
    return replace(lm, device=Choice("cuda", "made up"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Pretend that a GPU has so many GB free and computes in bfloat16."""

    def pretend(free: float) -> None:
        for module in (finetune, choices):
            monkeypatch.setattr(
                module, "choose_device", lambda wanted="auto": Choice("cuda", "fake")
            )
        for module in (finetune, memory, choices):
            monkeypatch.setattr(module, "computes_bf16", lambda device: device == "cuda")
        monkeypatch.setattr(memory, "free_bytes", lambda device: int(free * 1e9))

    return pretend


def rows_of(tokens: int, answer: int = 8) -> list[dict[str, list[int]]]:
    labels = [-100] * (tokens - answer) + [5] * answer
    return [{"input_ids": [5] * tokens, "labels": labels}]


def test_bytes_of_the_published_sizes() -> None:
    """All of 8B takes 16 to 18 bytes a weight; with adapters little more than the weights."""
    whole = size_of(llama_8b(torch.float32), FULL, bf16=True)
    count = whole.weights // 4
    assert count == 8_030_261_248
    assert 16 * count <= training_bytes(whole, checkpointing=True) <= 18 * count
    adapted = size_of(llama_8b(torch.bfloat16), LORA, bf16=True)
    assert adapted.trained == 4 * 41_943_040
    assert 2 * count < training_bytes(adapted, checkpointing=True) < 2.1 * count
    several = training_bytes(whole, checkpointing=True, processes=4)
    assert 4 * count <= several < 5 * count


@pytest.mark.parametrize(
    ("free", "tokens", "micro", "checkpointing"),
    [(84, 200, 16, False), (84, 2000, 2, False), (25, 200, 2, False), (25, 2000, 2, True)],
)
def test_8b_with_adapters_fits_by_default(
    gpu: Callable[[float], None], free: float, tokens: int, micro: int, checkpointing: bool
) -> None:
    """On 80 GB in parts of the batch; on 24 GB long examples recompute their activations."""
    gpu(free)
    found = fitting(llama_8b(torch.bfloat16), rows_of(tokens), LORA, 1, bf16=True)
    assert (found.micro_batch, found.gradient_checkpointing) == (micro, checkpointing)
    assert found.digest == LORA.digest


def test_a_recipe_stays_as_it_is_on_a_cpu(lm: LanguageModel) -> None:
    """Numbers on a CPU do not depend on its free memory."""
    assert fitting(lm, rows_of(50), QUICK, 1, bf16=False) is QUICK


@pytest.mark.parametrize(
    ("recipe", "free", "said"),
    [
        (FULL, 84, ("144.5 GB", "--recipe LoRA (about 16.", "--gpus-per-job 2", "84.0 GB")),
        (FULL, 25, ("--recipe LoRA (about 16.", "--gpus-per-job 8")),
        (LORA, 10, ("'LoRA' needs 16.", "--gpus-per-job 2")),
    ],
)
def test_what_cannot_fit_is_refused_before_it_is_loaded(
    gpu: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    recipe: Recipe,
    free: float,
    said: tuple[str, ...],
) -> None:
    """One message says what is needed and what would fit; --batch-size is none of that."""
    gpu(free)
    loaded: list[str] = []
    monkeypatch.setattr(finetune, "load_model", lambda model, **kw: loaded.append(model))
    monkeypatch.setattr(
        finetune, "outline", lambda model, device, dtype: llama_8b(getattr(torch, dtype))
    )
    with pytest.raises(NoMemoryError) as caught:
        CausalBackend().load("8b", recipe, Placement())
    assert not loaded
    for words in said:
        assert words in str(caught.value)
    assert "batch-size" not in str(caught.value)


def test_the_dtype_that_a_model_is_loaded_in(
    gpu: Callable[[float], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU weights under adapters are in bfloat16, trained ones in float32."""
    gpu(80)
    seen: list[str] = []

    def loaded(model: str, *, device: str, dtype: str) -> LanguageModel:
        seen.append(dtype)
        return outline(model, Choice(device, "fake"), "float32")

    monkeypatch.setattr(finetune, "load_model", loaded)
    for recipe in (LORA, FULL):
        CausalBackend().load(str(folder), recipe, Placement())
    CausalBackend().load(str(folder), FULL, Placement(), train=False)
    CausalBackend().load(str(folder), LORA, Placement(dtype="float32"))
    assert seen == ["bfloat16", "float32", "auto", "float32"]


def test_zero_shot_needs_no_memory_to_train(
    gpu: Callable[[float], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that cannot be trained may be scored."""
    gpu(1e-6)
    monkeypatch.setattr(finetune, "choose_device", lambda wanted="auto": Choice("cpu", "fake"))
    with pytest.raises(NoMemoryError):
        CausalBackend().load(str(folder), FULL, CPU)
    assert CausalBackend().load(str(folder), FULL, CPU, train=False).device.value == "cpu"


def test_an_outline_is_the_model_without_its_weights(lm: LanguageModel, folder: Path) -> None:
    """It encodes examples as the model does; its buffers are real."""
    found = outline(str(folder), Choice("cpu", "asked"), "float32")
    examples = made_examples(lm, records(5))
    assert encode(found, examples, 99) == encode(lm, examples, 99)
    assert found.identity.fingerprint == lm.identity.fingerprint
    assert all(weight.is_meta for weight in found.model.parameters())
    buffers = dict(found.model.named_buffers())
    assert all(torch.equal(b, buffers[name]) for name, b in lm.model.named_buffers())


def kept_bytes(model: Any, batch: dict[str, torch.Tensor], bf16: bool) -> int:
    """Bytes that autograd keeps of a forward pass, without weights and their copies."""
    weights = {w.untyped_storage().data_ptr() for w in model.parameters()}
    shapes = {w.shape for w in model.parameters()} | {w.shape[::-1] for w in model.parameters()}
    seen: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights and tensor.shape not in shapes:
            seen[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        model.train()
        model(input_ids=batch["input_ids"], logits_to_keep=1, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_layer_keeps_what_is_planned(recipe: Recipe, bf16: bool, checkpointing: bool) -> None:
    """The plan for two more layers is not below what autograd keeps of them, nor twice as much."""
    batch = {"input_ids": torch.randint(3, 100, (4, 64))}
    kept, planned = [], []
    for layers in (2, 4):
        config = gpu_bench.SMALL | {"num_hidden_layers": layers}
        lm = gpu_bench.build(config, "cpu", torch.float32)
        size = size_of(lm, recipe, bf16=bf16)
        states, planned_here = (
            training_bytes(size, tokens, checkpointing=checkpointing) for tokens in (0, 4 * 64)
        )
        planned.append(planned_here - states)
        model = lm.model.requires_grad_(recipe.adapters is None)
        if recipe.adapters is not None:
            model = with_adapters(lm, recipe)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        kept.append(kept_bytes(model, batch, bf16))
    assert kept[1] - kept[0] <= planned[1] - planned[0] <= 2 * (kept[1] - kept[0])


def trained(lm: LanguageModel, recipe: Recipe, **options: Any) -> FineTuned:
    examples = made_examples(lm, records(60))
    labels = Budget(tuple(examples[:40]), tuple(examples[40:]))
    return CausalBackend().fit(fresh(lm), Fit(labels, recipe, 5, CPU, **options))


def full_above(
    monkeypatch: pytest.MonkeyPatch, rows: int, *, recomputed: bool = False
) -> list[int]:
    """Let memory run out at the end of the backward pass of more rows; the rows of each pass.

    With `recomputed` it also runs out in each pass without gradient checkpointing.
    """
    loss, backward, seen = AnswerTrainer.compute_loss, Accelerator.backward, list[int]()
    trainers: list[Any] = []

    def computed(self: Any, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        if model.training:
            seen.append(len(inputs["input_ids"]))
            trainers[:] = [self]
        return loss(self, model, inputs, *rest, **more)

    def full(self: Any, value: torch.Tensor, **more: Any) -> None:
        backward(self, value, **more)
        if seen[-1] > rows or (recomputed and not trainers[0].args.gradient_checkpointing):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(AnswerTrainer, "compute_loss", computed)
    monkeypatch.setattr(Accelerator, "backward", full)
    return seen


@pytest.mark.parametrize(
    ("micro", "recomputed"),
    [
        (8, False),
        *(
            pytest.param(micro, recomputed, marks=pytest.mark.slow)
            for micro, recomputed in ((8, True), (None, False), (None, True))
        ),
    ],
)
def test_when_memory_runs_out_a_step_runs_in_smaller_parts(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, micro: int | None, recomputed: bool
) -> None:
    """The step stays the same, the following steps begin with the smaller parts, and it is said."""
    recipe = QUICK.model_copy(update={"max_steps": 8, "micro_batch": micro})
    wanted = trained(lm, recipe)
    rows = 1 if recomputed else 4
    seen = full_above(monkeypatch, rows, recomputed=recomputed)
    with pytest.warns(LabelcastWarning, match=f"{rows} sequences ran at once; .* still has 16"):
        found = trained(lm, recipe)
    assert seen[:2] == [micro or 16, (micro or 16) // 2]
    assert set(seen[10:]) == {rows}
    assert found.log.steps == 8
    for (_, one), (_, two) in zip(found.log.losses, wanted.log.losses, strict=True):
        assert one == pytest.approx(two, rel=1e-3)
    weights = dict(wanted.lm.model.named_parameters())
    for name, weight in found.lm.model.named_parameters():
        assert torch.allclose(weight, weights[name], atol=2e-4)


def test_when_memory_runs_out_in_validation_it_goes_on_in_smaller_parts(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the first step, and training then begins with these parts."""
    recipe = QUICK.model_copy(update={"max_steps": 4})
    wanted = trained(lm, recipe)
    seen: list[int] = []
    step = AnswerTrainer.prediction_step

    def full(
        self: Any, model: Any, inputs: dict[str, torch.Tensor], *rest: Any, **more: Any
    ) -> Any:
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(self, model, inputs, *rest, **more)

    monkeypatch.setattr(AnswerTrainer, "prediction_step", full)
    with pytest.warns(LabelcastWarning, match="4 sequences ran at once"):
        found = trained(lm, recipe)
    assert max(seen[2:]) == 4
    for (_, one), (_, two) in zip(found.log.losses, wanted.log.losses, strict=True):
        assert one == pytest.approx(two, rel=1e-3)


@pytest.mark.slow
def test_if_nothing_helps_the_error_says_what_takes_less(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sequence at a time, recomputed, is the last try."""
    seen = full_above(monkeypatch, 0)
    with pytest.raises(NoMemoryError, match="LoRA, a smaller micro_batch or max_length") as caught:
        trained(lm, QUICK)
    assert seen == [16, 8, 4, 2, 1, 1]
    assert "batch-size" not in str(caught.value)


def test_large_weights_are_kept_on_the_disk(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The best weights come back from there as from memory, and no file is left."""
    short = QUICK.model_copy(update={"max_steps": 8})
    wanted = trained(lm, short)
    kept: list[torch.Tensor] = []

    def on_disk(weight: torch.Tensor, folder: Path) -> torch.Tensor:
        kept.append(original(weight, folder))
        return kept[-1]

    original = checkpoints.on_disk
    monkeypatch.setattr(checkpoints, "on_disk", on_disk)
    monkeypatch.setattr(checkpoints, "_fits_beside", lambda weights: False)
    found = trained(lm, short, folder=tmp_path)
    weights = found.lm.model.state_dict()
    assert kept
    assert all(torch.equal(w, weights[n]) for n, w in wanted.lm.model.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} <= {"training.json", "checkpoint-8"}


def test_only_adapters_are_kept(lm: LanguageModel) -> None:
    """The copy of the best weights has no frozen ones."""
    parts = [encode(lm, made_examples(lm, records(8)), 99)] * 2
    trainer = make_trainer(fresh(lm), parts, unlabelled(QUICK_LORA), Path("unused"))
    kept = checkpoints.trained_parts(trainer.model)
    assert kept
    assert all("lora_" in name for name in kept)


def test_a_full_disk_is_reported(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is reserved before training writes there."""

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr(checkpoints, "_fits_beside", lambda weights: False)
    with pytest.raises(RunError, match="the disk is full"):
        trained(lm, QUICK)


def test_the_trainer_uses_the_chosen_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one, and no other beside it."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    settings = TrainingArguments(output_dir="unused", use_cpu=True, report_to="none")
    settings._n_gpu = 4
    try:
        train_on(settings, "cuda:1")
        assert (settings.device, settings.n_gpu) == (torch.device("cuda:1"), 1)
        assert PartialState().device == torch.device("cuda:1")
        assert chosen == [torch.device("cuda:1")]
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
