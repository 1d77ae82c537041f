"""The affine part of the dual value: closed forms, no bias where the truth is known, and the null case."""

import math

import pytest
import torch
from problems import normal, with_moments
from torch import Tensor

from brenier import OptimalTransport, Quadratic, TransportMap
from brenier.statistics import root_of
from brenier.transport.coordinates import gaussian_coordinates, gaussian_fits
from brenier.transport.maps import (
    AffinePart,
    CrossFitSettings,
    combined,
    cross_fitted,
)

SETTINGS = CrossFitSettings()


def estimated(x: Tensor, z: Tensor, seed: int = 0) -> tuple[float, float, float]:
    """W2^2, what is below it, and the error."""
    generator = torch.Generator().manual_seed(seed)
    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, SETTINGS)
    found = combined(terms, None)
    return 2 * found.value, 2 * found.below, 2 * found.error


def test_terms_are_those_of_gaussian_coordinates() -> None:
    """Of the fit to all rows, under a map that is the identity in its coordinates."""
    x, z = normal(50, 3), 2 * normal(60, 3, seed=1) + 1
    unit = torch.ones(3, dtype=torch.float64)
    coordinates = gaussian_coordinates(x, z, unit)
    transport = TransportMap(Quadratic(3).double(), coordinates, tol=1e-12)
    generator = torch.Generator().manual_seed(0)
    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, SETTINGS)
    scale = coordinates.squared_unit()
    for found, expected in zip(
        terms.fitted, (transport.phi(x), transport.phi_c(z)[0]), strict=True
    ):
        torch.testing.assert_close(found, scale * expected, rtol=1e-5, atol=1e-5)


def test_a_row_has_the_terms_of_a_fit_without_it() -> None:
    x, z = normal(40, 2), normal(45, 2, seed=1)
    generator = torch.Generator().manual_seed(0)
    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, SETTINGS)
    again, folds = torch.Generator().manual_seed(0), []
    for n in (40, 45):
        fold = torch.empty(n, dtype=torch.int64)
        fold[torch.randperm(n, generator=again)] = torch.arange(n) % SETTINGS.folds
        folds.append(fold)
    of_x, of_z = folds
    unit = torch.ones(2, dtype=torch.float64)
    for row in (0, 17):
        kept_x, kept_z = x[of_x != of_x[row]], z[of_z != of_x[row]]
        coordinates = gaussian_coordinates(kept_x, kept_z, unit)
        alone = TransportMap(Quadratic(2).double(), coordinates, tol=1e-12)
        expected = coordinates.squared_unit() * alone.phi(x[row : row + 1])
        torch.testing.assert_close(
            terms.crossed[0][row : row + 1], expected, rtol=1e-5, atol=1e-5
        )


def test_on_exact_moments_the_fitted_value_is_the_distance_of_gaussians() -> None:
    mean, covariance = torch.zeros(3).double(), torch.eye(3).double()
    x = with_moments(500, mean, covariance, seed=1)
    z = with_moments(500, mean + 1, 4 * covariance, seed=2)
    generator = torch.Generator().manual_seed(0)
    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, SETTINGS)
    value = 2 * float(terms.fitted[0].mean() + terms.fitted[1].mean())
    assert value == pytest.approx(3 + 3, rel=1e-2)


@pytest.mark.parametrize(("n", "d"), [(500, 10), (2000, 5), (60, 3)])
def test_two_samples_of_one_law_do_not_differ(n: int, d: int) -> None:
    """Of the square the mean is zero to within its error, and hardly an interval leaves out zero."""
    found = [
        estimated(normal(n, d, seed=2 * k), normal(n, d, seed=2 * k + 1), k)
        for k in range(60)
    ]
    squares = torch.tensor([one[0] for one in found])
    error = sum(one[2] for one in found) / len(found)
    assert abs(float(squares.mean())) < 3 * float(squares.std()) / 60**0.5 + 0.1 * error
    assert sum(root_of(one[0], one[2]).low > 0 for one in found) <= 4
    assert sum(one[1] for one in found) < 0


@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (1.0, 1.3)])
def test_intervals_hold_the_distance_of_gaussians(shift: float, scale: float) -> None:
    d, n, held = 4, 500, 0
    true = math.sqrt(d * (shift**2 + (scale - 1) ** 2))
    for k in range(60):
        x, z = normal(n, d, seed=2 * k), normal(n, d, seed=2 * k + 1)
        square, below, error = estimated(x, scale * z + shift, k)
        root = root_of(square, error)
        held += root.low <= true <= root.high
        assert below < square
    assert held >= 52


@pytest.mark.parametrize(
    ("n", "m", "d"), [(2, 2, 1), (2, 5, 3), (5, 2, 40), (20, 30, 200), (100, 100, 300)]
)
def test_few_rows_and_many_features_are_within_their_errors(
    n: int, m: int, d: int
) -> None:
    true, within = d**0.5, 0
    for k in range(20):
        x, z = normal(n, d, seed=2 * k), normal(m, d, seed=2 * k + 1) + 1
        square, _, error = estimated(x, z, k)
        root = root_of(square, error)
        assert math.isfinite(root.error)
        within += abs(root.value - true) <= 3 * root.error
    assert within >= 18


def test_rare_and_constant_features_are_no_matter() -> None:
    x, z = normal(100, 4), normal(100, 4, seed=1)
    x[:, 2:], z[:, 2:] = 0.0, 0.0
    x[3, 2] = 1.0
    square, _, error = estimated(x, z)
    assert error < 1.0
    assert abs(square) < 4 * error


def test_the_gain_counts_what_a_map_adds() -> None:
    """Of a known map that is not affine, over the affine map of other rows."""
    x, z = normal(4000, 1), normal(4000, 1, seed=1) ** 3
    generator = torch.Generator().manual_seed(0)
    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, SETTINGS)
    (baseline,) = gaussian_fits([(x[400:], z[400:])])
    part = AffinePart(terms, baseline, torch.ones(1, dtype=torch.float64))
    assert part.rows == (4000, 4000)
    # The potentials of T(x) = x^3: phi(x) = x^2/2 - x^4/4, phi^c(z) = z^2/2 - 3 |z|^(4/3) / 4.
    few_x, few_z = x[:400], z[:400]
    phi = (few_x**2 / 2 - few_x**4 / 4).squeeze(1)
    phi_c = (few_z**2 / 2 - 0.75 * few_z.abs() ** (4 / 3)).squeeze(1)
    gains = part.gains((few_x, few_z), (phi, phi_c))
    assert gains is not None
    with_gain, without = combined(terms, gains), combined(terms, None)
    true = 0.5 * (1 - 2 * 3 + 15)  # E (x - x^3)^2 / 2
    assert abs(with_gain.value - true) < 3 * with_gain.error
    assert with_gain.value > without.value
    assert with_gain.error > 0.9 * without.error


def test_a_fit_reports_it() -> None:
    x, z = normal(300, 2), normal(300, 2, seed=1)
    ot = OptimalTransport(max_steps=1, n_networks=1, random_state=0).fit(x, z)
    found = ot.distance()
    assert found.affine_rows == (300, 300)
    assert not found.differs
    assert found.interval[0] == 0.0
    assert found.statement().startswith("No difference can be seen at this size: W2 is")
    moved = OptimalTransport(max_steps=1, n_networks=1, random_state=0).fit(x, z + 1)
    assert moved.distance().differs
    assert moved.distance().statement().startswith("The two samples differ: W2 is")
