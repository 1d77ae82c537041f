"""Maps of plans against POT and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from brenier.baselines import EntropicMap, ExactPlanMap, plan_maps
from brenier.baselines.plan_maps import (
    EntropicMapSettings,
    EntropicModel,
    marginal_error,
)
from brenier.errors import ConvergenceWarning, DataError
from brenier.statistics import SinkhornSettings


def sides(n: int, m: int, d: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) ** 3 + 1


def test_fitted_rows_go_where_pots_plan_sends_them() -> None:
    ot = pytest.importorskip("ot")
    X, Y = sides(60, 60)
    plan = ot.emd(np.full(60, 1 / 60), np.full(60, 1 / 60), cdist(X, Y) ** 2)
    fitted = ExactPlanMap().fit(X, Y)
    np.testing.assert_allclose(fitted.transform(X), Y[plan.argmax(1)], atol=1e-12)
    np.testing.assert_allclose(
        fitted.inverse_transform(Y), X[plan.argmax(0)], atol=1e-12
    )


def test_new_rows_go_like_their_nearest_fitted_row() -> None:
    X, Y = sides(60, 60)
    fresh = np.random.default_rng(1).normal(size=(200, 2))
    nearest = cdist(fresh, X).argmin(1)
    image = ExactPlanMap().fit(X, Y)
    of_fitted = image.transform(X)
    np.testing.assert_allclose(image.transform(fresh), of_fitted[nearest], atol=1e-12)
    displaced = ExactPlanMap(new_rows="displaced").fit(X, Y)
    expected = fresh + (of_fitted - X)[nearest]
    np.testing.assert_allclose(displaced.transform(fresh), expected, atol=1e-12)


def test_of_either_side_as_many_rows_are_taken() -> None:
    X, Y = sides(90, 40)
    fitted = ExactPlanMap(random_state=0).fit(X, Y)
    assert fitted.diagnostics_["source_rows"] == 40
    assert cdist(fitted.inverse_transform(Y), X).min(1).max() < 1e-12
    assert len(np.unique(fitted.inverse_transform(Y), axis=0)) == 40


def test_an_unknown_rule_for_new_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"^new_rows: must be one of"):
        ExactPlanMap(new_rows="nearest").fit(*sides(10, 10))


def test_entropic_images_of_fitted_rows_are_the_means_under_pots_plan() -> None:
    ot = pytest.importorskip("ot")
    X, Y = sides(70, 90)
    costs = cdist(X - X.mean(0), Y - Y.mean(0)) ** 2 / 2
    fitted = EntropicMap(epsilon=0.1).fit(X, Y)
    plan = ot.sinkhorn(
        np.full(70, 1 / 70),
        np.full(90, 1 / 90),
        costs,
        0.1 * costs.mean(),
        numItermax=20_000,
        stopThr=1e-12,
    )
    ahead = plan @ Y / plan.sum(1, keepdims=True)
    back = plan.T @ X / plan.sum(0)[:, None]
    np.testing.assert_allclose(fitted.transform(X), ahead, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(fitted.inverse_transform(Y), back, rtol=0.05, atol=0.05)


def test_entropic_images_of_new_rows_are_those_of_a_conditional_plan() -> None:
    """Where a new row is one more of weight zero, its image is the softmax of the other side's potential."""
    X, Y = sides(30, 40)
    fitted = EntropicMap(epsilon=0.2).fit(X, Y)
    model, frame = fitted.map_.model, fitted.map_.frame
    assert isinstance(model, EntropicModel)
    fresh = torch.tensor([[0.3, -2.0]], dtype=torch.float64)
    x, z = frame.from_source(fresh), frame.from_target(torch.from_numpy(Y))
    logits = (model.of_target - (x - z).square().sum(1) / 2) / model.epsilon
    weights = (logits - logits.max()).exp()
    expected = (weights / weights.sum()) @ torch.from_numpy(Y)
    np.testing.assert_allclose(
        fitted.transform(fresh.numpy())[0], expected.numpy(), rtol=1e-9
    )


def test_entropic_maps_come_close_to_a_known_one_both_ways() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(1500, 2)), 3 * rng.normal(size=(1500, 2)) + 5
    fitted = EntropicMap().fit(X, Y)
    fresh = rng.normal(size=(400, 2))
    ahead, back = fitted.transform(fresh), fitted.inverse_transform(3 * fresh + 5)
    assert np.square(ahead - 3 * fresh - 5).mean() / 9 < 0.03
    assert np.square(back - fresh).mean() < 0.03


def test_a_plan_that_is_not_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    few = EntropicMapSettings(SinkhornSettings(2), first=1e-3)
    monkeypatch.setattr(plan_maps, "ENTROPIC", few)
    with pytest.warns(ConvergenceWarning, match=r"epsilon: the plan's marginal"):
        EntropicMap(epsilon=1e-4).fit(*sides(80, 100))
    with pytest.raises(DataError, match=r"^epsilon: must be a positive"):
        EntropicMap(epsilon=0.0).fit(*sides(80, 100))


def test_the_error_of_the_marginals_is_that_of_the_plan() -> None:
    costs = torch.zeros(2, 2, dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    assert marginal_error(costs, zero, zero, 1.0) == 0.0
    doubled = torch.tensor([2.0, 2.0], dtype=torch.float64).log()
    assert marginal_error(costs, doubled, zero, 1.0) == pytest.approx(1.0)
