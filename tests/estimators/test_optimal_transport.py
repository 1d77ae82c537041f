"""The estimator's contract: what is kept, what comes back, and that it learns."""

import functools
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fits import NAMES, PAIR, X, Y, curved, quick, same, uvp, weights
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brenier import (
    LBFGS,
    DataWarning,
    DenseICNN,
    OptimalTransport,
    Potential,
    Quadratic,
    TransportMap,
    load,
)


@pytest.fixture(scope="module")
def fitted() -> OptimalTransport:
    return quick().fit(X, Y)


@pytest.fixture(scope="module")
def learnt() -> OptimalTransport:
    """A fit that selected its network."""
    ot = quick(max_steps=60, batch_size=256).fit(*PAIR)
    assert ot.diagnostics_["selected"] == "network"
    return ot


# ---- parameters


def test_the_constructor_only_stores() -> None:
    odd: dict[str, Any] = {name: object() for name in OptimalTransport().get_params()}
    ot = OptimalTransport(**odd)
    assert all(getattr(ot, name) is value for name, value in odd.items())
    assert vars(ot).keys() == odd.keys()


def test_parameters_are_set_and_cloned(fitted: OptimalTransport) -> None:
    copy = clone(fitted).set_params(tol=0.1, potential="convex")
    assert copy.get_params() == {
        **fitted.get_params(),
        "tol": 0.1,
        "potential": "convex",
    }
    assert not hasattr(copy, "map_")
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        copy.set_params(colour=1)


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_nothing_works_before_fit(method: str, tmp_path: Path) -> None:
    ot = OptimalTransport()
    with pytest.raises(NotFittedError):
        getattr(ot, method)(X)
    with pytest.raises(NotFittedError):
        ot.score(X, Y)
    with pytest.raises(NotFittedError):
        ot.save(tmp_path)


def test_fit_returns_self_and_says_what_it_found(fitted: OptimalTransport) -> None:
    ot = quick()
    assert ot.fit(X, Y) is ot
    assert ot.n_features_in_ == 2
    assert not hasattr(ot, "feature_names_in_")
    assert ot.diagnostics_.keys() >= {
        "selected",
        "stopped",
        "steps",
        "rollbacks",
        "round_trip",
    }
    assert (ot.diagnostics_["stopped"], ot.diagnostics_["steps"]) == ("budget", 20)
    assert 0 <= ot.diagnostics_["round_trip"] < 1e-3
    assert ot.diagnostics_["round_trip_unconverged"] == 0


@pytest.mark.parametrize("max_steps", [1, 20, 50, 60])
def test_max_steps_is_what_is_taken(max_steps: int) -> None:
    ot = quick(max_steps=max_steps).fit(X, Y)
    assert ot.diagnostics_["steps"] == max_steps
    evaluated = [row["step"] for row in ot.history_]
    assert (evaluated[0], evaluated[-1]) == (0, max_steps)
    assert evaluated == sorted(set(evaluated))


@pytest.mark.filterwarnings("ignore:max_time")  # so few seconds allow few steps
def test_max_time_ends_a_run() -> None:
    ot = quick(max_steps=100_000, max_time=0.2).fit(X, Y)
    assert ot.diagnostics_["stopped"] == "budget"
    assert ot.diagnostics_["steps"] < 100_000


def test_history_is_a_table(learnt: OptimalTransport) -> None:
    table = pd.DataFrame(learnt.history_)
    assert {"step", "value", "standard_error", "learning_rate", "unconverged"} <= set(
        table.columns
    )
    assert table["value"].iloc[-1] < table["value"].iloc[0]
    assert all(kind.kind in "fi" for kind in table.dtypes)


def test_the_distance_comes_with_errors(fitted: OptimalTransport) -> None:
    held_out = fitted.map_.distance()
    assert held_out.held_out
    assert held_out.rows == (40, 30)
    for distance in (held_out, fitted.map_.distance(X, Y)):
        figures = [distance.w2, distance.lower, distance.primal]
        errors = [distance.w2_error, distance.lower_error, distance.primal_error]
        assert np.isfinite(figures + errors).all()
        assert min(errors) > 0
        assert abs(distance.w2 - distance.primal) < 5 * (
            distance.w2_error + distance.primal_error
        )


def test_the_score_is_half_the_squared_distance(fitted: OptimalTransport) -> None:
    assert fitted.score(X, Y) == pytest.approx(fitted.map_.distance(X, Y).w2 ** 2 / 2)


