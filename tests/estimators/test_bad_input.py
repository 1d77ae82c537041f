"""What users will try: every fault has a name, a remedy and no consequences, and odd samples that can be used work."""

import contextlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from fits import NAMES, PAIR, X, Y, quick, same, weights

from brenier import DataError, DataWarning, OptimalTransport

RNG = np.random.default_rng(0)


def spoilt(value: float) -> np.ndarray:
    bad = X.copy()
    bad[3, 1] = bad[5, 0] = value
    return bad


# name: (samples, what the message says of the fault, and of the remedy)
SAMPLES: dict[str, tuple[Any, str, str]] = {
    "NaN": (
        spoilt(np.nan),
        "NaN or inf in 2 of 400 rows, the first at row 3, column 1",
        "remove or impute",
    ),
    "inf": (spoilt(np.inf), "NaN or inf in 2 of 400 rows", "remove or impute"),
    "tensor -inf": (
        torch.from_numpy(spoilt(-np.inf)),
        "NaN or inf in 2 of 400 rows",
        "remove or impute",
    ),
    "frame NaN": (
        pd.DataFrame(spoilt(np.nan)),
        "NaN or inf in 2 of 400 rows",
        "remove or impute",
    ),
    "object None": (
        np.array([[1.0, None], [2.0, 3.0]]),
        "NaN or inf in 1 of 2 rows",
        "remove or impute",
    ),
    "nullable NA": (
        pd.DataFrame({"a": [1.0, 2.0], "b": pd.array([1, None])}),
        "object.*not numbers",
        "missing values",
    ),
    "masked": (np.ma.masked_array(X, X > 1), "masked", "remove or impute"),
    "number": (3.0, "Expected 2D array, got 0D", r"reshape\(-1, 1\)"),
    "1-D": (X[:, 0], "Expected 2D array, got 1D array of shape", r"reshape\(-1, 1\)"),
    "series": (
        pd.Series(X[:, 0]),
        "Expected 2D array, got 1D array of shape",
        r"reshape\(-1, 1\)",
    ),
    "3-D": (X[None], "Expected 2D array, got 3D array of shape", r"reshape\(n, -1\)"),
    "no rows": (X[:0], "0 sample", "give more"),
    "no columns": (X[:, :0], "0 feature", "select some columns"),
    "empty frame": (pd.DataFrame(), "0 feature", "select some columns"),
    "empty polars frame": (pl.DataFrame(), "0 feature", "select some columns"),
    "frame without rows": (
        pd.DataFrame(columns=NAMES, dtype=float),
        "0 sample",
        "give more",
    ),
    "complex": (X + 0j, "Complex data not supported", "give real features"),
    "complex tensor": (
        torch.from_numpy(X + 0j),
        "Complex data not supported",
        "give real features",
    ),
    "strings": (X.astype(str), "not numbers", "encode or drop text"),
    "bytes": (X.astype(bytes), "not numbers", "encode or drop text"),
    "string objects": (
        X.astype(str).astype(object),
        "object.*not numbers",
        "encode or drop text",
    ),
    "string frame": (
        pd.DataFrame({"a": ["1", "2"], "b": ["x", "y"]}),
        "not numbers",
        "encode or drop text",
    ),
    "dates": (
        np.zeros((5, 2), dtype="M8[s]"),
        "datetime64.*not numbers",
        "encode or drop text",
    ),
    "objects": (
        np.array([[1, {}], [2, 3]], dtype=object),
        "object.*not numbers",
        "encode or drop",
    ),
    "records": (
        np.zeros((5, 2), dtype=[("a", float)]),
        "not numbers",
        "encode or drop",
    ),
    "dictionary": ({"a": [1, 2]}, "not numbers", "encode or drop"),
    "text": ("samples.npy", "not numbers", "encode or drop"),
    "ragged": ([[1, 2], [3]], "not a table of numbers", r"give an \(n, d\) array"),
    "None": (None, "got None", r"give an \(n, d\) array"),
    "csr": (scipy.sparse.csr_matrix(X), "Sparse", r"toarray\(\)"),
    "sparse array": (scipy.sparse.coo_array(X), "Sparse", r"toarray\(\)"),
    "sparse tensor": (torch.from_numpy(X).to_sparse(), "Sparse", r"to_dense\(\)"),
}
FIT_ONLY: dict[str, tuple[Any, str, str]] = {
    "one row": (X[:1], "1 sample", "give more"),
    "too large": (1e200 * X, r"as large as .*e\+200", "other units"),
    "too small": (1e-200 * X, "vary by less than 1e-140", "other units"),
}
METHODS: dict[str, tuple[str, Callable[[OptimalTransport, Any], Any]]] = {
    "fit X": ("X", lambda ot, bad: ot.fit(bad, Y)),
    "fit Y": ("Y", lambda ot, bad: ot.fit(X, bad)),
    "transform": ("X", lambda ot, bad: ot.transform(bad)),
    "inverse_transform": ("Z", lambda ot, bad: ot.inverse_transform(bad)),
    "score X": ("X", lambda ot, bad: ot.score(bad, Y)),
    "score Y": ("Y", lambda ot, bad: ot.score(X, bad)),
}


