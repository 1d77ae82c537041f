"""The units of the cost, one per feature."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.errors import DataError, DataWarning, warn
from brenier.statistics import Weighted, as_weighted
from brenier.transport.coordinates.settings import CoordinateSettings

SMALLEST_SPREAD = 1e-140  # numerical floor: squares of smaller spreads, or of larger values than 1e140, leave float64


def cost_units(
    x: Tensor | Weighted,
    z: Tensor | Weighted,
    scale: str | Tensor,
    settings: CoordinateSettings,
) -> Tensor:
    """Return the units of the cost (d,) from many rows of either side; warn where they had to differ.

    Args:
        x, z: (n, d), (m, d), samples in float64, weighted or not.
        scale: how features are weighted, as in `feature_units`.
        settings: `min_relative_scale`.

    Raises:
        DataError: where squares of the values, or of their spreads, leave float64.
    """
    _check_range(as_weighted(x).rows, as_weighted(z).rows)
    unit, mixed = feature_units(x, z, scale, settings)
    if mixed:
        factor = float(unit.max() / unit.min())
        warn(
            f"X, Y: feature scales differ by a factor of {factor:.1e}, so the squared distance "
            "would ignore the smaller ones; cost is measured in units of each feature's standard deviation. Pass "
            "scale='common' for the plain squared distance, or your own units",
            DataWarning,
        )
    return unit


def feature_units(
    x: Tensor | Weighted,
    z: Tensor | Weighted,
    scale: str | Tensor,
    settings: CoordinateSettings | None = None,
) -> tuple[Tensor, bool]:
    """Return a unit per feature (d,), and whether `scale="auto"` had to give features different units.

    Args:
        x, z: (n, d), (m, d), samples in float64, weighted or not.
        scale: "common" (one unit: the cost is the ordinary squared distance), "feature" (each feature's pooled standard
            deviation), "auto" (common, unless a varying feature is too small beside the largest), or a (d,) tensor.
        settings: `min_relative_scale`.
    """
    source, target = as_weighted(x), as_weighted(z)
    pooled = (0.5 * (source.variance() + target.variance())).sqrt()
    if isinstance(scale, Tensor):
        return scale.to(pooled), False
    # A constant feature's rounding error is not a scale.
    noise = 1e-12 * torch.maximum(source.rows.abs().amax(0), target.rows.abs().amax(0))
    varies = pooled > noise
    if not bool(varies.any()):
        return torch.ones_like(pooled), False
    largest = pooled[varies].max()
    least = (settings or CoordinateSettings()).min_relative_scale * largest
    mixed = bool((pooled[varies] < least).any())
    if scale == "feature" or (scale == "auto" and mixed):
        return torch.where(varies, pooled, largest), scale == "auto"
    return torch.full_like(pooled, float(largest)), False


def drowned_features(
    x: Tensor, z: Tensor, settings: CoordinateSettings | None = None
) -> dict[int, float]:
    """Return which features count next to nothing in the unit of the largest, and by what factor they vary less.

    None where `scale="auto"` gives features units of their own. A rare one of two values is of the size of other
    features however little it varies, so the range of a drowned one is small as well.

    Args:
        x, z: (n, d), (m, d), samples in float64.
        settings: `min_relative_scale`, `drowned_scale` and `drowned_range`.
    """
    settings = settings or CoordinateSettings()
    unit, mixed = feature_units(x, z, "auto", settings)
    if mixed:
        return {}
    own, _ = feature_units(x, z, "feature", settings)
    low, high = torch.minimum(x.amin(0), z.amin(0)), torch.maximum(x.amax(0), z.amax(0))
    small = own < settings.drowned_scale * unit
    small &= high - low < settings.drowned_range * unit
    columns = torch.nonzero(small).flatten().tolist()
    return {column: float(unit[column] / own[column]) for column in columns}


def _check_range(x: Tensor, z: Tensor) -> None:
    """Raise where squares of the values, or of their spreads, leave float64."""
    for name, side in (("X", x), ("Y", z)):
        largest = float(side.abs().max())
        spread = side.amax(0) - side.amin(0)
        too_small = (spread > 0) & (spread < SMALLEST_SPREAD)
        if largest > 1 / SMALLEST_SPREAD or bool(too_small.any()):
            raise DataError(
                f"{name}: has values as large as {largest:.1e} or features that vary by less than "
                f"{SMALLEST_SPREAD:.0e}, whose squares float64 cannot hold; give the data in other units",
                argument=name,
            )
