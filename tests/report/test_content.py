"""What a report says: the numbers of the forecast, at every stage of a run."""

from __future__ import annotations

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_line import labelcast, snapshot
from coslow_runs import MODEL, answered_run
from forecast_helpers import made_up_card

from labelcast.errors import InputError
from labelcast.files.json_files import write_json, write_jsonl
from labelcast.forecast.wording import chance_in_words, ends, labels
from labelcast.labels.session import LabelSession
from labelcast.labels.transfer import import_labels
from labelcast.report.content import gather
from labelcast.report.costs import Prices
from labelcast.report.page import render, write_report
from labelcast.runs import label_store
from labelcast.runs.forecast import answer_run, forecast_run
from labelcast.runs.run import Run
from labelcast.tasks.sources import Record
from labelcast.training.recipe import LINEAR

OBSERVED: dict[str, Any] = {
    "target_score": 0.8,
    "zero_shot": 0.4,
    "observations": [(50, 0.6), (200, 0.7)],
    "observe_size": 300,
}


class Words(HTMLParser):
    """The text of a page, without style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("style", "script"):
            self.parts.append(data)


def words(page: str) -> str:
    parser = Words()
    parser.feed(page)
    return re.sub(r"\s+", " ", " ".join(parser.parts))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return answered_run(tmp_path, facts={"size": 5000})


@pytest.mark.parametrize("asked", [{"target": 0.8}, OBSERVED], ids=["gains", "scores"])
def test_every_number_is_from_the_forecast(run: Run, asked: dict[str, Any]) -> None:
    """Sentence, labels needed, chances, AUC, curve and targets are those of `forecast RUN`."""
    answer, _ = forecast_run(run, **asked)
    content = gather(run, prices=Prices(per_label=0.5))
    assert content.answer == answer
    said = words(render(content))
    assert f"{answer.headline()} {answer.details()}" in said
    assert answer.labels_needed.point is not None
    assert f"${answer.labels_needed.point * 0.5:,.0f}" in said
    assert "A label costs $0.50." in said
    assert answer.basis().split(",")[0].split()[0] in said
    for band in answer.curve:
        assert f"{band.n:,} {band.mean:.3f} {band.low:.3f} {band.high:.3f}" in said
    assert f"{answer.auc.mean:.3f} {answer.auc.low:.3f} to {answer.auc.high:.3f}" in said
    for gain in (0.5, 0.7, 0.8, 0.9, 0.95):
        one = answer_run(run, **(asked | {"target": gain, "target_score": None})).forecast
        needed = one.labels_needed
        most = answer.horizon
        row = f"{labels(needed.point, most)} {ends(needed.low, needed.high, most)} "
        assert f"{gain:.3g} of the gain" in said
        assert row + chance_in_words(needed.reachable) in said
    for warning in content.warnings:
        assert warning in said
    for observed in answer.observations:
        assert f"{observed.score:.3g} at {observed.budget:,}" in said
    assert f"--budget {answer.next_budget}" in said


@pytest.mark.parametrize(
    "asked",
    [
        {"target_score": 80, "zero_shot": 40, "scale": 100, "observations": [(50, 60), (50, 61)]},
        {"target_score": 1.2, "lower_is_better": True, "observations": [(50, 2.1), (200, 1.6)]},
        {"target_score": 0.9, "observations": [(50, 0.6)], "horizon": 40_000, "budget": 30_000},
        {"target": 0.9, "horizon": 500},
    ],
    ids=["of 100", "a loss", "far", "near"],
)
def test_other_scales_and_horizons(run: Run, asked: dict[str, Any]) -> None:
    """The curve is on the user's scale, and the horizon is named wherever it limits a figure."""
    content = gather(run, asked, prices=Prices(per_label=0.5))
    answer, said = content.answer, words(render(content))
    assert f"{answer.headline()} {answer.details()}" in said and answer.budget_sentence() in said
    assert f"Chance that {answer.horizon:,} suffice" in said
    for band in answer.curve:
        figures = " ".join(answer.figure(value) for value in band[1:])
        assert f"{band.n:,} {figures}" in said
    beyond = [row for row in content.targets if row.needed.high is None]
    assert beyond and f"> {answer.horizon:,}" in said
    assert f"> ${answer.horizon * 0.5:,.0f}" in said
    assert answer.horizon == 5000 or "5,000 suffice" not in said


