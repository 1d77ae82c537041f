"""The quadratic potential in many dimensions: what it keeps of its matrix changes no result."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from problems import normal, positive_definite

from brenier import Quadratic
from brenier.potentials.quadratic import QUADRATIC

DIM = QUADRATIC.kept_from_dim


def many(dtype: torch.dtype = torch.float64) -> Quadratic:
    """One that keeps its product."""
    matrix = positive_definite(DIM, condition=10.0, largest=2.0)
    return Quadratic(DIM, matrix.to(dtype), normal(DIM).to(dtype))


def product_of(potential: Quadratic) -> torch.Tensor:
    """M - I, found anew."""
    eye = torch.eye(DIM, dtype=potential.factor.dtype)
    factor = potential.factor.detach()
    return factor @ factor.mT + (potential.eps - 1) * eye


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_and_without_a_graph_results_are_the_same_to_the_bit(
    dtype: torch.dtype,
) -> None:
    potential, x = many(dtype), normal(9, DIM).to(dtype)
    expected = [part.detach() for part in potential.value_and_gradient(x)]
    with torch.no_grad():
        for _ in range(2):
            value, gradient = potential.value_and_gradient(x)
            assert torch.equal(value, expected[0])
            assert torch.equal(gradient, expected[1])
        assert torch.equal(potential.hessian_product(x, x), x @ product_of(potential))


def test_the_product_is_found_once() -> None:
    potential = many()
    with torch.no_grad():
        first, second = potential.matrix(), potential.matrix()
        assert first is second
    few = Quadratic(DIM - 1)
    with torch.no_grad():
        assert few.matrix() is not few.matrix()
        assert few._kept is None


def by_data(potential: Quadratic) -> None:
    potential.factor.data[0, 0] += 1


def by_hand(potential: Quadratic) -> None:
    with torch.no_grad():
        potential.factor.mul_(1.5)


def by_optimiser(potential: Quadratic) -> None:
    optimiser = torch.optim.SGD(potential.parameters(), lr=0.1)
    potential(normal(5, DIM)).sum().backward()
    optimiser.step()


def by_loading(potential: Quadratic) -> None:
    potential.load_state_dict(Quadratic(DIM).double().state_dict())


def by_another_factor(potential: Quadratic) -> None:
    potential.factor = torch.nn.Parameter(2 * potential.factor.detach())


def by_nan(potential: Quadratic) -> None:
    potential.factor.data.fill_(torch.nan)


@pytest.mark.parametrize(
    "change",
    [by_data, by_hand, by_optimiser, by_loading, by_another_factor, by_nan],
    ids=lambda change: change.__name__,
)
def test_a_changed_factor_is_seen(change: Callable[[Quadratic], None]) -> None:
    potential = many()
    with torch.no_grad():
        before = potential.matrix()
    change(potential)
    with torch.no_grad():
        after = potential.matrix()
    assert not torch.equal(after, before)
    torch.testing.assert_close(
        after, product_of(potential), rtol=0, atol=0, equal_nan=True
    )


def test_another_precision_is_seen() -> None:
    """Also where the numbers are the same in both."""
    potential = Quadratic(DIM, 2 * torch.eye(DIM), eps=1.0)
    with torch.no_grad():
        assert potential.matrix().dtype == torch.float32
        potential.double()
        assert potential.matrix().dtype == torch.float64
        potential.value_and_gradient(normal(3, DIM))


def test_the_product_is_trained_through() -> None:
    potential = many()
    with torch.no_grad():
        potential.matrix()
    potential.matrix().sum().backward()
    assert potential.factor.grad is not None
    assert potential.factor.grad.any()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_copies_have_the_numbers_and_nothing_kept(
    copied: Callable[[Quadratic], Quadratic],
) -> None:
    potential, x = many(), normal(4, DIM)
    with torch.no_grad():
        expected = potential(x)
        other = copied(potential)
        assert other._kept is None
        assert torch.equal(other(x), expected)
        other.factor.mul_(2)
        assert torch.equal(potential(x), expected)
    assert "_kept" not in potential.state_dict()
