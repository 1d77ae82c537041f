"""Baselines that are computed: what their shared fit draws, tells, refuses and saves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from brenier.baselines import (
    ClosedForm,
    Constant,
    EntropicMap,
    ExactPlanMap,
    Identity,
    Linear,
    load_any,
)
from brenier.baselines.closed_form import rows_by_class
from brenier.datasets import Rows
from brenier.errors import DataError, NoInverseError
from brenier.estimators import GivenConditions

PLAIN: tuple[type[ClosedForm], ...] = (
    Identity,
    Constant,
    Linear,
    ExactPlanMap,
    EntropicMap,
)


def sides(n: int = 80, m: int = 60, d: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) + 1


@pytest.mark.parametrize("method", PLAIN)
def test_a_saved_one_moves_rows_to_the_same_bits(
    method: type[ClosedForm], tmp_path: Path
) -> None:
    X, Y = sides()
    fitted = clone(method(max_rows=50, random_state=1)).fit(X, Y)
    fitted.save(tmp_path)
    again = load_any(tmp_path)
    assert type(again) is method
    assert np.array_equal(again.transform(X), fitted.transform(X))
    if fitted.has_inverse:
        assert np.array_equal(again.inverse_transform(Y), fitted.inverse_transform(Y))
    assert again.get_params() == fitted.get_params()
    assert again.history_ == []


@pytest.mark.parametrize("method", PLAIN)
def test_the_seed_says_which_rows_are_drawn(method: type[ClosedForm]) -> None:
    X, Y = sides()
    moved = [
        method(max_rows=30, random_state=seed).fit(X, Y).transform(X)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(moved[0], moved[1])
    assert np.array_equal(moved[0], moved[2]) == (method is Identity)


@pytest.mark.parametrize("method", PLAIN)
def test_of_streams_as_many_rows_are_drawn_as_told(method: type[ClosedForm]) -> None:
    asked: list[int] = []

    def stream(n: int, generator: torch.Generator) -> torch.Tensor:
        asked.append(n)
        return torch.randn(n, 3, generator=generator)

    fitted = method(max_rows=70, random_state=0).fit(stream, stream)
    assert max(asked) == 70
    told = fitted.diagnostics_
    assert told["source_rows"] == told["target_rows"] == 70
    assert told["seconds"] > 0
    json.dumps(told)


@pytest.mark.parametrize("method", PLAIN)
@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"max_rows": 1}, "max_rows"),
        ({"max_rows": 2.5}, "max_rows"),
        ({"dtype": "int8"}, "dtype"),
        ({"device": "nowhere"}, "device"),
        ({"random_state": "x"}, "random_state"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(
    method: type[ClosedForm], parameters: dict[str, object], name: str
) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        method().set_params(**parameters).fit(*sides())


@pytest.mark.parametrize("method", PLAIN)
def test_samples_that_cannot_be_used_are_named(method: type[ClosedForm]) -> None:
    X, Y = sides()
    with pytest.raises(DataError, match="Y: has 1 features"):
        method().fit(X, Y[:, :1])
    X[3, 1] = np.nan
    with pytest.raises(DataError, match="X"):
        method().fit(X, Y)


@pytest.mark.parametrize("method", PLAIN)
def test_features_that_never_vary_are_moved_to_finite_places(
    method: type[ClosedForm],
) -> None:
    X, Y = sides()
    X[:, 1], Y[:] = 7.0, 3.0
    moved = method().fit(X, Y).transform(X)
    assert np.isfinite(moved).all()
    if method is not Identity:
        np.testing.assert_allclose(moved, 3.0, atol=1e-6)


@pytest.mark.parametrize("method", PLAIN)
def test_gradients_reach_the_rows(method: type[ClosedForm]) -> None:
    X, Y = (torch.from_numpy(side) for side in sides())
    fitted = method().fit(X, Y)
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(fitted.transform(x).sum(), x)
    assert slope.isfinite().all()
    assert bool(slope.any()) == (method not in (Constant, ExactPlanMap))


def test_the_constant_is_the_mean_of_the_target_and_has_no_inverse() -> None:
    X, Y = sides()
    fitted = Constant().fit(X, Y)
    expected = np.broadcast_to(Y.mean(0), X.shape)
    np.testing.assert_allclose(fitted.transform(X), expected, rtol=1e-12)
    with pytest.raises(NoInverseError, match="Constant learns no inverse"):
        fitted.inverse_transform(Y)


def test_the_identity_gives_rows_back_to_the_bit_in_every_precision() -> None:
    X, Y = sides()
    for dtype in ("float32", "float64"):
        fitted = Identity(dtype=dtype).fit(X, Y)
        assert np.array_equal(fitted.transform(X), X)
        assert np.array_equal(fitted.inverse_transform(Y), Y)


def test_rows_by_class_keep_the_shares_of_the_classes() -> None:
    values = torch.arange(100.0).unsqueeze(1)
    labels = ["many"] * 90 + ["few"] * 10
    given = GivenConditions(labels, labels, None, None)
    side = Rows(values, "X")
    rows = rows_by_class(side, side, given, 20, torch.Generator().manual_seed(0))
    assert rows.labels == ("many", "few")
    for found, codes in (
        (rows.source, rows.source_codes),
        (rows.target, rows.target_codes),
    ):
        assert codes is not None
        assert codes.bincount().tolist() == [18, 2]
        assert torch.equal(codes, (found[:, 0] >= 90).long())
        assert len(found.unique()) == 20
