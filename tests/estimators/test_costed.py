"""Fits under other costs and with unbalanced mass: exact maps, nulls, limits, files, and what is refused."""

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import quick
from torch import Tensor

import brenier
from brenier import (
    BFGS,
    ConvergenceWarning,
    CostDistance,
    DataError,
    DenseICNN,
    Elastic,
    LogCosh,
    Mahalanobis,
    OptimalTransport,
    Potential,
    Power,
    SeparablePower,
    SquaredEuclidean,
    UnbalancedMass,
)
from brenier.transport.costs import Cost

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1500, 2))
COSTS: dict[str, Cost] = {
    "power 1.5": Power(1.5),
    "power 3": Power(3),
    "separable 1.5": SeparablePower(1.5),
    "elastic": Elastic(0.2),
    "log-cosh": LogCosh(),
}


@dataclasses.dataclass(frozen=True)
class Own:
    """A user's cost: that of `Power(1.5)`."""

    inside: Cost = COSTS["power 1.5"]

    def value(self, v: Tensor) -> Tensor:
        return self.inside.value(v)

    def gradient(self, v: Tensor) -> Tensor:
        return self.inside.gradient(v)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return self.inside.conjugate_gradient(s)


def moved(x: np.ndarray, cost: Cost) -> np.ndarray:
    """T(x) = x + grad h*(grad g(x)) with a convex g, which is optimal for the cost."""
    slopes = 0.6 * np.tanh(2 * x) + 0.1
    return x + cost.conjugate_gradient(torch.from_numpy(slopes)).numpy()


def fit(cost: Any, x: np.ndarray, z: np.ndarray, **told: Any) -> OptimalTransport:
    told = {"potential": small, "max_steps": 15, "batch_size": 256, **told}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so few steps
        return quick(cost=cost, **told).fit(x, z)


def small(dim: int, generator: torch.Generator) -> Potential:
    """A network whose steps are cheap."""
    return DenseICNN(dim, (32, 16), bounded_below=True, generator=generator)


def error(found: np.ndarray, truth: np.ndarray, start: np.ndarray) -> float:
    """The squared error beside that of doing nothing."""
    return float(np.square(found - truth).sum() / np.square(start - truth).sum())


MARKED = [
    pytest.param(cost, id=name, marks=[] if name == "power 3" else pytest.mark.slow)
    for name, cost in COSTS.items()
]


@pytest.mark.parametrize("cost", MARKED)
def test_maps_are_found_both_ways(cost: Cost) -> None:
    new = RNG.normal(size=(1000, 2))
    target = moved(new, cost)
    z = moved(np.random.default_rng(1).normal(size=(1500, 2)), cost)
    ot = fit(cost, X, z, max_steps=100)
    assert ot.diagnostics_["selected"] == "network"
    assert error(ot.transform(new), target, new) < 0.35
    assert error(ot.inverse_transform(target), new, target) < 0.35
    found, truth = ot.distance(), float(cost.value(torch.tensor(target - new)).mean())
    assert isinstance(found, CostDistance)
    assert found.differs
    assert found.interval[0] - 0.05 * truth < truth < found.interval[1] + 0.3 * truth
    if found.degree is not None:
        root = (found.degree * found.cost) ** (1 / found.degree)
        assert float(found) == pytest.approx(root)


@pytest.mark.parametrize("cost", [*COSTS.values(), Own()], ids=[*COSTS, "own"])
def test_a_difference_of_nothing_is_not_claimed(cost: Cost) -> None:
    ot = fit(cost, X, np.random.default_rng(2).normal(size=(1500, 2)), max_steps=20)
    assert ot.diagnostics_["selected"] == "shift"
    assert not ot.distance().differs
    assert "No difference can be seen" in ot.distance().statement()


def test_far_shifts_cost_what_they_do_and_are_begun_with() -> None:
    z = np.random.default_rng(3).normal(size=(1500, 2)) + np.array([300, -400])
    for cost, expected in ((Power(1.5), 500.0), (Power(3), 500.0)):
        ot = fit(cost, X, z, max_steps=2)
        assert float(ot.distance()) == pytest.approx(expected, rel=1e-3)
        assert np.abs(ot.transform(X) - X - [300, -400]).max() < 3


