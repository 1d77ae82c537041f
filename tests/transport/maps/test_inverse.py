"""Where inverse problems start: at rows of the source that a map has kept, or at what was found for other rows."""

from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor, nn

from brenier import (
    Conditional,
    ConditionalMap,
    DataError,
    DenseICNN,
    Potential,
    Quadratic,
    TransportMap,
)
from brenier.transport.coordinates import Classes, identity_coordinates
from brenier.transport.maps.inverse import Starts


class TwoBasins(Potential):
    """psi(y) = (a^2 - 1)^2 - 3 a + the squares of the others / 2, where a is the first coordinate.

    Where T is one-to-one, for a above one, F has a second minimum near -1, where a descent from z ends for small a.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.height = dim, nn.Parameter(torch.ones((), dtype=torch.float64))
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        a = x[:, 0]
        return self.height * (a.square() - 1).square() - 3 * a - a.square() / 2


def rows(n: int, low: float = 1.04, high: float = 1.1, seed: int = 0) -> Tensor:
    """Rows of the right basin."""
    found = 0.1 * normal(n, 2, seed=seed)
    found[:, 0] = torch.linspace(low, high, n, dtype=torch.float64)
    return found


def two_basins(start_rows: Tensor | None, **settings: Any) -> TransportMap:
    return TransportMap(TwoBasins(2), start_rows=start_rows, tol=1e-8, **settings)


X = rows(40)


def test_a_start_at_z_ends_in_the_wrong_basin_and_one_at_kept_rows_in_the_right_one() -> (
    None
):
    moved = two_basins(None)(X)
    wrong, solution = two_basins(X[:0]).inverse(moved, return_solution=True)
    assert solution.unconverged == 0
    assert (wrong[:, 0] < 0).all()
    transport = two_basins(rows(5, seed=1))
    torch.testing.assert_close(transport.inverse(moved), X, rtol=0, atol=1e-6)


def test_the_dual_value_takes_the_lower_minimum() -> None:
    moved = two_basins(None)(X)
    wrong, right = two_basins(X[:0]), two_basins(rows(5, seed=1))
    gap = right.phi_c(moved)[0] - wrong.phi_c(moved)[0]
    assert (gap < -1e-3).all()
    # Along the map the terms of both sides meet its cost.
    terms = right.phi(X) + right.phi_c(moved)[0]
    torch.testing.assert_close(terms, right.rows().cost(X), rtol=0, atol=1e-9)
    assert right.distance(X, moved).w2 < wrong.distance(X, moved).w2


def test_without_rows_those_of_a_batch_serve_each_other() -> None:
    some = torch.cat([X, rows(8, 1.19, 1.3, seed=2)])  # whose starts at z are right
    transport = two_basins(None)
    moved = transport(some)
    torch.testing.assert_close(transport.inverse(moved), some, rtol=0, atol=1e-6)
    alone = transport.inverse(moved[:1])  # a row alone has no others
    assert float(alone[0, 0]) < 0


def test_the_second_solve_takes_nothing_away() -> None:
    network = DenseICNN(3, (8, 8), generator=torch.Generator().manual_seed(0)).double()
    z = 3 * normal(200, 3)
    first, _ = TransportMap(network, start_rows=z[:0]).phi_c(z)
    second, solution = TransportMap(network).phi_c(z)
    assert (second <= first + 1e-7).all()
    assert solution.unconverged == 0


def test_where_psi_is_convex_rows_are_solved_once() -> None:
    z = normal(64, 2)
    network = DenseICNN(2, (8,), convex=True).double()
    found = [
        TransportMap(network, start_rows=given).inverse(z, return_solution=True)[1]
        for given in (None, z[:0], z)
    ]
    assert len({solution.evaluations for solution in found}) == 1
    assert all(torch.equal(found[0].point, solution.point) for solution in found)


def test_values_at_kept_rows_are_found_once_in_a_call() -> None:
    transport = two_basins(rows(11, seed=1), batch_size=8)
    network, moved = transport.network, transport(X)
    assert isinstance(network, TwoBasins)
    network.calls.clear()
    whole = transport.inverse(moved)
    assert network.calls.count(11) == 1
    transport.batch_size = 100
    torch.testing.assert_close(transport.inverse(moved), whole, rtol=0, atol=1e-7)
    network.calls.clear()
    transport(X)
    assert 11 not in network.calls


def test_the_inverse_of_kept_rows_has_the_implicit_gradient() -> None:
    transport = two_basins(rows(5, seed=1))
    z = transport(X).requires_grad_()
    (slope,) = torch.autograd.grad(transport.inverse(z)[:, 0].sum(), z)
    second = 12 * X[:, 0].square() - 4
    torch.testing.assert_close(slope[:, 0], 1 / second, rtol=1e-6, atol=0)


def test_so_has_that_of_rows_solved_twice() -> None:
    some = torch.cat([X, rows(8, 1.19, 1.3, seed=2)])
    transport = two_basins(None)
    z = transport(some).requires_grad_()
    (slope,) = torch.autograd.grad(transport.inverse(z)[:, 0].sum(), z)
    second = 12 * some[:, 0].square() - 4
    torch.testing.assert_close(slope[:, 0], 1 / second, rtol=1e-6, atol=0)


def test_rows_follow_the_network_in_type_and_device() -> None:
    transport = TransportMap(DenseICNN(2, (8,)), start_rows=X)
    assert transport.start_rows is not None
    assert transport.start_rows.dtype == torch.float32
    assert transport.to("cpu").start_rows is not None


@pytest.mark.parametrize("wrong", [X[0], X[:, :1], X.unsqueeze(0)])
def test_rows_of_another_shape_are_refused(wrong: Tensor) -> None:
    with pytest.raises(DataError, match=r"^start_rows: must be \(k, 2\)"):
        TransportMap(Quadratic(2), start_rows=wrong)


def test_a_class_starts_at_rows_of_its_own() -> None:
    coordinates = identity_coordinates(2).repeated(2)
    classes = Classes(("a", "b"), coordinates)
    codes = classes.embedding(torch.tensor([0, 1]))
    kept = torch.cat([rows(4, seed=1), codes[:1].expand(4, -1)], -1)
    transport = ConditionalMap(
        Conditional(TwoBasins(4), 2), classes, start_rows=kept, tol=1e-8
    )
    moved = transport(X, "a")
    torch.testing.assert_close(transport.inverse(moved, "a"), X, rtol=0, atol=1e-6)
    back = transport.at("a").inverse(moved)
    torch.testing.assert_close(back, X, rtol=0, atol=1e-6)
    assert (transport.inverse(moved, "b")[:, 0] < 0).all()
    assert (transport.at("b").inverse(moved)[:, 0] < 0).all()
    kept_of = {label: transport.at(label).start_rows for label in "ab"}
    counts = {
        label: None if own is None else len(own) for label, own in kept_of.items()
    }
    assert counts == {"a": 4, "b": 0}


def test_starts_are_those_of_training() -> None:
    """Of two rows with one F the first is taken, and z where it is better than both."""
    w = torch.tensor([[1.0, 0.0], [-5.0, 0.0]], dtype=torch.float64)
    kept = torch.tensor([[1.5, 0.0], [1.5, 0.0]], dtype=torch.float64)
    found = Starts(Quadratic(2).double(), kept).of_points(w).rows()
    assert torch.equal(found, w)
    found = Starts(TwoBasins(2), kept).of_points(w).rows()
    assert found[0, 0] in (1.0, 1.5)