def test_costs_of_the_forecast_are_prices(run: Run) -> None:
    """--label-cost and --run-cost are prices too; the report's own prices take precedence."""
    asked = {"label_cost": 0.5, "run_cost": 7.0}
    costs = gather(run, asked).costs
    assert costs is not None and (costs.of(100), costs.of(None)) == ("$57", "> $2,507")
    assert "One fine-tuning run costs $7.00." in costs.assumed
    costs = gather(run, asked, Prices(per_label=1.0, gpu_hour=2.0, gpu_hours=3.0)).costs
    assert costs is not None and costs.of(100) == "$106"


def test_the_command_repeats_the_forecast(run: Run) -> None:
    """It has every option that was given; scores that it cannot name go into a file."""
    asked: dict[str, Any] = {
        **{"target_score": 20, "scale": 100, "lower_is_better": True, "horizon": 8000},
        **{"label_cost": 0.5, "observations": [(50, 40), (50, 42)], "level": 0.8},
    }
    content = gather(run, asked)
    done = labelcast(*shlex.split(content.commands[-2])[1:], "--json")
    assert done.status == 0, done.err
    assert done.json["curve"] == content.answer.to_dict()["curve"]
    many = gather(run, asked | {"observations": [(50, 40, 2.0)]}).commands[-2]
    assert "--scores SCORES.csv" in many and "--observe " not in many


def test_the_commands_have_what_the_run_records(run: Run) -> None:
    """The draws in their order, and recipe, seed and training set of each score."""
    rows = run.rows("draws.jsonl")
    sets = [("test", 1)] * 2 + [("k-centre", 2)] * 3 + [("random", 3)]
    more = [
        row | {"id": f"more {n}", "index": 300 + n, "set": name, "batch": batch}
        for n, (row, (name, batch)) in enumerate(zip(rows, sets, strict=False))
    ]
    write_jsonl(run.file("draws.jsonl"), [*rows, *more])
    score = {"budget": 50, "score": 0.6, "test_size": 100, "seed": 2}
    given: list[dict[str, Any]] = [
        {"recipe": "full fine-tuning"},
        {"recipe": "LoRA", "train_set": "k-centre"},
        {"recipe": "mine", "seed": None},
        {"recipe": "linear", "recipe_digest": "of linear.yaml", "test_size": 1},
        {"recipe": "linear", "recipe_digest": LINEAR.digest},
    ]
    write_jsonl(run.file("observations.jsonl"), [score | own for own in given])
    found = gather(run)
    expected = [
        *(f"label RUN {rest}" for rest in ("--test 2", "--more 3 --select k-centre", "--more 1")),
        "label RUN",
        "coslow RUN --rank 64 --seed 0",
        "tune RUN --budget 50 --seed 2",
        "tune RUN --budget 50 --set k-centre --recipe LoRA --seed 2",
        "tune RUN --budget 50 --recipe RECIPE.yaml",
        "tune RUN --budget 50 --recipe RECIPE.yaml --seed 2",
        "tune RUN --budget 50 --recipe linear --seed 2",
    ]
    assert list(found.commands[1:-2]) == [
        f"labelcast {text.replace('RUN', str(run.path))}" for text in expected
    ]
    assert "RECIPE.yaml stands for the recipe's file" in words(render(found))
    assert "They score on all 2 test examples that are drawn by now" in words(render(found))


def test_the_commands_have_every_sketch(run: Run) -> None:
    """The number of seeds is repeated, and nothing that the method does not have."""
    digest = run.labels_digest("low")
    run.finish("coslow", labels=digest, method="exact", rank=None, seed=0, seeds=4)
    assert f"labelcast coslow {run.path} --method exact --seed 0 --seeds 4" in gather(run).commands


def test_the_commands_have_the_prices_and_the_dtype(run: Run) -> None:
    """Without them they make another report, or score other confidences."""
    prices = Prices(per_label=0.4, gpu_hour=2.5, gpu_hours=0.5, currency="EUR")
    paid = "--cost-per-label 0.4 --gpu-hour 2.5 --gpu-hours 0.5 --currency EUR"
    found = gather(run, {"target_score": 0.8}, prices).commands
    assert found[-1] == f"labelcast report {run.path} {paid}"
    assert "--dtype float32" in found[0]
    of_scores: dict[str, Any] = {"observations": [(50, 0.7)], "target_score": 0.8}
    assert gather(None, of_scores, prices).commands[0].endswith(paid)


