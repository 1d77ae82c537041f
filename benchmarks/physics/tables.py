"""The five tables, split so that no test row is ever trained on, and scaled by the training rows alone.

They are subsets of the published ones ("Masked Autoregressive Flow for Density Estimation", Papamakarios et al., 2017),
prepared as there as far as they allow; `results/physics.md` says how they differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier import DataError
from brenier.datasets.folder import data_folder

ORIGIN = "subsets of the UCI tables POWER, GAS, HEPMASS and MINIBOONE, and patches of BSDS300, as <set>/<set>.npz"
SCALINGS = ("zscore", "minmax")
NOISE_SEED = 42  # of dequantisation, the same in every run: test rows do not change

Arrays = Mapping[str, np.ndarray]
Halves = tuple[np.ndarray, np.ndarray]  # training rows and test rows


class Feature(NamedTuple):
    """A feature of POWER: its column, and the width of the noise that is added to it."""

    name: str
    width: float


# The published features but for the minute of the day, which random rows of the whole file do not have here.
POWER = (
    Feature("global_active_power_kW", 0.001),
    Feature("voltage_V", 0.01),
    Feature("sub_metering_1_Wh", 1.0),
    Feature("sub_metering_2_Wh", 1.0),
    Feature("sub_metering_3_Wh", 1.0),
)
MINUTE = Feature("minute_of_day", 100.0)  # the subset with minutes has every hundredth


@dataclasses.dataclass(frozen=True)
class PhysicsTable:
    """A table, scaled.

    Attributes:
        name: of the set.
        train: (n, d), float32.
        test: (m, d).
        log_scale: what the scaled log-density is less than log-density in the units of the data: sum of log scales.
    """

    name: str
    train: Tensor
    test: Tensor
    log_scale: float

    @property
    def dim(self) -> int:
        """How many features there are."""
        return self.train.shape[1]


def power(arrays: Arrays, rng: np.random.Generator) -> Halves:
    columns = list(arrays["random_columns"])
    train, test = (
        _chosen(arrays[f"random_{part}"], columns, POWER, rng)
        for part in ("train", "test")
    )
    return train, test


def power_time(arrays: Arrays, rng: np.random.Generator) -> Halves:
    """Return all six features; of a few rows, shuffled as published, a tenth of them test rows."""
    rows = _chosen(arrays["raw"], list(arrays["columns"]), (*POWER, MINUTE), rng)
    rows = rng.permutation(rows)
    cut = len(rows) - len(rows) // 10
    return rows[:cut], rows[cut:]


def gas(arrays: Arrays, rng: np.random.Generator) -> Halves:
    return np.concatenate([arrays["train"], arrays["val"]]), arrays["test"]


def hepmass(arrays: Arrays, rng: np.random.Generator) -> Halves:
    return arrays["train"], arrays["test"]


def miniboone(arrays: Arrays, rng: np.random.Generator) -> Halves:
    rows, part = arrays["common40"], arrays["common40_part"]
    return rows[part < 2], rows[part == 2]


def bsds300(arrays: Arrays, rng: np.random.Generator) -> Halves:
    """Return 63 differences to the patch's mean, of grey values with noise between 0 and 1."""

    def patches(rows: np.ndarray) -> np.ndarray:
        values = (rows + rng.random(rows.shape)) / 256
        values -= values.mean(1, keepdims=True)
        return np.asarray(values[:, :-1])

    train = np.concatenate([arrays["train"], arrays["val"]])
    return patches(train), patches(arrays["test"])


# The name of the file, and how rows are made of it.
SETS: Mapping[str, tuple[str, Callable[[Arrays, np.random.Generator], Halves]]] = {
    "power": ("power", power),
    "gas": ("gas", gas),
    "hepmass": ("hepmass", hepmass),
    "miniboone": ("miniboone", miniboone),
    "bsds300": ("bsds300", bsds300),
    "power-time": ("power", power_time),
}
PUBLISHED = tuple(SETS)[:5]


def read_table(name: str, scaling: str = "zscore") -> PhysicsTable:
    """Return a set, scaled.

    Raises:
        DataError: where its file is not there.
    """
    file, make = SETS[name]
    place = Path(file) / f"{file}.npz"
    path = data_folder(None, str(place), ORIGIN) / place
    if not path.is_file():
        raise DataError(f"BRENIER_DATA: {path} does not exist; put it there: {ORIGIN}")
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    train, test = make(arrays, np.random.default_rng(NOISE_SEED))
    return scaled(name, train.astype(np.float64), test.astype(np.float64), scaling)


def scaled(
    name: str, train: np.ndarray, test: np.ndarray, scaling: str
) -> PhysicsTable:
    """Return a set in units of the training rows: standard deviations, or from their least to their greatest value."""
    if scaling == "zscore":
        centre, scale = train.mean(0), train.std(0)
    else:
        least, most = train.min(0), train.max(0)
        centre, scale = (least + most) / 2, (most - least) / 2
    own, other = (
        torch.from_numpy((part - centre) / scale).float() for part in (train, test)
    )
    return PhysicsTable(name, own, other, float(np.log(scale).sum()))


def _chosen(
    rows: np.ndarray,
    columns: list[str],
    features: tuple[Feature, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return some columns with uniform noise, each of its width."""
    index = [columns.index(feature.name) for feature in features]
    widths = np.array([feature.width for feature in features])
    values = rows[:, index].astype(np.float64)
    return values + widths * rng.random(values.shape)
