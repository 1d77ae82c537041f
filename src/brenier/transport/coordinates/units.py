"""The units of the cost, one per feature."""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.errors import DataError

# A feature whose scale is below this share of the largest contributes less to the cost than float32 resolves.
COMMENSURATE = 1e-4


def feature_units(x: Tensor, z: Tensor, scale: str | Tensor) -> tuple[Tensor, bool]:
    """Return a unit per feature (d,), and whether `scale="auto"` had to give features different units.

    Args:
        x, z: (n, d), (m, d), samples in float64.
        scale: "common" (one unit: the cost is the ordinary squared distance), "feature" (each feature's pooled standard
            deviation), "auto" (common, unless a varying feature would fall below `COMMENSURATE`), or a (d,) tensor.
    """
    pooled = (0.5 * (x.var(0, correction=0) + z.var(0, correction=0))).sqrt()
    # A constant feature's rounding error is not a scale.
    noise = 1e-12 * torch.maximum(x.abs().amax(0), z.abs().amax(0))
    varies = pooled > noise
    largest = (
        pooled[varies].max()
        if bool(varies.any())
        else torch.ones((), dtype=pooled.dtype)
    )
    mixed = bool(varies.any()) and bool((pooled[varies] < COMMENSURATE * largest).any())
    if isinstance(scale, Tensor):
        return scale.to(pooled), False
    if scale == "feature" or (scale == "auto" and mixed):
        return torch.where(varies, pooled, largest), scale == "auto"
    return torch.full_like(pooled, float(largest)), False


SMALLEST = 1e-140  # spread of a feature, and the reciprocal of the largest value


def _check_range(x: Tensor, z: Tensor) -> None:
    """Raise where squares of the values, or of their spreads, leave float64."""
    for name, side in (("X", x), ("Y", z)):
        largest, spread = side.abs().max(), side.amax(0) - side.amin(0)
        if float(largest) > 1 / SMALLEST or bool(
            ((spread > 0) & (spread < SMALLEST)).any()
        ):
            raise DataError(
                f"{name}: has values as large as {float(largest):.1e} or features that vary by less than "
                f"{SMALLEST:.0e}, whose squares float64 cannot hold; give the data in other units",
                argument=name,
            )