def test_what_the_pool_cannot_give_is_not_asked_for(run: Run, tmp_path: Path) -> None:
    """A smaller test set, or a larger pool where too little is left."""
    drawn = len(run.rows("draws.jsonl"))
    budget = gather(run).answer.next_budget
    assert budget is not None
    for left, says in (
        (budget + 500, f"Draw {budget:,} more examples and a test set of 200"),
        (budget + 50, f"Draw {budget:,} more examples and a test set of 50"),
        (budget + 5, f"The pool has {budget + 5:,} more examples, too few for {budget:,} to train"),
    ):
        folder = tmp_path / str(left)
        folder.mkdir()
        other = answered_run(folder, facts={"size": drawn + left})
        assert gather(other).steps[0].text.startswith(says)


def test_another_loss_has_no_test_size() -> None:
    """`forecast` refuses one, since a loss is no mean of right answers."""
    asked: dict[str, Any] = {"observations": [(50, 1.4), (200, 1.2)]}
    loss, score = {"target_score": 1.0, "lower_is_better": True}, {"target_score": 1.8, "scale": 2}
    for options, sized in ((loss, False), (score, True)):
        [step] = gather(None, asked | options).steps
        assert ("--observe-size M" in step.command) == sized


def test_zero_shot_that_meets_the_target_has_a_report() -> None:
    """It has no other targets, which a zero-shot score alone cannot forecast."""
    content = gather(None, {"zero_shot": 0.9, "target_score": 0.85})
    assert [row.asked for row in content.targets] == [True]


def test_a_forecast_that_cannot_be_repeated_names_the_way_out(run: Run) -> None:
    """A score beyond the last forecast's horizon, measured since."""
    forecast_run(run, horizon=1000)
    row = {"budget": 1500, "score": 0.6, "test_size": 100, "recipe": "full fine-tuning"}
    write_jsonl(run.file("observations.jsonl"), [row])
    with pytest.raises(InputError, match=r"--horizon 1,000 .*`labelcast forecast \S+ \.\.\.`"):
        gather(run)


def test_a_line_that_was_not_used_is_not_shown(run: Run) -> None:
    """A card that leans on the mean of its tasks predicts this mean."""
    for card, used in ((made_up_card(0.0), False), (made_up_card(0.95), True)):
        page = words(render(gather(run, {"calibration": card})))
        assert ("× CoS-Low" in page) is used
        assert (f"the mean of the card's {card.tasks} tasks" in page) is not used


