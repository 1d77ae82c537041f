"""Source rows that a map keeps, for its inverse problems to start at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brenier.estimators.options import Options
from brenier.potentials import Potential

# (n, generator) -> n distinct training rows in the coordinates, or as many as there are
DrawRows = Callable[[int, torch.Generator], Tensor]


def kept_rows(
    draw: DrawRows, network: Potential, options: Options, generator: torch.Generator
) -> Tensor | None:
    """Return training rows (k, d) in the coordinates for the map of a network to keep, or None.

    Where psi is certainly convex, as that of an affine map or an exact plan, every start leads to the one minimum.

    Args:
        draw: how rows are drawn.
        network: the potential.
        options: what the fit is told.
        generator: where the fit's randomness stands; nothing is drawn from it.
    """
    if not options.keep_rows or network.strong_convexity() > 0:
        return None
    rows = draw(options.settings.starts.max_candidates, copied(generator))
    return rows.to(options.device, options.dtype)


def copied(generator: torch.Generator) -> torch.Generator:
    """Return a generator that draws what another would, and leaves that as it is."""
    own = torch.Generator()
    own.set_state(generator.get_state())
    return own
