"""The twin of a fit: the same recipe, fitted to samples whose true map is known, the fitted one.

Some source rows x are its source, the images T(x') of others are its target, and others again are set aside to measure
its errors on. As many rows as the target of the fit has are its target, where there are so many.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from brenier.datasets import grouped
from brenier.errors import ConvergenceWarning
from brenier.estimators.budget import Budget
from brenier.estimators.by_class import ClassPlan
from brenier.estimators.by_covariate import CovariatePlan
from brenier.estimators.certified_parts import covariates_of, rows_in_data
from brenier.estimators.parameters import FittedMap
from brenier.estimators.pipeline import forget_run
from brenier.estimators.plain import PlainPlan
from brenier.estimators.plan import Plan, chosen_of
from brenier.statistics import Weighted, in_proportion, joined
from brenier.transport.maps import Twin

if TYPE_CHECKING:
    from brenier.estimators.optimal_transport import OptimalTransport


@dataclasses.dataclass(frozen=True)
class TwinSettings:
    """What a twin is fitted to.

    Attributes:
        aside_one_in: one source row in so many is set aside to measure errors on,
        aside_rows: and no more than these.
        twin_rows: rows of a side, at most; with more the error of a fit is that of its training, not of its rows.
        part_rows: rows set aside of a class, at least, for a figure of its own.
    """

    aside_one_in: int = 10
    aside_rows: int = 2000
    twin_rows: int = 100_000
    part_rows: int = 10


TWIN = TwinSettings()


class TwinErrors(NamedTuple):
    """What a twin got wrong.

    Attributes:
        together: over all conditions, None where too few rows were set aside.
        parts: by condition.
        remarks: what the second fit warned of.
    """

    together: Twin | None
    parts: Mapping[Hashable, Twin]
    remarks: tuple[str, ...]


NO_TWIN = TwinErrors(None, {}, ())


class ConditionedRows(NamedTuple):
    """Rows (n, d) with weights, and the condition of each: labels, covariates (n, p), or None."""

    rows: Weighted
    condition: list[Hashable] | Tensor | None

    def at(self, chosen: Tensor) -> ConditionedRows:
        """Return some of the rows."""
        own = self.condition
        found = None if own is None else chosen_of(own, chosen)
        return ConditionedRows(self.rows[chosen], found)

    def arguments(self) -> tuple[list[Hashable] | Tensor, ...]:
        """Return the condition as a map takes it."""
        return () if self.condition is None else (self.condition,)

    def given(self, side: str) -> dict[str, Any]:
        """Return condition and weights as `fit` takes them of a side."""
        found: dict[str, Any] = {}
        if isinstance(self.condition, Tensor):
            found[f"{side}_covariates"] = self.condition
        elif self.condition is not None:
            found[f"{side}_labels"] = self.condition
        if self.rows.weights is not None:
            found[f"{side}_weight"] = self.rows.weights
        return found


class TwinSamples(NamedTuple):
    """What a twin is fitted to, and measured on: source rows, others whose images are its target, and rows aside."""

    source: ConditionedRows
    imaged: ConditionedRows
    aside: ConditionedRows
    share: float  # of the rows of the fit that its smaller side has


def fitted_twin(
    ot: OptimalTransport, plan: Plan, seed: int, checkpoint: str | None, shown: bool
) -> TwinErrors:
    """Return what a twin got wrong.

    Args:
        ot: the fitted estimator.
        plan: its samples.
        seed: of the rows that are drawn, and of the second fit.
        checkpoint: a folder where that is kept, or None.
        shown: whether progress is.
    """
    generator = torch.Generator().manual_seed(seed)
    samples = _twin_samples(ot.map_, plan, generator)
    transport: Any = ot.map_
    images = transport(samples.imaged.rows.rows, *samples.imaged.arguments())
    twin = _like(ot, samples.share, seed, checkpoint, shown)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twin.fit(
            samples.source.rows.rows,
            images,
            **samples.source.given("source"),
            **samples.imaged.given("target"),
        )
        errors = _errors(ot.map_, twin.map_, samples.aside, generator)
    remarks = [
        f"The second fit warned: {each.message}"
        for each in caught
        if issubclass(each.category, ConvergenceWarning)
    ]
    forget_run(twin)
    return errors._replace(remarks=tuple(dict.fromkeys(remarks)))


def _twin_samples(
    transport: FittedMap, plan: Plan, generator: torch.Generator
) -> TwinSamples:
    """Return what a twin is fitted to, every class by itself."""
    groups = list(_groups(transport, plan, generator))
    parts = []
    for group, target_rows, _ in groups:
        n = len(group.rows)
        order = torch.randperm(n, generator=generator)
        out = min(TWIN.aside_rows, n // TWIN.aside_one_in)
        k = max(1, min((n - out) // 2, target_rows))
        cut = order.split([out, k, n - out - k])
        parts.append([group.at(chosen) for chosen in cut])
    aside, imaged, source = (_all_groups(side) for side in zip(*parts, strict=True))
    smaller = sum(min(n, m) for _, m, n in groups)
    share = min(len(source.rows), len(imaged.rows)) / max(1, smaller)
    return TwinSamples(source, imaged, aside, min(1.0, share))


def _groups(
    transport: FittedMap, plan: Plan, generator: torch.Generator
) -> Iterator[tuple[ConditionedRows, int, int]]:
    """Yield source rows in the units of the data, how many target rows they go with, and how many there are of all."""
    metric = transport.coordinates.metric
    most = 2 * TWIN.twin_rows + TWIN.aside_rows
    if isinstance(plan, PlainPlan):
        found = plan.source.sample_weighted(most, generator)
        targets = plan.target.size or TWIN.twin_rows
        yield ConditionedRows(rows_in_data(found, metric), None), targets, len(found)
    if isinstance(plan, ClassPlan):
        for label, (source, target) in zip(plan.labels, plan.pairs, strict=True):
            found = source.sample_weighted(most, generator)
            rows = rows_in_data(found, metric)
            own = ConditionedRows(rows, [label] * len(rows))
            yield own, target.size, len(rows)
    if isinstance(plan, CovariatePlan):
        values = covariates_of(plan.source, plan.target, generator)
        rows = rows_in_data(Weighted(plan.source.rows), metric)
        order = torch.randperm(len(rows), generator=generator)[:most]
        chosen = ConditionedRows(rows, values).at(order)
        yield chosen, len(plan.target.rows), len(rows)


def _all_groups(parts: Sequence[ConditionedRows]) -> ConditionedRows:
    """Return the rows of some parts, one after the other."""
    rows = joined([part.rows for part in parts])
    if isinstance(parts[0].condition, list):
        labels = [label for part in parts for label in part.condition or ()]
        return ConditionedRows(rows, labels)
    return ConditionedRows(rows, parts[0].condition)


def _like(
    ot: OptimalTransport, share: float, seed: int, checkpoint: str | None, shown: bool
) -> OptimalTransport:
    """Return an estimator by the recipe of a fit, for so large a share of its rows."""
    recipe = dict(ot.get_params(deep=False))
    overrides = dict(recipe["settings"] or {})
    # What was trained in folds, or was not, is so again.
    folded = overrides.get("folded_rows", Budget.folded_rows)
    overrides["folded_rows"] = max(1, math.ceil(share * folded))
    coordinates = ot.map_.coordinates
    if coordinates.metric is None:
        recipe["scale"] = coordinates.unit_of_cost().cpu()
    recipe.update(
        settings=overrides,
        random_state=seed,
        warm_start=False,
        checkpoint=checkpoint,
        verbose=shown,
    )
    return type(ot)(**recipe)


def _errors(
    transport: FittedMap,
    twin: FittedMap,
    aside: ConditionedRows,
    generator: torch.Generator,
) -> TwinErrors:
    """Return the errors of a twin on rows set aside, whose true images are those of the map."""
    if len(aside.rows) < 2:
        return NO_TWIN
    x, condition = aside.rows.rows, aside.arguments()
    moving: Any = transport
    of_twin: Any = twin
    z = moving(x, *condition)
    back, solution = of_twin.inverse(z, *condition, return_solution=True)
    factor = 2 * transport.unit_of_values()
    cost = transport.coordinates.cost
    device = transport.coordinates.unit.device
    x_here, z_here = x.to(device), z.to(device)
    forward = factor * cost(of_twin(x, *condition).to(device), z_here)
    inverse = factor * cost(back.to(device), x_here)
    phi, phi_c, _ = of_twin.dual_terms(x, z, *condition, *condition)
    own = 2 * twin.unit_of_values()
    true = own * twin.coordinates.cost(x_here, z_here).cpu()
    gaps = true - own * (phi + phi_c).cpu()
    usable = solution.converged.cpu() & gaps.isfinite()
    terms = torch.stack([forward.cpu(), inverse.cpu(), gaps], -1)
    terms = torch.where(usable.unsqueeze(-1), terms, torch.nan)
    together = _twin(Weighted(terms, aside.rows.weights), generator)
    parts = {}
    labels = aside.condition
    if isinstance(labels, Tensor):
        labels = [tuple(row) if len(row) > 1 else row[0] for row in labels.tolist()]
    for label, rows in grouped(labels or ()).items():
        if len(rows) >= TWIN.part_rows:
            some = Weighted(terms, aside.rows.weights)[torch.tensor(rows)]
            parts[label] = _twin(some, generator)
    known = {label: found for label, found in parts.items() if found is not None}
    return TwinErrors(together, known, ())


def _twin(terms: Weighted, generator: torch.Generator) -> Twin | None:
    """Return root mean squares of forward and inverse errors and the mean gap, of terms (n, 3) by their weights."""
    rows = in_proportion(terms, generator)
    rows = rows[rows.isfinite().all(-1)]
    if len(rows) < 2:
        return None
    forward, inverse, gap = rows.mean(0).tolist()
    error = float(rows[:, 2].std()) / len(rows) ** 0.5
    return Twin(math.sqrt(forward), math.sqrt(inverse), gap, error)
