"""WGAN-QC: a potential fitted to the dual solution of the assignment between two small batches.

    H(.) = psi(.) - |.|^2/2;   a, b the solution of:  max mean a - mean b  such that  a_i - b_j <= |y_i - x_j|^2/2
    loss = (mean H(y) - mean a)^2 / 2 + mean (H(x_j) - b_j)^2 / 2 + weight mean (|grad H(x_j)| - |y_m(j) - x_j|)^2 / 8

"Wasserstein GAN with Quadratic Transport Cost" (Liu, Gu and Samaras, 2019), with K = 1, as run in "Do Neural Optimal
Transport Solvers Work?" (Korotin et al., 2021), QC.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier.baselines.learned_settings import LearnedSettings, wrong_setting
from brenier.baselines.model import MapModel
from brenier.baselines.networks import DenseSquares
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.potential_pair import PotentialPair, PotentialPairBaseline
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssignmentSettings(LearnedSettings):
    """How potentials are fitted to the duals of assignments.

    Attributes:
        batch_size: rows of either side of an assignment; the method's bias falls with it, and its work grows like the
            cube.
        slope_weight: of the penalty on the length of the slope, 4 gamma with the published gamma = 0.1.
    """

    batch_size: int = 64
    slope_weight: float = 0.4

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        if not self.slope_weight >= 0:
            raise wrong_setting(
                "slope_weight", "must not be negative", self.slope_weight
            )


class AssignmentDual(NamedTuple):
    """The dual solution of an assignment between batches of one size, and the assignment.

    Attributes:
        a: (n,), of the rows of y.
        b: (n,), of the rows of x; a_i - b_j is the cost where y_i and x_j are matched, and at most the cost elsewhere.
        match: (n,), the row of y that each row of x is matched with.
    """

    a: Tensor
    b: Tensor
    match: Tensor

    def swapped(self) -> AssignmentDual:
        """Return the same with the roles of x and y exchanged."""
        return AssignmentDual(-self.b, -self.a, self.match.argsort())


def load_emd() -> Callable[..., Any]:
    """Return POT's network simplex, imported here because it is optional.

    Raises:
        DataError: where it is not installed.
    """
    try:
        from ot import emd
    except ImportError as error:
        raise DataError(
            'POT: WGANQC needs it; install it with pip install "brenier[metrics]"'
        ) from error
    return emd  # type: ignore[no-any-return]


def assignment_dual(x: Tensor, y: Tensor, most_pivots: int = 10**7) -> AssignmentDual:
    """Return the dual solution for |y - x|^2/2, with mean a + mean b = 0, and the assignment.

    Args:
        x, y: rows (n, d), as many of either.
        most_pivots: of the simplex, far more than batches need.

    Raises:
        DataError: where POT is not installed.
    """
    cost = torch.cdist(y.double(), x.double()).square().div(2).cpu().numpy()
    even = np.full(len(cost), 1 / len(cost))
    if not np.isfinite(cost).all():  # rows overflowed: a loss that says so
        lost = x.new_full((len(x),), torch.nan)
        return AssignmentDual(lost, lost, torch.arange(len(x), device=x.device))
    plan, log = load_emd()(even, even, cost, numItermax=most_pivots, log=True)
    a, b = (torch.as_tensor(part).to(x) for part in (log["u"], -log["v"]))
    shift = (a.mean() + b.mean()) / 2
    match = torch.as_tensor(np.asarray(plan).argmax(0), device=x.device)
    return AssignmentDual(a - shift, b - shift, match)


def fit_to_dual(
    potential: DenseSquares, x: Tensor, y: Tensor, dual: AssignmentDual, weight: float
) -> Tensor:
    """Return the loss of a potential psi of the x side against a dual solution.

    Args:
        potential: psi.
        x, y: rows (n, d).
        dual: of their assignment.
        weight: of the penalty on the length of the slope.
    """
    of_x, slope = potential.value_and_gradient(x)
    at_x = of_x - x.square().sum(-1) / 2
    at_y = potential(y) - y.square().sum(-1) / 2
    length = torch.linalg.vector_norm(slope - x, dim=-1)
    moved = torch.linalg.vector_norm(y[dual.match] - x, dim=-1)
    fit = (at_y.mean() - dual.a.mean()).square() + (at_x - dual.b).square().mean()
    return 0.5 * fit + weight * (length - moved).square().mean() / 8


class AssignmentTask(PairTask):
    """One assignment, and one step of the potentials of both directions towards its dual.

    Args:
        model: both potentials; they know nothing of each other.
        sides, generator: as for every task.
        settings: the weight of the slopes.
    """

    model: PotentialPair

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: AssignmentSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.weight = settings.slope_weight

    def loss(self, rows: int) -> Tensor:
        """Return the sum of the losses of both potentials."""
        x, y = self.draw_source(rows), self.draw_target(rows)
        dual = assignment_dual(x, y)
        ahead = fit_to_dual(self.model.ahead, x, y, dual, self.weight)
        back = fit_to_dual(self.model.back, y, x, dual.swapped(), self.weight)
        return ahead + back


class WGANQC(PotentialPairBaseline[AssignmentSettings]):
    """A potential fitted to the exact duals of assignments between small batches (needs POT).

    "Wasserstein GAN with Quadratic Transport Cost" (Liu, Gu and Samaras, 2019). The forward map is the gradient of the
    potential, the inverse that of a second one with the roles exchanged, fitted to the same assignments. The distance
    between batches of 64 rows is far from that between the laws in all but a few dimensions, and one potential stands
    for both sides: made for GANs, it is no good estimator of maps, and more training does not help.

    >>> import numpy as np
    >>> from brenier.baselines import WGANQC
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> WGANQC(max_steps=50, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    presets: ClassVar[Mapping[str, Any]] = {
        # The notebooks of the benchmark.
        "published": AssignmentSettings(
            final_rate=1.0,
            max_steps=100_000,
            coordinates="data",
            max_rollbacks=1,
            evaluate_every=1000,
        ),
        "fair": AssignmentSettings(),
    }

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> AssignmentTask:
        """Return the task that trains the potentials."""
        return AssignmentTask(model, sides, generator, self.chosen_settings())

    def _check(self) -> AssignmentSettings:
        """Return the settings; raise a DataError for the first parameter that cannot be used, or without POT."""
        load_emd()
        return super()._check()
