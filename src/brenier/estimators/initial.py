"""The potential that training starts from: a new one, the mean of several, or that of a map to go on from."""

from __future__ import annotations

import copy
import math

import torch

from brenier.errors import DataError
from brenier.estimators.budget import Budget
from brenier.estimators.options import MakePotential, Options
from brenier.estimators.trial import check_potential
from brenier.potentials import (
    Conditional,
    DenseICNN,
    EntropicPotential,
    MaxAffine,
    MeanPotential,
    Potential,
    Quadratic,
    ResidualPotential,
    widths,
)
from brenier.transport.maps import ConditionalMap, TransportMap

POTENTIALS: dict[str, MakePotential] = {
    "auto": lambda d, generator: default_maker(Budget(math.inf, d))(d, generator),
    "convex": lambda d, generator: DenseICNN(d, convex=True, generator=generator),
    "free": lambda d, generator: DenseICNN(d, generator=generator),
    "residual": lambda d, generator: ResidualPotential(d, generator=generator),
}


def identity_potential(dim: int, options: Options) -> Potential:
    """Return the potential of the identity, which in Gaussian coordinates is the affine map."""
    return Quadratic(dim).to(options.device, options.dtype).eval().requires_grad_(False)


def initial_potential(
    dim: int,
    options: Options,
    generator: torch.Generator,
    transport_dim: int | None = None,
) -> Potential:
    """Return the potential to train: a new one, or the warm start's.

    Args:
        dim: of the points.
        options: what the fit is told.
        generator: source of the initial weights.
        transport_dim: for conditioned points, how many leading coordinates are transported.

    Raises:
        DataError: where a potential of the user's cannot be trained.
    """
    made = copy.deepcopy(warm_potential(options.warm))
    if made is None:
        made = new_potential(options.make_potential, dim, generator)
        if transport_dim is not None:
            made = Conditional(made, transport_dim)
    made = made.to(options.device, options.dtype).requires_grad_(True)
    check_potential(made)
    return made


def warm_potential(warm: TransportMap | ConditionalMap | None) -> Potential | None:
    """Return the potential to go on from, or None where there is no map, or only an affine one."""
    if warm is None:
        return None
    potential = warm.network
    if isinstance(potential, MeanPotential):
        members = potential.members()
        networks = [each for each in members if not isinstance(each, EntropicPotential)]
        if len(networks) < len(members):  # the plan is of other rows
            return MeanPotential(networks) if networks else None
    network = potential.network if isinstance(potential, Conditional) else potential
    untrained = Quadratic, EntropicPotential, MaxAffine
    return None if isinstance(network, untrained) else potential


def new_potential(
    make: MakePotential, dim: int, generator: torch.Generator
) -> Potential:
    """Return a new potential, checked.

    Raises:
        DataError: where the function fails, or makes no potential of this dimension with parameters to train.
    """
    try:
        made = make(dim, generator)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"potential: cannot be made ({type(error).__name__}: {error}); give a function (d, generator) -> "
            "`Potential`, for example lambda d, generator: DenseICNN(d, generator=generator)",
            argument="potential",
        ) from error
    if not isinstance(made, Potential) or getattr(made, "dim", None) != dim:
        found = f"{type(made).__name__} with dim={getattr(made, 'dim', None)}"
        raise DataError(
            f"potential: the function returned {found}; return a `Potential` with dim={dim}",
            argument="potential",
        )
    parameters = list(made.parameters())
    frozen = sum(not part.requires_grad for part in parameters)
    if frozen or not parameters:
        raise DataError(
            f"potential: {type(made).__name__} has {len(parameters)} parameters, {frozen} of which require no "
            "gradient; give it parameters to train, and register as buffers what is not to be trained",
            argument="potential",
        )
    return made


def network_maker(potential: str | MakePotential, budget: Budget) -> MakePotential:
    """Return what makes one network: as told, or as the budget allows."""
    makers = {
        "auto": default_maker(budget),
        "convex": _convex(budget),
        "free": _free(budget),
        "residual": _residual(budget),
    }
    return makers[potential] if isinstance(potential, str) else potential


def maker_of(
    potential: str | MakePotential,
    n_networks: int | None,
    budget: Budget,
    warm: TransportMap | ConditionalMap | None,
) -> MakePotential:
    """Return what makes the potential: as told, or as the budget allows.

    Args:
        potential: a name in `POTENTIALS`, or a function.
        n_networks: whose mean the potential is, or None.
        budget: what the fit may take.
        warm: the map to go on from, or None.

    Raises:
        DataError: where another number of networks is asked for than the map to go on from has.
    """
    make = network_maker(potential, budget)
    several = potential in ("auto", "free")
    count = _count(n_networks, budget.networks if several else 1, warm)
    return make if count == 1 else mean_of(make, count)


def default_maker(budget: Budget) -> MakePotential:
    """Return what makes the default network: a free one, in more dimensions a smoother one, then a residual one."""

    def make(dim: int, generator: torch.Generator) -> Potential:
        if dim >= budget.residual_dim:
            return _residual(budget)(dim, generator)
        if dim < budget.smooth_dim:
            return _free(budget)(dim, generator)
        narrow = min(dim, budget.widest_dim)
        return DenseICNN(
            dim,
            widths(narrow, budget.layers(dim) or len(widths(narrow))),
            activation="softplus",
            generator=generator,
            squares=budget.smooth_squares,
            bias=budget.smooth_bias,
            bounded_below=budget.bounded_below,
        )

    return make


def _free(budget: Budget) -> MakePotential:
    """Return what makes free networks, of as many layers as the budget allows."""

    def make(dim: int, generator: torch.Generator) -> Potential:
        layers = budget.layers(dim)
        hidden = None if layers is None else widths(dim, layers)
        return DenseICNN(
            dim, hidden, generator=generator, bounded_below=budget.bounded_below
        )

    return make


def _convex(budget: Budget) -> MakePotential:
    """Return what makes convex networks: psi is convex, or where they have to be bounded below g itself."""
    below = budget.bounded_below
    return lambda dim, generator: DenseICNN(
        dim, convex=True, generator=generator, bounded_below=below
    )


def _residual(budget: Budget) -> MakePotential:
    """Return what makes residual networks."""
    below = budget.bounded_below
    return lambda dim, generator: ResidualPotential(
        dim, generator=generator, bounded_below=below
    )


def _count(
    asked: int | None, default: int, warm: TransportMap | ConditionalMap | None
) -> int:
    """Return of how many networks the potential is: as told, or those of the map to go on from, or by default."""
    potential = warm_potential(warm)
    if potential is None:
        return default if asked is None else asked
    found = len(potential.members())
    if asked not in (None, found):
        raise DataError(
            f"n_networks: is {asked}, the map to go on from is of {found}; give the same, or set warm_start=False"
        )
    return found


def mean_of(make: MakePotential, count: int) -> MakePotential:
    """Return what makes the mean of so many new potentials."""

    def make_mean(dim: int, generator: torch.Generator) -> Potential:
        return MeanPotential(
            [new_potential(make, dim, generator) for _ in range(count)]
        )

    return make_mean
