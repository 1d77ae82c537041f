"""How a run is set up for its data: how many steps, how many rows a step draws, and how they are jittered."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from brenier import (
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    MemberSamples,
    OptimalTransport,
    Potential,
    Run,
    Settings,
)
from brenier.datasets.populations import Population, population
from brenier.estimators.options import Options
from brenier.estimators.parameters import Parameters
from brenier.potentials import Conditional
from brenier.transport.dual import Batches

GROWTH = Settings.batch_growth_steps
SHORT = Settings.short_run_steps


def options_of(rows: int | None, **given: Any) -> Options:
    """What a fit of a side of so many rows and of an endless one is told."""
    parameters = Parameters(**OptimalTransport(**given).get_params(deep=False))
    return parameters.options(_population(rows), _population(None), None)


def test_batches_grow_with_the_steps() -> None:
    settings = Settings(batch_size=100, largest_batch=250)
    steps = (0, GROWTH - 1, GROWTH, 2 * GROWTH, 50 * GROWTH)
    assert [settings.rows(step) for step in steps] == [100, 100, 200, 250, 250]


def test_batches_never_shrink() -> None:
    assert Settings(batch_size=100, largest_batch=10).rows(5 * GROWTH) == 100
    assert Settings(batch_size=100).rows(5 * GROWTH) == 100


@pytest.mark.parametrize(
    ("rows", "given", "expected"),
    [
        (None, {}, [1024, 1024, 2048, 2048, 3072]),  # an endless side
        (
            16_000,
            {},
            [1024, 1024, 2000, 2000, 2000],
        ),  # an eighth of a side, before rows are held out
        (2000, {}, [1024, 1024, 1024, 1024, 1024]),
        (None, {"batch_size": 64}, [64, 64, 64, 64, 64]),
    ],
)
def test_the_estimator_draws_as_many_rows_as_it_says(
    rows: int | None,
    given: dict[str, Any],
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []
    draw = Batches.draw

    def watched(batches: Batches, size: int, bandwidth: float) -> Any:
        drawn.append(size)
        return draw(batches, size, bandwidth)

    monkeypatch.setattr(Batches, "draw", watched)

    def endless(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 1, generator=generator)

    side = endless if rows is None else np.random.default_rng(0).normal(size=(rows, 1))
    settings = {"batch_growth_steps": 2}
    ot = OptimalTransport(max_steps=5, random_state=0, settings=settings, **given)
    ot.fit(side, side)
    assert drawn == expected


@pytest.mark.parametrize(
    ("rows", "given", "layers"),
    [
        (None, {}, 3),
        (None, {"max_time": 60}, 3),
        (None, {"max_time": 60, "max_steps": 100_000}, 3),
        (None, {"max_time": 180}, 4),
        (None, {"max_time": 300, "n_networks": 1}, 4),
        (None, {"max_time": 599, "n_networks": 1}, 4),
        (None, {"max_time": 600, "n_networks": 1}, 7),
        (None, {"max_steps": 5000}, 4),
        (None, {"max_steps": 9999}, 4),
        (None, {"max_steps": 10_000}, 7),
        (100_000, {"max_time": 180}, 4),
        (99_999, {"max_time": 180}, 3),
        (99_999, {"max_steps": 10_000}, 3),
        (None, {"max_time": 180, "potential": "convex"}, 3),
    ],
)
def test_long_runs_on_many_rows_have_more_layers(
    rows: int | None, given: dict[str, Any], layers: int
) -> None:
    options = options_of(rows, **given)
    potential = options.make_potential(2, torch.Generator())
    assert isinstance(potential, DenseICNN)
    assert potential.hidden == (64,) * (layers - 1) + (32,)


@pytest.mark.parametrize(("dim", "layers"), [(8, 7), (9, 5), (16, 5), (95, 5)])
def test_longer_runs_have_most_layers_where_they_are_narrow(
    dim: int, layers: int
) -> None:
    options = options_of(None, max_steps=10_000)
    potential = options.make_potential(dim, torch.Generator())
    assert isinstance(potential, DenseICNN)
    assert len(potential.hidden) == layers


@pytest.mark.parametrize(
    ("rows", "given", "networks"),
    [
        (None, {}, 1),
        (None, {"max_time": 299}, 1),
        (None, {"max_time": 300}, 2),
        (100_000, {"max_time": 300}, 2),
        (1000, {"max_time": 300}, 2),
        (1000, {"max_time": 299}, 1),
        (99_999, {}, 2),
        (99_999, {"max_steps": 3000}, 1),
        (100_000, {}, 1),
        (None, {"max_steps": 100_000}, 1),
        (1000, {"potential": "convex"}, 1),
        (None, {"max_time": 300, "n_networks": 1}, 1),
        (None, {"max_time": 300, "potential": "convex"}, 1),
        (1000, {"n_networks": 3}, 3),
    ],
)
def test_long_runs_and_those_on_few_rows_train_two_networks(
    rows: int | None, given: dict[str, Any], networks: int
) -> None:
    options = options_of(rows, **given)
    assert len(options.make_potential(2, torch.Generator()).members()) == networks


@pytest.mark.parametrize(
    ("given", "uses"),
    [
        ({}, 3),
        ({"max_time": 179}, 3),
        ({"max_time": 180}, 1),
        ({"max_steps": 5000}, 1),
        ({"max_steps": 4999}, 3),
    ],
)
def test_rows_of_long_runs_are_used_once(given: dict[str, Any], uses: int) -> None:
    options = options_of(1000, **given)
    assert options.settings.dual.max_reuse == uses


@pytest.mark.parametrize(
    ("given", "rows", "steps"),
    [
        ({}, None, 3000),
        ({}, 200_000, 3000),
        ({}, 1000, 300),
        ({}, 10, 100),
        ({"max_steps": 20}, 10, 20),
        ({"max_time": 60}, 1000, math.inf),
        ({"max_time": 60, "max_steps": 100}, 1000, 100),
    ],
)
def test_steps_are_bounded_unless_only_seconds_are_given(
    given: dict[str, Any], rows: int, steps: float
) -> None:
    options = options_of(rows, **given)
    assert options.settings.training.max_steps == steps


@pytest.mark.parametrize(
    ("given", "rows", "bandwidth"),
    [
        ({}, 1000, 0.3 * 1000 ** (-1 / 6)),
        ({}, None, 0.0),
        ({"start": "identity"}, 1000, 0.0),
        ({"start": "identity", "bandwidth": 0.2}, None, 0.2),
        ({"bandwidth": 0.0}, 1000, 0.0),
    ],
)
def test_few_rows_are_jittered(
    given: dict[str, Any], rows: int, bandwidth: float
) -> None:
    options = options_of(rows, **given)
    assert options.settings.dual.bandwidth == pytest.approx(bandwidth)


def test_rows_are_jittered_the_less_the_lower_the_rate() -> None:
    settings = Settings(max_steps=10, schedule=lambda progress: 1 - progress)
    drawn: list[tuple[float, float]] = []

    def zeros(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.zeros(n, 2)

    held_out = torch.randn(
        2, 2000, 2, generator=torch.Generator().manual_seed(1)
    ) + torch.tensor([3.0, -1.0])
    potential = Conditional(DenseICNN(2, generator=torch.Generator().manual_seed(0)), 1)
    task = DualTask(
        potential,
        DualObjective(),
        MemberSamples(zeros, zeros, (held_out[0], held_out[1])),
        DualSettings(bandwidth=0.5),
        torch.Generator().manual_seed(0),
    )
    run = Run(task, settings, task.generator)
    for _ in range(3):
        (batch,) = task._draw(5000, run._set_rate())
        x, z = batch.x, batch.z
        assert not torch.cat([x, z])[:, 1].any()  # conditions
        drawn.append((float(x[:, 0].std()), float(z[:, 0].std())))
        run.step += 4
    widths = torch.tensor([0.5, 0.3, 0.1])
    expected = widths / (1 + widths**2).sqrt()
    torch.testing.assert_close(
        torch.tensor(drawn), expected.expand(2, -1).mT, rtol=0.05, atol=0
    )


@pytest.mark.filterwarnings("ignore:max_time")  # so few seconds allow few steps
def test_seconds_given_alone_are_used() -> None:
    def endless(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    ot = OptimalTransport(
        max_time=2.0, verbose=True, random_state=0, settings={"default_steps": 1}
    ).fit(endless, endless)
    assert ot.diagnostics_["stopped"] == "budget"
    assert ot.diagnostics_["steps"] > 1


def test_only_short_runs_are_short() -> None:
    assert [
        Settings().short_run_factor(steps)
        for steps in (0, SHORT, 1.5 * SHORT, 2 * SHORT, 3000)
    ] == [
        1,
        1,
        0.5,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("max_steps", "lr_multiplier"), [(40, 2.0), (600, 2.0**0.5), (3000, 1.0)]
)
def test_in_short_runs_squares_and_weights_between_layers_have_a_higher_rate(
    max_steps: int, lr_multiplier: float
) -> None:
    potential = DenseICNN(2, generator=torch.Generator().manual_seed(0))
    rates: list[dict[str, float]] = []
    for trained in (potential, Conditional(potential, 1)):
        run = _two_steps(
            trained,
            Settings(
                max_steps=max_steps, learning_rate=0.03, schedule=lambda progress: 0.5
            ),
        )
        by_id = {
            id(p): group["lr"]
            for group in run.optimizer.param_groups
            for p in group["params"]
        }
        rates.append(
            {
                name: by_id[id(parameter)]
                for name, parameter in potential.named_parameters()
            }
        )
    slow = dict.fromkeys(
        ("linear", "bias", "readout", "affine.factor", "affine.shift"), 0.015
    )
    fast = dict.fromkeys(("quadratic", "weights.0", "weights.1"), 0.015 * lr_multiplier)
    assert rates == [pytest.approx(slow | fast)] * 2


def _two_steps(potential: Potential, settings: Settings) -> Run[Potential]:
    """A run that has taken two steps."""

    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    generator = torch.Generator().manual_seed(0)
    held_out = draw(8, generator), draw(8, generator)
    objective, dual = DualObjective(), DualSettings()
    samples = MemberSamples(draw, draw, held_out)
    task = DualTask(potential, objective, samples, dual, generator)
    run = Run(task, settings, generator)
    run.advance()
    run.advance()
    return run


def _population(rows: int | None) -> Population:
    """An endless population, or one of that many rows."""
    if rows is None:
        return population(
            lambda n, generator: torch.randn(n, 2, generator=generator), "X"
        )[0]
    return population(np.zeros((rows, 2)) + np.arange(rows)[:, None], "X")[0]
