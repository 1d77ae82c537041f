"""The Monge gap: one map network, a fitting term, and a penalty that is zero where the map is optimal.

    S_e1(T#mu, nu) + lambda [ mean of c(x, T(x)) - W_e2(x, T(x)) ],   c(x, z) = |x - z|^2/2

S is the Sinkhorn divergence and W the entropic cost, both between the rows of a batch. "The Monge Gap: A Regularizer to
Learn All Transport Maps" (Uscidda and Cuturi, 2023).

Entropic costs are differentiated by the envelope theorem: with the plan at its optimum, the derivative is that of the
costs under the plan held fixed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.assignment import half_squares
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import Perceptron
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.statistics import SinkhornSettings, entropic_plan, entropic_self_potential


@dataclasses.dataclass(frozen=True, kw_only=True)
class MongeGapSettings(LearnedSettings):
    """How a map is fitted under the Monge gap.

    Attributes:
        hidden: units of the layers.
        activation: between them.
        gap_weight: lambda.
        fitting_epsilon: e1, relative to the mean cost between the target's rows, in two features.
        gap_epsilon: e2, relative to the mean cost between the source's rows and moved ones, in two features.
        fitting_growth, gap_growth: both grow like (d/2) to these powers; zero for the same in any number of features,
            as published. The smaller e1 is, the more a batch shrinks what is fitted to it, and that grows with the
            features; a larger e2 is reached in fewer iterations.
        largest_fitting, largest_gap: which neither exceeds in growing; a large e2 ruins the map.
        sinkhorn_steps: iterations of every entropic problem at most.
        marginal_tol: share of the mass by which the marginals may be wrong when they end before.
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    activation: str = "gelu"
    gap_weight: float = 1.0
    fitting_epsilon: float = 0.1
    gap_epsilon: float = 0.02
    fitting_growth: float = 0.75
    gap_growth: float = 0.45
    largest_fitting: float = 0.5
    largest_gap: float = 0.05
    sinkhorn_steps: int = 60
    marginal_tol: float = 1e-3

    def shares(self, dim: int) -> tuple[float, float]:
        """Return e1 and e2, relative to the mean costs, for d features."""
        features = max(dim, 2) / 2
        fitting = self.fitting_epsilon * features**self.fitting_growth
        gap = self.gap_epsilon * features**self.gap_growth
        return (
            min(fitting, max(self.largest_fitting, self.fitting_epsilon)),
            min(gap, max(self.largest_gap, self.gap_epsilon)),
        )

    def sinkhorn(self) -> SinkhornSettings:
        """Return how entropic problems are solved."""
        return SinkhornSettings(self.sinkhorn_steps, marginal_tol=self.marginal_tol)


