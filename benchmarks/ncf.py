"""Hamilton-Jacobi characteristic flows: both maps from one network, beside what they are to be compared with.

    python -m benchmarks.ncf                                   # ten minutes a fit
    python -m benchmarks.ncf --problems gaussians --dims 2 16 --minutes 2 --methods flow head
    python -m benchmarks.ncf --problems toys --seeds 0 1 2

Gaussians: the pairs of `benchmarks/gaussians.py`, endless samples, errors on 100,000 new points both ways. Methods:

* flow: `CharacteristicFlow()`;
* head: with a free quadratic part, a strong prior between Gaussians;
* equation: the same network and energy distance, with the residual u_t + h*(grad u) of a physics-informed network;
* energy: the energy distance alone;
* default: `OptimalTransport()` on the same stream and seconds; identity-start: the same from the identity, since
  between Gaussians the default starts at the answer;
* plug-in: the affine map between the moments of 65,536 samples a side; and the identity.

*Paper* is the published error of the forward map ("Neural Hamilton-Jacobi Characteristic Flows for Optimal Transport",
Park et al., 2025). Targets: at most that, and backward within twice of it, without a quadratic head. *Residual* is the
root mean square of what of the Hamilton-Jacobi formula does not hold, *least eigenvalue* that of the derivative of the
map, both on held-out rows. *Round trip* is the root mean square of |B(F(x)) - x|, relative to the spread.

Toys: the classes of `brenier.datasets.RINGS`, 1,000 rows a class. *Accuracy* is the share of 4,000 new rows that are
moved nearest to the target of their own class, all by one map that is not told their class; of the default every class
has its own map.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import scores
from benchmarks.gaussians import plug_in
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    choices,
    minutes_flag,
)
from brenier import OptimalTransport
from brenier.baselines import CharacteristicFlow
from brenier.datasets import RINGS, gaussian_pair, labelled, ring_classes

PAPER = {2: 0.010, 4: 0.021, 8: 0.086, 16: 0.146, 32: 0.436, 64: 0.858}
KNOWN_ROWS = 65_536  # of a side, for the plug-in map
FLOWS: dict[str, dict[str, Any]] = {
    "flow": {},
    "head": {"quadratic_head": True},
    "equation": {"residual": "equation"},
    "energy": {"residual": "none"},
}
CLOSED = ("plug-in", "identity")  # no training
STARTS = {"default": "affine", "identity-start": "identity"}
METHODS = (*FLOWS, *STARTS, *CLOSED)
ON_TOYS = (*FLOWS, "default")


class Gaussians(NamedTuple):
    """The pair of Gaussians of a dimension."""

    dim: int


class Toy(NamedTuple):
    """The classes of a toy, and rows of each."""

    name: str
    rows: int


class BothMaps(NamedTuple):
    """A map and its inverse on tensors (n, d), and facts about them."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]
    facts: dict[str, Any]


def problems(flags: Flags) -> Iterator[Choice]:
    if "gaussians" in flags.problems:
        for dim in flags.dims:
            settings = {"dim": dim, "fresh": flags.points}
            yield Choice(f"gaussians d={dim}", Gaussians(dim), settings)
    if "toys" in flags.problems:
        for name in RINGS:
            settings = {"dim": 2, "samples": flags.rows}
            yield Choice(name, Toy(name, flags.rows), settings)


def methods(flags: Flags, problem: Gaussians | Toy) -> Iterator[Choice]:
    known = METHODS if isinstance(problem, Gaussians) else ON_TOYS
    for name in flags.methods:
        if name in CLOSED and name in known:
            yield Choice(name, name)
        elif name in known:
            limit = f", {60 * flags.minutes:g} s"
            yield Choice(name + limit, name, {"max_time": 60 * flags.minutes})


