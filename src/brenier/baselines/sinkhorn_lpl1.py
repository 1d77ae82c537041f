"""Entropic transport whose plan keeps classes of the source apart, as POT computes it.

    min over plans P:  <P, C> + reg KL(P) + class_reg sum_j sum_k (sum over i of class k of P_ij)^{1/2}

"Optimal Transport for Domain Adaptation" (Courty, Flamary, Tuia and Rakotomamonjy, 2017), by majorisation: the cost is
weighted anew ten times, and every time Sinkhorn's iteration finds the plan.
"""

from __future__ import annotations

import dataclasses
import warnings
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor

from brenier.baselines.closed_form import ClosedForm, Computed, DrawnRows, rows_by_class
from brenier.baselines.label_rows import rows_with_codes
from brenier.baselines.plan_maps import PairedRows
from brenier.datasets import LabelsLike, Population, Sampler, TableLike
from brenier.errors import ConvergenceWarning, DataError, DataWarning, warn
from brenier.estimators import GivenConditions, RandomState, validation


@dataclasses.dataclass(frozen=True)
class GroupPlanSettings:
    """How POT finds the plan.

    Attributes:
        weightings: of the cost, one after the other (POT's default).
        sinkhorn_steps: of every plan (POT's default).
        stop_below: error of the marginals at which a plan is done.
        forbidden: cost of a pair of different classes, in units of the largest cost: its mass is zero in float64.
        bearable_error: share of the mass by which the target's marginal may be wrong before a warning says so.
    """

    weightings: int = 10
    sinkhorn_steps: int = 200
    stop_below: float = 1e-9
    forbidden: float = 1e3
    bearable_error: float = 1e-2


GROUP_PLAN = GroupPlanSettings()


def target_masses(rows: DrawnRows) -> Tensor:
    """Return the mass of every target row (m,): of every class as much as the source has of it.

    Where no mass may go from one class to another, no plan exists unless both sides have as much of each.
    """
    m = len(rows.target)
    if rows.target_codes is None or rows.source_codes is None:
        return torch.full((m,), 1 / m, dtype=torch.float64)
    k = len(rows.labels or ())
    of_source = rows.source_codes.bincount(minlength=k).double()
    of_target = rows.target_codes.bincount(minlength=k).double()
    return (of_source / of_target)[rows.target_codes] / len(rows.source)


def group_plan(
    rows: DrawnRows,
    reg: float,
    class_reg: float,
    settings: GroupPlanSettings = GROUP_PLAN,
) -> Tensor:
    """Return the plan (n, m) between rows whose costs are divided by the largest.

    Args:
        rows: with the classes of the source, and of the target where pairs of different classes are forbidden.
        reg: of the entropy.
        class_reg: of the groups.
        settings: how it is found.

    Raises:
        DataError: where POT is missing, or mass is lost to underflow.
    """
    ot = pot_for("SinkhornLpL1")
    costs = torch.cdist(rows.source, rows.target).square().cpu()
    costs = costs / (float(costs.max()) or 1.0)
    if rows.source_codes is not None and rows.target_codes is not None:
        other = rows.source_codes[:, None] != rows.target_codes
        costs = costs.masked_fill(other, settings.forbidden)
    a = torch.full((len(costs),), 1 / len(costs), dtype=torch.float64)
    b = target_masses(rows)
    with warnings.catch_warnings():
        # POT warns of every plan on the way; what is left in the end is looked at below.
        warnings.simplefilter("ignore")
        found = ot.da.sinkhorn_lpl1_mm(
            a.numpy(),
            _numbers(rows.source_codes),
            b.numpy(),
            costs.numpy(),
            reg,
            class_reg,
            numItermax=settings.weightings,
            numInnerItermax=settings.sinkhorn_steps,
            stopInnerThr=settings.stop_below,
        )
    plan = torch.from_numpy(found)
    masses = plan.sum(1)
    if not bool(plan.isfinite().all()) or not bool((masses > 0.5 * a).all()):
        raise DataError(
            f"reg: is {reg:g}, so small that rows lose their mass to underflow; raise it",
            argument="reg",
        )
    error = float((plan.sum(0) - b).abs().sum())
    if error > settings.bearable_error:
        warn(
            f"reg: the marginal of the target is wrong by {error:.1%} of the mass after all iterations; raise it above "
            f"{reg:g}",
            ConvergenceWarning,
        )
    return plan


