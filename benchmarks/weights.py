"""What weights of rows do: beside rows repeated, and where importance weights turn one law into another.

    python -m benchmarks.weights                                     # 10 draws of each, some 10 s a fit: 10 min
    python -m benchmarks.weights --problems importance --draws 20 --steps 100

Every row is of many fits, each to fresh samples of n rows a side, d = 2, of so many steps.

* repeated: whole weights, which depend on where a row lies, against every row repeated so often; the true map is
  x + 2 tanh(x) between both weighted laws. "difference": of the means over all draws of both fits' figures, in standard
  errors of that difference: forward UVP, W2, and the mean of the moved points along the first axis. Means agree where
  all are within 2;
* importance: the weights exp(x_1 - 1/2), which turn N(0, I) into N(e_1, I), whose map to N(0, I) is a shift by -e_1 and
  W2 is one; their rows are worth e^-1 of their number. "difference" is that to the true mean and distance;
* null: both samples from N(0, I), with random weights: W2 is zero.

"covered": the share of draws whose 95 % interval holds the true distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    flag,
)
from brenier import OptimalTransport
from brenier.metrics import l2_uvp

FRESH = 16_384  # new points by which errors are known
COMPARED = ("uvp", "mean", "w2")

Draw = Callable[[int, Flags], Mapping[str, float]]


def normal(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def curved(x: Tensor) -> Tensor:
    """The gradient of a convex function: an optimal map, far from affine."""
    return x + 2 * torch.tanh(x)


def times(x: Tensor) -> Tensor:
    """How often a row counts: 1 to 4 times, by where it lies."""
    return 1 + (3 * torch.sigmoid(2 * x[:, 0])).round().long()


def fitted(x: Tensor, z: Tensor, seed: int, flags: Flags, **weights: Any) -> Any:
    """Fit in the steps that a fit has."""
    ot = OptimalTransport(random_state=seed, max_steps=flags.steps, n_jobs=1)
    return ot.fit(x, z, **weights)


def figures(ot: OptimalTransport, fresh: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the error of a map, where it moves the mean, and its distance."""
    moved, found = ot.map_(fresh), ot.map_.distance()
    return {
        "uvp": l2_uvp(moved, truth),
        "mean": float(moved[:, 0].mean()),
        "w2": found.w2,
        "low": found.interval[0],
        "high": found.interval[1],
        "network": float(ot.diagnostics_["selected"] == "network"),
    }


def repeated(seed: int, flags: Flags) -> dict[str, float]:
    """Return figures of a fit with whole weights, and their differences to one of rows repeated."""
    generator = torch.Generator().manual_seed(seed)
    x, y, fresh = (normal(n, generator) for n in (flags.rows, flags.rows, FRESH))
    fresh = fresh.repeat_interleave(times(fresh), 0)  # of the weighted law
    truth = curved(fresh)
    of_x, of_z = times(x), times(y)
    weights = {"source_weight": of_x, "target_weight": of_z}
    weighted = figures(fitted(x, curved(y), seed, flags, **weights), fresh, truth)
    rows = x.repeat_interleave(of_x, 0), curved(y).repeat_interleave(of_z, 0)
    many = figures(fitted(*rows, seed, flags), fresh, truth)
    others = {f"other_{name}": many[name] for name in COMPARED}
    distance = float((truth - fresh).square().sum(-1).mean()) ** 0.5
    covered = {
        "covered": float(weighted["low"] <= distance <= weighted["high"]),
        "other_covered": float(many["low"] <= distance <= many["high"]),
    }
    return {**weighted, **others, "true": distance, **covered}


