"""A warning of rows to be moved that lie outside of what a fit has seen."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples
from brenier.errors import DataWarning, warn
from brenier.estimators.parameters import FittedMap
from brenier.statistics import Exceedance
from brenier.transport.coordinates import Covariates
from brenier.transport.maps import ALL_CLASSES, SUPPORT, TransportMap


@torch.no_grad()
def warn_of_rows_outside(
    transport: FittedMap, samples: CheckedSamples, condition: tuple[object, ...]
) -> None:
    """Warn where more rows lie far out than chance explains, or one so far that chance does not.

    They are compared by their distance from the mean, which is far cheaper than moving them.

    Args:
        transport: the map.
        samples: the rows.
        condition: their labels or covariates, where the map takes any.
    """
    for radii, known, numbers in _groups(transport, samples, condition):
        far = known.shares(radii) <= known.attainable(SUPPORT.rare) * (1 + 1e-9)
        count, n = int(far.sum()), len(radii)
        if not count:
            continue
        share = known.attainable(SUPPORT.rare)
        often = known.chance(count, n, share) < SUPPORT.chance
        multiple = float(radii.max()) / known.largest if known.largest > 0 else 1.0
        wild = multiple > 1 and known.expected_beyond(multiple, n) < SUPPORT.chance
        if often or wild:
            rows = ", ".join(map(str, numbers[far][:5].tolist()))
            more = ", ..." if count > 5 else ""
            warn(
                f"X: {count} of {n} rows (rows {rows}{more}) lie farther out than {1 - share:.1%} of the source of the "
                "fit, where the map was not learnt. Do not rely on where they are moved; `map_.support(X)` says of "
                "every row how far out it lies. Fit to a source that holds such rows",
                DataWarning,
            )
            return


def _groups(
    transport: FittedMap, samples: CheckedSamples, condition: tuple[object, ...]
) -> Iterator[tuple[Tensor, Exceedance, Tensor]]:
    """Yield distances from the mean, what is known of them, and the numbers of rows; all rows, or class by class."""
    n = samples.shape[0]
    if isinstance(transport, TransportMap):
        support = transport.fitted_support
        if n and support is not None:
            yield transport.radii(samples), support.radii, torch.arange(n)
        return
    if not n or not transport.fitted_supports:
        return
    conditions = transport.conditions
    index = conditions.encode_index(condition[0], conditions.kind, n)
    u = transport.encoded_rows(samples, index)
    if isinstance(conditions, Covariates):
        support = transport.fitted_supports[ALL_CLASSES]
        yield support.radius(u), support.radii, torch.arange(n)
        return
    for k in index.unique().tolist():
        chosen = (index == k).nonzero().squeeze(-1).cpu()
        support = transport.support_of_class(k)
        yield support.radius(u[chosen.to(u.device)]), support.radii, chosen
