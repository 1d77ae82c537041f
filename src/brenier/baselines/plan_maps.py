"""Maps of a plan between rows of either side: the exact one, and the entropic one, which new rows follow.

Both keep the rows they were computed from, and cost a distance to each of them for every row that is moved.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from brenier.baselines.assignment import assigned, half_squares
from brenier.baselines.closed_form import ClosedForm, Computed, DrawnRows
from brenier.baselines.model import MapModel
from brenier.datasets import Population
from brenier.errors import ConvergenceWarning, warn
from brenier.estimators import GivenConditions, RandomState, validation
from brenier.statistics import SinkhornSettings, entropic_plan

NEW_ROWS = ("image", "displaced")


@dataclasses.dataclass(frozen=True)
class EntropicMapSettings:
    """How the potentials of an entropic plan are found.

    Attributes:
        sinkhorn: iterations at each regularisation, and when they end.
        first: the regularisation that is begun with, relative to the mean cost.
        fall: factor from one regularisation to the next.
        bearable_error: share of the mass by which the target's marginal may be wrong before a warning says so.
    """

    sinkhorn: SinkhornSettings
    first: float = 1.0
    fall: float = 0.25
    bearable_error: float = 1e-2


ENTROPIC = EntropicMapSettings(SinkhornSettings(2000, marginal_tol=1e-3))


class PairedRows(MapModel):
    """Rows of the source, each with its row of the target; others go like the nearest of them.

    Args:
        dim: d.
        rows: n.
        displaced: whether other rows are displaced as the nearest row is, else they go to its image.
        pairs: (n, d), (n, d), or None where they are about to be loaded.
    """

    source: Tensor
    target: Tensor

    def __init__(
        self,
        dim: int,
        *,
        rows: int,
        displaced: bool = False,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.rows, self.displaced = dim, rows, displaced
        source, target = pairs or (torch.zeros(rows, dim), torch.zeros(rows, dim))
        self.register_buffer("source", source)
        self.register_buffer("target", target)

    def moved(self, x: Tensor) -> Tensor:
        """Return what the nearest source rows tell: (n, d) -> (n, d)."""
        return self._like_nearest(x, self.source, self.target)

    def returned(self, z: Tensor) -> Tensor:
        """Return what the nearest target rows tell: (n, d) -> (n, d)."""
        return self._like_nearest(z, self.target, self.source)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim, "rows": self.rows, "displaced": self.displaced}

    def _like_nearest(self, rows: Tensor, before: Tensor, after: Tensor) -> Tensor:
        nearest = torch.cdist(rows.detach(), before).argmin(1)
        if self.displaced:
            return rows + (after[nearest] - before[nearest])
        return after[nearest] + 0 * rows  # with a graph to the rows, as of every map


class EntropicModel(MapModel):
    """The entropic map both ways: the mean of the other side's rows under the entropic plan, given where one stands.

        T(x) = sum_j w_j(x) z_j,   w_j(x) proportional to exp((g_j - |x - z_j|^2/2) / eps)

    Args:
        dim: d.
        rows: n, m.
        parts: the tensors by name, or None where they are about to be loaded.
    """

    source: Tensor
    target: Tensor
    of_source: Tensor
    of_target: Tensor
    epsilon: Tensor

    def __init__(
        self,
        dim: int,
        *,
        rows: tuple[int, int],
        parts: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        n, m = rows
        self.dim, self.rows = dim, (n, m)
        shapes: dict[str, tuple[int, ...]] = {
            "source": (n, dim),
            "target": (m, dim),
            "of_source": (n,),
            "of_target": (m,),
            "epsilon": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, parts[name] if parts else torch.ones(shape))

    def moved(self, x: Tensor) -> Tensor:
        """Return the forward map of rows: (n, d) -> (n, d)."""
        return self._averaged(x, self.target, self.of_target)

    def returned(self, z: Tensor) -> Tensor:
        """Return the inverse map of rows: (n, d) -> (n, d)."""
        return self._averaged(z, self.source, self.of_source)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim, "rows": list(self.rows)}

    def _averaged(self, rows: Tensor, others: Tensor, potential: Tensor) -> Tensor:
        scores = (potential - half_squares(rows, others)) / self.epsilon
        return scores.softmax(1) @ others


class ExactPlanMap(ClosedForm):
    """The exact optimal plan between some rows of either side, which new rows follow as their nearest fitted row does.

    As many rows of one side as of the other are drawn, so that the plan is an assignment and its map goes from row to
    row (`scipy.optimize.linear_sum_assignment`; time is like n^3, memory like n^2). Fitted rows go where they should;
    new ones go to the image of the nearest one ("Plugin Estimation of Smooth Optimal Transport Maps", Manole et al.,
    2021). Its error falls like n^{-1/d}: fine in two features, hopeless in many. Nothing is interpolated, so every
    moved row is a row of Y.

    Args:
        new_rows: where rows go that were not fitted: to the "image" of the nearest one, or "displaced" as that is.
        max_rows: of either side at most, drawn at random where there are more.
        random_state, device, dtype: as for every `ClosedForm`.

    >>> import numpy as np
    >>> from brenier.baselines import ExactPlanMap
    >>> X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([[12.0], [10.0], [11.0]])
    >>> ExactPlanMap().fit(X, Y).transform(X + 0.1)
    array([[10.],
           [11.],
           [12.]])
    """

    model_class = PairedRows
    rows_at_once = 1024

    def __init__(
        self,
        *,
        new_rows: str = "image",
        max_rows: int = 2048,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__(
            max_rows=max_rows, random_state=random_state, device=device, dtype=dtype
        )
        self.new_rows = new_rows

    def drawn(
        self,
        source: Population,
        target: Population,
        given: GivenConditions,
        generator: torch.Generator,
    ) -> DrawnRows:
        """Return as many rows of either side as the smaller one has, at most `max_rows`."""
        sizes = [side.size for side in (source, target) if side.size is not None]
        most = min([int(self.max_rows), *sizes])
        x, z = (side.sample_distinct(most, generator) for side in (source, target))
        return DrawnRows(x.double(), z.double())

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the rows in pairs."""
        target = rows.target[assigned(rows.source, rows.target)]
        n, dim = rows.source.shape
        displaced = self.new_rows == "displaced"
        pairs = (rows.source, target)
        model = PairedRows(dim, rows=n, displaced=displaced, pairs=pairs)
        return Computed(model, {})

    def _check(self) -> None:
        super()._check()
        validation.check_choice("new_rows", self.new_rows, NEW_ROWS)


