"""Scores from files that people have: tables with their own names, and evaluation logs."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command_line import check_message, labelcast

import labelcast as lc
from labelcast.errors import InputError
from labelcast.forecast.given_scores import Scale
from labelcast.forecast.score_files import read_files

HARNESS: dict[str, Any] = {
    "results": {
        "arc_easy": {"alias": "arc_easy", "acc,none": 0.7, "acc_stderr,none": 0.0145},
    },
    "n-samples": {"arc_easy": {"original": 2376, "effective": 1000}},
    "higher_is_better": {"arc_easy": {"acc": True}},
}
INSPECT: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"task": "lib/arc_easy", "model": "m"},
    "results": {
        "total_samples": 1000,
        "completed_samples": 1000,
        "scores": [
            {
                "name": "choice",
                "scorer": "choice",
                "metrics": {
                    "accuracy": {"name": "accuracy", "value": 0.7},
                    "stderr": {"name": "stderr", "value": 0.0145},
                },
            }
        ],
    },
}
EVER: dict[str, Any] = {
    "schema_version": "0.2.1",
    "evaluation_id": "x",
    "evaluation_results": [
        {
            "evaluation_name": "arc_easy",
            "metric_config": {"lower_is_better": False, "min_score": 0, "max_score": 1},
            "score_details": {
                "score": 0.7,
                "uncertainty": {"standard_error": {"value": 0.0145}, "num_samples": 1000},
            },
        }
    ],
}
LOGS = {"harness": HARNESS, "inspect": INSPECT, "every eval ever": EVER}


def written(folder: Path, content: object, name: str = "log.json") -> Path:
    """A JSON file."""
    (folder / name).write_text(json.dumps(content))
    return folder / name


@pytest.mark.parametrize("name", LOGS)
def test_an_evaluation_log_is_one_score(name: str, tmp_path: Path) -> None:
    """At the labels given, with a test set that has its standard error."""
    path = written(tmp_path, LOGS[name])
    (found,) = lc.read_scores(path, at=50)
    assert (found.n, found.score, found.sd) == (50, 0.7, None)
    assert found.size is not None
    assert math.sqrt(0.7 * 0.3 / found.size) == pytest.approx(0.0145, rel=1e-2)
    with pytest.raises(InputError, match="an evaluation log; say of how many labels: --at N"):
        lc.read_scores(path)


def test_without_a_standard_error_the_test_set_counts(tmp_path: Path) -> None:
    """Its size is in all three kinds of log."""
    harness = json.loads(json.dumps(HARNESS))
    harness["results"]["arc_easy"]["acc_stderr,none"] = "N/A"
    assert lc.read_scores(written(tmp_path, harness), at=50) == [(50, 0.7, None, 1000)]
    inspect = json.loads(json.dumps(INSPECT))
    del inspect["results"]["scores"][0]["metrics"]["stderr"]
    assert lc.read_scores(written(tmp_path, inspect), at=50) == [(50, 0.7, None, 1000)]
    ever = json.loads(json.dumps(EVER))
    del ever["evaluation_results"][0]["score_details"]["uncertainty"]["standard_error"]
    assert lc.read_scores(written(tmp_path, ever), at=50) == [(50, 0.7, None, 1000)]


@pytest.mark.parametrize(("place", "value"), [(6, 1), (8, 93)], ids=["encrypted", "zstandard"])
def test_an_inspect_log_that_python_cannot_unpack(tmp_path: Path, place: int, value: int) -> None:
    """The message names the file and the way out."""
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", "{}")
    content = bytearray(file.read_bytes())
    content[place] = value  # the flags, or the compression, in both headers
    content[content.index(b"PK\x01\x02") + place + 2] = value
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"log\.eval: not a readable Inspect log.*inspect log"):
        lc.read_scores(file, at=50)


def test_an_inspect_log_in_its_own_format(tmp_path: Path) -> None:
    """Its header is read from the archive where the library is missing."""
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
        archive.writestr("header.json", json.dumps(INSPECT))
    try:
        import inspect_ai  # noqa: F401
    except ImportError:
        assert lc.read_scores(tmp_path / "log.eval", at=50)[0].score == 0.7
    (tmp_path / "bad.eval").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"bad\.eval"):
        lc.read_scores(tmp_path / "bad.eval", at=50)


def test_fields_of_another_kind_in_a_log_are_ignored(tmp_path: Path) -> None:
    """A size that is true is not 1, and a text is not a direction."""
    harness = json.loads(json.dumps(HARNESS))
    harness["results"]["arc_easy"]["acc_stderr,none"] = "N/A"
    harness["n-samples"]["arc_easy"]["effective"] = True
    assert lc.read_scores(written(tmp_path, harness), at=50) == [(50, 0.7, None, None)]
    config = {"lower_is_better": "false", "metric_name": "accuracy"}
    result = EVER["evaluation_results"][0] | {"metric_config": config}
    ever = EVER | {"evaluation_results": [result]}
    assert lc.read_scores(written(tmp_path, ever), at=50)[0].score == 0.7


def test_an_inspect_scorer_without_a_name_has_its_kind(tmp_path: Path) -> None:
    """So that one of several can be chosen."""
    log = json.loads(json.dumps(INSPECT))
    (scorer,) = log["results"]["scores"]
    scorer.pop("name")
    log["results"]["scores"] = [scorer | {"scorer": "match"}, scorer | {"scorer": "includes"}]
    path = written(tmp_path, log)
    with pytest.raises(InputError, match=r"match,accuracy.*includes,accuracy"):
        lc.read_scores(path, at=50)
    assert len(lc.read_scores(path, at=50, which="match")) == 1


def test_several_scores_need_a_choice(tmp_path: Path) -> None:
    """By task, metric or both; the message lists them. The old form has no commas."""
    results = {
        "arc_easy": {"acc": 0.7, "acc_stderr": 0.01, "acc_norm": 0.6, "acc_norm_stderr": 0.01},
        "gsm8k": {"exact_match,strict-match": 0.2},
    }
    path = written(tmp_path, {"results": results})
    for which, score in (("acc_norm", 0.6), ("gsm8k", 0.2), ("arc_easy/acc", 0.7)):
        assert lc.read_scores(path, at=5, which=which)[0].score == score
    for wrong in (None, "arc_easy", "nothing"):
        with pytest.raises(InputError, match=r"--which.*arc_easy/acc, arc_easy/acc_norm"):
            lc.read_scores(path, at=5, which=wrong)


def test_a_loss_needs_its_option(tmp_path: Path) -> None:
    """A score that falls is not taken for one that rises."""
    falls = {"lower_is_better": True, "metric_name": "perplexity"}
    result = EVER["evaluation_results"][0] | {"metric_config": falls}
    path = written(tmp_path, EVER | {"evaluation_results": [result]})
    with pytest.raises(InputError, match="--lower-is-better"):
        lc.read_scores(path, at=5)


@pytest.mark.parametrize(
    "header",
    [
        "n,score,standard_error",
        "train_size,accuracy,stderr",
        "Train examples,F1,SE",
        "budget,eval_accuracy,standard error",
        "labels,exact_match,Standard-Error",
    ],
)
def test_the_names_of_columns(header: str, tmp_path: Path) -> None:
    """Several names of each, in any case; others, such as a seed, are ignored."""
    path = tmp_path / "s.csv"
    path.write_text(f"{header},seed\n50,70,2,1\n50,71,2,2\n200,79,,1\n")
    found = lc.read_scores(path, 100)
    assert [entry[:2] for entry in found] == [(50, 70), (50, 71), (200, 79)]
    assert [entry.size for entry in found] == [525, 515, None]
    answer = lc.forecast(observations=found, scale=100, target_score=85)
    assert answer.labels_needed.median is None or answer.labels_needed.median > 200


@pytest.mark.parametrize("column", ["metric", "task"])
def test_scores_of_several_metrics_are_refused(column: str, tmp_path: Path) -> None:
    """They do not lie on one curve."""
    path = tmp_path / "s.csv"
    path.write_text(f"n,score,{column}\n50,0.7,a\n200,0.8,b\n")
    with pytest.raises(InputError, match=rf"several values of {column} \(a, b\)"):
        lc.read_scores(path)


def test_an_array_of_scores(tmp_path: Path) -> None:
    """As in JSON Lines."""
    path = written(tmp_path, [{"n": 50, "score": 0.7}, {"n": 200, "score": 0.8, "size": 9}])
    assert lc.read_scores(path) == [(50, 0.7, None, None), (200, 0.8, None, 9)]
    with pytest.raises(InputError, match="no column of the labels"):
        lc.read_scores(written(tmp_path, {"a": 1}))


def test_the_command_takes_several_files(tmp_path: Path) -> None:
    """Each log with its --at, beside tables; the forecast is that of the scores themselves."""
    first = written(tmp_path, HARNESS, "a.json")
    second = written(tmp_path, HARNESS, "b.json")
    table = tmp_path / "c.csv"
    table.write_text("n,score\n400,0.8\n")
    files = ("--scores", first, "--scores", table, "--scores", second, "--at", 50, "--at", 200)
    done = labelcast("forecast", *files, "--target-score", 0.85, "--json")
    assert done.status == 0, done.err
    assert [(o["budget"], o["score"]) for o in done.json["observations"]] == [
        *((50, 0.7), (200, 0.7), (400, 0.8))
    ]
    check_message(labelcast("forecast", "--scores", first), 2, ("--at", "1 evaluation logs"))
    check_message(labelcast("forecast", "--scores", table, "--at", 9), 2, ("--at", "0 evaluation"))


def test_a_report_of_scores_needs_no_run(tmp_path: Path) -> None:
    """One HTML file, with the next step."""
    table = tmp_path / "c.csv"
    table.write_text("n,score\n0,52\n50,71\n200,79\n")
    out = tmp_path / "r.html"
    options = ("--scores", table, "--scale", 100, "--target-score", 85, "--out", out)
    done = labelcast("report", *options)
    assert done.status == 0, done.err
    assert "labels" in out.read_text("utf-8")


def table(folder: Path, text: str, name: str = "s.csv") -> Path:
    """A table of scores."""
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("column", ["dataset", "split", "metric"])
def test_one_of_several_scores_can_be_chosen(column: str, tmp_path: Path) -> None:
    """By a value in a column that says what a score is of; without a choice they are refused."""
    path = table(tmp_path, f"n,score,{column}\n50,0.7,A\n50,0.9,b\n200,0.8,A\n")
    with pytest.raises(InputError, match=rf"several values of {column} \(A, b\).*--which"):
        lc.read_scores(path)
    assert [entry.score for entry in lc.read_scores(path, which="a")] == [0.7, 0.8]
    for wrong in ("c", "none"):
        with pytest.raises(InputError, match=f"no column or row of '{wrong}'"):
            lc.read_scores(path, which=wrong)


def test_one_of_several_columns_can_be_chosen(tmp_path: Path) -> None:
    """By its name."""
    path = table(tmp_path, "n,accuracy,F1-score\n50,0.7,0.6\n")
    with pytest.raises(InputError, match="two columns of scores, 'accuracy' and 'f1_score'"):
        lc.read_scores(path)
    assert lc.read_scores(path, which="f1-score")[0].score == 0.6


def test_scores_of_several_models_are_refused(tmp_path: Path) -> None:
    """Two curves; but a name for each trained model is no reason to refuse."""
    rows = "n,score,model\n50,0.7,a\n200,0.8,a\n50,0.6,b\n200,0.9,b\n"
    with pytest.raises(InputError, match=r"several values of model \(a, b\)"):
        lc.read_scores(table(tmp_path, rows))
    assert len(lc.read_scores(table(tmp_path, "n,score,model\n50,0.7,m-50\n200,0.8,m-200\n"))) == 2


def test_a_loss_is_not_taken_for_a_score_nor_a_score_for_a_loss(tmp_path: Path) -> None:
    """The column is the one that suits --lower-is-better; without such a column it is an error."""
    both = table(tmp_path, "n,eval_accuracy,eval_loss\n50,0.7,1.2\n")
    assert lc.read_scores(both)[0].score == 0.7
    assert lc.read_scores(both, Scale("loss"))[0].score == 1.2
    with pytest.raises(InputError, match="'eval_loss' falls as a model gets better; give --lower"):
        lc.read_scores(table(tmp_path, "n,eval_loss\n50,1.2\n"))
    with pytest.raises(InputError, match="'accuracy' rises as a model gets better; leave out"):
        lc.read_scores(table(tmp_path, "n,accuracy\n50,0.7\n"), Scale("loss"))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_tables_of_spreadsheets_in_other_languages(mark: str, tmp_path: Path) -> None:
    """Other marks between columns, and decimal commas; 1,000 is not taken for 1."""
    text = "# labels,score\n50,0.71\n200,0.8\n".replace(",", mark).replace(".", ",")
    for excels in ("", f"sep={mark}\n"):
        found = lc.read_scores(table(tmp_path, excels + text, "s.tsv"))
        assert [entry[:2] for entry in found] == [(50, 0.71), (200, 0.8)]
    with pytest.raises(InputError, match="line 2: 'labels': expected a number, not '1,000'"):
        lc.read_scores(table(tmp_path, f"labels{mark}score\n1,000{mark}0,7\n"))


@pytest.mark.parametrize(("column", "error"), [("stderr", 1.4), ("sd", 2.0), ("std", 0.6)])
def test_errors_in_percent_beside_scores_up_to_1_are_refused(
    column: str, error: float, tmp_path: Path
) -> None:
    """No score from 0 to 1 has such an error; on a scale of 100 it may."""
    path = table(tmp_path, f"n,score,{column}\n50,0.7,{error}\n")
    with pytest.raises(InputError, match=f"line 2.*{error:g} is too large for scores from 0 to 1"):
        lc.read_scores(path)
    assert lc.read_scores(path, 100)[0].score == 0.7


def test_a_row_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """It would count as two runs; two seeds with one score are two runs. So is a file."""
    path = table(tmp_path, "n,score,seed\n50,0.7,1\n50,0.7,2\n50,0.7,1\n")
    with pytest.raises(InputError, match=r"line 4: the same row as in s\.csv line 2"):
        lc.read_scores(path)
    path = table(tmp_path, "n,score,seed\n50,0.7,1\n50,0.7,2\n")
    assert len(lc.read_scores(path)) == 2
    for again in (path, tmp_path / ".." / tmp_path.name / "s.csv"):
        twice = ("--scores", path, "--scores", again)
        check_message(labelcast("forecast", *twice), 2, ("s.csv", "given twice"))


def test_a_score_with_a_filter_has_several_names(tmp_path: Path) -> None:
    """Metric, filter or both; a metric with two filters is several scores, not none."""
    results = {"gsm8k": {"exact_match,strict-match": 0.2, "exact_match,flexible-extract": 0.3}}
    path = written(tmp_path, {"results": results})
    for which in ("strict-match", "exact_match,strict-match", "gsm8k/exact_match,strict-match"):
        assert lc.read_scores(path, at=5, which=which)[0].score == 0.2
    with pytest.raises(InputError, match="several scores; choose one with --which"):
        lc.read_scores(path, at=5, which="exact_match")


def test_the_reports_price_of_a_label_is_also_that_of_the_next_step(tmp_path: Path) -> None:
    """--run-cost needs a price of a label, which --cost-per-label gives too."""
    asked = ("--observe", "50=0.7", "--target-score", 0.85, "--run-cost", 5)
    report = ("report", *asked, "--out", tmp_path / "r.html", "--json")
    plans = [
        labelcast(*report, option, 0.4).json["forecast"]["plan"]
        for option in ("--cost-per-label", "--label-cost")
    ]
    assert plans[0] == plans[1] and plans[0]["run_cost"] == 5


def test_scores_in_a_spreadsheet(tmp_path: Path) -> None:
    """The first sheet of an Excel file; a wrong cell is named with its row."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (("# labels", "Accuracy", "note"), (50, 0.71, "first"), (200, 0.8, None)):
        book.active.append(row)
    book.save(tmp_path / "s.xlsx")
    found = lc.read_scores(tmp_path / "s.xlsx")
    assert found == [(50, 0.71, None, None), (200, 0.8, None, None)]
    book.active.append((400, "good", None))
    book.save(tmp_path / "s.xlsx")
    with pytest.raises(InputError, match=r"s\.xlsx row 4: 'accuracy': expected a number"):
        lc.read_scores(tmp_path / "s.xlsx")
    (tmp_path / "bad.xlsx").write_text("n,score")
    with pytest.raises(InputError, match=r"bad\.xlsx: not a readable Excel file"):
        lc.read_scores(tmp_path / "bad.xlsx")


