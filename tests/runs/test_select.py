"""Choosing examples of a pool or a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import TASK, run_of
from example_selectors import ByTask, LongestAnswers, Middle, Outliers, Unsure
from small_encoders import save_encoder

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.encoder import Encoder
from labelcast.models.loading import LanguageModel, load_encoder
from labelcast.runs.select import SelectedExample, check_selection_file, select, write_selection
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection, Selector, least
from labelcast.selection.signals import PART
from labelcast.tasks.task import Task

OPEN = Task.parse("{name: t, instruction: Say it., inputs: [text], answer: y}")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A small random encoder."""
    return load_encoder(str(save_encoder(tmp_path_factory.mktemp("encoder"))))


def texts(size: int) -> list[dict[str, Any]]:
    return [{"text": f"{'word ' * (n % 5)}{n}"} for n in range(size)]


def indices(found: list[SelectedExample]) -> list[int]:
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    return [one.index for one in found]


class Counter:
    """Counts the examples of each signal that is computed."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.done: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.stop_after = stop_after

    def __call__(self, name: str, count: int) -> Callable[[int], None]:
        """The progress of a signal."""
        self.asked[name] = count

        def progress(done: int) -> None:
            self.done[name] = self.done.get(name, 0) + done
            if self.stop_after is not None and self.done[name] >= self.stop_after:
                raise KeyboardInterrupt

        return progress


def test_random_needs_no_model() -> None:
    """The same seed chooses the same, another one something else."""
    found = select(texts(30), 10, task=OPEN)
    assert len(set(indices(found))) == 10
    assert select(texts(30), 10, task=OPEN) != select(texts(30), 10, task=OPEN, seed=1)
    assert indices(select(texts(30), 10, task=OPEN)) == indices(found)
    assert indices(select(texts(1), 1, task=OPEN)) == [0]


@pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")
def test_duplicates_are_chosen_once(encoder: Encoder) -> None:
    """The first of each content can be chosen; more than there are contents is an error."""
    pool = [*texts(4), *texts(6), *texts(4)]
    for method in ("random", Outliers()):
        found = select(pool, 6, method=method, task=OPEN, model=encoder)
        assert sorted(indices(found)) == [0, 1, 2, 3, 8, 9]
    with pytest.raises(InputError, match="--n 7: more than the pool's 6 examples"):
        select(pool, 7, task=OPEN)
    assert indices(select([{"text": "same"}] * 5, 1, method=Outliers(), task=OPEN, model=encoder))


def test_embeddings_of_a_task_without_answers(encoder: Encoder) -> None:
    """An encoder embeds them; its confidence needs answers."""
    found = select(texts(20), 5, method=Outliers(), task=OPEN, model=encoder)
    values = [one.value for one in found]
    assert values == sorted(values, reverse=True)
    assert select(texts(20), 5, method=Outliers(), task=OPEN, model=encoder) == found
    with pytest.raises(InputError, match=r"chooses among allowed answers.*lists none"):
        select(texts(20), 5, method=Unsure(), task=OPEN, model=encoder)


def test_a_killed_signal_is_resumed(encoder: Encoder, tmp_path: Path) -> None:
    """Only the parts that are missing are computed, and the choice is the same."""
    pool = texts(PART + 300)
    options: dict[str, Any] = {"method": Outliers(), "task": OPEN, "model": encoder}
    straight = select(pool, 7, **options)
    with pytest.raises(KeyboardInterrupt):
        select(pool, 7, **options, signals=tmp_path, on_signal=Counter(stop_after=PART + 1))
    assert not list(tmp_path.glob("*.safetensors"))
    rest = Counter()
    assert select(pool, 7, **options, signals=tmp_path, on_signal=rest) == straight
    assert rest.asked == rest.done == {"embeddings": 300}
    again = Counter()
    assert select(pool, 7, **options, signals=tmp_path, on_signal=again) == straight
    assert not again.asked


def test_a_run_has_the_pool_the_task_and_the_confidence(tmp_path: Path) -> None:
    """No model is loaded for what the run has; prompts that are too long are not chosen."""
    rows = [{"text": f"text {n}", "more": n} for n in range(20)]
    run = run_of(tmp_path, rows, 4, TASK)
    for pool in (run, run.path, str(run.path)):
        assert indices(select(pool, 3, method=Unsure())) == [0, 1, 2]
        assert len(indices(select(pool, 20))) == 20
    with pytest.raises(InputError, match="has a task of its own"):
        select(run, 3, task=TASK)
    (tmp_path / "pool.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(InputError, match="the pool has changed"):
        select(run, 1)


def test_methods_share_the_signals_of_a_run(encoder: Encoder, tmp_path: Path) -> None:
    """The second method computes nothing."""
    run = run_of(tmp_path, [{"text": f"{n} text", "more": n} for n in range(20)], 4, TASK)
    first, second = Counter(), Counter()
    far = select(run, 20, method=Outliers(), model=encoder, on_signal=first)
    near = select(run, 20, method=Middle(), model=encoder, on_signal=second)
    assert first.done == {"embeddings": 20}
    assert not second.asked
    assert indices(far)[0] == indices(near)[-1]
    assert [path.parent.name for path in run.path.rglob("embeddings-*")] == ["signals"]


def test_tasks_of_the_pool(tmp_path: Path) -> None:
    """They are in a field; the message says what is missing where."""
    pool: list[dict[str, Any]] = [{"text": f"t{n}", "kind": "ab"[n > 2]} for n in range(6)]
    assert sorted(indices(select(pool, 2, method=ByTask(), task=OPEN, group_by="kind"))) == [0, 3]
    with pytest.raises(InputError, match=r"by-task needs task ids.*--group-by FIELD"):
        select(pool, 2, method=ByTask(), task=OPEN)
    with pytest.raises(InputError, match=r"--group-by: pool, record 1: no field 'nope'"):
        select(pool, 2, method=ByTask(), task=OPEN, group_by="nope")
    pool[4]["kind"] = None
    with pytest.raises(InputError, match=r"--group-by: pool, record 5, field 'kind'.*missing"):
        select(pool, 2, method=ByTask(), task=OPEN, group_by="kind")
    pool[4]["kind"] = " "
    with pytest.raises(InputError, match=r"--group-by: pool, record 5, field 'kind': blank"):
        select(pool, 2, method=ByTask(), task=OPEN, group_by="kind")
    del pool[4]["kind"]
    with pytest.raises(InputError, match=r"record 5: no field '"):
        select(pool, 2, method=ByTask(), task=OPEN, group_by="kind")


def test_answers_and_a_target_set(tmp_path: Path) -> None:
    """A method that needs answers refuses a pool or a target without them."""
    pool: list[dict[str, Any]] = [{"text": f"t{n}", "y": "x" * (n + 1)} for n in range(6)]
    target = tmp_path / "target.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in pool[2:4]))
    chosen: dict[str, Any] = {"method": LongestAnswers(), "task": OPEN}
    found = select(pool, 2, **chosen, target=target)
    assert [(one.index, one.value) for one in found] == [(3, 4), (2, 3)]
    with pytest.raises(InputError, match=r"needs a target set.*--target FILE"):
        select(pool, 2, **chosen)
    del pool[5]["y"]
    with pytest.raises(InputError, match="record 6: no field 'y'"):
        select(pool, 2, **chosen, target=target)
    target.write_text('{"text": "t"}\n')
    with pytest.raises(InputError, match=r"target.jsonl line 1: no field 'y'"):
        select(pool[:5], 2, **chosen, target=target)


def test_a_missing_model_is_named() -> None:
    """With the way out."""
    with pytest.raises(InputError, match=r"outliers needs embeddings.*--model minilm"):
        select(texts(5), 2, method=Outliers(), task=OPEN)


def test_another_model_than_the_run_has_its_own_signals(
    tiny: LanguageModel, tmp_path: Path
) -> None:
    """The confidences that the run stores are not used."""
    run = run_of(tmp_path, [{"text": f"{n} text", "more": n} for n in range(6)], 2, TASK)
    seen = Counter()
    select(run, 2, method=Unsure(), model=tiny, on_signal=seen)
    assert seen.done == {"confidence": 6}


def test_a_file_of_another_kind_is_kept(tmp_path: Path) -> None:
    """A selection is replaced; a shortened one, an edited one or another file only by force."""
    file = tmp_path / "new" / "selected.jsonl"
    found = select(texts(9), 4, task=OPEN)
    for n in (2, 4):
        write_selection(file, found[:n])
        assert len(file.read_text().splitlines()) == n
    rows = file.read_text().splitlines(keepends=True)
    shortened = [rows[0] + rows[1], rows[1], rows[0][:-2] + ', "y": 1}']
    for other in (*shortened, "", "mine", '{"id": "a"}\n', "\xff"):
        file.write_bytes(other.encode("latin-1"))
        with pytest.raises(InputError, match=r"already exists and is not a selection.*--force"):
            write_selection(file, found)
        assert file.read_bytes() == other.encode("latin-1")
    write_selection(file, found, force=True)
    check_selection_file(file)
    with pytest.raises(InputError, match="standard output is not a file"):
        check_selection_file(Path("-"))
    with pytest.raises(InputError, match="this is a folder"):
        check_selection_file(tmp_path, force=True)
    run = run_of(tmp_path, [{"text": "a", "more": 1}, {"text": "b", "more": 2}], 1, TASK)
    with pytest.raises(InputError, match="belongs to labelcast"):
        check_selection_file(run.file("selected.jsonl"))


def test_blank_records_count_in_the_index(tmp_path: Path) -> None:
    """The index is the record's place in the user's file."""
    rows = [{"text": text, "more": n} for n, text in enumerate(("", "a", "b", " ", "c"))]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(LabelcastWarning, match="2 of 5 records have no text"):
        found = select(data, 3, task=OPEN)
    assert sorted(one.index for one in found) == [1, 2, 4]


def test_a_method_without_a_model_gets_the_text(tmp_path: Path) -> None:
    """As the prompt of an example; with a model it is the model's own."""

    class Longest:
        name, needs = "longest", frozenset[Need]()

        def select(self, pool: Pool, n: int, seed: int) -> Selection:
            lengths = [len(example.prompt) for example in pool.examples]
            return least(-np.array(lengths, float), n)

    assert select(texts(9), 1, task=OPEN, method=Longest())[0].index == 4
    turns = [{"role": "user", "content": "word " * 9}]
    assert select([*texts(3), {"text": turns}], 1, task=OPEN, method=Longest())[0].index == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n": 2.5}, "--n 2.5: a whole number from 1"),
        ({"n": True}, "--n True: a whole number from 1"),
        ({"seed": -1}, "--seed -1: a whole number from 0"),
        ({"method": Selector}, "a name or a `Selector` object is needed"),
        ({"method": None}, "a name or a `Selector` object is needed"),
        ({"signals": __file__}, r"--signals .*: a file, but a folder is needed"),
    ],
)
def test_wrong_arguments(asked: dict[str, Any], said: str) -> None:
    """Each has a message of its own."""
    with pytest.raises(InputError, match=said):
        select(texts(9), **{"n": 2, "task": OPEN, **asked})


def test_duplicates_are_reported() -> None:
    """As a warning."""
    with pytest.warns(LabelcastWarning, match="2 examples of the pool are duplicates"):
        select([*texts(3), *texts(2)], 3, task=OPEN)


def test_a_value_that_is_no_number_is_null(encoder: Encoder, tmp_path: Path) -> None:
    """The first of k-centre has no distance, which JSON could not say."""
    found = select(["One.", "Two.", "Three."], 2, method="k-centre", model=encoder)
    file = tmp_path / "selected.jsonl"
    write_selection(file, found)
    values = [json.loads(line)["value"] for line in file.read_text().splitlines()]
    assert values[0] is None and values[1] > 0


def test_the_runs_own_model_under_another_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path, also in a run of an earlier version, is the same model: none is loaded."""
    run = run_of(tmp_path, [{"text": f"{n} text", "more": n} for n in range(6)], 2, TASK)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    content = json.loads((run.path / "run.json").read_text())
    for name in ("m", str(tmp_path / "m")):
        content["facts"]["model"]["name"] = name
        (run.path / "run.json").write_text(json.dumps(content))
        for given in ("m", str(tmp_path / "m")):
            assert indices(select(run.path, 3, method=Unsure(), model=given)) == [0, 1, 2]
