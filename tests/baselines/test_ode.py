"""Solvers of differential equations, against solutions that are known."""

import sys

import pytest
import torch
from torch import Tensor

from brenier.baselines.ode import Solved, Solver, solved
from brenier.errors import DataError

START = torch.tensor([[1.0, 0.5], [0.2, -1.0]], dtype=torch.float64)


def turning(t: float | Tensor, y: Tensor) -> Tensor:
    """Turns by 3 in all, and grows by exp(t^2 / 2)."""
    turned = torch.stack([-y[:, 1], y[:, 0]], 1)
    return 3 * turned + t * y


def turned() -> Tensor:
    angle = torch.tensor(3.0, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    matrix = torch.stack([torch.stack([c, s]), torch.stack([-s, c])])
    return float(torch.tensor(0.5).double().exp()) * START @ matrix


def error(found: Solved) -> float:
    return float((found.state - turned()).abs().max())


def test_equal_steps_are_of_fourth_order() -> None:
    coarse, fine = (error(solved(turning, START, Solver(n))) for n in (20, 40))
    assert coarse / fine == pytest.approx(16, rel=0.1)
    assert solved(turning, START, Solver(20)).evaluations == 80


def test_adaptive_steps_agree_with_many_equal_ones() -> None:
    pytest.importorskip("torchdiffeq")
    found = solved(turning, START, Solver(rtol=1e-9, atol=1e-10))
    fine = solved(turning, START, Solver(400)).state
    torch.testing.assert_close(found.state, fine, rtol=0, atol=1e-8)
    assert error(found) < 1e-8
    loose = solved(turning, START, Solver(rtol=1e-3, atol=1e-3))
    assert 6 <= loose.evaluations < found.evaluations


@pytest.mark.parametrize("rtol", [None, 1e-10])
def test_the_way_back_ends_where_it_began(rtol: float | None) -> None:
    solver = Solver(200, rtol, 1e-11)
    there = solved(turning, START, solver).state
    back = solved(turning, there, solver, backwards=True).state
    torch.testing.assert_close(back, START, rtol=0, atol=1e-8)


def test_adjoint_gradients_are_those_of_the_steps() -> None:
    pytest.importorskip("torchdiffeq")
    slopes: list[Tensor] = []
    for solver in (Solver(200), Solver(rtol=1e-10, atol=1e-12, adjoint=True)):
        speed = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

        def rates(t: float | Tensor, y: Tensor, speed: Tensor = speed) -> Tensor:
            return torch.tanh(speed * y) + t

        end = solved(rates, START, solver, parameters=[speed]).state
        slopes += torch.autograd.grad(end.square().sum(), speed)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-7, atol=0)


def test_what_explodes_is_not_a_number() -> None:
    pytest.importorskip("torchdiffeq")
    solver = Solver(rtol=1e-6, most_steps=50)
    found = solved(lambda _, y: 40 * y.square(), 1 + START.abs(), solver)
    assert found.state.isnan().all()
    assert found.evaluations > 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(DataError, match=r"brenier\[flows\]"):
        solved(turning, START, Solver(rtol=1e-6))
    assert solved(turning, START, Solver(2)).evaluations == 8