@pytest.mark.parametrize("name", ["s.jsonl", "s.xlsx"])
def test_two_columns_that_mean_the_same_are_refused(name: str, tmp_path: Path) -> None:
    """None of them is kept silently."""
    path = tmp_path / name
    if name == "s.xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for row in (("n", "Accuracy", "accuracy"), (50, 0.7, 0.8)):
            book.active.append(row)
        book.save(path)
    else:
        path.write_text('{"n": 50, "Accuracy": 0.7, "accuracy": 0.8}\n')
    with pytest.raises(InputError, match="column 'accuracy' appears twice"):
        lc.read_scores(path)


def test_a_point_for_thousands_beside_decimal_commas_is_refused(tmp_path: Path) -> None:
    """1.000 would be read as 1."""
    path = table(tmp_path, "n;accuracy\n50;0,61\n1.000;0,74\n")
    with pytest.raises(InputError, match=r"line 3: '1\.000' beside decimal commas"):
        lc.read_scores(path)
    assert lc.read_scores(table(tmp_path, "n;accuracy\n50;0.610\n"))[0].score == 0.61


def test_the_sd_of_one_run_is_not_0(tmp_path: Path) -> None:
    """numpy's is; the score has noise nevertheless."""
    path = table(tmp_path, "n,accuracy,std\n50,0.71,0\n200,0.79,0.01\n")
    assert [entry.sd for entry in lc.read_scores(path)] == [None, 0.01]


