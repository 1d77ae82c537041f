"""How good maps given a class or a covariate are, on pairs whose true maps are known.

    python -m benchmarks.conditional                                   # all problems
    python -m benchmarks.conditional --problems rings few --seeds 0 1 2

Default settings, samples drawn once, errors on fresh points both ways; nothing is chosen by the truth.

* gaussians: ten classes of random Gaussians, d = 16, 10,000 samples a class. *Worst ratio*: of a class's error to that
  of the affine map between the moments of its own samples, the worse direction of the worst class.
* rings: the three toys of the paper's section 4.3, 1,000 samples a class, a figure each in `results/`.
* few: eight classes that share a curved map, moved about, d = 4; one of them has 20 samples a side, the others 2,000.
  The error of that class alone, where all classes are fitted together and where it is fitted by itself.
* covariates: Gaussians that change with c in [0, 1], d = 4 and 8, 50,000 samples a side, none of them with c between
  0.4 and 0.6. The worst error of c = 0.05, 0.2, 0.45, 0.5, 0.55, 0.8, 0.95, both ways, and that of c = 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import gaussians, options, tables
from benchmarks.scores import FRESH, fresh
from benchmarks.tables import Column, Table
from brenier import OptimalTransport
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

POINTS = 8192
INSIDE, EDGES = (0.05, 0.2, 0.45, 0.5, 0.55, 0.8, 0.95), (0.0, 1.0)
HIDDEN = (0.4, 0.6)


def errors(
    ot: OptimalTransport, pairs: ClassPairs, n: int, seed: int
) -> dict[Any, tuple[float, float]]:
    """Return the errors of every class's map, forward and backward."""
    found = {}
    for label, pair in pairs.items():
        x, truth, z, preimage = fresh(pair, n, seed)
        forward = l2_uvp(ot.transform(x, label), truth, pair.variance_target)
        found[label] = (
            forward,
            l2_uvp(ot.inverse_transform(z, label), preimage, pair.variance_source),
        )
    return found


def told(ot: OptimalTransport) -> dict[str, Any]:
    """Return how a fit went."""
    facts = {
        name: ot.diagnostics_[name]
        for name in ("selected", "stopped", "steps", "setbacks", "round_trip")
    }
    missed = ot.diagnostics_["round_trip_unconverged"]
    return facts | {"unconverged": missed, "train_seconds": ot.history_[-1]["seconds"]}


def summary(found: Mapping[Any, tuple[float, float]]) -> dict[str, float]:
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
        source_mean, target_mean, matrix = (
            torch.from_numpy(p) for p in gaussians.plug_in(x[mine], z[mine])
        )
        a, truth, b, preimage = fresh(pair, points, seed)
        forward = l2_uvp(
            target_mean + (a - source_mean) @ matrix, truth, pair.variance_target
        )
        back = source_mean + torch.linalg.solve(matrix, (b - target_mean).mT).mT
        backward = l2_uvp(back, preimage, pair.variance_source)
        ratios.append(max(found[label][0] / forward, found[label][1] / backward))
    return summary(found) | {"worst_ratio": max(ratios)} | told(ot)