@pytest.fixture(scope="module")
def fitted() -> OptimalTransport:
    return quick(max_steps=2).fit(pd.DataFrame(X, columns=NAMES).to_numpy(), Y)


def check_refused(
    ot: OptimalTransport,
    call: Callable[[OptimalTransport, Any], Any],
    bad: Any,
    *patterns: str,
) -> None:
    """A DataError that says all this, and an estimator that is what it was."""
    before, attributes = weights(ot), dict(vars(ot))
    with pytest.raises(DataError) as caught:
        call(ot, bad)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value), re.DOTALL), str(caught.value)
    assert vars(ot) == attributes
    assert same(weights(ot), before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_that_cannot_be_used_are_refused_by_name(
    name: str, method: str, fitted: OptimalTransport
) -> None:
    bad, fault, remedy = SAMPLES[name]
    argument, call = METHODS[method]
    check_refused(fitted, call, bad, f"^{argument}: ", fault, remedy)


@pytest.mark.parametrize("side", ["fit X", "fit Y"])
@pytest.mark.parametrize("name", FIT_ONLY)
def test_samples_that_cannot_be_learnt_from_are_refused_by_name(
    name: str, side: str, fitted: OptimalTransport
) -> None:
    bad, fault, remedy = FIT_ONLY[name]
    check_refused(
        fitted, METHODS[side][1], bad, f"^{METHODS[side][0]}: ", fault, remedy
    )


@pytest.mark.parametrize("method", METHODS)
def test_other_numbers_of_features_are_refused(
    method: str, fitted: OptimalTransport
) -> None:
    argument, call = METHODS[method]
    expected = (
        r"^Y: has \d features, X has \d; both"
        if method.startswith("fit")
        else f"^{argument} has 3 features, but"
    )
    check_refused(
        fitted,
        call,
        RNG.normal(size=(10, 3)),
        expected,
        "same features" if "fit" in method else "used in fit",
    )


def test_warm_starts_need_the_same_features(fitted: OptimalTransport) -> None:
    def go_on(ot: OptimalTransport, bad: Any) -> None:
        ot.set_params(warm_start=True)
        try:
            ot.fit(bad, bad)
        finally:
            ot.set_params(warm_start=False)

    check_refused(
        fitted,
        go_on,
        RNG.normal(size=(10, 3)),
        "^X: has 3 features, the map to go on from 2",
        "warm_start=False",
    )


# ---- frames


def test_names_that_are_not_all_text_are_refused(fitted: OptimalTransport) -> None:
    mixed = pd.DataFrame(X, columns=[0, "b"])
    check_refused(
        fitted,
        METHODS["fit X"][1],
        mixed,
        "^X: Feature names are only supported",
        "convert them all",
    )


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (["b", "a"], "another order.*reorder"),
        (["a", "c"], r"differ from those of X \(b, c\)"),
    ],
)
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_both_sides_must_agree(
    frame: Any, columns: list[str], fault: str, fitted: OptimalTransport
) -> None:
    def named(values: np.ndarray, names: list[str]) -> Any:
        return frame(dict(zip(names, values.T, strict=True)))

    check_refused(
        fitted,
        lambda ot, bad: ot.fit(named(X, NAMES), bad),
        named(Y, columns),
        "^Y: ",
        fault,
    )
    ot = quick(max_steps=1).fit(named(X, NAMES), named(Y, NAMES))
    for method in ("transform", "inverse_transform"):
        argument, call = METHODS[method]
        check_refused(
            ot,
            call,
            named(X, columns),
            f"^{argument}: The feature names should match",
            "Give the columns used",
        )


