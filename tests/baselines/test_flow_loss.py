"""The residual, the maps and the energy distance, against potentials and laws that are known."""

from collections.abc import Callable

import pytest
import torch
from baselines.exact import gaussians
from torch import Tensor

from brenier.baselines.flow_loss import (
    RESIDUALS,
    TimePotential,
    backward_map,
    energy_terms,
    forward_map,
    mean_distance,
    moved_energy,
    residuals,
)
from brenier.baselines.flow_network import FlowNetwork, Jet
from brenier.baselines.flow_task import DrawnClass, FlowSettings, FlowTask
from brenier.transport.costs import (
    Cost,
    Elastic,
    LogCosh,
    Mahalanobis,
    Power,
    SeparablePower,
    SquaredEuclidean,
    conjugate_value,
)

QUADRATIC = SquaredEuclidean()


def points(n: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return x, torch.rand(n, generator=generator, dtype=torch.float64)


# ---- the exact solution


def test_the_exact_potential_has_no_residual(generator: torch.Generator) -> None:
    u = gaussians(5)
    x, t = points(200, 5, generator)
    for kind in ("characteristics", "equation"):
        assert residuals(u, QUADRATIC, x, t, kind=kind).abs().max() < 1e-11
    moved = forward_map(u, QUADRATIC, x)
    torch.testing.assert_close(moved, u.forward_map(x))
    torch.testing.assert_close(backward_map(u, QUADRATIC, moved), x)
    torch.testing.assert_close(backward_map(u, QUADRATIC, x), u.backward_map(x))


def test_moved_gaussians_have_the_covariance_of_the_target() -> None:
    u = gaussians(5)
    pushed = u.matrix @ u.first.covariance @ u.matrix
    torch.testing.assert_close(pushed, u.second.covariance)


def published(u: TimePotential, x: Tensor, t: Tensor, signs: tuple[int, ...]) -> Tensor:
    """The residual as it is published, with signs that can be flipped."""
    a, b, c, d, e = signs
    p = u.jet(x, t).gradient
    v = QUADRATIC.conjugate_gradient(p)
    hamiltonian = conjugate_value(QUADRATIC, p)
    start = x - d * t[:, None] * v
    first = u(start, torch.zeros_like(t))
    pairing = t * torch.linalg.vecdot(p, v)
    return a * u(x, t) + b * t * hamiltonian - c * pairing - e * first


def test_the_residual_is_the_published_one(generator: torch.Generator) -> None:
    u, wrong = gaussians(3), FlowNetwork(3, 8, 2).double()
    x, t = points(50, 3, generator)
    assert published(u, x, t, (1,) * 5).abs().max() < 1e-11
    potentials: list[TimePotential] = [u, wrong]
    for potential in potentials:
        found = residuals(potential, QUADRATIC, x, t)
        torch.testing.assert_close(found, published(potential, x, t, (1,) * 5))


@pytest.mark.parametrize("flipped", range(5))
def test_a_wrong_sign_in_the_residual_is_caught(
    flipped: int, generator: torch.Generator
) -> None:
    signs = tuple(-1 if k == flipped else 1 for k in range(5))
    x, t = points(200, 5, generator)
    assert published(gaussians(5), x, t, signs).abs().max() > 0.1


@pytest.mark.parametrize("direction", [forward_map, backward_map])
def test_a_wrong_sign_in_a_map_is_caught(
    direction: Callable[..., Tensor], generator: torch.Generator
) -> None:
    u = gaussians(5)
    x, _ = points(200, 5, generator)
    truth = u.forward_map(x) if direction is forward_map else u.backward_map(x)
    mirrored = 2 * x - direction(u, QUADRATIC, x)
    assert (mirrored - truth).abs().max() > 0.1


# ---- costs: straight characteristics of one potential are those of the formula


class Tilted:
    """u(x, t) = s . x - t h*(s): mass moves by grad h*(s)."""

    def __init__(self, cost: Cost, slope: Tensor) -> None:
        self.cost, self.slope = cost, slope

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return x @ self.slope - t * conjugate_value(self.cost, self.slope[None])

    def jet(self, x: Tensor, t: Tensor) -> Jet:
        speed = -conjugate_value(self.cost, self.slope[None])
        return Jet(self(x, t), self.slope.expand_as(x), speed.expand_as(t))


COSTS: list[Cost] = [
    QUADRATIC,
    Power(1.5),
    Power(3.0),
    SeparablePower(3.0),
    Elastic(0.2),
    LogCosh(2.0),
    Mahalanobis([[2.0, 0.3], [0.3, 1.0]]),
]


@pytest.mark.parametrize("cost", COSTS, ids=repr)
def test_a_shift_solves_the_equation_of_every_cost(
    cost: Cost, generator: torch.Generator
) -> None:
    shift = torch.tensor([0.7, -1.2], dtype=torch.float64)
    u = Tilted(cost, cost.gradient(shift[None])[0])
    x, t = points(50, 2, generator)
    for kind in ("characteristics", "equation"):
        assert residuals(u, cost, x, t, kind=kind).abs().max() < 1e-12
    torch.testing.assert_close(forward_map(u, cost, x), x + shift)
    torch.testing.assert_close(backward_map(u, cost, x), x - shift)


# ---- the energy distance


def test_the_energy_distance_of_equal_laws_is_zero_up_to_its_noise(
    generator: torch.Generator,
) -> None:
    found = []
    for _ in range(200):
        a, b = (torch.randn(60, 3, generator=generator) for _ in range(2))
        found.append(energy_terms(a, b))
    values = torch.tensor([each.value for each in found])
    error = float(values.std()) / 200**0.5
    assert abs(float(values.mean())) < 3 * error
    told = sum(each.chance for each in found) / 200
    assert 0.8 < told / float(values.std()) < 1.25


def test_the_noise_of_the_energy_distance_of_other_laws_is_told(
    generator: torch.Generator,
) -> None:
    values, told = [], []
    for _ in range(200):
        a = torch.randn(60, 2, generator=generator)
        b = torch.randn(80, 2, generator=generator) + 1
        terms = energy_terms(a, b)
        assert float(terms.of_first.mean() + terms.of_second.mean()) == pytest.approx(
            terms.value, rel=1e-4
        )
        values.append(terms.value)
        squares = [
            float(each.var()) / len(each) for each in (terms.of_first, terms.of_second)
        ]
        told.append((sum(squares) + terms.chance**2) ** 0.5)
    assert min(values) > 0
    spread = float(torch.tensor(values).std())
    assert 0.8 < sum(told) / 200 / spread < 1.25


@pytest.mark.parametrize("dim", [1, 3, 12])
def test_the_derivative_of_the_energy_distance(
    dim: int, generator: torch.Generator
) -> None:
    a, b = points(7, dim, generator)[0], points(9, dim, generator)[0]
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: moved_energy(rows, b), (a,))
    whole = moved_energy(a, b) - mean_distance(b)
    assert float(whole.detach()) == pytest.approx(energy_terms(a.detach(), b).value)


