"""The error of maps given a class or a covariate, on pairs whose true maps are known.

    python -m benchmarks.conditional                                   # all problems
    python -m benchmarks.conditional --problems rings few --seeds 0 1 2

Default settings, samples drawn once, errors on new points both ways; nothing is chosen by the true map.

* gaussians: ten classes of random Gaussians, d = 16, 10,000 samples a class. *Worst ratio*: of a class's error to that
  of the affine map between the moments of its own samples, the worse direction of the worst class.
* rings: the three toys of the paper's section 4.3, 1,000 samples a class, a figure each in `results/`.
* rivals: the same toys, 20 seconds a fit, this library beside baselines. GNOT, the flows, SinkhornLpL1 and the linear
  map per class see labels in `fit`; only this library's maps and the linear ones need them afterwards.
* few: eight classes with the same curved map but other positions, d = 4; one of them has 20 samples a side, the others
  2,000. The error of that class alone, where all classes are fitted together and where it is fitted by itself.
* covariates: Gaussians that change with c in [0, 1], d = 4 and 8, 50,000 samples a side, none of them with c between
  0.4 and 0.6. The worst error of c = 0.05, 0.2, 0.45, 0.5, 0.55, 0.8, 0.95, both ways, and that of c = 0 and 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import gaussians, scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
)
from benchmarks.labelled import FittedRival, fitted_rival
from benchmarks.scores import EVALUATION_SEED, evaluation_points
from brenier import OptimalTransport
from brenier.baselines import BASELINES, GNOT, CharacteristicFlow
from brenier.datasets import (
    RINGS,
    CovariateGaussians,
    Pair,
    gaussian_classes,
    labelled,
    ring_classes,
    separable_pair,
)
from brenier.datasets.pairs.conditioned import ClassPairs, shifted
from brenier.metrics import l2_uvp
from brenier.report import plots

POINTS, QUICK_POINTS = 8192, 512
SECONDS, QUICK_SECONDS = 20.0, 0.5  # of a fit beside rivals
INSIDE, EDGES = (0.05, 0.2, 0.45, 0.5, 0.55, 0.8, 0.95), (0.0, 1.0)
HIDDEN = (0.4, 0.6)

RIVALS = ", beside rivals"  # of problems whose rows stand on the page alone
Errors = tuple[float, float]  # forward, backward


def errors(
    ot: OptimalTransport, pairs: ClassPairs, n: int, seed: int
) -> dict[Any, Errors]:
    """Return the errors of every class's map, forward and backward."""
    found = {}
    for label, pair in pairs.items():
        x, truth, z, preimage = evaluation_points(pair, n, seed)
        forward = l2_uvp(ot.transform(x, label), truth, pair.variance_target)
        back = ot.inverse_transform(z, label)
        found[label] = forward, l2_uvp(back, preimage, pair.variance_source)
    return found


def fit_facts(ot: OptimalTransport) -> dict[str, Any]:
    """Return how a fit went."""
    names = ("selected", "stopped", "steps", "rollbacks", "round_trip")
    facts = {name: ot.diagnostics_[name] for name in names}
    unconverged = ot.diagnostics_["round_trip_unconverged"]
    seconds = ot.history_[-1]["seconds"]
    return facts | {"unconverged": unconverged, "train_seconds": seconds}


def worst(found: Mapping[Any, Errors]) -> dict[str, float]:
    """Return the worst class's errors."""
    return {
        "forward_uvp": max(f for f, _ in found.values()),
        "backward_uvp": max(b for _, b in found.values()),
    }


