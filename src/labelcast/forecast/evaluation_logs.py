"""Scores in the logs of evaluation tools: lm-evaluation-harness, Inspect and Every Eval Ever."""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labelcast.errors import InputError, brief
from labelcast.files.untrusted import read_small

LOG_ENDINGS = (".json", ".eval")
_INSPECT_HEADER = "header.json"
_SPREADS = ("stderr", "bootstrap_stderr", "std", "var")
_LARGEST_HEADER = 64 * 2**20


class LoggedScore(NamedTuple):
    """One score of an evaluation log.

    Attributes:
        name: task and metric, ``TASK/METRIC``.
        standard_error: standard error of the score, from its test set; None where unknown.
        size: examples in the test set; None where unknown.
        falls: whether lower is better; None where unknown.
    """

    name: str
    score: float
    standard_error: float | None
    size: int | None
    falls: bool | None = None


def read_log(path: Path) -> object:
    """The content of a log: JSON, or the header of an Inspect log in its own format.

    Raises:
        InputError: it cannot be read.
    """
    try:
        text = _inspect_header(path) if path.suffix.lower() == ".eval" else read_small(path)
        return json.loads(text.removeprefix("\ufeff"))
    except OSError as error:
        raise InputError(f"--scores {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"--scores {path}: not UTF-8 text. Save the file as UTF-8.") from None
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"--scores {path}: not valid JSON ({brief(error)}).") from None


def _inspect_header(path: Path) -> str:
    """The header of an Inspect log: by the library where it is installed, else from the archive."""
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        return _header_in_archive(path)
    try:
        return str(read_eval_log(str(path), header_only=True).model_dump_json())
    except Exception as error:  # of the library, which raises many unrelated types
        fault = brief(error)
    raise InputError(f"--scores {path}: not a readable Inspect log ({fault}).")


def _header_in_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_INSPECT_HEADER).file_size > _LARGEST_HEADER:
                raise InputError(f"--scores {path}: its header is too large.")
            return archive.read(_INSPECT_HEADER).decode()
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:  # encrypted, or packed otherwise
        raise InputError(
            f"--scores {path}: not a readable Inspect log ({brief(error)}). Install inspect_ai, or "
            "convert it: inspect log convert --to json."
        ) from None


def logged_scores(content: object) -> list[LoggedScore]:
    """The scores of a log; empty if it is not a log."""
    if not isinstance(content, dict):
        return []
    results = content.get("results")
    if isinstance(content.get("evaluation_results"), list):
        return list(_every_eval_ever(content["evaluation_results"]))
    if isinstance(results, dict) and isinstance(content.get("eval"), dict):
        return list(_inspect(content["eval"], results))
    return list(_harness(content, results)) if isinstance(results, dict) else []


def chosen(scores: list[LoggedScore], which: str | None, where: str) -> LoggedScore:
    """The score that `which` names by task, metric or both; without it, the only one.

    Raises:
        InputError: there is none, or there are several.
    """
    wanted = None if which is None else which.casefold()
    found = [score for score in scores if wanted is None or wanted in _names(score)]
    if len(found) != 1:
        names = ", ".join(score.name for score in found or scores)[:400]
        what = "no such score" if not found else "several scores"
        raise InputError(f"{where}: {what}; choose one with --which: {names}.")
    return found[0]


def _names(score: LoggedScore) -> set[str]:
    """What `which` may be: the name, its task, or its metric with or without the filter."""
    name = score.name.casefold()
    return {name, *name.split("/"), *re.split("[/,]", name)}


def _harness(content: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[LoggedScore]:
    """Results of lm-evaluation-harness: ``acc,none`` or ``acc``, beside ``acc_stderr,none``."""
    for task, values in results.items():
        if not isinstance(values, dict):
            continue
        sizes = _part(_part(content, "n-samples"), task)
        rises = _part(_part(content, "higher_is_better"), task)
        for key, value in values.items():
            metric, _, kind = key.partition(",")
            if metric.endswith("_stderr") or not _is_number(value) or metric == "sample_len":
                continue
            error = values.get(f"{metric}_stderr,{kind}" if kind else f"{metric}_stderr")
            name = f"{task}/{metric}" + ("" if kind in ("", "none") else f",{kind}")
            rise, size = _flag(rises.get(metric)), _count(sizes.get("effective"))
            falls = None if rise is None else not rise
            yield LoggedScore(name, value, _number(error), size, falls)


def _inspect(header: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[LoggedScore]:
    size = _count(results.get("completed_samples"))
    scores = results.get("scores")
    if not isinstance(scores, list):
        return
    task = str(header.get("task", "task")).rsplit("/", 1)[-1]
    for scorer in scores:
        metrics = {
            name: metric.get("value")
            for name, metric in _part(scorer, "metrics").items()
            if isinstance(metric, dict)
        }
        error = _number(metrics.get("stderr"))
        for name, value in metrics.items():
            if isinstance(value, int | float) and name not in _SPREADS:
                scored_by = scorer.get("name") or scorer.get("scorer")
                label = name if len(scores) == 1 else f"{scored_by},{name}"
                yield LoggedScore(f"{task}/{label}", value, error, size)


def _every_eval_ever(results: list[Any]) -> Iterator[LoggedScore]:
    for result in results:
        details = _part(result, "score_details")
        if not _is_number(details.get("score")):
            continue
        unsure, metric = _part(details, "uncertainty"), _part(result, "metric_config")
        kind = metric.get("metric_name") or metric.get("metric_id") or "score"
        yield LoggedScore(
            f"{result.get('evaluation_name', 'evaluation')}/{kind}",
            details["score"],
            _number(_part(unsure, "standard_error").get("value")),
            _count(unsure.get("num_samples")),
            _flag(metric.get("lower_is_better")),
        )


def _part(content: object, key: str) -> dict[str, Any]:
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """A number above 0; None for anything else, such as ``N/A``."""
    return float(value) if _is_number(value) and value > 0 else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and _is_number(value) and value > 0 else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
