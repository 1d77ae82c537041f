"""The networks of W2OT: a potential, the start of its conjugate, and the inverse map that solves it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brenier.baselines.conjugate import solve_conjugate
from brenier.baselines.elu_potential import EluPotential
from brenier.baselines.model import MapModel
from brenier.baselines.networks import DenseSquares, Perceptron, frozen
from brenier.baselines.pair_task import PairSides
from brenier.errors import ConvergenceWarning, warn
from brenier.solve import implicit

POTENTIAL_KINDS = ("elu", "plain", "convex")
START_KINDS = ("map", "gradient")


@dataclasses.dataclass(frozen=True)
class BoxSettings:
    """How maps are brought to the identity on a box.

    Attributes:
        rate: of Adam.
        rows: points per step.
        most_share: of the seconds of the fit, where these are limited, at which it ends.
    """

    rate: float = 1e-3
    rows: int = 1024
    most_share: float = 0.2


BOX = BoxSettings()


class Shape(NamedTuple):
    """What the networks look like.

    Attributes:
        potential: "elu", "plain" or "convex".
        start: "map" or "gradient".
        widths: units of the layers of both.
    """

    potential: str
    start: str
    widths: tuple[int, ...]


class AmortisedPair(MapModel):
    """A potential D on the source side, and a network H that tells where its conjugate is reached.

    Args:
        dim: d.
        potential: "elu", "plain" or "convex".
        start: "map" or "gradient".
        widths: units of the layers of both.
        residual: of the solve for the inverse map, for rows near the origin.
        steps: of that solve at most.
        generator: source of the initial weights.
    """

    potential: EluPotential | DenseSquares

    def __init__(
        self,
        dim: int,
        *,
        potential: str = "elu",
        start: str = "map",
        widths: Sequence[int],
        residual: float,
        steps: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.kind, self.start_kind = dim, potential, start
        self.widths, self.residual, self.steps = list(widths), residual, steps
        if potential == "convex":
            self.potential = DenseSquares(dim, widths, generator=generator)
        else:
            bounded = potential == "elu"
            self.potential = EluPotential(
                dim,
                widths,
                outer_elu=bounded,
                quadratic="learnt" if bounded else "fixed",
                generator=generator,
            )
        self.start: Perceptron | EluPotential
        if start == "map":
            self.start = Perceptron([dim, *widths, dim], "elu", generator)
        else:
            self.start = EluPotential(
                dim, widths, quadratic="fixed", generator=generator
            )

    def moved(self, x: Tensor) -> Tensor:
        """Return grad D(x): (n, d) -> (n, d)."""
        return self.potential.gradient(x)

    def started(self, y: Tensor) -> Tensor:
        """Return H(y): (n, d) -> (n, d)."""
        if isinstance(self.start, EluPotential):
            return self.start.gradient(y)
        found: Tensor = y + self.start(y)
        return found

    def returned(self, z: Tensor) -> Tensor:
        """Return where the conjugate at z is reached, grad D*(z): (n, d) -> (n, d); it warns of rows unsolved.

        Where gradients are wanted, they are those of the implicit function theorem.
        """
        with torch.no_grad():
            start = self.started(z)
            tol = self.residual * (1 + z.abs().amax(-1))
        solution = solve_conjugate(
            self.potential, z.detach(), start, tol=tol, max_steps=self.steps
        )
        if solution.unconverged:
            warn(f"inverse map: {solution.report()}", ConvergenceWarning)
        if not (torch.is_grad_enabled() and z.requires_grad):
            return solution.point
        with frozen(self.potential):
            return implicit(
                lambda point: self.potential.gradient(point) - z, solution.point
            )

    def constrain(self) -> None:
        """Clamp the weights of a convex potential."""
        if isinstance(self.potential, DenseSquares):
            self.potential.clamp_()

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "potential": self.kind,
            "start": self.start_kind,
            "widths": self.widths,
            "residual": self.residual,
            "steps": self.steps,
        }

    def start_on_box(
        self,
        sides: PairSides,
        generator: torch.Generator,
        *,
        most: int,
        least: int,
        enough: float,
    ) -> int:
        """Train both maps towards the identity on the bounding box of the data; return the steps taken.

        Args:
            sides: the data.
            generator: source of the points.
            most, least: steps.
            enough: mean squared error per number, of the worse map, at which it ends.
        """
        rows = torch.cat(sides.known)
        low, high = rows.amin(0), rows.amax(0)
        optimiser = torch.optim.Adam(self.parameters(), lr=BOX.rate)
        for step in range(most):
            share = torch.rand(
                (BOX.rows, self.dim), generator=generator, dtype=rows.dtype
            )
            x = torch.lerp(low, high, share.to(rows.device))
            optimiser.zero_grad()
            errors = torch.stack(
                [(map_(x) - x).square().mean() for map_ in (self.moved, self.started)]
            )
            errors.sum().backward()
            optimiser.step()
            self.constrain()
            done = step >= least and float(errors.detach().max()) < enough
            if done or sides.spent() > BOX.most_share:
                return step + 1
        return most
