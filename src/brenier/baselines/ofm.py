"""Optimal flow matching: straight paths by construction, for any coupling of the two sides.

    loss(psi) = E |x0 - z0|^2 / t^2,   (1 - t) z0 + t grad psi(z0) = x_t = (1 - t) x0 + t x1

with psi convex. z0 is where the straight path through x_t of the map grad psi began. The loss is the dual gap up to a
constant, so that its minimiser is the optimal potential whatever coupling (x0, x1) has. "Optimal Flow Matching:
Learning Straight Trajectories in Just One Step" (Kornilov et al., 2024).

The gradient comes of the implicit function theorem: with H = (1 - t) I + t Hess psi(z0) it is that of

    E < H^{-1} 2 (x0 - z0)/t , grad psi(z0) >,     H^{-1}(...) and z0 held fixed,

for which H is applied by conjugate gradients on Hessian products and never formed (`brenier.solve.implicit`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.assignment import assigned
from brenier.baselines.identity_start import bring_to_identity
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import DenseSquares, frozen
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.setting_checks import require
from brenier.errors import ConvergenceWarning, warn
from brenier.solve import BFGS, Solution, implicit, minimise

COUPLINGS = ("independent", "plan")


@dataclasses.dataclass(frozen=True)
class PathSettings:
    """How the beginnings of paths are found, and the linear systems at them.

    Attributes:
        tol: bound on the residual of a row, times the square root of d.
        max_steps: steps after which a row is left as it is.
        inverse_tol, inverse_steps: the same for the inverse map.
        product_tol: bound on the residual of a linear system, relative to its right-hand side.
        max_products: Hessian products for a linear system at most.
    """

    tol: float = 5e-4
    max_steps: int = 100
    inverse_tol: float = 1e-4
    inverse_steps: int = 500
    product_tol: float = 1e-3
    max_products: int = 50


PATHS = PathSettings()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OFMSettings(LearnedSettings):
    """How a convex potential is fitted by flow matching.

    Attributes:
        batch_size: rows of either side per step; each is an inner problem.
        optimiser: as for all; RMSprop in the public code.
        coupling: of the rows of a batch, "independent" or the exact "plan" between them.
        least_time: times are uniform from this one to 1, since what is left of the inner problem's error is divided by
            them.
    """

    batch_size: int = 256
    coupling: str = "independent"
    least_time: float = 0.01

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        for name, fine, rule in (
            ("coupling", self.coupling in COUPLINGS, f"must be one of {COUPLINGS}"),
            ("least_time", 0 < self.least_time < 1, "must lie between 0 and 1"),
        ):
            require(name, getattr(self, name), rule, met=fine)


@dataclasses.dataclass(frozen=True)
class PathProblem:
    """t psi(z) + (1 - t) |z|^2/2 - <z, x_t>, row by row, whose minimum is where the path through x_t began.

    Attributes:
        potential: psi.
        at: (n, d), x_t.
        time: (n, 1), t.
    """

    potential: DenseSquares
    at: Tensor
    time: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return value (n,) and residual (n, d) at y (n, d)."""
        t, share = self.time, 1 - self.time
        square = 0.5 * share * y - self.at
        psi, slope = self.potential.value_and_gradient(y)
        value = t.squeeze(1) * psi + torch.linalg.vecdot(y, square)
        return value, t * slope + share * y - self.at

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        """Return ((1 - t) I + t Hess psi(y)) v, row by row: (n, d)."""
        with torch.enable_grad(), frozen(self.potential):
            at = y.detach().requires_grad_()
            slope = self.potential.gradient(at)
            (product,) = torch.autograd.grad(slope, at, v)
        return self.time * product + (1 - self.time) * v

    def rows(self, index: Tensor) -> PathProblem:
        """Return the problem restricted to the rows in index."""
        return PathProblem(self.potential, self.at[index], self.time[index])


