"""Dask frames and arrays through maps and estimators: lazily, the same kind, columns and partitions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bulk_files import FEATURES, class_map, covariate_map, frame
from fits import quick

from brenier import DataError, OptimalTransport

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

TABLE = frame(60)[FEATURES]
VALUES = TABLE.to_numpy()
CLASSES = "cat", "dog"
LABELS = pd.Series(list(CLASSES) * 30, index=TABLE.index)
COVARIATES = pd.Series(np.linspace(-1, 1, 60), index=TABLE.index)


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A small fit to named features."""
    return quick().fit(TABLE, 2 * TABLE + 1)


@pytest.fixture(scope="module")
def unnamed() -> OptimalTransport:
    """A small fit to arrays."""
    return quick().fit(VALUES, 2 * VALUES + 1)


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "transform": lambda ot, x: ot.transform(x),
    "inverse_transform": lambda ot, x: ot.inverse_transform(x),
    "map": lambda ot, x: ot.map_(x),
    "map by name": lambda ot, x: ot.map_(x=x),
    "inverse": lambda ot, x: ot.map_.inverse(x),
    "interpolate": lambda ot, x: ot.map_.interpolate(x, 0.3),
}
EVERY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def lazy(table: Any, parts: int = 3) -> Any:
    """A Dask frame or series of sorted rows."""
    return dd.from_pandas(table, npartitions=parts, sort=False)


# ---- what comes back


@EVERY
def test_a_frame_comes_back_as_one_not_computed(way: Any, ot: OptimalTransport) -> None:
    table = TABLE.sort_index()
    given = dd.from_pandas(table, npartitions=3)
    found = way(ot, given)
    assert isinstance(found, dd.DataFrame)
    assert found.known_divisions
    assert found.divisions == given.divisions
    expected = way(ot, table)
    assert found.dtypes.to_dict() == expected.dtypes.to_dict()
    for part, whole in zip(found.partitions, given.partitions, strict=True):
        pd.testing.assert_frame_equal(part.compute(), way(ot, whole.compute()))


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_an_array_comes_back_as_one_not_computed(
    way: Any, dtype: Any, unnamed: OptimalTransport
) -> None:
    ot = unnamed
    values = VALUES.astype(dtype)
    found = way(ot, da.from_array(values, chunks=(25, 1)))
    assert isinstance(found, da.Array)
    assert found.chunks == ((25, 25, 10), (2,))
    expected = way(ot, values)
    assert found.dtype == expected.dtype == found.compute().dtype
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-4, atol=1e-5)


def test_partitions_may_be_empty_or_of_unknown_sizes(ot: OptimalTransport) -> None:
    given = lazy(TABLE)
    none = ot.transform(given[given["a"] > 1e9]).compute()
    assert none.shape == (0, 2)
    assert none.dtypes.equals(ot.transform(TABLE).dtypes)
    array = given.to_dask_array()
    assert np.isnan(array.shape[0])
    np.testing.assert_allclose(ot.map_(array).compute(), ot.map_(VALUES), rtol=1e-6)


def test_columns_of_several_types_come_back_as_in_memory(ot: OptimalTransport) -> None:
    table = TABLE.assign(a=TABLE["a"].astype(int), b=TABLE["b"].astype("float32"))
    found = ot.transform(lazy(table, 1))
    expected = ot.transform(table)
    assert found.dtypes.equals(expected.dtypes)
    pd.testing.assert_frame_equal(
        found.compute().reset_index(drop=True), expected.reset_index(drop=True)
    )


# ---- conditions


@pytest.mark.parametrize(
    ("make", "condition"),
    [(partial(class_map, CLASSES), LABELS), (covariate_map, COVARIATES)],
    ids=["labels", "covariates"],
)
def test_conditions_go_along(make: Any, condition: pd.Series) -> None:
    transport = make()
    expected = transport(VALUES, condition.to_numpy())
    for move in (transport, transport.inverse):
        expected = move(VALUES, condition.to_numpy())
        found = move(lazy(TABLE), lazy(condition)).compute()
        np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-5)
        x = da.from_array(VALUES, chunks=(25, 2))
        for chunks in (25, 13):
            c = da.from_array(condition.to_numpy(), chunks=chunks)
            np.testing.assert_allclose(move(x, c).compute(), expected, rtol=1e-5)
    both = lazy(TABLE.assign(c=condition))
    found = transport(both[FEATURES], both["c"]).compute()
    np.testing.assert_allclose(
        found.to_numpy(), transport(VALUES, condition), rtol=1e-5
    )


