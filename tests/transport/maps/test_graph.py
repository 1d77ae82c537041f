"""Gradients through a map: forward and back, for every potential, and when there are none."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems import POTENTIALS, conditioned, gentle, make, mean, normal
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from brenier import (
    Conditional,
    ConditionalMap,
    DataError,
    DenseICNN,
    OptimalTransport,
    Potential,
    Quadratic,
    TransportMap,
)
from brenier.transport.coordinates import (
    Classes,
    gaussian_coordinates,
    identity_coordinates,
)
from brenier.transport.maps import round_trip

KINDS = {**POTENTIALS, "mean": mean, "conditioned": conditioned}
EVERY = pytest.mark.parametrize("name", KINDS)


def samples(n: int = 4, seed: int = 0) -> Tensor:
    return normal(n, 3, seed=seed).requires_grad_()


def transport_of(potential: Potential, batch_size: int = 3) -> TransportMap:
    """A map in Gaussian coordinates, in more batches than one, its inverse solved to the last digits."""
    x, z = normal(50, 3, seed=7), 2 * normal(50, 3, seed=8) + 1
    unit = torch.ones(3, dtype=torch.float64)
    coordinates = gaussian_coordinates(x, z, unit)
    return TransportMap(potential, coordinates, tol=1e-13, batch_size=batch_size)


def conditional_map() -> tuple[ConditionalMap, list[str]]:
    """A map of two classes, and the classes of four rows."""
    network = make(DenseICNN, 5, size=0.1, hidden=(8, 8, 4), convex=True)
    classes = Classes(("a", "b"), identity_coordinates(3).repeated(2))
    transport = ConditionalMap(
        Conditional(network, 3), classes, tol=1e-13, batch_size=3
    )
    return transport, ["a", "b", "b", "a"]


# ---- derivatives


@EVERY
def test_the_map_can_be_differentiated_there_and_back(name: str) -> None:
    transport = transport_of(gentle(KINDS[name]))
    x = samples()
    for function in (
        transport,
        transport.inverse,
        transport.potential,
        transport.cost,
        lambda x: transport.interpolate(x, 0.3),
    ):
        assert gradcheck(function, (x,))


@EVERY
def test_the_gradient_of_the_potential_is_the_displacement(name: str) -> None:
    transport, x = transport_of(gentle(KINDS[name])), samples()
    (gradient,) = torch.autograd.grad(transport.potential(x).sum(), x)
    torch.testing.assert_close(gradient, (transport(x) - x).detach())


@pytest.mark.parametrize("name", ["free softplus", "residual tanh", "quadratic"])
def test_the_map_can_be_differentiated_twice(name: str) -> None:
    assert gradgradcheck(transport_of(gentle(KINDS[name])), (samples(2),))


def test_the_inverse_cannot_be_differentiated_twice_and_says_so() -> None:
    transport, z = transport_of(gentle(KINDS["free celu"])), samples()
    (gradient,) = torch.autograd.grad(
        transport.inverse(z).square().sum(), z, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_derivative_of_the_inverse_is_the_inverse_of_that_of_the_map() -> None:
    transport = transport_of(gentle(KINDS["convex celu"]))
    x = samples(1)
    jacobian = torch.autograd.functional.jacobian
    there = jacobian(transport, x)[0, :, 0]
    back = jacobian(transport.inverse, transport(x).detach())[0, :, 0]
    torch.testing.assert_close(there @ back, torch.eye(3, dtype=torch.float64))


def test_a_map_of_classes_can_be_differentiated_there_and_back() -> None:
    transport, labels = conditional_map()
    for function in (
        transport,
        transport.inverse,
        lambda x, own: transport.interpolate(x, own, 0.3),
    ):
        assert gradcheck(lambda x, f=function: f(x, labels), (samples(),))


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_transforms_of_functions_work_in_reverse_mode() -> None:
    transport = transport_of(gentle(KINDS["free celu"]).requires_grad_(False))
    x = samples().detach()
    gradient = torch.func.grad(lambda x: transport.potential(x).sum())(x)
    torch.testing.assert_close(gradient, transport(x) - x)
    with pytest.raises(DataError, match=r"^x: carries derivatives of forward mode"):
        torch.func.jvp(transport, (x,), (torch.ones_like(x),))


# ---- what comes back, and what does not


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_graph_ends_at_the_tensor_given_in_its_precision(
    dtype: torch.dtype,
) -> None:
    transport = transport_of(gentle(KINDS["free celu"]))
    x = samples().detach().to(dtype).requires_grad_()
    for function in (transport, transport.inverse):
        result = function(x)
        assert result.dtype == dtype
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert gradient.dtype == dtype
        torch.testing.assert_close(result.detach(), function(x.detach()))


def test_parameters_take_no_gradients() -> None:
    transport = transport_of(gentle(KINDS["free celu"]))
    assert all(part.requires_grad for part in transport.network.parameters())
    x = samples()
    (transport(x) + transport.inverse(x)).sum().backward()
    assert x.grad is not None
    for part in transport.network.parameters():
        assert part.grad is None
        assert part.requires_grad


def test_without_gradients_nothing_changes() -> None:
    transport, x = transport_of(gentle(KINDS["free celu"])), samples()
    plain = x.detach()
    for function in (
        transport,
        transport.inverse,
        transport.potential,
        transport.cost,
    ):
        expected = function(plain)
        assert not expected.requires_grad
        with torch.no_grad():
            found = function(x)
        assert not found.requires_grad
        assert torch.equal(found, expected)
        np.testing.assert_array_equal(function(plain.numpy()), expected)


def test_inference_mode_gives_plain_results() -> None:
    transport, x = transport_of(gentle(KINDS["free celu"])), samples()
    conditional, labels = conditional_map()
    cases: list[Callable[[Tensor], Tensor]] = [
        transport,
        transport.inverse,
        transport.potential,
        lambda x: conditional(x, labels),
        lambda x: conditional.inverse(x, labels),
    ]
    for function in cases:
        expected = function(x.detach())
        with torch.inference_mode():
            inside = function(x)
            born_there = x.clone()
            same = function(born_there)
        for found in (inside, same, function(born_there)):
            assert not found.requires_grad
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_autocast_and_other_defaults_change_nothing() -> None:
    transport = transport_of(gentle(KINDS["free celu"]).float())
    transport.tol, x = 1e-4, samples().detach()
    there, back = transport(x), transport.inverse(x)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
        found = transport(x), transport.inverse(x)
    assert torch.equal(found[0], there)
    assert torch.equal(found[1], back)


def test_measures_carry_no_graph() -> None:
    transport, x = transport_of(gentle(KINDS["free celu"])), samples(30)
    for result in (transport.phi(x), transport.phi_c(x)[0]):
        assert not result.requires_grad
    assert np.isfinite(round_trip(transport, x).errors).all()
    assert transport.cost(x).requires_grad
    assert float(transport.distance(x, x + 1)) < 10


def test_a_linear_map_has_a_constant_derivative() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    transport = TransportMap(Quadratic(3, matrix), tol=1e-12)
    x = samples()
    (there,) = torch.autograd.grad(transport(x).sum(), x)
    (back,) = torch.autograd.grad(transport.inverse(x).sum(), x)
    torch.testing.assert_close(there, matrix.diagonal().expand(4, 3))
    torch.testing.assert_close(back, 1 / matrix.diagonal().expand(4, 3))


def test_no_rows_keep_their_graph() -> None:
    transport = transport_of(gentle(KINDS["free celu"]))
    nothing = torch.zeros(0, 3, requires_grad=True)
    assert transport(nothing).shape == (0, 3)
    assert transport.inverse(nothing).shape == (0, 3)


# ---- the estimator


def test_the_estimator_keeps_the_graph() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(200, 2)), 2 * rng.normal(size=(200, 2))
    ot = OptimalTransport(n_networks=1, max_steps=1, random_state=0).fit(X, Y)
    x = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    for function in (ot.transform, ot.inverse_transform):
        (gradient,) = torch.autograd.grad(function(x).sum(), x)
        assert gradient.abs().sum() > 0
    arrays = copy.deepcopy(ot).set_output(transform="pandas")
    assert not hasattr(arrays.transform(x), "grad_fn")