class SinkhornLpL1(ClosedForm):
    """Entropic transport in which every target row takes mass of few classes; with target labels, of its own alone.

    "Optimal Transport for Domain Adaptation" (Courty et al., 2017), by POT's `ot.da.sinkhorn_lpl1_mm`, which
    `ot.da.SinkhornLpl1Transport` calls. Fitted rows go to the mean of the target rows under the plan; a new row is
    displaced like the nearest fitted row, whatever its class. Costs are divided by the largest, since `reg` means
    nothing without a unit. There is no inverse. Memory is like the square of `max_rows`, times the classes.

    Args:
        reg: weight of the entropy, relative to the largest cost. POT's default, 1, on costs that are not divided,
            either blurs the plan to nothing or underflows. The default was chosen by the energy distance of new rows of
            Gaussian mixtures, class by class.
        class_reg: weight of the groups, likewise.
        semi_supervised: whether target labels are used: then no mass goes from a class to another. Without, the target
            has none, and a class goes where the cost is small.
        max_rows: of either side at most, every class with its share.
        random_state, device, dtype: as for every `ClosedForm`.

    >>> import numpy as np
    >>> from brenier.baselines import SinkhornLpL1
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 2
    >>> X = rng.normal(size=(60, 2)) + 8 * labels[:, None]
    >>> moved = (
    ...     SinkhornLpL1()
    ...     .fit(X, -X, source_labels=labels, target_labels=labels)
    ...     .transform(X)
    ... )
    >>> bool((moved[labels == 1] < -4).all())
    True
    """

    model_class = PairedRows
    has_inverse = False
    rows_at_once = 1024

    def __init__(
        self,
        *,
        reg: float = 0.005,
        class_reg: float = 0.1,
        semi_supervised: bool = True,
        max_rows: int = 1000,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__(
            max_rows=max_rows, random_state=random_state, device=device, dtype=dtype
        )
        self.reg = reg
        self.class_reg = class_reg
        self.semi_supervised = semi_supervised

    @validation.names_both_sides
    def fit(
        self,
        X: TableLike | Sampler,
        Y: TableLike | Sampler,
        *,
        source_labels: LabelsLike | None = None,
        target_labels: LabelsLike | None = None,
    ) -> Self:
        """Compute the plan from X (n, d) to Y (m, d).

        Args:
            X, Y: arrays, tensors, frames or memory-mapped arrays.
            source_labels: one label per row, of any hashable kind.
            target_labels: likewise; needed where `semi_supervised`, and else left out.

        Raises:
            DataError: for samples, labels or parameters that cannot be used, and where POT is missing.
        """
        pot_for(type(self).__name__)
        given = GivenConditions(source_labels, target_labels, None, None)
        return self._fit(X, Y, given)

    def drawn(
        self,
        source: Population,
        target: Population,
        given: GivenConditions,
        generator: torch.Generator,
    ) -> DrawnRows:
        """Return rows of both sides, of the source by class, and of the target where its labels count."""
        most = int(self.max_rows)
        if self.semi_supervised:
            return rows_by_class(source, target, given, most, generator)
        if given.target_labels is not None:
            warn(
                "target_labels: are not looked at with semi_supervised=False; leave them out",
                DataWarning,
            )
        x, codes, _ = rows_with_codes(
            (source, target), given.source_labels, 0, most, generator
        )
        z = target.sample_distinct(most, generator).double()
        return DrawnRows(x, z, codes)

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the rows and their means under the plan."""
        plan = group_plan(rows, float(self.reg), float(self.class_reg))
        shares = (plan / plan.sum(1, keepdim=True)).to(rows.target.device)
        pairs = (rows.source, shares @ rows.target)
        n, dim = rows.source.shape
        model = PairedRows(dim, rows=n, displaced=True, pairs=pairs)
        error = float((plan.sum(0) - target_masses(rows)).abs().sum())
        return Computed(model, {"marginal_error": error})

    def _check(self) -> None:
        super()._check()
        validation.check_positive("reg", self.reg)
        validation.check_positive("class_reg", self.class_reg, zero=True)
        if not isinstance(self.semi_supervised, bool):
            raise DataError(
                f"semi_supervised: must be True or False, got {self.semi_supervised!r}",
                argument="semi_supervised",
            )


def pot_for(method: str) -> ModuleType:
    """Return POT's module, imported here because it is optional.

    Args:
        method: that needs it, for the message.

    Raises:
        DataError: where it is not installed.
    """
    try:
        import ot
        import ot.da
    except ImportError as error:
        raise DataError(
            f'POT: {method} needs it; install it with pip install "brenier[metrics]"'
        ) from error
    found: ModuleType = ot
    return found


def _numbers(codes: Tensor | None) -> Any:
    """Return the numbers of classes as numpy has them."""
    return None if codes is None else codes.cpu().numpy()
