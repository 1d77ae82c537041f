"""Scans as a fit takes them: labels, covariates and weights from their columns, and what of them is in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sized
from typing import Any, TypeAlias, cast

from torch.utils.data import DataLoader, Dataset, DistributedSampler

from brenier.datasets import (
    CheckedSamples,
    Sampler,
    Scan,
    TableLike,
    is_torch_data,
    scan,
    table_of_scan,
)
from brenier.errors import DataError, DataWarning, warn
from brenier.estimators.conditions import GivenConditions
from brenier.training import Ranks

# What a side of a fit is given as, and what of that becomes a population.
FitSide: TypeAlias = "TableLike | Sampler | Scan | Dataset[Any] | DataLoader[Any]"
ReadSide: TypeAlias = "TableLike | Sampler | Scan"
SCAN_KINDS = ("labels", "covariates", "weight")


@dataclasses.dataclass(frozen=True)
class DealtOut:
    """Processes to which scans are dealt out.

    Attributes:
        rank, ranks: the number of this one, and how many there are.
        same: whether all have the same scan of the source, and of the target; else each has rows of its own.
    """

    rank: int
    ranks: int
    same: tuple[bool, ...]

    def part(self, side: ReadSide, place: int) -> ReadSide:
        """Return the part of a side, 0 for the source and 1 for the target, that belongs to this process."""
        if isinstance(side, Scan) and self.same[place]:
            return side.shard(self.rank, self.ranks)
        return side


def scan_mark(side: object, ranks: Ranks) -> str:
    """Return by what processes recognise that they have the same scan, nothing for other samples."""
    if isinstance(side, Scan):
        parts = [(part.where, sum(part.runs)) for part in side.parts]
        return f"{parts} {side.dealt} {side.columns}"
    if not is_torch_data(side):
        return ""
    sampler = getattr(side, "sampler", None)
    if isinstance(sampler, DistributedSampler):  # which deals rows out itself
        return f"rank {ranks.rank}"
    rows = len(side) if isinstance(side, Sized) else 0
    return f"{type(side).__name__} {rows}"


def with_scans(
    X: FitSide, Y: FitSide, given: GivenConditions, dealt: DealtOut | None = None
) -> tuple[ReadSide, ReadSide, GivenConditions]:
    """Return both sides, and what was given beside them, with what the columns of scans hold.

    A scan stays one where its rows are to be drawn as they are used. Where it is small, or where labels or covariates
    ask for rows in memory, it becomes a table.

    Args:
        X, Y: as `OptimalTransport.fit` takes them, datasets and loaders of torch among them.
        given: beside them.
        dealt: to which processes scans are dealt out, or None.

    Raises:
        DataError: for scans that cannot be used, or where an argument is given beside a column that holds the same.
    """
    sides = [_read_side(X), _read_side(Y)]
    prefixes = ("source", "target")
    conditioned = given.kind() is not None
    for side, prefix in zip(sides, prefixes, strict=True):
        if isinstance(side, Scan):
            _check_given_once(side, prefix, given)
            conditioned |= side.labels is not None or side.covariates is not None
    if dealt is not None:
        sides = [dealt.part(side, place) for place, side in enumerate(sides)]
    for place, (name, prefix) in enumerate(zip("XY", prefixes, strict=True)):
        side = sides[place]
        if isinstance(side, Scan):
            sides[place], given = _taken(side, name, prefix, given, conditioned)
    return sides[0], sides[1], given


def _read_side(given: FitSide) -> ReadSide:
    """Return a side, datasets and loaders of torch as scans."""
    if is_torch_data(given):
        return scan(cast("Dataset[Any]", given))
    return cast(ReadSide, given)


def _taken(
    side: Scan, name: str, prefix: str, given: GivenConditions, conditioned: bool
) -> tuple[ReadSide, GivenConditions]:
    """Return a scan, or the table that is fitted in its place, with what its columns hold."""
    settings = side.settings
    small = side.size is not None and side.size <= settings.loaded_rows
    beside = [
        f"{prefix}_{kind}"
        for kind in SCAN_KINDS
        if getattr(given, f"{prefix}_{kind}") is not None
    ]
    if not (conditioned or small):
        if beside:
            raise _cannot_match(beside[0], name)
        return side, given
    pieces = settings.conditioned_pieces if conditioned else len(side.pieces)
    table = table_of_scan(side, settings.conditioned_rows, pieces)
    if beside and not table.whole:
        raise _cannot_match(beside[0], name)
    if not table.whole:
        warn(
            f"{name}: {side.where} has {side.size:,} rows, of which {len(table.rows):,} drawn at random from all over "
            "it are fitted, for fits with labels or covariates need their rows in memory",
            DataWarning,
        )
    found = {
        f"{prefix}_labels": table.labels,
        f"{prefix}_covariates": table.covariates,
        f"{prefix}_weight": table.weights,
    }
    own = {kind: values for kind, values in found.items() if values is not None}
    given = dataclasses.replace(given, **own)  # type: ignore[arg-type]
    return CheckedSamples(table.rows, table.rows, side.names, name), given


def _check_given_once(side: Scan, prefix: str, given: GivenConditions) -> None:
    """Raise where an argument is given that a column of a scan holds too."""
    for kind in SCAN_KINDS:
        argument = f"{prefix}_{kind}"
        if getattr(side, kind) is not None and getattr(given, argument) is not None:
            raise DataError(
                f"{argument}: is given, and scan({kind}={getattr(side, kind)!r}) names a column that holds the same; "
                "leave one of them out",
                argument=argument,
            )


def _cannot_match(argument: str, name: str) -> DataError:
    """Return what is wrong with an argument whose rows are those of a scan that is not in memory."""
    kind = argument.partition("_")[2]
    return DataError(
        f"{argument}: one value per row cannot be given for {name}, whose rows are read when they are used; name the "
        f"column of the files that holds it: scan(..., {kind}='name')",
        argument=argument,
    )