@pytest.mark.parametrize("cost", [*COSTS.values(), Own()], ids=[*COSTS, "own"])
def test_the_map_keeps_its_promises(cost: Cost) -> None:
    ot = fit(cost, X, moved(X[::-1], cost))
    x = X[:50]
    there, half = ot.transform(x), ot.map_.interpolate(x, 0.5)
    np.testing.assert_allclose(half, (x + there) / 2, atol=1e-12)
    of_moves = cost.value(torch.from_numpy(there - x)).numpy()
    np.testing.assert_allclose(ot.map_.cost(x), of_moves, rtol=1e-6, atol=1e-9)
    # T(x) = x + grad h*(grad g(x)), in the units of the data.
    rows = torch.from_numpy(x).requires_grad_()
    (slope,) = torch.autograd.grad(ot.map_.potential(rows).sum(), rows)
    by_slope = x + cost.conjugate_gradient(slope).numpy()
    alike = np.isclose(there, by_slope, atol=1e-5)
    # Under a cost with a largest slope no row is moved farther than any has come.
    assert alike.mean() > (0.7 if cost == LogCosh() else 1 - 1e-9)
    # Weak duality, for every pair.
    phi, phi_c, _ = ot.map_.dual_terms(x, there)
    pairs = cost.value(torch.from_numpy((there[:, None] - x).reshape(-1, 2)))
    assert float((pairs.view(50, 50) - phi - phi_c.unsqueeze(1)).min()) > -1e-3
    assert ot.score(x, there) == pytest.approx(float(phi.mean() + phi_c.mean()))


def test_what_a_sparse_cost_does_not_move_stays_to_the_bit() -> None:
    z = X[::-1].copy()
    z[:, 0] += 2 + np.tanh(2 * z[:, 0])
    ot = fit(Elastic(0.5), X, z, max_steps=40)
    there = ot.transform(X)
    still = there[:, 1] == X[:, 1]
    assert still.mean() > 0.9
    assert (there[:, 0] != X[:, 0]).all()
    back = ot.inverse_transform(z)
    assert (back[:, 1] == z[:, 1]).mean() > 0.9


@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_saved_models_give_the_same_bits(cost: Cost, tmp_path: Path) -> None:
    ot = fit(cost, X, moved(X[::-1], cost), max_steps=5)
    ot.save(tmp_path / "model")
    again = brenier.load(tmp_path / "model")
    assert again.cost == cost
    assert again.distance() == ot.distance()
    for method in ("transform", "inverse_transform"):
        first, second = (getattr(each, method)(X[:40]) for each in (ot, again))
        assert np.array_equal(first, second)


def test_models_of_a_cost_of_ones_own_are_not_saved(tmp_path: Path) -> None:
    ot = fit(Own(), X, X + 1, max_steps=2)
    with pytest.raises(DataError, match="a cost of your own"):
        ot.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_units_of_the_data_change_nothing_but_units() -> None:
    z = moved(X[::-1], Power(1.5))
    plain, large = (fit(Power(1.5), k * X + 7, k * z + 7) for k in (1.0, 1024.0))
    np.testing.assert_allclose(
        large.transform(1024 * X + 7),
        1024 * (plain.transform(X + 7) - 7) + 7,
        rtol=0.1,
        atol=100,
    )
    assert float(large.distance()) == pytest.approx(
        1024 * float(plain.distance()), 0.05
    )


def test_features_have_the_units_that_are_asked_for() -> None:
    wide = X * [1.0, 100.0]
    ot = fit(Power(3), wide, wide + np.array([1, 0]), scale=[1.0, 100.0], max_steps=2)
    assert float(ot.distance()) == pytest.approx(1.0, rel=0.5)
    assert np.abs(ot.transform(wide) - wide - [1, 0]).max() < 0.5


# ---- unbalanced mass


