"""What is measured of a task without training: CoS-Low over several draws, and the baselines.

Everything comes from the examples that the sweep may train on, with their known answers; the test
set is never looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from labelcast.errors import InputError
from labelcast.files.json_files import write_json, write_with
from labelcast.models.coslow import CosLow, cos_low, cosine, encode_labelled, median_cosine
from labelcast.models.loading import LanguageModel, load_model
from labelcast.runs.records import parse
from labelcast.selection.low_confidence import draw_random, pick_low_confidence
from labelcast.sweeps.probe_settings import Probe, ProbeSettings
from labelcast.sweeps.records import PROBE_ROWS, ProbeRow
from labelcast.sweeps.scores import Lines
from labelcast.sweeps.sweep import Sweep, SweepTask, split
from labelcast.tasks.metrics import comparison, score_answers
from labelcast.tasks.prompts import Example
from labelcast.tasks.task import Task

_POOL_SEED = 0


@dataclass(frozen=True)
class Probes:
    """What is known of a task without training.

    Attributes:
        coslow: CoS-Low of each draw, the mean over its sketches, [draws].
        sketch_sd: standard deviation over sketches, the mean over draws; None with one sketch.
        overlap: mean share of examples that two draws have in common; None with one draw.
        exact: CoS-Low in the limit of the sketch, on the first draw; None where not measured.
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
    """Measure what is missing of some tasks' probes into `DIR/probes.jsonl`; return them all.

    Killed, the same call goes on after the last probe that was finished.

    Args:
        sweep: its model and tasks are used.
        names: which of its tasks.
        settings: how.
        say: told what is measured now.

    Raises:
        InputError: too small a pool, or a model or data that is no longer the sweep's.
        RunError: the folder cannot be written.
    """
    bench = _Bench(sweep, settings, say)
    for name in names:
        bench.confidence(name)
    for name in names:
        bench.gradients(name)
    return {name: bench.probes(name) for name in names}


