"""Penalties and plans of regularised duals, against differences, loops and POT."""

import pytest
import torch

from brenier.baselines.plan_density import Penalty, barycentric_loss, slacks

KINDS = pytest.mark.parametrize("kind", ["quadratic", "entropic"])


@KINDS
def test_the_density_is_the_slope_of_the_penalty(kind: str) -> None:
    penalty = Penalty(kind, 0.03, largest_exponent=3.0)
    s = torch.linspace(-0.2, 0.3, 501, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(penalty(s).sum(), s)
    torch.testing.assert_close(slope, penalty.density(s))
    assert bool((penalty.density(s) >= 0).all())


def test_the_penalties_are_those_of_the_paper() -> None:
    s = torch.tensor([-1.0, 0.0, 0.06], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, 0.03], dtype=torch.float64)
    torch.testing.assert_close(Penalty("quadratic", 0.03)(s), expected)
    torch.testing.assert_close(Penalty("entropic", 0.03)(s), 0.03 * (s / 0.03).exp())


def test_the_exponential_goes_on_as_a_line_that_adam_can_square() -> None:
    penalty = Penalty("entropic", 0.01)
    s = torch.tensor([0.4, 0.4001, 10.0, 1e4], requires_grad=True)
    value = penalty(s)
    (slope,) = torch.autograd.grad(value.sum(), s)
    s, value = s.detach(), value.detach()
    assert bool(value.isfinite().all())
    assert bool(slope.square().isfinite().all())
    assert float(slope[3]) == pytest.approx(float(slope[0]), rel=1e-5)
    assert float(value[1] - value[0]) == pytest.approx(
        float(slope[0] * (s[1] - s[0])), rel=0.05
    )


def test_slacks_are_those_of_all_pairs(generator: torch.Generator) -> None:
    x, y = (torch.randn(n, 2, generator=generator) for n in (4, 5))
    u, v = torch.randn(4, generator=generator), torch.randn(5, generator=generator)
    found = slacks(x, y, u, v)
    assert found.shape == (4, 5)
    torch.testing.assert_close(found[2, 3], x[2] @ y[3] - u[2] - v[3])


def test_the_barycentric_loss_is_the_mean_over_all_pairs(
    generator: torch.Generator,
) -> None:
    density = torch.rand(6, 7, generator=generator, dtype=torch.float64)
    f = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    distances = (y.unsqueeze(0) - f.unsqueeze(1)).square().sum(-1)
    expected = (density * distances).mean()
    found = barycentric_loss(density, f, y)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(each, f)[0] for each in (found, expected)]
    torch.testing.assert_close(*slopes)
    # It is least at the barycentre.
    centres = (density @ y) / density.sum(1, keepdim=True)
    (slope,) = torch.autograd.grad(
        barycentric_loss(density, centres.requires_grad_(), y), centres
    )
    assert float(slope.abs().max()) < 1e-12


@KINDS
def test_the_dual_is_that_of_pot(kind: str, generator: torch.Generator) -> None:
    stochastic = pytest.importorskip("ot.stochastic")
    x, y = torch.randn(2, 12, 2, generator=generator, dtype=torch.float64)
    u, v = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    epsilon = 0.7
    ours = u.mean() + v.mean() + Penalty(kind, epsilon)(slacks(x, y, u, v)).mean()
    # POT maximises, for the cost |x - y|^2: its potentials are |x|^2 - 2 psi, and its slack is twice ours.
    loss = {
        "quadratic": stochastic.loss_dual_quadratic,
        "entropic": stochastic.loss_dual_entropic,
    }
    squares = x.square().sum(-1), y.square().sum(-1)
    theirs = loss[kind](squares[0] - 2 * u, squares[1] - 2 * v, x, y, 2 * epsilon)
    total = squares[0].mean() + squares[1].mean()
    torch.testing.assert_close(theirs, total - 2 * ours)
