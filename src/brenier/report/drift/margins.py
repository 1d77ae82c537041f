"""How far each feature moved by itself: the W2 distance of two columns, which needs no map.

Of numbers it is the root mean square difference of their quantiles. Of categories, of which any two are s sqrt(2)
apart, it is s (2 TV)^(1/2), where TV is half of the sum of all differences of shares.

Where nothing changed it is not zero but noise. Of numbers its square falls as 1/n + 1/m, and of categories as the root
of that, which tells from two halves of the reference the noise for other numbers of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from brenier.datasets import NUMBER
from brenier.report.drift.rules import ColumnRule
from brenier.report.drift.settings import DRIFT


def margin_distances(
    rules: Sequence[ColumnRule], x: np.ndarray, z: np.ndarray
) -> tuple[float, ...]:
    """Return the distance of each feature of two tables, (n, features) and (m, features), both with rows."""
    return tuple(
        _distance(rule, x[:, place], z[:, place]) for place, rule in enumerate(rules)
    )


def margin_noise(
    rules: Sequence[ColumnRule], sample: np.ndarray, generator: torch.Generator
) -> tuple[float, ...]:
    """Return the distances between two halves of a sample (n, features), zeros for one row.

    Root mean squares over several ways to halve it, of rows that are enough: they are for `noise_half` rows of a half.
    """
    half = noise_half(len(sample))
    if not half:
        return (0.0,) * len(rules)
    squares = np.zeros(len(rules))
    for _ in range(DRIFT.halvings):
        first, second = halves(len(sample), generator)
        parts = sample[first[:half]], sample[second[:half]]
        squares += np.square(margin_distances(rules, *parts))
    return tuple(np.sqrt(squares / DRIFT.halvings).tolist())


def noise_half(rows: int) -> int:
    """Return the rows of a half that noise is measured with, of so many rows."""
    return min(rows // 2, DRIFT.noise_rows)


def halves(rows: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of two halves of so many rows, as large as each other."""
    order = torch.randperm(rows, generator=generator).numpy()
    half = rows // 2
    return order[:half], order[half : 2 * half]


def scaled_noise(
    noise: float, half: int, rows: tuple[int, int], power: float
) -> float | None:
    """Return the noise of a distance between so many rows, from that between two halves.

    Args:
        noise: between two halves.
        half: rows of a half.
        rows: of either table.
        power: of 1/n + 1/m that the noise goes with.
    """
    if half < 1 or min(rows) < 1:
        return None
    ratio = (1 / rows[0] + 1 / rows[1]) / (2 / half)
    return noise * math.pow(ratio, power)


def noise_power(rule: ColumnRule) -> float:
    """Return the power of 1/n + 1/m that the noise of a distance goes with."""
    return 0.5 if rule.kind == NUMBER else 0.25


def _distance(rule: ColumnRule, x: np.ndarray, z: np.ndarray) -> float:
    """Return the distance of one feature of two tables."""
    if rule.constant:
        return math.sqrt(float((z != rule.centre).mean()))
    if rule.kind == NUMBER:
        levels = (np.arange(DRIFT.grid) + 0.5) / DRIFT.grid
        apart = np.quantile(x, levels) - np.quantile(z, levels)
        return float(np.sqrt(np.square(apart / rule.spread).mean()))
    counts = [
        np.bincount(side.astype(np.int64), minlength=len(rule.levels) + 1) / len(side)
        for side in (x, z)
    ]
    # As tests do, look at rare categories as one.
    shares = [np.append(each[: rule.kept], [each[rule.kept : -1].sum(), each[-1]]) for each in counts]  # fmt: skip
    apart = np.abs(shares[0] - shares[1])
    return rule.spread * math.sqrt(float(apart.sum()))
