"""Which columns of a table are features, labels and covariates; out of a table as arrays, and back into it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brenier.datasets import labels_named
from brenier.errors import DataError
from brenier.transport.maps.bulk.moving import Floats, MovedBlock, RowBlock
from brenier.transport.maps.bulk.orders import (
    STATUS_NAMES,
    BulkMap,
    BulkOrders,
    RowStatus,
    classes_of,
)

if TYPE_CHECKING:
    import pyarrow

# How programs write that a number is missing.
MISSING_TEXTS = (
    *("", "NA", "N/A", "n/a", "#N/A", "<NA>"),
    *("nan", "NaN", "NAN", "null", "NULL", "None"),
)


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """The columns of a file that matter.

    Attributes:
        path: the file.
        schema: of the file.
        features: their numbers.
        conditions: the numbers of the columns of labels or covariates.
        status: the name of the column that is added, or None.
        decimal: the decimal sign where numbers are written as text, as in .csv files, else None.
    """

    path: Path
    schema: pyarrow.Schema
    features: tuple[int, ...]
    conditions: tuple[int, ...]
    status: str | None
    decimal: str | None = None

    def written(self) -> pyarrow.Schema:
        """Return the schema of the file that is written."""
        import pyarrow

        schema = self.schema
        for place in self.features:
            field = schema.field(place)
            schema = schema.set(place, field.with_type(_moved_type(field.type)))
        if self.status is not None:
            kind = pyarrow.dictionary(pyarrow.int8(), pyarrow.string())
            schema = schema.append(pyarrow.field(self.status, kind))
        return schema.with_metadata(self._metadata())

    def block(self, table: pyarrow.Table, transport: BulkMap) -> RowBlock:
        """Return the features of some rows, and their labels or covariates."""
        values = self._matrix(table, self.features)
        if not self.conditions:
            return RowBlock(values)
        classes = classes_of(transport)
        if classes is None:
            return RowBlock(values, self._matrix(table, self.conditions).astype(float))
        column = table.column(self.conditions[0]).combine_chunks()
        labels = column.to_pylist()
        if self.decimal is not None:
            labels = [label or None for label in labels]
        return RowBlock(values, labels_named(labels, classes))

    def rebuilt(self, table: pyarrow.Table, moved: MovedBlock) -> pyarrow.Table:
        """Return some rows with their features moved, and a status."""
        import pyarrow

        schema = self.written()
        arrays = list(table.columns)
        empty = ~np.isfinite(moved.values).all(1)
        for k, place in enumerate(self.features):
            field = schema.field(place)
            values = moved.values[:, k].astype(field.type.to_pandas_dtype())
            mask = empty if field.nullable else None
            arrays[place] = pyarrow.array(values, type=field.type, mask=mask)
        if self.status is not None:
            names = pyarrow.array(STATUS_NAMES)
            codes = pyarrow.array(moved.status)
            arrays.append(pyarrow.DictionaryArray.from_arrays(codes, names))
        return pyarrow.Table.from_arrays(arrays, schema=schema)

    def without_unknown(
        self, table: pyarrow.Table, moved: MovedBlock
    ) -> tuple[pyarrow.Table, MovedBlock]:
        """Return some rows without those of unknown classes."""
        known = moved.status != RowStatus.UNKNOWN
        kept = MovedBlock(moved.values[known], moved.status[known])
        return table.filter(known), kept

    def _matrix(self, table: pyarrow.Table, places: tuple[int, ...]) -> Floats:
        """Return some columns as an array (n, d), NaN where a value is missing."""
        types = [_moved_type(self.schema.field(place).type) for place in places]
        dtype = np.result_type(*(kind.to_pandas_dtype() for kind in types))
        values = np.empty((table.num_rows, len(places)), dtype=dtype)
        for k, place in enumerate(places):
            values[:, k] = self._numbers(table, place)
        return values

    def _numbers(self, table: pyarrow.Table, place: int) -> Floats:
        """Return a column as numbers (n,)."""
        import pyarrow
        from pyarrow import compute

        column = table.column(place)
        if pyarrow.types.is_floating(column.type):
            return column.to_numpy()
        try:
            if self.decimal is not None:
                column = _filled_numbers(column, self.decimal)
            return compute.cast(column, pyarrow.float64(), safe=False).to_numpy()
        except pyarrow.ArrowInvalid as error:
            raise DataError(
                f"{self.path}: column {self.schema.names[place]!r} holds what is no number ({error}); make it numbers, "
                "or name other columns"
            ) from error

    def _metadata(self) -> dict[bytes, bytes] | None:
        """Return the metadata of the file, where what pandas keeps in it knows the columns that have changed."""
        metadata = self.schema.metadata
        if not metadata or b"pandas" not in metadata:
            return metadata
        told = json.loads(metadata[b"pandas"])
        names = {self.schema.names[place]: place for place in self.features}
        for column in told.get("columns", ()):
            place = names.get(column.get("field_name", column.get("name")))
            if place is not None:
                kind = _moved_type(self.schema.field(place).type).to_pandas_dtype()
                name = np.dtype(kind).name
                column.update(pandas_type=name, numpy_type=name, metadata=None)
        return {**metadata, b"pandas": json.dumps(told).encode()}


def columns_of_file(
    path: Path,
    schema: pyarrow.Schema,
    transport: BulkMap,
    orders: BulkOrders,
    features: tuple[str, ...] | None,
    named: bool = True,
    decimal: str | None = None,
) -> TableColumns:
    """Return which columns of a file are what.

    Args:
        path, schema: of the file.
        transport: the map.
        orders: what is to be done.
        features: as the model knows them, or None.
        named: whether the columns of the file have names.
        decimal: the decimal sign where all columns are text, else None.

    Raises:
        DataError: where a column is missing, there twice or no number, or there are more or fewer features than those
            of the map.
    """
    conditions = tuple(_place_of(path, schema, name) for name in orders.conditions)
    wanted = orders.columns or (features if named else None)
    if wanted is not None:
        chosen = tuple(_place_of(path, schema, name) for name in wanted)
    else:
        others = set(conditions)
        chosen = tuple(
            place
            for place, field in enumerate(schema)
            if place not in others
            and (decimal is not None or is_number_type(field.type))
        )
    if len(chosen) != transport.dim:
        listing = ", ".join(schema.names[place] for place in chosen[:30]) or "none"
        raise DataError(
            f"{path}: has {len(chosen)} numeric columns ({listing}), but the model has {transport.dim} features; name "
            "those as columns, in the order of the fit"
        )
    for place in (*chosen, *(conditions if orders.covariates else ())):
        field = schema.field(place)
        if decimal is None and not may_be_number(field.type):
            raise DataError(
                f"{path}: column {field.name!r} is {field.type}, no number; make it numbers, or name other columns"
            )
    if orders.status is not None and orders.status in schema.names:
        raise DataError(
            f"status: {path} already has a column {orders.status!r}; give another name, or None for no such column"
        )
    return TableColumns(path, schema, chosen, conditions, orders.status, decimal)


def is_number_type(kind: pyarrow.DataType) -> bool:
    """Say whether a type is one of numbers."""
    from pyarrow import types

    kinds = types.is_integer, types.is_floating, types.is_decimal
    return any(of_kind(kind) for of_kind in kinds)


def may_be_number(kind: pyarrow.DataType) -> bool:
    """Say whether values of a type can be taken for numbers where the user says so."""
    from pyarrow import types

    return is_number_type(kind) or types.is_boolean(kind) or types.is_null(kind)


def _filled_numbers(column: pyarrow.ChunkedArray, decimal: str) -> pyarrow.ChunkedArray:
    """Return numbers written as text with points, and nothing where one is missing."""
    import pyarrow
    from pyarrow import compute

    column = compute.utf8_trim_whitespace(column)
    missing = compute.is_in(column, pyarrow.array(MISSING_TEXTS, column.type))
    column = compute.if_else(missing, pyarrow.scalar(None, column.type), column)
    if decimal == ".":
        return column
    return compute.replace_substring(column, decimal, ".")


def _place_of(path: Path, schema: pyarrow.Schema, name: str) -> int:
    """Return the number of a column."""
    times = schema.names.count(name)
    if times == 1:
        return int(schema.get_field_index(name))
    known = ", ".join(schema.names[:30])
    if times:
        raise DataError(
            f"{path}: has {times} columns called {name!r}; give each a name of its own"
        )
    raise DataError(
        f"{path}: there is no column {name!r}, it has {known}; name columns that all files have"
    )


def _moved_type(kind: pyarrow.DataType) -> Any:
    """Return the type results are written in: float32 for single and half precision, else float64."""
    import pyarrow

    single = pyarrow.types.is_float32(kind) or pyarrow.types.is_float16(kind)
    return pyarrow.float32() if single else pyarrow.float64()
