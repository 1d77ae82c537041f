"""Pairs of samples for tests of drift; needs numpy alone, so that every library draws the same numbers.

An alternative changes one thing of N(0, I): "shift" moves column 0 by .1, "variance" multiplies its variance by 1.2,
"faults" adds 3 to it in 8 % of rows, "correlation" gives columns 0 and 1 a correlation of .2, and "signs" gives column
2 the sign of the product of columns 0 and 1, which no column and no pair of columns shows. "mixed" columns are
heavy-tailed (Student's t with 2 degrees of freedom), counts (Poisson, mean 1.5), and one-hot in threes (shares .7, .25,
.05).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHIFT, FAULTS, FAULT, CORRELATION, VARIANCE = 0.1, 0.08, 3.0, 0.2, 1.2


class Cell(NamedTuple):
    """What is drawn: the law or the change, rows a side, columns, and the shift of column 0 where it is not .1."""

    kind: str
    n: int
    d: int
    shift: float = SHIFT


def draw(cell: Cell, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return one pair of samples (n, d), float64."""
    rng = np.random.default_rng([seed, number])
    if cell.kind == "mixed":
        return mixed(rng, cell.n, cell.d), mixed(rng, cell.n, cell.d)
    x, z = rng.standard_normal((2, cell.n, cell.d))
    if cell.kind == "shift":
        z[:, 0] += cell.shift
    elif cell.kind == "variance":
        z[:, 0] *= VARIANCE**0.5
    elif cell.kind == "faults":
        z[:, 0] += FAULT * (rng.random(cell.n) < FAULTS)
    elif cell.kind == "correlation":
        z[:, 1] = CORRELATION * z[:, 0] + (1 - CORRELATION**2) ** 0.5 * z[:, 1]
    elif cell.kind == "signs":
        z[:, 2] = np.abs(z[:, 2]) * np.sign(z[:, 0] * z[:, 1])
    elif cell.kind != "null":
        raise ValueError(f"{cell.kind}: unknown")
    return x, z


def mixed(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Return rows of mixed columns."""
    columns: list[np.ndarray] = []
    while len(columns) < d:
        levels = rng.choice(3, n, p=(0.7, 0.25, 0.05))
        columns += [rng.standard_t(2, n), rng.poisson(1.5, n).astype(float)]
        columns += [(levels == level).astype(float) for level in range(3)]
    return np.stack(columns[:d], -1)