MODEL, ROW = "n,score,model\n50,0.7,{0}\n200,0.8,{0}\n", "n,score\n50,0.7\n200,0.8\n"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (MODEL.format("a"), MODEL.format("b"), "several values of model (a, b)"),
        (
            ROW,
            ROW.replace("score", "f1"),
            "b.csv line 2: a score in 'f1', the first one in 'score'",
        ),
        (ROW, ROW + "400,0.9\n", "a.csv: all of its rows are in"),
        ("n,score,seed\n50,0.7,1\n", "n,score,seed\n50,0.7,1\n", "the same row as in a.csv line 2"),
        (ROW, "n,score\n", "b.csv: no scores in it"),
    ],
)
def test_several_tables_are_refused_like_one(
    first: str, second: str, words: str, tmp_path: Path
) -> None:
    """Models, metrics and rows that are there twice, although each file alone can be read."""
    files = [table(tmp_path, first, "a.csv"), table(tmp_path, second, "b.csv")]
    done = labelcast("forecast", "--scores", files[0], "--scores", files[1])
    check_message(done, 2, (words,))


def test_two_tables_may_share_a_row(tmp_path: Path) -> None:
    """Two runs may have the same score."""
    files = [
        table(tmp_path, f"n,score\n50,0.7\n200,{last}\n", f"{last}.csv") for last in (0.8, 0.81)
    ]
    found = read_files([(path, None) for path in files], Scale())
    assert sorted(entry[:2] for entry in found) == [(50, 0.7), (50, 0.7), (200, 0.8), (200, 0.81)]


