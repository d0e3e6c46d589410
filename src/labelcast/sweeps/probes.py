"""What can be measured of a task without training: CoS-Low of several draws, and baselines.

The examples come from those that the sweep may train on, with their answers; the test set is not
used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.files.json_files import write_json, write_with
from labelcast.models.choices import check_dtype, choose_device
from labelcast.models.coslow import CosLow, cos_low, cosine, encode_labelled, median_cosine
from labelcast.models.loading import LanguageModel, load_model
from labelcast.runs.records import parse
from labelcast.selection.low_confidence import draw_random, pick_low_confidence
from labelcast.sweeps.job import SweepTask, split
from labelcast.sweeps.records import (
    PROBE_ROWS,
    ConfidenceRow,
    CosLowRow,
    ProbeRow,
    RandomRow,
)
from labelcast.sweeps.scores import Lines
from labelcast.sweeps.sweep import Sweep
from labelcast.tasks.metrics import comparison, score_answers
from labelcast.tasks.prompts import Example

_MOST = 100
"""Draws, and sketches of each: more take hours, and their mean hardly changes."""
_POOL_SEED = 0

ProbeName = Literal["confidence", "coslow", "exact", "random"]
_Row = TypeVar("_Row", bound=ProbeRow)


@dataclass(frozen=True)
class ProbeSettings:
    """How the probes of a task are measured.

    Attributes:
        draws: how often the examples of low confidence are drawn.
        sketch_seeds: random matrices A for each draw.
        pool: examples whose confidence is measured.
        n_label: examples of a draw, 32 in the paper.
        rank: of the sketch.
        exact: measure the limit of the sketch too, on the first draw.
        keep_grams: keep the inner products of the gradients by layer and sketch, as
            ``DIR/grams/TASK-PROBE-DRAW.npy`` [L,K,N,N] float32 beside ``DIR/grams/layers.json``:
            2 MB a draw for 135M weights.
        max_new_tokens: where an answer is cut off.
        device, dtype: as `load_model` takes them.
    """

    draws: int = 3
    sketch_seeds: int = 2
    pool: int = 1600
    n_label: int = 32
    rank: int = 64
    exact: bool = False
    keep_grams: bool = False
    max_new_tokens: int = 30
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        for option, least in (("draws", 1), ("sketch_seeds", 1), ("pool", 1), ("n_label", 2)):
            name, value = f"--{option.replace('_', '-')}", getattr(self, option)
            if value < least:
                raise InputError(f"{name}: must be at least {least}.")
            if option in ("draws", "sketch_seeds") and value > _MOST:
                raise InputError(f"{name}: must be at most {_MOST}.")
        if self.pool < self.n_label:
            raise InputError(
                f"--pool {self.pool}: fewer than the {self.n_label} examples of a draw (--n-label)."
            )

    def check_machine(self) -> None:
        """Refuse a missing device or dtype before anything is measured or written.

        Raises:
            InputError: names it.
        """
        choose_device(self.device)
        check_dtype(self.dtype)

    def key(self, probe: ProbeName, draw: int = 0) -> dict[str, Any]:
        """What a row of `probes.jsonl` must agree in to be used again."""
        key: dict[str, Any] = {"probe": probe, "draw": draw, "pool": self.pool}
        key |= {"max_new_tokens": self.max_new_tokens}
        if probe != "confidence":
            key |= {"n_label": self.n_label, "rank": self.rank}
        if probe == "coslow":
            key |= {"sketch_seeds": self.sketch_seeds}
        return key


@dataclass(frozen=True)
class Probes:
    """What is known about a task without training.

    Attributes:
        coslow: CoS-Low of each draw, the mean over its sketches, [draws].
        sketch_sd: standard deviation over sketches, the mean over draws; None with one sketch.
        overlap: mean fraction of examples that two draws share; None with one draw.
        exact: CoS-Low in the limit of the sketch, on the first draw; None if not measured.
        random_cosine: median cosine of examples drawn at random.
        gradient_norm: mean norm of their gradients.
        mean_confidence: over the pool.
    """

    coslow: tuple[float, ...]
    sketch_sd: float | None
    overlap: float | None
    exact: float | None
    random_cosine: float
    gradient_norm: float
    mean_confidence: float

    @property
    def mean_coslow(self) -> float:
        """Mean over the draws: what a card is fitted to."""
        return float(np.mean(self.coslow))


def measure_probes(
    sweep: Sweep,
    names: Sequence[str],
    settings: ProbeSettings,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Probes]:
    """Measure the missing probes of some tasks into `DIR/probes.jsonl` and return all of them.

    After a kill, the same call resumes with the first probe that is not finished.

    Args:
        sweep: its model and tasks are used.
        names: which of its tasks.
        settings: how to measure.
        say: called with what is measured next.

    Raises:
        InputError: the pool is too small, or model or data differ from those of the sweep.
        RunError: the folder cannot be written.
    """
    measuring = _Measuring(sweep, settings, say)
    for name in names:
        measuring.confidence(name)
    for name in names:
        measuring.gradients(name)
    return {name: measuring.probes(name) for name in names}


class _Measuring:
    """Measures probes with a sweep's model; each is a line of its own when it is finished."""

    def __init__(self, sweep: Sweep, settings: ProbeSettings, say: Callable[[str], None]) -> None:
        self.sweep, self.settings, self.say = sweep, settings, say
        self.content = sweep.read()
        self.file = Lines(sweep.path / "probes.jsonl")
        self.file.cut_unfinished()
        self.kept = [
            _parsed(row, f"{self.file.path} line {number}")
            for number, row in enumerate(self.file.read(), 1)
        ]
        self.model: LanguageModel | None = None

    def confidence(self, name: str) -> None:
        """Measure the confidence of the pool, from whose lowest tenth the draws come."""
        key = self.settings.key("confidence")
        if self._row(ConfidenceRow, name, key) is not None:
            return
        from labelcast.models.confidence import score_confidence

        lm = self._lm()
        pool = self._pool(name, lm)
        if len(pool) < self.settings.n_label:
            raise InputError(
                f"task {name}: {len(pool)} examples beside its test set, fewer than the "
                f"{self.settings.n_label} of a draw. Lower --n-label; the estimate gets less "
                "certain."
            )
        self.say(f"{name}: confidence of {len(pool)} examples")
        begin = time.perf_counter()
        scored = score_confidence(
            lm, [e.prompt for e in pool], max_new_tokens=self.settings.max_new_tokens
        )
        values = np.array([one.confidence for one in scored])
        task, answers = self.content.tasks[name].task, [one.answer for one in scored]
        found = score_answers(task.metric, answers, [str(e.answer) for e in pool], task.answers)
        self._keep(
            name,
            key,
            examples=len(pool),
            mean_confidence=float(np.nanmean(values)),
            metric=task.metric,
            score=found.total,
            allowed=_share_allowed(answers, task.answers),
            confidence=[None if np.isnan(v) else round(float(v), 6) for v in values],
            seconds=round(time.perf_counter() - begin, 3),
        )

    def gradients(self, name: str) -> None:
        """Measure CoS-Low of every draw, and the cosines of examples drawn at random."""
        wanted: list[tuple[ProbeName, int]] = [("coslow", n) for n in range(self.settings.draws)]
        if self.settings.exact:
            wanted.append(("exact", 0))
        wanted.append(("random", 0))
        left = [
            (probe, draw)
            for probe, draw in wanted
            if self._row(ProbeRow, name, self.settings.key(probe, draw)) is None
        ]
        if not left:
            return
        lm = self._lm()
        pool = self._pool(name, lm)
        for probe, draw in left:
            self.say(f"{name}: {probe}, draw {draw + 1}")
            if probe == "random":
                self._random(name, lm, pool)
            else:
                self._coslow(name, lm, pool, probe, draw)

    def probes(self, name: str) -> Probes:
        """Everything that was measured of a task."""
        draws = [self._need(CosLowRow, name, "coslow", n) for n in range(self.settings.draws)]
        spreads = [row.seed_sd or 0.0 for row in draws if len(row.per_seed) > 1]
        chosen = [set(row.ids) for row in draws]
        shared = [len(a & b) / max(len(a), 1) for a, b in combinations(chosen, 2)]
        random = self._need(RandomRow, name, "random")
        exact = self._need(CosLowRow, name, "exact").coslow if self.settings.exact else None
        return Probes(
            coslow=tuple(row.coslow for row in draws),
            sketch_sd=float(np.mean(spreads)) if spreads else None,
            overlap=float(np.mean(shared)) if shared else None,
            exact=exact,
            random_cosine=random.median,
            gradient_norm=random.norm,
            mean_confidence=self._need(ConfidenceRow, name, "confidence").mean_confidence,
        )

    def _coslow(
        self,
        name: str,
        lm: LanguageModel,
        pool: Sequence[Example],
        probe: ProbeName,
        draw: int,
    ) -> None:
        try:
            picked = pick_low_confidence(self._confidences(name), self.settings.n_label, seed=draw)
        except InputError as error:
            raise InputError(f"task {name}: {error}") from None
        found = cos_low(
            lm,
            [pool[i] for i in picked],
            method="sketch" if probe == "coslow" else "exact",
            rank=self.settings.rank,
            seeds=self.settings.sketch_seeds if probe == "coslow" else 1,
        )
        if self.settings.keep_grams:
            self._keep_grams(f"{name}-{probe}-{draw}", found)
        self._keep(name, self.settings.key(probe, draw), **found.to_dict())

    def _keep_grams(self, name: str, found: CosLow) -> None:
        folder, grams = self.sweep.path / "grams", found.grams.astype(np.float32)

        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.save(stream, grams, allow_pickle=False)

        write_with(folder / f"{name}.npy", write)
        write_json(folder / "layers.json", list(found.layers))

    def _random(self, name: str, lm: LanguageModel, pool: Sequence[Example]) -> None:
        from labelcast.models.choices import choose_batch
        from labelcast.models.gradients import sketched_gram

        begin = time.perf_counter()
        skipped = np.flatnonzero(np.isnan(self._confidences(name))).tolist()
        drawn = [pool[i] for i in draw_random(len(pool), self.settings.n_label, taken=skipped)]
        gram = sketched_gram(
            lm,
            encode_labelled(lm, drawn),
            rank=self.settings.rank,
            seeds=[0],
            batch_size=choose_batch(None, lm.device.value, "gradients").value,
        )
        total = gram.values.numpy().sum(axis=(0, 1))  # [N,N]
        self._keep(
            name,
            self.settings.key("random"),
            median=median_cosine(cosine(total)),
            norm=float(np.sqrt(np.diagonal(total)).mean()),
            ids=[example.id for example in drawn],
            seconds=round(time.perf_counter() - begin, 3),
        )

    def _confidences(self, name: str) -> NDArray[np.float64]:
        """By position in the pool, NaN for a prompt that is too long."""
        row = self._need(ConfidenceRow, name, "confidence")
        return np.array([np.nan if v is None else v for v in row.confidence], dtype=np.float64)

    def _pool(self, name: str, lm: LanguageModel) -> tuple[Example, ...]:
        """A random part of what the sweep may train on, in an order that its contents fix."""
        entry, content = self.content.tasks[name], self.content
        found = split(
            SweepTask(entry.task, entry.data, entry.test_data),
            content.test_size,
            seed=_POOL_SEED,
            split_seed=content.split_seed,
            render=lm.render,
        )
        if found.test_digest != entry.test_digest:
            raise InputError(f"task {name}: {entry.data} has changed since its curve was measured.")
        return found.order[: self.settings.pool]

    def _lm(self) -> LanguageModel:
        """The sweep's model, loaded when it is first needed."""
        if self.model is None:
            name, fingerprint = self.content.model.name, self.content.model.fingerprint
            self.say(f"loading {name}")
            lm = load_model(name, device=self.settings.device, dtype=self.settings.dtype)
            if lm.identity.fingerprint != fingerprint:
                raise InputError(f"model {name}: not the one whose curves were measured.")
            self.model = lm
        return self.model

    def _row(self, kind: type[_Row], name: str, key: dict[str, Any]) -> _Row | None:
        for row in self.kept:
            if isinstance(row, kind) and row.task == name and row.matches(key):
                return row
        return None

    def _need(self, kind: type[_Row], name: str, probe: ProbeName, draw: int = 0) -> _Row:
        row = self._row(kind, name, self.settings.key(probe, draw))
        assert row is not None
        return row

    def _keep(self, name: str, key: dict[str, Any], **values: Any) -> None:
        row = {"task": name, **key, **{k: v for k, v in values.items() if k not in key}}
        self.file.add(row)
        self.kept.append(_parsed(row, str(self.file.path)))


def _parsed(row: dict[str, Any], where: str) -> ProbeRow:
    return parse(PROBE_ROWS.get(str(row.get("probe")), ProbeRow), row, where, "Remove that line.")


def _share_allowed(answers: Sequence[str], allowed: Sequence[str]) -> float | None:
    """The fraction of answers that are one of the task's; None if any text is allowed."""
    if not allowed:
        return None
    form = comparison(allowed, allowed)
    wanted = {form(text) for text in allowed}
    return float(np.mean([form(answer) in wanted for answer in answers]))
