"""Pairs of shapes in the plane, those that a newcomer draws first. Their optimal maps are not known.

    moons to circles, circles to moons, S-curve to moons    shapes of scikit-learn, with a little noise
    Gaussian to eight blobs                                 N(0, I), and normal blobs on a circle

A map is judged by where fresh rows land: they should look like fresh rows of the other side.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from brenier.datasets.pairs.synthetic import TensorSampler, normal


@dataclasses.dataclass(frozen=True)
class ShapeSettings:
    """What the shapes look like.

    Attributes:
        noise: standard deviation of what is added to every coordinate of a shape of scikit-learn, whose sizes are
            about one: the curves are thin, yet laws with a density.
        inner_radius: of the smaller circle; the larger one has radius one.
        blobs: on the circle, all equally likely.
        blob_radius: of the circle that they lie on.
        blob_deviation: standard deviation of a blob's coordinates: neighbours are ten of it apart.
    """

    noise: float = 0.05
    inner_radius: float = 0.5
    blobs: int = 8
    blob_radius: float = 4.0
    blob_deviation: float = 0.3


SHAPE_SETTINGS = ShapeSettings()


@dataclasses.dataclass(frozen=True)
class ShapePair:
    """Two laws in the plane, to be sampled.

    Attributes:
        source: (n, generator) -> (n, 2), float64, on the generator's device; the generator is the only randomness.
        target: likewise.
    """

    source: TensorSampler
    target: TensorSampler


def moons(n: int, generator: torch.Generator) -> Tensor:
    """Return scikit-learn's two interleaved half circles: (n, 2), float64. Half of the rows lie on either moon."""
    return _drawn("make_moons", n, generator)


def circles(n: int, generator: torch.Generator) -> Tensor:
    """Return scikit-learn's two circles about zero: (n, 2), float64. Half of the rows lie on either circle."""
    return _drawn("make_circles", n, generator, factor=SHAPE_SETTINGS.inner_radius)


def s_curve(n: int, generator: torch.Generator) -> Tensor:
    """Return scikit-learn's S-curve seen from the side, its first and third coordinate: (n, 2), float64."""
    return _drawn("make_s_curve", n, generator)[:, [0, 2]]


def blobs(n: int, generator: torch.Generator) -> Tensor:
    """Return normal blobs at equal distances on a circle about zero: (n, 2), float64."""
    settings, device = SHAPE_SETTINGS, generator.device
    chosen = torch.randint(settings.blobs, (n,), generator=generator, device=device)
    angle = 2 * math.pi / settings.blobs * chosen.double()
    centre = settings.blob_radius * torch.stack([angle.cos(), angle.sin()], -1)
    return centre + settings.blob_deviation * gaussian_plane(n, generator)


gaussian_plane = normal(2, torch.float64)

# By name.
SHAPES: Mapping[str, ShapePair] = MappingProxyType(
    {
        "moons to circles": ShapePair(moons, circles),
        "circles to moons": ShapePair(circles, moons),
        "Gaussian to eight blobs": ShapePair(gaussian_plane, blobs),
        "S-curve to moons": ShapePair(s_curve, moons),
    }
)


def _drawn(
    maker: str, n: int, generator: torch.Generator, **arguments: float
) -> Tensor:
    """Return what a function of scikit-learn draws with a seed that the generator draws: (n, features), float64."""
    # Imported here, where it is used: it would be a noticeable part of the seconds that importing brenier takes.
    from sklearn import datasets

    device = generator.device
    seed = int(torch.randint(2**31, (), generator=generator, device=device))
    make: Any = getattr(datasets, maker)
    noise = SHAPE_SETTINGS.noise
    rows, _ = make(n, noise=noise, random_state=seed, **arguments)
    return torch.from_numpy(rows).to(device)
