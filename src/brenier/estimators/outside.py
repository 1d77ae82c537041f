"""Rows to be moved that lie outside of what a fit has seen: counted, and warned of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples
from brenier.errors import DataWarning, warn
from brenier.estimators.parameters import FittedMap
from brenier.potentials import usual_modes
from brenier.statistics import Exceedance
from brenier.transport.coordinates import Covariates
from brenier.transport.maps import ALL_CLASSES, SUPPORT, TransportMap


class ComparedRows(NamedTuple):
    """Rows of one condition beside the source rows set aside.

    Attributes:
        radii: (n,), their distances from the mean of the source.
        known: the same of rows set aside.
        numbers: (n,), which rows these are of all.
    """

    radii: Tensor
    known: Exceedance
    numbers: Tensor

    @property
    def share(self) -> float:
        """The share of the source that lies farther out than is told of: one in a thousand, or what can be known."""
        return self.known.attainable(SUPPORT.rare)

    def far(self) -> Tensor:
        """Say which rows lie so far out: (n,)."""
        rounding = 1e-9
        return self.known.shares(self.radii) <= self.share * (1 + rounding)

    def beyond_chance(self) -> Tensor:
        """Say which rows to warn of: all so far out where they are more than by chance, else those wildly far: (n,)."""
        far, n = self.far(), len(self.radii)
        if self.known.chance(int(far.sum()), n, self.share) < SUPPORT.chance:
            return far
        multiple = self.radii / self.known.largest if self.known.largest > 0 else far
        wild = [
            each > 1 and self.known.expected_beyond(each, n) < SUPPORT.chance
            for each in multiple[far].tolist()
        ]
        found = torch.zeros_like(far)
        found[far] = torch.tensor(wild, dtype=torch.bool)
        return found


@usual_modes(gradients=False)
def warn_of_rows_outside(
    transport: FittedMap, samples: CheckedSamples, condition: tuple[object, ...]
) -> None:
    """Warn where more rows lie far out than chance explains, or single ones so far that chance does not.

    They are compared by their distance from the mean, which is far cheaper than moving them.

    Args:
        transport: the map.
        samples: the rows.
        condition: their labels or covariates, where the map takes any.
    """
    for group in compared_rows(transport, samples, condition):
        numbers = group.numbers[group.beyond_chance()].tolist()
        if not numbers:
            continue
        rows = ", ".join(map(str, numbers[:5]))
        more = ", ..." if len(numbers) > 5 else ""
        warn(
            f"X: {len(numbers)} of {len(group.radii)} rows (rows {rows}{more}) lie farther out than "
            f"{1 - group.share:.1%} of the source of the fit, where the map was not learnt. Do not rely on where they "
            "are moved; `map_.support(X)` says of every row how far out it lies. Fit to a source that holds such rows",
            DataWarning,
        )
        return


def compared_rows(
    transport: FittedMap, samples: CheckedSamples, condition: tuple[object, ...]
) -> Iterator[ComparedRows]:
    """Yield all rows, or those of every class, beside source rows set aside; nothing where the map knows of none.

    Args:
        transport, samples, condition: as `warn_of_rows_outside`.
    """
    n = samples.shape[0]
    if isinstance(transport, TransportMap):
        support = transport.fitted_support
        if n and support is not None:
            yield ComparedRows(transport.radii(samples), support.radii, torch.arange(n))
        return
    if not n or not transport.fitted_supports:
        return
    conditions = transport.conditions
    index = conditions.encode_index(condition[0], conditions.kind, n)
    u = transport.encoded_rows(samples, index)
    if isinstance(conditions, Covariates):
        support = transport.fitted_supports[ALL_CLASSES]
        yield ComparedRows(support.radius(u), support.radii, torch.arange(n))
        return
    for k in index.unique().tolist():
        chosen = (index == k).nonzero().squeeze(-1).cpu()
        support = transport.support_of_class(k)
        radii = support.radius(u[chosen.to(u.device)])
        yield ComparedRows(radii, support.radii, chosen)
