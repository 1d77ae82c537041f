"""The potential that training starts from."""

from __future__ import annotations

import copy

import torch

from brenier.errors import DataError
from brenier.estimators.pipeline import MakePotential, Options
from brenier.potentials import Conditional, Potential, Quadratic
from brenier.transport.maps import ConditionalMap, TransportMap


def identity(dim: int, options: Options) -> Potential:
    """Return the potential of the identity, which in Gaussian coordinates is the affine map."""
    return Quadratic(dim).to(options.device, options.dtype).eval().requires_grad_(False)


def trainable(
    dim: int, options: Options, generator: torch.Generator, space: int | None = None
) -> Potential:
    """Return the potential to train: a new one, or the warm start's.

    Args:
        dim: of the points.
        options: what the fit is told.
        generator: source of the initial weights.
        space: for conditioned points, how many leading coordinates are transported.
    """
    warm = trained(options.warm)
    if warm is not None:
        made = copy.deepcopy(warm)
    else:
        made = fresh(options.make_potential, dim, generator)
        made = made if space is None else Conditional(made, space)
    return made.to(options.device, options.dtype).requires_grad_(True)


def trained(warm: TransportMap | ConditionalMap | None) -> Potential | None:
    """Return the potential to go on from, or None where there is no map, or only an affine one."""
    potential = None if warm is None else warm.network
    network = potential.network if isinstance(potential, Conditional) else potential
    return None if isinstance(network, Quadratic) else potential


def fresh(make: MakePotential, dim: int, generator: torch.Generator) -> Potential:
    """Return a new potential, checked."""
    made = make(dim, generator)
    if not isinstance(made, Potential) or made.dim != dim:
        found = f"{type(made).__name__} with dim={getattr(made, 'dim', None)}"
        raise DataError(
            f"potential: the function returned {found}; return a `Potential` with dim={dim}"
        )
    return made
