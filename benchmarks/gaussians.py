"""How exactly the map between two Gaussians is found.

    python -m benchmarks.gaussians                                       # default settings, d = 2 ... 64
    python -m benchmarks.gaussians --start identity --stream --minutes 5 # nothing known at the start, endless samples
    python -m benchmarks.gaussians --start identity --stream --minutes 1 # the short variant; also spelt --short

Pairs of centred Gaussians with random covariances, eigenvalues in [1/2, 2] ("Fixed-Point Neural Optimal Transport...",
Park et al., 2026, Table 1); the seed draws the pair, the samples and the training. The first command fits
`OptimalTransport(random_state=seed)` to 100,000 samples a side, drawn once, and measures both maps on 100,000 fresh
points. Beside them stand the paper's figures for the forward map, and the *sampling floor*: the affine map between the
means and covariances of the same samples, computed without this library.
Targets: below the paper's figure, and at most 1.5 times the floor, in both directions, for every d.

The others start at the identity and draw fresh samples throughout. Targets: below 0.5 % in both directions for every
seed, and no failure.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from benchmarks import options, tables
from benchmarks.rows import Row
from benchmarks.scores import fresh, score, training
from benchmarks.tables import Column, Table
from brenier import OptimalTransport
from brenier.datasets import Pair, gaussian_pair
from brenier.estimator import POTENTIALS
from brenier.metrics import l2_uvp

DIMS = (2, 4, 8, 16, 32, 64)
STREAM_SEEDS = (0, 1, 2, 3, 4)
PAPER = {2: 0.013, 4: 0.016, 8: 0.046, 16: 0.053, 32: 0.054, 64: 0.0822}
RATIO, PERCENT = 1.5, 0.5  # targets
UNLIMITED = 10**9  # steps, where time is the limit


class Size(NamedTuple):
    """How much is drawn, and how long training may take."""

    samples: int = 100_000
    fresh: int = 100_000
    max_steps: int = 3000


def plug_in(x: Tensor, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means (d,), (d,) and linear part (d, d) of the optimal map between the moments of two sets of samples.

    Gamma = S0^{-1} (S0 S1)^{1/2}, in numpy and scipy, float64.
    """
    source, target = (samples.double().numpy() for samples in (x, z))
    first, second = (np.atleast_2d(np.cov(samples, rowvar=False)) for samples in (source, target))
    matrix = np.linalg.solve(first, np.real(scipy.linalg.sqrtm(first @ second)))
    return source.mean(0), target.mean(0), (matrix + matrix.T) / 2


def floor(pair: Pair, x: Tensor, z: Tensor, n: int, seed: int) -> dict[str, float]:
    """Return the errors of the plug-in map of samples x, z, on the fresh points that maps are measured on."""
    source_mean, target_mean, matrix = plug_in(x, z)
    points, truth, images, preimages = (part.numpy() for part in fresh(pair, n, seed))
    moved = target_mean + (points - source_mean) @ matrix
    back = source_mean + np.linalg.solve(matrix, (images - target_mean).T).T
    return {
        "forward_floor": l2_uvp(torch.from_numpy(moved), torch.from_numpy(truth), pair.variance_target),
        "backward_floor": l2_uvp(torch.from_numpy(back), torch.from_numpy(preimages), pair.variance_source),
    }


def fit_samples(dim: int, seed: int, size: Size, potential: str) -> dict[str, Any]:
    """Fit samples drawn once with default settings but the potential, and compare with the floor and the paper."""
    pair, generator = gaussian_pair(dim, seed), torch.Generator().manual_seed(seed)
    x, z = pair.source(size.samples, generator), pair.target(size.samples, generator)
    ot = OptimalTransport(potential, max_steps=size.max_steps, random_state=seed).fit(x, z)
    numbers = score(ot.map_, pair, size.fresh, seed) | floor(pair, x, z, size.fresh, seed)
    for side in ("forward", "backward"):
        numbers[f"{side}_ratio"] = numbers[f"{side}_uvp"] / numbers[f"{side}_floor"]
    return numbers | {"paper": PAPER.get(dim)} | training(ot)


