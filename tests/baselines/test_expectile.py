"""ENOT: the expectile loss by hand, every gradient against finite differences of what it may see, roles, a map."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from baselines.given import error, given_sides, number, quick, rows, stretched
from torch import Tensor

from brenier.baselines import ENOT, ExpectileSettings
from brenier.baselines.elu_potential import EluPotential
from brenier.baselines.expectile import (
    DualPair,
    ExpectileTask,
    expectile_loss,
    expectile_losses,
)
from brenier.errors import DataError

TAU = 0.9


def potentials(generator: torch.Generator) -> tuple[EluPotential, EluPotential]:
    made = [EluPotential(2, [6, 5], generator=generator).double() for _ in "fg"]
    return made[0], made[1]


def test_the_expectile_loss_by_hand() -> None:
    u = torch.tensor([2.0, -1.0, 0.0, -3.0])
    assert number(expectile_loss(u, 0.9)) == pytest.approx(
        (0.9 * 4 + 0.1 * 1 + 0.1 * 9) / 4
    )


def test_its_minimum_over_constants_is_the_expectile() -> None:
    u, tau = rows(5000, 1).squeeze(1).exp(), 0.98
    at = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([at], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = expectile_loss(u - at, tau)
        loss.backward()
        return loss

    optimiser.step(closure)
    above, below = (u - at).clamp(min=0).sum(), (at - u).clamp(min=0).sum()
    assert number(tau * above) == pytest.approx(number((1 - tau) * below), rel=1e-5)


def test_values_are_those_of_the_formulas(generator: torch.Generator) -> None:
    f, g = potentials(generator)
    x, y = rows(30, 2), rows(30, 2, seed=1) + 0.5
    parts = expectile_losses(f, g, x, y, TAU)
    at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(at).sum(), at)
    moved = x - slope / 2
    g_star = ((x - moved) ** 2).sum(1) - g(moved)
    gap = g_star + g(y) - ((x - y) ** 2).sum(1)
    # The amortisation has the value of half the dual, and both expectile terms have one value.
    assert number(parts.amortisation) == pytest.approx(number(g_star.mean()))
    assert number(parts.dual) == pytest.approx(-number((g_star + g(y)).mean()))
    assert number(parts.regularisation) == pytest.approx(
        2 * number(expectile_loss(gap, TAU))
    )


def slope_by_differences(value: Callable[[], Tensor], part: Tensor) -> Tensor:
    """The gradient of a value in a tensor that it reads, by central differences."""
    flat, found = part.detach().view(-1), []
    for k in range(len(flat)):
        before, ends = number(flat[k]), []
        for sign in (1, -1):
            flat[k] = before + sign * 1e-5
            ends.append(number(value()))
        flat[k] = before
        found.append((ends[0] - ends[1]) / 2e-5)
    return torch.tensor(found, dtype=torch.float64).view_as(part)


def test_the_first_potential_learns_by_the_amortisation_alone(
    generator: torch.Generator,
) -> None:
    f, g = potentials(generator)
    x, y = rows(30, 2), rows(30, 2, seed=1) + 0.5
    parts = expectile_losses(f, g, x, y, TAU)
    (parts.amortisation + parts.dual + parts.regularisation).backward()

    def amortised() -> Tensor:
        return expectile_losses(f, g, x, y, TAU).amortisation

    weight = f.weights[1]
    assert weight.grad is not None
    torch.testing.assert_close(
        weight.grad, slope_by_differences(amortised, weight), rtol=1e-6, atol=1e-9
    )


def test_the_second_learns_by_dual_and_regression_with_stops(
    generator: torch.Generator,
) -> None:
    f, g = potentials(generator)
    x, y = rows(30, 2), rows(30, 2, seed=1) + 0.5
    parts = expectile_losses(f, g, x, y, TAU)
    (parts.amortisation + parts.dual + 0.3 * parts.regularisation).backward()
    with torch.no_grad():
        moved = x - f.gradient(x) / 2
        c_moved, cost = ((x - moved) ** 2).sum(1), ((x - y) ** 2).sum(1)
        star_now, here_now = c_moved - g(moved), g(y)

    def stopped() -> Tensor:
        with torch.no_grad():
            star, here = c_moved - g(moved), g(y)
        first = expectile_loss(star_now - cost + here, TAU)
        second = expectile_loss(here_now - cost + star, TAU)
        return 0.3 * (first + second) - (here + star).mean()

    for part in (g.weights[1], g.biases[0]):
        assert part.grad is not None
        torch.testing.assert_close(
            part.grad, slope_by_differences(stopped, part), rtol=1e-6, atol=1e-9
        )


def test_roles_are_exchanged_at_every_second_step(generator: torch.Generator) -> None:
    model = DualPair(2, widths=[6, 5], generator=generator).double()
    x, y = rows(30, 2), rows(30, 2, seed=1) + 0.5
    settings = ExpectileSettings(expectile=TAU, weight=0.3)
    task = ExpectileTask(model, given_sides(x, y), generator, settings)
    for taken, f, g, a, b in (
        (0, model.of_source, model.of_target, x, y),
        (1, model.of_target, model.of_source, y, x),
    ):
        task.taken = taken
        parts = expectile_losses(f, g, a, b, TAU)
        wanted = parts.amortisation + parts.dual + 0.3 * parts.regularisation
        assert number(task.loss(30)) == pytest.approx(number(wanted))


def test_large_networks_are_for_many_features(generator: torch.Generator) -> None:
    assert ENOT("published").model(63, generator).widths == [128] * 4
    assert ENOT("published").model(64, generator).widths == [512] * 3


def test_it_learns_a_map_and_its_inverse() -> None:
    x, y = rows(4000, 2), stretched(rows(4000, 2, seed=1))
    ot = ENOT(quick(ENOT.presets["fair"]), max_steps=400, random_state=0).fit(x, y)
    assert error(ot.transform(x), stretched(x)) < 0.05
    assert error(ot.inverse_transform(stretched(x)), x) < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [("expectile", 1.2), ("weight", -1.0), ("widths", (0,)), ("large_widths", ())],
)
def test_settings_that_no_fit_takes_are_named(name: str, value: Any) -> None:
    settings = dataclasses.replace(ExpectileSettings(), **{name: value})
    with pytest.raises(DataError, match=f"settings: {name}"):
        settings.check()
