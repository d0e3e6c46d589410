"""Engines that run a model: options, what a run records, what must not be mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_pools import run_score, words

from labelcast.errors import InputError
from labelcast.execution.pool_engines import LocalEngine, Spread, check_options, open_engine
from labelcast.execution.shards import ShardedPool
from labelcast.models.choices import Choice
from labelcast.models.generation import end_tokens
from labelcast.models.loading import LanguageModel, load_unweighted
from labelcast.runs.score import ScoredRun

pytestmark = pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")


class Elsewhere(LocalEngine):
    """The model in this process under the name of another runtime."""

    name = runtime = "vllm"


class Idle(LocalEngine):
    """An engine that must not be asked to score."""

    name = "ray"

    def score(self, pool: ShardedPool, *others: Any) -> None:
        raise AssertionError("a finished run was scored again")


def facts(out: Path, part: str = "facts") -> Any:
    return json.loads((out / "run.json").read_text())[part]


def run_with(engine: LocalEngine, out: Path) -> ScoredRun:
    return run_score(engine.lm, out, words(12), engine=engine)


@pytest.mark.parametrize(
    ("name", "spread", "says"),
    [
        ("spark", Spread(), "--engine spark: choose local, ray or vllm"),
        ("ray", Spread(workers=0), "--workers 0: must be at least 1"),
        ("ray", Spread(gpus_per_worker=0.0), "--gpus-per-worker 0: a worker takes one GPU"),
        ("ray", Spread(gpus_per_worker=2.0), "--gpus-per-worker 2: a worker takes one GPU"),
        ("local", Spread(workers=2), "--workers: is for --engine ray"),
        ("vllm", Spread(gpus_per_worker=0.5), "--gpus-per-worker: is for --engine ray"),
        ("local", Spread(address="auto"), "--address: is for --engine ray"),
    ],
)
def test_wrong_options_are_named(name: str, spread: Spread, says: str) -> None:
    """They are refused before anything is loaded."""
    with pytest.raises(InputError, match=says):
        check_options(name, spread)
    with pytest.raises(InputError, match=says):
        open_engine(name, "no such model", spread=spread)


def test_the_engine_is_a_fact_of_the_run(tiny: LanguageModel, tmp_path: Path) -> None:
    """It is not part of the question: another engine of the same runtime may continue."""
    run_with(LocalEngine(tiny), tmp_path / "run")
    assert facts(tmp_path / "run")["engine"] == "local"
    manifest = json.loads((tmp_path / "run/manifests/score.json").read_text())
    assert manifest["engine"] == "local"
    assert run_with(Idle(tiny), tmp_path / "run").reused


def test_values_of_two_runtimes_are_not_mixed(tiny: LanguageModel, tmp_path: Path) -> None:
    """The message names the engines that may continue."""
    run_with(LocalEngine(tiny), tmp_path / "ours")
    with pytest.raises(InputError, match=r"come from transformers.*--engine local or ray"):
        run_with(Elsewhere(tiny), tmp_path / "ours")
    run_with(Elsewhere(tiny), tmp_path / "theirs")
    assert facts(tmp_path / "theirs", "question")["runtime"] == "vllm"
    with pytest.raises(InputError, match=r"come from vllm.*--engine vllm"):
        run_with(LocalEngine(tiny), tmp_path / "theirs")
    assert run_with(Elsewhere(tiny), tmp_path / "theirs").reused


def test_a_model_without_weights_says_the_same(tiny: LanguageModel) -> None:
    """Identity, context, end tokens, rendering and dtype equal those of the loaded model."""
    bare = load_unweighted(tiny.name, Choice("cpu", "said so"))
    assert isinstance(bare, LanguageModel)
    assert bare.identity == tiny.identity
    assert bare.context == tiny.context
    assert end_tokens(bare) == end_tokens(tiny)
    assert bare.render("a", "b") == tiny.render("a", "b")
    assert str(bare.dtype.value) == "torch.float32"
    assert not hasattr(bare.model, "parameters")
