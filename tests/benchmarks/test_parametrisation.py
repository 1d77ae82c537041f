"""Depths of inner problems, and the figure."""

import math
from pathlib import Path

import pytest
import torch

from benchmarks import parametrisation
from benchmarks.harness import Ledger, rows
from brenier import Quadratic, TransportMap


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def test_the_inner_problems_of_a_solved_map_are_shallow(
    generator: torch.Generator,
) -> None:
    transport = TransportMap(
        Quadratic(2, torch.diag(torch.tensor([0.5, 2.0]))).requires_grad_(False),
        max_steps=77,
    )
    found = parametrisation.inner_problems(
        transport, torch.randn(50, 2, generator=generator)
    )
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
