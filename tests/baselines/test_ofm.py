"""Optimal flow matching: its inner problems, linear systems and gradients against exact ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier.baselines import OFM, ofm
from brenier.baselines.networks import DenseSquares
from brenier.baselines.ofm import (
    FlowPotential,
    PathProblem,
    matching_loss,
)
from brenier.errors import ConvergenceWarning, DataError


def rows(n: int, seed: int, d: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def convex(seed: int = 0, d: int = 3) -> FlowPotential:
    """A convex potential whose gradient is far from the identity."""
    generator = torch.Generator().manual_seed(seed)
    model = FlowPotential(d, generator=generator).double()
    model.potential = DenseSquares(
        d, [8, 8, 6], deviation=0.4, curvature=0.3, generator=generator
    ).double()
    model.constrain()
    return model


def times(n: int) -> Tensor:
    return torch.linspace(0.05, 1.0, n, dtype=torch.float64).unsqueeze(1)


def exact_loss(model: FlowPotential, x: Tensor, at: Tensor, time: Tensor) -> Tensor:
    begun = model.beginnings(at, time, 1e-11, 500).check().point
    return ((x - begun) / time).square().sum(1).mean()


def test_the_gradient_of_the_loss_is_that_of_finite_differences() -> None:
    model, n = convex(), 12
    x, z, time = rows(n, 1), 2 * rows(n, 2) + 1, times(n)
    at = x + time * (z - x)
    begun = model.beginnings(at, time, 1e-11, 500).check().point
    loss = matching_loss(PathProblem(model.potential, at, time), x, begun)
    assert float(loss.detach()) == pytest.approx(float(exact_loss(model, x, at, time)))
    parameters = list(model.potential.parameters())
    slopes = torch.autograd.grad(loss, parameters)
    generator = torch.Generator().manual_seed(5)
    for part, slope in zip(parameters, slopes, strict=True):
        direction = torch.randn(part.shape, generator=generator, dtype=part.dtype)
        step, found = 1e-4, []
        with torch.no_grad():
            for sign in (1, -2):
                part.add_(sign * step * direction)
                found.append(exact_loss(model, x, at, time))
            part.add_(step * direction)
        expected = float(found[0] - found[1]) / (2 * step)
        assert float((slope * direction).sum()) == pytest.approx(
            expected, rel=3e-3, abs=1e-6
        )


def test_paths_lead_from_where_they_began_to_the_points_asked_for() -> None:
    model, n = convex(), 20
    at, time = 2 * rows(n, 1), times(n)
    begun = model.beginnings(at, time, 1e-10, 500).check().point
    path = (1 - time) * begun + time * model.moved(begun)
    torch.testing.assert_close(path, at, atol=1e-9, rtol=0)


def test_residuals_and_hessian_products_are_those_of_autograd() -> None:
    model, n = convex(), 5
    problem = PathProblem(model.potential, rows(n, 1), times(n))
    y, v = rows(n, 2).requires_grad_(), rows(n, 3)
    value, residual = problem.evaluate(y)
    (slope,) = torch.autograd.grad(value.sum(), y, create_graph=True)
    torch.testing.assert_close(residual, slope, atol=1e-10, rtol=0)
    (product,) = torch.autograd.grad((slope * v).sum(), y)
    torch.testing.assert_close(
        problem.hessian_product(y.detach(), v), product, atol=1e-9, rtol=0
    )
    some = problem.rows(torch.tensor([3, 1]))
    torch.testing.assert_close(
        some.evaluate(y.detach()[[3, 1]])[0], value.detach()[[3, 1]]
    )


def test_hessian_products_leave_the_weights_as_they_were() -> None:
    model = convex()
    PathProblem(model.potential, rows(4, 1), times(4)).hessian_product(
        rows(4, 1), rows(4, 2)
    )
    assert all(part.requires_grad for part in model.potential.parameters())
    assert all(part.grad is None for part in model.potential.parameters())


def test_the_inverse_is_differentiated_as_the_inverse_of_the_map() -> None:
    model, x = convex(), rows(4, 1)
    z = model.moved(x).detach().requires_grad_()
    (slope,) = torch.autograd.grad((model.returned(z) * rows(4, 2)).sum(), z)
    jacobians = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda at: model.moved(at.unsqueeze(0))[0], row
            )
            for row in x
        ]
    )
    expected = torch.linalg.solve(jacobians, rows(4, 2))
    torch.testing.assert_close(slope, expected, rtol=1e-2, atol=1e-4)


def test_the_inverse_leads_back() -> None:
    model = convex()
    x = rows(50, 1)
    back = model.returned(model.moved(x).detach())
    torch.testing.assert_close(back, x, atol=1e-3, rtol=0)


def test_an_inverse_that_is_not_reached_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = dataclasses.replace(ofm.PATHS, inverse_steps=1)
    monkeypatch.setattr(ofm, "PATHS", few)
    with pytest.warns(ConvergenceWarning, match="inverse_transform"):
        convex().returned(5 * rows(20, 1))


@pytest.mark.parametrize("coupling", ["independent", "plan"])
def test_a_stretching_is_learned_whatever_the_coupling(coupling: str) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) * [2.0, 0.5]
    settings = dataclasses.replace(
        OFM.presets["fair"],
        coupling=coupling,
        batch_size=64,
        learning_rate=3e-3,
        evaluate_every=1000,
    )
    fitted = OFM(settings, max_steps=60, random_state=0).fit(X, Y)
    identity = np.square(X * [1.0, -0.5]).mean()
    assert np.square(fitted.transform(X) - X * [2.0, 0.5]).mean() < 0.1 * identity
    Z = fitted.transform(X)
    assert np.abs(fitted.inverse_transform(Z) - X).max() < 0.05


@pytest.mark.parametrize(
    ("change", "name"),
    [({"coupling": "none"}, "coupling"), ({"least_time": 0.0}, "least_time")],
)
def test_settings_that_cannot_be_used_are_named(
    change: dict[str, object], name: str
) -> None:
    settings = dataclasses.replace(OFM.presets["fair"], **change)
    with pytest.raises(DataError, match=f"settings: {name} must"):
        OFM(settings).fit(np.zeros((20, 2)), np.ones((20, 2)))
