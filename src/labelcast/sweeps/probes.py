"""What can be measured on a task without training: CoS-Low of several draws, and baselines.

The examples are training examples of the sweep with their answers; the test set is not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.files.json_files import JsonLines, write_json, write_with
from labelcast.models.confidence import MAX_NEW_TOKENS, score_confidence
from labelcast.models.coslow import CosLow, cos_low, cosine, encode_labelled, median_cosine
from labelcast.models.loading import LanguageModel, load_model
from labelcast.runs.records import Form, parse
from labelcast.runs.run import Run
from labelcast.selection.coslow_draws import draw_random, pick_low_confidence
from labelcast.sweeps.estimate import rough_speed
from labelcast.sweeps.records import ConfidenceRow, CosLowRow, RandomRow
from labelcast.sweeps.sweep import Sweep
from labelcast.sweeps.task_data import split
from labelcast.tasks.metrics import score_answers, share_allowed
from labelcast.tasks.prompts import Example

_MOST = 100
"""Draws, and sketches of each: more take hours, and their mean hardly changes."""
_POOL_SEED = 0

ProbeName = Literal["confidence", "coslow", "exact", "random"]
ProbeKey = dict[str, int | str]
"""The settings that a row of `probes.jsonl` must have to be used again."""
_Row = TypeVar("_Row", bound=Form)


@dataclass(frozen=True)
class ProbeSettings:
    """How the probes of a task are measured.

    Attributes:
        draws: how often the examples of low confidence are drawn.
        sketch_seeds: random matrices A for each draw.
        pool: examples whose confidence is measured.
        n_label: examples in a draw, 32 in the paper.
        rank: rank of the sketch.
        exact: also measure the limit of the sketch, on the first draw.
        keep_grams: keep the inner products of the gradients by layer and sketch in
            ``DIR/grams/TASK-PROBE-DRAW.npy`` [L,K,N,N] float32, with the layers' names in
            ``DIR/grams/layers.json``; 2 MB per draw for 135M weights.
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
    max_new_tokens: int = MAX_NEW_TOKENS
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

    def key(self, probe: ProbeName, draw: int = 0) -> ProbeKey:
        """What a row of `probes.jsonl` must have to be used again."""
        key: ProbeKey = {"probe": probe, "draw": draw, "pool": self.pool}
        key |= {"max_new_tokens": self.max_new_tokens}
        if probe != "confidence":
            key |= {"n_label": self.n_label, "rank": self.rank}
        if probe == "coslow":
            key |= {"sketch_seeds": self.sketch_seeds}
        return key


