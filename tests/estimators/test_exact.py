"""What shows a network's map to be wrong, and the map of the exact plan that takes its place."""

from pathlib import Path

import pytest
import torch
from fits import quick
from problems import normal
from torch import Tensor

from brenier import ConvergenceWarning, load
from brenier.estimators.exact import stray_share
from brenier.estimators.settings import PlanSettings

SETTINGS = PlanSettings()


def clusters(n: int, share: float, seed: int, dim: int = 1, far: float = 50) -> Tensor:
    """Two clusters far apart along the first feature, of which the right one holds a share of the rows."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    right = torch.rand(n, generator=generator) < share
    rows[:, 0] += torch.where(right, far, -far)
    return rows


def test_rows_of_the_target_are_not_stray() -> None:
    assert (
        stray_share(
            normal(300, 2), normal(300, 2, seed=1), normal(900, 2, seed=2), SETTINGS
        )
        < 0.02
    )


def test_rows_between_clusters_are() -> None:
    target = clusters(1000, 0.5, 0) / 50
    between = torch.linspace(-0.5, 0.5, 100, dtype=torch.float64).unsqueeze(-1)
    moved = torch.cat([between, target[:300]])
    assert stray_share(moved, target[:200], target[200:], SETTINGS) == pytest.approx(
        0.25, abs=0.01
    )


@pytest.mark.filterwarnings("ignore:the inverse of:brenier.ConvergenceWarning")
@pytest.mark.parametrize("dim", [1, 2])
def test_clusters_whose_shares_change_are_matched(dim: int, tmp_path: Path) -> None:
    x, y = clusters(600, 0.6, 0, dim), clusters(600, 0.4, 1, dim)
    ot = quick(max_steps=40, random_state=0)
    with pytest.warns(
        ConvergenceWarning, match="the map of the network is wrong: .*exact plan"
    ):
        ot.fit(x, y)
    assert ot.diagnostics_["selected"] == "plan"
    moved = ot.transform(clusters(600, 0.6, 2, dim))
    assert float(((moved[:, 0].abs() - 50).abs() > 5).double().mean()) < 0.02
    assert 0.3 < float((moved[:, 0] > 0).double().mean()) < 0.5
    ot.save(tmp_path)
    assert torch.equal(load(tmp_path).transform(x), ot.transform(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("error::brenier.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(3))
def test_ordinary_maps_are_kept(seed: int) -> None:
    x = normal(1000, 2, seed=2 * seed)
    told = {"max_missed_share": 1.0}  # of so few steps some rows do not come back
    ot = quick(max_steps=100, random_state=seed, settings=told).fit(
        x, torch.sinh(normal(1000, 2, seed=2 * seed + 1))
    )
    assert ot.diagnostics_["selected"] == "network"