def gaussian_problem(
    samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    pairs = gaussian_classes(10, 16, seed)
    x, z, labels = labelled(pairs, samples, torch.Generator().manual_seed(seed))
    ot = OptimalTransport(random_state=seed).fit(
        x, z, source_labels=labels, target_labels=labels
    )
    found, ratios = errors(ot, pairs, points, seed), []
    for k, (label, pair) in enumerate(pairs.items()):
        mine = slice(k * samples, (k + 1) * samples)
        floor = gaussians.floor(pair, x[mine], z[mine], points, seed)
        forward, backward = found[label]
        ratios.append(forward / floor["forward_floor"])
        ratios.append(backward / floor["backward_floor"])
    return worst(found) | {"worst_ratio": max(ratios)} | fit_facts(ot)


def ring_problem(
    name: str, samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    pairs = ring_classes(name)
    x, z, labels = labelled(pairs, samples, torch.Generator().manual_seed(seed))
    ot = OptimalTransport(random_state=seed).fit(
        x, z, source_labels=labels, target_labels=labels
    )
    generator = torch.Generator().manual_seed(EVALUATION_SEED + seed)
    a, b, names = labelled(pairs, points // len(pairs), generator)
    moved = ot.transform(a, names)
    centres = torch.stack([_centre(pair) for pair in pairs.values()])
    indices = torch.tensor([list(pairs).index(name) for name in names])
    right = float((torch.cdist(moved, centres).argmin(1) == indices).double().mean())
    picture = folder / f"conditional-{name.replace(' ', '-')}.png"
    plots.class_scatter(a, b, moved, indices, indices, list(pairs), picture)
    accuracy = {"accuracy": 100 * right}
    return worst(errors(ot, pairs, points, seed)) | accuracy | fit_facts(ot)


def _centre(pair: Pair) -> torch.Tensor:
    """Return the mean of a target."""
    return pair.target(9999, torch.Generator().manual_seed(EVALUATION_SEED)).mean(0)


# Methods beside ours on the toys: their class, and what they are told.
ON_TOYS: Mapping[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "default": (OptimalTransport, {}),
    "characteristic flow": (CharacteristicFlow, {}),
    "gnot": (GNOT, {}),
    "gnot, published": (GNOT, {"settings": "published"}),
    "gnot, with noise": (
        GNOT,
        {"settings": dataclasses.replace(GNOT.presets["fair"], noise=True)},
    ),
    **{
        name: (BASELINES[name], {})
        for name in ("linear", "linear-by-class", "otdd-flow", "sinkhorn-lpl1", "not")
        if name in BASELINES
    },
}


def rival_problem(
    name: str, method: str, seconds: float, samples: int, points: int, seed: int
) -> dict[str, Any]:
    """Return how a method does on a toy in so many seconds."""
    pairs = ring_classes(name)
    x, z, labels = labelled(pairs, samples, torch.Generator().manual_seed(seed))
    budget = {"max_time": seconds, "random_state": seed}
    found = fitted_rival(*ON_TOYS[method], budget, (x, labels), (z, labels))
    forward, backward, right = list[float](), list[float](), list[float]()
    centres = torch.stack([_centre(pair) for pair in pairs.values()])
    for k, (label, pair) in enumerate(pairs.items()):
        a, truth, b, preimage = evaluation_points(pair, points // len(pairs), seed)
        moved = found.moved(a, [label] * len(a))
        forward.append(l2_uvp(moved, truth, pair.variance_target))
        nearest = torch.cdist(moved.to(centres), centres).argmin(1)
        right.append(float((nearest == k).double().mean()))
        backward += _backward(found, b, preimage, label, pair)
    facts = found.facts | {"train_seconds": found.facts["fit_seconds"]}
    numbers = {"forward_uvp": max(forward), "accuracy": 100 * sum(right) / len(right)}
    return numbers | ({"backward_uvp": max(backward)} if backward else {}) | facts


def _backward(
    found: FittedRival, z: torch.Tensor, truth: torch.Tensor, label: Any, pair: Pair
) -> list[float]:
    """Return the error of the inverse of a class, or nothing where there is none."""
    back = found.returned(z, [label] * len(z))
    return [] if back is None else [l2_uvp(back, truth, pair.variance_source)]


def few_problem(
    together: bool, samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    shifts = 2 * torch.randn(8, 2, 4, generator=generator, dtype=torch.float64)
    pairs: dict[Hashable, Pair] = {
        k: shifted(separable_pair(4, seed=seed), *shifts[k]) for k in range(8)
    }
    x, z, labels = labelled(pairs, samples, generator)
    small = [row for row, label in enumerate(labels) if label == 0][:20]
    others = [row for row, label in enumerate(labels) if label != 0]
    kept = small + others if together else small
    names = [labels[row] for row in kept]
    ot = OptimalTransport(random_state=seed).fit(
        x[kept], z[kept], source_labels=names, target_labels=names
    )
    return worst(errors(ot, {0: pairs[0]}, points, seed)) | fit_facts(ot)


def covariate_problem(
    dim: int, samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    family = CovariateGaussians(dim, seed)
    generator = torch.Generator().manual_seed(seed)
    c, e = torch.rand(2, samples, generator=generator, dtype=torch.float64)
    c, e = (v[(v < HIDDEN[0]) | (v > HIDDEN[1])] for v in (c, e))
    x, z = family.sample(0, c, generator), family.sample(1, e, generator)
    ot = OptimalTransport(random_state=seed).fit(
        x, z, source_covariates=c, target_covariates=e
    )
    generator = torch.Generator().manual_seed(EVALUATION_SEED + seed)
    inside = _covariate_errors(ot, family, INSIDE, points, generator)
    edges = worst(_covariate_errors(ot, family, EDGES, points, generator))
    edge = {"edge_uvp": max(edges.values())}
    return worst(inside) | edge | fit_facts(ot)


def _covariate_errors(
    ot: OptimalTransport,
    family: CovariateGaussians,
    values: Sequence[float],
    n: int,
    generator: torch.Generator,
) -> dict[float, Errors]:
    """Return the errors at values of the covariate, forward and backward."""
    found = {}
    for value in values:
        covariates = torch.full((n,), value, dtype=torch.float64)
        a = family.sample(0, covariates, generator)
        b = family.sample(1, covariates, generator)
        moved = ot.transform(a, covariates=value)
        back = ot.inverse_transform(b, covariates=value)
        forward = l2_uvp(moved, family.forward(a, value))
        found[value] = forward, l2_uvp(back, family.backward(b, value))
    return found


class Problem(NamedTuple):
    """A problem with one method.

    Attributes:
        name, method: in the rows.
        samples: of a class, or a side.
        quick: samples of a quick trial.
        measure: (samples, points, seed, folder) -> numbers.
        timed: (seconds, samples, points, seed) -> numbers, where fits are limited by seconds; in place of `measure`.
    """

    name: str
    method: str
    samples: int
    quick: int
    measure: Callable[[int, int, int, Path], dict[str, Any]] | None
    timed: Callable[[float, int, int, int], dict[str, Any]] | None = None


FEW = "class of 20 samples d=4"
PROBLEMS: Mapping[str, list[Problem]] = {
    "gaussians": [
        Problem("10 Gaussian classes d=16", "default", 10_000, 300, gaussian_problem)
    ],
    "rings": [
        Problem(name, "default", 1000, 200, partial(ring_problem, name))
        for name in RINGS
    ],
    "rivals": [
        Problem(
            f"{name}{RIVALS}",
            f"{method}, {SECONDS:g} s",
            1000,
            200,
            None,
            partial(rival_problem, name, method),
        )
        for name in RINGS
        for method in ON_TOYS
    ],
    "few": [
        Problem(FEW, "fitted with 7 others", 2000, 100, partial(few_problem, True)),
        Problem(FEW, "fitted alone", 2000, 100, partial(few_problem, False)),
    ],
    "covariates": [
        Problem(
            f"covariate Gaussians d={dim}",
            "default",
            50_000,
            1000,
            partial(covariate_problem, dim),
        )
        for dim in (4, 8)
    ],
}


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.problems:
        for problem in PROBLEMS[name]:
            yield Choice(problem.name, problem)


def methods(flags: Flags, problem: Problem) -> Iterator[Choice]:
    samples = problem.quick if flags.quick else problem.samples
    settings = {"samples": samples, "fresh": flags.points}
    yield Choice(problem.method, samples, settings)


def measure(problem: Problem, samples: int, seed: int, flags: Flags) -> dict[str, Any]:
    if problem.timed is not None:
        return problem.timed(flags.seconds, samples, flags.points, seed)
    if problem.measure is None:
        raise ValueError(f"{problem.name}: has nothing to measure")
    return problem.measure(samples, flags.points, seed, flags.results)


TABLE = Table(
    "conditional",
    "conditional",
    (
        Column("forward UVP %, worst class or value", "forward_uvp", ".4f"),
        Column("backward UVP %", "backward_uvp", ".4f"),
        Column("worst ratio to the floor (≤ 1.5)", "worst_ratio", ".2f", max),
        Column("class accuracy % (≥ 99.5)", "accuracy", ".2f", min),
        Column("labels seen", "labels"),
        Column("numbers stored", "parameters", ",.0f"),
        Column("UVP % at the ends of the range", "edge_uvp", ".3f"),
        scores.ROUND_TRIP,
        scores.UNCONVERGED,
        scores.SELECTED,
        scores.STEPS,
        scores.SECONDS,
    ),
)
SHORT = TABLE.short(
    lambda row: not row.problem.endswith(RIVALS),
    "forward UVP %, worst class or value",
    "backward UVP %",
    "worst ratio to the floor (≤ 1.5)",
    "class accuracy % (≥ 99.5)",
)
ARGUMENTS = Arguments(
    (choices("--problems", PROBLEMS),),
    fixed={"points": POINTS, "seconds": SECONDS},
    quick={"points": QUICK_POINTS, "seconds": QUICK_SECONDS},
)
BENCHMARK = Benchmark(
    "conditional", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
