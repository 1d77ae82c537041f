"""How exactly the map between two Gaussians is found.

    python -m benchmarks.gaussians                                       # default settings, d = 2 ... 64
    python -m benchmarks.gaussians --start identity --stream --minutes 5 # nothing known at the start, endless samples
    python -m benchmarks.gaussians --start identity --stream --minutes 1 # the short variant; also spelt --short
    python -m benchmarks.gaussians --methods default paper --minutes 5   # the published settings side by side

Pairs of centred Gaussians with random covariances, eigenvalues in [1/2, 2] ("Fixed-Point Neural Optimal Transport...",
Park et al., 2026, Table 1); the seed draws the pair, the samples and the training. The first command fits
`OptimalTransport(random_state=seed)` to 100,000 samples a side, drawn once, and measures both maps on 100,000 fresh
points. Beside them stand the paper's figures for the forward map, and the *sampling floor*: the affine map between the
means and covariances of the same samples, computed without this library.
Targets: below the paper's figure, and at most 1.5 times the floor, in both directions, for every d.

The next two start at the identity and draw fresh samples throughout. Targets: a tenth of the paper's figure in both
directions for every seed, and no failure.

`--methods paper` fits with the published settings (see `preset`), in either mode. `--minutes` limits every fit, and is
then part of the method's name; without it, fits to samples drawn once take all their steps.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from benchmarks import options, preset, tables
from benchmarks.rows import Row
from benchmarks.scores import fresh, score, training
from benchmarks.tables import Column, Table
from brenier import OptimalTransport
from brenier.datasets import Pair, gaussian_pair
from brenier.estimators.parameters import POTENTIALS
from brenier.metrics import l2_uvp

DIMS = (2, 4, 8, 16, 32, 64)
STREAM_SEEDS = (0, 1, 2, 3, 4)
PAPER = {2: 0.013, 4: 0.016, 8: 0.046, 16: 0.053, 32: 0.054, 64: 0.0822}
RATIO, SHARE = 1.5, 0.1  # targets: times the floor, of the paper's figure
MINUTES = 5.0  # of training, where nothing is said and samples never end


class Size(NamedTuple):
    """How much is drawn."""

    samples: int = 100_000
    fresh: int = 100_000


def plug_in(x: Tensor, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means (d,), (d,) and linear part (d, d) of the optimal map between the moments of two sets of samples.

    Gamma = S0^{-1} (S0 S1)^{1/2}, in numpy and scipy, float64.
    """
    source, target = (samples.double().numpy() for samples in (x, z))
    first, second = (
        np.atleast_2d(np.cov(samples, rowvar=False)) for samples in (source, target)
    )
    matrix = np.linalg.solve(first, np.real(scipy.linalg.sqrtm(first @ second)))
    return source.mean(0), target.mean(0), (matrix + matrix.T) / 2


def floor(pair: Pair, x: Tensor, z: Tensor, n: int, seed: int) -> dict[str, float]:
    """Return the errors of the plug-in map of samples x, z, on the fresh points that maps are measured on."""
    source_mean, target_mean, matrix = plug_in(x, z)
    points, truth, images, preimages = (part.numpy() for part in fresh(pair, n, seed))
    moved = target_mean + (points - source_mean) @ matrix
    back = source_mean + np.linalg.solve(matrix, (images - target_mean).T).T
    return {
        "forward_floor": l2_uvp(
            torch.from_numpy(moved), torch.from_numpy(truth), pair.variance_target
        ),
        "backward_floor": l2_uvp(
            torch.from_numpy(back), torch.from_numpy(preimages), pair.variance_source
        ),
    }


