"""Single cells through time: one map for all steps of the embryoid bodies, beside the maps of discrete transport.

    BRENIER_DATA=... python -m benchmarks.cells --seeds 0 1 2

Embryoid body cells (Moon et al., 2019), five principal components, each standardised, at five times. The step from one
time to the next is the label; every method is fitted to the training cells of either time, and its images of the test
cells of the first are compared with the test cells of the second: Sinkhorn divergence (POT's, at a regularisation of a
hundredth of the mean squared distance) and W1 between the samples, no two methods by other cells. Both can be smaller
for local means of a law than for a sample of it, since those have shorter ways to another sample ("fresh cells
averaged"). So the unbiased energy distance between the laws is told as well, zero on average where they agree, and the
spread: the variance of the images in that of the cells they should be.

* conditional: one fit, default settings, the step as label; a row per step, and the mean of all;
* single, several: the same with one network, or four, whose mean is the potential; the default is two;
* separate: a fit for each step, default settings;
* identity, affine map, exact plan, entropic map: step by step, as in `finite`; nothing of them is chosen by test cells;
* fresh cells: the training cells of the second time, what a perfect map would score;
* fresh cells drawn in, averaged: the same, a tenth of the way to the mean of all, or at that of the five next to each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import discrete, finite, options, tables
from benchmarks.tables import Column, Table
from brenier import DataError, OptimalTransport
from brenier.datasets.folder import data_folder
from brenier.metrics import energy_distance, sinkhorn_divergence

ORIGIN = (
    "the embryoid body cells of TrajectoryNet (Tong et al., 2020), five principal components, standardised; arrays "
    "x (n, 5), t (n,), train_idx and test_idx"
)
STEPS = 4
DRAWN_IN = 0.1  # of the way to the mean of all
NEXT = 5  # cells in a local mean
QUICK = 400  # cells of a time, where time is short

Sides = tuple[Tensor, Tensor]  # cells of one time, and of the next
Move = Callable[[Tensor], Tensor]


def read_cells(most: int | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """Return training and test cells, time by time, in float64.

    Raises:
        DataError: where the file is not there.
    """
    path = data_folder(None, "eb/eb.npz", ORIGIN) / "eb" / "eb.npz"
    if not path.is_file():
        raise DataError(f"BRENIER_DATA: {path} does not exist; put it there: {ORIGIN}")
    with np.load(path) as archive:
        x, t = (
            torch.from_numpy(archive["x"]).double(),
            torch.from_numpy(archive["t"]).long(),
        )
        parts = [
            torch.from_numpy(archive[name]).long() for name in ("train_idx", "test_idx")
        ]
    train, test = (
        [x[part][t[part] == time][:most] for time in range(STEPS + 1)] for part in parts
    )
    return train, test


def conditional(
    train: list[Tensor], seed: int, **settings: Any
) -> tuple[list[Move], dict[str, Any]]:
    """Fit one map for all steps."""
    before, after = torch.cat(train[:-1]), torch.cat(train[1:])
    names = [
        [k for k, cells in enumerate(side) for _ in cells]
        for side in (train[:-1], train[1:])
    ]
    ot = OptimalTransport(random_state=seed, **settings)
    ot.fit(before, after, source_labels=names[0], target_labels=names[1])
    return [ot.map_.at(k) for k in range(STEPS)], _told([ot])


def separate(
    train: list[Tensor], seed: int, **settings: Any
) -> tuple[list[Move], dict[str, Any]]:
    """Fit a map for each step."""
    fits = [
        OptimalTransport(random_state=seed, **settings).fit(*pair)
        for pair in _pairs(train)
    ]
    return [ot.map_ for ot in fits], _told(fits)


def stepwise(
    fit: Callable[[Tensor, Tensor, int], discrete.Maps],
) -> Callable[..., tuple[list[Move], dict[str, Any]]]:
    """Return what fits a method of discrete transport to each step."""

    def fitted(
        train: list[Tensor], seed: int, **settings: Any
    ) -> tuple[list[Move], dict[str, Any]]:
        return [_moving(fit(x, z, seed).forward) for x, z in _pairs(train)], {}

    return fitted


def identity(
    train: list[Tensor], seed: int, **settings: Any
) -> tuple[list[Move], dict[str, Any]]:
    return [lambda x: x] * STEPS, {}


def fresh_cells(
    train: list[Tensor],
    seed: int,
    change: Callable[[Tensor, Tensor], Tensor] | None = None,
    **settings: Any,
) -> tuple[list[Move], dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(cells), generator=generator) for cells in train[1:]]

    def draw(cells: Tensor, order: Tensor) -> Move:
        return lambda x: (
            cells[order[: len(x)]]
            if change is None
            else change(cells[order[: len(x)]], cells)
        )

    return [
        draw(cells, order) for cells, order in zip(train[1:], orders, strict=True)
    ], {}


def drawn_in(some: Tensor, cells: Tensor) -> Tensor:
    return torch.lerp(some, cells.mean(0), DRAWN_IN)


def averaged(some: Tensor, cells: Tensor) -> Tensor:
    return cells[torch.cdist(some, cells).topk(NEXT, largest=False).indices].mean(1)


METHODS: Mapping[str, Callable[..., tuple[list[Move], dict[str, Any]]]] = {
    "conditional": conditional,
    "single": partial(conditional, n_networks=1),
    "several": partial(conditional, n_networks=4),
    "separate": separate,
    "identity": identity,
    "affine map": stepwise(finite.affine),
    "exact plan": stepwise(finite.exact),
    "entropic map": stepwise(finite.entropic),
    "fresh cells": fresh_cells,
    "fresh cells drawn in": partial(fresh_cells, change=drawn_in),
    "fresh cells averaged": partial(fresh_cells, change=averaged),
}


def measure(name: str, seed: int, most: int | None, **settings: Any) -> dict[str, Any]:
    """Fit a method, and compare its images of test cells with the test cells of the next time."""
    train, test = read_cells(most)
    moves, facts = METHODS[name](train, seed, **settings)
    numbers: dict[str, Any] = {}
    for k, (move, (x, z)) in enumerate(zip(moves, _pairs(test), strict=True)):
        moved = move(x)
        reg = 0.01 * float(torch.cdist(z, z).square().mean())
        numbers[f"sinkhorn_{k}"] = sinkhorn_divergence(moved, z, reg)
        numbers[f"w1_{k}"] = w1(moved, z)
        numbers[f"energy_{k}"] = energy_distance(moved, z)
        numbers[f"spread_{k}"] = float(moved.var(0).sum() / z.var(0).sum())
    for metric in ("sinkhorn", "w1", "energy", "spread"):
        numbers[metric] = sum(numbers[f"{metric}_{k}"] for k in range(STEPS)) / STEPS
    return numbers | facts


def w1(x: Tensor, z: Tensor) -> float:
    """Return the 1-Wasserstein distance between samples (n, d) and (m, d), as POT computes it."""
    import ot

    return float(ot.emd2([], [], torch.cdist(x, z).numpy(), numItermax=10**8))


def _pairs(cells: list[Tensor]) -> Iterator[Sides]:
    return itertools.pairwise(cells)


def _moving(forward: discrete.Map) -> Move:
    return lambda x: torch.from_numpy(np.asarray(forward(x.numpy())))


def _told(fits: list[OptimalTransport]) -> dict[str, Any]:
    return {
        "selected": ", ".join(
            dict.fromkeys(ot.diagnostics_["selected"] for ot in fits)
        ),
        "train_seconds": sum(ot.history_[-1]["seconds"] for ot in fits),
        "unconverged": sum(ot.diagnostics_["round_trip_unconverged"] for ot in fits),
    }


TABLES = (
    Table(
        "cells",
        "cells",
        (
            Column("Sinkhorn divergence, mean", "sinkhorn", ".4f"),
            *(Column(f"step {k}", f"sinkhorn_{k}", ".4f") for k in range(STEPS)),
            Column("W1, mean", "w1", ".4f"),
            *(Column(f"step {k}", f"w1_{k}", ".4f") for k in range(STEPS)),
            Column("energy distance, mean", "energy", ".4f"),
            Column("spread", "spread", ".2f"),
            Column("selected", "selected"),
            Column("unconverged", "unconverged", ".0f", max),
            Column("seconds", "train_seconds", ".0f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__)
    parser.add_argument(
        "--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS)
    )
    flags = options.parse(parser, arguments)
    settings: dict[str, Any] = {"max_steps": 40} if flags.quick else {}
    most = QUICK if flags.quick else None
    with options.open_ledger("cells", flags) as ledger:
        for name in flags.methods:
            for seed in flags.seeds:
                ledger.record(
                    "embryoid bodies",
                    name,
                    seed,
                    partial(measure, name, seed, most, **settings),
                )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
