"""The map between two tables: the distance with its interval, what each feature contributes, and which rows moved."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import torch
from torch import Tensor

from brenier.errors import BrenierError, ConvergenceWarning, DataWarning
from brenier.estimators import OptimalTransport
from brenier.report.drift.encoding import Encoded
from brenier.report.drift.settings import DRIFT
from brenier.report.drift.words import rows_told
from brenier.transport.maps import Distance, TransportMap

UNIT = "standard deviations of the reference"


@dataclasses.dataclass(frozen=True)
class MapOptions:
    """How maps are fitted.

    Attributes:
        wanted: "auto" where rows and columns allow, True wherever that is possible, or False.
        drifted_only: whether no map is fitted where no drift is seen.
        seconds: of a fit, or None.
        seed: of a fit.
        verbose: whether it shows a progress bar.
    """

    wanted: bool | str = "auto"
    drifted_only: bool = False
    seconds: float | None = None
    seed: int = 0
    verbose: bool = False


@dataclasses.dataclass(frozen=True)
class TableMap:
    """A map from the reference to the current table, in encoded columns.

    Attributes:
        transport: the map.
        distance: W2 with its interval.
        moved: (n, d), displacements of rows of the reference.
        rows: of either side that the map was fitted to.
    """

    transport: TransportMap
    distance: Distance
    moved: Tensor
    rows: tuple[int, int]


def map_between(
    pair: Encoded, options: MapOptions, generator: torch.Generator
) -> TableMap | str:
    """Return the map between two encoded tables, or why there is none, in a sentence.

    Args:
        pair: both tables.
        options: of the fit.
        generator: which rows are taken, where there are more than enough.
    """
    reason = why_no_map(pair, options)
    if reason is not None:
        return reason
    x, z = (_some_of_side(side, DRIFT.map_rows, generator) for side in (pair.x, pair.z))
    estimator = OptimalTransport(
        "convex",
        scale=np.ones(x.shape[1]),
        max_steps=DRIFT.steps(x.shape[1]),
        max_time=options.seconds,
        keep_rows=False,
        random_state=options.seed,
        verbose=options.verbose,
    )
    try:
        with warnings.catch_warnings():
            # They speak of columns that the user does not know.
            warnings.simplefilter("ignore", DataWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            transport = estimator.fit(x, z).map_
            moved = (transport(x) - x).double()
    except BrenierError as error:
        return f"No map could be fitted, so that there is no distance: {error}."
    distance = dataclasses.replace(transport.distance(), unit=UNIT)
    if not bool(moved.isfinite().all()):
        return (
            "The map that was fitted is not finite, so that no distance can be given."
        )
    return TableMap(transport, distance, moved, (len(x), len(z)))


def why_no_map(pair: Encoded, options: MapOptions) -> str | None:
    """Return why no map is to be fitted, in a sentence, empty where none is wanted; None where one is."""
    if options.wanted is False:
        return ""
    rows, columns = min(len(pair.x), len(pair.z)), pair.x.shape[1]
    if not columns:
        return "No map was fitted: no feature varies in the reference."
    least = max(DRIFT.least_map_rows, DRIFT.map_rows_per_column * columns)
    if rows < least:
        return (
            f"No map was fitted, and no distance is given: {rows_told(rows)} of a table are too few for {columns} "
            f"encoded columns; {least:,} are needed."
        )
    if columns > DRIFT.most_map_columns and options.wanted is not True:
        return (
            f"No map was fitted, and no distance is given: there are {columns} encoded columns, and beyond "
            f"{DRIFT.most_map_columns} that takes long; ask for it with map_=True."
        )
    return None


@dataclasses.dataclass(frozen=True)
class MovedPlaces:
    """Rows of the current table that lie farthest from where the map has them come from.

    Attributes:
        places: (k,), of the rows in the encoded table, the farthest first.
        moved: (k, d), their displacements.
        looked: how many rows were looked at.
    """

    places: Tensor
    moved: Tensor
    looked: int


def most_moved(
    fitted: TableMap, z: Tensor, generator: torch.Generator
) -> MovedPlaces | None:
    """Return the rows of the current table (m, d) that moved most, z - T^{-1}(z), or None where none can be told."""
    order = torch.randperm(len(z), generator=generator)[: DRIFT.inverse_rows]
    rows = z[order]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            moved = (rows - fitted.transport.inverse(rows)).double()
    except BrenierError:
        return None
    far = moved.square().sum(-1).sqrt()
    far = torch.where(far.isfinite(), far, -1.0)
    best = far.argsort(descending=True, stable=True)[: DRIFT.moved_rows]
    best = best[far[best] > 0]
    return MovedPlaces(order[best], moved[best], len(rows))


def _some_of_side(rows: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return some of the rows, all where there are no more."""
    if len(rows) <= most:
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:most]]