def test_logs_of_several_tasks_are_refused(tmp_path: Path) -> None:
    """Each has a single score, but the two do not lie on one curve."""
    other = json.loads(json.dumps(HARNESS).replace("arc_easy", "hellaswag"))
    files = [written(tmp_path, HARNESS, "a.json"), written(tmp_path, other, "b.json")]
    asked = [word for path in files for word in ("--scores", path, "--at", 50)]
    says = ("a.json has arc_easy/acc", "b.json has hellaswag/acc", "one curve")
    check_message(labelcast("forecast", *asked), 2, says)


def test_losses_and_error_rates_are_read_in_python(tmp_path: Path) -> None:
    """With the options of the forecast; an accuracy beside the loss is not taken for it."""
    losses = table(tmp_path, "n,loss,accuracy\n50,1.9,.5\n200,1.4,.6\n")
    found = lc.read_scores(losses, lower_is_better=True)
    assert [entry.score for entry in found] == [1.9, 1.4]
    errors = table(tmp_path, "n,error_rate\n50,29\n")
    for options in ({"metric": "error"}, {"lower_is_better": True}):
        assert lc.read_scores(errors, 100, **options)[0].score == 29
    falls = {"lower_is_better": True, "metric_name": "perplexity"}
    result = EVER["evaluation_results"][0] | {"metric_config": falls}
    path = written(tmp_path, EVER | {"evaluation_results": [result]})
    assert lc.read_scores(path, at=5, lower_is_better=True)[0].score == 0.7