def with_outliers(seed: int, share: float = 0.05) -> tuple[np.ndarray, int]:
    """A target whose first rows are outliers."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(1500, 2)) * [1.3, 0.7] + [1.0, 0.0]
    count = int(share * len(z))
    z[:count] = rng.normal(size=(count, 2)) * 0.3 + [0.0, 10.0]
    return z, count


@pytest.mark.slow
def test_outliers_do_not_drag_the_map_of_unbalanced_mass() -> None:
    z, count = with_outliers(1)
    truth = X * [1.3, 0.7] + [1.0, 0.0]
    mass = UnbalancedMass(source=math.inf, target=2.0)
    robust = fit("squared_euclidean", X, z, mass=mass, max_steps=100)
    balanced = fit("squared_euclidean", X, z, max_steps=100)
    errors = [error(ot.transform(X), truth, X) for ot in (robust, balanced)]
    assert errors[0] < 0.2 < 1 < errors[1]
    explained = robust.map_.explained(z)
    assert explained[:count].max() < 0.2
    assert explained[count:].mean() == pytest.approx(1.0, abs=0.15)
    assert (robust.map_.growth(X) == 1).all()
    assert "of the target explained" in robust.distance().statement()


@pytest.mark.slow
def test_growth_is_that_of_the_mass() -> None:
    """Two clusters of shares 1:1 that become 3:1 far apart: one grows, the other dies."""
    rng = np.random.default_rng(4)
    side = np.where(np.arange(6000) % 2, 10.0, -10.0)[:, None] * [1.0, 0.0]
    other = np.where(np.arange(6000) % 4, 10.0, -10.0)[:, None] * [1.0, 0.0]
    x = 0.5 * rng.normal(size=(6000, 2)) + side
    z = 0.5 * rng.normal(size=(6000, 2)) + other
    ot = fit("squared_euclidean", x, z, mass=UnbalancedMass(1.0, 1.0), max_steps=150)
    growth, explained = ot.map_.growth(x), ot.map_.explained(z)
    right = x[:, 0] > 0
    # The best plan moves within clusters, sqrt(source share * target share) of mass each.
    for rows, source, target in ((right, 0.5, 0.75), (~right, 0.5, 0.25)):
        expected = math.sqrt(source * target) / source
        assert growth[rows].mean() == pytest.approx(expected, rel=0.1)
    assert explained[z[:, 0] > 0].mean() == pytest.approx(
        math.sqrt(0.5 / 0.75), rel=0.1
    )
    assert np.abs(ot.transform(x) - x).max() < 5


def test_large_prices_are_balanced_mass() -> None:
    z = np.random.default_rng(5).normal(size=(1500, 2)) * 1.5 + 1
    large = fit(Power(1.5), X, z, mass=UnbalancedMass(1e6, 1e6))
    plain = fit(Power(1.5), X, z)
    assert float(large.distance()) == pytest.approx(
        plain.map_.distance().cost, rel=0.05
    )
    assert np.abs(large.transform(X) - plain.transform(X)).mean() < 0.1
    assert large.map_.growth(X) == pytest.approx(np.ones(1500), abs=1e-3)


def test_masses_are_saved(tmp_path: Path) -> None:
    mass = UnbalancedMass(source=math.inf, target=2.0)
    ot = fit("squared_euclidean", X, with_outliers(2)[0], mass=mass, max_steps=3)
    ot.save(tmp_path / "model")
    again = brenier.load(tmp_path / "model")
    assert again.mass == mass
    assert again.distance() == ot.distance()
    assert np.array_equal(again.map_.explained(X), ot.map_.explained(X))


def test_balanced_maps_transport_all_mass() -> None:
    ot = quick().fit(X, X + 1)
    assert (ot.map_.growth(X) == 1).all()
    assert (ot.map_.explained(X) == 1).all()


def test_scores_of_unbalanced_mass_are_its_transport_cost() -> None:
    z = np.random.default_rng(6).normal(size=(1500, 2)) + 1
    for cost in (Power(1.5), LogCosh()):
        ot = fit(cost, X, z, mass=UnbalancedMass(2.0, 2.0))
        assert ot.score(X, z) == pytest.approx(ot.map_.distance(X, z).cost)
        # Bounds of displacements leave the constant, at which as much is transported as explained.
        shares = ot.map_.growth(X).mean(), ot.map_.explained(z).mean()
        assert shares[0] == pytest.approx(shares[1], rel=0.1)
        assert ot.map_.ground.constant != 0


# ---- what is refused


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"cost": "manhattan"}, "cost: 'manhattan' is not known"),
        ({"cost": "power"}, "p: cost 'power' needs it"),
        ({"cost": Power}, "cost: must have methods"),
        ({"cost": Own(SquaredEuclidean)}, "cost: value fails"),  # type: ignore[arg-type]
        ({"cost": Mahalanobis(np.eye(3))}, "cost: its matrix is for 3 features"),
        ({"mass": 2.0}, "mass: must be 'balanced' or UnbalancedMass"),
        ({"cost": Power(3), "start": "affine"}, "start: the affine map"),
        ({"start": "shift"}, "start: 'shift' is for other costs"),
        ({"cost": Elastic(1.0), "method": BFGS()}, "method: BFGS needs a smooth cost"),
        ({"cost": Mahalanobis(np.eye(2)), "scale": "feature"}, "scale: the matrix"),
    ],
)
def test_what_cannot_be_is_refused_by_name(told: dict[str, Any], named: str) -> None:
    ot = quick(**told)
    with pytest.raises(DataError, match=named):
        ot.fit(X, X + 1)
    assert not hasattr(ot, "map_")


def test_maps_that_need_an_infinite_gradient_are_refused() -> None:
    with pytest.raises(DataError, match="cost: feature 1 is shifted by 50"):
        quick(cost=LogCosh()).fit(X, X + np.array([0, 50]))
    fit(LogCosh(scale=50.0), X, X + np.array([0, 50]), max_steps=2)


def test_labels_and_covariates_are_refused_by_name() -> None:
    labels = np.arange(1500) % 2
    for kind in ("labels", "covariates"):
        told = {f"source_{kind}": labels, f"target_{kind}": labels}
        with pytest.raises(DataError, match=f"source_{kind}: fits with {kind}"):
            quick(cost=Power(3)).fit(X, X, **told)
        with pytest.raises(DataError, match=f"source_{kind}: fits with {kind}"):
            quick(mass=UnbalancedMass(1.0, 1.0)).fit(X, X, **told)


def test_a_warm_start_goes_on_under_the_same_cost_only() -> None:
    z = moved(X[::-1], Power(3))
    ot = fit(Power(3), X, z, max_steps=3, warm_start=True)
    before = ot.map_.coordinates
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ot.fit(X, z)
    assert torch.equal(ot.map_.coordinates.unit, before.unit)
    for other in ({"cost": Power(2)}, {"mass": UnbalancedMass(1.0, 1.0)}):
        ot.set_params(**other)
        with pytest.raises(DataError, match=r"warm_start: .* another cost or mass"):
            ot.fit(X, z)


# ---- Mahalanobis


def test_a_metric_is_a_change_of_variables() -> None:
    matrix = np.array([[4.0, 1.0], [1.0, 2.0]])
    cost = Mahalanobis(matrix)
    root = cost.root.numpy()
    z = moved(X[::-1], Power(2))
    ot, other = quick(cost=cost).fit(X, z), quick().fit(X @ root, z @ root)
    inverse = np.linalg.inv(root)
    np.testing.assert_allclose(
        ot.transform(X), other.transform(X @ root) @ inverse, atol=1e-9
    )
    np.testing.assert_allclose(
        ot.inverse_transform(z), other.inverse_transform(z @ root) @ inverse, atol=1e-9
    )
    assert float(ot.distance()) == pytest.approx(float(other.distance()))
    assert "units of the metric" in ot.distance().verdict()
    moves = torch.from_numpy(ot.transform(X) - X)
    np.testing.assert_allclose(ot.map_.cost(X), cost.value(moves), rtol=1e-9)


def test_metrics_go_with_labels_streams_and_files(tmp_path: Path) -> None:
    cost = Mahalanobis([[4.0, 1.0], [1.0, 2.0]])
    labels = np.arange(1500) % 2
    by_class = quick(cost=cost).fit(
        X, X + 1, source_labels=labels, target_labels=labels
    )
    by_class.save(tmp_path / "classes")
    again = brenier.load(tmp_path / "classes")
    assert np.array_equal(again.transform(X, labels), by_class.transform(X, labels))
    assert again.distance(0) == by_class.distance(0)
    streamed = quick(cost=cost).fit(
        lambda n, generator: torch.randn(n, 2, generator=generator), X + 1
    )
    streamed.save(tmp_path / "stream")
    again = brenier.load(tmp_path / "stream")
    assert again.cost == cost
    assert np.array_equal(again.transform(X), streamed.transform(X))


def test_files_larger_than_memory_have_no_metric(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(DataError, match="X: lies in a file"):
        quick(cost=Mahalanobis(np.eye(2))).fit(rows, X)
