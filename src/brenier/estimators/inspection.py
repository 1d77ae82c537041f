"""What of the samples would mislead, told before a fit: extreme values, drowned features, ties and constants.

Every kind of fit calls one function here, which returns its samples without wild rows (see `wild_rows`) and warns, once
for each side and kind of fault.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from brenier.datasets import Population, Rows
from brenier.errors import DataWarning, warn
from brenier.estimators.options import Options
from brenier.estimators.ties import Ties
from brenier.estimators.wild_rows import (
    AnySide,
    Looked,
    WildRows,
    held,
    look_at,
    without,
)
from brenier.transport.coordinates import CovariateRows, drowned_features


def inspected(
    source: Population, target: Population, options: Options
) -> tuple[Population, Population]:
    """Return both sides without wild rows; warn of what would mislead."""
    return _inspected([(source, target)], [""], options)[0]


def inspected_classes(
    pairs: Sequence[tuple[Rows, Rows]], labels: Sequence[Hashable], options: Options
) -> list[tuple[Rows, Rows]]:
    """Return both sides of every class without wild rows; warn of what would mislead."""
    return _inspected(pairs, [f" of class {label!r}" for label in labels], options)


def inspected_covariates(
    source: CovariateRows, target: CovariateRows, options: Options
) -> tuple[CovariateRows, CovariateRows]:
    """Return both sides without rows whose values or covariates are wild; warn of what would mislead."""
    wild = WildRows(options.settings)
    columns = _columns(source.rows.shape[1], options.features)
    kept, looked = [], []
    for side, name, given in (
        (source, "X", "source_covariates"),
        (target, "Y", "target_covariates"),
    ):
        rows, numbers = side.rows.cpu(), torch.arange(len(side.rows))
        out = held(wild.find(Looked(rows, numbers, columns), name), rows)
        if side.covariates is not None:
            called = _columns(side.covariates.shape[1], None)
            own = Looked(side.covariates.cpu(), numbers, called)
            out |= held(wild.find(own, given), own.rows)
        looked.append(Looked(rows[~out], numbers[~out], columns))
        kept.append(_chosen(side, ~out))
    _tell(wild, [(looked[0], looked[1])], [""], options)
    return kept[0], kept[1]


def _chosen(side: CovariateRows, kept: Tensor) -> CovariateRows:
    """Return some rows of a side: itself, where these are all."""
    if bool(kept.all()):
        return side
    rows = side.rows[kept.to(side.rows.device)]
    own = None if side.covariates is None else side.covariates[kept]
    return CovariateRows(rows, own)


def _inspected(
    pairs: Sequence[tuple[AnySide, AnySide]], where: Sequence[str], options: Options
) -> list[tuple[AnySide, AnySide]]:
    """Return pairs of populations without wild rows, one that serves several pairs looked at once."""
    wild = WildRows(options.settings)
    columns = _columns(pairs[0][0].dim, options.features)
    sides: dict[int, tuple[Looked, AnySide]] = {}
    for pair, place in zip(pairs, where, strict=True):
        for k, side in enumerate(pair):
            if id(side) in sides:
                continue
            shared = sum(other[k] is side for other in pairs) > 1
            of = "" if shared else place
            own = look_at(side, columns, options.settings, of)
            found = wild.find(own, "XY"[k])
            rest = own.without(found)
            sides[id(side)] = rest, without(side, found)
    looked = [(sides[id(x)][0], sides[id(z)][0]) for x, z in pairs]
    _tell(wild, looked, where, options)
    return [(sides[id(x)][1], sides[id(z)][1]) for x, z in pairs]


def _columns(dim: int, names: Sequence[str] | None) -> list[str]:
    """Return what columns are called in messages."""
    called = range(dim) if names is None else map(repr, names)
    return [f"column {name}" for name in called]


def _tell(
    wild: WildRows,
    looked: Sequence[tuple[Looked, Looked]],
    where: Sequence[str],
    options: Options,
) -> None:
    """Warn of all that was found in both sides, without wild rows, class by class."""
    settings = options.settings
    messages = wild.messages()
    x = torch.cat([source.rows for source, _ in looked])
    z = torch.cat([target.rows for _, target in looked])
    if options.scale == "auto" and len(x) and len(z):
        small = drowned_features(x, z, settings.coordinates)
        messages += _drowned(small, looked[0][0].columns, options)
    ties = Ties(settings.inspection)
    for (source, target), place in zip(looked, where, strict=True):
        ties.find(source, target, place)
    for message in (*messages, *ties.messages()):
        warn(message, DataWarning)


def _drowned(
    small: dict[int, float], columns: Sequence[str], options: Options
) -> list[str]:
    """Return what is to be told of features that vary by so many times less than the largest."""
    if not small:
        return []
    most = options.settings.inspection.told_columns
    by_factor = sorted(small, key=lambda column: -small[column])
    named = ", ".join(columns[column] for column in by_factor[:most])
    if len(small) > most:
        named += f" and {len(small) - most} more"
    factor = f"{small[by_factor[0]]:,.0f}"
    return [
        f"X, Y: {named} vary up to {factor} times less than the feature that varies most, and count next to nothing in "
        "the squared distance, so that the map hardly matches them. Pass scale='feature' or your own units to have "
        "them count, or scale='common' if they need not"
    ]