def importance(seed: int, flags: Flags) -> dict[str, float]:
    """Return figures of a fit with importance weights, and their differences to the truth."""
    generator = torch.Generator().manual_seed(seed)
    x, z, fresh = (normal(n, generator) for n in (flags.rows, flags.rows, FRESH))
    shift = torch.tensor([1.0, 0.0], dtype=torch.float64)
    ot = fitted(x, z, seed, flags, source_weight=torch.exp(x[:, 0] - 0.5))
    found = figures(ot, fresh + shift, fresh)
    return {
        **found,
        "true": 1.0,
        "covered": float(found["low"] <= 1 <= found["high"]),
        "other_mean": float(fresh[:, 0].mean()),
        "other_w2": 1.0,
    }


def null(seed: int, flags: Flags) -> dict[str, float]:
    """Return figures of a fit to two samples of one law, with random weights."""
    generator = torch.Generator().manual_seed(seed)
    x, z, fresh = (normal(n, generator) for n in (flags.rows, flags.rows, FRESH))
    weights = {
        "source_weight": torch.rand(len(x), generator=generator),
        "target_weight": torch.rand(len(z), generator=generator),
    }
    found = figures(fitted(x, z, seed, flags, **weights), fresh, fresh)
    return {**found, "true": 0.0, "covered": float(found["low"] <= 0)}


PROBLEMS: Mapping[str, tuple[str, Draw]] = {
    "repeated": ("whole weights against rows repeated", repeated),
    "importance": ("importance weights, N(0, I) to N(e_1, I)", importance),
    "null": ("random weights, one law", null),
}


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.problems:
        title, draw = PROBLEMS[name]
        yield Choice(title, draw, {"rows": flags.rows, "draws": flags.draws})


def methods(flags: Flags, draw: Draw) -> Iterator[Choice]:
    yield Choice(f"default, {flags.steps} steps", None)


def measure(draw: Draw, method: None, seed: int, flags: Flags) -> dict[str, float]:
    """Return means over many draws, and differences in standard errors of their means."""
    found = [draw(1000 * seed + k, flags) for k in range(flags.draws)]
    series = {name: np.array([one[name] for one in found]) for name in found[0]}
    result = {name: float(values.mean()) for name, values in series.items()}
    scores = {}
    for name in COMPARED:
        if f"other_{name}" in series:
            first, second = series[name], series[f"other_{name}"]
            error = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / len(first))
            scores[f"{name}_apart"] = float((first.mean() - second.mean()) / error)
    agree = float(all(abs(score) <= 2 for score in scores.values()))
    return {**result, **scores, **({"agree": agree} if scores else {})}


TABLE = Table(
    "weights",
    "weights",
    (
        Column("rows a side", lambda row: row.settings["rows"], ",.0f"),
        Column("draws", lambda row: row.settings["draws"], ",.0f"),
        Column("networks", "network", ".1f"),
        Column("forward UVP %", "uvp", ".3f"),
        Column("of rows repeated", "other_uvp", ".3f"),
        Column("true W2", "true", ".3f"),
        Column("W2", "w2", ".3f"),
        Column("of rows repeated, W2", "other_w2", ".3f"),
        Column("covered", "covered", ".2f"),
        Column("of rows repeated, covered", "other_covered", ".2f"),
        Column("difference of UVP", "uvp_apart", ".1f"),
        Column("of means", "mean_apart", ".1f"),
        Column("of W2", "w2_apart", ".1f"),
        Column("agree", "agree", ".0f"),
    ),
)
SHORT = TABLE.short(
    lambda row: True,
    "draws",
    "forward UVP %",
    "true W2",
    "W2",
    "covered",
    "difference of UVP",
    "of means",
    "of W2",
)
ARGUMENTS = Arguments(
    (
        choices("--problems", PROBLEMS),
        flag("--draws", type=int, default=10, help="fits per row (default 10)"),
        flag("--rows", type=int, default=2000, help="of a side (default 2000)"),
        flag("--steps", type=int, default=300, help="of a fit (default 300)"),
    ),
    quick={"draws": 2, "rows": 300, "steps": 5},
)
BENCHMARK = Benchmark(
    "weights", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
