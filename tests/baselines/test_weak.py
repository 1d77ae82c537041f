"""The weak cost: its estimate against many draws and a closed form, the rise of gamma, draws and their mean."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from baselines.given import given_sides, number, quick, rows

from brenier.baselines import WeakNOT, WeakSettings
from brenier.baselines.weak import NoisyMap, WeakTask, weak_cost
from brenier.errors import DataError


def task_of(settings: WeakSettings, generator: torch.Generator) -> WeakTask:
    model = NoisyMap(2, widths=[4, 4], generator=generator).double()
    sides = given_sides(rows(40, 2), rows(40, 2, seed=1))
    return WeakTask(model, sides, generator, settings)


@pytest.mark.parametrize("gamma", [0.0, 0.66, 1.0])
@pytest.mark.parametrize("draws", [2, 4])
def test_the_estimate_is_unbiased(
    gamma: float, draws: int, generator: torch.Generator
) -> None:
    # rho = N(m, diag(1, 9)): C = |x - m|^2 / 2 + (1 - gamma) / 2 * 10.
    x, m = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([3.0, 2.5]).double()
    spread = torch.tensor([1.0, 3.0]).double()
    noise = torch.randn(200_000, draws, 2, generator=generator, dtype=torch.float64)
    found = weak_cost(x.expand(len(noise), 2), m + spread * noise, gamma)
    truth = 0.5 * 4.25 + (1 - gamma) / 2 * 10
    deviation = number(found.std()) / len(found) ** 0.5
    assert number(found.mean()) == pytest.approx(truth, abs=4 * deviation)
    # Teeth: what is taken off is far larger than the tolerance.
    assert 5 / draws > 20 * deviation


def test_without_gamma_it_is_half_the_mean_square_of_both_ends() -> None:
    x, moved = rows(30, 2), rows(30 * 4, 2, seed=2).view(30, 4, 2)
    squares = 0.5 * (x.unsqueeze(1) - moved).square().sum(-1).mean(1)
    torch.testing.assert_close(weak_cost(x, moved, 0.0), squares)


def test_the_loss_of_the_map_takes_several_draws_of_every_row(
    generator: torch.Generator,
) -> None:
    task = task_of(WeakSettings(noises=3, gamma=0.5, cost="mean"), generator)
    task.progress = 1.0
    state = generator.get_state()
    loss = task.map_loss(task.draw_source(40))
    generator.set_state(state)
    noise = 0.1 * torch.randn(40, 3, 2, generator=generator, dtype=torch.float64)
    x = task.draw_source(40)
    each = torch.stack([task.model.drawn(x, noise[:, k]) for k in range(3)])
    mean = each.mean(0)
    cost = ((x - mean) ** 2).sum(1) + (1 - 0.5 - 1 / 3) * each.var(0).sum(1)
    # "mean" over two coordinates of both is half of twice the cost.
    wanted = (
        cost.mean() / 2
        - torch.stack([task.model.potential(t).mean() for t in each]).mean()
    )
    assert number(loss) == pytest.approx(number(wanted))


def test_gamma_rises_along_a_line() -> None:
    settings = WeakSettings(gamma=0.6, gamma_share=0.25)
    shares = (0.0, 0.05, 0.125, 0.25, 0.9)
    found = [settings.gamma_at(share) for share in shares]
    assert found == pytest.approx([0.0, 0.12, 0.3, 0.6, 0.6])
    assert WeakSettings(gamma=0.6, gamma_share=0.0).gamma_at(0.0) == 0.6


def test_the_map_is_the_mean_over_its_fixed_draws(generator: torch.Generator) -> None:
    model = NoisyMap(2, widths=[4, 4], generator=generator).double()
    assert model.noise.shape == (32, 2)
    torch.testing.assert_close(model.noise.sum(0), torch.zeros(2).double())
    x = rows(10, 2)
    each = [model.drawn(x, z.expand(10, 2)) for z in model.noise]
    torch.testing.assert_close(model.moved(x), torch.stack(each).mean(0))
    torch.testing.assert_close(model.one_draw(x)[3], each[3][3])


def test_draws_spread_and_means_do_not(tmp_path: object) -> None:
    # All mass at one point: the map must make the spread of the target out of noise, and the mean stays a point.
    x = 0.01 * rows(2000, 2)
    y = rows(2000, 2, seed=1)
    settings = dataclasses.replace(
        quick(WeakNOT.presets["fair"]),
        noise_deviation=1.0,
        batch_size=128,
        learning_rate=3e-3,
        inner_steps=5,
    )
    weak = WeakNOT(settings, max_steps=900, random_state=0).fit(x, y)
    drawn, means = weak.sample(x, random_state=3), weak.transform(x)
    assert 0.3 < number(drawn.var(0).sum() / y.var(0).sum()) < 1.2
    assert number(means.var(0).sum()) < 0.01 * number(drawn.var(0).sum())
    torch.testing.assert_close(weak.sample(x, random_state=3), drawn)
    assert bool((weak.sample(x, random_state=4) != drawn).any())
    torch.testing.assert_close(weak.transform(x), means)
    weak.save(str(tmp_path))
    again = WeakNOT.load(str(tmp_path))
    torch.testing.assert_close(again.transform(x), means, rtol=0, atol=0)
    torch.testing.assert_close(again.sample(x, random_state=3), drawn, rtol=0, atol=0)


def test_a_seed_that_is_none_is_named(generator: torch.Generator) -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    weak = WeakNOT(max_steps=11, random_state=0).fit(x, x)
    with pytest.raises(DataError, match="random_state"):
        weak.sample(x, random_state="today")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="X"):
        weak.sample(x[:, :1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 1.1),
        ("gamma_share", -0.1),
        ("noises", 1),
        ("noise_numbers", 0),
        ("mean_noises", 3),
        ("noise_deviation", 0.0),
        ("gamma", "half"),
        ("noise_deviation", "small"),
    ],
)
def test_settings_that_no_fit_takes_are_named(name: str, value: Any) -> None:
    settings = dataclasses.replace(WeakSettings(), **{name: value})
    with pytest.raises(DataError, match=f"settings: {name}"):
        settings.check()
