"""Single cells through time: one map for all steps of the embryoid bodies, beside the maps of discrete transport.

    BRENIER_DATA=... python -m benchmarks.cells --seeds 0 1 2

Embryoid body cells (Moon et al., 2019), five principal components, each standardised, at five times. The step from one
time to the next is the label. Every method is fitted to the training cells of both times; its images of the test cells
of the first are compared with the test cells of the second: Sinkhorn divergence (POT's, with a regularisation of a
hundredth of the mean squared distance) and W1 between the samples, the same cells for all methods. Both can be smaller
for local means of a law than for a sample of it, since local means are nearer to another sample ("fresh cells
averaged"). So the unbiased energy distance between the laws is in the rows as well, zero on average where they agree,
and the spread: the variance of the images over that of the true cells.

* conditional: one fit, default settings, the step as label; per step, and the mean of all;
* single, several: the same with one network, or four, whose mean is the potential; the default is two;
* separate: a fit for each step, default settings;
* identity, affine map, exact plan, entropic map: step by step, as in `finite`; nothing of them is chosen by test cells;
* fresh cells: training cells of the second time, the score of a perfect map;
* fresh cells drawn in, averaged: the same, a tenth of the way to the mean of all, or each the mean of the five nearest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import discrete, finite, scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
)
from brenier import DataError, OptimalTransport
from brenier.datasets.folder import data_folder
from brenier.metrics import energy_distance, sinkhorn_divergence

ORIGIN = (
    "the embryoid body cells of TrajectoryNet (Tong et al., 2020), five principal components, standardised; arrays "
    "x (n, 5), t (n,), train_idx and test_idx"
)
STEPS = 4
METRICS = ("sinkhorn", "w1", "energy", "spread")
SHRINKAGE = 0.1  # of the way to the mean of all
NEAREST = 5  # cells in a local mean
QUICK = 400  # cells of a time with --quick

Sides = tuple[Tensor, Tensor]  # cells of one time, and of the next
Move = Callable[[Tensor], Tensor]
Moves = tuple[list[Move], dict[str, Any]]  # one for each step, and facts


def read_cells(most: int | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """Return training and test cells, time by time, in float64.

    Raises:
        DataError: where the file is not there.
    """
    path = data_folder(None, "eb/eb.npz", ORIGIN) / "eb" / "eb.npz"
    if not path.is_file():
        raise DataError(f"BRENIER_DATA: {path} does not exist; put it there: {ORIGIN}")
    with np.load(path) as archive:
        x = torch.from_numpy(archive["x"]).double()
        t = torch.from_numpy(archive["t"]).long()
        train = torch.from_numpy(archive["train_idx"]).long()
        test = torch.from_numpy(archive["test_idx"]).long()

    def by_time(part: Tensor) -> list[Tensor]:
        return [x[part][t[part] == time][:most] for time in range(STEPS + 1)]

    return by_time(train), by_time(test)


def conditional(train: list[Tensor], seed: int, **settings: Any) -> Moves:
    """Fit one map for all steps."""
    before, after = torch.cat(train[:-1]), torch.cat(train[1:])
    ot = OptimalTransport(random_state=seed, **settings)
    ot.fit(
        before,
        after,
        source_labels=_step_of_each(train[:-1]),
        target_labels=_step_of_each(train[1:]),
    )
    return [ot.map_.at(k) for k in range(STEPS)], _facts([ot])


def _step_of_each(times: list[Tensor]) -> list[int]:
    return [step for step, cells in enumerate(times) for _ in cells]


def separate(train: list[Tensor], seed: int, **settings: Any) -> Moves:
    """Fit a map for each step."""
    fits = [
        OptimalTransport(random_state=seed, **settings).fit(*pair)
        for pair in _pairs(train)
    ]
    return [ot.map_ for ot in fits], _facts(fits)


def stepwise(
    fit: Callable[[Tensor, Tensor, int], discrete.Maps],
) -> Callable[..., Moves]:
    """Return what fits a method of discrete transport to each step."""

    def fitted(train: list[Tensor], seed: int, **settings: Any) -> Moves:
        return [_moving(fit(x, z, seed).forward) for x, z in _pairs(train)], {}

    return fitted


def identity(train: list[Tensor], seed: int, **settings: Any) -> Moves:
    return [lambda x: x] * STEPS, {}


def new_cells(
    train: list[Tensor],
    seed: int,
    change: Callable[[Tensor, Tensor], Tensor] | None = None,
    **settings: Any,
) -> Moves:
    """Return moves that give training cells of the next time, in a random order, changed or not."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(cells), generator=generator) for cells in train[1:]]

    def draw(cells: Tensor, order: Tensor) -> Move:
        def moved(x: Tensor) -> Tensor:
            chosen = cells[order[: len(x)]]
            return chosen if change is None else change(chosen, cells)

        return moved

    return list(map(draw, train[1:], orders)), {}


