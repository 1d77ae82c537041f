"""Inner problems and conjugates under any cost, against grids, finite differences and the squared distance."""

import dataclasses

import pytest
import torch
from problems import normal
from torch import Tensor
from torch.autograd.functional import hessian

from brenier import (
    DataError,
    DenseICNN,
    Elastic,
    LogCosh,
    Mahalanobis,
    Potential,
    Power,
    SeparablePower,
    SquaredEuclidean,
)
from brenier.solve import implicit
from brenier.transport.costs import Cost
from brenier.transport.dual import best_initial_points, conjugate
from brenier.transport.dual.inner import InnerProblem

SMOOTH = {
    "mahalanobis": Mahalanobis([[2.0, 0.5], [0.5, 1.0]]),
    "power 1.5": Power(1.5),
    "power 3": Power(3),
    "separable 1.5": SeparablePower(1.5),
    "log-cosh": LogCosh(),
}
EVERY = {**SMOOTH, "elastic": Elastic(0.3)}


@dataclasses.dataclass(frozen=True)
class Plain:
    """The squared distance as a user would write it."""

    def value(self, v: Tensor) -> Tensor:
        return v.square().sum(-1) / 2

    def gradient(self, v: Tensor) -> Tensor:
        return v

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return s


def convex(dim: int = 2, seed: int = 0) -> Potential:
    """A convex g, bounded below."""
    generator = torch.Generator().manual_seed(seed)
    made = DenseICNN(
        dim, (16, 8), convex=True, bounded_below=True, generator=generator
    ).double()
    with torch.no_grad():
        made.readout.fill_(0.5)
    return made.requires_grad_(False)


@pytest.mark.parametrize("cost", EVERY.values(), ids=EVERY)
def test_conjugates_are_least_on_a_grid(cost: Cost) -> None:
    g, z = convex(), normal(6, 2)
    found = conjugate(g, z, cost=cost, tol=1e-8)
    assert not found.solution.unconverged
    side = torch.linspace(-4, 4, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    heights = g(grid) + cost.value((z.unsqueeze(1) - grid).flatten(0, 1)).view(6, -1)
    least = heights.min(-1)
    assert (found.value <= least.values + 1e-9).all()
    assert float((grid[least.indices] - found.point).abs().max()) < 0.2


@pytest.mark.parametrize("cost", EVERY.values(), ids=EVERY)
def test_the_map_leads_from_the_minimiser_to_its_point(cost: Cost) -> None:
    g, z = convex(seed=1), normal(20, 2, seed=2)
    y = conjugate(g, z, cost=cost, tol=1e-9).point
    moved = y + cost.conjugate_gradient(g.gradient(y))
    torch.testing.assert_close(moved, z, rtol=0, atol=1e-8)


@pytest.mark.parametrize("cost", EVERY.values(), ids=EVERY)
def test_weak_duality_holds(cost: Cost) -> None:
    """phi(x) + phi^c(z) <= c(x, z) for every pair, whatever g."""
    g, x, z = convex(seed=3), normal(30, 2), normal(30, 2, seed=1)
    env = conjugate(g, z, cost=cost, tol=1e-8).value
    pairs = cost.value((z.unsqueeze(1) - x).flatten(0, 1)).view(30, 30)
    assert float((pairs + g(x) - env.unsqueeze(1)).min()) >= -1e-9


def test_the_squared_distance_of_a_user_is_ours() -> None:
    g, z = convex(seed=4), normal(20, 2)
    own, ours = (conjugate(g, z, cost=cost, tol=1e-9) for cost in (Plain(), None))
    torch.testing.assert_close(own.value, ours.value)
    torch.testing.assert_close(own.point, ours.point)
    same = conjugate(g, z, cost=SquaredEuclidean(), tol=1e-9)
    assert torch.equal(same.value, ours.value)


@pytest.mark.parametrize("cost", SMOOTH.values(), ids=SMOOTH)
def test_residuals_and_hessian_products_are_derivatives(cost: Cost) -> None:
    g, z, y = convex(seed=5), normal(1, 2), normal(1, 2, seed=1)
    problem = InnerProblem(g, cost, z)

    def value(at: Tensor) -> Tensor:
        return (cost.value(z - at) + g(at)).sum()

    residual = torch.autograd.functional.jacobian(value, y)
    torch.testing.assert_close(problem.evaluate(y)[1], residual)
    v = normal(1, 2, seed=2)
    product = (hessian(value, y).view(2, 2) @ v[0]).unsqueeze(0)
    torch.testing.assert_close(
        problem.hessian_product(y, v), product, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("cost", SMOOTH.values(), ids=SMOOTH)
def test_values_and_points_are_differentiated_in_z(cost: Cost) -> None:
    g, z = convex(seed=6), (normal(4, 2) + 2).requires_grad_()
    found = conjugate(g, z, cost=cost, tol=1e-10, gradients=implicit)
    (slope,) = torch.autograd.grad(found.value.sum(), z, retain_graph=True)
    (turn,) = torch.autograd.grad(found.point[:, 0].sum(), z)
    step = 1e-5
    for i in range(2):
        ends = [
            conjugate(
                g, z.detach() + side * step * torch.eye(2)[i], cost=cost, tol=1e-10
            )
            for side in (1, -1)
        ]
        rise = (ends[0].value - ends[1].value) / (2 * step)
        torch.testing.assert_close(slope[:, i], rise, rtol=1e-4, atol=1e-6)
        move = (ends[0].point - ends[1].point)[:, 0] / (2 * step)
        torch.testing.assert_close(turn[:, i], move, rtol=1e-3, atol=1e-5)


def test_inverses_under_a_kink_have_no_derivative() -> None:
    z = normal(2, 2).requires_grad_()
    with pytest.raises(DataError, match="cannot be differentiated"):
        conjugate(convex(), z, cost=Elastic(0.3), gradients=implicit)


@pytest.mark.parametrize("cost", EVERY.values(), ids=EVERY)
def test_starts_are_the_best_of_the_candidates(cost: Cost) -> None:
    g, z, x = convex(seed=7), normal(8, 2), normal(5, 2, seed=1)
    found = best_initial_points(g, z, x, g(x), cost=cost).rows()
    for row, start in zip(z, found, strict=True):
        points = torch.cat([x, row.unsqueeze(0)])
        heights = g(points) + cost.value(row - points)
        assert torch.equal(points[heights.argmin()], start)


def test_costs_of_all_candidates_are_found_where_they_are_few() -> None:
    """A shortlist by the squared distance holds the best of many for most rows, and for others one nearly as low."""
    g, z, x = convex(seed=8), 1.5 * normal(200, 2), normal(300, 2, seed=1)
    cost = SeparablePower(1.5)
    found = best_initial_points(g, z, x, g(x), cost=cost).rows()
    heights = g(x) + cost.value((z.unsqueeze(1) - x).flatten(0, 1)).view(200, 300)
    best = torch.minimum(heights.min(-1).values, g(z))
    excess = g(found) + cost.value(z - found) - best
    assert float((excess <= 1e-12).double().mean()) > 0.9
    assert float(excess.max()) < 0.1
