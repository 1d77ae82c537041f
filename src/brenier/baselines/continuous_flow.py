"""FFJORD and RNODE: flows of a free velocity network, trained by likelihood.

"FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models" (Grathwohl et al., 2019); "How to
Train Your Neural ODE: the World of Jacobian and Kinetic Regularization" (Finlay et al., 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from brenier.baselines.concat_squash import ConcatSquashField
from brenier.baselines.continuous_settings import (
    FFJORD_SETS,
    RNODE_SETS,
    ContinuousFlowSettings,
)
from brenier.baselines.density_model import DensityModel, Stage
from brenier.baselines.model import MapModel
from brenier.baselines.normalising_flow import NormalisingFlow, PublishedSet
from brenier.baselines.ode import Solver
from brenier.baselines.pair_task import PairSides


class SquashStage(Stage):
    """One block: dx/ds = T v(x, T s) for s from 0 to 1, with its kinetic energy and the norm of its Jacobian.

    Args:
        dim: d.
        hidden: units of the layers of v.
        activation: "tanh" or "softplus".
        learn_time: whether T, the time that it lasts, is learnt; else it is 1.
        generator: source of the weights.
    """

    costs = 2

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int],
        activation: str,
        learn_time: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.field = ConcatSquashField(dim, hidden, activation, generator)
        self.entries = dim * max([dim, *hidden])
        # Its square is T, which stays at zero or above.
        root = torch.ones(())
        if learn_time:
            self.root_time: Tensor = nn.Parameter(root)
        else:
            self.register_buffer("root_time", root)

    def velocity(self, t: float | Tensor, x: Tensor) -> Tensor:
        """Return T v(x, T t): (n, d) -> (n, d)."""
        last = self.root_time.square()
        found: Tensor = last * self.field(last * t, x)
        return found

    def rates(
        self, t: float | Tensor, rows: Tensor, probe: Tensor | None, costs: bool
    ) -> Tensor:
        """Return the rates of rows, of their log determinant and of both costs, as of every stage."""
        dim, last = self.field.dim, self.root_time.square()
        x = rows[:, :dim]
        at = self.field.at(last * t, x, probe)
        columns = [at.divergence]
        if costs:
            columns += [0.5 * at.velocity.square().mean(1), at.square / dim]
        return last * torch.cat([at.velocity, torch.stack(columns, 1)], 1)


class ContinuousFlow(DensityModel):
    """Blocks of free velocity networks.

    Args:
        dim: d.
        hidden: units of the layers of each.
        blocks: their number.
        activation: "tanh" or "softplus".
        learn_time: whether each learns how long it lasts.
        steps, rtol, atol: how maps and densities are solved, as in `ode.Solver`.
        generator: source of the weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int],
        blocks: int = 1,
        activation: str = "tanh",
        learn_time: bool = False,
        steps: int = 16,
        rtol: float | None = None,
        atol: float = 1e-8,
        generator: torch.Generator | None = None,
    ) -> None:
        stages: list[Stage] = [
            SquashStage(dim, hidden, activation, learn_time, generator)
            for _ in range(blocks)
        ]
        super().__init__(dim, stages, Solver(steps, rtol, atol))
        self.hidden, self.blocks = list(hidden), blocks
        self.activation, self.learn_time = activation, learn_time

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "hidden": self.hidden,
            "blocks": self.blocks,
            "activation": self.activation,
            "learn_time": self.learn_time,
            "steps": self.solver.steps,
            "rtol": self.solver.rtol,
            "atol": self.solver.atol,
        }

    def silence_(self) -> None:
        """Make the velocity of every block zero."""
        for stage in self.stages:
            if isinstance(stage, SquashStage):
                stage.field.silence_()


class FFJORD(NormalisingFlow[ContinuousFlowSettings]):
    """A continuous normalising flow of free form: N(0, I) to data, by likelihood alone.

    "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models" (Grathwohl et al., 2019). A
    network gives the velocity of rows, which carries data to a normal law in the direction of the inverse map; the way
    back generates. Its density is exact up to the solution of the equation. It is optimal for no cost, and knows of X
    only mean and deviation of every feature. "published" are the settings of the nearest of the five published sets
    (`published_for` gives each); "fair" is a reduced network for CPUs: one block of 64-64 units, eight equal steps.

    >>> import numpy as np
    >>> from brenier.baselines import FFJORD
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> flow = FFJORD(max_steps=5, random_state=0).fit(X, Y)
    >>> flow.transform(X).shape, flow.log_density(Y).shape
    ((500, 2), (600,))
    """

    model_class = ContinuousFlow
    published_sets: ClassVar[Mapping[str, PublishedSet]] = FFJORD_SETS
    presets: ClassVar[Mapping[str, Any]] = {
        "published": FFJORD_SETS["power"].settings,
        "fair": ContinuousFlowSettings(learning_rate=5e-3),
    }

    def model(self, dim: int, generator: torch.Generator) -> ContinuousFlow:
        """Return the untrained flow."""
        settings = self.settings_for(dim)
        solver = settings.map_solver()
        return ContinuousFlow(
            dim,
            hidden=settings.hidden(dim),
            blocks=settings.blocks,
            activation=settings.activation,
            learn_time=settings.learn_time,
            steps=solver.steps,
            rtol=solver.rtol,
            atol=solver.atol,
            generator=generator,
        )

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Say where the source is no normal law; put the flow at rest where settings say so."""
        super().prepare(model, sides, generator)
        at_rest = self.settings_for(model.dim).start_at_rest
        if at_rest and isinstance(model, ContinuousFlow):
            model.silence_()


class RNODE(FFJORD):
    """FFJORD whose way is made short and straight, so that a few equal steps solve it: N(0, I) to data.

    "How to Train Your Neural ODE: the World of Jacobian and Kinetic Regularization" (Finlay et al., 2020): the kinetic
    energy and the norm of the Jacobian along the way are added to minus the log likelihood, each with weight .01. The
    velocity is zero at the start. "fair" is a reduced network for CPUs: one block of 64-64 units, four equal steps. No
    settings of the authors for tabular data are public: those of "published" were inferred from tables of others.
    """

    published_sets: ClassVar[Mapping[str, PublishedSet]] = RNODE_SETS
    presets: ClassVar[Mapping[str, Any]] = {
        "published": RNODE_SETS["power"].settings,
        "fair": ContinuousFlowSettings(
            learning_rate=5e-3,
            steps=4,
            start_at_rest=True,
            kinetic_weight=0.01,
            jacobian_weight=0.01,
            warm_up=0.03,
        ),
    }
