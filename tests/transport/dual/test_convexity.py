"""The convexity penalty: zero where psi is convex, right where it is not, with the gradient of what it says."""

import pytest
import torch
from problems import CONVEX_POTENTIALS, POTENTIALS, gentle, normal

from brenier import Potential, Quadratic
from brenier.transport.dual.convexity import convexity_penalty


class Wave(Potential):
    """g(x) = height * sum cos(x): psi has minima 2 pi apart where height is large."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.dim, self.height = (
            1,
            torch.nn.Parameter(torch.tensor(height, dtype=torch.float64)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.height * x.cos().sum(-1)


def penalty(potential: Potential, points: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return convexity_penalty(
        potential,
        points,
        potential(points).detach(),
        torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS)
def test_convex_potentials_pay_nothing(new) -> None:  # type: ignore[no-untyped-def]
    for seed in range(3):
        assert penalty(new(seed=seed), normal(500, 3, seed=seed), seed).item() < 1e-12


def test_it_is_the_mean_excess_over_the_chords() -> None:
    potential, points = Wave(5.0), 4 * normal(300, 1)
    generator = torch.Generator().manual_seed(0)
    i, j = torch.randint(300, (2, 150), generator=generator)
    t = 0.25 + 0.5 * torch.rand(150, generator=generator, dtype=torch.float64)
    psi = lambda y: potential(y) + 0.5 * y.square().sum(-1)  # noqa: E731
    above = (
        psi((1 - t[:, None]) * points[i] + t[:, None] * points[j])
        - (1 - t) * psi(points[i])
        - t * psi(points[j])
    )
    expected = above.clamp(min=0).mean()
    assert expected > 0.1
    torch.testing.assert_close(penalty(potential, points), expected)


def test_its_gradient_is_that_of_finite_differences() -> None:
    potential, points, step = Wave(5.0), 4 * normal(300, 1), 1e-6
    (gradient,) = torch.autograd.grad(penalty(potential, points), potential.height)
    up, down = (penalty(Wave(5.0 + sign * step), points).item() for sign in (1, -1))
    assert gradient.item() == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_paying_it_makes_psi_convex_where_the_points_are() -> None:
    potential, points = Wave(5.0), 4 * normal(300, 1)
    optimiser = torch.optim.SGD(potential.parameters(), lr=0.5)
    for seed in range(200):
        optimiser.zero_grad()
        loss = penalty(potential, points, seed)
        if loss.requires_grad:
            loss.backward()
            optimiser.step()
    assert penalty(potential, points, 1000).item() < 1e-3
    assert abs(potential.height.item()) < 1.6


def test_nothing_to_pay_is_a_plain_zero() -> None:
    assert not penalty(Quadratic(2).double(), normal(10, 2)).requires_grad
    assert penalty(gentle(POTENTIALS["residual tanh"]), normal(50, 3)).item() < 1e-9