def fit_samples(
    dim: int, seed: int, size: Size, method: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Fit samples drawn once, with some arguments of the method changed, and compare with the floor and the paper."""
    pair, generator = gaussian_pair(dim, seed), torch.Generator().manual_seed(seed)
    x, z = pair.source(size.samples, generator), pair.target(size.samples, generator)
    ot = preset.fit_to(method, x, z, dim, random_state=seed, **changes)
    numbers = score(ot.map_, pair, size.fresh, seed) | floor(
        pair, x, z, size.fresh, seed
    )
    for side in ("forward", "backward"):
        numbers[f"{side}_ratio"] = numbers[f"{side}_uvp"] / numbers[f"{side}_floor"]
    return numbers | {"paper": PAPER.get(dim)} | training(ot)


def fit_stream(
    dim: int, seed: int, size: Size, method: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Fit endless samples for some time, with some arguments of the method changed."""
    pair = gaussian_pair(dim, seed)
    ot = preset.fit(method, pair, random_state=seed, **changes)
    return score(ot.map_, pair, size.fresh, seed) | training(ot)


def _met(row: Row) -> bool | None:
    """Say whether a row of the first table meets its targets."""
    sides = [
        (row.get(f"{side}_uvp"), row.get(f"{side}_ratio"))
        for side in ("forward", "backward")
    ]
    if row.status != "ok" or None in sides[0] + sides[1]:
        return False
    return all(
        uvp < (row.get("paper") or float("inf")) and ratio <= RATIO
        for uvp, ratio in sides
    )


def _streamed(row: Row) -> bool:
    return row.settings.get("stream", False)


def _target(row: Row) -> float | None:
    """Return the target of a row of the second table, in percent."""
    paper = PAPER.get(row.settings["dim"])
    return None if paper is None else SHARE * paper


def _met_stream(row: Row) -> bool | None:
    """Say whether a row of the second table meets its target."""
    uvps, target = (
        [row.get(f"{side}_uvp") for side in ("forward", "backward")],
        _target(row),
    )
    if target is None:
        return None
    return row.status == "ok" and all(uvp is not None and uvp <= target for uvp in uvps)


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
            Column("forward UVP %, median", "forward_uvp", ".4f"),
            Column("worst", "forward_uvp", ".4f", max),
            Column("backward UVP %, median", "backward_uvp", ".4f"),
            Column("worst", "backward_uvp", ".4f", max),
            Column("target (paper / 10)", _target, ".4f"),
            *_HOW,
            Column("met", _met_stream),
        ),
        where=_streamed,
    ),
)


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--methods", nargs="+", choices=tuple(preset.METHODS), default=["default"]
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="draw fresh samples throughout, limited by time",
    )
    parser.add_argument(
        "--start",
        choices=("affine", "identity"),
        default=None,
        help="with --stream (default identity)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=None,
        help="training time per fit (with --stream default 5)",
    )
    parser.add_argument(
        "--short", action="store_true", help="with --stream: one minute"
    )
    parser.add_argument(
        "--potential", choices=tuple(POTENTIALS), default=OptimalTransport().potential
    )
    flags = options.parse(parser, arguments)
    if flags.stream and not flags.quick and "--seeds" not in flags.arguments:
        flags.seeds = list(STREAM_SEEDS)
    if flags.start is not None and not flags.stream:
        parser.error(
            "--start needs --stream; samples drawn once are fitted from where the method starts"
        )
    return flags


def _limits(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the estimator that limit a fit; none where the method's own limits hold."""
    if flags.stream:
        seconds = (
            2.0
            if flags.quick
            else 60.0
            if flags.short
            else 60 * (flags.minutes or MINUTES)
        )
        return {
            "start": flags.start or "identity",
            "max_steps": options.UNLIMITED,
            "max_time": seconds,
        }
    if flags.quick:
        return {"max_steps": 50}
    return {} if flags.minutes is None else {"max_time": 60 * flags.minutes}


def _name(method: str, flags: argparse.Namespace, limits: Mapping[str, Any]) -> str:
    """Return what a method is called in the rows: the default one by its potential, with how it is limited."""
    name = flags.potential if method == "default" else method
    if flags.stream:
        return f"{name}, {limits['start']} start, {limits['max_time']:.0f} s of fresh samples"
    return f"{name}, {limits['max_time']:.0f} s" if "max_time" in limits else name


def main(arguments: Sequence[str] | None = None) -> None:
    flags = _flags(arguments)
    size, limits = Size(2_000, 2_000) if flags.quick else Size(), _limits(flags)
    measure = fit_stream if flags.stream else fit_samples
    with options.open_ledger("gaussians", flags) as ledger:
        for dim, method, seed in itertools.product(
            flags.dims, flags.methods, flags.seeds
        ):
            settings = {"dim": dim, "fresh": size.fresh, "stream": flags.stream}
            settings |= {} if flags.stream else {"samples": size.samples}
            settings |= {"max_time": limits["max_time"]} if "max_time" in limits else {}
            changes = limits | (
                {"potential": flags.potential} if method == "default" else {}
            )
            name = _name(method, flags, limits)
            ledger.record(
                f"d={dim}",
                name,
                seed,
                partial(measure, dim, seed, size, method, changes),
                **settings,
            )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