@pytest.mark.parametrize("column", ["labels", "test_size"])
def test_a_point_for_thousands_in_a_count_is_refused(column: str, tmp_path: Path) -> None:
    """2.000 would be read as 2; a count such as 50.0 is one."""
    rows = {"labels": "50.0", "test_size": "900.0"}
    text = "labels;test_size;accuracy\n{labels};{test_size};80\n"
    assert lc.read_scores(table(tmp_path, text.format(**rows)), 100) == [(50, 80, None, 900)]
    with pytest.raises(InputError, match=rf"line 2: '{column}': '2\.000' may be 2000 or 2; write"):
        lc.read_scores(table(tmp_path, text.format(**rows | {column: "2.000"})), 100)


def test_rows_and_a_column_can_be_chosen_together(tmp_path: Path) -> None:
    """Each message names the next choice, which leads to a single curve."""
    text = "n,split,dataset,accuracy,f1\n50,dev,a/b,.1,.2\n50,test,a/b,.3,.4\n50,test,c,.5,.6\n"
    path = table(tmp_path, text)
    which: str | None
    for which, following in ((None, ["accuracy", "a/b", "dev"]), ("test", ["accuracy", "a/b"])):
        for choice in following:
            way = f"{which}/{choice}" if which else choice
            with pytest.raises(InputError, match=rf"choose one, as with --which {way}\."):
                lc.read_scores(path, which=which)
            which = way
        assert len(lc.read_scores(path, which=which)) == 1
    for which in ("test/a/b/f1", "f1/a/b/Test", "a/b/f1/test"):
        assert [entry.score for entry in lc.read_scores(path, which=which)] == [0.4]
    for wrong in ("test/c", "accuracy/f1", "train/f1"):
        with pytest.raises(InputError):
            lc.read_scores(path, which=wrong)