class _Bench:
    """One sweep's model at work; every finished probe is a line of its own."""

    def __init__(self, sweep: Sweep, settings: ProbeSettings, say: Callable[[str], None]) -> None:
        self.sweep, self.settings, self.say = sweep, settings, say
        self.content = sweep.settings
        self.file = Lines(sweep.path / "probes.jsonl")
        self.file.heal()
        self.kept = self.file.rows()
        for number, row in enumerate(self.kept, 1):
            form = PROBE_ROWS.get(str(row.get("probe")), ProbeRow)
            parse(form, row, f"{self.file.path} line {number}", "Remove that line.")
        self.model: LanguageModel | None = None

    def confidence(self, name: str) -> None:
        """The confidence of the pool, and the draws from its lowest tenth."""
        if self._row(name, self.settings.key("confidence")) is not None:
            return
        from labelcast.models.confidence import score_confidence

        lm = self._lm()
        pool = self._pool(name, lm)
        if len(pool) < self.settings.n_label:
            raise InputError(
                f"task {name}: {len(pool)} examples beside its test set, fewer than the "
                f"{self.settings.n_label} of a draw. Lower --n-label (the estimate gets less sure)."
            )
        self.say(f"{name}: confidence of {len(pool)} examples")
        begin = time.perf_counter()
        scored = score_confidence(
            lm, [e.prompt for e in pool], max_new_tokens=self.settings.max_new_tokens
        )
        values = np.array([one.confidence for one in scored])
        task, answers = self._task(name), [one.answer for one in scored]
        found = score_answers(task.metric, answers, [str(e.answer) for e in pool], task.answers)
        self._keep(
            name,
            self.settings.key("confidence"),
            examples=len(pool),
            mean_confidence=float(np.nanmean(values)),
            metric=task.metric,
            score=found.total,
            allowed=_share_allowed(answers, task.answers),
            confidence=[None if np.isnan(v) else round(float(v), 6) for v in values],
            seconds=round(time.perf_counter() - begin, 3),
        )

    def gradients(self, name: str) -> None:
        """CoS-Low of every draw, and the cosines of examples drawn at random."""
        wanted = [("coslow", draw) for draw in range(self.settings.draws)]
        wanted += [("exact", 0)] * self.settings.exact + [("random", 0)]
        left = [
            (probe, draw)
            for probe, draw in wanted
            if self._row(name, self.settings.key(probe, draw)) is None  # type: ignore[arg-type]
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
                self._coslow(name, lm, pool, probe, draw)  # type: ignore[arg-type]

    def probes(self, name: str) -> Probes:
        """All that was measured of a task."""
        draws = [self._need(name, "coslow", draw) for draw in range(self.settings.draws)]
        spreads = [row["seed_sd"] for row in draws if len(row["per_seed"]) > 1]
        chosen = [set(row["ids"]) for row in draws]
        shared = [len(a & b) / max(len(a), 1) for a, b in combinations(chosen, 2)]
        random = self._need(name, "random")
        return Probes(
            coslow=tuple(row["coslow"] for row in draws),
            sketch_sd=float(np.mean(spreads)) if spreads else None,
            overlap=float(np.mean(shared)) if shared else None,
            exact=self._need(name, "exact")["coslow"] if self.settings.exact else None,
            random_cosine=random["median"],
            gradient_norm=random["norm"],
            mean_confidence=self._need(name, "confidence")["mean_confidence"],
        )

    def _coslow(
        self,
        name: str,
        lm: LanguageModel,
        pool: Sequence[Example],
        probe: Literal["coslow", "exact"],
        draw: int,
    ) -> None:
        values = self._confidences(name)
        try:
            picked = pick_low_confidence(values, self.settings.n_label, seed=draw)
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

    def _confidences(self, name: str) -> Any:
        row = self._need(name, "confidence")
        return np.array([np.nan if v is None else v for v in row["confidence"]], dtype=np.float64)

    def _task(self, name: str) -> Task:
        return Task.model_validate(self.content["tasks"][name]["task"])

    def _pool(self, name: str, lm: LanguageModel) -> tuple[Example, ...]:
        """A random part of what the sweep may train on, in an order that its contents fix."""
        entry = self.content["tasks"][name]
        chosen = SweepTask(self._task(name), entry["data"], entry["test_data"])
        size, seed = self.content["test_size"], self.content["split_seed"]
        found = split(chosen, size, seed=_POOL_SEED, split_seed=seed, render=lm.render)
        if found.test_digest != entry["test_digest"]:
            raise InputError(
                f"task {name}: {entry['data']} has changed since its curve was measured."
            )
        return found.order[: self.settings.pool]

    def _lm(self) -> LanguageModel:
        """The sweep's model."""
        if self.model is not None:
            return self.model
        name, before = self.content["model"]["name"], self.content["model"]["fingerprint"]
        self.say(f"loading {name}")
        lm = load_model(name, device=self.settings.device, dtype=self.settings.dtype)
        if lm.identity.fingerprint != before:
            raise InputError(f"model {name}: no longer the one whose curves were measured.")
        self.model = lm
        return lm

    def _row(self, name: str, key: dict[str, Any]) -> dict[str, Any] | None:
        wanted = {"task": name} | key
        for row in self.kept:
            if all(row.get(field) == value for field, value in wanted.items()):
                return row
        return None

    def _need(self, name: str, probe: Probe, draw: int = 0) -> dict[str, Any]:
        row = self._row(name, self.settings.key(probe, draw))
        assert row is not None
        return row

    def _keep(self, name: str, key: dict[str, Any], **values: Any) -> None:
        row = {"task": name, **key, **{k: v for k, v in values.items() if k not in key}}
        self.file.append(row)
        self.kept.append(row)


def _share_allowed(answers: Sequence[str], allowed: Sequence[str]) -> float | None:
    """The share of answers that are one of the task's; None where any text may be one."""
    if not allowed:
        return None
    form = comparison(allowed, allowed)
    wanted = {form(text) for text in allowed}
    return float(np.mean([form(answer) in wanted for answer in answers]))
