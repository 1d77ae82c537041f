"""The distance a map measures: closed forms, standard errors, the lower bound, and what may be claimed."""

import math
from dataclasses import replace
from typing import Any

import ot
import pytest
import torch
from problems import (
    CONVEX_POTENTIALS,
    FREE_POTENTIALS,
    gentle,
    normal,
    positive_definite,
    with_moments,
)
from torch import Tensor

from brenier import DataError, Distance, GradientStep, NewtonCG, Quadratic, TransportMap
from brenier.statistics.gaussian import Gaussian, gaussian_map
from brenier.transport.coordinates.span import gaussian_coordinates
from brenier.transport.coordinates.units import feature_units

SOURCE = Gaussian(normal(3), positive_definite(3, condition=5.0, largest=2.0))
TARGET = Gaussian(4 + normal(3, seed=1), positive_definite(3, condition=8.0, seed=2))
BURES = float(
    ot.gaussian.bures_wasserstein_distance(SOURCE[0], TARGET[0], SOURCE[1], TARGET[1])
)
EXACT: dict[str, Any] = {"method": NewtonCG(), "tol": 1e-10}


def exact_samples() -> tuple[Tensor, Tensor]:
    """Samples whose means and covariances are those of SOURCE and TARGET."""
    return with_moments(300, *SOURCE), with_moments(400, *TARGET, seed=1)


