"""Random rows of a file, as tensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.apps.cli.inputs import check_file_rows
from brenier.datasets import Samples

# Rows (n, d), and their labels.
LabelledRows: TypeAlias = tuple[Tensor, list[Hashable]]


def random_rows(samples: Samples, n: int, seed: int) -> Tensor:
    """Return at most n random rows in float64, in their order: (min(n, rows), d).

    Raises:
        DataError: where a row of a file left on disk holds NaN or inf.
    """
    return rows_at(samples, random_numbers(samples, n, seed))


def random_numbers(samples: Samples, n: int, seed: int) -> NDArray[np.integer]:
    """Return the numbers of the rows that `random_rows` takes: (min(n, rows),)."""
    return _choose(np.arange(len(samples.values)), n, seed)


def labelled_rows(
    samples: Samples,
    labels: Sequence[Hashable],
    known: Sequence[Hashable],
    n: int,
    seed: int,
) -> LabelledRows:
    """Return at most n random rows of known classes in float64, in their order, and their labels.

    Raises:
        DataError: where a row of a file left on disk holds NaN or inf.
    """
    chosen = known_numbers(labels, known, n, seed)
    return rows_at(samples, chosen), [labels[row] for row in chosen]


def known_numbers(
    labels: Sequence[Hashable], known: Sequence[Hashable], n: int, seed: int
) -> NDArray[np.integer]:
    """Return the numbers of the rows that `labelled_rows` takes."""
    classes = set(known)
    among = [row for row, label in enumerate(labels) if label in classes]
    return _choose(np.array(among, dtype=int), n, seed)


def _choose(rows: NDArray[np.integer], n: int, seed: int) -> NDArray[np.integer]:
    """Return all row numbers, or n random ones of them in their order."""
    if len(rows) <= n:
        return rows
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(rows, n, replace=False))


def rows_at(samples: Samples, rows: NDArray[np.integer]) -> Tensor:
    """Return rows of a file by their numbers in float64, checked: (len(rows), d)."""
    values = samples.values
    if len(rows) < len(values):
        values = values[rows]
    check_file_rows(values, samples.path, samples.columns)
    return torch.from_numpy(np.array(values, dtype=np.float64))
