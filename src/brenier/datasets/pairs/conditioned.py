"""Pairs of laws given a condition: classes on a ring, Gaussian classes, and Gaussians that depend on a covariate.

The toys are those of "Fixed-Point Neural Optimal Transport..." (Park et al., 2026), section 4.3, whose angles and noise
it does not state: here modes lie on a circle of radius one with normal noise, and the optimal map within a class is a
translation. Without labels the horizontal swap has the identity as its optimal map.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.datasets.pairs.synthetic import Pair, gaussian_pair, normal, orthogonal
from brenier.statistics import Gaussian, gaussian_map


class ModeAngles(NamedTuple):
    """Where the mode of a class lies on the circle, in degrees: its source and its target."""

    source: float
    target: float


# The toys by name, and of each the modes by class.
RINGS: dict[str, dict[str, ModeAngles]] = {
    "crossed ring": {
        "rising": ModeAngles(source=225, target=45),
        "falling": ModeAngles(source=135, target=315),
    },
    "horizontal swap": {
        "left": ModeAngles(source=180, target=0),
        "right": ModeAngles(source=0, target=180),
    },
    "four-mode ring": {
        "east": ModeAngles(source=0, target=90),
        "north": ModeAngles(source=90, target=180),
        "west": ModeAngles(source=180, target=270),
        "south": ModeAngles(source=270, target=0),
    },
}

ClassPairs = Mapping[Hashable, Pair]


def ring_classes(name: str, deviation: float = 0.15) -> dict[Hashable, Pair]:
    """Return one of the toys, `RINGS`, as a pair per class, d = 2.

    Args:
        name: of the toy.
        deviation: of the noise about each mode, in units of the circle's radius.
    """
    return {
        label: _moved_mode(label, angles, deviation)
        for label, angles in RINGS[name].items()
    }


def gaussian_classes(
    classes: int, dim: int, seed: int = 0, spread: float = 2.0
) -> dict[Hashable, Pair]:
    """Return as many pairs of random Gaussians, whose means are N(0, spread^2 I) on either side."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(classes, 2, dim, generator=generator, dtype=torch.float64)
    shifts = spread * normals
    pairs: dict[Hashable, Pair] = {}
    for k in range(classes):
        pair = gaussian_pair(dim, seed=1000 * seed + k)
        pairs[k] = shifted(pair, shifts[k, 0], shifts[k, 1])
    return pairs


def shifted(pair: Pair, source: Tensor, target: Tensor) -> Pair:
    """Return a pair with both sides moved, by source (d,) and by target (d,)."""
    inverse = pair.backward

    def moved_source(n: int, generator: torch.Generator) -> Tensor:
        x = pair.source(n, generator)
        return x + source.to(x)

    def forward(x: Tensor) -> Tensor:
        return pair.forward(x - source.to(x)) + target.to(x)

    moved = dataclasses.replace(pair, source=moved_source, forward=forward)
    if inverse is None:
        return moved

    def backward(z: Tensor) -> Tensor:
        return inverse(z - target.to(z)) + source.to(z)

    return dataclasses.replace(moved, backward=backward)


def labelled(
    pairs: ClassPairs, rows: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, list[Hashable]]:
    """Return rows of every class from either side (k rows, d), unpaired, and their labels, which both share."""
    source = torch.cat([pair.source(rows, generator) for pair in pairs.values()])
    target = torch.cat([pair.target(rows, generator) for pair in pairs.values()])
    return source, target, [label for label in pairs for _ in range(rows)]


def _moved_mode(label: str, angles: ModeAngles, deviation: float) -> Pair:
    """Return normal noise about a point of the circle, moved to another."""
    root = deviation * torch.eye(2, dtype=torch.float64)
    source, variance = normal(2, torch.float32, root), 2 * deviation**2
    noise = Pair(label, 2, source, lambda x: x, lambda z: z, variance, variance)
    return shifted(noise, _on_circle(angles.source), _on_circle(angles.target))


def _on_circle(degrees: float) -> Tensor:
    """Return the point of the unit circle at an angle: (2,), float64."""
    angle = math.radians(degrees)
    return torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class CovariateGaussians:
    """Two Gaussians for every c in [0, 1], their means, axes and deviations smooth functions of c.

        m(c) = a + 2 b c^2,   S(c) = R e^{2D} R',   R = exp(c W) Q,   D_i = (e_i + f_i sin 2c) / 2

    with W skew of norm one, Q orthogonal and a, b, e, f uniform on (-1, 1), each drawn for either side.

    Attributes:
        dim: d.
        seed: of all of these.
    """

    dim: int
    seed: int = 0

    def sample(self, side: int, c: Tensor, generator: torch.Generator) -> Tensor:
        """Return a row of the source (side 0) or the target (1) for every c (n,): (n, d), float64."""
        mean, axes, deviation = self._at(side, c)
        noise = torch.randn(len(c), self.dim, generator=generator, dtype=torch.float64)
        noise = deviation * noise
        return mean + (axes @ noise.unsqueeze(-1)).squeeze(-1)

    def forward(self, x: Tensor, c: float) -> Tensor:
        """Return the optimal map at c: (n, d) -> (n, d)."""
        return self._map(x, self.gaussian(0, c), self.gaussian(1, c))

    def backward(self, z: Tensor, c: float) -> Tensor:
        """Return its inverse: (n, d) -> (n, d)."""
        return self._map(z, self.gaussian(1, c), self.gaussian(0, c))

    def gaussian(self, side: int, c: float) -> Gaussian:
        """Return the law of a side at c."""
        one = torch.tensor([c], dtype=torch.float64)
        mean, axes, deviation = self._at(side, one)
        covariance = (axes * deviation.square().unsqueeze(1)) @ axes.mT
        return Gaussian(mean[0], covariance[0])

    def _at(self, side: int, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return m(c) (n, d), the axes R (n, d, d) and the deviations e^D (n, d) of a side for c (n,)."""
        generator = torch.Generator().manual_seed(2 * self.seed + side)
        c = c.unsqueeze(-1)
        skew = torch.randn(self.dim, self.dim, generator=generator, dtype=torch.float64)
        skew = skew - skew.mT
        skew = skew / torch.linalg.matrix_norm(skew, 2).clamp(min=1e-9)
        uniform = torch.rand(4, self.dim, generator=generator, dtype=torch.float64)
        a, b, e, f = 2 * uniform - 1
        rotation = torch.matrix_exp(c.unsqueeze(-1) * skew)
        axes = rotation @ orthogonal(self.dim, generator)
        deviation = torch.exp((e + f * torch.sin(2 * c)) / 2)
        return a + 2 * b * c.square(), axes, deviation

    @staticmethod
    def _map(x: Tensor, source: Gaussian, target: Gaussian) -> Tensor:
        return target.mean + (x - source.mean) @ gaussian_map(source, target)
