"""The optimal transport dataset distance and its gradient flow, which moves rows and learns no map.

    C((x, y), (x', y')) = |x - x'|^2 + label_weight W2^2(a_y, a_y'),
    OTDD(a, b) = S_eps(a, b) - S_eps(a, a) / 2 - S_eps(b, b) / 2,

where a_y is the Gaussian fit of the rows of class y and S_eps the value of entropic transport for the cost C.
"Geometric Dataset Distances via Optimal Transport" (Alvarez-Melis and Fusi, 2020); the flow is that of "Dataset
Dynamics via Gradient Flows in Probability Space" (Alvarez-Melis and Fusi, 2021), with features alone moved.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from brenier.baselines.closed_form import ClosedForm, Computed, DrawnRows
from brenier.baselines.label_rows import rows_with_codes
from brenier.baselines.plan_maps import PairedRows, marginal_error
from brenier.datasets import LabelsLike, Population, Sampler, TableLike
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.estimators import GivenConditions, RandomState, validation
from brenier.statistics import (
    SinkhornSettings,
    entropic_plan,
    entropic_self_potential,
)


@dataclasses.dataclass(frozen=True)
class DatasetDistanceSettings:
    """How the plans of a dataset distance are found.

    Attributes:
        sinkhorn_steps: iterations of every plan at most; each starts from the one before.
        marginal_tol: share of the mass by which a marginal may be wrong at their end.
        bearable_error: share of the mass by which a marginal of the first plan may be wrong before a warning says so.
    """

    sinkhorn_steps: int = 1000
    marginal_tol: float = 1e-3
    bearable_error: float = 1e-2


DATASET_DISTANCE = DatasetDistanceSettings()
DATASET_PLANS = SinkhornSettings(
    sinkhorn_steps=DATASET_DISTANCE.sinkhorn_steps,
    marginal_tol=DATASET_DISTANCE.marginal_tol,
)


class ClassedRows(NamedTuple):
    """Rows (n, d) and the numbers of their classes (n,), which count from zero."""

    rows: Tensor
    codes: Tensor


class ClassMoments(NamedTuple):
    """Means (k, d) and covariances (k, d, d) of classes."""

    means: Tensor
    covariances: Tensor


class DistanceAndGradient(NamedTuple):
    """The dataset distance, its gradient in the source rows (n, d), and the potential of the target for a next one."""

    value: float
    gradient: Tensor
    target_potential: Tensor


def class_moments(side: ClassedRows) -> ClassMoments:
    """Return the moments of every class."""
    means, covariances = [], []
    for code in range(int(side.codes.max()) + 1):
        own = side.rows[side.codes == code]
        means.append(own.mean(0))
        covariances.append(torch.cov(own.mT).reshape(2 * own.shape[1:]))
    return ClassMoments(torch.stack(means), torch.stack(covariances))


def squared_bures(first: ClassMoments, second: ClassMoments) -> Tensor:
    """Return W2^2 between the Gaussians of any two classes: (k, l)."""
    shift = torch.cdist(first.means, second.means).square()
    values, vectors = torch.linalg.eigh(first.covariances)
    root = (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT
    inner = root[:, None] @ second.covariances[None] @ root[:, None]
    # tr (S^{1/2} R S^{1/2})^{1/2} is the sum of the roots of its eigenvalues.
    cross = torch.linalg.eigvalsh(inner).clamp(min=0).sqrt().sum(-1)
    traces = [_traces(side.covariances) for side in (first, second)]
    return shift + traces[0][:, None] + traces[1] - 2 * cross


def labelled_costs(
    first: ClassedRows, second: ClassedRows, of_classes: Tensor
) -> Tensor:
    """Return C between all rows, given what any two classes (k, l) add to it: (n, m)."""
    added = of_classes[first.codes][:, second.codes]
    return torch.cdist(first.rows, second.rows).square() + added


def dataset_distance(
    source: ClassedRows,
    target: ClassedRows,
    label_weight: float,
    epsilon: float,
    start: Tensor | None = None,
    settings: SinkhornSettings = DATASET_PLANS,
) -> DistanceAndGradient:
    """Return the dataset distance, and its gradient where the laws of classes are held fixed.

    S_eps is the least <P, C> + eps KL(P | a x b), so that its derivative is <P, dC>: of every source row, the mean of
    where it goes, less the mean of where the plan to its own side sends it.

    Args:
        source, target: the rows, float64.
        label_weight: of the distance between classes.
        epsilon: in units of C.
        start: (m,), the potential of an earlier plan.
        settings: of the iterations.
    """
    of_source, of_target = class_moments(source), class_moments(target)

    def costs(one: ClassedRows, other: ClassedRows) -> Tensor:
        moments = [of_source if side is source else of_target for side in (one, other)]
        return labelled_costs(one, other, label_weight * squared_bures(*moments))

    across, within, among = (
        costs(source, target),
        costs(source, source),
        costs(target, target),
    )
    plan = entropic_plan(across, epsilon, start, settings)
    own = entropic_self_potential(within, epsilon, settings=settings)
    others = entropic_self_potential(among, epsilon, settings=settings)
    value = plan.source.mean() + plan.target.mean() - own.mean() - others.mean()
    aims = ((plan.target - across) / epsilon).softmax(1) @ target.rows
    returns = ((own - within) / epsilon).softmax(1) @ source.rows
    gradient = 2 * (returns - aims) / len(source.rows)
    return DistanceAndGradient(float(value), gradient, plan.target)


class OTDDFlow(ClosedForm):
    """Rows of the source moved down the gradient of the optimal transport dataset distance to the target.

    "Geometric Dataset Distances via Optimal Transport" and "Dataset Dynamics via Gradient Flows in Probability Space"
    (Alvarez-Melis and Fusi, 2020, 2021), features alone moved. It moves the fitted rows and is no map: a new row is
    displaced like the nearest fitted row. Classes keep their labels and are matched to those of the target by
    distance, not by name, so no class need have the same label on both sides and none is sure to arrive at its own.
    There is no inverse. Memory is like the square of `max_rows`.

    Args:
        label_weight: of the squared distance between the Gaussian fits of classes, beside that of rows.
        epsilon: weight of the entropy, relative to the mean cost between both sides (published: 0.1, in units of data).
        rate: of a step, for the squared distance: a row takes 2 * rate of its way to the mean of where it should go.
        flow_steps: how many; 20 at a rate of 0.1 as published.
        max_rows: of either side at most, every class with its share.
        random_state, device, dtype: as for every `ClosedForm`.

    Attributes:
        diagnostics_: beside those of every `ClosedForm`, the dataset distance before the first step and before
            the last, "distance_before" and "distance_after", relative to the mean cost.

    >>> import numpy as np
    >>> from brenier.baselines import OTDDFlow
    >>> rng = np.random.default_rng(0)
    >>> X, labels = rng.normal(size=(60, 2)), np.arange(60) % 2
    >>> flow = OTDDFlow().fit(X, X + 3, source_labels=labels, target_labels=labels)
    >>> bool(np.abs(flow.transform(X) - X - 3).mean() < 0.2)
    True
    """

    model_class = PairedRows
    has_inverse = False
    rows_at_once = 1024

    def __init__(
        self,
        *,
        label_weight: float = 1.0,
        epsilon: float = 0.02,
        rate: float = 0.1,
        flow_steps: int = 20,
        max_rows: int = 1000,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__(
            max_rows=max_rows, random_state=random_state, device=device, dtype=dtype
        )
        self.label_weight = label_weight
        self.epsilon = epsilon
        self.rate = rate
        self.flow_steps = flow_steps

    @validation.names_both_sides
    def fit(
        self,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
    ) -> Self:
        """Move rows of X (n, d) towards Y (m, d).

        Args:
            X, Y: arrays, tensors, frames or memory-mapped arrays.
            source_labels, target_labels: one label per row, of any hashable kind; both are needed.

        Raises:
            DataError: for samples, labels or parameters that cannot be used.
        """
        given = GivenConditions(source_labels, target_labels, None, None)
        return self._fit(X, Y, given)

    def drawn(
        self,
        source: Population,
        target: Population,
        given: GivenConditions,
        generator: torch.Generator,
    ) -> DrawnRows:
        """Return rows of both sides by class, at most `max_rows` of either."""
        most, pair = int(self.max_rows), (source, target)
        x, of_x, _ = rows_with_codes(pair, given.source_labels, 0, most, generator)
        z, of_z, _ = rows_with_codes(pair, given.target_labels, 1, most, generator)
        return DrawnRows(x, z, of_x, of_z)

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the rows and where the flow takes them."""
        source = ClassedRows(rows.source, _known(rows.source_codes))
        target = ClassedRows(rows.target, _known(rows.target_codes))
        mean = self._mean_cost(source, target)
        epsilon, values, moved = float(self.epsilon) * mean, [], source
        start: Tensor | None = None
        for step in range(int(self.flow_steps)):
            found = dataset_distance(
                moved, target, float(self.label_weight), epsilon, start
            )
            if step == 0:
                self._warn_of_marginals(moved, target, found, epsilon)
            values.append(found.value / mean)
            step_size = float(self.rate) * len(moved.rows)
            moved = moved._replace(rows=moved.rows - step_size * found.gradient)
            start = found.target_potential
        pairs = (source.rows, moved.rows)
        n, dim = source.rows.shape
        model = PairedRows(dim, rows=n, displaced=True, pairs=pairs)
        told: dict[str, Any] = {
            "distance_before": values[0],
            "distance_after": values[-1],
        }
        return Computed(model, told)

    def _mean_cost(self, source: ClassedRows, target: ClassedRows) -> float:
        """Return the mean of C over all pairs of rows, or one where it is zero."""
        of_classes = squared_bures(class_moments(source), class_moments(target))
        costs = labelled_costs(source, target, float(self.label_weight) * of_classes)
        return float(costs.mean()) or 1.0

    def _warn_of_marginals(
        self,
        source: ClassedRows,
        target: ClassedRows,
        found: DistanceAndGradient,
        epsilon: float,
    ) -> None:
        """Warn where the iterations of the first plan did not come to their end."""
        of_classes = squared_bures(class_moments(source), class_moments(target))
        costs = labelled_costs(source, target, float(self.label_weight) * of_classes)
        g = found.target_potential
        f = -epsilon * ((g - costs) / epsilon).exp().mean(1).log()
        error = marginal_error(costs, f, g, epsilon)
        if error > DATASET_DISTANCE.bearable_error:
            warn(
                f"epsilon: a marginal of the plan is wrong by {error:.1%} of the mass after all iterations; raise it "
                f"above {self.epsilon}",
                ConvergenceWarning,
            )

    def _check(self) -> None:
        super()._check()
        validation.check_positive("label_weight", self.label_weight, zero=True)
        validation.check_positive("epsilon", self.epsilon)
        validation.check_positive("rate", self.rate)
        validation.check_positive("flow_steps", self.flow_steps, whole=True)


def _known(codes: Tensor | None) -> Tensor:
    """Return the numbers of classes, which `drawn` has found."""
    if codes is None:
        raise DataError("source_labels, target_labels: are missing; give both")
    return codes


def _traces(matrices: Tensor) -> Tensor:
    """Return the traces of matrices (k, d, d): (k,)."""
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
