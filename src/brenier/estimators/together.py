"""A fit by processes that a launcher started together, each with samples of its own.

Every process reads its samples, and all compare what they have. The same samples on all of them are taken once; parts
that are small, or have labels, covariates or weights, are brought together; larger ones stay where they are (see
`sharded`). The first rank then fits as one process would, and the others follow: they take part in training, draw from
what they hold when they are asked, and are told the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from brenier.datasets import (
    LabelsLike,
    Population,
    Rows,
    ScanRows,
    TableLike,
    WeightsLike,
    listed,
)
from brenier.errors import DataError, DataWarning, warn
from brenier.estimators.sharded import HELD, Sharded
from brenier.statistics import spread_numbers
from brenier.training import Ranks, conducted, leaving

FitResult = TypeVar("FitResult")


@dataclasses.dataclass(frozen=True)
class TogetherSettings:
    """What is brought together of the samples of several processes.

    Attributes:
        gathered_numbers: of a side, rows times features, up to which its parts are brought together in the first rank,
            which fits them as it would alone: half a gigabyte of them.
        looked_rows: of a side, by which processes recognise that they hold the same.
        uneven: times the smallest part that the largest may be, before a warning: the others wait for it.
    """

    gathered_numbers: int = 2**26
    looked_rows: int = 4096
    uneven: float = 1.5


TOGETHER = TogetherSettings()


@dataclasses.dataclass(frozen=True)
class OwnSide:
    """What a process holds of one side.

    Attributes:
        name: "X" or "Y".
        population: the samples.
        names: of the features, or None.
        labels, covariates, weight: of the rows, or None.
    """

    name: str
    population: Population
    names: tuple[str, ...] | None
    labels: LabelsLike | None
    covariates: TableLike | None
    weight: WeightsLike | None

    def beside(self) -> list[np.ndarray | None]:
        """Return labels, covariates and weights as arrays, None for those that were not given."""
        return [_array_of(each) for each in (self.labels, self.covariates, self.weight)]

    def told(self) -> SideFacts:
        """Return what other processes are told of it."""
        side = self.population
        kind = str(side.values.dtype) if isinstance(side, Rows) else "drawn"
        named = zip(("labels", "covariates", "weights"), self.beside(), strict=True)
        conditions = tuple(name for name, each in named if each is not None)
        kind = kind.removeprefix("torch.")
        weights = side.own_weights if isinstance(side, ScanRows) else None
        worth = 1.0 if weights is None else float(weights.mean())
        return SideFacts(
            *(side.dim, side.size, worth, self.names),
            *(kind, conditions, _digest(self)),
        )


class SideFacts(NamedTuple):
    """What processes tell each other of one side.

    Attributes:
        dim: features.
        size: rows, None where nobody has counted them.
        worth: the mean weight of these.
        names: of the features, or None.
        kind: the type of the numbers, or that they are drawn.
        conditions: what was given beside the rows.
        digest: by what the same samples are recognised.
    """

    dim: int
    size: int | None
    worth: float
    names: tuple[str, ...] | None
    kind: str
    conditions: tuple[str, ...]
    digest: str


def fit_together(
    ranks: Ranks,
    read: Callable[[], tuple[OwnSide, OwnSide]],
    fit: Callable[[tuple[OwnSide, OwnSide]], FitResult],
    told: Callable[[FitResult], object],
) -> FitResult:
    """Return what a fit gives, the same on every rank.

    Args:
        ranks: the processes, all of which call this.
        read: returns what this process holds.
        fit: what the first rank does with both sides; its runs are shared.
        told: what the others are told of its result.

    Raises:
        DataError: on every rank, where the samples of one cannot be used or do not fit those of others.
        RankError: where a process was lost.
    """
    HELD.ranks, HELD.held = ranks, {}
    try:
        with leaving(ranks):
            sides, told_of = _read_by_all(ranks, read)
            x, z = (
                _brought_together(ranks, side, every)
                for side, every in zip(sides, told_of, strict=True)
            )
            answers = {"rows": lambda asked: asked.answer()}
            return conducted(ranks, lambda: fit((x, z)), told, answers)
    finally:
        HELD.ranks, HELD.held = Ranks(), {}


def _array_of(values: object) -> np.ndarray | None:
    """Return labels, covariates or weights as an array, whatever they came in."""
    if values is None:
        return None
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _read_by_all(
    ranks: Ranks, read: Callable[[], tuple[OwnSide, OwnSide]]
) -> tuple[tuple[OwnSide, OwnSide], list[list[SideFacts]]]:
    """Return what this process holds, and what all told of either side, once all could read theirs."""
    fault, sides, own = "", None, list[SideFacts]()
    try:
        sides = read()
        own = [side.told() for side in sides]
    except Exception as error:  # all others are told before this one ends
        fault = f"{error}" if isinstance(error, DataError) else repr(error)
    every = ranks.gathered((fault, own))
    for rank, (each, _) in enumerate(every):
        if each:
            raise DataError(f"rank {rank}: {each}")
    if sides is None:
        raise DataError("nothing was read")
    return sides, [
        list(told) for told in zip(*(told for _, told in every), strict=True)
    ]


def _brought_together(ranks: Ranks, side: OwnSide, every: list[SideFacts]) -> OwnSide:
    """Return a side as the first rank fits it, of which the ranks told so much."""
    _check_alike(side.name, every)
    if every[0].digest and len({each.digest for each in every}) == 1:
        return side
    sizes = [each.size for each in every if each.size is not None]
    counted = len(sizes) == len(every)
    small = counted and sum(sizes) * every[0].dim <= TOGETHER.gathered_numbers
    if isinstance(side.population, Rows) and (every[0].conditions or small):
        return _gathered(ranks, side)
    if counted:
        _warn_if_uneven(side.name, sizes)
    HELD.held[side.name] = side.population
    masses, rows = [1.0] * len(every), None
    if counted:
        pairs = zip(every, sizes, strict=True)
        masses, rows = [each.worth * size for each, size in pairs], sum(sizes)
    whole = Sharded.of(side.name, side.population.dim, masses, rows)
    return dataclasses.replace(side, population=whole)


def _check_alike(name: str, every: list[SideFacts]) -> None:
    """Raise, on every rank alike, where the parts of a side do not fit together."""
    first = every[0]
    for rank, other in enumerate(every):
        if other.dim != first.dim:
            fault = f"{other.dim} features, rank 0 has {first.dim}"
        elif other.names != first.names:
            odd = sorted(set(other.names or ()) ^ set(first.names or ()))
            told = listed(odd) if odd else "another order"
            fault = f"other columns than rank 0 ({told})"
        elif other.kind != first.kind:
            fault = f"samples of type {other.kind}, rank 0 {first.kind}"
        elif other.conditions != first.conditions:
            own, theirs = (
                listed(each.conditions) or "nothing" for each in (other, first)
            )
            fault = f"{own} beside its rows, rank 0 {theirs}"
        else:
            continue
        raise DataError(
            f"{name}: rank {rank} has {fault}; give every process the same columns, of one type, in the same order"
        )


def _gathered(ranks: Ranks, side: OwnSide) -> OwnSide:
    """Return a side with the rows, and what belongs to them, of all ranks, in their order."""
    population = side.population
    rows = population.sample_distinct(population.size or 0, torch.Generator())
    every = ranks.gathered((rows.cpu(), *side.beside()))
    values = torch.cat([part[0] for part in every]).to(rows.device)
    labels, covariates, weight = (
        None if every[0][k] is None else np.concatenate([part[k] for part in every])
        for k in (1, 2, 3)
    )
    whole = Rows(values, side.name)
    return dataclasses.replace(
        side, population=whole, labels=labels, covariates=covariates, weight=weight
    )


def _warn_if_uneven(name: str, sizes: list[int]) -> None:
    """Warn where a process holds so many more rows than another that the others wait for it."""
    if max(sizes) > TOGETHER.uneven * min(sizes):
        warn(
            f"{name}: the processes hold between {min(sizes):,} and {max(sizes):,} rows, so that most wait for the "
            "largest part in every step; deal the rows out evenly",
            DataWarning,
        )


def _digest(side: OwnSide) -> str:
    """Return what tells the samples of a side from others, or nothing of what is drawn."""
    rows = side.population
    if not isinstance(rows, Rows):
        return ""
    values = rows.values
    if not isinstance(values, Tensor):
        return f"{values.filename} {values.offset} {values.shape} {values.dtype}"
    some = spread_numbers(len(values), TOGETHER.looked_rows)
    found = hashlib.sha256(str(tuple(values.shape)).encode())
    looked = values[some.to(values.device)].cpu().contiguous()
    found.update(looked.numpy().tobytes())
    for each in side.beside():
        if each is not None:
            found.update(repr(each[some.numpy()].tolist()).encode())
    return found.hexdigest()
