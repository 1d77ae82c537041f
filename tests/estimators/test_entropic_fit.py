"""Entropic plans of few rows: which temperature is taken, and when none is tried any more."""

from typing import Any

import pytest
import torch
from fits import X, Y
from problems import normal
from torch import Tensor

from brenier import MemberSamples, OptimalTransport
from brenier.datasets import Rows
from brenier.estimators.entropic_fit import (
    AnnealedPlan,
    annealed_potential,
    cross_fitted_plan,
)
from brenier.estimators.options import Options
from brenier.estimators.parameters import Parameters
from brenier.estimators.settings import EntropicSettings
from brenier.statistics import SinkhornSettings

Side = tuple[Tensor, Tensor]


def options(**settings: Any) -> Options:
    """What a fit is told."""
    ot = OptimalTransport(settings=settings)
    told = Parameters(**ot.get_params(deep=False))
    source, target = (Rows(torch.from_numpy(side), "X") for side in (X, Y))
    return told.options(source, target, None)


def curved(x: Tensor) -> Tensor:
    return x + 2 * torch.tanh(3 * x)


def fold(seed: int, n: int = 60, fit: Any = curved) -> tuple[Side, MemberSamples]:
    """Rows that a fold is fitted to, and what it is judged by."""
    x, z = normal(2 * n, 2, seed=seed), fit(normal(2 * n + 5, 2, seed=seed + 50))
    held_out = x[n:], z[n:]

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        raise AssertionError("nothing is drawn")

    return (x[:n], z[:n]), MemberSamples(draw, draw, held_out, starts=x[:n])


def crossed(fit: Any = curved, n: int = 60, **settings: Any) -> Any:
    """The plans of three folds."""
    folds, samples = zip(*(fold(k, n, fit) for k in range(3)), strict=True)
    return cross_fitted_plan(folds, samples, 1e-4, options(**settings))


def test_there_is_a_plan_for_every_fold_at_one_temperature() -> None:
    found = crossed()
    assert len(found.rivals) == len(found.temperatures)
    for rival, temperature in zip(found.rivals, found.temperatures, strict=True):
        assert rival.name == "plan"
        assert {each.temperature for each in rival.potentials} == {temperature}
        assert len(rival.potentials) == 3
        assert len(rival.value.source) == 3 * 60
        assert len(rival.value.target) == 3 * 65


def test_the_best_has_the_least_loss_and_the_sharpest_the_lowest_temperature() -> None:
    found = crossed()
    losses = [rival.loss for rival in found.rivals]
    assert found.best().loss == min(losses)
    assert found.up_to(found.rivals[1]) == found.temperatures[:2]
    assert found.sharpest(max(losses)) is found.rivals[-1]
    assert found.sharpest(min(losses)) is found.best()
    assert found.sharpest(min(losses) - 1) is None


def test_sharpness_is_worth_something_in_few_dimensions_alone() -> None:
    settings = EntropicSettings(sharp_dim=2, sharpness_share=0.1)
    assert settings.worth(-2.0, 2) == pytest.approx(-1.8)
    assert settings.worth(2.0, 2) == pytest.approx(2.2)
    assert settings.worth(-2.0, 3) == -2.0


def test_temperatures_are_halved_from_the_largest() -> None:
    found = crossed()
    unit = AnnealedPlan(*fold(0)[0], SinkhornSettings()).mean_cost()
    expected = [2 * unit * 0.5**k for k in range(len(found.temperatures))]
    assert found.temperatures == pytest.approx(expected)
    assert 1 < len(found.temperatures) < 12
    assert crossed(largest_entropic_temperature=0.5).temperatures[0] == pytest.approx(
        unit / 2
    )


def test_those_behind_for_long_are_tried_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, original = list[float](), AnnealedPlan.potential

    def potential(plan: AnnealedPlan, temperature: float) -> Any:
        tried.append(temperature)
        return original(plan, temperature)

    monkeypatch.setattr(AnnealedPlan, "potential", potential)

    def shifted(x: Tensor) -> Tensor:
        return x + 1  # what a hot plan does best

    best = len(crossed(shifted).temperatures)
    assert best <= len(tried) // 3 < 12
    for most in (1, 4):
        tried.clear()
        assert len(crossed(entropic_temperatures=most).temperatures) <= most
        assert len(tried) == 3 * most
    tried.clear()
    crossed(shifted, worse_temperatures=12)
    assert len(tried) == 3 * 12


def test_noise_asks_for_a_larger_temperature_than_a_curved_map() -> None:
    def noise(x: Tensor) -> Tensor:
        return x

    assert crossed(noise).temperatures[-1] > 2 * crossed(curved).temperatures[-1]


def test_one_point_on_both_sides_has_no_plan() -> None:
    def nothing(x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    folds, samples = zip(*(fold(k, 60, nothing) for k in range(3)), strict=True)
    points = [(torch.zeros_like(u), w) for u, w in folds]
    assert cross_fitted_plan(points, samples, 1e-4, options()) is None
    assert crossed(nothing) is not None  # one of a side that varies


def test_no_more_rows_are_planned_between_than_there_may_be() -> None:
    found = crossed(entropic_rows=20)
    for each in found.best().potentials:
        assert len(each.source_points) == len(each.target_points) == 20
    rows = fold(0)[0]
    settings = options(entropic_rows=20).settings
    of_all = annealed_potential(rows, found.temperatures, settings)
    assert torch.equal(of_all.source_points, rows[0][:20])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plan_of_all_rows_is_annealed_in_double_precision(
    dtype: torch.dtype,
) -> None:
    u, w = (side.to(dtype) for side in fold(0)[0])
    settings = options().settings
    found = annealed_potential((u, w), [4.0, 2.0, 1.0], settings)
    plan = AnnealedPlan(u, w, settings.sinkhorn)
    assert {side.dtype for side in plan.rows} == {torch.float64}
    expected = [plan.potential(each) for each in (4.0, 2.0, 1.0)][-1]
    assert found.temperature == 1.0
    assert not any(part.requires_grad for part in found.parameters())
    assert torch.equal(found.target_heights, expected.target_heights.to(dtype))
    cold = AnnealedPlan(u, w, SinkhornSettings(5000, 25, 1e-10)).potential(1.0)
    x = normal(9, 2, seed=4).to(dtype)
    torch.testing.assert_close(
        found.value_and_gradient(x)[1].double(),
        cold.value_and_gradient(x.double())[1].detach(),
        rtol=0,
        atol=0.05,
    )
