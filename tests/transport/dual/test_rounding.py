"""No row seems to have converged by rounding: in single precision, however far away, checked in double precision."""

import copy
from collections.abc import Callable

import pytest
import torch
from problems import POTENTIALS, conditioned, gentle, mean, normal
from torch import Tensor

from brenier import (
    BFGS,
    LBFGS,
    ConvergenceWarning,
    DualObjective,
    NewtonCG,
    Potential,
    Quadratic,
    Solution,
    Status,
    TransportMap,
    conjugate,
)
from brenier.solve import Method

KINDS: dict[str, Callable[..., Potential]] = {
    **POTENTIALS,
    "mean": mean,
    "conditioned": conditioned,
}
EPS = torch.finfo(torch.float32).eps


def spread(n: int, dim: int, seed: int = 3) -> Tensor:
    """Points in single precision, from a thousandth to a million away from the origin."""
    scale = torch.logspace(-3, 6, n, dtype=torch.float64).unsqueeze(-1)
    return (scale * normal(n, dim, seed=seed)).float()


def bounds(z: Tensor, relative: bool) -> Tensor:
    """The bound of every row: one for all, or as an inverse has it, a share of the distance far out."""
    distance = torch.linalg.vector_norm(z, dim=-1) / z.shape[-1] ** 0.5
    return 1e-4 * distance.clamp(min=1) if relative else torch.full_like(distance, 1e-3)


def exact_residual(single: Potential, y: Tensor, z: Tensor) -> Tensor:
    """|R(y)| of a potential in double precision: (n,)."""
    _, gradient = copy.deepcopy(single).double().value_and_gradient(y.double())
    return (y.double() - z.double() + gradient).norm(dim=-1)


def wrong(single: Potential, z: Tensor, tol: Tensor, solution: Solution) -> int:
    """How many rows are said to have converged and have not, by twice the bound."""
    residual = exact_residual(single, solution.point, z)
    return int((solution.converged & ~(residual <= 2 * tol.double())).sum())


def count_wrong(
    name: str, n: int, dim: int, size: float, relative: bool, method: Method
) -> tuple[int, Solution]:
    single = KINDS[name](dim, size=size).float()
    z = spread(n, dim)
    tol = bounds(z, relative)
    solution = conjugate(single, z, tol=tol, method=method, max_steps=200).solution
    return wrong(single, z, tol, solution), solution


@pytest.mark.parametrize("name", KINDS)
def test_no_row_converges_by_rounding(name: str) -> None:
    for dim, size, relative in ((3, 0.5, False), (16, 0.5, True), (3, 0.1, False)):
        found, solution = count_wrong(name, 300, dim, size, relative, BFGS())
        assert found == 0
        assert solution.converged.any()
        if not relative:
            assert (solution.status == Status.STALLED).any()


@pytest.mark.parametrize("method", [LBFGS(), NewtonCG()], ids=["lbfgs", "newton"])
def test_whatever_the_method(method: Method) -> None:
    assert count_wrong("free tanh", 60, 3, 0.5, False, method)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_no_row_of_a_hundred_thousand_converges_by_rounding(name: str) -> None:
    """Stiff networks and gentle ones, under bounds of both kinds."""
    for dim, size, relative in (
        *((3, 0.5, False), (16, 0.5, False)),
        *((16, 0.5, True), (3, 0.1, False)),
    ):
        assert count_wrong(name, 25_000, dim, size, relative, BFGS())[0] == 0


def test_where_terms_round_by_more_than_the_bound_a_row_stalls() -> None:
    """The rule of all precisions, and of training, where nothing is evaluated again."""
    for dtype, far in ((torch.float32, 1e5), (torch.float64, 1e14)):
        potential = Quadratic(2, torch.eye(2, dtype=dtype))
        z = torch.tensor([[1.0, 0.0], [far, 0.0]], dtype=dtype)
        solution = conjugate(potential, z, tol=1e-3, evaluate_again=False).solution
        assert solution.status.tolist() == [Status.CONVERGED, Status.STALLED]
        assert solution.residual[1] > 1e-3
        objective = DualObjective(tol=1e-3)
        trained = objective(potential, z, z).solution
        assert trained.status.tolist() == [Status.CONVERGED, Status.STALLED]


def test_rows_that_lose_digits_inside_the_network_stall_too() -> None:
    class Cancelling(Quadratic):
        """A quadratic whose gradient loses its last digits in sums, as stiff networks do."""

        def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
            value, gradient = super().value_and_gradient(x)
            return value, (gradient + 1e6) - 1e6

    potential = Cancelling(2, torch.diag(torch.tensor([1.5, 0.7])))
    z = 3 * normal(2000, 2).float()
    fooled = conjugate(potential, z, tol=1e-3, evaluate_again=False)
    assert wrong(potential, z, torch.full((2000,), 1e-3), fooled.solution) > 1000
    found = conjugate(potential, z, tol=1e-3)
    assert wrong(potential, z, torch.full((2000,), 1e-3), found.solution) == 0
    assert torch.equal(found.point, fooled.point)
    assert "work in float64 (dtype='float64')" in found.solution.report()
    stalled = found.solution.status == Status.STALLED
    assert (found.solution.residual[stalled] > 1e-3).all()


@pytest.mark.parametrize("name", KINDS)
def test_ordinary_rows_are_left_as_they_are(name: str) -> None:
    potential, z = gentle(KINDS[name]).float(), 2 * normal(700, 3).float()
    once = conjugate(potential, z, tol=1e-4, evaluate_again=False).solution.check()
    twice = conjugate(potential, z, tol=1e-4).solution.check()
    for part in ("point", "residual", "steps", "status"):
        assert torch.equal(getattr(once, part), getattr(twice, part))
    assert once.evaluations == twice.evaluations


def test_potentials_of_one_precision_are_not_evaluated_again() -> None:
    class Single(Quadratic):
        def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
            eye = torch.eye(self.dim, dtype=torch.float32)
            return (x @ eye * x).sum(-1) / 2, x @ eye

    z = torch.tensor([[1.0, 0.0], [1e7, 0.0]])
    solution = conjugate(Single(2), z, tol=1e-3).solution
    assert solution.status[1] == Status.STALLED


def test_an_inverse_says_so() -> None:
    potential = Quadratic(2, torch.diag(torch.tensor([1e-2, 3.0])))
    transport = TransportMap(potential, tol=1e-6)
    z = torch.tensor([[1e4, 1.0]], dtype=torch.float64)
    with pytest.warns(ConvergenceWarning, match=r"stalled.*dtype='float64'"):
        transport.inverse(z)
    exact = TransportMap(copy.deepcopy(potential).double(), tol=1e-6)
    exact.inverse(z)
