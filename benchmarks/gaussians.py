"""How exactly the map between two Gaussians is found.

    python -m benchmarks.gaussians                                       # default settings, d = 2 ... 64
    python -m benchmarks.gaussians --start identity --stream --minutes 5 # nothing known at the start, endless samples
    python -m benchmarks.gaussians --start identity --stream --minutes 1 # the short variant; also --short
    python -m benchmarks.gaussians --methods default paper --minutes 5   # the published settings side by side

Pairs of centred Gaussians with random covariances, eigenvalues in [1/2, 2] ("Fixed-Point Neural Optimal Transport...",
Park et al., 2026, Table 1); the seed draws the pair, the samples and the training. The first command fits
`OptimalTransport(random_state=seed)` to 100,000 samples a side, drawn once, and measures both maps on 100,000 new
points. The rows also hold the paper's figures for the forward map, and the *sampling floor*: the affine map between the
means and covariances of the same samples, computed without this library.
Targets: below the paper's figure, and at most 1.5 times the floor, in both directions, for every d.

The next two start at the identity and draw new samples for every batch. Targets: a tenth of the paper's figure in both
directions for every seed, and no failure.

`--methods paper` fits with the published settings (see `preset`), in either mode. `--minutes` limits every fit, and is
then part of the method's name; without it, fits to samples drawn once take all their steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from benchmarks import preset, scores
from benchmarks.harness import (
    UNLIMITED,
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    always,
    choices,
    flag,
)
from brenier import OptimalTransport
from brenier.datasets import Pair, gaussian_pair
from brenier.estimators import POTENTIALS
from brenier.metrics import l2_uvp

STREAM_SEEDS = (0, 1, 2, 3, 4)
PAPER = {2: 0.013, 4: 0.016, 8: 0.046, 16: 0.053, 32: 0.054, 64: 0.0822}
RATIO, SHARE = 1.5, 0.1  # targets: times the floor, of the paper's figure
MINUTES = 5.0  # of training on endless samples, by default
SIDES = ("forward", "backward")


def plug_in(x: Tensor, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means (d,), (d,) and linear part (d, d) of the optimal map between the moments of two sets of samples.

    Gamma = S0^{-1} (S0 S1)^{1/2}, in numpy and scipy, float64.
    """
    source, target = x.double().numpy(), z.double().numpy()
    first = np.atleast_2d(np.cov(source, rowvar=False))
    second = np.atleast_2d(np.cov(target, rowvar=False))
    matrix = np.linalg.solve(first, np.real(scipy.linalg.sqrtm(first @ second)))
    return source.mean(0), target.mean(0), (matrix + matrix.T) / 2


def floor(pair: Pair, x: Tensor, z: Tensor, n: int, seed: int) -> dict[str, float]:
    """Return the errors of the plug-in map of samples x, z, on the evaluation points."""
    source_mean, target_mean, matrix = (torch.from_numpy(p) for p in plug_in(x, z))
    points, truth, images, preimages = scores.evaluation_points(pair, n, seed)
    moved = target_mean + (points - source_mean) @ matrix
    back = source_mean + torch.linalg.solve(matrix, (images - target_mean).mT).mT
    return {
        "forward_floor": l2_uvp(moved, truth, pair.variance_target),
        "backward_floor": l2_uvp(back, preimages, pair.variance_source),
    }


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        yield Choice(f"d={dim}", dim, {"dim": dim})


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    limits = _limits(flags)
    settings = {"fresh": flags.points, "stream": flags.stream}
    if not flags.stream:
        settings["samples"] = flags.points
    if "max_time" in limits:
        settings["max_time"] = limits["max_time"]
    for method in flags.methods:
        changes = dict(limits)
        if method == "default":
            changes["potential"] = flags.potential
        yield Choice(_name(method, flags, limits), (method, changes), settings)


def measure(
    dim: int, method: tuple[str, Mapping[str, Any]], seed: int, flags: Flags
) -> dict[str, Any]:
    name, changes = method
    fit = fit_stream if flags.stream else fit_samples
    return fit(dim, seed, flags.points, name, changes)


