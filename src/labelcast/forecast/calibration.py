"""Calibration cards: from CoS-Low to the AUC of one model; those that ship, and a model's own."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from labelcast.errors import InputError
from labelcast.files.json_files import read_object, write_json
from labelcast.forecast.distributions import t_quantile
from labelcast.forecast.efficiency import AUC_HIGH, AUC_LOW, AucEstimate
from labelcast.forecast.line import (
    STRICT,
    ErrorDifference,
    ModelLine,
    TaskPoint,
    checked_points,
    fit_points,
)
from labelcast.forecast.options import DEFAULT_LEVEL, checked_level

SHIPPED = Path(__file__).parent / "shipped_cards"
POOLED = "pooled"
"""Name of the card for models that have none."""


@dataclass(frozen=True)
class Calibration:
    """A calibration card: AUC' = slope * CoS-Low + intercept, and how far it errs.

    Attributes:
        name: name of the card.
        model: the model in words.
        hub_ids: the exact hub ids that it is valid for.
        recipe: the fine-tuning behind its curves.
        slope, intercept: those of the line.
        residual_sd: standard deviation of the AUC around the line.
        tasks: how many tasks it was fitted to.
        loto_mae: mean absolute error of the AUC, leaving one task out; None where unknown.
        source: where the figures come from.
        points: the tasks, where they are known.
        mean_coslow, sxx: mean of CoS-Low and sum of its squared deviations over the tasks, where
            known: the error of the line then grows away from the mean.
        coslow_range: smallest and largest CoS-Low of the tasks, where known.
        refit_spread: spread of slope and intercept over refits, where published.
        borrowed_residuals_from: the card whose residual_sd this one uses, if not its own.
        loto_difference: error of predicting the mean of the other tasks minus that of the line,
            with its interval; None where it was not tried. Where the interval reaches 0 the card
            `leans_on_prior`.
        lines: pooled card only: the lines of the models behind it.
        fingerprints: fingerprints of the models' config and tokenizer.
        architecture: config entries that identify a similar model.
        versions: versions of the software that fitted it.
        decoding: how the answers behind the scores were decoded: ``free``, ``constrained`` to the
            allowed ones, or ``mixed``.

    Source: Je and Raffel (2025), the linear map from CoS-Low to data efficiency.
    """

    name: str
    model: str
    hub_ids: tuple[str, ...]
    recipe: str
    slope: float
    intercept: float
    residual_sd: float
    tasks: int
    source: str
    loto_mae: float | None = None
    points: tuple[TaskPoint, ...] = ()
    mean_coslow: float | None = None
    sxx: float | None = None
    coslow_range: tuple[float, float] | None = None
    refit_spread: tuple[float, float] | None = None
    borrowed_residuals_from: str | None = None
    loto_difference: ErrorDifference | None = None
    lines: tuple[ModelLine, ...] = ()
    fingerprints: tuple[str, ...] = ()
    architecture: dict[str, int | str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    decoding: str = "free"
    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse numbers that no line can have."""
        if not self.name:
            raise InputError("name: a calibration needs a name")
        for key in ("slope", "intercept", "residual_sd"):
            if not math.isfinite(getattr(self, key)):
                raise InputError(f"{key}: expected a finite number, not {getattr(self, key)!r}")
        if self.residual_sd < 0:
            raise InputError(f"residual_sd: expected 0 or more, not {self.residual_sd}")
        if self.tasks < 3:
            raise InputError(f"tasks: a line and its error need 3 tasks or more, not {self.tasks}")
        if self.points and len(self.points) != self.tasks:
            raise InputError(f"points: {len(self.points)} are listed, but tasks is {self.tasks}")
        if self.leans_on_prior and not self.points:
            raise InputError("points: a card that leans on the mean of its tasks must name them")
        if self.sxx is not None and not self.sxx > 0:
            raise InputError(f"sxx: expected more than 0, not {self.sxx}")
        if len(self.lines) == 1:
            raise InputError("lines: a pooled card needs the lines of two models or more")

    @classmethod
    def fit(
        cls,
        coslow: Sequence[float],
        auc: Sequence[float],
        *,
        name: str,
        tasks: Sequence[str] | None = None,
        model: str = "",
        hub_ids: Sequence[str] = (),
        recipe: str = "full fine-tuning",
        source: str = "fitted by the user",
        fingerprints: Sequence[str] = (),
        architecture: Mapping[str, int | str] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> "Calibration":
        """Fit a line over n tasks by least squares.

        `coslow` (each -1 to 1), `auc` (0 to 1) and `tasks` (names, no two alike) are [n]; the other
        arguments are attributes of the card. Without `versions`, those of Python and numpy.

        Raises:
            InputError: under 8 tasks, lengths that differ, a value out of range, a name twice, or
                a CoS-Low that does not vary.

        Examples:
            >>> x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
            >>> card = Calibration.fit(x, [0.3 + 0.5 * v for v in x], name="mine")
            >>> round(card.slope, 6), round(card.intercept, 6), card.tasks
            (0.5, 0.3, 8)
        """
        points = checked_points(coslow, auc, tasks)
        line = fit_points(points)
        return cls(
            name=name,
            model=model,
            hub_ids=tuple(hub_ids),
            recipe=recipe,
            slope=line.slope,
            intercept=line.intercept,
            residual_sd=line.residual_sd,
            tasks=len(points),
            source=source,
            loto_mae=line.loo_mae,
            points=points,
            mean_coslow=line.mean_x,
            sxx=line.sxx,
            coslow_range=(float(line.x.min()), float(line.x.max())),
            fingerprints=tuple(fingerprints),
            architecture=dict(architecture or {}),
            versions=dict(
                versions or {"python": platform.python_version(), "numpy": np.__version__}
            ),
        )

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read a card from a JSON file.

        Raises:
            InputError: it cannot be read or is not a card; the message names path and key.
        """
        # Imported here because a forecast with a shipped card does without it.
        from pydantic import TypeAdapter, ValidationError

        from labelcast.files.validation import faults

        content = read_object(Path(path))
        try:
            return TypeAdapter(Calibration).validate_json(json.dumps(content))
        except ValidationError as error:
            problems = "; ".join(map(str, faults(error)))
            raise InputError(
                f"{path}: not a calibration card: {problems}; `Calibration.save` shows the form"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write the card as JSON; `load` gives back the same card exactly.

        Raises:
            RunError: the file cannot be written.
        """
        write_json(Path(path), asdict(self), indent=1)

    @property
    def leans_on_prior(self) -> bool:
        """Whether the line was tried and not shown to err less than the mean of the tasks."""
        tried = self.loto_difference
        return tried is not None and not tried.line_is_better

    def predict(self, coslow: float, level: float = DEFAULT_LEVEL) -> AucEstimate:
        """Predict the AUC of a task from its CoS-Low.

        A card that `leans_on_prior` predicts the mean of its tasks whatever the CoS-Low, with the
        spread of a further task around it.

        Args:
            coslow: -1 to 1.
            level: level of the prediction interval, 0.001 to 0.999.

        Raises:
            InputError: coslow or level out of range.

        Source: Je and Raffel (2025), AUC' = c * CoS-Low + I; the interval is ours.

        Examples:
            >>> from dataclasses import replace
            >>> llama = replace(by_name("llama-3.1-8b-instruct"), slope=0.54, intercept=0.31)
            >>> round(llama.predict(0.65).mean, 3)
            0.661
        """
        if not (math.isfinite(coslow) and -1 <= coslow <= 1):
            raise InputError(f"--coslow: a median of cosines lies within -1 to 1, not {coslow}")
        level = checked_level(level)
        if self.leans_on_prior:
            centre, sd, df = self._task_mean()
        else:
            centre, (sd, df) = self.slope * coslow + self.intercept, self._error_at(coslow)
        mean, warnings = _clipped(centre), self._caveats(coslow)
        if mean != centre:
            warnings.append(
                f"the predicted AUC {centre:.3f} lies outside {AUC_LOW} to {AUC_HIGH} "
                f"and was clipped to {mean}"
            )
        half = t_quantile((1 + level) / 2, df) * sd
        return AucEstimate(
            mean=mean,
            sd=sd,
            df=df,
            level=level,
            low=_clipped(mean - half),
            high=_clipped(mean + half),
            clipped=mean != centre,
            warnings=tuple(warnings),
        )

    def _task_mean(self) -> tuple[float, float, float]:
        """Return the tasks' mean AUC, and scale and degrees of freedom of a further task's."""
        aucs = np.array([point.auc for point in self.points])
        sd = float(aucs.std(ddof=1)) * math.sqrt(1 + 1 / len(aucs))
        return float(aucs.mean()), max(sd, 1e-9), float(len(aucs) - 1)

    def _error_at(self, coslow: float) -> tuple[float, float]:
        """Return scale and degrees of freedom of the prediction error.

        A model without a card of its own errs by its own line and by the error of the mean line:
        the sample variance of the models' predictions, times 1 + 1/models, is added.
        """
        residual = max(self.residual_sd, 1e-9) ** 2
        if self.mean_coslow is not None and self.sxx is not None:
            residual *= 1 + 1 / self.tasks + (coslow - self.mean_coslow) ** 2 / self.sxx
        df = float(self.tasks - 2)
        if not self.lines:
            return math.sqrt(residual), df
        values = [line.slope * coslow + line.intercept for line in self.lines]
        between_sd = math.sqrt(float(np.var(values, ddof=1)) * (1 + 1 / len(values)))
        between = between_sd**2
        if between > 0:
            # Welch and Satterthwaite: one t for a sum of two estimated variances.
            parts = between**2 / (len(self.lines) - 1) + residual**2 / df
            df = (between + residual) ** 2 / parts
        return math.sqrt(between + residual), df

    def _caveats(self, coslow: float) -> list[str]:
        gain = self.loto_difference
        if gain is not None and self.leans_on_prior:
            return [
                f"on the {self.tasks} tasks of the card {self.name} CoS-Low is not shown to "
                f"predict the AUC better than the mean of the other tasks does (errors differ by "
                f"{gain.mean:.3f}, 90% interval {gain.low:.3f} to {gain.high:.3f}): CoS-Low is "
                "left out, and the AUC is that of those tasks; give observed scores (--observe)"
            ]
        caveats = []
        if self.borrowed_residuals_from:
            caveats.append(
                f"the card {self.name} has no residuals of its own; how far tasks scatter around "
                f"its line is borrowed from {self.borrowed_residuals_from}"
            )
        if self.coslow_range and not self.coslow_range[0] <= coslow <= self.coslow_range[1]:
            low, high = self.coslow_range
            caveats.append(
                f"CoS-Low {coslow:.3f} lies outside the tasks of the card {self.name} "
                f"({low:.2f} to {high:.2f}): the line is extended beyond what was measured"
            )
        return caveats


def _clipped(auc: float) -> float:
    return min(max(auc, AUC_LOW), AUC_HIGH)


@cache
def shipped() -> tuple[Calibration, ...]:
    """Return the shipped cards, sorted by name, the pooled one last.

    >>> [card.name for card in shipped()][-1]
    'pooled'
    """
    cards = [_from_own(json.loads(file.read_text("utf-8"))) for file in SHIPPED.glob("*.json")]
    return tuple(sorted(cards, key=lambda card: (card.name == POOLED, card.name)))


def by_name(name_or_path: str | Path) -> Calibration:
    """Return a shipped card by name, or a card from a JSON file by path.

    Raises:
        InputError: no such name or file (the message lists the names and the closest one), or
            the file is not a card.

    >>> by_name("qwen2.5-14b-instruct").slope
    0.526
    """
    known = {card.name: card for card in shipped()}
    name = str(name_or_path)
    if name in known:
        return known[name]
    if isinstance(name_or_path, Path) or name.endswith(".json") or os.sep in name:
        return Calibration.load(name_or_path)
    if Path(name).is_file():
        raise InputError(f"--calibration {name}: a card's file name ends in .json; rename it.")
    import difflib

    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(
        f"--calibration: no calibration named {name!r}{hint} "
        f"(there are {', '.join(known)}, or give the path of a card's JSON file)"
    )


def find(
    hub_id: str | None = None,
    fingerprint: str | None = None,
    architecture: Mapping[str, int | str] | None = None,
) -> tuple[Calibration, list[str]]:
    """Return the card of a model, else the pooled one, with warnings in words.

    Args:
        hub_id: the model's exact hub id.
        fingerprint: fingerprint of its config and tokenizer.
        architecture: entries of its config. A card with the same ones is only named in a warning,
            because a base model is not its Instruct model.

    Examples:
        >>> card, warnings = find(hub_id="mistralai/Mistral-7B-Instruct-v0.3")
        >>> card.name, warnings
        ('mistral-7b-instruct-v0.3', [])
        >>> find(hub_id="someone/model")[0].name
        'pooled'
    """
    for card in shipped():
        if hub_id in card.hub_ids or fingerprint in card.fingerprints:
            return card, []
    warnings = [
        f"no calibration exists for {hub_id or 'this model'}: the pooled card is used, whose "
        "interval includes the spread between the published models"
    ]
    warnings += [
        f"this model's architecture is like that of {card.model}, but it is not known to be that "
        f"model; if it is, choose its card with --calibration {card.name}"
        for card in shipped()
        if card.architecture
        and all((architecture or {}).get(key) == value for key, value in card.architecture.items())
    ]
    return by_name(POOLED), warnings


def _from_own(content: dict[str, Any]) -> Calibration:
    """Build a shipped card without pydantic; the tests check that a strict load gives the same."""
    for key, kind in (("lines", ModelLine), ("points", TaskPoint)):
        content[key] = [kind(**entry) for entry in content.get(key, [])]
    if content.get("loto_difference"):
        content["loto_difference"] = ErrorDifference(**content["loto_difference"])
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return Calibration(**(content | lists))