def drawn_samples(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Independent samples of SOURCE and TARGET."""
    sides = ((SOURCE, seed), (TARGET, seed + 1000))
    x, z = (
        g.mean + normal(n, 3, seed=s) @ torch.linalg.cholesky(g.covariance).mT
        for g, s in sides
    )
    return x, z


def optimal_map(inside: bool = False, **settings: Any) -> TransportMap:
    """The optimal map between SOURCE and TARGET, in coordinates of the data or Gaussian ones."""
    matrix = gaussian_map(SOURCE, TARGET)
    if not inside:
        return TransportMap(
            Quadratic(3, matrix, TARGET.mean - matrix @ SOURCE.mean),
            **{**EXACT, **settings},
        )
    x, z = exact_samples()
    coordinates = gaussian_coordinates(x, z, feature_units(x, z, "common")[0])
    basis = coordinates.basis  # means are exact, so no shift is left
    return TransportMap(
        Quadratic(3, basis.mT @ matrix @ basis), coordinates, **{**EXACT, **settings}
    )


# ---- closed forms


@pytest.mark.parametrize("inside", [False, True], ids=["data", "gaussian coordinates"])
def test_the_optimal_map_measures_the_distance_of_gaussians(inside: bool) -> None:
    found = optimal_map(inside).distance(*exact_samples())
    assert float(found) == found.w2 == pytest.approx(BURES, rel=1e-9)
    assert found.lower == pytest.approx(BURES, rel=1e-8)
    assert found.primal == pytest.approx(BURES, rel=1e-9)
    assert (found.rows, found.unconverged, found.held_out) == ((300, 400), 0, False)


def test_any_other_map_measures_less_and_costs_what_it_costs() -> None:
    transport, samples = optimal_map(), exact_samples()
    for parameter in transport.network.parameters():
        parameter.data += 0.1 * normal(*parameter.shape, seed=3)
    found = transport.distance(*samples)
    assert found.lower <= found.w2 < BURES - 1e-3
    displacement = (transport(samples[0]) - samples[0]).square().sum(-1).mean().sqrt()
    assert found.primal == pytest.approx(float(displacement), rel=1e-9)


def test_the_distance_of_drawn_samples_is_within_its_standard_error() -> None:
    """Of 100 estimates, standardised, the spread is about one and none is wild."""
    transport, off = optimal_map(tol=1e-6), []
    for seed in range(100):
        found = transport.distance(*drawn_samples(200, seed))
        off.append((found.w2 - BURES) / found.w2_error)
    standardised = torch.tensor(off)
    assert standardised.abs().max() < 4.5
    assert float(standardised.std()) == pytest.approx(1.0, abs=0.25)
    assert abs(float(standardised.mean())) < 0.4


def test_the_primal_error_is_the_spread_of_the_primal_cost() -> None:
    transport = optimal_map(tol=1e-6)
    found = [transport.distance(*drawn_samples(200, seed)) for seed in range(100)]
    spread = float(torch.tensor([each.primal for each in found]).std())
    assert sum(each.primal_error for each in found) / 100 == pytest.approx(
        spread, rel=0.25
    )


def test_units_scale_the_distance() -> None:
    x, z = exact_samples()
    coordinates = gaussian_coordinates(
        10 * x, 10 * z, feature_units(10 * x, 10 * z, "common")[0]
    )
    matrix, basis = gaussian_map(SOURCE, TARGET), coordinates.basis
    transport = TransportMap(
        Quadratic(3, basis.mT @ matrix @ basis), coordinates, **EXACT
    )
    found = transport.distance(10 * x, 10 * z)
    assert found.w2 == pytest.approx(10 * BURES, rel=1e-9)
    assert found.unit == "units of the data"
    assert found.w2_error == pytest.approx(
        10 * optimal_map().distance(x, z).w2_error, rel=1e-9
    )


def test_features_of_different_units_are_measured_in_theirs() -> None:
    """As if every feature had been divided by its scale beforehand, up to one factor common to all figures."""
    x, z = exact_samples()
    scale = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    unit, _ = feature_units(x * scale, z * scale, "feature")
    there = gaussian_coordinates(x * scale, z * scale, unit)
    here = gaussian_coordinates(
        x * scale / unit, z * scale / unit, torch.ones(3, dtype=torch.float64)
    )
    potential = gentle(CONVEX_POTENTIALS["convex celu"])
    found = TransportMap(potential, there, **EXACT).distance(x * scale, z * scale)
    expected = TransportMap(potential, here, **EXACT).distance(
        x * scale / unit, z * scale / unit
    )
    assert found.unit == "units of each feature's scale"
    factor = found.w2 / expected.w2
    for name in ("w2_error", "lower", "primal", "primal_error"):
        assert getattr(found, name) == pytest.approx(
            factor * getattr(expected, name), rel=1e-6
        )


# ---- bounds


@pytest.mark.parametrize("name", CONVEX_POTENTIALS)
def test_convex_potentials_certify_a_lower_bound(name: str) -> None:
    """The distance between the very samples, solved exactly, is no smaller than the bound."""
    x, z = drawn_samples(60, 3)
    exact = math.sqrt(float(ot.emd2([], [], torch.cdist(x, z).square().numpy())))
    for seed in range(3):
        found = TransportMap(
            CONVEX_POTENTIALS[name](size=0.2, seed=seed), tol=1e-2
        ).distance(x, z)
        assert found.certified
        assert found.lower <= exact + 1e-9


@pytest.mark.parametrize("name", FREE_POTENTIALS)
def test_free_potentials_certify_nothing(name: str) -> None:
    found = TransportMap(gentle(FREE_POTENTIALS[name])).distance(*exact_samples())
    assert not found.certified
    assert found.lower == found.w2


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-4])
def test_the_correction_pays_for_inexact_solves(tol: float) -> None:
    """Loose solves put the dual value too high; the bound lies below the exact one all the same."""
    rough = optimal_map(method=GradientStep(), tol=tol).distance(*exact_samples())
    assert rough.lower < BURES < rough.w2
    assert rough.unconverged == 0


def test_the_correction_is_the_mean_square_residual_over_twice_the_convexity() -> None:
    transport, (x, z) = optimal_map(method=GradientStep(), tol=1e-1), exact_samples()
    found, (_, _, solution) = transport.distance(x, z), transport.dual_terms(x, z)
    excess = (
        float(solution.residual.square().mean()) / transport.network.strong_convexity()
    )  # of W2^2, twice that
    assert found.w2**2 - found.lower**2 == pytest.approx(excess, rel=1e-9)


def test_unconverged_rows_are_counted_and_told() -> None:
    found = optimal_map(method=GradientStep(), tol=1e-9, max_steps=2).distance(
        *exact_samples()
    )
    assert found.unconverged == 400
    assert "400 target rows had unconverged inner problems" in found.statement()
    assert found.lower < BURES


# ---- roots


def test_the_identity_measures_no_distance() -> None:
    x, z = (normal(100, 3, seed=seed) for seed in (1, 2))
    found = TransportMap(
        Quadratic(3, torch.eye(3, dtype=torch.float64)), **EXACT
    ).distance(x, z)
    assert max(found.w2, found.lower, found.primal) < 1e-12


# ---- what may be claimed


def statement_of(**changes: Any) -> str:
    whole = Distance(
        w2=2.0,
        w2_error=0.01,
        interval=(1.98, 2.02),
        squared=4.0,
        squared_error=0.04,
        lower=1.9,
        lower_error=0.02,
        primal=2.1,
        primal_error=0.03,
        certified=True,
        unconverged=0,
        rows=(10, 20),
        affine_rows=None,
        gain_counted=True,
        unit="units of the data",
        held_out=True,
    )
    return replace(whole, **changes).statement()


def test_the_statement_has_every_figure_with_its_error() -> None:
    text = statement_of()
    for figure in (
        "2.000 ± 0.010",
        "1.900 ± 0.020",
        "2.100 ± 0.030",
        "10 source and 20 target held-out",
        "units of the data",
    ):
        assert figure in text
    assert "unconverged" not in text


def test_the_statement_claims_no_more_than_holds() -> None:
    assert "convex by construction" in statement_of(certified=True)
    free = statement_of(certified=False)
    assert "convex by construction" not in free
    assert "if every inner minimum found is global" in free
    assert "20 target given" in statement_of(held_out=False)
    assert "3 target rows had unconverged" in statement_of(unconverged=3)


def test_the_verdict_comes_first() -> None:
    assert statement_of().startswith(
        "The two samples differ: W2 is between 1.98 and 2.02 (95 %; units of the data)."
    )
    none = statement_of(interval=(0.0, 0.3), squared=-0.01, squared_error=0.05)
    assert none.startswith("No difference can be seen at this size: W2 is at most 0.3")
    assert "W2^2 = -0.010 ± 0.050, which is zero within its error" in none
    given = statement_of(held_out=False)
    assert given.startswith("If the map was not fitted to these rows: the two samples")


def test_the_statement_says_what_figures_rest_on() -> None:
    rows = {"affine_rows": (100, 200)}
    told = statement_of(**rows)
    assert "rests on 100 source and 200 target rows, cross-fitted" in told
    assert "what the network adds to it, on 10 and 20 held-out rows" in told
    assert "is all that these figures count" in statement_of(**rows, gain_counted=False)
    assert "may have seen" in statement_of(**rows, held_out=False)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, False),
        ({"primal": 4.0}, True),
        ({"primal": 1.0}, True),
        ({"primal": 4.0, "primal_error": 1.0}, False),
        ({"primal": 2.1, "primal_error": 1e-6, "squared_error": 1e-6}, False),
    ],
)
def test_figures_that_contradict_each_other_are_told_of(
    changes: dict[str, float], wrong: bool
) -> None:
    assert ("Do not use this map: the map moves" in statement_of(**changes)) == wrong


# ---- how it is asked for


def test_a_distance_measured_at_fit_time_is_given_back() -> None:
    held_out = optimal_map().measure(*exact_samples(), held_out=True)
    assert held_out.held_out
    carrying = optimal_map(held_out_distance=held_out)
    assert carrying.distance() is held_out
    assert carrying.distance(*drawn_samples(50, 0)) != held_out


@pytest.mark.parametrize("given", [{}, {"x": normal(5, 3)}, {"z": normal(5, 3)}])
def test_half_a_question_is_refused(given: dict[str, Tensor]) -> None:
    with pytest.raises(DataError, match="give both source and target samples"):
        optimal_map().distance(**given)


def test_one_row_has_no_standard_error() -> None:
    found = optimal_map().distance(normal(1, 3), normal(1, 3, seed=1))
    assert found.w2_error == math.inf
