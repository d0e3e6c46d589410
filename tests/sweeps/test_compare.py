"""`labelcast.sweeps.compare`: candidates, what is refused, chances and costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from small_comparisons import DIGEST, TASK, make_sweep, select_sweep

from labelcast.errors import InputError
from labelcast.forecast.chances import LOG_LABELS, Chances
from labelcast.report.comparison import plot_comparison, save_comparison
from labelcast.runs.records import RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.sweeps.compare import compare
from labelcast.sweeps.pairs import Pair, chance_of_fewer


def make_run(folder: Path, *recipes: str, digest: str | None = DIGEST) -> Path:
    """A run with made-up scores of some recipes."""
    question = RunQuestion(
        task=TASK,
        pool_digest="p",
        model_fingerprint="f",
        dtype="torch.float32",
        n_label=2,
        seed=0,
        max_new_tokens=3,
    )
    model = {"name": "m", "fingerprint": "f"}
    run = Run.create(folder, question, RunFacts.model_validate({"size": 500, "model": model}))
    rows = [
        {"budget": budget, "score": score, "test_size": 500, "metric": "accuracy", "seed": 1}
        | {"recipe": recipe, "test_digest": digest}
        for recipe in recipes
        for budget, score in ((0, 0.55), (50, 0.6), (100, 0.68))
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    run.file("observations.jsonl").write_text(text)
    return folder


def test_better_curve_needs_fewer(tmp_path: Path) -> None:
    """The better candidate comes first; a cost is that of the labels and one training run."""
    good, poor = make_sweep(tmp_path / "good", 0.34), make_sweep(tmp_path / "poor", 0.24)
    found = compare(
        {"g": good, "p": poor}, target_score=0.77, budget=400, label_cost=0.5, gpu_hour=2.0
    )
    first, second = found.candidates
    assert first.labels is not None and second.labels is not None
    assert first.labels < second.labels
    assert first.low is not None and first.high is not None
    assert first.low <= first.labels <= first.high
    assert first.cost is not None
    assert first.cost.total == pytest.approx(0.5 * first.labels + 2.0 * 36 / 3600)
    assert first.at_budget is not None and second.at_budget is not None
    assert first.at_budget.mean > second.at_budget.mean
    [pair] = found.pairs
    assert pair.fewer > 0.9 and pair.fewer + pair.more <= 1
    assert [gap.budget for gap in pair.differences] == [50, 100, 200]
    # The noise is the same for both, and cancels.
    gap = pair.differences[-1]
    assert gap.low is not None and gap.high is not None
    assert gap.mean == pytest.approx(0.1 * 200 / 280) and gap.high - gap.low < 1e-9
    assert pair.correlation > 0.3
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["pairs"][0]["differences"][0]["seeds"] == 3
    assert content["candidates"][0]["measured"][0] == {"budget": 0, "score": pytest.approx(0.55)}


def test_all_candidates_have_one_horizon(tmp_path: Path) -> None:
    """By default four times the most labels of any, so that labels can be compared."""
    paths = [make_sweep(tmp_path / "a", 0.3), make_sweep(tmp_path / "b", 0.28)]
    for name in ("scores.jsonl", "sweep.json"):
        file = paths[1] / name
        file.write_text(re.sub(r"\b200\b", "2000", file.read_text()))
    assert {one.horizon for one in compare(paths, target_score=0.77).candidates} == {8000}


def test_a_candidate_that_lacks_budgets_is_named(tmp_path: Path) -> None:
    """A sweep that was interrupted has fewer large budgets."""
    folder = select_sweep(tmp_path / "s", {"random": 0.3, "typical": 0.3})
    file = folder / "scores.jsonl"
    rows = file.read_text().splitlines(keepends=True)
    kept = [r for r in rows if '"typical"' not in r or json.loads(r)["budget"] < 200]
    file.write_text("".join(kept))
    found = compare(str(folder), target_score=0.8)
    notes = {one.selector: one.warnings for one in found.candidates}
    uneven = "no score at 200 labels, where others have one, so the comparison is uneven"
    assert (uneven in notes["typical"], uneven in notes["random"]) == (True, False)


def test_order_of_candidates(tmp_path: Path) -> None:
    """The other way round, the chances change places."""
    paths = {"a": make_sweep(tmp_path / "a", 0.3), "b": make_sweep(tmp_path / "b", 0.28)}
    pairs: list[Pair] = []
    for names in ("ab", "ba"):
        pairs += compare({name: paths[name] for name in names}, target_score=0.77).pairs
    assert pairs[0].fewer == pytest.approx(pairs[1].more, abs=0.02)


def test_selectors_of_one_sweep(tmp_path: Path) -> None:
    """Each is a candidate; the better one saves labels, and the differences are those measured."""
    lifts = {"random": 0.24, "worse": 0.2, "better": 0.34}
    found = compare([select_sweep(tmp_path / "s", lifts)], target_score=0.77)
    assert [(one.name, one.selector) for one in found.candidates] == [(n, n) for n in lifts]
    assert len(found.pairs) == 3
    # Zero-shot counts for each.
    assert all(one.measured[0] == pytest.approx(0.55) for one in found.candidates)
    better, worse = found.savings
    assert (better.name, better.baseline, worse.name) == ("better", "random", "worse")
    assert better.low <= better.saved <= better.high and better.saved > 0 > worse.saved
    assert better.chance > 0.9 and worse.chance < 0.5
    assert better.chance == found.pairs[1].more
    gap = better.differences[-1]
    assert gap.mean == pytest.approx(0.1 * 200 / 280)
    assert gap.low is not None and gap.high is not None
    assert gap.low <= gap.mean <= gap.high
    drawn, _, chosen = found.candidates
    assert not any("prior" in warning for warning in drawn.warnings)
    assert any("better chose the labels" in warning for warning in chosen.warnings)
    assert any("at 200 labels it scored +0.071" in warning for warning in chosen.warnings)
    assert found.unsaved_pairs() == []
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["savings"][0]["differences"][-1]["seeds"] == 3
    assert plot_comparison(found).to_dict()["layer"]


def test_without_random_labels_our_own_measurements_are_quoted(tmp_path: Path) -> None:
    """Of a method that has them."""
    found = compare([select_sweep(tmp_path / "s", {"typical": 0.3, "x": 0.3})], target_score=0.77)
    typical, other = found.candidates
    assert any("typical with 200 labels scored" in warning for warning in typical.warnings)
    assert any("no curve of labels that x chose" in warning for warning in other.warnings)


def test_the_order_of_selectors(tmp_path: Path) -> None:
    """With random last, the same is saved."""
    saved = []
    for number, lifts in enumerate(({"random": 0.24, "x": 0.3}, {"x": 0.3, "random": 0.24})):
        found = compare([select_sweep(tmp_path / str(number), lifts)], target_score=0.77)
        [saving] = found.savings
        assert [gap.mean > 0 for gap in saving.differences] == [True] * 3
        saved.append(saving)
    assert saved[0].chance == pytest.approx(saved[1].chance, abs=0.02)
    assert saved[0].saved == pytest.approx(saved[1].saved, rel=0.1)


def test_a_selector_that_equals_random(tmp_path: Path) -> None:
    """It saves nothing, and as likely needs more."""
    lifts = {"random": 0.3, "same": 0.3}
    [saving] = compare([select_sweep(tmp_path / "s", lifts)], target_score=0.77).savings
    assert abs(saving.saved) <= 2
    assert saving.chance == pytest.approx(0.5, abs=0.05)
    assert [gap.mean for gap in saving.differences] == [0, 0, 0]


def test_a_target_out_of_reach(tmp_path: Path) -> None:
    """Each counts as many labels as the horizon, so nothing is saved."""
    lifts = {"random": 0.02, "other": 0.02}
    found = compare([select_sweep(tmp_path / "s", lifts)], target_score=0.99)
    [saving] = found.savings
    assert found.candidates[0].labels is None
    assert saving.saved == 0 and -5000 <= saving.low <= saving.high <= 5000


def test_selectors_of_labelled_pools(tmp_path: Path) -> None:
    """Their examples are shown apart from labels that are bought, and no label costs anything."""
    lifts = {"random": 0.24, "before": 0.3, "after": 0.34}
    folder = select_sweep(tmp_path / "s", lifts, ["after"])
    found = compare([folder], target_score=0.77, label_cost=0.5)
    first, second = found.groups()
    assert (first.unit, [one.name for one in first.candidates]) == ("labels", ["random", "before"])
    assert (second.unit, [one.name for one in second.candidates]) == (
        "examples",
        ["random", "after"],
    )
    assert [one.name for one in second.savings] == ["after"]
    assert [one.cost is None for one in found.candidates] == [False, False, True]


def test_selectors_beside_other_sweeps(tmp_path: Path) -> None:
    """Names say the sweep; a selector is compared with random labels of its own recipe."""
    one = select_sweep(tmp_path / "one", {"random": 0.24, "x": 0.3})
    two = make_sweep(tmp_path / "two", 0.3)
    content = json.loads((two / "sweep.json").read_text()) | {"recipe_digest": "other"}
    (two / "sweep.json").write_text(json.dumps(content))
    found = compare({"one": one, "two": two}, target_score=0.77)
    assert [each.name for each in found.candidates] == ["one, random", "one, x", "two"]
    [saving] = found.savings
    assert (saving.name, saving.baseline) == ("one, x", "one, random")
    assert len(found.unsaved_pairs()) == 2


def test_a_lead_of_other_weights_is_no_saving(tmp_path: Path) -> None:
    """A model that was trained from another has its fingerprint, but is another model."""
    one = make_sweep(tmp_path / "one", 0.24)
    two = select_sweep(tmp_path / "two", {"x": 0.3})
    content = json.loads((two / "sweep.json").read_text())
    for name, savings in (("m", 1), ("models/m", 1), ("models/trained", 0)):
        content["model"]["name"] = name
        (two / "sweep.json").write_text(json.dumps(content))
        assert len(compare([one, two], target_score=0.77).savings) == savings


def test_a_selector_that_ignores_the_seed(tmp_path: Path) -> None:
    """Its equal scores count once: three seeds say no more than one."""
    found = []
    for seeds in ((0, 1, 2), (0,)):
        folder = select_sweep(tmp_path / str(len(seeds)), {"random": 0.24, "x": 0.3})
        rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
        for row in rows:
            if row.get("selector") == "x":
                row["score"] = 0.55 + 0.3 * row["budget"] / (row["budget"] + 80)
        kept = [row for row in rows if row.get("selector") != "x" or row["seed"] in seeds]
        (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
        found.append(compare([folder], target_score=0.77).candidates[1])
    assert (found[0].labels, found[0].high) == (found[1].labels, found[1].high)
    assert any("the same with every seed" in each for each in found[0].warnings)


def test_a_selector_without_scores(tmp_path: Path) -> None:
    """It is left out, and this is said."""
    folder = select_sweep(tmp_path / "s", {"random": 0.24, "x": 0.3, "failed": 0.1})
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    for row in rows:
        if row.get("selector") == "failed":
            row |= {"score": None, "error": "no luck"}
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare([folder], target_score=0.77)
    assert [one.name for one in found.candidates] == ["random", "x"]
    assert any("left out" in each and "failed" in each for each in found.candidates[0].warnings)


def test_runs(tmp_path: Path) -> None:
    """A run counts once for each recipe, and beside a sweep on the same test set."""
    run = make_run(tmp_path / "run", "linear", "full")
    sweep = make_sweep(tmp_path / "sweep", 0.3)
    found = compare({"run": run, "sweep": sweep}, target_score=0.75)
    assert [one.name for one in found.candidates] == ["run, linear", "run, full", "sweep"]
    # Their scores are the same, but a frozen model may never learn.
    frozen, full, _ = found.candidates
    assert frozen.reachable < full.reachable
    assert len(found.pairs) == 3
    # Seed 1 is the only one that a run and the sweep share.
    gap = found.pairs[1].differences[0]
    assert (gap.seeds, gap.low) == (1, None)


def test_run_with_two_recipes_of_one_name(tmp_path: Path) -> None:
    """Recipes with other settings are not mixed, even where they have the same name."""
    file = make_run(tmp_path / "run", "mine") / "observations.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [row | {"recipe_digest": digest} for digest in ("aa", "bb") for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare([tmp_path / "run"], target_score=0.75)
    names = [one.name.rpartition(", ")[2] for one in found.candidates]
    assert names == ["mine aa", "mine bb"]


def test_the_training_sets_of_a_run_are_told_apart(tmp_path: Path) -> None:
    """Labels that a method chose are another candidate, compared with the random ones."""
    file = make_run(tmp_path / "run", "linear") / "observations.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    chosen = [row | {"train_set": "k-centre", "score": 0.6} for row in rows if row["budget"]]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *chosen]))
    found = compare({"run": tmp_path / "run"}, target_score=0.75)
    assert [one.name for one in found.candidates] == ["run, random", "run, k-centre"]
    assert len(found.candidates[1].measured) == len(found.candidates[0].measured)
    assert found.candidates[1].measured[rows[-1]["budget"]] == pytest.approx(0.6)
    assert [saving.baseline for saving in found.savings] == ["run, random"]


def test_refused(tmp_path: Path) -> None:
    """What cannot be compared is refused, with the reason."""
    one = make_sweep(tmp_path / "one", 0.3)
    others = {
        "different test sets": make_sweep(tmp_path / "two", 0.3, digest="f" * 16),
        "metrics are accuracy and macro_f1": make_sweep(tmp_path / "f1", 0.3, metric="macro_f1"),
        "Give --task: t, u": make_sweep(tmp_path / "several", 0.3, tasks=("t", "u")),
        "test set is unknown": make_run(tmp_path / "run", "linear", digest=None),
        "no score after training": make_run(tmp_path / "bare"),
        "neither a sweep": tmp_path,
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=message):
            compare([one, other], target_score=0.8)
    with pytest.raises(InputError, match="two candidates"):
        compare([one], target_score=0.8)
    with pytest.raises(InputError, match="twice"):
        compare([one, one], target_score=0.8)
    with pytest.raises(InputError, match="--label-cost"):
        compare([one, others["different test sets"]], target_score=0.8, label_cost=-1.0)
    found = compare([one, others["Give --task: t, u"]], target_score=0.8, task="t")
    assert len(found.candidates) == 2


def test_chance_of_fewer() -> None:
    """Against the exact chance for independent labels; neither counts if both are out of reach."""
    steps = np.clip((LOG_LABELS - 3) / 4, 0, 1)
    wide, later = Chances(steps), Chances(np.clip((LOG_LABELS - 4) / 4, 0, 1))
    fewer, more = chance_of_fewer(wide, later, 10**6)
    assert fewer == pytest.approx(1 - 0.75**2 / 2, abs=0.01)
    assert fewer + more == pytest.approx(1, abs=0.02)
    # With labels in the same order the earlier one always needs fewer.
    assert chance_of_fewer(wide, later, 10**6, 0.999)[0] > 0.99
    assert chance_of_fewer(wide, later, 2) == (0.0, 0.0)
    assert chance_of_fewer(None, later, 10**6) == (1.0, 0.0)


def test_chart(tmp_path: Path) -> None:
    """The chart has every candidate; other file names are refused."""
    paths = {name: make_sweep(tmp_path / name, 0.3) for name in ("a", "b")}
    found = compare(paths, target_score=0.7)
    assert plot_comparison(found).to_dict()["layer"]
    save_comparison(found, tmp_path / "c.svg")
    assert "<svg" in (tmp_path / "c.svg").read_text()
    with pytest.raises(InputError, match=r"\.svg"):
        save_comparison(found, tmp_path / "c.pdf")


def test_a_name_cannot_end_the_script_of_a_chart(tmp_path: Path) -> None:
    """Names may come from the files of others."""
    bad = "</script><script>alert(1)</script>"
    paths = {bad: make_sweep(tmp_path / "a", 0.3), "b": make_sweep(tmp_path / "b", 0.2)}
    save_comparison(compare(paths, target_score=0.7), tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    assert "<script>alert" not in page and "\\u003cscript>alert" in page
