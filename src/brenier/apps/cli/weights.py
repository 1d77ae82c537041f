"""Weights as commands take them from files: a column of a table, or an array of a .npz file."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.apps.cli.inputs import Wanted, check_array
from brenier.datasets import TABLES, Samples, kind_of, open_table, read_samples
from brenier.errors import DataError

# Of all rows of either file, None where they count alike.
BothWeights: TypeAlias = tuple[NDArray[np.generic] | None, NDArray[np.generic] | None]


def weight_names(
    weight: str | None, source_weight: str | None, target_weight: str | None
) -> tuple[str | None, str | None]:
    """Return the columns of the weights of source and target.

    Raises:
        DataError: where one for both and one of a side are given.
    """
    if weight is None:
        return source_weight, target_weight
    if source_weight is not None or target_weight is not None:
        raise DataError(
            "--weight: names the column of both files; give it, or --source-weight and --target-weight"
        )
    return weight, weight


def both_weights(x: Samples, z: Samples, wanted: Wanted) -> BothWeights:
    """Return the weights of both sides; whether they can be used, who uses them checks.

    Raises:
        DataError: where there are none of a name, or they are no numbers.
    """
    named = wanted.weights
    return _weights_of(x, named[0], wanted), _weights_of(z, named[1], wanted)


def weights_at(
    weights: NDArray[np.generic] | None, rows: NDArray[np.integer]
) -> Tensor | None:
    """Return the weights of some rows, by their numbers: (len(rows),), or None where there are none."""
    return None if weights is None else torch.from_numpy(np.array(weights[rows]))


def _weights_of(
    samples: Samples, name: str | None, wanted: Wanted
) -> NDArray[np.generic] | None:
    """Return one column or array: (n,)."""
    if name is None:
        return None
    path, kind = samples.path, kind_of(samples.path)
    if kind in TABLES:
        open_table(path, wanted.dialect).place(name, "--weight")
        column = read_samples(path, columns=[name], dialect=wanted.dialect)
        return column.values[:, 0]
    if kind != ".npz":
        raise DataError(
            f"--weight: {path} holds one array and no weights; give a table, or a .npz file with both"
        )
    with np.load(path, allow_pickle=False) as archive:
        check_array(path, archive.files, name, "--weight")
        found: NDArray[np.generic] = archive[name]
    return found