class FlowPotential(MapModel):
    """A convex potential: the map is its gradient, the inverse a convex problem for each row.

    Args:
        dim: d.
        generator: source of the initial weights.
    """

    def __init__(self, dim: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.dim = dim
        hidden = [max(2 * dim, 128), max(2 * dim, 128), max(dim, 64)]
        self.potential = DenseSquares(dim, hidden, generator=generator)

    def moved(self, x: Tensor) -> Tensor:
        """Return grad psi(x): (n, d) -> (n, d)."""
        return self.potential.gradient(x)

    def returned(self, z: Tensor) -> Tensor:
        """Return the x with grad psi(x) = z: (n, d) -> (n, d)."""
        time = torch.ones_like(z[:, :1])
        solution = self.beginnings(z, time, PATHS.inverse_tol, PATHS.inverse_steps)
        if solution.unconverged:
            warn(f"inverse_transform: {solution.report()}", ConvergenceWarning)
        if not (torch.is_grad_enabled() and z.requires_grad):
            return solution.point
        return implicit(lambda y: self.moved(y) - z, solution.point)

    def beginnings(
        self, at: Tensor, time: Tensor, tol: float, max_steps: int
    ) -> Solution:
        """Return where the paths through some points began.

        Args:
            at: (n, d).
            time: (n, 1), at which paths are there.
            tol: bound on the residual, times the square root of d.
            max_steps: steps after which a row is left as it is.
        """
        return minimise(
            PathProblem(self.potential, at.detach(), time),
            BFGS(),
            at.detach(),
            tol=tol * self.dim**0.5,
            max_steps=max_steps,
        )

    def constrain(self) -> None:
        """Clamp the weights that make the potential convex."""
        self.potential.clamp_()

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim}


class OFMTask(PairTask):
    """The loss of a batch, through its inner problems.

    Args:
        model: the potential.
        sides, generator: as for every task.
        settings: the coupling and the times.
    """

    model: FlowPotential

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: OFMSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings

    def loss(self, rows: int) -> Tensor:
        """Return the loss, with the gradient of the surrogate: a scalar."""
        x, z = self.draw_source(rows), self.draw_target(rows)
        if self.settings.coupling == "plan":
            z = z[assigned(x, z)]
        least = self.settings.least_time
        time = least + (1 - least) * self.uniform(rows, 1)
        at = x + time * (z - x)
        begun = self.model.beginnings(at, time, PATHS.tol, PATHS.max_steps).point
        return matching_loss(PathProblem(self.model.potential, at, time), x, begun)


def matching_loss(problem: PathProblem, x: Tensor, begun: Tensor) -> Tensor:
    """Return the mean of |x - begun|^2/t^2, differentiable in the parameters of the potential: a scalar.

    Args:
        problem: the paths that are asked for.
        x: (n, d), where they should begin.
        begun: (n, d), where they do, as the inner solver found.
    """
    exact = implicit(
        lambda y: problem.evaluate(y)[1], begun, PATHS.product_tol, PATHS.max_products
    )
    return ((x - exact) / problem.time).square().sum(1).mean()


class OFM(LearnedBaseline[OFMSettings]):
    """Optimal flow matching: a convex potential whose straight paths match those of any coupling of both sides.

    "Optimal Flow Matching: Learning Straight Trajectories in Just One Step" (Kornilov et al., 2024). It minimises the
    dual gap, without a game and without bias; but each step solves a convex problem for every row of the batch and a
    linear system at its solution, so steps are slow and grow slower in many features. The inverse is such a problem
    for every row, solved without bias whatever the potential is.

    >>> import numpy as np
    >>> from brenier.baselines import OFM
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), rng.normal(size=(600, 2)) + 1
    >>> fitted = OFM(max_steps=3, random_state=0).fit(X, Y)
    >>> Z = fitted.transform(X)
    >>> bool(np.abs(fitted.inverse_transform(Z) - X).max() < 1e-2)
    True
    """

    model_class = FlowPotential
    presets: ClassVar[Mapping[str, Any]] = {
        # The public code's benchmark: RMSprop at 1e-3, batches of 1,024 rows, 30,001 steps, independent couplings. It
        # keeps the weights that are best by the truth, which no user has; here the last ones.
        "published": OFMSettings(
            batch_size=1024,
            optimiser="RMSprop",
            final_rate=1.0,
            max_steps=30_001,
            coordinates="data",
            max_rollbacks=1,
            least_time=1e-5,
        ),
        "fair": OFMSettings(learning_rate=3e-3, weights="average"),
    }

    def model(self, dim: int, generator: torch.Generator) -> FlowPotential:
        """Return the untrained potential."""
        return FlowPotential(dim, generator=generator)

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Bring the map near the identity."""
        model.constrain()
        bring_to_identity(
            model.moved,
            model,
            sides.known[0],
            generator,
            model.constrain,
            sides.spent,
        )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> OFMTask:
        """Return the task that trains the potential."""
        return OFMTask(model, sides, generator, self.chosen_settings())
