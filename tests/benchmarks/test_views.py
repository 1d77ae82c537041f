"""The same inner problems in two kinds of coordinates."""

import pytest
import torch

from benchmarks import inner
from benchmarks.views import Plain, View, library_view, plain_view
from brenier import DenseICNN, Quadratic, TransportMap
from brenier.solve import LBFGS
from brenier.transport.coordinates import Coordinates, gaussian_coordinates


def stretched(
    dim: int, generator: torch.Generator
) -> tuple[Coordinates, torch.Tensor, torch.Tensor]:
    """Coordinates that stretch and turn, and the samples they come from."""
    x, z = (torch.randn(500, dim, generator=generator).double() for _ in range(2))
    x, z = (
        x @ torch.diag(torch.linspace(0.5, 2, dim).double()) + 1,
        z @ torch.randn(dim, dim, generator=generator).double(),
    )
    return gaussian_coordinates(x, z, torch.full((dim,), 2.0).double()), x, z


def scale_of(view: View) -> float:
    assert isinstance(view.potential, Plain)
    return view.potential.scale


def test_the_plain_view_is_the_same_map(generator: torch.Generator) -> None:
    coordinates, x, z = stretched(3, generator)
    network = DenseICNN(3, convex=True, generator=generator).requires_grad_(False)
    transport = TransportMap(network, coordinates, tol=1e-6)
    view = plain_view(transport, x, z)
    scale = scale_of(view)
    a = (scale * (x - coordinates.source_mean) / coordinates.unit).float()
    moved = (
        a + view.potential.gradient(a)
    ).double() / scale * coordinates.unit + coordinates.target_mean
    torch.testing.assert_close(moved, transport(x), rtol=1e-3, atol=1e-3)
    solution = inner.solve(view, LBFGS(), 500, tol=1e-4)
    assert not solution.unconverged
    torch.testing.assert_close(
        view.decode_source(solution.point), transport.inverse(z), rtol=1e-2, atol=1e-2
    )
    again = library_view(transport, z)
    points = again.decode_source(inner.solve(again, LBFGS(), 500, tol=1e-4).point)
    torch.testing.assert_close(points, transport.inverse(z), rtol=1e-2, atol=1e-2)


def test_the_plain_view_has_unit_variance(generator: torch.Generator) -> None:
    coordinates, x, z = stretched(3, generator)
    view = plain_view(TransportMap(Quadratic(3), coordinates), x, z)
    a = scale_of(view) * (x - coordinates.source_mean) / coordinates.unit
    assert float(a.square().mean() + view.z.square().mean()) == pytest.approx(
        2, rel=1e-5
    )


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script:DeprecationWarning"
)  # of torch, when it first differentiates
def test_the_plain_wrapper_agrees_with_automatic_differentiation(
    generator: torch.Generator,
) -> None:
    network = DenseICNN(3, generator=generator).double()
    torch.nn.init.normal_(network.readout, generator=generator)
    potential = Plain(network, torch.randn(3, 3, generator=generator).double(), 1.7)
    a, v = (torch.randn(5, 3, generator=generator).double() for _ in range(2))
    value, gradient = potential.value_and_gradient(a)
    a.requires_grad_()
    torch.testing.assert_close(value, potential(a))
    (expected,) = torch.autograd.grad(potential(a).sum(), a, create_graph=True)
    torch.testing.assert_close(gradient, expected)
    (product,) = torch.autograd.grad(expected, a, v)
    torch.testing.assert_close(potential.hessian_product(a.detach(), v), product)


def test_the_plain_wrapper_of_an_affine_map_is_known(
    generator: torch.Generator,
) -> None:
    matrix, factor = (
        torch.tensor([[2.0, 0.5], [0.5, 1.0]]),
        torch.randn(2, 2, generator=generator),
    )
    potential = Plain(Quadratic(2, matrix), factor, 1.5).requires_grad_(False)
    a = torch.randn(4, 2, generator=generator)
    moved = a + potential.value_and_gradient(a)[1]
    torch.testing.assert_close(moved, a @ (1.5**2 * factor.T @ matrix @ factor))