def test_scores_alone_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run, a file of scores gives a report with the same forecast, on any scale."""
    monkeypatch.chdir(tmp_path)
    Path("s.csv").write_text("n,score\n50,60\n50,62\n200,71\n")
    asked = ("--scores", "s.csv", "--scale", 100, "--target-score", 80, "--label-cost", 0.5)
    done = labelcast("report", *asked, "--json")
    assert done.status == 0, done.err
    assert done.json["report"] == "report.html"
    assert done.json["forecast"] == labelcast("forecast", *asked, "--json").json
    said = words(Path("report.html").read_text("utf-8"))
    assert "How many labelled examples will this task need?" in said
    assert "61 at 50" not in said and "62 at 50" in said
    assert "A label costs $0.50." in said
    assert "no gradients" not in said and "The pool's confidence" not in said
    (command,) = re.findall(r"labelcast report --.*?--observe 200=71.0", said)
    again = labelcast(*shlex.split(command)[1:], "--out", "again.html", "--json")
    assert again.json["forecast"] == done.json["forecast"]


def test_neither_run_nor_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to give, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    done = labelcast("report", "--target", 0.8)
    assert done.status == 2 and "--scores FILE" in done.err and "run folder" in done.err
    assert not list(tmp_path.iterdir())


def test_it_repeats_the_last_forecast(run: Run) -> None:
    """Without options it shows the last forecast; with options, a new one."""
    card = "mistral-7b-instruct-v0.3"
    answer, _ = forecast_run(run, calibration=card, target=0.7, level=0.8, budget=100)
    before = snapshot(run.path)
    content = gather(run)
    assert content.answer == answer
    assert content.card is not None
    assert (content.card.name, content.answer.level) == (card, 0.8)
    path, again = write_report(run, asked={"target": 0.5})
    assert again.answer == answer_run(run, target=0.5).forecast
    after = snapshot(run.path)
    assert path.name == "report.html" and after.pop("report.html") and after == before


def test_without_a_forecast_it_uses_the_defaults(run: Run) -> None:
    """A report writes its own file only."""
    before = snapshot(run.path)
    path, content = write_report(run)
    assert content.answer == answer_run(run).forecast
    assert snapshot(run.path).keys() - before.keys() == {path.name}


def test_before_a_forecast_it_says_what_to_do(tmp_path: Path) -> None:
    """Without CoS-Low and scores the error names the steps; one score is enough."""
    run = answered_run(tmp_path, coslow=False)
    done = labelcast("report", run.path)
    assert done.status == 2 and "labelcast coslow" in done.err
    assert not run.file("report.html").exists()
    done = labelcast("report", run.path, "--observe", "50=0.6", "--zero-shot", 0.4, "--json")
    assert done.status == 0
    assert done.json["bytes"] == run.file("report.html").stat().st_size
    said = words(run.file("report.html").read_text("utf-8"))
    assert "no gradients were measured" in said


def test_a_run_without_its_examples_is_enough(run: Run) -> None:
    """Confidences, draws and labels may be missing."""
    for name in ("confidence.parquet", "draws.jsonl", "labels.jsonl", "gram.npy"):
        run.file(name).unlink()
    content = gather(run)
    said = words(render(content))
    assert "the pool was not scored in this run" in said
    assert content.answer.headline() in said


def test_what_is_wrong_with_a_run_is_reported(run: Run) -> None:
    """Labels that have changed are a warning; a damaged file is an error."""
    rows = run.rows("labels.jsonl")
    write_jsonl(run.file("labels.jsonl"), [rows[0] | {"intent": "login"}, *rows[1:-1]])
    content = gather(run)
    assert "labels have changed" in content.warnings[0]
    assert content.steps[0].command == f"labelcast coslow {run.path}"
    assert content.labelled is not None and content.labelled.count == 31
    run.file("gram.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(InputError, match=r"gram.npy: damaged. Run `labelcast coslow"):
        gather(run)


def test_notes_are_beside_their_examples(run: Run) -> None:
    """Notes, doubts and the time per label, if the label page kept them."""
    ids = [row["id"] for row in run.rows("labels.jsonl")]
    remarks = [
        {"id": ids[0], "note": "two wishes", "unsure": True, "skipped": False, "seconds": 4},
        {"id": ids[1], "note": "", "unsure": False, "skipped": True, "seconds": 8.0},
        {"id": "gone"},
    ]
    write_jsonl(run.file("remarks.jsonl"), remarks)
    known = label_store.known_answers(run)
    label_store.save_labels(run, {key: known[key] for key in ids if key != ids[1]})
    labelled = gather(run).labelled
    assert labelled is not None
    assert labelled.rows[0].unsure and labelled.rows[0].note == "two wishes"
    assert (labelled.skipped, labelled.seconds) == (1, 6.0)


def test_costs_are_those_of_the_labels(run: Run) -> None:
    """Labels times their price, and one run; the assumptions are written."""
    costs = gather(run, prices=Prices(0.5, 2.0, 3.0, "EUR")).costs
    assert costs is not None
    assert (costs.of(1000), costs.of(0), costs.of(None)) == ("506 EUR", "0 EUR", "> 2,506 EUR")
    assert costs.between(100, None) == "56 EUR to > 2,506 EUR"
    assert "takes 3 GPU hours (as given) at 2.00 EUR per hour" in costs.assumed[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cost-per-label", -1], "--cost-per-label -1"),
        (["--cost-per-label", "nan"], "--cost-per-label nan"),
        (["--gpu-hour", 2], "--gpu-hours"),
        (["--gpu-hours", 2], "--gpu-hour"),
        (["--cost-per-label", 1, "--currency", "a long word"], "--currency"),
        (["--out", "."], "a folder"),
        (["--out", "report.pdf"], "a report is HTML"),
        (["--target", 2], "--target"),
    ],
)
def test_wrong_options_are_named(run: Run, options: list[object], says: str) -> None:
    """The message names the option, and nothing is written."""
    done = labelcast("report", run.path, *options)
    assert done.status == 2 and says in done.err and "Traceback" not in done.err
    assert not run.file("report.html").exists()


def test_it_replaces_only_reports(run: Run, tmp_path: Path) -> None:
    """--out does not overwrite another file; an older report is replaced by the same bytes."""
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html><p>mine")
    done = labelcast("report", run.path, "--out", mine)
    assert done.status == 2 and "is not a labelcast report" in done.err
    assert mine.read_text() == "<!doctype html><p>mine"
    written = []
    for _ in range(2):
        assert labelcast("report", run.path, "--out", tmp_path / "new/r.html").status == 0
        written.append((tmp_path / "new/r.html").read_bytes())
    assert written[0] == written[1]


def test_hours_are_measured_only_on_a_gpu(tmp_path: Path) -> None:
    """The seconds of fine-tuning runs on a GPU are used; earlier rows trained where the run was."""
    row = {"budget": 50, "score": 0.6, "test_size": 100, "recipe": "full", "seconds": 1800}
    of_run: list[tuple[str, dict[str, str], bool]] = [("cuda:0", {}, True), ("cpu", {}, False)]
    of_row = [("cpu", {"device": "cuda"}, True), ("cuda", {"device": "cpu"}, False)]
    for number, (device, own, works) in enumerate([*of_run, *of_row]):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = answered_run(folder, facts={"device": device})
        write_jsonl(run.file("observations.jsonl"), [row | own])
        prices = Prices(gpu_hour=4.0)
        if works:
            content = gather(run, prices=prices)
            assert content.costs is not None and content.costs.training == 2.0
            assert "the mean of 1 measured run" in content.costs.assumed[0]
            (tuned,) = content.tuned
            assert (tuned.budget, tuned.score, tuned.seconds) == (50, 0.6, 1800.0)
        else:
            with pytest.raises(InputError, match="--gpu-hours"):
                gather(run, prices=prices)


def test_an_edited_report_is_not_replaced(tmp_path: Path) -> None:
    """A report as it was written is replaced; edited ones and other files only with --force."""
    path = tmp_path / "r.html"
    words = ("report", "--observe", "50=0.7", "--target-score", 0.9, "--out", path)
    for _ in range(2):
        assert labelcast(*words).status == 0
    text = path.read_text().replace("</h1>", ", my own</h1>", 1)
    for content in (text, "mine"):
        path.write_text(content)
        done = labelcast(*words)
        assert done.status == 2 and "--force" in done.err
        assert path.read_text() == content
    assert labelcast(*words, "--force").status == 0
    (tmp_path / "run.json").touch()
    done = labelcast(*words[:-1], tmp_path / "labels.jsonl")
    assert done.status == 2 and "belongs to labelcast" in done.err


def test_answers_of_the_pool_are_not_taken_for_a_persons(tmp_path: Path) -> None:
    """They have no time, and the commands name the field; the embedded model is not on the hub."""
    run = answered_run(tmp_path, facts={"model": MODEL | {"name": "smollm2", "hub_id": "smollm2"}})
    ids = [row["id"] for row in run.rows("labels.jsonl")]
    write_jsonl(run.file("remarks.jsonl"), [{"id": key, "seconds": 2.0} for key in ids])
    by_hand = render(gather(run))
    assert "2 s each by hand" in by_hand and "Hub id" not in by_hand
    write_json(run.file("gold.json"), {"field": "the field", "ids": ids})
    content = gather(run)
    assert f"labelcast label {run.path} --gold 'the field'" in content.commands
    assert "with the answers in the pool" in render(content)
    assert "s each by hand" not in render(content)


def test_an_answer_of_the_pool_that_a_person_changes_is_theirs(tmp_path: Path) -> None:
    """By hand or by an import, which also ends a skip."""
    run = answered_run(tmp_path)
    one, two, three, *_ = run.rows("labels.jsonl")
    write_json(run.file("gold.json"), {"field": "f", "ids": [row["id"] for row in (one, two)]})
    known = label_store.known_answers(run)
    label_store.save_labels(run, {k: v for k, v in known.items() if k != three["id"]})
    session = LabelSession(run)
    session.skip(three["id"], seen=session.snapshot().item(three["id"]).entry.version)
    before = gather(run).labelled
    assert before is not None and (before.gold, before.skipped) == (2, 1)
    answers, name = session.task.answers, session.task.answer
    changed = {key: next(a for a in answers if a != known[key]) for key in (one["id"], two["id"])}
    seen = session.snapshot().item(one["id"]).entry.version
    session.label(one["id"], changed[one["id"]], seen=seen)
    rows = [{"id": two["id"], name: changed[two["id"]]}]
    rows.append({"id": three["id"], name: known[three["id"]]})
    import_labels(run, [Record(n, f"row {n}", row) for n, row in enumerate(rows)])
    after = gather(run).labelled
    assert after is not None and (after.gold, after.skipped) == (0, 0)
