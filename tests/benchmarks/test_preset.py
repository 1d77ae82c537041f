"""The published settings beside the default ones."""

import pytest
import torch

from benchmarks import preset
from brenier import DualTask, GradientStep, OptimalTransport
from brenier.datasets import gaussian_pair

pytestmark = pytest.mark.slow  # fits of seconds


def test_the_published_settings_are_arguments_of_the_estimator(
    generator: torch.Generator,
) -> None:
    for dim, rate in ((2, 1e-3), (16, 1e-4), (64, 1e-4)):
        told = preset.estimator("paper", dim).get_params()
        assert (told["batch_size"], told["max_steps"], told["tol"]) == (
            2048,
            5000,
            1e-3,
        )
        assert told["method"] == GradientStep.paper()
        network = told["potential"](dim, generator)
        assert network.hidden == (max(2 * dim, 64), max(2 * dim, 64), max(dim, 32))
        assert float(network.quadratic.detach().std()) == pytest.approx(0.1, rel=0.2)
        assert told["optimizer"](network.parameters()).defaults["lr"] == rate
    assert (
        preset.estimator("default", 2).get_params() == OptimalTransport().get_params()
    )
    assert preset.estimator("paper", 2, max_steps=7).max_steps == 7


@pytest.mark.slow
def test_a_fit_of_the_preset_inverts_as_published(generator: torch.Generator) -> None:
    x, z = (
        torch.randn(40, 2, generator=generator),
        torch.randn(40, 2, generator=generator),
    )
    ot = preset.fit_to("paper", x, z, 2, max_steps=1, batch_size=20, random_state=0)
    assert (ot.map_.tol, ot.map_.max_steps) == (1e-3, 1000)


@pytest.mark.parametrize("method", list(preset.METHODS))
def test_a_run_holds_one_tolerance_from_the_start(method: str) -> None:
    run = preset.start_run(
        method, gaussian_pair(2), 0, tol=1e-2, max_steps=2, batch_size=32
    )
    assert isinstance(run.task, DualTask)
    assert run.task.objective.max_steps == preset.METHODS[method].max_steps
    assert run.task._tol(1.0) == 1e-2
    while not run.finished:
        run.advance()
    assert (run.step, run.finished) == (2, "budget")
