"""Tables in partitions that are not computed yet, Dask frames and arrays: a function of samples becomes one of each.

Nothing is computed here: what comes back is of the same kind, with the same partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from brenier.datasets.conditions import is_single
from brenier.datasets.containers import CheckedSamples, read
from brenier.datasets.foreign import is_dask
from brenier.errors import DataError

Check: TypeAlias = Callable[[object], object]
Lazy: TypeAlias = Any  # a frame, series or array of Dask, which is optional


def over_partitions(
    function: Callable[..., object],
    values: object,
    name: str,
    dim: int,
    conditions: Mapping[str, object] | None = None,
    check: Check | None = None,
) -> object:
    """Return what a function makes of every partition of a Dask frame or array, not yet computed.

    Args:
        function: of samples (n, d) and conditions, all of the same rows; returns (n, d).
        values: a Dask DataFrame, whose columns, index and divisions stay, or Array (n, d), of rows in any chunks.
        name: the argument's name, for messages.
        dim: d.
        conditions: arguments of the function by name, in its order: Dask series or arrays with the partitions of the
            values, or one value for all rows; None is handed on.
        check: of an empty table with the columns of the values, raises where they are not as they should be.

    Raises:
        DataError: for what is no table of numbers with d features, or conditions that do not go with it.
    """
    given: Lazy = values
    if _is_frame(given):
        empty = _empty_frame(given, name, dim)
        apply = _of_part(function, empty)
        _check_conditions(given, conditions or {}, name)
        if check is not None:
            check(empty.original)
        moved = empty.restore(torch.empty(empty.shape, dtype=empty.dtype))
        parts = [] if conditions is None else list(conditions.values())
        return given.map_partitions(apply, *parts, meta=moved, align_dataframes=False)
    if not _is_array(given):
        raise DataError(
            f"{name}: is a {type(values).__name__} of Dask, not a DataFrame or an Array (n, d); give one of these, "
            f"such as frame[[...]] for a series, or {name}.compute()",
            argument=name,
        )
    given, empty = _rows_whole(given, name, dim)
    if check is not None:
        check(empty.original)
    return _over_chunks(_of_part(function, empty), given, name, conditions or {}, empty)


def _is_frame(values: object) -> bool:
    return "DataFrame" in _kinds(values)


def _is_array(values: object) -> bool:
    return "Array" in _kinds(values)


def _kinds(values: object) -> set[str]:
    """Return the names of the classes of an object; some of Dask's claim to have every attribute."""
    return {kind.__name__ for kind in type(values).__mro__}


def _of_part(
    function: Callable[..., object], empty: CheckedSamples
) -> Callable[..., object]:
    """Return the function of a partition, which may have no rows."""
    none = empty.restore(torch.empty(empty.shape, dtype=empty.dtype))

    def apply(part: Sequence[object], *conditions: object) -> object:
        if len(part):
            return function(part, *conditions)
        return none if not hasattr(part, "index") else none.set_axis(part.index)

    return apply


def _empty_frame(frame: Lazy, name: str, dim: int) -> CheckedSamples:
    """Return the columns of a frame, checked, without rows."""
    odd = [
        f"{column!r} is {dtype}"
        for column, dtype in frame.dtypes.items()
        if getattr(dtype, "kind", "O") not in "biuf"
    ]
    if odd:
        raise DataError(
            f"{name}: has columns that are not numbers ({', '.join(odd[:5])}); leave them out, or encode them first",
            argument=name,
        )
    return read(frame._meta, name, dim, min_rows=0)


def _rows_whole(array: Lazy, name: str, dim: int) -> tuple[Lazy, CheckedSamples]:
    """Return an array whose rows are whole in every chunk, and one like it without rows, checked."""
    if array.ndim != 2 or np.isnan(array.shape[1]):
        raise DataError(
            f"{name}: is a Dask Array of shape {array.shape}; give (n, d) with a known number of features: call its "
            "compute_chunk_sizes() first, or reshape it",
            argument=name,
        )
    if array.numblocks[1] > 1:
        array = array.rechunk({1: -1})
    blank = np.empty((0, array.shape[1]), dtype=array.dtype)
    return array, read(blank, name, dim, min_rows=0)


def _check_conditions(frame: Lazy, conditions: Mapping[str, object], name: str) -> None:
    """Raise unless conditions of a frame are one for all, or series with its partitions."""
    for of, condition in conditions.items():
        if not is_dask(condition):
            _check_one(of, condition, name)
        elif not _kinds(condition) & {"DataFrame", "Series", "Index"}:
            raise DataError(
                f"{of}: must be a column of the Dask DataFrame {name}, or one with its partitions, got a "
                f"{type(condition).__name__}",
                argument=of,
            )
        elif not _goes_with(frame, condition):
            raise DataError(
                f"{of}: has other partitions or divisions than {name}; take it from the same frame, or give both the "
                "same by repartition(divisions=...) after set_index",
                argument=of,
            )


def _goes_with(frame: Lazy, condition: Lazy) -> bool:
    """Say whether rows of two Dask frames belong together by their partitions, as far as can be known."""
    if frame.known_divisions and condition.known_divisions:
        return bool(frame.divisions == condition.divisions)
    return bool(frame.npartitions == condition.npartitions)


def _check_one(of: str, condition: object, name: str) -> None:
    """Raise unless a condition in memory is meant for all rows."""
    if not is_single(condition):
        raise DataError(
            f"{of}: must be lazy as {name} is, one per row in the same partitions, or one for all rows (covariates as "
            f"a tuple); got a {type(condition).__name__} in memory",
            argument=of,
        )


def _over_chunks(
    apply: Callable[..., object],
    array: Lazy,
    name: str,
    conditions: Mapping[str, object],
    empty: CheckedSamples,
) -> object:
    """Return a function of every chunk of an array."""
    from dask.array import blockwise

    arguments: list[object] = [array, "ij"]
    for of, condition in conditions.items():
        if not is_dask(condition):
            _check_one(of, condition, name)
            arguments += [condition, None]
        else:
            found: Lazy = condition
            arguments += [_like_chunks(found, of, array, name), "ik"[: found.ndim]]
    meta = empty.restore(torch.empty(empty.shape, dtype=empty.dtype))
    return blockwise(
        apply,
        "ij",
        *arguments,
        meta=meta,
        dtype=meta.dtype,
        concatenate=True,
        align_arrays=False,
    )


def _like_chunks(condition: Lazy, of: str, array: Lazy, name: str) -> Lazy:
    """Return labels or covariates in the chunks of an array."""
    if not _is_array(condition) or condition.ndim not in (1, 2):
        raise DataError(
            f"{of}: must be a Dask Array with one row per row of {name}, got a {type(condition).__name__}",
            argument=of,
        )
    if condition.ndim == 2 and condition.numblocks[1] > 1:
        condition = condition.rechunk({1: -1})
    ours, theirs = array.chunks[0], condition.chunks[0]
    if np.isnan(ours).any() or np.isnan(theirs).any():
        if len(ours) != len(theirs):
            raise DataError(
                f"{of}: {name} has {len(ours)} chunks of rows, this {len(theirs)}, some of unknown sizes; call "
                "compute_chunk_sizes() of both first",
                argument=of,
            )
        return condition
    if sum(ours) != sum(theirs):
        raise DataError(
            f"{of}: has {sum(theirs)} rows, but {name} has {sum(ours)}; give one per row",
            argument=of,
        )
    return condition if ours == theirs else condition.rechunk({0: ours})
