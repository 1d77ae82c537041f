"""The curvature penalty: positive exactly where psi bends too little, in whichever direction that is."""

from typing import Any

import pytest
import torch
from problems import (
    CONVEX_POTENTIALS,
    FREE_POTENTIALS,
    POTENTIALS,
    gentle,
    normal,
)

from brenier import (
    BFGS,
    DualObjective,
    DualSettings,
    DualTask,
    MemberSamples,
    Potential,
)
from brenier.potentials import Conditional, Quadratic
from brenier.transport.dual import Probe, curvature_penalty, least_curvature

FULL = Probe(products=100, step=1e-4, reach=1e-3)


class Saddle(Potential):
    """psi(x) = (|x|^2 + (least - 1) (x . v)^2) / 2: curvature one, but for one direction of many."""

    def __init__(self, least: float, dim: int = 40) -> None:
        super().__init__()
        self.dim = dim
        self.v = torch.nn.functional.normalize(normal(1, dim, seed=7), dim=-1)[0]
        self.least = torch.nn.Parameter(torch.tensor(least, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (self.least - 1) * (x @ self.v).square()


class Blank(Potential):
    """A potential that is not finite anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nan * x.sum(-1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("new", FREE_POTENTIALS.values(), ids=FREE_POTENTIALS)
def test_with_all_products_it_is_the_least_eigenvalue(new) -> None:  # type: ignore[no-untyped-def]
    potential, x = new(5, size=1.0), normal(20, 5)
    eye = torch.eye(5, dtype=x.dtype)
    hessians = torch.stack(
        [eye + potential.hessian_product(row.expand(5, -1), eye) for row in x]
    )
    exact, vectors = torch.linalg.eigh(hessians)
    found, directions = least_curvature(potential, x, generator(), FULL)
    torch.testing.assert_close(found, exact[:, 0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(20, dtype=x.dtype))
    apart = exact[:, 1] - exact[:, 0] > 0.1
    aligned = torch.linalg.vecdot(directions, vectors[:, :, 0]).abs()
    assert apart.any()
    assert aligned[apart].min() > 0.99


@pytest.mark.parametrize("least", [-0.3, 0.2])
def test_a_few_products_find_one_direction_of_forty(least: float) -> None:
    found, directions = least_curvature(Saddle(least), normal(30, 40), generator())
    torch.testing.assert_close(found, torch.full_like(found, least))
    assert (directions @ Saddle(least).v).abs().min() > 1 - 1e-6


def test_it_is_never_below_the_least_eigenvalue() -> None:
    potential, x = POTENTIALS["free softplus"](12, size=1.0), normal(30, 12)
    exact, _ = least_curvature(potential, x, generator(), FULL)
    for products in (1, 2, 4, 8):
        probe = Probe(products, step=1e-4)
        found, _ = least_curvature(potential, x, generator(), probe)
        assert (found > exact - 1e-5).all()


@pytest.mark.parametrize("least", [-0.3, 0.0, 0.04, 0.06, 1.0])
def test_what_is_short_of_the_bound_is_paid(least: float) -> None:
    paid = curvature_penalty(Saddle(least), normal(30, 40), generator())
    assert paid.item() == pytest.approx(max(0.0, Probe.least - least))
    assert paid.requires_grad == (least < Probe.least)


def test_its_gradient_is_that_of_finite_differences() -> None:
    x, step = normal(30, 5), 1e-6
    potential = POTENTIALS["residual softplus"](5, size=1.0)
    weights = potential.get_parameter("readout")

    def paid() -> torch.Tensor:
        return curvature_penalty(potential, x, generator(), Probe(5, 1e-4, 1e-2, 0.5))

    (gradient,) = torch.autograd.grad(paid(), weights)
    assert gradient.norm() > 0.01
    with torch.no_grad():
        weights[0] += step
        up = paid().item()
        weights[0] -= 2 * step
        down = paid().item()
    assert gradient[0].item() == pytest.approx((up - down) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS)
def test_no_convex_potential_is_seen_as_bent(new) -> None:  # type: ignore[no-untyped-def]
    found, _ = least_curvature(gentle(new, 3), normal(50, 3), generator())
    assert (found > 0).all()


def test_the_identity_pays_nothing_however_few_directions_there_are() -> None:
    potential = Quadratic(2).double()
    found, _ = least_curvature(potential, normal(10, 2), generator())
    torch.testing.assert_close(found, torch.ones(10, dtype=torch.float64))
    assert curvature_penalty(potential, normal(10, 2), generator()).item() == 0.0


def test_conditions_are_no_directions() -> None:
    matrix = torch.diag(torch.tensor([1.0, 0.5, 0.01], dtype=torch.float64))
    potential = Conditional(Quadratic(3, matrix, eps=1e-3), 2)
    found, directions = least_curvature(potential, normal(20, 3), generator(), FULL)
    torch.testing.assert_close(found, torch.full_like(found, 0.5))
    assert not directions[:, 2].any()
    assert curvature_penalty(potential, normal(20, 3), generator()).item() == 0.0


def test_what_is_not_finite_raises_nothing() -> None:
    found, _ = least_curvature(Blank(), normal(5, 3), generator())
    assert found.shape == (5,)
    assert not curvature_penalty(Blank(), normal(5, 3), generator()).requires_grad


def test_paying_it_makes_psi_convex() -> None:
    potential = Saddle(-2.0)
    optimiser = torch.optim.SGD(potential.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = curvature_penalty(potential, normal(30, 40), generator())
        if loss.requires_grad:
            loss.backward()
            optimiser.step()
    assert 0 < potential.least.item() < 0.5


# ---- in training


def loss(dim: int, **fields: Any) -> float:
    """The loss of the first step of a task whose psi has a curvature of half the bound in one direction."""
    x, z = normal(200, dim, seed=1), normal(200, dim, seed=2)
    task = DualTask(
        Saddle(Probe.least / 2, dim),
        DualObjective(BFGS()),
        MemberSamples(lambda n, generator: x[:n], lambda n, generator: z[:n], (x, z)),
        DualSettings(penalty_rows=0, **fields),
        generator(),
    )
    (found,) = task.losses(200, 1.0)
    return found.value.item()


def test_training_pays_it_from_some_dimension_on() -> None:
    bound = DualSettings().curvature_dim
    weight = DualSettings().curvature_weight * bound
    for dim, paid in ((bound - 1, 0.0), (bound, weight * Probe.least / 2)):
        more = loss(dim) - loss(dim, curvature_rows=0)
        assert more == pytest.approx(paid, abs=1e-6)


def test_a_field_says_from_which() -> None:
    paid = loss(3, curvature_dim=3, curvature_weight=2.0) - loss(3)
    assert paid == pytest.approx(2.0 * 3 * Probe.least / 2)


def test_its_fields_are_those_of_the_settings() -> None:
    changed = DualSettings(
        curvature_products=3,
        curvature_step=0.2,
        curvature_reach=0.3,
        least_curvature=0.4,
    )
    assert DualSettings().probe() == Probe()
    assert changed.probe() == Probe(3, 0.2, 0.3, 0.4)
