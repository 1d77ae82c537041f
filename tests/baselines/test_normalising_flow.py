"""Fits of normalising flows: densities in the units of the data, warnings about the source, what is learnt."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brenier.baselines import FFJORD, RNODE, ContinuousFlowSettings, OTFlow, load_any
from brenier.baselines.density_model import DENSITY, DensityModel
from brenier.baselines.likelihood_task import differentiated, warmed_rate
from brenier.baselines.normalising_flow import (
    NORMALITY,
    NormalisingFlow,
    score_against_normal,
)
from brenier.errors import DataError, DataWarning
from brenier.metrics import energy_distance

FLOWS: list[type[NormalisingFlow[Any]]] = [FFJORD, RNODE, OTFlow]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 2)) * [1.0, 3.0] + [0.0, 5.0]
Y = RNG.normal(size=(2000, 2)) @ np.array([[20.0, 3.0], [0.0, 0.5]]) + [7.0, -1.0]


@pytest.fixture(scope="module", params=FLOWS, ids=lambda flow: flow.__name__)
def fitted(request: pytest.FixtureRequest) -> NormalisingFlow[Any]:
    return quick(request.param).fit(X, Y)


def quick(kind: type[NormalisingFlow[Any]], **changed: Any) -> NormalisingFlow[Any]:
    settings = dataclasses.replace(
        kind.presets["fair"], batch_size=64, map_steps=16, **changed
    )
    return kind(settings, max_steps=20, random_state=0, dtype="float64")


def test_densities_integrate_to_one_in_the_units_of_the_data(
    fitted: NormalisingFlow[Any],
) -> None:
    # A grid in standardised axes, as far out as half-trained flows put mass; its cells are in the units of Y.
    centre, scale = Y.mean(0), Y.std(0)
    side = np.linspace(-24, 24, 81)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    cell = (side[1] - side[0]) ** 2 * scale.prod()
    density = np.exp(fitted.log_density(centre + scale * grid))
    assert density.shape == (len(grid),)
    assert density.sum() * cell == pytest.approx(1, abs=5e-3)


def test_densities_are_those_of_moved_normal_rows(fitted: NormalisingFlow[Any]) -> None:
    # Of the map itself, differentiated, and of the normal law it starts from.
    u = torch.as_tensor(X[:4]).requires_grad_()
    moved = fitted.transform(u)
    slopes = [
        torch.autograd.grad(moved[:, j].sum(), u, retain_graph=True)[0] for j in (0, 1)
    ]
    logs = torch.linalg.slogdet(torch.stack(slopes, 1)).logabsdet
    frame = fitted.map_.frame
    normal = torch.distributions.Normal(frame.source_centre, frame.source_scale)
    expected = normal.log_prob(u).sum(1) - logs
    found = fitted.log_density(moved.detach())
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-3)


def test_units_shift_the_log_density() -> None:
    fits = [
        quick(FFJORD).set_params(max_steps=3).fit(X, unit * Y) for unit in (1.0, 8.0)
    ]
    one, other = (
        fit.log_density(unit * Y[:9]) for fit, unit in zip(fits, (1, 8), strict=True)
    )
    np.testing.assert_allclose(other, one - 2 * np.log(8), atol=1e-6)


def test_diagnostics_tell_likelihood_round_trip_and_evaluations(
    fitted: NormalisingFlow[Any],
) -> None:
    found = fitted.diagnostics_
    # Rows held out are like all the others.
    average = fitted.maps_["average"]
    rows = average.frame.from_target(torch.as_tensor(Y))
    unit = average.frame.target_scale.log().sum()
    assert isinstance(average.model, DensityModel)
    mean = float(unit - average.model.log_density(rows).mean())
    assert found["nll"] == pytest.approx(mean, abs=0.2)
    assert 0 <= found["round_trip"] < 1e-3
    assert found["evaluations"] == 4 * 16
    history = fitted.history_
    steps = fitted.chosen_settings().steps
    assert history[-1]["evaluations"] == 4 * steps
    assert history[-1]["value"] == history[-1]["nll"] < history[0]["nll"]


def test_a_saved_flow_has_the_same_density(
    fitted: NormalisingFlow[Any], tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    again = load_any(tmp_path)
    assert isinstance(again, NormalisingFlow)
    np.testing.assert_array_equal(again.log_density(Y[:50]), fitted.log_density(Y[:50]))


def test_densities_of_few_rows_at_once_are_the_same(
    fitted: NormalisingFlow[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted.log_density(Y[:20])
    few = dataclasses.replace(DENSITY, entries_at_once=400)
    monkeypatch.setattr("brenier.baselines.density_model.DENSITY", few)
    np.testing.assert_allclose(fitted.log_density(Y[:20]), expected, rtol=1e-12)


def test_rows_unlike_those_of_the_fit_are_refused(fitted: NormalisingFlow[Any]) -> None:
    with pytest.raises(DataError, match="Z"):
        fitted.log_density(np.zeros((3, 5)))
    with pytest.raises(DataError, match="Z"):
        fitted.log_density([[np.nan, 0.0]])


def test_numbers_that_overflow_are_refused() -> None:
    far = Y.copy()
    far[3, 1] = 1e300
    with pytest.raises(DataError, match="overflow"):
        FFJORD(max_steps=1).fit(X, far)
    with pytest.raises(DataError, match="X"):
        FFJORD(max_steps=1).fit(np.full((300, 2), 1e300), Y)


def test_columns_that_do_not_vary_are_told() -> None:
    flat = Y * [1, 0] + [0, 3]
    with pytest.warns(DataWarning, match="column 1 does not vary"):
        RNODE(max_steps=1, random_state=0).fit(X, flat)


# ---- the source


@pytest.mark.parametrize("dim", [1, 2, 8, 30])
@pytest.mark.parametrize("rows", [40, 400])
def test_normal_sources_do_not_stand_out(
    dim: int, rows: int, generator: torch.Generator
) -> None:
    for _ in range(4):
        x = 3 + 7 * torch.randn(rows, dim, generator=generator)
        assert score_against_normal(x, generator) < NORMALITY.evident


@pytest.mark.parametrize("kind", ["correlated", "uniform", "clusters"])
def test_other_sources_are_named(kind: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 2))
    if kind == "correlated":
        x[:, 1] += 2 * x[:, 0]
    elif kind == "uniform":
        x = rng.uniform(size=(3000, 2))
    else:
        x[:1500] += 6
    with pytest.warns(DataWarning, match=r"X: is no normal law.*not the law of X"):
        OTFlow(max_steps=1, random_state=0).fit(x, Y)


# ---- settings


@pytest.mark.parametrize("coordinates", ["common", "data"])
def test_other_coordinates_are_refused(coordinates: str) -> None:
    with pytest.raises(DataError, match="coordinates must be 'standard'"):
        FFJORD(ContinuousFlowSettings(coordinates=coordinates)).fit(X, Y)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"map_rtol": -1.0},
        {"activation": "relu"},
        {"blocks": 0},
        {"warm_up": 1.0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(DataError, match=f"settings: {name}"):
        FFJORD(ContinuousFlowSettings(**wrong)).fit(X, Y)


def test_unknown_sets_are_refused() -> None:
    with pytest.raises(DataError, match="miniboone"):
        OTFlow.published_for("mnist")


def test_the_rate_warms_up() -> None:
    rates = [warmed_rate(0.01, 0.1, progress) for progress in (0.0, 0.05, 0.1, 1.0)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[1] == pytest.approx(0.5, abs=0.01)
    assert rates[2] > 0.97
    assert rates[3] == pytest.approx(0.01)
    assert warmed_rate(1.0, 0.0, 0.0) == 1


def test_a_loss_differentiated_early_is_the_same() -> None:
    part = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
    value, fault = differentiated(part.prod() ** 2, [part])
    value.backward()
    assert (float(value.detach()), fault) == (36, "")
    assert part.grad is not None
    torch.testing.assert_close(part.grad, torch.tensor([36.0, 24.0]))


# ---- what is learnt


def eight_gaussians(n: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    angles = rng.integers(8, size=n) * np.pi / 4
    centres = np.stack([np.cos(angles), np.sin(angles)], 1)
    return torch.as_tensor(2 * centres + 0.2 * rng.normal(size=(n, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "steps", "changed", "times"),
    [
        (FFJORD, 700, {}, 3),
        (RNODE, 700, {}, 3),
        # It needs more steps than a test takes to come as near to the data.
        (OTFlow, 500, {"learning_rate": 0.1, "batch_size": 256}, 12),
    ],
)
def test_eight_gaussians_are_learnt(
    kind: type[NormalisingFlow[Any]],
    steps: int,
    changed: dict[str, float],
    times: float,
) -> None:
    source = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    data = eight_gaussians(20_000, 1)
    settings = dataclasses.replace(kind.presets["fair"], **changed)
    flow = kind(settings, max_steps=steps, random_state=0).fit(source, data)
    rows = eight_gaussians(4000, 2)
    normal = torch.randn(rows.shape, generator=torch.Generator().manual_seed(3))
    # Where pairs of a row with itself count, real against real is this much on average, and else it is zero.
    chance = 2 * float(torch.pdist(rows[:2000]).mean()) / len(rows)
    made = energy_distance(flow.transform(normal).double(), rows)
    assert made + chance < times * chance
    latent = flow.inverse_transform(rows)
    assert float(latent.mean(0).abs().max()) < 0.1
    assert float((latent.var(0) - 1).abs().max()) < 0.1
    assert flow.diagnostics_["round_trip"] < 1e-3