def measure(
    problem: Gaussians | Toy, name: str, seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit a method to a problem; return its errors and facts about it."""
    fit = fit_gaussians if isinstance(problem, Gaussians) else fit_toy
    began = time.process_time()
    found = fit(problem, name, seed, flags)  # type: ignore[arg-type]
    return found | {"cpu_seconds": time.process_time() - began}


def fit_gaussians(
    problem: Gaussians, name: str, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return the errors of a method on a pair of Gaussians, both ways."""
    pair = gaussian_pair(problem.dim, seed)
    if name in STARTS:
        ot = OptimalTransport(
            start=STARTS[name], max_time=60 * flags.minutes, random_state=seed
        ).fit(pair.source, pair.target)
        facts = scores.training_facts(ot)
        parameters = sum(part.numel() for part in ot.map_.network.parameters())
        found = scores.score(ot.map_, pair, flags.points, seed)
        paper = PAPER.get(problem.dim)
        return found | facts | {"parameters": parameters, "paper": paper}
    maps = _closed(name, problem.dim, seed)
    if maps is None:
        flow = flow_of(name, seed, flags).fit(pair.source, pair.target)
        maps = BothMaps(flow.transform, flow.inverse_transform, flow_facts(flow))
    x, _, z, _ = scores.evaluation_points(pair, flags.points, seed)
    found = scores.score_images(
        maps.forward(x), maps.backward(z), pair, flags.points, seed
    )
    if name == "identity":  # which has no direction
        del found["cosine"], found["backward_cosine"]
    return found | {"paper": PAPER.get(problem.dim)} | maps.facts


def fit_toy(problem: Toy, name: str, seed: int, flags: Flags) -> dict[str, Any]:
    """Return the share of new rows that a method moves to the target of their class."""
    pairs = ring_classes(problem.name)
    generator = torch.Generator().manual_seed(seed)
    x, z, labels = labelled(pairs, problem.rows, generator)
    fresh, images, own = labelled(
        pairs, 4000 // len(pairs), generator.manual_seed(scores.EVALUATION_SEED + seed)
    )
    given: dict[str, Any] = {"source_labels": labels, "target_labels": labels}
    if name == "default":
        seconds = 60 * flags.minutes
        ot = OptimalTransport(max_time=seconds, random_state=seed).fit(x, z, **given)
        moved, facts = ot.transform(fresh, own), {}
    else:
        flow = flow_of(name, seed, flags).fit(x, z, **given)
        moved, facts = flow.transform(fresh), flow_facts(flow)
    index = torch.as_tensor([list(pairs).index(label) for label in own])
    centres = torch.stack([images[index == k].mean(0) for k in range(len(pairs))])
    nearest = torch.cdist(moved.double(), centres.double()).argmin(1)
    return facts | {"accuracy": float((nearest == index).double().mean())}


def flow_of(name: str, seed: int, flags: Flags) -> CharacteristicFlow:
    """Return the estimator of a method, not fitted."""
    seconds = 60 * flags.minutes
    return CharacteristicFlow(**FLOWS[name], max_time=seconds, random_state=seed)


def flow_facts(flow: CharacteristicFlow) -> dict[str, Any]:
    """Return how a fit went, from the estimator's own record."""
    names = ("stopped", "steps", "residual", "least_eigenvalue", "energy")
    return {
        **{name: flow.diagnostics_[name] for name in names},
        "round_trip": flow.diagnostics_["round_trip"],
        "train_seconds": flow.history_[-1]["seconds"],
        "parameters": sum(part.numel() for part in flow.map_.network.parameters()),
    }


def _closed(name: str, dim: int, seed: int) -> BothMaps | None:
    """Return the maps of a method that is not trained, or None."""
    if name == "identity":
        return BothMaps(lambda x: x, lambda z: z, {})
    if name != "plug-in":
        return None
    pair, generator = gaussian_pair(dim, seed), torch.Generator().manual_seed(seed)
    x = pair.source(KNOWN_ROWS, generator)
    parts = plug_in(x, pair.target(KNOWN_ROWS, generator))
    first, second, matrix = (torch.from_numpy(np.asarray(part)) for part in parts)
    return BothMaps(
        lambda x: second + (x - first) @ matrix,
        lambda z: first + torch.linalg.solve(matrix, (z - second).mT).mT,
        {},
    )


def _is_toy(row: Row) -> bool:
    return row.problem in RINGS


def _is_gaussian(row: Row) -> bool:
    return not _is_toy(row)


def _meets_paper(row: Row) -> bool | None:
    """Say whether a row of a flow without a head meets its targets; nothing for other methods."""
    paper, forward = row.get("paper"), row.get("forward_uvp")
    if not row.method.startswith("flow") or paper is None or forward is None:
        return None
    return row.status == "ok" and forward <= paper >= row.get("backward_uvp") / 2


_FLOW = (
    Column("residual", "residual", ".1e", max),
    Column("least eigenvalue", "least_eigenvalue", ".2f", min),
    Column("round trip", "round_trip", ".1e", max),
    Column("parameters", "parameters", ".0f"),
    scores.STEPS,
    scores.SECONDS,
    Column("seconds of all cores", "cpu_seconds", ".0f"),
)
GAUSSIANS = Table(
    "ncf",
    "ncf",
    (
        Column("forward UVP %", "forward_uvp", ".4f"),
        Column("paper", "paper", ".3f"),
        Column("backward UVP %", "backward_uvp", ".4f"),
        *_FLOW,
        Column("met", _meets_paper),
    ),
    where=_is_gaussian,
)
TOYS = Table(
    "ncf-toys",
    "ncf",
    (Column("accuracy", "accuracy", ".4f", min), *_FLOW),
    where=_is_toy,
)
SHORT = GAUSSIANS.short(
    lambda row: (
        row.get("dim") in (2, 16, 64)
        and row.method.startswith(("flow", "default", "identity-start", "plug-in"))
    ),
    "forward UVP %",
    "paper",
    "backward UVP %",
    "met",
)
ARGUMENTS = Arguments(
    (
        choices("--problems", ("gaussians", "toys")),
        choices("--methods", METHODS),
        minutes_flag(10.0, "10"),
    ),
    dims=(2, 4, 8, 16, 32, 64),
    fixed={"points": 100_000, "rows": 1000},
    quick={"points": 2000, "rows": 100, "minutes": 0.05},
)
BENCHMARK = Benchmark(
    "ncf", __doc__, problems, methods, measure, (GAUSSIANS, TOYS, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
