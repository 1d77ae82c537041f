"""Which rows to believe: shares that are uniform on fresh rows, holes, classes, covariates, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import normal
from scipy import stats
from torch import Tensor

from brenier import DataError, OptimalTransport, Quadratic, TransportMap, load

QUICK: dict[str, Any] = {"max_steps": 15, "batch_size": 128, "random_state": 0}
FEW: dict[str, Any] = {**QUICK, "potential": "free", "n_networks": 1}


def by_hand(dim: int, kept: Tensor | None = None) -> TransportMap:
    """The identity, with rows at which its inverse starts."""
    return TransportMap(Quadratic(dim).double(), start_rows=kept)


def ring(n: int, seed: int) -> Tensor:
    """Rows about a circle of radius 3."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    around = 3 * torch.stack([angle.cos(), angle.sin()], -1)
    return around + 0.2 * normal(n, 2, seed=seed + 1)


def heavy(n: int, seed: int) -> Tensor:
    """Rows of Student's t law with two degrees of freedom."""
    found = stats.t.rvs(2, size=(n, 2), random_state=seed)
    return torch.as_tensor(found)


@pytest.mark.parametrize("kept", [True, False], ids=["kept rows", "none kept"])
@pytest.mark.parametrize("draw", [ring, heavy], ids=["ring", "heavy tails"])
def test_fresh_rows_have_uniform_shares(draw: Any, kept: bool) -> None:
    transport = by_hand(2, draw(500, 7) if kept else None)
    pooled = []
    for seed in range(30):
        transport.calibrate_support(draw(200, 100 + 2 * seed))
        shares = transport.support(draw(50, 1000 + 2 * seed))
        assert float(shares.min()) >= 1 / 201
        pooled.append(shares)
    found = torch.cat(pooled).numpy()
    assert abs(found.mean() - 0.5) < 0.04
    for level in (0.05, 0.25, 0.75):
        assert abs((found <= level).mean() - level) < 0.04


def test_a_hole_is_seen_where_rows_are_kept() -> None:
    centre = torch.zeros(1, 2, dtype=torch.float64)
    with_rows = by_hand(2, ring(500, 7)).calibrate_support(ring(400, 1))
    without = by_hand(2).calibrate_support(ring(400, 1))
    assert float(with_rows.support(centre)) < 0.01
    assert float(without.support(centre)) > 0.9
    far = torch.full((1, 2), 30.0, dtype=torch.float64)
    assert float(with_rows.support(far)) == pytest.approx(1 / 401)
    assert float(without.support(far)) == pytest.approx(1 / 401)


def test_a_map_that_does_not_know_says_what_to_do() -> None:
    with pytest.raises(DataError, match="calibrate_support"):
        by_hand(2).support(ring(5, 0))


def test_a_fit_knows_its_source_and_keeps_it(tmp_path: Path) -> None:
    X, Y = ring(800, 0).numpy(), normal(800, 2, seed=3).sinh().numpy()
    ot = OptimalTransport(**FEW).fit(X, Y)
    rows = np.array([[3.0, 0.1], [20.0, 0.0]])
    shares = ot.map_.support(rows)
    assert isinstance(shares, np.ndarray)
    assert shares[0] > 0.05
    assert shares[1] < 0.02
    ot.save(tmp_path / "model")
    again = load(tmp_path / "model").map_.support(X)
    assert np.array_equal(again, ot.map_.support(X))


def test_a_model_without_says_what_to_do(tmp_path: Path) -> None:
    ot = OptimalTransport(**QUICK).fit(normal(300, 2), 2 * normal(300, 2, seed=1))
    ot.map_.fitted_support = None  # as those of earlier versions
    ot.save(tmp_path / "model")
    old = load(tmp_path / "model")
    assert np.isfinite(old.transform(normal(5, 2).numpy())).all()
    with pytest.raises(DataError, match="earlier version"):
        old.map_.support(normal(5, 2))


def test_classes_have_supports_of_their_own(tmp_path: Path) -> None:
    labels = np.repeat(["a", "b"], 600)
    X = normal(1200, 2) + 10 * torch.as_tensor(labels == "b").double().unsqueeze(-1)
    ot = OptimalTransport(**QUICK).fit(
        X, 2 * X + normal(1200, 2, seed=4), source_labels=labels, target_labels=labels
    )
    rows = torch.tensor([[0.0, 0.0], [10.0, 10.0], [0.0, 0.0]], dtype=torch.float64)
    shares = ot.map_.support(rows, ["a", "b", "b"])
    assert float(shares[:2].min()) > 0.5
    assert float(shares[2]) < 0.03
    ot.save(tmp_path / "model")
    again = load(tmp_path / "model").map_.support(X, labels)
    assert torch.equal(again, ot.map_.support(X, labels))


def test_covariates_outside_of_their_range_are_outside() -> None:
    c = np.random.default_rng(0).uniform(size=600)
    X = normal(600, 2)
    Y = 2 * X + torch.as_tensor(c).unsqueeze(-1)
    ot = OptimalTransport(**QUICK).fit(X, Y, source_covariates=c, target_covariates=c)
    inside, outside = ot.map_.support(torch.zeros(2, 2).double(), [0.5, 3.0])
    assert float(inside) > 0.5
    assert float(outside) < 0.02


def test_supports_are_checked_when_read(tmp_path: Path) -> None:
    from brenier.transport.maps.support_files import support_to_json, supports_from_json

    transport = by_hand(2).calibrate_support(ring(100, 0))
    held = support_to_json(transport)
    assert set(supports_from_json(held, 2)) == {-1}
    part: Any = held["support"]
    for wrong in (
        {**part["-1"], "centre": [0.0]},
        {**part["-1"], "scale": [0.0, 1.0]},
        {**part["-1"], "radii": {**part["-1"]["radii"], "rows": 0}},
        {**part["-1"], "radii": {**part["-1"]["radii"], "scores": [1.0]}},
    ):
        with pytest.raises(ValueError, match="support"):
            supports_from_json({"support": {"-1": wrong}}, 2)