# ---- scikit-learn


def test_a_pipeline_with_a_scaler() -> None:
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, Y)
    moved = pipeline.transform(X)
    assert uvp(moved, quick().fit(X, Y).transform(X)) < 1
    np.testing.assert_allclose(pipeline.inverse_transform(moved), X, atol=1e-2)
    assert list(pipeline.get_feature_names_out(NAMES)) == NAMES


def test_names_of_an_earlier_fit_are_forgotten() -> None:
    ot = quick(max_steps=1).fit(pd.DataFrame(X, columns=NAMES), Y)
    ot.fit(lambda n, generator: torch.randn(n, 2, generator=generator), Y)
    assert not hasattr(ot, "feature_names_in_")
    assert list(ot.get_feature_names_out()) == ["x0", "x1"]


def test_other_names_in_transform_are_warned_about_as_in_scikit_learn() -> None:
    ot = quick(max_steps=1).fit(pd.DataFrame(X, columns=NAMES), Y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        ot.transform(X)


# ---- reproducible


def test_one_seed_one_map(learnt: OptimalTransport) -> None:
    again, other = clone(learnt), clone(learnt).set_params(random_state=1)
    again.fit(*PAIR)
    other.fit(*PAIR)
    assert same(weights(again), weights(learnt))
    assert [row["value"] for row in again.history_] == [
        row["value"] for row in learnt.history_
    ]
    assert again.map_.distance() == learnt.map_.distance()
    assert not same(weights(other), weights(learnt))


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_generators_of_numpy_are_seeds(make: Callable[[int], Any]) -> None:
    first, second, other = (
        quick(random_state=make(seed)).fit(X, Y).history_[-1]["value"]
        for seed in (3, 3, 4)
    )
    assert first == second != other


def test_fitting_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = (
        torch.get_rng_state(),
        np.random.get_state(legacy=False)["state"]["key"].copy(),  # noqa: NPY002
    )
    quick().fit(X, Y)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


def test_a_warm_start_goes_on(learnt: OptimalTransport) -> None:
    ot = pickle.loads(pickle.dumps(learnt)).set_params(warm_start=True)
    before = [row["value"] for row in ot.history_]
    ot.fit(*PAIR)
    first = ot.history_[0]["value"]
    assert (
        min(abs(value - first) for value in before[1:]) < 1e-6
    )  # the same held-out rows, since the same seed
    assert min(row["value"] for row in ot.history_) <= first + 1e-6
    assert same(learnt.map_.coordinates.tensors(), ot.map_.coordinates.tensors())


# ---- saved


def test_a_saved_model_is_the_model(learnt: OptimalTransport, tmp_path: Path) -> None:
    learnt.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.transform(X), learnt.transform(X))
    assert np.array_equal(again.inverse_transform(X), learnt.inverse_transform(X))
    assert again.map_.distance() == learnt.map_.distance()
    assert again.diagnostics_ == learnt.diagnostics_
    assert again.score(X, Y) == learnt.score(X, Y)
    ours = {**learnt.get_params(), "method": again.method}
    assert again.get_params() == ours
    pd.testing.assert_frame_equal(
        pd.DataFrame(again.history_), pd.DataFrame(learnt.history_)
    )


@pytest.mark.parametrize("potential", ["free", "convex", "residual"])
def test_every_potential_and_names_are_saved(potential: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=NAMES)
    ot = quick(potential, dtype="float64", method=LBFGS(memory=3)).fit(frame, Y)
    ot.save(tmp_path)
    again = load(tmp_path)
    assert list(again.feature_names_in_) == NAMES
    assert (again.potential, again.dtype, again.method) == (
        potential,
        "float64",
        LBFGS(memory=3),
    )
    pd.testing.assert_frame_equal(again.transform(frame), ot.transform(frame))


# ---- choices


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9),
        torch.optim.AdamW,
        torch.optim.RMSprop,
        torch.optim.SGD,
    ],
    ids=["SGD with momentum", "AdamW", "RMSprop", "SGD"],
)
def test_any_optimiser_trains(optimizer: Any) -> None:
    ot = quick(optimizer=optimizer, max_steps=60).fit(*PAIR)
    assert min(row["value"] for row in ot.history_[1:]) < ot.history_[0]["value"]
    assert np.isfinite(ot.transform(X)).all()


