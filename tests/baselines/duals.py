"""PairSides and potentials that tests of the dual methods are made of."""

import torch
from torch import Tensor

from brenier.baselines.networks import DenseSquares
from brenier.baselines.pair_task import DrawCoordinates, PairSides


def shifted_normal(dim: int, scale: float = 1.0, shift: float = 0.0) -> DrawCoordinates:
    """Draws of a normal law."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        rows = torch.randn(n, dim, generator=generator, dtype=torch.float64)
        return scale * rows + shift

    return draw


def normal_sides(
    dim: int, generator: torch.Generator, scale: float = 2.0, shift: float = 1.0
) -> PairSides:
    """A standard normal side and another; the optimal map is x -> scale x + shift."""
    draws = shifted_normal(dim), shifted_normal(dim, scale, shift)
    rows = draws[0](300, generator), draws[1](200, generator)
    return PairSides(*draws, rows, (float("inf"),) * 2, rows)


def quadratic(dim: int, curvature: float, shift: float = 0.0) -> DenseSquares:
    """psi(x) = curvature |x|^2/2 + shift (x_1 + ... + x_d), in double precision."""
    potential = DenseSquares(dim, [dim, 1, 1], curvature=curvature).double()
    with torch.no_grad():
        for part in potential.parameters():
            part.zero_()
        # The one unit on which the slope depends is held where celu is the identity.
        potential.linear[:, -1] = shift
        potential.bias[-1] = 1e3
        potential.readout.fill_(1.0)
    return potential


def convex(dim: int, generator: torch.Generator) -> DenseSquares:
    """A convex potential of random weights, in double precision."""
    potential = DenseSquares(dim, deviation=0.3, generator=generator).double()
    potential.clamp_()
    return potential
