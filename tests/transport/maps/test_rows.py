"""A map of a few rows in memory: forward, backward, between, and terms, in coordinates of all rows and of each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import POTENTIALS, gentle, normal, positive_definite

from brenier import Conditional, DenseICNN, NewtonCG, Quadratic, Status
from brenier.transport.coordinates import (
    ConditionedCoordinates,
    feature_units,
    gaussian_coordinates,
    identity_coordinates,
)
from brenier.transport.maps.rows import InverseSolver, RowMap

SOLVER = InverseSolver(NewtonCG(), tol=1e-10, max_steps=500)
X = 2 + normal(30, 3) @ positive_definite(3, condition=10.0)
Z = normal(30, 3, seed=1) - 1


def plain() -> RowMap:
    unit, _ = feature_units(X, Z, "common")
    coordinates = gaussian_coordinates(X, Z, unit)
    return RowMap(gentle(POTENTIALS["free celu"]), coordinates, SOLVER)


def conditioned() -> RowMap:
    """Every row in coordinates of its own, with an embedding of two numbers."""
    unit, _ = feature_units(X, Z, "common")
    whole = gaussian_coordinates(X, Z, unit).repeated(30)
    moved = whole.tensors() | {"source_mean": whole.source_mean + normal(30, 3, seed=2)}
    coordinates = ConditionedCoordinates(type(whole)(**moved), 0.3 * normal(30, 2))
    network = gentle(lambda dim, **told: made(dim, **told), dim=5)
    return RowMap(Conditional(network, 3), coordinates, SOLVER)


def made(dim: int, **told: Any) -> DenseICNN:
    """A small network with a strongly convex psi."""
    return POTENTIALS["free celu"](dim, **told)  # type: ignore[return-value]


MAPS: dict[str, Callable[[], RowMap]] = {"plain": plain, "conditioned": conditioned}
EVERY = pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)


@EVERY
def test_there_and_back(make: Callable[[], RowMap]) -> None:
    rows = make()
    back, solution = rows.backward(rows.forward(X))
    assert (solution.status == Status.CONVERGED).all()
    torch.testing.assert_close(back, X, rtol=0, atol=1e-8)


@EVERY
def test_between_is_a_straight_line(make: Callable[[], RowMap]) -> None:
    rows = make()
    for t in (-0.5, 0.0, 0.3, 1.0):
        torch.testing.assert_close(
            rows.between(X, t), (1 - t) * X + t * rows.forward(X), rtol=0, atol=1e-12
        )


@EVERY
def test_the_cost_is_that_of_the_image(make: Callable[[], RowMap]) -> None:
    rows = make()
    torch.testing.assert_close(
        rows.cost(X), rows.coordinates.cost(X, rows.forward(X)), rtol=0, atol=0
    )


@EVERY
def test_terms_meet_the_cost_along_the_map(make: Callable[[], RowMap]) -> None:
    rows = make()
    phi_c, _ = rows.phi_c(rows.forward(X))
    torch.testing.assert_close(rows.phi(X) + phi_c, rows.cost(X), rtol=0, atol=1e-9)


def test_in_the_coordinates_of_the_data_it_is_the_gradient_step() -> None:
    network = gentle(POTENTIALS["free celu"])
    rows = RowMap(network, identity_coordinates(3), SOLVER)
    torch.testing.assert_close(rows.forward(X), X + network.gradient(X))
    torch.testing.assert_close(rows.phi(X), -network(X))


def test_rows_are_double_precision_whatever_the_network_is() -> None:
    rows = RowMap(Quadratic(3), identity_coordinates(3), SOLVER)
    found = [rows.forward(X), rows.cost(X), rows.phi(X), rows.phi_c(Z)[0]]
    assert {part.dtype for part in found} == {torch.float64}


# ---- the solver


def test_rows_far_out_are_held_to_a_share_of_their_distance() -> None:
    network, w = gentle(POTENTIALS["free celu"]), normal(20, 3)
    w = w / w.norm(dim=-1, keepdim=True) * 3**0.5  # one standard deviation out
    solver = InverseSolver(NewtonCG(), tol=1e-6, max_steps=500)
    for far in (0.5, 1.0, 1e4):
        found = solver.solve(network, far * w).solution
        assert found.unconverged == 0
        assert float(found.residual.max()) <= 1e-6 * max(1.0, far) * (1 + 1e-9)


def test_steps_are_bounded() -> None:
    network = gentle(POTENTIALS["free celu"])
    found = InverseSolver(NewtonCG(), tol=1e-12, max_steps=1).solve(network, 9 * Z)
    assert int(found.solution.steps.max()) <= 1
    assert found.solution.unconverged == len(Z)