def test_a_column_with_a_slash_in_its_name_can_be_chosen_with_a_value(tmp_path: Path) -> None:
    """Before or after the value, and each message leads on; what names nothing is not repeated."""
    text = "n,split,eval/accuracy,eval/f1\n50,dev,.1,.2\n50,test,.3,.4\n"
    path = table(tmp_path, text)
    for which in ("test/eval/f1", "eval/f1/test", "test/eval_f1"):
        assert [entry.score for entry in lc.read_scores(path, which=which)] == [0.4]
    with pytest.raises(InputError, match=r"choose one, as with --which test/eval_accuracy\."):
        lc.read_scores(path, which="test")
    with pytest.raises(InputError, match="no column or row of 'test/eval/auc'"):
        lc.read_scores(path, which="test/eval/auc")


def test_error_rates_are_not_read_as_losses(tmp_path: Path) -> None:
    """The message leads to error rates, and percent are refused where losses are read."""
    path = table(tmp_path, "n,error_rate\n50,29\n200,21\n")
    with pytest.raises(InputError, match="give --metric error, with --scale 100 if it is in per"):
        lc.read_scores(path)
    with pytest.raises(InputError, match="line 2: 'error_rate' is above 1; for percent give"):
        lc.read_scores(path, lower_is_better=True)
    assert lc.read_scores(path, 100, metric="error")[0].score == 29