class EntropicMap(ClosedForm):
    """The entropic map: barycentric images under the entropic plan between rows of either side, both ways.

    "Entropic estimation of optimal transport maps" (Pooladian and Niles-Weed, 2021). New rows need no network: the
    potential of the other side says how its rows weigh at any point. The regularisation pulls every image towards the
    mean of its neighbours, by more the larger it is; a small one follows the rows drawn, and takes more iterations. As
    with every method that knows rows alone, many features need very many of them.

    Args:
        epsilon: the regularisation, relative to the mean of |x - z|^2/2 over all pairs of rows, both sides centred;
            0.05 by default, as in other libraries.
        max_rows: of either side at most, drawn at random where there are more.
        random_state, device, dtype: as for every `ClosedForm`.

    >>> import numpy as np
    >>> from brenier.baselines import EntropicMap
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(300, 2)), rng.normal(size=(400, 2)) + 3
    >>> moved = EntropicMap().fit(X, Y).transform(X)
    >>> bool(np.abs(moved - X - 3).mean() < 0.3)
    True
    """

    model_class = EntropicModel
    rows_at_once = 1024

    def __init__(
        self,
        *,
        epsilon: float = 0.05,
        max_rows: int = 2048,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__(
            max_rows=max_rows, random_state=random_state, device=device, dtype=dtype
        )
        self.epsilon = epsilon

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the entropic model, its potentials found from large regularisations down to the one asked for."""
        x, z = rows.source, rows.target
        costs = half_squares(x, z)
        mean = float(costs.mean()) or 1.0
        share, potential = max(ENTROPIC.first, self.epsilon), None
        while True:
            plan = entropic_plan(costs, share * mean, potential, ENTROPIC.sinkhorn)
            if share == self.epsilon:
                break
            share = max(share * ENTROPIC.fall, self.epsilon)
            potential = plan.target
        epsilon = self.epsilon * mean
        error = marginal_error(costs, plan.source, plan.target, epsilon)
        if error > ENTROPIC.bearable_error:
            warn(
                f"epsilon: the plan's marginal is wrong by {error:.1%} of the mass after all iterations; raise it "
                f"above {self.epsilon}",
                ConvergenceWarning,
            )
        parts = {
            "source": x,
            "target": z,
            "of_source": plan.source,
            "of_target": plan.target,
            "epsilon": x.new_tensor(epsilon),
        }
        model = EntropicModel(x.shape[1], rows=(len(x), len(z)), parts=parts)
        return Computed(model, {"epsilon": epsilon, "marginal_error": error})

    def _check(self) -> None:
        super()._check()
        validation.check_positive("epsilon", self.epsilon)


def marginal_error(costs: Tensor, f: Tensor, g: Tensor, epsilon: float) -> float:
    """Return the share of the mass by which the marginals of the plan of potentials (n,), (m,) are wrong."""
    plan = (f.unsqueeze(1) + g - costs).div(epsilon).exp()
    faults = [(plan.mean(side) - 1).abs().mean() for side in (0, 1)]
    return max(map(float, faults))
