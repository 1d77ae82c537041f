"""The published settings beside the default ones: what the preset tells the estimator, and what is made of it."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import gaussians, parametrisation, preset, rows
from benchmarks.rows import Ledger
from brenier import GradientStep, OptimalTransport, Quadratic, TransportMap
from brenier.datasets import gaussian_pair


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path)


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
    assert run.objective.max_steps == preset.METHODS[method].max_steps
    assert run._tol(1.0) == 1e-2
    while not run.finished:
        run.advance()
    assert (run.step, run.finished) == (2, "budget")


def test_the_inner_problems_of_a_solved_map_are_shallow(
    generator: torch.Generator,
) -> None:
    transport = TransportMap(
        Quadratic(2, torch.diag(torch.tensor([0.5, 2.0]))).requires_grad_(False),
        max_steps=77,
    )
    found = parametrisation.inner(transport, torch.randn(50, 2, generator=generator))
    assert 0 < found["median_depth"] <= found["most_depth"] <= 10
    assert found["median_residual"] <= transport.tol
    assert found["residuals"] == sorted(found["residuals"], reverse=True)
    assert (transport.tol, transport.max_steps) == (1e-4, 77)


def test_the_figure_is_drawn_from_rows(ledger: Ledger, tmp_path: Path) -> None:
    parametrisation.draw([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    curves = {
        "depths": [1, 2],
        "residuals": [0.1, math.inf],
        "train_steps": [100.0],
        "train_costs": [5.0],
    }
    ledger.record("p", "m", 0, lambda: curves, preset="paper", variant="free, tanh")
    (row,) = rows.read(ledger.path)
    assert row.numbers["residuals"] == [0.1, None]
    parametrisation.draw([row], tmp_path / "some.png")
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")


def test_the_target_on_fresh_samples_is_a_tenth_of_the_paper(ledger: Ledger) -> None:
    met = gaussians.TABLES[1].columns[-1].value
    assert callable(met)
    for error, good in ((0.0053, True), (0.0054, False)):
        row = ledger.record(
            "d=16", "m", 0, partial(dict, forward_uvp=error, backward_uvp=0.001), dim=16
        )
        assert met(row) is good
