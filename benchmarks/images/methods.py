"""Ways from source latents to target latents, class by class: this library, the published settings, and the controls.

A method is fitted to the latents of training images and moves those of test images. Beside the default, the paper's
settings and

* convex: this library with `potential="convex"`, whose map has one inverse,
* single, several: with `n_networks=1` and `n_networks=4`; the default's map is the mean of two,

the controls tell what the decoder does by itself, which is given the label and so draws the right digit from almost any
latent:

* normal: latents from N(0, I), whatever the source;
* untransported: the source latents as they are;
* class shift: each class moved to the mean of its target;
* affine map: each class by the map between its Gaussian fits;
* lookup: the target latent of the class nearest to the source latent; it emits real latents and marks the floor;
* exact plan: the target latent that the optimal assignment of the test latents to training latents gives; likewise.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.images.networks import CLASSES, Setting
from brenier import DualObjective, GradientStep, OptimalTransport, ResidualPotential
from brenier.metrics import median_bandwidths
from brenier.potentials import Conditional
from brenier.statistics.gaussian import fit_gaussian, gaussian_map
from brenier.transport.coordinates.affine import identity_coordinates
from brenier.transport.coordinates.by_class import Classes
from brenier.transport.maps.conditional import ConditionalMap

Labelled = tuple[Tensor, Tensor]  # (n, 15) and (n,)
WEIGHT = 1e-3  # of the published penalty
BATCH = 64  # of the published batch, in pairs of one class


@dataclasses.dataclass(frozen=True)
class Moved:
    """What a method does to test latents.

    Attributes:
        latents: (n, 15).
        facts: how the fit went.
        transport: the map, where there is one.
    """

    latents: Tensor
    facts: dict[str, Any]
    transport: ConditionalMap | None = None


Method = Callable[[Labelled, Labelled, Labelled, Setting, int], Moved]


def default(
    source: Labelled,
    target: Labelled,
    test: Labelled,
    setting: Setting,
    seed: int,
    **others: Any,
) -> Moved:
    """Fit with default settings, but for some."""
    ot = OptimalTransport(**others, random_state=seed, **setting.transport)  # type: ignore[arg-type]
    began = time.perf_counter()
    ot.fit(source[0], target[0], source_labels=source[1], target_labels=target[1])
    facts = {
        "fit_seconds": time.perf_counter() - began,
        "selected": ot.diagnostics_["selected"],
    }
    return Moved(
        ot.transform(test[0], test[1]),
        facts | {"steps": ot.diagnostics_["steps"]},
        ot.map_,
    )


def published(
    source: Labelled, target: Labelled, test: Labelled, setting: Setting, seed: int
) -> Moved:
    """Train as published: its network, fixed steps, class-paired batches of 64, Adam, and its penalty."""
    generator = torch.Generator().manual_seed(seed)
    dim = source[0].shape[1]
    network = ResidualPotential(dim + CLASSES, 512, generator=generator).double()
    potential = Conditional(network, dim)
    objective = DualObjective(GradientStep.paper(), tol=1e-3, max_steps=1000)
    optimizer = torch.optim.Adam(potential.parameters(), lr=1e-4)
    classes = _plain_classes(dim)
    began = time.perf_counter()
    rows = [
        [(side[1] == k).nonzero().squeeze(-1) for k in range(CLASSES)]
        for side in (source, target)
    ]
    steps = missed = 0
    while (
        steps < setting.preset_steps
        and time.perf_counter() - began < setting.preset_seconds
    ):
        steps += 1
        k = torch.randint(CLASSES, (BATCH,), generator=generator)
        x, z = (
            _paired(side[0], mine, k, generator)
            for side, mine in zip((source, target), rows, strict=True)
        )
        s = classes.side(k)
        value = objective(potential, s.encode_source(x), s.encode_target(z))
        missed += value.solution.unconverged
        moved = s.encode_source(x) + potential.gradient(s.encode_source(x))
        loss = value.loss + WEIGHT * _mmd(moved[:, :dim], z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    transport = ConditionalMap(
        potential.requires_grad_(False), classes, method=GradientStep.paper(), tol=1e-3
    )
    facts = {
        "fit_seconds": time.perf_counter() - began,
        "steps": steps,
        "train_unconverged": missed,
    }
    return Moved(transport(*test), facts, transport)


def normal(
    source: Labelled, target: Labelled, test: Labelled, setting: Setting, seed: int
) -> Moved:
    generator = torch.Generator().manual_seed(seed)
    return Moved(
        torch.randn(test[0].shape, generator=generator, dtype=test[0].dtype), {}
    )


def untransported(
    source: Labelled, target: Labelled, test: Labelled, setting: Setting, seed: int
) -> Moved:
    return Moved(test[0], {})


def class_shift(x: Tensor, z: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    return lambda a: a + z.mean(0) - x.mean(0)


def class_affine(x: Tensor, z: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    first, second = fit_gaussian(x), fit_gaussian(z)
    matrix = gaussian_map(first, second)
    return lambda a: second.mean + (a - first.mean) @ matrix


def class_lookup(x: Tensor, z: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    return lambda a: z[torch.cdist(a, z).argmin(1)]


def class_exact(x: Tensor, z: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """Assign test latents to as many training latents."""

    def moved(a: Tensor) -> Tensor:
        import ot

        chosen = z[
            torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[
                : len(a)
            ]
        ]
        plan = ot.emd([], [], torch.cdist(a, chosen).square().numpy(), numItermax=10**8)
        return chosen[torch.from_numpy(np.asarray(plan).argmax(1))]

    return moved


def class_by_class(
    fit: Callable[[Tensor, Tensor, int], Callable[[Tensor], Tensor]],
) -> Method:
    """Return the method that fits each class by itself."""

    def method(
        source: Labelled, target: Labelled, test: Labelled, setting: Setting, seed: int
    ) -> Moved:
        moved = torch.empty_like(test[0])
        for k in range(CLASSES):
            move = fit(source[0][source[1] == k], target[0][target[1] == k], seed)
            moved[test[1] == k] = move(test[0][test[1] == k])
        return Moved(moved, {})

    return method


METHODS: Mapping[str, Method] = {
    "default": default,
    "convex": partial(default, potential="convex"),
    "single": partial(default, n_networks=1),
    "several": partial(default, n_networks=4),
    "paper": published,
    "normal": normal,
    "untransported": untransported,
    "class shift": class_by_class(class_shift),
    "affine map": class_by_class(class_affine),
    "lookup": class_by_class(class_lookup),
    "exact plan": class_by_class(class_exact),
}


def _plain_classes(dim: int) -> Classes:
    """Return the classes in the coordinates of the data."""
    return Classes(tuple(range(CLASSES)), identity_coordinates(dim).repeated(CLASSES))


def _paired(
    rows: Tensor, mine: list[Tensor], classes: Tensor, generator: torch.Generator
) -> Tensor:
    sizes = torch.tensor([len(index) for index in mine])[classes]
    at = (torch.rand(len(classes), generator=generator) * sizes).long()
    return torch.stack(
        [rows[mine[k][i]] for k, i in zip(classes.tolist(), at.tolist(), strict=True)]
    )


def _mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared MMD with the published bandwidths, differentiable in x."""
    kernel = partial(_kernel, widths=median_bandwidths(x.detach(), y))
    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - n) / (n * (n - 1)) + (kernel(y, y).sum() - m) / (
        m * (m - 1)
    )
    return within - 2 * kernel(x, y).mean()


def _kernel(x: Tensor, y: Tensor, widths: tuple[float, ...]) -> Tensor:
    squares = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1)
    return torch.stack([torch.exp(squares / (-2 * width)) for width in widths]).mean(0)
