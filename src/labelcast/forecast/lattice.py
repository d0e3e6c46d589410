"""Normal numbers that fill space evenly.

Knows a lattice and a seed that shifts it. It stands for numpy.random, whose import alone costs a
tenth of a forecast, and leaves less noise in a quantile.
"""

from functools import lru_cache

import numpy as np

from labelcast.forecast.efficiency import Array


@lru_cache(maxsize=8)
def lattice_normals(samples: int, dimensions: int, seed: int) -> Array:
    """Return standard normal numbers, [samples, dimensions]; do not write to them.

    Row i stands at (i, i times powers of the generalised golden ratio) modulo 1, so that every run
    of rows is spread evenly; the Box-Muller transform makes the numbers normal.
    """
    uniforms = 2 * ((dimensions + 1) // 2)
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (uniforms + 1))
    steps = ratio ** -np.arange(1.0, uniforms + 1)
    shift = (seed + 1) * np.sqrt(np.arange(2.0, uniforms + 2) + np.pi) + 0.5
    points = (shift + np.arange(samples)[:, None] * steps) % 1.0
    length = np.sqrt(-2 * np.log1p(-points[:, ::2]))
    angle = 2 * np.pi * points[:, 1::2]
    normals = np.concatenate([length * np.cos(angle), length * np.sin(angle)], axis=1)
    normals = normals[:, :dimensions]
    normals.flags.writeable = False
    return np.asarray(normals)