# ---- memory-mapped files and functions


@pytest.mark.parametrize("method", METHODS)
def test_bad_rows_of_a_mapped_file_are_found_when_they_are_read(
    method: str, fitted: OptimalTransport, tmp_path: Path
) -> None:
    np.save(tmp_path / "bad.npy", spoilt(np.nan)[:20])
    bad = np.load(tmp_path / "bad.npy", mmap_mode="r")
    argument, call = METHODS[method]
    where = "rows read, the first at row (3, column 1|5, column 0)"  # training draws rows in any order
    check_refused(
        fitted, call, bad, f"^{argument}: contains NaN", where, "remove or impute"
    )


class ChangesItsMind:
    """A sampler whose samples gain a feature after some calls."""

    calls = 0

    def __call__(self, n: int, generator: torch.Generator) -> torch.Tensor:
        self.calls += 1
        return torch.randn(n, 2 if self.calls < 7 else 3, generator=generator)


class TurnsBad(ChangesItsMind):
    """A sampler whose samples become NaN after some calls."""

    def __call__(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return (
            super().__call__(n, generator)[:, :2] / (self.calls < 6) * (self.calls < 6)
        )


SAMPLERS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "1-D": (
        lambda: lambda n, g: torch.randn(n, generator=g),
        "Expected 2D array, got 1D",
        "reshape",
    ),
    "wrong n": (
        lambda: lambda n, g: torch.randn(n + 1, 2, generator=g),
        r"shape \(3, 2\) when asked for \(2, d\)",
        "n rows",
    ),
    "text": (lambda: lambda n, g: "samples", "not numbers", "encode or drop"),
    "None": (lambda: lambda n, g: None, "got None", "give an"),
    "sparse": (lambda: lambda n, g: torch.eye(n, 2).to_sparse(), "Sparse", "dense"),
    "NaN": (
        lambda: lambda n, g: torch.full((n, 2), float("nan")),
        "contains NaN",
        "remove or impute",
    ),
    "NaN later": (TurnsBad, "contains NaN", "remove or impute"),
    "other d": (
        lambda: lambda n, g: torch.randn(n, 3, generator=g),
        r"has \d features",
        "same features",
    ),
    "other d later": (
        ChangesItsMind,
        r"shape \(128, 3\) when asked for \(128, 2\)",
        "return n rows",
    ),
}


