"""The published settings as a preset, beside the default ones: the arguments of a fit, by the name of the method.

    METHODS["paper"].arguments(16)       # keyword arguments of `OptimalTransport` for d = 16
    fit("paper", pair, max_time=60)      # the fitted estimator, whose inverse has the published tolerance and steps too

"Fixed-Point Neural Optimal Transport without Implicit Differentiation" (Park et al., 2026), its settings between
Gaussians: the network of three layers with normal weights, alpha = 0.1 / L with one L for the batch, residuals up to
1e-3 within 1,000 steps, Adam with batches of 2,048, the identity as start and plain coordinates. The library has no
argument for the following, where it differs:

* the learning rate decays along a cosine, where the published one is constant; the weights kept are their running
  average;
* every batch is new, where the published ones serve for three steps, and has weights that give it the moments of its
  population; the last tenth of a batch's rows is deferred to the next one. Inner problems start at the best of z and
  the batch's source points, where the published ones start at z and are solved together until the slowest is done;
* residuals fall with the learning rate to 1e-3, within 500 steps. `start_run` keeps one tolerance, within 1,000 steps;
* alpha is at most one, squares end at eight standard deviations, the quadratic part L L' + eps I is trained, and a
  penalty keeps psi convex where the data lie: without these the published iteration can diverge;
* the signs of the weights are free. With them clamped, as in the published code, g is convex and T can only expand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.harness import UNLIMITED
from brenier import (
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    GradientStep,
    MemberSamples,
    OptimalTransport,
    Potential,
    Run,
    Settings,
)
from brenier.datasets import Pair
from brenier.estimators import POTENTIALS

DEVIATION = 0.1  # standard deviation of the published initial weights
HELD_OUT = 2048  # rows a side by which `start_run` selects


def network(
    dim: int,
    generator: torch.Generator,
    *,
    convex: bool = False,
    activation: str = "softplus",
) -> DenseICNN:
    """Return the published network, untrained."""
    hidden = (max(2 * dim, 64), max(2 * dim, 64), max(dim, 32))
    made = DenseICNN(dim, hidden, convex=convex, activation=activation)
    drawn: list[nn.Parameter] = [
        made.quadratic,
        made.linear,
        made.bias,
        *made.weights,
        made.readout,
    ]
    for parameter in drawn:
        nn.init.normal_(parameter, std=DEVIATION, generator=generator)
    return made


def paper(dim: int) -> dict[str, Any]:
    """Return the published settings for d dimensions, as keyword arguments of `OptimalTransport`."""
    return {
        "potential": network,
        "start": "identity",
        "scale": "common",
        "method": GradientStep.paper(),
        "tol": 1e-3,
        "max_steps": 5000,
        "patience": UNLIMITED,
        "batch_size": 2048,
        "optimizer": partial(torch.optim.Adam, lr=1e-3 if dim < 16 else 1e-4),
    }


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to fit.

    Attributes:
        arguments: d -> keyword arguments of `OptimalTransport`.
        tol, max_steps: of the inverse of the fitted map.
    """

    arguments: Callable[[int], dict[str, Any]]
    tol: float
    max_steps: int


METHODS: Mapping[str, Method] = {
    "default": Method(lambda dim: {}, tol=1e-4, max_steps=500),
    "paper": Method(paper, tol=1e-3, max_steps=1000),
}


def estimator(method: str, dim: int, **changes: Any) -> OptimalTransport:
    """Return the estimator of a method, some of its arguments changed."""
    return OptimalTransport(**METHODS[method].arguments(dim) | changes)


def fit(method: str, pair: Pair, **changes: Any) -> OptimalTransport:
    """Return the estimator of a method fitted to endless samples of a pair, some of its arguments changed."""
    return fit_to(method, pair.source, pair.target, pair.dim, **changes)


def fit_to(
    method: str, source: Any, target: Any, dim: int, **changes: Any
) -> OptimalTransport:
    """Return the estimator of a method fitted to samples with d features, some of its arguments changed."""
    ot = estimator(method, dim, **changes).fit(source, target)
    ot.map_.tol, ot.map_.max_steps = METHODS[method].tol, METHODS[method].max_steps
    return ot


def start_run(
    method: str,
    pair: Pair,
    seed: int,
    *,
    tol: float = 1e-3,
    falling: bool = False,
    **changes: Any,
) -> Run[Potential]:
    """Return a run of a method in the coordinates of the data, from the identity.

    Args:
        method: its name.
        pair: whose endless samples are fitted.
        seed: of everything random.
        tol: least bound on the residuals of inner problems.
        falling: whether the bound falls with the learning rate to `tol`, or is `tol` throughout.
        changes: of `Settings`.
    """
    arguments = estimator(method, pair.dim).get_params()
    make = arguments["potential"]
    if not callable(make):
        make = POTENTIALS[make]
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, Any] = {"evaluate_every": 100}
    for name in ("batch_size", "learning_rate", "optimizer", "patience"):
        if arguments[name] is not None:
            values[name] = arguments[name]
    solver: dict[str, Any] = {"max_steps": METHODS[method].max_steps}
    if arguments["method"] is not None:
        solver["method"] = arguments["method"]
    held_out = pair.source(HELD_OUT, generator), pair.target(HELD_OUT, generator)
    task = DualTask(
        make(pair.dim, generator),
        DualObjective(tol=tol, **solver),
        MemberSamples(pair.source, pair.target, held_out),
        DualSettings() if falling else DualSettings(initial_inner_tol=0.0),
        generator,
    )
    return Run(task, Settings(**{**values, **changes}), generator)


def run_facts(run: Run[Potential]) -> dict[str, Any]:
    """Return how a run went."""
    return {
        "steps": run.step,
        "rollbacks": run.rollbacks,
        "stopped": run.finished,
        "train_seconds": run.seconds,
        "step_seconds": run.seconds / max(1, run.step),
    }
