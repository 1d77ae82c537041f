"""Closed-form affine maps against SciPy's matrix roots, and their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from brenier.baselines import Linear, LinearByClass, load_any
from brenier.errors import DataError, DataWarning


def correlated(n: int, seed: int, d: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10 * rng.normal(size=d)


def formula(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The map of Olkin and Pukelsheim between the plain sample moments, applied to X."""
    first, second = np.cov(X.T, ddof=0), np.cov(Y.T, ddof=0)
    root = np.real(sqrtm(first))
    inverse = np.linalg.inv(root)
    matrix = inverse @ np.real(sqrtm(root @ second @ root)) @ inverse
    return (X - X.mean(0)) @ matrix + Y.mean(0)


def test_many_rows_give_the_map_between_the_sample_moments() -> None:
    X, Y = correlated(40_000, 1), correlated(30_000, 2)
    moved = Linear().fit(X, Y).transform(X)
    error = np.square(moved - formula(X, Y)).mean() / Y.var()
    assert error < 1e-8  # shrinkage alone
    np.testing.assert_allclose(moved.mean(0), Y.mean(0), atol=1e-9)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(Y.T), rtol=3e-3, atol=3e-3)


def test_the_map_of_an_affine_image_is_found_whatever_the_law() -> None:
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(50_000, 3))
    root = rng.normal(size=(3, 3))
    Y = X @ (root @ root.T + np.eye(3)) - 4
    moved = Linear().fit(X, Y).transform(X)
    assert np.square(moved - Y).mean() / Y.var(0).mean() < 1e-4  # shrinkage alone


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e150])
def test_the_inverse_leads_back_in_any_unit(unit: float) -> None:
    X, Y = correlated(300, 1) * unit, correlated(200, 2) * unit
    fitted = Linear().fit(X, Y)
    back = fitted.inverse_transform(fitted.transform(X))
    np.testing.assert_allclose(back / unit, X / unit, atol=1e-6)


def test_fewer_rows_than_features_still_give_a_map_near_the_data() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10, 40)), rng.normal(size=(12, 40)) + 5
    fresh = rng.normal(size=(500, 40))
    moved = Linear().fit(X, Y).transform(fresh)
    assert np.square(moved - fresh - 5).mean() < 1.0


def classes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X = np.concatenate([correlated(4000, 1), correlated(3000, 2)])
    Y = np.concatenate([correlated(2000, 3), correlated(5000, 4)])
    return X, np.repeat([1, 2], [4000, 3000]), Y, np.repeat([1, 2], [2000, 5000])


def test_each_class_moves_by_a_map_of_its_own() -> None:
    X, a, Y, b = classes()
    fitted = LinearByClass().fit(X, Y, source_labels=a, target_labels=b)
    moved = fitted.transform(X, labels=a)
    for label in (1, 2):
        own, other = moved[a == label], Y[b == label]
        expected = formula(X[a == label], other)
        assert np.square(own - expected).mean() / other.var(0).mean() < 1e-5
    back = fitted.inverse_transform(moved, labels=a)
    np.testing.assert_allclose(back, X, atol=1e-7)
    assert fitted.labels_ == [1, 2]


def test_the_order_of_rows_and_one_label_for_all_change_nothing() -> None:
    X, a, Y, b = classes()
    fitted = LinearByClass().fit(X, Y, source_labels=a, target_labels=b)
    order = np.random.default_rng(0).permutation(len(X))
    moved = fitted.transform(X, labels=a)
    np.testing.assert_allclose(
        fitted.transform(X[order], labels=a[order]), moved[order], rtol=1e-12
    )
    np.testing.assert_allclose(
        fitted.transform(X[a == 2], labels=2), moved[a == 2], rtol=1e-12
    )


def test_labels_are_saved(tmp_path: Path) -> None:
    X, a, Y, b = classes()
    names = np.array(["", "one", "two"])
    fitted = LinearByClass().fit(X, Y, source_labels=names[a], target_labels=names[b])
    fitted.save(tmp_path)
    again = load_any(tmp_path)
    assert isinstance(again, LinearByClass)
    moved = again.transform(X, labels=names[a])
    assert np.array_equal(moved, fitted.transform(X, labels=names[a]))
    with pytest.raises(DataError, match="'three' not among the classes"):
        again.transform(X, labels="three")


def test_labels_that_are_missing_or_unknown_are_refused() -> None:
    X, a, Y, b = classes()
    method = LinearByClass()
    with pytest.raises(DataError, match="source_labels, target_labels: are missing"):
        method.fit(X, Y)
    with pytest.raises(DataError, match="target_labels: is missing"):
        method.fit(X, Y, source_labels=a)
    with pytest.raises(DataError, match="source_labels: has 6999 labels"):
        method.fit(X, Y, source_labels=a[1:], target_labels=b)
    with pytest.raises(DataError, match="share no class"):
        method.fit(X, Y, source_labels=a, target_labels=b + 10)
    with pytest.raises(DataError, match="class 2 has one row"):
        method.fit(X[:4001], Y, source_labels=a[:4001], target_labels=b)
    with pytest.warns(DataWarning, match="only one side has 3"):
        method.fit(X, Y, source_labels=np.where(a == 2, 3, a), target_labels=b)
    fitted = method.fit(X, Y, source_labels=a, target_labels=b)
    with pytest.raises(DataError, match="labels: are missing"):
        fitted.transform(X)
    with pytest.raises(DataError, match="labels: are missing"):
        fitted.inverse_transform(Y)
    with pytest.raises(DataError, match="labels: 3 not among the classes"):
        fitted.transform(X, labels=3)
    with pytest.raises(DataError, match="give the int 1"):
        fitted.transform(X, labels="1")
    with pytest.raises(DataError, match="has 2 labels for 7000 rows"):
        fitted.transform(X, labels=[1, 2])