def test_a_word_error_rate_may_be_above_1(tmp_path: Path) -> None:
    """As that of weak models is: the message leads to a table that is read."""
    text = "n,wer\n50,1.2\n100,.8\n"
    with pytest.raises(InputError, match=r"'wer' is above 1; .*rates that can exceed 1 rename the"):
        lc.read_scores(table(tmp_path, text), lower_is_better=True)
    renamed = table(tmp_path, text.replace("wer", "loss"))
    assert [entry.score for entry in lc.read_scores(renamed, lower_is_better=True)] == [1.2, 0.8]


def test_empty_columns_of_a_spreadsheet_are_ignored(tmp_path: Path) -> None:
    """As it writes them at the end of each line."""
    path = table(tmp_path, "n,accuracy,,\n50,0.71,,\n,,,\n")
    assert lc.read_scores(path) == [(50, 0.71, None, None)]


LOG = [(n, epoch, 0.5 + epoch / 10) for n in (50, 200) for epoch in (1, 2, 3)]


@pytest.mark.parametrize("column", ["epoch", "step"])
def test_the_epochs_of_a_run_are_not_seeds(column: str, tmp_path: Path) -> None:
    """Not one of several runs either; a run may stop early."""
    rows = "".join(f"{n},{epoch},{score}\n" for n, epoch, score in LOG[:-1])
    with pytest.raises(InputError, match=rf"{column}s 1, 2, 3 look like one training run"):
        lc.read_scores(table(tmp_path, f"n,{column},score\n{rows}"))
    rows = "".join(f"{n},{n},{epoch},{score}\n" for n, epoch, score in LOG)
    with pytest.raises(InputError, match="look like one training run"):
        lc.read_scores(table(tmp_path, f"n,seed,{column},score\n{rows}"))


@pytest.mark.parametrize(
    ("column", "runs"),
    [
        ("epoch", {500: (1, 2, 3, 4, 5)}),
        ("step", {100: (13, 26, 39), 200: (25, 50, 75)}),
        ("epoch", {100: (1.0, 2.0), 200: (0.99, 1.99)}),
        ("seed,epoch", {500: ("0,2", "0,1")}),
    ],
)
def test_the_epochs_of_a_run_are_not_seeds_in_common_logs(
    column: str, runs: dict[int, tuple[Any, ...]], tmp_path: Path
) -> None:
    """One budget, steps that grow with the data, parts of epochs, one seed; named runs are read."""
    rows = [(n, epoch) for n, epochs in runs.items() for epoch in epochs]
    text = f"n,{column},score\n" + "".join(f"{n},{epoch},0.7\n" for n, epoch in rows)
    with pytest.raises(InputError, match=r"look like one training run.*name the runs in a "):
        lc.read_scores(table(tmp_path, text))
    text = f"n,run,{column},score\n"
    text += "".join(f"{n},r{number},{epoch},0.7\n" for number, (n, epoch) in enumerate(rows))
    assert len(lc.read_scores(table(tmp_path, text))) == len(rows)


@pytest.mark.parametrize("epochs", [(3, 5, 2, 4, 1, 2), (3,) * 6, ("", "", "", 2, 3, 1)])
def test_the_best_epoch_of_each_run_may_be_named(epochs: tuple[Any, ...], tmp_path: Path) -> None:
    """Several seeds need no column of their own."""
    rows = "".join(f"{n},{e},{s}\n" for (n, _, s), e in zip(LOG, epochs, strict=True))
    assert len(lc.read_scores(table(tmp_path, f"n,epoch,score\n{rows}"))) == 6
    rows = "".join(f"{n},{seed},{seed},{score}\n" for n, seed, score in LOG)
    assert len(lc.read_scores(table(tmp_path, f"n,seed,epoch,score\n{rows}"))) == 6
    rows = "".join(
        f"{n},42,run-{i},{e},{s}\n"
        for i, ((n, _, s), e) in enumerate(zip(LOG, epochs, strict=True))
    )
    assert len(lc.read_scores(table(tmp_path, f"n,seed,name,epoch,score\n{rows}"))) == 6