def shrunk(chosen: Tensor, cells: Tensor) -> Tensor:
    return torch.lerp(chosen, cells.mean(0), SHRINKAGE)


def averaged(chosen: Tensor, cells: Tensor) -> Tensor:
    nearest = torch.cdist(chosen, cells).topk(NEAREST, largest=False).indices
    return cells[nearest].mean(1)


METHODS: Mapping[str, Callable[..., Moves]] = {
    "conditional": conditional,
    "single": partial(conditional, n_networks=1),
    "several": partial(conditional, n_networks=4),
    "separate": separate,
    "identity": identity,
    "affine map": stepwise(finite.affine),
    "exact plan": stepwise(finite.exact),
    "entropic map": stepwise(finite.entropic),
    "fresh cells": new_cells,
    "fresh cells drawn in": partial(new_cells, change=shrunk),
    "fresh cells averaged": partial(new_cells, change=averaged),
}


def problems(flags: Flags) -> Iterator[Choice]:
    yield Choice("embryoid bodies", None)


def methods(flags: Flags, problem: object) -> Iterator[Choice]:
    for name in flags.methods:
        yield Choice(name, METHODS[name])


def measure(
    problem: object, fit: Callable[..., Moves], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit a method, and compare its images of test cells with the test cells of the next time."""
    train, test = read_cells(flags.most)
    moves, facts = fit(train, seed, **flags.settings)
    numbers: dict[str, Any] = {}
    for k, (move, (x, z)) in enumerate(zip(moves, _pairs(test), strict=True)):
        moved = move(x)
        reg = 0.01 * float(torch.cdist(z, z).square().mean())
        numbers[f"sinkhorn_{k}"] = sinkhorn_divergence(moved, z, reg)
        numbers[f"w1_{k}"] = w1(moved, z)
        numbers[f"energy_{k}"] = energy_distance(moved, z)
        numbers[f"spread_{k}"] = float(moved.var(0).sum() / z.var(0).sum())
    for metric in METRICS:
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


def _facts(fits: list[OptimalTransport]) -> dict[str, Any]:
    selected = dict.fromkeys(ot.diagnostics_["selected"] for ot in fits)
    return {
        "selected": ", ".join(selected),
        "train_seconds": sum(ot.history_[-1]["seconds"] for ot in fits),
        "unconverged": sum(ot.diagnostics_["round_trip_unconverged"] for ot in fits),
    }


TABLE = Table(
    "cells",
    "cells",
    (
        Column("Sinkhorn divergence, mean", "sinkhorn", ".4f"),
        *(Column(f"step {k}", f"sinkhorn_{k}", ".4f") for k in range(STEPS)),
        Column("W1, mean", "w1", ".4f"),
        *(Column(f"step {k}", f"w1_{k}", ".4f") for k in range(STEPS)),
        Column("energy distance, mean", "energy", ".4f"),
        Column("spread", "spread", ".2f"),
        scores.SELECTED,
        scores.UNCONVERGED,
        scores.SECONDS,
    ),
)
SHORT = TABLE.short(
    lambda row: not row.method.startswith("fresh cells "),
    "Sinkhorn divergence, mean",
    "W1, mean",
    "energy distance, mean",
    "spread",
)
ARGUMENTS = Arguments(
    (choices("--methods", METHODS),),
    fixed={"settings": {}, "most": None},
    quick={"settings": {"max_steps": 40}, "most": QUICK},
)
BENCHMARK = Benchmark(
    "cells", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
