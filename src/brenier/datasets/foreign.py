"""Objects that hold a matrix and are none: refused at once, with where in them the matrix is.

numpy would walk such an object element by element, dozens of levels deep; it is never asked to.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from brenier.errors import DataError

# By these numpy takes an object for an array, without walking it.
PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "to_numpy")


def check_container(values: object, name: str) -> None:
    """Raise a DataError for an object that is neither an array, a frame, a number nor a sequence of these.

    Args:
        values: what was given.
        name: the argument's name.
    """
    if is_dask(values):
        raise DataError(
            f"{name}: is a Dask {type(values).__name__}, which is not brought into memory unasked; give a sample of "
            f"it, such as {name}.sample(frac=0.01).compute() of a frame or {name}[:100_000].compute() of an array, or "
            f"all of it: {name}.compute()",
            argument=name,
        )
    if not _is_known(values):
        raise DataError(
            f"{name}: is a {type(values).__name__}, not numbers (n, d) in an array or frame; "
            f"{_where_the_matrix_is(values, name)}",
            argument=name,
        )
    if isinstance(values, list | tuple) and len(values):
        _check_parts(values, name)


def is_dask(values: object) -> bool:
    """Say whether an object is a table of Dask, which is computed only when asked for."""
    first = type(values).__module__.partition(".")[0]
    return first in ("dask", "dask_expr") and hasattr(values, "compute")


def is_sparse(values: object) -> bool:
    """Say whether an object is a sparse matrix or array."""
    return hasattr(values, "nnz") and (
        hasattr(values, "toarray") or hasattr(values, "todense")
    )


def _is_known(values: object) -> bool:
    """Say whether numpy can read an object without walking it, or it is a plain sequence, or a single value."""
    if isinstance(values, np.ndarray | Tensor | np.generic | str | bytes):
        return True
    if any(hasattr(values, protocol) for protocol in PROTOCOLS):
        return not hasattr(
            values, "data_vars"
        )  # xarray.Dataset has the method, which always raises
    if isinstance(values, memoryview | bytearray | collections.deque | range):
        return True
    if isinstance(values, Mapping | set | frozenset | Iterator):
        return False
    if isinstance(values, Sequence) or type(values).__module__ == "array":
        return True
    walked = ("__len__", "__getitem__", "__iter__", "X", "obsm", "tables", "mod")
    return not any(hasattr(values, method) for method in walked)


def _check_parts(values: Sequence[object], name: str) -> None:
    """Raise where a list holds whole tables, or objects that are none."""
    first = values[0]
    if not _is_known(first):
        raise DataError(
            f"{name}: is a {type(values).__name__} of {type(first).__name__}, not numbers (n, d) in an array or frame; "
            f"{_where_the_matrix_is(first, f'{name}[0]')}",
            argument=name,
        )
    dimensions = {getattr(part, "ndim", None) for part in values}
    if dimensions == {2}:
        raise DataError(
            f"{name}: Expected 2D array, got a {type(values).__name__} of {len(values)} arrays (3D array) instead; "
            f"rows are samples. Join them, np.concatenate({name}), or give one; for one row per array "
            f"np.reshape({name}, ({len(values)}, -1)), as reshape(n, -1) does",
            argument=name,
        )


def _where_the_matrix_is(values: Any, name: str) -> str:
    """Return where the matrix in an object is, as far as can be told."""
    if isinstance(values, Mapping):
        return (
            f"give an array, such as np.column_stack(list({name}.values())), or pandas.DataFrame({name}); encode or "
            "drop text first"
        )
    if isinstance(values, set | frozenset):
        return f"its order is by chance: give a list or an array, such as np.array(sorted({name}))"
    if isinstance(values, Iterator):
        return f"read it first: np.array(list({name})) of rows; or give a function (n, generator) -> (n, d)"
    if hasattr(values, "X") or hasattr(values, "obsm"):
        return (
            f"give the matrix in it, {name}.X or {name}.obsm[...] such as {name}.obsm['X_pca'], as an array (a "
            f"sparse one by {name}.X.toarray())"
        )
    for attribute, example in (
        ("mod", f"{name}.mod['rna'].X or .obsm[...]"),
        ("tables", f"{name}.tables['table'].X or .obsm[...]"),
        ("data_vars", f"{name}['variable'].to_numpy(), or {name}.to_dataframe()"),
        ("toarray", f"{name}.toarray()"),
        ("todense", f"{name}.todense()"),
        ("to_pandas", f"{name}.to_pandas()"),
        ("collect", f"{name}.collect()"),
        ("compute", f"{name}.compute()"),
        ("to_dataframe", f"{name}.to_dataframe()"),
        ("__dataframe__", f"pandas.api.interchange.from_dataframe({name})"),
        ("values", f"np.asarray({name}.values)"),
    ):
        if hasattr(values, attribute):
            return f"give the matrix in it, such as {example}, as an array"
    if hasattr(values, "dataset") or hasattr(values, "collate_fn"):
        return "give an array of all its batches, torch.cat([batch for batch, *_ in loader])"
    return "give its numbers as an array, such as np.stack([row for row in it])"
