"""Ties and constants of the source, in words: a map sends one point to one point, so what is one cannot be spread."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor

from brenier.estimators.settings import InspectionSettings
from brenier.estimators.wild_rows import Looked
from brenier.statistics import top_row, top_values

ADVICE = {
    "point": "A map sends one point to one point, whatever the law of Y: give a source that varies",
    "rows": "A map sends equal rows to one point and cannot spread them. Where they stand for different states, such "
    "as values below a threshold, jitter them within it; else take a map of the other rows only",
    "constants": "No map can make a constant vary: the column is only shifted, to the mean of Y and to what its other "
    "columns tell. Leave it out on both sides, or give a source in which it varies",
    "values": "Equal values are spread only as far as other columns tell their rows apart. Where they stand for "
    "different values, such as those below a threshold, jitter them within it",
}


class Ties:
    """What is to be told of ties and constants, class by class.

    Args:
        settings: from which shares of rows on.
    """

    def __init__(self, settings: InspectionSettings) -> None:
        self.settings = settings
        self._told: dict[str, list[str]] = defaultdict(list)

    def find(self, source: Looked, target: Looked, where: str) -> None:
        """Remember what is to be told of two sides, of the class named."""
        x, z = source.rows, target.rows
        if len(x) < 2 or len(z) < 2 or not bool((z != z[0]).any()):
            return  # a point is a target that every map can reach
        if not bool((x != x[0]).any()):
            self._told["point"].append(f"all {len(x):,} rows{where} are the same point")
            return
        self._find_rows(source, target, where)
        constant = (x == x[0]).all(0)
        top_x, top_z = top_values(x), top_values(z)
        excess = self._excess(top_x.shares, top_z.shares, len(x), len(z))
        varies = excess >= self.settings.varying_values
        for column in torch.nonzero(constant & varies).flatten().tolist():
            value = f"{float(x[0, column]):.6g}"
            called = source.columns[column]
            self._told["constants"].append(
                f"{called}{where} is {value} in all rows, and varies in Y"
            )
        if x.shape[1] == 1:
            return  # which rows tell of
        tied = ~constant & (excess >= self.settings.tied_values)
        for column in torch.nonzero(tied).flatten().tolist():
            value = f"{float(top_x.values[column]):.6g}"
            called = source.columns[column]
            shares = _percent(top_x.shares[column]), _percent(top_z.shares[column])
            self._told["values"].append(
                f"{called}{where} is {value} in {shares[0]} of the rows, and no value of it is in more than "
                f"{shares[1]} of those of Y"
            )

    def messages(self) -> list[str]:
        """Return what is to be told, a message for each kind."""
        most, written = self.settings.told_columns, []
        for kind, entries in self._told.items():
            more = f"; and {len(entries) - most} more" if len(entries) > most else ""
            written.append(f"X: {'; '.join(entries[:most])}{more}. {ADVICE[kind]}")
        return written

    def _find_rows(self, source: Looked, target: Looked, where: str) -> None:
        """Remember the share of rows that are one and the same."""
        x, z = top_row(source.rows), top_row(target.rows)
        shares = torch.tensor([x.share, z.share], dtype=torch.float64)
        sizes = len(source.rows), len(target.rows)
        if float(self._excess(shares[0], shares[1], *sizes)) < self.settings.tied_rows:
            return
        example = source.rows[x.number, :4].tolist()
        values = ", ".join(f"{value:.6g}" for value in example)
        dots = ", ..." if source.rows.shape[1] > 4 else ""
        number = (
            "" if source.numbers is None else f"row {int(source.numbers[x.number])}: "
        )
        self._told["rows"].append(
            f"{_percent(x.share)} of the rows{where} are one and the same ({number}{values}{dots}), and no row of Y is "
            f"there in more than {_percent(z.share)}"
        )

    def _excess(self, p: Tensor, q: Tensor, n: int, m: int) -> Tensor:
        """Return by how much shares p of n rows exceed shares q of m rows for certain."""
        error = (p * (1 - p) / n + q * (1 - q) / m).sqrt()
        return p - q - self.settings.tie_errors * error


def _percent(share: Tensor | float) -> str:
    """Return a share in per cent."""
    return (
        f"{100 * float(share):.2g} %"
        if share < 0.995
        else f"{100 * math.floor(1000 * float(share)) / 1000:.4g} %"
    )
