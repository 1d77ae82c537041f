"""Small maps, and tables of all kinds for them, that the tests of bulk transport share."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from problems import POTENTIALS, gentle, normal

from brenier import Conditional, ConditionalMap, TransportMap
from brenier.statistics import moments
from brenier.transport.coordinates import (
    Classes,
    CovariateRows,
    aligned_coordinates,
    covariate_coordinates,
    regularised_pair,
)

D = 2
FEATURES = ["a", "b"]
UNIT = torch.ones(D, dtype=torch.float64)
CLASSES = ("cat", 7)


def plain_map(**settings: Any) -> TransportMap:
    """A map of two features that works on 16 rows at once."""
    network = gentle(POTENTIALS["convex celu"], dim=D).float()
    return TransportMap(network, **{"batch_size": 16, **settings})


def class_map(labels: tuple[Any, ...] = CLASSES) -> ConditionalMap:
    """A map of two classes."""
    pairs = []
    for k in range(len(labels)):
        x, z = (1 + k) * normal(80, D, seed=k), k + normal(90, D, seed=9 + k)
        pairs.append(regularised_pair(moments([x]), moments([z])))
    network = Conditional(gentle(POTENTIALS["convex celu"], dim=D + 2), D)
    classes = Classes(labels, aligned_coordinates(pairs, UNIT))
    return ConditionalMap(network, classes, batch_size=16)


def covariate_map() -> ConditionalMap:
    """A map at every value of a covariate."""
    c = normal(300, 1, seed=4)
    source = CovariateRows(normal(300, D, seed=5), c)
    target = CovariateRows((1 + c.square()) * normal(300, D, seed=6) + c, c)
    network = Conditional(gentle(POTENTIALS["convex celu"], dim=D + 3), D)
    conditions = covariate_coordinates(source, target, UNIT)
    return ConditionalMap(network, conditions, batch_size=16)


def frame(rows: int = 50, seed: int = 0) -> pd.DataFrame:
    """A table with the features among columns of other types, and rows by other names than 0, 1, ..."""
    values = normal(rows, D, seed=seed).numpy()
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "b": values[:, 1].astype(np.float32),
            "when": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
            "kind": [CLASSES[k % 2] if k % 5 else "cat" for k in range(rows)],
            "a": values[:, 0],
            "flag": pd.array([True, None] * (rows // 2) + [False] * (rows % 2)),
            "group": pd.Categorical([f"g{k % 3}" for k in range(rows)]),
            "c": values[:, 0] / 2,
        },
        index=pd.Index([f"row {k}" for k in range(rows)], name="name"),
    ).assign(kind=lambda table: table["kind"].astype(str))


def folder_of(
    path: Path, sizes: tuple[int, ...] = (50, 33, 7), **options: Any
) -> dict[str, pd.DataFrame]:
    """Parquet files of a folder, and what they hold by name."""
    path.mkdir(parents=True)
    frames = {f"part-{k}.parquet": frame(size, seed=k) for k, size in enumerate(sizes)}
    for name, table in frames.items():
        table.to_parquet(path / name, **options)
    return frames


def moved_features(transport: Any, table: pd.DataFrame, *condition: Any) -> np.ndarray:
    """What a map makes of the features of a table, in one call."""
    result: np.ndarray = transport(table[FEATURES].to_numpy(), *condition)
    return result
