"""The map of the exact plan between some rows: what is left where a network cannot be trained.

Where the target lies in clusters far apart and their shares change, the map has to jump within a cluster, at a scale
that a network does not reach. The exact plan between a thousand rows of either side jumps where it must.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.estimators.options import Options
from brenier.estimators.settings import PlanSettings
from brenier.metrics import energy_distance
from brenier.potentials import MaxAffine
from brenier.statistics import Weighted, as_weighted, exact_plan, weighted_mean


def stray_share(
    moved: Tensor | Weighted, fresh: Tensor, rows: Tensor, settings: PlanSettings
) -> float:
    """Return the share of moved rows that lie far from all rows of the target, farther than fresh rows of it do.

    Args:
        moved: (n, d), source rows that were moved, weighted or not.
        fresh: (m, d), target rows.
        rows: (k, d), other target rows.
        settings: what is far, where the average feature has variance one.
    """
    least = settings.stray_distance * rows.shape[1] ** 0.5
    usual = float(_nearest(fresh, rows).quantile(settings.usual_quantile))
    far = max(settings.stray_factor * usual, least)
    points = as_weighted(moved)
    strays = (_nearest(points.rows, rows) > far).double()
    return float(weighted_mean(strays, points.weights))


def _nearest(points: Tensor, rows: Tensor) -> Tensor:
    """Return how far the nearest of some rows (k, d) is from every point (n, d): (n,)."""
    return torch.cdist(points, rows).amin(-1)


def plan_potential(
    rows: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    options: Options,
) -> MaxAffine:
    """Return the potential of the exact plan between rows of either side.

    Of some temperatures that one is taken which moves the fewest of the rows held out to where the target has none, and
    of those that are equal in that the one that moves them closest to the target, by the energy distance.

    Args:
        rows: (n, d) of either side, in the coordinates.
        held_out: source and target rows that are not among them.
        options: what the fit is told.
    """
    settings = options.settings.plan
    u, w = rows
    heights = exact_plan(u.cpu().double(), w.cpu().double()).heights.to(w)
    x, z = (side.double() for side in held_out)
    target = torch.cat([z, w.to(z)])
    tried = [
        MaxAffine.of_plan(
            w.double(), heights.double(), settings.largest_temperature * 0.1**k
        )
        for k in range(settings.temperatures)
    ]
    faults = []
    for potential in tried:
        moved = x + potential.value_and_gradient(x)[1]
        stray = stray_share(moved, z, w.double(), settings)
        faults.append((stray, energy_distance(moved, target)))
    found = tried[faults.index(min(faults))]
    # In double precision, whatever the network's: scores over a small temperature are large numbers.
    return found.to(options.device).eval().requires_grad_(False)