class ResidualMap(MapModel):
    """x -> x + P(x) with a perceptron P, which is zero at the start.

    Args:
        dim: d.
        hidden: units of the layers.
        activation: between them.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.hidden, self.activation = dim, list(hidden), activation
        self.network = Perceptron([dim, *self.hidden, dim], activation, generator)
        with torch.no_grad():
            for part in self.network[-1].parameters():
                part.zero_()

    def moved(self, x: Tensor) -> Tensor:
        """Return x + P(x): (n, d) -> (n, d)."""
        return x + self.network(x)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "hidden": self.hidden,
            "activation": self.activation,
        }


class MongeGapTask(PairTask):
    """The fitting term and the gap of a batch.

    Args:
        model: the map.
        sides, generator: as for every task.
        settings: the regularisations and the weight of the gap.
    """

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: MongeGapSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings

    def loss(self, rows: int) -> Tensor:
        """Return the fitting term, up to a constant, plus the weighted gap: a scalar."""
        settings, sinkhorn = self.settings, self.settings.sinkhorn()
        x, z = self.draw_source(rows), self.draw_target(rows)
        moved = self.model.moved(x)
        spread = float(half_squares(z, z).mean())
        of_fitting, of_gap = settings.shares(x.shape[1])
        fitting = fitting_term(moved, z, of_fitting * spread, sinkhorn)
        mean = float(half_squares(x, moved.detach()).mean())
        gap = monge_gap(x, moved, of_gap * mean, sinkhorn)
        return fitting + settings.gap_weight * gap


class MongeGap(LearnedBaseline[MongeGapSettings]):
    """One map network, fitted by the Sinkhorn divergence and kept optimal by the Monge gap.

    "The Monge Gap: A Regularizer to Learn All Transport Maps" (Uscidda and Cuturi, 2023). There is no potential and no
    game; any cost would do. Both terms are biased for every finite batch, by more the more features there are, so the
    map levels off however long it is trained; a step takes Sinkhorn's iterations on matrices of all pairs of a batch.
    The inverse is not learned.

    >>> import numpy as np
    >>> from brenier.baselines import MongeGap
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), rng.normal(size=(600, 2)) + 1
    >>> MongeGap(max_steps=3, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    model_class = ResidualMap
    has_inverse = False
    presets: ClassVar[Mapping[str, Any]] = {
        # The tutorial of the public code (ott-jax): layers of 32, 64 and 32 units with GELU, Adam at 1e-3, batches of
        # 256 rows; its class takes 10,000 steps by default. Settings of the paper's own benchmarks are not known.
        "published": MongeGapSettings(
            batch_size=256,
            hidden=(32, 64, 32),
            final_rate=1.0,
            max_steps=10_000,
            coordinates="data",
            max_rollbacks=1,
            gap_epsilon=0.01,
            fitting_growth=0.0,
            gap_growth=0.0,
            sinkhorn_steps=2000,
        ),
        "fair": MongeGapSettings(learning_rate=3e-3),
    }

    def model(self, dim: int, generator: torch.Generator) -> ResidualMap:
        """Return the map before training: the identity."""
        settings = self.chosen_settings()
        return ResidualMap(
            dim,
            hidden=settings.hidden,
            activation=settings.activation,
            generator=generator,
        )

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> MongeGapTask:
        """Return the task that trains the map."""
        return MongeGapTask(model, sides, generator, self.chosen_settings())


def fitting_term(
    moved: Tensor, z: Tensor, epsilon: float, settings: SinkhornSettings
) -> Tensor:
    """Return the Sinkhorn divergence up to what z alone decides, W_eps(T, z) - W_eps(T, T)/2: a scalar.

    "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences" (Feydy et al., 2019): without the
    second term the moved rows would shrink.

    Args:
        moved, z: (n, d), (m, d); differentiable in the former.
        epsilon: the regularisation, in units of the cost.
        settings: how long to iterate.
    """
    between = entropic_cost(half_squares(moved, z), epsilon, settings)
    own = entropic_cost(half_squares(moved, moved), epsilon, settings, alike=True)
    return between - 0.5 * own


def monge_gap(
    x: Tensor, moved: Tensor, epsilon: float, settings: SinkhornSettings
) -> Tensor:
    """Return the mean cost of x -> moved less their entropic cost with its entropy, differentiable in moved: a scalar.

    The entropy is counted from that of a plan that leads each row to one: H(P) - log n. So the gap is never negative,
    and goes to zero with epsilon where the pairs are those of an optimal plan.

    Args:
        x, moved: (n, d).
        epsilon: the regularisation, in units of the cost.
        settings: how long to iterate.
    """
    cost = 0.5 * (moved - x).square().sum(1).mean()
    optimal = entropic_cost(half_squares(x, moved), epsilon, settings)
    return cost - optimal + epsilon * math.log(len(x))


def entropic_cost(
    costs: Tensor, epsilon: float, settings: SinkhornSettings, *, alike: bool = False
) -> Tensor:
    """Return the minimum over plans P of <P, c> + eps KL(P | uniform), differentiable in the costs: a scalar.

    Args:
        costs: (n, m).
        epsilon: the regularisation, in units of the cost; where it is zero, since all costs are, so is the result.
        settings: how long to iterate.
        alike: whether both sides are one sample, of which one potential is enough.
    """
    if epsilon <= 0:
        return 0.0 * costs.sum()
    with torch.no_grad():
        fixed = costs.detach()
        if alike:
            f = g = entropic_self_potential(fixed, epsilon, settings=settings)
        else:
            f, g = entropic_plan(fixed, epsilon, settings=settings)
        plan = (f.unsqueeze(1) + g - fixed).div_(epsilon).exp_() / fixed.numel()
        mass = plan.sum()
        value = f.mean() + g.mean() - epsilon * (mass - 1)
        plan = plan / mass
    found = (plan * costs).sum()
    return found + (value - found).detach()