def test_rows_that_coincide_do_no_harm() -> None:
    a = torch.zeros(4, 2, requires_grad=True)
    value = moved_energy(a, torch.zeros(3, 2))
    value.backward()
    assert float(value.detach()) == 0.0
    assert a.grad is not None
    assert not a.grad.any()
    wide = torch.ones(4, 20, requires_grad=True)
    moved_energy(wide, torch.ones(3, 20)).backward()
    assert wide.grad is not None
    assert bool(wide.grad.isfinite().all())


# ---- the loss as a whole


@pytest.mark.parametrize("kind", RESIDUALS)
@pytest.mark.parametrize(
    "cost", [QUADRATIC, Power(3.0), SeparablePower(1.5), LogCosh(3.0)], ids=repr
)
def test_the_derivative_of_the_loss(
    cost: Cost, kind: str, generator: torch.Generator
) -> None:
    """By finite differences in every parameter, so that no part of the graph is missing."""
    network = FlowNetwork(2, 5, 2, quadratic_head=True, generator=generator).double()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.3 * noise.double())
    rows = [points(6, 2, generator)[0] for _ in range(4)]
    means = torch.zeros(2), torch.zeros(2)
    classes = [
        DrawnClass(lambda n, _: rows[0][:n], lambda n, _: rows[1][:n] + 2, 6, means),
        DrawnClass(lambda n, _: rows[2][:n] - 1, lambda n, _: rows[3][:n], 6, means),
    ]
    task = FlowTask(
        network,
        cost,
        classes,
        [(rows[0], rows[1]), (rows[2], rows[3])],
        FlowSettings(2.0, kind),
        generator,
    )
    state = generator.get_state()

    def loss() -> Tensor:
        generator.set_state(state)
        (found,) = task.losses(12, 1.0)
        return found.value

    loss().backward()
    step = 1e-6
    for name, parameter in network.named_parameters():
        if kind == "none" and parameter.grad is None:
            continue
        flat = parameter.detach().view(-1)
        grad = parameter.grad
        assert grad is not None, name
        for k in range(0, len(flat), max(1, len(flat) // 5)):
            before = float(flat[k])
            ends = []
            for sign in (1, -1):
                flat[k] = before + sign * step
                ends.append(float(loss().detach()))
            flat[k] = before
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(grad.view(-1)[k]) == pytest.approx(slope, rel=1e-4, abs=1e-6)