def test_a_potential_of_ones_own() -> None:
    asked = []

    def make(d: int, generator: torch.Generator) -> Potential:
        asked.append(d)
        return DenseICNN(d, (8, 8), generator=generator)

    ot = quick(make).fit(X, Y)
    assert asked == [2]
    assert np.isfinite(ot.transform(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", ["affine", "identity"])
def test_precision_and_start_are_kept(dtype: str, start: str) -> None:
    ot = quick(dtype=dtype, start=start, max_steps=1).fit(X, Y)
    assert {str(value.dtype) for value in ot.map_.network.state_dict().values()} == {
        f"torch.{dtype}"
    }
    assert ot.diagnostics_["selected"] in ("network", start)
    if start == "identity" and ot.diagnostics_["selected"] == start:
        np.testing.assert_allclose(ot.transform(X), X, atol=1e-5)


@pytest.mark.parametrize(
    "scale", ["common", "feature", [1.0, 10.0], np.array([3.0, 1.0])]
)
def test_a_separable_map_does_not_depend_on_the_units(scale: Any) -> None:
    target = 2 * np.random.default_rng(3).normal(size=(5000, 2)) + 1
    x = np.random.default_rng(4).normal(size=(5000, 2))
    ot = quick(scale=scale, max_steps=1).fit(x, target)
    assert uvp(ot.transform(x), 2 * x + 1) < 0.5
    expected = (
        "units of the data"
        if isinstance(scale, str) and scale == "common"
        else "units of each feature's scale"
    )
    assert ot.map_.distance().unit == expected


def test_nothing_is_warned_about_on_ordinary_samples() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick("convex", max_steps=60).fit(X, Y).inverse_transform(Y)


@pytest.mark.parametrize("labels", [None, ["a", "b"] * 500 + ["c"]])
def test_warnings_point_at_the_line_that_called(labels: list[str] | None) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(1001, 2)) * [1.0, 1e5], rng.normal(size=(1000, 2))
    conditions = (
        {}
        if labels is None
        else {"source_labels": labels, "target_labels": labels[:-1]}
    )
    with pytest.warns(DataWarning) as caught:
        quick(max_steps=1).fit(x, z, **conditions)
    assert {warning.filename for warning in caught} == {__file__}


# ---- learns


def test_a_translation_is_found() -> None:
    shift = np.array([10.0, -20.0])
    ot = quick().fit(X, X[:300] + shift)
    assert uvp(ot.transform(X), X + shift) < 1
    assert ot.map_.distance().w2 == pytest.approx(500**0.5, rel=0.02)


def test_a_gaussian_pair_is_at_the_floor_of_its_affine_start() -> None:
    x, z = np.random.default_rng(5).normal(size=(2, 4000, 3))
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.5]])
    ot = quick().fit(x, z @ matrix)
    assert ot.diagnostics_["selected"] == "affine"
    assert uvp(ot.transform(x), x @ matrix) < 0.5
    assert isinstance(ot.map_.network, Quadratic)


@pytest.mark.parametrize(
    ("potential", "d"),
    [("free", 1), ("convex", 1), ("residual", 1), ("free", 2), ("residual", 2)],
)
def test_a_curved_map_is_learnt(potential: str, d: int) -> None:
    x, fresh = (
        np.random.default_rng(6).normal(size=(20_000, d)),
        np.random.default_rng(7).normal(size=(2000, d)),
    )
    ot = quick(potential, max_steps=100, batch_size=256).fit(
        x[:10_000], curved(x[10_000:])
    )
    affine = TransportMap(Quadratic(d), ot.map_.coordinates)
    learnt, start = (uvp(one(fresh), curved(fresh)) for one in (ot.map_, affine))
    assert ot.diagnostics_["selected"] == "network"
    assert learnt < 0.5 * start
    assert ot.diagnostics_["round_trip"] < 0.01
    assert ot.map_.distance().w2 == pytest.approx(
        np.square(curved(fresh) - fresh).sum(-1).mean() ** 0.5, rel=0.1
    )


def test_distances_are_in_the_units_asked_for() -> None:
    move = np.arange(1.0, 1.0 + X.shape[1])
    unit = 2.0 ** np.arange(len(move))
    ot = OptimalTransport(scale=unit, max_steps=20, random_state=0).fit(X, X + move)
    distance = ot.map_.distance()
    expected = float(np.linalg.norm(move / unit))
    assert abs(distance.w2 - expected) < 3 * distance.w2_error < 0.2 * expected
    assert "feature" in distance.unit
    assert ot.score(X, X + move) == pytest.approx(expected**2 / 2, rel=0.02)
