"""Densities of moved rows: against autograd's derivative of T, closed forms, and the integral; and what has none."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from fits import X, Y, quick
from problems import POTENTIALS, gentle, normal, positive_definite
from torch import Tensor

from brenier import (
    ConvergenceWarning,
    DataError,
    MeanPotential,
    Power,
    Quadratic,
    TransportMap,
    UnbalancedMass,
)
from brenier.potentials import EntropicPotential, MaxAffine, Potential
from brenier.transport.coordinates import Coordinates, gaussian_coordinates
from brenier.transport.maps import Ground, density


def by_autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Log |det| of the derivative of a function of rows, row by row."""
    found = [
        torch.autograd.functional.jacobian(lambda row: function(row[None])[0], row)
        for row in x
    ]
    return torch.linalg.slogdet(torch.stack(found)).logabsdet


def standard(x: Tensor) -> Tensor:
    """The log-density of N(0, I)."""
    return -0.5 * (x.square().sum(-1) + x.shape[-1] * math.log(2 * math.pi))


def check_against_autograd(transport: TransportMap, x: Tensor) -> None:
    expected = by_autograd(transport, x)
    found = transport.log_det_jacobian(x), transport.log_density(transport(x))
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], standard(x) - expected, rtol=1e-5, atol=0)


def coordinates_in(dim: int) -> Coordinates:
    """Coordinates that shear and stretch both sides."""
    x, z = normal(200, dim) @ positive_definite(dim, condition=10.0), normal(200, dim)
    return gaussian_coordinates(2 + x, z, torch.ones(dim, dtype=torch.float64))


def map_of(potential: Potential, **settings: object) -> TransportMap:
    dim = potential.dim
    return TransportMap(potential.double(), coordinates_in(dim), **settings)  # type: ignore[arg-type]


def network_map(**settings: object) -> TransportMap:
    """A map of a network in single precision."""
    return TransportMap(
        gentle(POTENTIALS["free celu"]),
        coordinates_in(3),
        **settings,  # type: ignore[arg-type]
    )


def affine_map() -> TransportMap:
    """An affine map in coordinates that are none of the data's."""
    matrix = positive_definite(3, condition=6.0, largest=2.0, seed=7)
    return map_of(Quadratic(3, matrix, normal(3, seed=5)), tol=1e-10)


# ---- against autograd


@pytest.mark.parametrize("dim", [1, 3, 8])
@pytest.mark.parametrize("name", ["free celu", "convex softplus", "residual tanh"])
def test_networks(name: str, dim: int) -> None:
    check_against_autograd(map_of(gentle(POTENTIALS[name], dim)), normal(7, dim))


def test_means_of_networks() -> None:
    members = [gentle(POTENTIALS["free celu"], 3, seed=k) for k in range(2)]
    check_against_autograd(map_of(MeanPotential(members)), normal(5, 3))


def test_maps_of_plans() -> None:
    points, heights = normal(4, 2), normal(4, seed=1)
    smooth = MaxAffine.of_plan(points, heights, temperature=1.0, curvature=0.5)
    check_against_autograd(map_of(smooth), normal(5, 2, seed=2))
    plan = EntropicPotential.of_potentials(
        (normal(5, 2), normal(5, seed=1)), (normal(4, 2, seed=2), heights), 20.0
    )
    check_against_autograd(map_of(plan), normal(5, 2, seed=2))


def test_other_costs() -> None:
    potential = gentle(POTENTIALS["convex celu"], 3).double()
    transport = TransportMap(potential, ground=Ground(Power(1.5)), tol=1e-9)
    check_against_autograd(transport, normal(5, 3, seed=3))


def test_single_precision_is_as_exact() -> None:
    z = normal(20, 3, seed=4) + 2
    exact = network_map()
    exact.network.double()
    torch.testing.assert_close(
        network_map(tol=1e-3).log_density(z), exact.log_density(z), rtol=1e-5, atol=0
    )


# ---- closed forms


def test_affine_maps_of_a_gaussian_give_a_gaussian() -> None:
    transport = affine_map()
    at = transport(torch.cat([torch.zeros(1, 3), torch.eye(3)]).double())
    matrix = at[1:] - at[0]
    law = scipy.stats.multivariate_normal(at[0], matrix.mT @ matrix)
    z = at[0] + 3 * normal(50, 3) @ matrix
    np.testing.assert_allclose(transport.log_density(z), law.logpdf(z), rtol=1e-5)


def test_the_source_may_be_any_law() -> None:
    transport, z = affine_map(), normal(9, 3)

    x = transport.inverse(z)
    least = float(x[:, 0].median())

    def exponential(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > least, -x.sum(-1), -math.inf)

    expected = exponential(x) - transport.log_det_jacobian(x)
    found = transport.log_density(z, exponential)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert not torch.isfinite(found).all()
    as_arrays = transport.log_density(z, lambda x: exponential(x).numpy())
    torch.testing.assert_close(as_arrays, found)