def test_one_label_is_meant_for_all_rows() -> None:
    transport = class_map(CLASSES)
    expected = transport(VALUES, ["cat"] * 60)
    for given in (lazy(TABLE), da.from_array(VALUES, chunks=25)):
        found = np.asarray(transport(given, "cat").compute())
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (list(LABELS), "condition: must be lazy as x is"),
        (lazy(LABELS, 2), "condition: has other partitions or divisions than x"),
        (da.zeros(60, chunks=20), "condition: must be a column of the Dask DataFrame"),
    ],
    ids=["in memory", "other partitions", "array"],
)
def test_conditions_that_do_not_go_along_with_a_frame(
    condition: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        class_map(CLASSES)(lazy(TABLE), condition)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (list(LABELS), "condition: must be lazy as x is"),
        (da.zeros(50, chunks=25), "condition: has 50 rows, but x has 60"),
        (da.zeros((60, 1, 1)), "condition: must be a Dask Array with one row"),
        (lazy(LABELS), "condition: must be a Dask Array"),
        (
            lazy(COVARIATES, 2).to_dask_array(),
            "condition: x has 3 chunks of rows, this 2, some of unknown sizes",
        ),
    ],
    ids=["in memory", "fewer rows", "three axes", "series", "unknown sizes"],
)
def test_conditions_that_do_not_go_along_with_an_array(
    condition: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        class_map(CLASSES)(da.from_array(VALUES, chunks=(20, 2)), condition)


# ---- what is refused, before anything is computed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lazy(TABLE[["b", "a"]]), "X: .*feature names should match"),
        (lazy(TABLE[["a"]]), "X: has 1 features, but 2 are expected"),
        (lazy(TABLE["a"]), "X: is a Series of Dask, not a DataFrame"),
        (lazy(TABLE.assign(a="text")), "X: has columns that are not numbers .'a' is"),
        (da.zeros((5, 3)), "X: has 3 features, but 2 are expected"),
        (da.zeros(5), r"X: is a Dask Array of shape \(5,\)"),
        (da.zeros((5, 2), dtype=complex), "X: Complex data not supported"),
        (lazy(TABLE).to_delayed()[0], "X: is a Delayed of Dask, not a DataFrame"),
    ],
    ids=["order", "few", "series", "text", "many", "one axis", "complex", "delayed"],
)
def test_what_cannot_be_moved_is_refused_at_once(
    given: Any, message: str, ot: OptimalTransport
) -> None:
    with pytest.raises(DataError, match=message):
        ot.transform(given)


def test_labels_are_refused_where_there_are_none(ot: OptimalTransport) -> None:
    with pytest.raises(DataError, match="labels: "):
        ot.transform(lazy(TABLE), labels="cat")


def test_a_solution_and_frames_in_memory_are_refused(ot: OptimalTransport) -> None:
    with pytest.raises(DataError, match="return_solution: cannot be had"):
        ot.map_.inverse(lazy(TABLE), return_solution=True)
    output = quick().fit(TABLE, 2 * TABLE).set_output(transform="pandas")
    with pytest.raises(DataError, match="X: is lazy, and set_output asks"):
        output.transform(lazy(TABLE))


@pytest.mark.parametrize("lazily", [lazy, lambda x: da.from_array(x.to_numpy())])
def test_nothing_is_brought_into_memory_unasked(
    lazily: Any, ot: OptimalTransport
) -> None:
    given = lazily(TABLE)
    for asked, name in (
        (lambda: quick().fit(given, TABLE), "X"),
        (lambda: quick().fit(TABLE, given), "Y"),
        (lambda: ot.map_.cost(given), "x"),
        (lambda: ot.map_.distance(TABLE, given), "z"),
        (lambda: ot.score(given, TABLE), "X"),
    ):
        with pytest.raises(DataError, match=f"{name}: is a Dask .*sample of it"):
            asked()