def fit_stream(dim: int, seed: int, size: Size, start: str, seconds: float, potential: str) -> dict[str, Any]:
    """Fit endless samples for some time."""
    pair = gaussian_pair(dim, seed)
    ot = OptimalTransport(potential, start=start, max_steps=UNLIMITED, max_time=seconds, random_state=seed)
    ot.fit(pair.source, pair.target)
    return score(ot.map_, pair, size.fresh, seed) | training(ot)


def _met(row: Row) -> bool | None:
    """Say whether a row of the first table meets its targets."""
    sides = [(row.get(f"{side}_uvp"), row.get(f"{side}_ratio")) for side in ("forward", "backward")]
    if row.status != "ok" or None in sides[0] + sides[1]:
        return False
    return all(uvp < (row.get("paper") or float("inf")) and ratio <= RATIO for uvp, ratio in sides)


def _streamed(row: Row) -> bool:
    return row.settings.get("stream", False)


def _met_stream(row: Row) -> bool:
    uvps = [row.get(f"{side}_uvp") for side in ("forward", "backward")]
    return row.status == "ok" and all(uvp is not None and uvp < PERCENT for uvp in uvps)


_HOW = (
    Column("round trip", "round_trip", ".1e", max),
    Column("unconverged", "unconverged", ".0f", max),
    Column("selected", "selected"),
    Column("steps", "steps", ".0f"),
    Column("seconds", "train_seconds", ".0f"),
)
TABLES = (
    Table(
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
            *_HOW,
            Column("met", _met),
        ),
        where=lambda row: not _streamed(row),
    ),
    Table(
        "gaussians-stream",
        "gaussians",
        (
            Column("forward UVP %, median", "forward_uvp", ".3f"),
            Column("worst (< 0.5)", "forward_uvp", ".3f", max),
            Column("backward UVP %, median", "backward_uvp", ".3f"),
            Column("worst (< 0.5)", "backward_uvp", ".3f", max),
            *_HOW,
            Column("met", _met_stream),
        ),
        where=_streamed,
    ),
)


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument("--stream", action="store_true", help="draw fresh samples throughout, limited by time")
    parser.add_argument(
        "--start", choices=("affine", "identity"), default=None, help="with --stream (default identity)"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="with --stream: training time per fit (default 5)")
    parser.add_argument("--short", action="store_true", help="with --stream: one minute")
    parser.add_argument("--potential", choices=tuple(POTENTIALS), default=OptimalTransport().potential)
    flags = options.parse(parser, arguments)
    if flags.stream and not flags.quick and "--seeds" not in flags.arguments:
        flags.seeds = list(STREAM_SEEDS)
    if flags.start is not None and not flags.stream:
        parser.error("--start needs --stream; samples drawn once are fitted with default settings")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    flags = _flags(arguments)
    size = Size(2_000, 2_000, 50) if flags.quick else Size()
    seconds = 2.0 if flags.quick else 60.0 if flags.short else 60 * flags.minutes
    start = flags.start or "identity"
    with options.open_ledger("gaussians", flags) as ledger:
        for dim in flags.dims:
            for seed in flags.seeds:
                shared = {"dim": dim, "fresh": size.fresh, "stream": flags.stream}
                if flags.stream:
                    method = f"{flags.potential}, {start} start, {seconds:.0f} s of fresh samples"
                    measure = partial(fit_stream, dim, seed, size, start, seconds, flags.potential)
                    ledger.record(f"d={dim}", method, seed, measure, **shared, max_time=seconds)
                else:
                    measure = partial(fit_samples, dim, seed, size, flags.potential)
                    ledger.record(f"d={dim}", flags.potential, seed, measure, **shared, samples=size.samples)
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
