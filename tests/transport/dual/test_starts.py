"""Where inner problems start: points that rows share, and the best of some candidates."""

from functools import partial

import pytest
import torch
from problems import METHODS, POTENTIALS, gentle, normal
from torch import Tensor

from brenier import Potential, conjugate
from brenier.solve import Method
from brenier.transport.dual import InitialPoints, best_initial_points


def inner(potential: Potential, y: Tensor, z: Tensor) -> Tensor:
    """F(y) = |y - z|^2/2 + g(y): (n,)."""
    return (y - z).square().sum(-1) / 2 + potential(y)


def test_points_of_some_rows_and_of_others_after_them() -> None:
    own, shared = normal(2, 3), normal(2, 3, seed=1)
    index = torch.tensor([1, 0, 1])
    both = InitialPoints.per_row(own).concatenate(InitialPoints(shared, index))
    torch.testing.assert_close(both.rows(), torch.cat([own, shared[index]]))
    assert len(both.points) == 4


def test_without_candidates_every_row_starts_at_itself() -> None:
    potential, z = POTENTIALS["free celu"](size=0.5), normal(5, 3)
    found = best_initial_points(potential, z, z[:0], z[:0, 0])
    assert torch.equal(found.rows(), z)


def test_the_best_start_is_the_least_of_the_point_itself_and_the_candidates() -> None:
    potential, z, x = (
        POTENTIALS["free celu"](size=0.5),
        normal(30, 3),
        normal(40, 3, seed=2),
    )
    found = best_initial_points(potential, z, x, potential(x).detach())
    every = torch.cat(
        [x.expand(30, 40, 3), z.unsqueeze(1)], 1
    )  # candidates of each row
    heights = inner(potential, every.flatten(0, 1), z.repeat_interleave(41, 0)).view(
        30, 41
    )
    best = heights.argmin(1)
    assert (best == 40).any()
    assert (best < 40).any()
    torch.testing.assert_close(found.rows(), every[torch.arange(30), best])
    assert (
        len(found.points)
        == len(best[best < 40].unique()) + int((best == 40).sum())
        < 30
    )


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_rows_that_start_at_one_point_share_its_evaluation(method: Method) -> None:
    potential, z, index = (
        gentle(POTENTIALS["free celu"]),
        normal(12, 3),
        torch.arange(12) % 5,
    )
    few, solve = (
        normal(5, 3, seed=1),
        partial(conjugate, method=method, tol=1e-8, max_steps=500),
    )
    shared, alone = (
        solve(potential, z, start=InitialPoints(few, index)),
        solve(potential, z, start=few[index]),
    )
    torch.testing.assert_close(shared.point, alone.point)
    assert alone.solution.evaluations - shared.solution.evaluations == 12 - 5


def test_candidates_find_the_basin_that_a_descent_from_the_point_misses() -> None:
    """There is a well at 0 and a deeper one near 5; z = 0 lies in the first."""

    class TwoWells(Potential):
        dim = 1

        def forward(self, x: Tensor) -> Tensor:
            return -20 * torch.exp(-2 * (x - 5).square()).sum(-1) - 2 * torch.exp(
                -2 * x.square()
            ).sum(-1)

    potential, z = TwoWells(), torch.zeros(1, 1, dtype=torch.float64)
    x = torch.tensor([[-3.0], [4.8]], dtype=torch.float64)
    plain = conjugate(potential, z, tol=1e-8)
    better = conjugate(
        potential, z, tol=1e-8, start=best_initial_points(potential, z, x, potential(x))
    )
    assert abs(plain.point.item()) < 0.1
    assert better.point.item() > 4.5
    assert better.value < plain.value
