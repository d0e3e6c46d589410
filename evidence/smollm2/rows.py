"""Copy the measured rows of the card out of the sweeps' folders, and back into them.

The rows are scores, probes, what the sweep is about, and cosines by layer, which are reduced from
matrices that are too large to keep. No path of a machine is copied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelcast.files.json_files import read_json, read_jsonl, write_json, write_jsonl
from labelcast.models.coslow import cosine, median_cosine

ROWS = ("scores.jsonl", "probes.jsonl", "layers.jsonl")
_THIRDS = ("first third", "middle third", "last third")


def collect(work: Path, measured: Path) -> None:
    """Copy what was measured in the sweeps of `work` to `measured`, one folder each."""
    for file in sorted(work.glob("*/sweep.json")):
        folder, out = file.parent, measured / file.parent.name
        content = read_json(file)
        for entry in content["tasks"].values():
            # Where the data was is no use to others.
            if not entry["data"].startswith(("generated:", "hub:")):
                entry["data"] = Path(entry["data"]).name
        layers = read_jsonl(folder / "layers.jsonl")
        known = {(row["task"], row["probe"], row["draw"]) for row in layers}
        new = _layer_rows(folder / "grams", known)
        if new:
            write_jsonl(folder / "layers.jsonl", [*layers, *new])
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "sweep.json", content)
        for name in ROWS:
            if (folder / name).exists():
                write_jsonl(out / name, read_jsonl(folder / name))


def restore(measured: Path, work: Path) -> None:
    """Copy rows that were measured elsewhere into the sweeps' folders."""
    for file in sorted(measured.glob("*/sweep.json")):
        folder = work / file.parent.name
        if not (folder / "sweep.json").exists():
            for name in ROWS:
                if (file.parent / name).exists():
                    write_jsonl(folder / name, read_jsonl(file.parent / name))
            write_json(folder / "sweep.json", read_json(file))


def without_blanks(file: Path, fields: Sequence[str], folder: Path) -> Path:
    """The data file, or a copy in `folder` without the records that have no input."""
    rows = read_jsonl(file)
    kept = [row for row in rows if any(str(row[field]).strip() for field in fields)]
    if len(kept) == len(rows):
        return file
    print(f"{file.name}: {len(rows) - len(kept)} records without any input are left out")
    write_jsonl(folder / file.name, kept)
    return folder / file.name


def mean_scores(folder: Path) -> float:
    """The mean score of a sweep's jobs."""
    return float(np.mean([row["score"] for row in read_jsonl(folder / "scores.jsonl")]))


def _layer_rows(folder: Path, known: set[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Median and mean cosine of subsets of the layers, for each new matrix file."""
    found = []
    for file in sorted(folder.glob("*.npy")):
        task, probe, draw = file.stem.rsplit("-", 2)
        if (task, probe, int(draw)) in known:
            continue
        layers = json.loads((folder / "layers.json").read_text("utf-8"))
        grams = np.load(file, allow_pickle=False).astype(np.float64)  # [L,K,N,N]
        row: dict[str, Any] = {"task": task, "probe": probe, "draw": int(draw)}
        for name, chosen in subsets(layers).items():
            row[name] = _cosines(grams[chosen].sum(axis=0))
        found.append(row)
    return found


def subsets(layers: list[str]) -> dict[str, NDArray[np.int64]]:
    """Positions of the layers in each subset, by its name."""
    kinds = [name.rpartition(".")[2] for name in layers]
    depths = [next(int(part) for part in name.split(".") if part.isdigit()) for name in layers]
    deep = max(depths) + 1
    tests = {"all": [True] * len(layers)}
    tests |= {kind: [k == kind for k in kinds] for kind in dict.fromkeys(kinds)}
    tests |= {
        "attention": ["gate" not in k and "up" not in k and "down" not in k for k in kinds],
        "feed-forward": ["gate" in k or "up" in k or "down" in k for k in kinds],
    }
    for number, name in enumerate(_THIRDS):
        tests[name] = [depth * 3 // deep == number for depth in depths]
    tests |= {f"block {block}": [depth == block for depth in depths] for block in range(deep)}
    return {name: np.flatnonzero(flags) for name, flags in tests.items()}


def _cosines(grams: NDArray[np.float64]) -> list[float] | None:
    """Median and mean cosine over pairs, the mean over K sketches, from [K,N,N].

    None if an example has no gradient in these layers.
    """
    if not (np.diagonal(grams, axis1=1, axis2=2) > 0).all():
        return None
    upper = np.triu_indices(grams.shape[1], 1)
    matrices = [cosine(gram) for gram in grams]
    medians = [median_cosine(matrix) for matrix in matrices]
    means = [matrix[upper].mean() for matrix in matrices]
    return [round(float(np.mean(medians)), 5), round(float(np.mean(means)), 5)]
