import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from labelcast.errors import InputError
from labelcast.training.recipe import FULL, LORA, Lora, Recipe


def test_the_papers_recipe() -> None:
    """The default recipe has the paper's settings and the name that cards give it."""
    assert FULL.name == "full fine-tuning"
    assert (FULL.learning_rate, FULL.batch_size, FULL.max_steps) == (1e-5, 16, 500)
    assert (FULL.warmup, FULL.schedule, FULL.evaluate_every) == (0.1, "cosine", 4)
    assert (FULL.patience, FULL.validation_share, FULL.max_length) == (10, 0.2, 2048)
    assert FULL.adapters is None
    assert LORA.adapters == Lora()


@pytest.mark.parametrize(
    ("spec", "recipe"),
    [("full", FULL), ("LORA", LORA), ("full fine-tuning", FULL), ("LoRA", LORA)],
)
def test_names(spec: str, recipe: Recipe) -> None:
    """A shipped recipe is found by its short name and by the name that cards give it."""
    assert Recipe.load(spec) is recipe


def test_a_file(tmp_path: Path) -> None:
    """A file needs a method and a learning rate; the rest has defaults, the name is its stem."""
    path = tmp_path / "mine.yaml"
    path.write_text("method: lora\nlearning_rate: 3e-4\nlora: {rank: 8}\n")
    recipe = Recipe.load(path)
    assert recipe == Recipe(name="mine", method="lora", learning_rate=3e-4, lora=Lora(rank=8))
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate: 1", "'method' is missing"),
        ("{method: full, learning_rate: 1e-5, learning_rat: 2}", "Did you mean 'learning_rate'"),
        ("{method: lora, learning_rate: 1e-5, lora: {rang: 2}}", "Did you mean 'rank'"),
        ("{method: half, learning_rate: 1e-5}", "method: "),
        ("{method: full, learning_rate: -1}", "learning_rate: "),
        ("{method: full, learning_rate: .inf}", "learning_rate: "),
        ("{method: full, learning_rate: 1, validation_share: 0.6}", "validation_share: "),
        ("{method: full, learning_rate: 1, max_steps: 0}", "max_steps: "),
        ("{method: full, learning_rate: 1, micro_batch: 5}", "does not divide"),
        ("{method: full, learning_rate: 1, lora: {rank: 4}}", "the method is full"),
        ("[1, 2]", "a mapping of keys"),
        ("a: [", "not valid YAML"),
    ],
)
def test_faults_name_the_key(tmp_path: Path, text: str, said: str) -> None:
    """An error names the file, the key and what is wrong."""
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r\.yaml") as caught:
        Recipe.load(path)
    assert said in str(caught.value)


def test_no_such_recipe() -> None:
    """The error for an unknown name lists the known ones."""
    with pytest.raises(InputError, match="full, lora"):
        Recipe.load("qlora")


def test_digest() -> None:
    """The digest depends on what changes a result, not on the name or on memory savings."""
    same = FULL.model_copy(
        update={"name": "other", "micro_batch": 2, "gradient_checkpointing": True}
    )
    assert same.digest == FULL.digest
    assert FULL.model_copy(update={"learning_rate": 2e-5}).digest != FULL.digest
    assert (FULL.digest, LORA.digest) == ("8bf475b8783e44ef", "48bc60d3bd6ce0d1")
    assert LORA.model_copy(update={"lora": None}).digest == LORA.digest


def test_frozen() -> None:
    """A recipe cannot be changed."""
    with pytest.raises(ValidationError):
        FULL.learning_rate = 1.0  # type: ignore[misc]
