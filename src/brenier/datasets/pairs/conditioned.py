"""Pairs of laws given a condition: classes on a ring, Gaussian classes, and Gaussians that depend on a covariate.

The toys are those of "Fixed-Point Neural Optimal Transport..." (Park et al., 2026), section 4.3, whose angles and noise
it does not tell: modes lie on a circle of radius one with normal noise of deviation `NOISE`, and the optimal map within
a class is a translation. Without labels the horizontal swap has the identity as its optimal map.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from brenier.datasets.pairs.synthetic import Pair, gaussian_pair, normal, orthogonal
from brenier.statistics import Gaussian, gaussian_map

NOISE = 0.15
# By name: of every class the angles, in degrees, of its source and its target.
RINGS: dict[str, dict[str, tuple[float, float]]] = {
    "crossed ring": {"rising": (225, 45), "falling": (135, 315)},
    "horizontal swap": {"left": (180, 0), "right": (0, 180)},
    "four-mode ring": {
        "east": (0, 90),
        "north": (90, 180),
        "west": (180, 270),
        "south": (270, 0),
    },
}

ClassPairs = Mapping[Hashable, Pair]


def ring_classes(name: str) -> dict[Hashable, Pair]:
    """Return one of the toys, `RINGS`, as a pair per class, d = 2."""
    return {label: _moved_mode(label, *angles) for label, angles in RINGS[name].items()}


def gaussian_classes(
    classes: int, dim: int, seed: int = 0, spread: float = 2.0
) -> dict[Hashable, Pair]:
    """Return as many pairs of random Gaussians, whose means are N(0, spread^2 I) on either side."""
    generator = torch.Generator().manual_seed(seed)
    shifts = spread * torch.randn(
        classes, 2, dim, generator=generator, dtype=torch.float64
    )
    return {
        k: shifted(gaussian_pair(dim, seed=1000 * seed + k), *shifts[k])
        for k in range(classes)
    }


def shifted(pair: Pair, source: Tensor, target: Tensor) -> Pair:
    """Return a pair with both sides moved, by source (d,) and by target (d,)."""
    backward = pair.backward
    return dataclasses.replace(
        pair,
        source=lambda n, generator: (x := pair.source(n, generator)) + source.to(x),
        forward=lambda x: pair.forward(x - source.to(x)) + target.to(x),
        backward=None
        if backward is None
        else lambda z: backward(z - target.to(z)) + source.to(z),
    )


def labelled(
    pairs: ClassPairs, rows: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, list[Hashable]]:
    """Return rows of every class from either side (k rows, d), unpaired, and their labels, which both share."""
    source = torch.cat([pair.source(rows, generator) for pair in pairs.values()])
    target = torch.cat([pair.target(rows, generator) for pair in pairs.values()])
    return source, target, [label for label in pairs for _ in range(rows)]


def _moved_mode(label: str, start: float, end: float) -> Pair:
    at = [
        torch.tensor(
            [math.cos(math.radians(a)), math.sin(math.radians(a))], dtype=torch.float64
        )
        for a in (start, end)
    ]
    root = NOISE * torch.eye(2, dtype=torch.float64)
    noise = Pair(
        label,
        2,
        normal(2, torch.float32, root),
        lambda x: x,
        lambda z: z,
        2 * NOISE**2,
        2 * NOISE**2,
    )
    return shifted(noise, *at)


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
        mean, axes, deviation = self._parts(side, c)
        noise = deviation * torch.randn(
            len(c), self.dim, generator=generator, dtype=torch.float64
        )
        return mean + (axes @ noise.unsqueeze(-1)).squeeze(-1)

    def forward(self, x: Tensor, c: float) -> Tensor:
        """Return the optimal map at c: (n, d) -> (n, d)."""
        return self._map(x, self.gaussian(0, c), self.gaussian(1, c))

    def backward(self, z: Tensor, c: float) -> Tensor:
        """Return its inverse: (n, d) -> (n, d)."""
        return self._map(z, self.gaussian(1, c), self.gaussian(0, c))

    def gaussian(self, side: int, c: float) -> Gaussian:
        """Return the law of a side at c."""
        mean, axes, deviation = self._parts(
            side, torch.tensor([c], dtype=torch.float64)
        )
        return Gaussian(
            mean[0], ((axes * deviation.square().unsqueeze(1)) @ axes.mT)[0]
        )

    def _parts(self, side: int, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(2 * self.seed + side)
        c = c.unsqueeze(-1)
        skew = torch.randn(self.dim, self.dim, generator=generator, dtype=torch.float64)
        skew = skew - skew.mT
        skew = skew / torch.linalg.matrix_norm(skew, 2).clamp(min=1e-9)
        a, b, e, f = (
            2 * torch.rand(4, self.dim, generator=generator, dtype=torch.float64) - 1
        )
        axes = torch.matrix_exp(c.unsqueeze(-1) * skew) @ orthogonal(
            self.dim, generator
        )
        return a + 2 * b * c.square(), axes, torch.exp((e + f * torch.sin(2 * c)) / 2)

    @staticmethod
    def _map(x: Tensor, source: Gaussian, target: Gaussian) -> Tensor:
        return target.mean + (x - source.mean) @ gaussian_map(source, target)
