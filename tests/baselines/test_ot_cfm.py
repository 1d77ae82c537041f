"""Flow matching along minibatch plans: the Runge-Kutta rule, its inverse, and what is learned."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier.baselines import OTCFM, FlowMatchingSettings
from brenier.baselines.ot_cfm import FlowMatchingTask, VelocityModel
from brenier.baselines.pair_task import PairSides

TURN = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)


class Turning(VelocityModel):
    """A velocity that turns rows, faster and faster: v = 2 t angle J x."""

    angle = 1.2

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        return 2 * t * self.angle * x @ TURN


class Drifting(VelocityModel):
    """A velocity that is the same everywhere."""

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.ones_like(x) * 3


def points(n: int = 50) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def test_paths_are_of_fourth_order() -> None:
    x = points()
    expected = x @ torch.matrix_exp(Turning.angle * TURN)
    errors = [
        float((Turning(2, integration_steps=n).moved(x) - expected).abs().max())
        for n in (4, 8)
    ]
    assert 12 < errors[0] / errors[1] < 20


def test_going_back_undoes_going_ahead() -> None:
    x, model = points(), Turning(2, integration_steps=16)
    torch.testing.assert_close(model.returned(model.moved(x)), x, atol=1e-5, rtol=0)
    generator = torch.Generator().manual_seed(1)
    network = VelocityModel(2, generator=generator).double()
    torch.testing.assert_close(network.returned(network.moved(x)), x, atol=1e-6, rtol=0)


def test_straight_paths_do_not_bend_and_turning_ones_do() -> None:
    x = points()
    assert Drifting(2).bend(x) < 1e-12
    # of |dx/dt|^2 = 4 t^2 angle^2 |x|^2 the mean is 4/3 angle^2 |x|^2; the chord is 2 sin(angle/2) |x|
    chord = 4 * math.sin(Turning.angle / 2) ** 2
    expected = (4 / 3 * Turning.angle**2 - chord) / chord
    found = Turning(2, integration_steps=200).bend(x)
    assert found == pytest.approx(expected, rel=1e-2)


def fixed(rows: Tensor, copies: Tensor) -> PairSides:
    """Sides whose batches are always the same rows."""
    return PairSides(
        lambda n, generator: rows,
        lambda n, generator: copies,
        (rows, copies),
        (len(rows), len(copies)),
        (rows, copies),
    )


@pytest.mark.parametrize("replacement", [False, True])
def test_the_loss_of_a_velocity_along_the_plan_is_zero(replacement: bool) -> None:
    """Rows that moved by (3, 3) are paired with themselves, in whatever order they come."""
    x = points()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    settings = FlowMatchingSettings(replacement=replacement)
    task = FlowMatchingTask(
        Drifting(2), fixed(x, x[order] + 3), torch.Generator().manual_seed(0), settings
    )
    assert float(task.loss(len(x))) < 1e-20


def test_noise_is_added_to_where_the_velocity_is_asked() -> None:
    x = points()

    class Place(Drifting):
        def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
            return x

    def loss(noise: float) -> float:
        task = FlowMatchingTask(
            Place(2),
            fixed(0 * x, 0 * x),
            torch.Generator().manual_seed(0),
            FlowMatchingSettings(noise=noise),
        )
        return float(task.loss(len(x)))

    assert loss(0.0) == 0.0
    assert loss(2.0) == pytest.approx(4.0, rel=0.4)


def test_a_translation_is_learned_in_the_coordinates_of_the_data() -> None:
    rng, shift = np.random.default_rng(0), np.array([3.0, -1.0])
    X, Y = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) + shift
    settings = dataclasses.replace(
        OTCFM.presets["fair"],
        coordinates="data",
        batch_size=48,
        hidden=(64, 64),
        learning_rate=5e-3,
        evaluate_every=1000,
    )
    fitted = OTCFM(settings, max_steps=250, random_state=0).fit(X, Y)
    moved = fitted.transform(X)
    assert np.square(moved - X - shift).mean() < 0.02
    assert np.abs(fitted.inverse_transform(moved) - X).max() < 0.01
    assert fitted.diagnostics_["bend"] < 0.01