@pytest.mark.parametrize("side", ["fit X", "fit Y"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_that_misbehave_are_refused_by_name(
    name: str, side: str, fitted: OptimalTransport
) -> None:
    make, fault, remedy = SAMPLERS[name]
    argument = "Y" if name == "other d" else METHODS[side][0]
    check_refused(
        fitted,
        METHODS[side][1],
        make(),
        f"^{argument}(:| .returned by the sampler.:)",
        fault,
        remedy,
    )


# ---- parameters

NUMBERS: tuple[Any, ...] = (-1, 0, "1", np.nan)
WHOLE: tuple[Any, ...] = (0, 1.5, "10", True)
SCALES: tuple[Any, ...] = ([1.0], [1.0, 0.0], [1.0, np.nan], [1.0, "a"], None, {}, 2.0)
PARAMETERS: list[tuple[str, Any, str]] = [
    *(
        (name, value, "positive number")
        for name in ("tol", "learning_rate", "max_time")
        for value in NUMBERS
    ),
    *(
        (name, value, "positive whole")
        for name in ("max_steps", "batch_size", "patience")
        for value in WHOLE
    ),
    *(("n_jobs", value, "-1 for one per core") for value in WHOLE),
    *(("n_networks", value, "positive whole") for value in WHOLE),
    ("learning_rate", np.inf, "positive number"),
    *(
        ("bandwidth", value, "positive number or zero")
        for value in (-1, "1", np.nan, np.inf)
    ),
    ("tol", None, "positive number"),
    ("potential", "foo", "one of 'auto', 'convex', 'free', 'residual'"),
    ("potential", None, "one of 'auto', 'convex', 'free', 'residual'"),
    (
        "potential",
        lambda d, generator: torch.nn.Linear(d, 1),
        "return a `Potential` with dim=2",
    ),
    ("start", "foo", "one of 'auto', 'affine', 'shift', 'identity'"),
    ("start", np.ones(2), "one of 'auto', 'affine', 'shift', 'identity'"),
    ("scale", "foo", "one of 'auto', 'common', 'feature'"),
    *(("scale", value, "2 positive numbers") for value in SCALES),
    ("dtype", "float16", "one of 'float32', 'float64'"),
    ("dtype", torch.float16, "one of 'float32', 'float64'"),
    ("device", "nonsense", "give 'cpu'"),
    ("device", 1.5, "give 'cpu'"),
    ("method", "lbfgs", "such as BFGS"),
    ("method", type, "such as BFGS"),
    ("optimizer", "adam", "function of the parameters"),
    ("optimizer", lambda parameters: None, "return a torch optimiser"),
    ("random_state", "foo", "give a whole number"),
    ("random_state", -1, "give a whole number"),
    ("checkpoint", 3, "path of a folder"),
    ("checkpoint", __file__, "is a file; give a folder"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), PARAMETERS)
def test_parameters_that_cannot_be_used_are_refused_by_name(
    name: str, value: Any, remedy: str
) -> None:
    ot = quick(max_steps=1).fit(X[:20], Y[:20]).set_params(**{name: value})
    check_refused(ot, METHODS["fit X"][1], X, f"^{name}: ", remedy)


# ---- samples that are odd, and work


def check_works(source: Any, target: Any, **parameters: Any) -> OptimalTransport:
    """Everything that can be asked for is finite, and no warning is given."""
    ot = quick(max_steps=2, **parameters).fit(source, target)
    moved = np.asarray(ot.transform(source))
    back, distance = np.asarray(ot.inverse_transform(moved)), ot.map_.distance()
    assert np.isfinite(moved).all()
    assert np.isfinite(back).all()
    assert np.isfinite(
        [
            distance.w2,
            distance.w2_error,
            distance.lower,
            distance.primal,
            distance.primal_error,
        ]
    ).all()
    assert np.isfinite(ot.diagnostics_["round_trip"])
    assert np.isfinite(ot.score(source, target))
    return ot


ONES, NOISE = np.ones((400, 1)), RNG.normal(size=(400, 1))
SAME = np.full((40, 2), 3.0)
ODD: dict[str, tuple[Any, Any]] = {
    "two rows": (X[:2], Y[:2]),
    "fewer rows than features": (RNG.normal(size=(5, 20)), RNG.normal(size=(8, 20))),
    "constant on both sides": (np.hstack([X, ONES]), np.hstack([X, ONES])),
    "other constants": (np.hstack([X, ONES]), np.hstack([X, 5 * ONES])),
    "constant in X": (np.hstack([X, ONES]), np.hstack([X, NOISE])),
    "constant in Y": (np.hstack([X, NOISE]), np.hstack([X, ONES])),
    "duplicated": (np.repeat(X[:5], 40, 0), np.repeat(Y[:3], 50, 0)),
    "one point in X": (SAME, Y),
    "one point in Y": (X, SAME),
    "one point each": (SAME, 5 * SAME),
    "the same point": (SAME, SAME),
    "zeros": (0 * SAME, 0 * SAME),
    "the same samples": (X, X),
    "perfectly correlated": (X @ np.ones((2, 2)), Y @ np.ones((2, 2))),
    "strided": (np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2], Y),
    "reversed": (X[::-1, ::-1], Y[::-1]),
    "columns first": (np.asfortranarray(X), torch.from_numpy(Y).mT.contiguous().mT),
    "big-endian": (X.astype(">f8"), Y.astype(">f4")),
    "read-only": (
        np.broadcast_to(X, X.shape),
        np.frombuffer(Y.tobytes()).reshape(Y.shape),
    ),
    "matrix": (np.matrix(X), Y),
    "not masked": (np.ma.masked_array(X, False), Y),
    "large": (1e30 * X, 1e30 * Y),
    "small": (1e-30 * X, 1e-30 * Y),
    "far apart": (X, Y + 1e8),
}

TOLD = {
    "constant in X": "column 2 is 1 in all rows",
    "one point in X": "all 40 rows are the same point",
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.filterwarnings(r"ignore:the .*map.* is wrong:UserWarning")  # two steps
@pytest.mark.parametrize("start", ["affine", "identity"])
@pytest.mark.parametrize("name", ODD)
def test_odd_samples_work(name: str, start: str) -> None:
    told = TOLD.get(name)
    with pytest.warns(DataWarning, match=told) if told else contextlib.nullcontext():
        check_works(*ODD[name], start=start)


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", "<f2", "<i2", "<u2", "?"])
def test_mapped_files_of_every_type_work(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", (10 * X + 100).astype(kind) if kind != "?" else X > 0)
    with warnings.catch_warnings():
        if kind == "?":  # four rows, of which many are one and the same
            warnings.simplefilter("ignore", DataWarning)
        ot = check_works(np.load(tmp_path / "x.npy", mmap_mode="r"), Y)
    mapped, whole = (
        ot.transform(np.load(tmp_path / "x.npy", mmap_mode=mode))
        for mode in ("r", None)
    )
    assert mapped.dtype == whole.dtype
    np.testing.assert_array_equal(mapped, whole)


@pytest.mark.parametrize("unit", [1e-30, 1e-8, 1.0, 1e8, 1e30])
def test_the_unit_of_the_data_does_not_matter(unit: float) -> None:
    reference, ot = quick().fit(X, Y), quick().fit(unit * X, unit * Y)
    np.testing.assert_allclose(
        ot.transform(unit * X) / unit, reference.transform(X), rtol=1e-4, atol=1e-4
    )
    assert ot.map_.distance().w2 / unit == pytest.approx(
        reference.map_.distance().w2, rel=1e-4
    )


def test_features_of_far_scales_are_each_learnt() -> None:
    scales = np.array([1e-8, 1.0, 1e8])
    x, z = (RNG.normal(size=(4000, 3)) * scales for _ in range(2))
    with pytest.warns(
        DataWarning,
        match="feature scales differ by a factor of 1.0e.16.*scale='common'",
    ):
        ot = quick().fit(x, 2 * z + scales)
    moved = ot.transform(x)
    np.testing.assert_allclose(moved / scales, 2 * x / scales + 1, atol=0.2)
    np.testing.assert_allclose(
        ot.inverse_transform(moved) / scales, x / scales, atol=1e-4
    )


@pytest.mark.parametrize("offset", [1e6, 1e9])
@pytest.mark.parametrize("start", ["affine", "identity"])
def test_far_from_the_origin_nothing_is_lost(offset: float, start: str) -> None:
    # Ten steps: rounding of the samples themselves grows with every step that decides between rows.
    near, far = (
        quick(start=start, max_steps=10).fit(X + by, Y + by) for by in (0.0, offset)
    )
    np.testing.assert_allclose(
        far.transform(X + offset) - offset, near.transform(X), atol=1e-3
    )
    np.testing.assert_allclose(
        far.inverse_transform(Y + offset) - offset, near.inverse_transform(Y), atol=1e-3
    )
    assert far.map_.distance().w2 == pytest.approx(near.map_.distance().w2, rel=1e-3)


@pytest.fixture(scope="module", params=["float32", "float64"])
def curved_map(request: pytest.FixtureRequest) -> OptimalTransport:
    """A map that is not affine."""
    ot = quick(dtype=request.param, max_steps=40).fit(*PAIR)
    assert ot.diagnostics_["selected"] == "network"
    return ot


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
@pytest.mark.parametrize("size", [1e20, 1e100, 1e200, 1e300])
def test_points_beyond_all_training_data_are_finite_or_refused(
    size: float, method: str, curved_map: OptimalTransport
) -> None:
    refused = r"[XZ]: \d+ of 400 rows, the first row \d+, lie so far.*overflows; remove"
    finite, fault = False, ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the inverse did not converge is said
        try:
            finite = bool(np.isfinite(getattr(curved_map, method)(size * X)).all())
        except DataError as error:
            fault = str(error)
    assert finite or re.match(refused, fault)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_of_a_few_rows_work(batch_size: int) -> None:
    check_works(X, Y, batch_size=batch_size)


def test_points_that_overflow_are_counted(curved_map: OptimalTransport) -> None:
    far = X.copy()
    far[[3, 5]] = 1.7e308
    with pytest.raises(
        DataError, match=r"^X: 2 of 400 rows, the first row 3, lie so far"
    ):
        curved_map.transform(far)