def ring_problem(
    name: str, samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    pairs = ring_classes(name)
    x, z, labels = labelled(pairs, samples, torch.Generator().manual_seed(seed))
    ot = OptimalTransport(random_state=seed).fit(
        x, z, source_labels=labels, target_labels=labels
    )
    a, b, names = labelled(
        pairs, points // len(pairs), torch.Generator().manual_seed(FRESH + seed)
    )
    moved, centres = (
        ot.transform(a, names),
        torch.stack(
            [pair.target(9999, _generator()).mean(0) for pair in pairs.values()]
        ),
    )
    keys = ot.map_.conditions.keys(names, "labels", len(names))
    right = float((torch.cdist(moved, centres).argmin(1) == keys).double().mean())
    picture = folder / f"conditional-{name.replace(' ', '-')}.png"
    plots.class_scatter(a, b, moved, keys, keys, list(pairs), picture)
    return (
        summary(errors(ot, pairs, points, seed)) | {"accuracy": 100 * right} | told(ot)
    )


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
    kept = (
        (small + [row for row, label in enumerate(labels) if label != 0])
        if together
        else small
    )
    names = [labels[row] for row in kept]
    ot = OptimalTransport(random_state=seed).fit(
        x[kept], z[kept], source_labels=names, target_labels=names
    )
    return summary(errors(ot, {0: pairs[0]}, points, seed)) | told(ot)


def covariate_problem(
    dim: int, samples: int, points: int, seed: int, folder: Path
) -> dict[str, Any]:
    family, generator = (
        CovariateGaussians(dim, seed),
        torch.Generator().manual_seed(seed),
    )
    c, e = torch.rand(2, samples, generator=generator, dtype=torch.float64)
    c, e = (v[(v < HIDDEN[0]) | (v > HIDDEN[1])] for v in (c, e))
    x, z = family.sample(0, c, generator), family.sample(1, e, generator)
    ot = OptimalTransport(random_state=seed).fit(
        x, z, source_covariates=c, target_covariates=e
    )
    generator = torch.Generator().manual_seed(FRESH + seed)

    def worst(values: Sequence[float]) -> tuple[float, float]:
        found = []
        for value in values:
            a, b = (
                family.sample(
                    side, torch.full((points,), value, dtype=torch.float64), generator
                )
                for side in (0, 1)
            )
            forward = l2_uvp(
                ot.transform(a, covariates=value), family.forward(a, value)
            )
            found.append(
                (
                    forward,
                    l2_uvp(
                        ot.inverse_transform(b, covariates=value),
                        family.backward(b, value),
                    ),
                )
            )
        return max(f for f, _ in found), max(b for _, b in found)

    (forward, backward), edges = worst(INSIDE), worst(EDGES)
    return {
        "forward_uvp": forward,
        "backward_uvp": backward,
        "edge_uvp": max(edges),
    } | told(ot)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(FRESH)


Measure = Callable[..., dict[str, Any]]
# By name: (problem of the row, method, samples a class, samples of a quick trial, what measures it).
PROBLEMS: Mapping[str, tuple[tuple[str, str, int, int, Measure], ...]] = {
    "gaussians": (
        ("10 Gaussian classes d=16", "default", 10_000, 300, gaussian_problem),
    ),
    "rings": tuple(
        (name, "default", 1000, 200, partial(ring_problem, name)) for name in RINGS
    ),
    "few": (
        (
            "class of 20 samples d=4",
            "fitted with 7 others",
            2000,
            100,
            partial(few_problem, True),
        ),
        (
            "class of 20 samples d=4",
            "fitted alone",
            2000,
            100,
            partial(few_problem, False),
        ),
    ),
    "covariates": tuple(
        (
            f"covariate Gaussians d={d}",
            "default",
            50_000,
            1000,
            partial(covariate_problem, d),
        )
        for d in (4, 8)
    ),
}

TABLES = (
    Table(
        "conditional",
        "conditional",
        (
            Column("forward UVP %, worst class or value", "forward_uvp", ".4f"),
            Column("backward UVP %", "backward_uvp", ".4f"),
            Column("worst ratio to the floor (≤ 1.5)", "worst_ratio", ".2f", max),
            Column("class accuracy % (≥ 99.5)", "accuracy", ".2f", min),
            Column("UVP % at the ends of the range", "edge_uvp", ".3f"),
            Column("round trip", "round_trip", ".1e", max),
            Column("unconverged", "unconverged", ".0f", max),
            Column("selected", "selected"),
            Column("steps", "steps", ".0f"),
            Column("seconds", "train_seconds", ".0f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__)
    parser.add_argument(
        "--problems", nargs="+", choices=tuple(PROBLEMS), default=list(PROBLEMS)
    )
    flags = options.parse(parser, arguments)
    with options.open_ledger("conditional", flags) as ledger:
        for name in flags.problems:
            for problem, method, full, quick, measure in PROBLEMS[name]:
                samples, points = (quick, 512) if flags.quick else (full, POINTS)
                for seed in flags.seeds:
                    run = partial(measure, samples, points, seed, ledger.folder)
                    ledger.record(
                        problem, method, seed, run, samples=samples, fresh=points
                    )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