def fit_samples(
    dim: int, seed: int, n: int, method: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Fit n samples drawn once, with some arguments of the method changed; compare with the floor and the paper."""
    pair = gaussian_pair(dim, seed)
    generator = torch.Generator().manual_seed(seed)
    x, z = pair.source(n, generator), pair.target(n, generator)
    ot = preset.fit_to(method, x, z, dim, random_state=seed, **changes)
    numbers = scores.score(ot.map_, pair, n, seed) | floor(pair, x, z, n, seed)
    for side in SIDES:
        numbers[f"{side}_ratio"] = numbers[f"{side}_uvp"] / numbers[f"{side}_floor"]
    return numbers | {"paper": PAPER.get(dim)} | scores.training_facts(ot)


def fit_stream(
    dim: int, seed: int, n: int, method: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Fit endless samples for some time, with some arguments of the method changed."""
    pair = gaussian_pair(dim, seed)
    ot = preset.fit(method, pair, random_state=seed, **changes)
    return scores.score(ot.map_, pair, n, seed) | scores.training_facts(ot)


def _limits(flags: Flags) -> dict[str, Any]:
    """Return the arguments of the estimator that limit a fit; none where the method's own limits hold."""
    if not flags.stream:
        if flags.quick:
            return {"max_steps": 50}
        return {} if flags.minutes is None else {"max_time": 60 * flags.minutes}
    seconds = 60 * (flags.minutes or MINUTES)
    if flags.short:
        seconds = 60.0
    if flags.quick:
        seconds = 2.0
    start = flags.start or "identity"
    return {"start": start, "max_steps": UNLIMITED, "max_time": seconds}


def _name(method: str, flags: Flags, limits: Mapping[str, Any]) -> str:
    """Return the name of a method in the rows: its potential for the default, and how it is limited."""
    name = flags.potential if method == "default" else method
    if flags.stream:
        start, seconds = limits["start"], limits["max_time"]
        return f"{name}, {start} start, {seconds:.0f} s of fresh samples"
    return f"{name}, {limits['max_time']:.0f} s" if "max_time" in limits else name


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    if flags.stream and not flags.quick and "--seeds" not in flags.arguments:
        flags.seeds = list(STREAM_SEEDS)
    if flags.start is not None and not flags.stream:
        parser.error(
            "--start needs --stream; samples drawn once are fitted from where the method starts"
        )


def _meets_targets(row: Row) -> bool:
    """Say whether a row of the first table meets its targets."""
    paper = row.get("paper") or float("inf")
    for side in SIDES:
        error, over_floor = row.get(f"{side}_uvp"), row.get(f"{side}_ratio")
        if error is None or over_floor is None:
            return False
        if error >= paper or over_floor > RATIO:
            return False
    return row.status == "ok"


def _is_streamed(row: Row) -> bool:
    return row.settings.get("stream", False)


def _is_sampled(row: Row) -> bool:
    return not _is_streamed(row)


def _stream_target(row: Row) -> float | None:
    """Return the target of a row of the second table, in percent."""
    paper = PAPER.get(row.settings["dim"])
    return None if paper is None else SHARE * paper


def _meets_stream_target(row: Row) -> bool | None:
    """Say whether a row of the second table meets its target."""
    target = _stream_target(row)
    if target is None:
        return None
    errors = [row.get(f"{side}_uvp") for side in SIDES]
    return row.status == "ok" and all(
        error is not None and error <= target for error in errors
    )


_TRAINING = (
    scores.ROUND_TRIP,
    scores.UNCONVERGED,
    scores.SELECTED,
    scores.STEPS,
    scores.SECONDS,
)
SAMPLED = Table(
    "gaussians",
    "gaussians",
    (
        Column("forward UVP %", "forward_uvp", ".4f"),
        Column("paper", "paper", ".4f"),
        Column("floor", "forward_floor", ".4f"),
        Column("ratio (≤ 1.5)", "forward_ratio", ".2f", max),
        Column("backward UVP %", "backward_uvp", ".4f"),
        Column("floor", "backward_floor", ".4f"),
        Column("ratio (≤ 1.5)", "backward_ratio", ".2f", max),
        *_TRAINING,
        Column("met", _meets_targets),
    ),
    where=_is_sampled,
)
STREAMED = Table(
    "gaussians-stream",
    "gaussians",
    (
        Column("forward UVP %, median", "forward_uvp", ".4f"),
        Column("worst", "forward_uvp", ".4f", max),
        Column("backward UVP %, median", "backward_uvp", ".4f"),
        Column("worst", "backward_uvp", ".4f", max),
        Column("target (paper / 10)", _stream_target, ".4f"),
        *_TRAINING,
        Column("met", _meets_stream_target),
    ),
    where=_is_streamed,
)
SHORT_SAMPLED = SAMPLED.short(
    always, "forward UVP %", "paper", "ratio (≤ 1.5)", "backward UVP %", "met"
)
SHORT_STREAMED = STREAMED.short(
    lambda row: (
        row.method.startswith("free, identity") and row.get("dim") in (2, 16, 64)
    ),
    "forward UVP %, median",
    "backward UVP %, median",
    "worst",
    "target (paper / 10)",
    "met",
)
TABLES = (SAMPLED, STREAMED, SHORT_SAMPLED, SHORT_STREAMED)
ARGUMENTS = Arguments(
    (
        choices("--methods", preset.METHODS, ["default"]),
        flag(
            "--stream",
            action="store_true",
            help="draw new samples for every batch, limited by time",
        ),
        flag(
            "--start",
            choices=("affine", "identity"),
            help="with --stream (default identity)",
        ),
        flag(
            "--minutes",
            type=float,
            help="training time per fit (with --stream default 5)",
        ),
        flag("--short", action="store_true", help="with --stream: one minute"),
        flag(
            "--potential",
            choices=tuple(POTENTIALS),
            default=OptimalTransport().potential,
        ),
    ),
    dims=(2, 4, 8, 16, 32, 64),
    fixed={"points": 100_000},
    quick={"points": 2_000},
    check=_check,
)
BENCHMARK = Benchmark(
    "gaussians", __doc__, problems, methods, measure, TABLES, ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