def test_it_integrates_to_one() -> None:
    ot = quick(max_steps=60).fit(X, Y)
    line = np.linspace(-9, 11, 201)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    total = np.exp(ot.log_density(grid)).sum() * (line[1] - line[0]) ** 2
    assert total == pytest.approx(1, abs=1e-3)


# ---- conditions


@pytest.mark.parametrize("kind", ["labels", "covariates"])
def test_conditions_give_what_the_map_of_each_gives(kind: str) -> None:
    def given(n: int) -> np.ndarray:
        return np.arange(n) % 3 if kind == "labels" else np.linspace(0, 1, n)

    ot = quick(max_steps=5).fit(
        *(X, Y),
        **{f"source_{kind}": given(len(X)), f"target_{kind}": given(len(Y))},
    )
    z, some = Y[:60], given(60)
    found = ot.map_.log_density(z, some)
    asked: dict[str, Any] = {kind: some}
    np.testing.assert_array_equal(ot.log_density(z, **asked), found)
    determinants = ot.map_.log_det_jacobian(z, some)
    for k in (0, 1, 59):
        own, row = ot.map_.at(some[k]), z[k : k + 1]
        np.testing.assert_allclose(found[k], own.log_density(row)[0], rtol=1e-5)
        np.testing.assert_allclose(
            determinants[k], own.log_det_jacobian(row)[0], rtol=1e-5, atol=1e-6
        )


def test_the_estimator_gives_that_of_its_map() -> None:
    ot = quick().fit(X, Y)
    found = ot.log_density(Y)
    assert isinstance(found, np.ndarray)
    assert found.shape == (len(Y),)
    np.testing.assert_array_equal(found, ot.map_.log_density(Y))


# ---- blocks, and what has no density


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    transport, z = network_map(), normal(40, 3)
    whole = transport.log_density(z)
    monkeypatch.setattr(
        density, "DENSITY_SETTINGS", density.DensitySettings(numbers_at_once=30)
    )
    torch.testing.assert_close(transport.log_density(z), whole)


class Hill(Quadratic):
    """psi(x) = |x|^2/2 - a cos(x_1), which bends the wrong way at x_1 = pi where a is above one."""

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = x[:, :1]
        slope = torch.cat([3 * first.sin(), 0 * x[:, 1:]], -1)
        return -3 * first.cos().squeeze(-1), slope


def test_rows_where_the_map_folds_are_counted() -> None:
    transport = TransportMap(Hill(2))
    x = torch.tensor([[0.0, 1.0], [math.pi, 0.0]], dtype=torch.float64)
    with pytest.warns(ConvergenceWarning, match="x of 1 of 2 rows, the first row 1"):
        found = transport.log_det_jacobian(x)
    torch.testing.assert_close(
        found, torch.tensor([math.log(4), -math.inf], dtype=torch.float64)
    )


def test_a_map_that_folds_integrates_to_less_than_one() -> None:
    transport = TransportMap(Hill(2), start_rows=normal(50, 2))
    line = torch.linspace(-12, 12, 301, dtype=torch.float64)
    z = torch.stack([line, torch.zeros_like(line)], -1)
    along = transport.log_density(z).exp().sum() * 0.08 * math.sqrt(2 * math.pi)
    assert 0.5 < along <= 1.001


def test_unconverged_rows_are_counted() -> None:
    transport = network_map(max_steps=1)
    with pytest.warns(ConvergenceWarning, match=r"log_density: \d+ of 9 rows"):
        found = transport.log_density(normal(9, 3))
    assert not found.isnan().any()


def test_what_did_not_vary_has_no_density() -> None:
    x, z = normal(300, 3), normal(300, 3, seed=1)
    flat = z.clone()
    flat[:, 1] = 4
    unit = torch.ones(3, dtype=torch.float64)
    transport = TransportMap(Quadratic(3), gaussian_coordinates(x, flat, unit))
    for function in (transport.log_density, transport.log_det_jacobian):
        with pytest.raises(DataError, match="the target did not vary"):
            function(flat)
    transport = TransportMap(Quadratic(3), gaussian_coordinates(flat, z, unit))
    with pytest.raises(DataError, match="the source did not vary"):
        transport.log_density(z)
    assert transport.log_det_jacobian(flat).isfinite().all()


def test_unbalanced_mass_has_no_density() -> None:
    ground = Ground(Power(2), mass=UnbalancedMass(1.0, 1.0))
    transport = TransportMap(Quadratic(3), ground=ground)
    with pytest.raises(DataError, match="mass is unbalanced"):
        transport.log_density(normal(3, 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda x: x, r"must return \(n,\)"),
        (lambda x: x[:, 0] * math.nan, "is nan at 3 of 3 points"),
        (lambda x: x[:, 0] * 0 + math.inf, "is inf at 3 of 3 points"),
    ],
)
def test_a_source_that_is_no_density_is_refused(
    values: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        affine_map().log_density(normal(3, 3), values)


def test_no_rows_are_no_numbers() -> None:
    assert affine_map().log_density(torch.zeros(0, 3)).shape == (0,)