@dataclass(frozen=True)
class Probes:
    """What was measured on a task without training."""

    coslow: tuple[float, ...]  # of each draw, mean over its sketches
    sketch_sd: float | None  # over sketches, mean over draws; None with one sketch
    overlap: float | None  # mean fraction of examples that two draws share; None with one draw
    exact: float | None  # CoS-Low in the limit of the sketch, on the first draw
    random_cosine: float  # median over pairs of examples drawn at random
    gradient_norm: float  # mean over these examples
    mean_confidence: float  # over the pool

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

    After an interruption, the same call resumes with the first unfinished probe. `say` is called
    with what is measured next. A pool that is too small, or another model or data than those of
    the sweep, is refused.
    """
    with Run(sweep.path).locked():
        measuring = _Measuring(sweep, settings, say)
        measuring.file.cut_unfinished()
        if seconds := measuring.seconds(names):
            say(f"roughly {max(1, round(seconds / 60))} min for {sweep.path}")
        for name in names:  # first of all, because it finds a pool that is too small
            measuring.confidence(name)
        return {name: measuring.probes(name) for name in names}


def estimate_probes(sweep: Sweep, names: Sequence[str], settings: ProbeSettings) -> float:
    """Roughly how many seconds `measure_probes` would take; nothing is written."""
    return _Measuring(sweep, settings, lambda text: None).seconds(names)


class _Measuring:
    """Reads the probes of a sweep; measures those that are missing, and appends a line for each."""

    def __init__(self, sweep: Sweep, settings: ProbeSettings, say: Callable[[str], None]) -> None:
        self.sweep, self.settings, self.say = sweep, settings, say
        self.content = sweep.read()
        self.file = JsonLines(sweep.path / "probes.jsonl")
        self.rows = self.file.read()
        self.pools: dict[str, tuple[Example, ...]] = {}

    def probes(self, name: str) -> Probes:
        """Everything that is measured on a task."""
        draws = [self.coslow(name, "coslow", n) for n in range(self.settings.draws)]
        exact = self.coslow(name, "exact", 0).coslow if self.settings.exact else None
        random = self.random(name)
        spreads = [row.seed_sd or 0.0 for row in draws if len(row.per_seed) > 1]
        chosen = [set(row.ids) for row in draws]
        shared = [len(a & b) / max(len(a), 1) for a, b in combinations(chosen, 2)]
        return Probes(
            coslow=tuple(row.coslow for row in draws),
            sketch_sd=float(np.mean(spreads)) if spreads else None,
            overlap=float(np.mean(shared)) if shared else None,
            exact=exact,
            random_cosine=random.median,
            gradient_norm=random.norm,
            mean_confidence=self.confidence(name).mean_confidence,
        )

    def seconds(self, names: Sequence[str]) -> float:
        """Roughly how long the missing probes of some tasks take; 0 if there are none."""
        answers = gradients = 0
        settings, first = self.settings, ""
        for name in names:
            draws = [settings.key("coslow", n) for n in range(settings.draws)]
            draws += [settings.key("random")] + [settings.key("exact")] * settings.exact
            left = sum(self._found(Form, name, key) is None for key in draws)
            scored = self._found(Form, name, settings.key("confidence")) is not None
            answers += 0 if scored else settings.pool
            gradients += left * settings.n_label
            first = first or (name if left or not scored else "")
        if not first:
            return 0.0
        speed = rough_speed(self.lm, self._pool(first), settings.max_new_tokens)
        return answers * speed.test + gradients * speed.train

    def confidence(self, name: str) -> ConfidenceRow:
        """The confidence of the pool; the draws come from its lowest tenth."""
        key = self.settings.key("confidence")
        if found := self._found(ConfidenceRow, name, key):
            return found
        pool, n_label = self._pool(name), self.settings.n_label
        if len(pool) < n_label:
            raise InputError(
                f"task {name}: {len(pool)} examples outside its test set, fewer than the {n_label} "
                "of a draw. Lower --n-label; the estimate gets less certain."
            )
        self.say(f"{name}: confidence of {len(pool)} examples")
        begin, task = time.perf_counter(), self.content.tasks[name].task
        scored = score_confidence(
            self.lm,
            [e.prompt for e in pool],
            max_new_tokens=self.settings.max_new_tokens,
            allowed=task.decoded,
        )
        values = np.array([one.confidence for one in scored])
        answers = [one.answer for one in scored]
        score = score_answers(task.metric, answers, [str(e.answer) for e in pool], task.answers)
        return self._kept(
            ConfidenceRow,
            name,
            key,
            examples=len(pool),
            mean_confidence=float(np.nanmean(values)),
            metric=task.metric,
            score=score.total,
            allowed=share_allowed(answers, task.answers),
            confidence=[None if np.isnan(v) else round(float(v), 6) for v in values],
            seconds=round(time.perf_counter() - begin, 3),
        )

    def coslow(self, name: str, probe: ProbeName, draw: int) -> CosLowRow:
        """CoS-Low of one draw, from sketches or exact."""
        key, sketched = self.settings.key(probe, draw), probe == "coslow"
        found = self._found(CosLowRow, name, key)
        gram = f"{name}-{probe}-{draw}"
        if found and not (self.settings.keep_grams and not self._gram_file(gram).exists()):
            return found
        pool = self._pool(name)
        self.say(f"{name}: {probe}, draw {draw + 1}")
        try:
            picked = pick_low_confidence(self._confidences(name), self.settings.n_label, seed=draw)
        except InputError as error:
            raise InputError(f"task {name}: {error}") from None
        measured = cos_low(
            self.lm,
            [pool[i] for i in picked],
            method="sketch" if sketched else "exact",
            rank=self.settings.rank,
            seeds=self.settings.sketch_seeds if sketched else 1,
        )
        if self.settings.keep_grams:
            self._keep_grams(gram, measured)
        return found or self._kept(CosLowRow, name, key, **measured.to_dict())

    def random(self, name: str) -> RandomRow:
        """The cosines and the norms of the gradients of examples drawn at random."""
        key = self.settings.key("random")
        if found := self._found(RandomRow, name, key):
            return found
        pool = self._pool(name)
        self.say(f"{name}: random, draw 1")
        begin = time.perf_counter()
        skipped = np.flatnonzero(np.isnan(self._confidences(name))).tolist()
        drawn = [pool[i] for i in draw_random(len(pool), self.settings.n_label, taken=skipped)]
        gram = self.lm.gram(
            encode_labelled(self.lm, drawn),
            method="sketch",
            rank=self.settings.rank,
            seeds=[0],
            batch_size=None,
            progress=lambda done: None,
        )
        total = gram.values.numpy().sum(axis=(0, 1))  # [N,N]
        return self._kept(
            RandomRow,
            name,
            key,
            median=median_cosine(cosine(total)),
            norm=float(np.sqrt(np.diagonal(total)).mean()),
            ids=[example.id for example in drawn],
            seconds=round(time.perf_counter() - begin, 3),
        )

    def _keep_grams(self, name: str, found: CosLow) -> None:
        def write(path: Path) -> None:
            with path.open("wb") as stream:
                np.save(stream, found.grams.astype(np.float32), allow_pickle=False)

        file = self._gram_file(name)
        write_with(file, write)
        write_json(file.with_name("layers.json"), list(found.layers))

    def _gram_file(self, name: str) -> Path:
        return self.sweep.path / "grams" / f"{name}.npy"

    def _confidences(self, name: str) -> NDArray[np.float64]:
        """By position in the pool, NaN for a prompt that is too long."""
        values = self.confidence(name).confidence
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def _pool(self, name: str) -> tuple[Example, ...]:
        """A random part of the training examples; their contents fix the order."""
        if name not in self.pools:
            entry, content = self.content.tasks[name], self.content
            found = split(entry, content.test_size, seed=_POOL_SEED, render=self.lm.render)
            if found.test_digest != entry.test_digest:
                raise InputError(
                    f"task {name}: {entry.data} has changed since its curve was measured."
                )
            self.pools = {name: found.order[: self.settings.pool]}  # only one task's at a time
        return self.pools[name]

    @cached_property
    def lm(self) -> LanguageModel:
        """The sweep's model, loaded when it is first needed."""
        name, fingerprint = self.content.model.name, self.content.model.fingerprint
        self.say(f"loading {name}")
        lm = load_model(name, device=self.settings.device, dtype=self.settings.dtype)
        if lm.identity.fingerprint != fingerprint:
            raise InputError(f"model {name}: not the one whose curves were measured.")
        return lm

    def _found(self, kind: type[_Row], name: str, key: ProbeKey) -> _Row | None:
        """The first row of a task with all values of a key."""
        wanted = {"task": name, **key}.items()
        for number, row in enumerate(self.rows, 1):
            if wanted <= row.items():
                return parse(kind, row, f"{self.file.path} line {number}", "Remove that line.")
        return None

    def _kept(self, kind: type[_Row], name: str, key: ProbeKey, **values: object) -> _Row:
        """Append a row with what was measured."""
        row = {"task": name, **key} | values | key
        self.file.add(row)
        self.rows.append(row)
        return kind.model_validate(row)
