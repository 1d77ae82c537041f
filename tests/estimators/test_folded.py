"""Fits of few rows: every row judges once, none that certifies takes part; what is chosen is told, kept and saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, same, weights
from pytorch_optimizer import SOAP

from brenier import (
    ConvergenceWarning,
    DenseICNN,
    MeanPotential,
    OptimalTransport,
    Potential,
    Quadratic,
    load,
)
from brenier.datasets import Rows
from brenier.estimators import folded
from brenier.estimators.entropic_fit import CrossFittedPlan
from brenier.estimators.folded import FoldedPlan, FoldedProblem
from brenier.estimators.options import Options
from brenier.estimators.parameters import Parameters
from brenier.estimators.plain import PlainProblem
from brenier.metrics import l2_uvp
from brenier.potentials import EntropicPotential
from brenier.training import Progress, checkpoint

FEW = {"min_steps": 5, "default_steps": 5, "entropic_temperatures": 3}
NAMES = ("network", "plan", "network and plan")
NOT_INJECTIVE = pytest.mark.filterwarnings("ignore:round trip of")


def soft(x: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The gradient of |x|^2/10 and of a log-sum-exp."""
    shares = np.exp(x @ planes.T)
    return 0.2 * x + shares @ planes / shares.sum(1, keepdims=True)


def pair(seed: int, n: int = 200, m: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a normal law and of one that a curved map leads to."""
    rng = np.random.default_rng(seed)
    planes = 2 * rng.normal(size=(5, 2))
    return rng.normal(size=(n, 2)), soft(rng.normal(size=(m, 2)), planes)


def gaussians(seed: int, n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Samples that an affine map leads from one to the other."""
    rng = np.random.default_rng(seed)
    mix = np.array([[1.5, 0.5], [0.5, 1.0]])
    return rng.normal(size=(n, 2)), 1 + rng.normal(size=(n, 2)) @ mix


X, Y = pair(3)


def few(settings: Any = None, **parameters: Any) -> OptimalTransport:
    """An estimator that takes few steps because rows are few, not because it is told so."""
    told = {**FEW, **(settings or {})}
    return OptimalTransport(**{"random_state": 0, "settings": told, **parameters})


def options_of(ot: OptimalTransport, x: np.ndarray, z: np.ndarray) -> Options:
    """What a fit of an estimator is told."""
    told = Parameters(**ot.get_params(deep=False))
    return told.options(*populations(x, z), None, progress=Progress())


def populations(x: np.ndarray, z: np.ndarray) -> tuple[Rows, Rows]:
    return Rows(torch.from_numpy(x), "X"), Rows(torch.from_numpy(z), "Y")


def problem(x: np.ndarray, z: np.ndarray, **told: Any) -> PlainProblem:
    """The problem that a fit prepares."""
    options = options_of(few(**told), x, z)
    plan = FoldedPlan(*populations(x, z))
    return plan.prepare(options, torch.Generator().manual_seed(0))


def folded_problem(x: np.ndarray = X, z: np.ndarray = Y, **told: Any) -> FoldedProblem:
    found = problem(x, z, **told)
    assert isinstance(found, FoldedProblem)
    return found


def ordered(rows: torch.Tensor) -> torch.Tensor:
    """Rows in an order of their own."""
    return rows[rows[:, 0].argsort()]


def choosing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one kind of map be the best."""

    def best_of(rivals: Any) -> Any:
        return next(rival for rival in rivals if rival.name == name)

    monkeypatch.setattr(folded, "best_of", best_of)
    monkeypatch.setattr(CrossFittedPlan, "sharpest", lambda *_: None)


# ---- folds


@pytest.mark.parametrize("n_networks", [2, 3, 5])
def test_every_row_judges_once_and_trains_all_networks_but_one(n_networks: int) -> None:
    x, z = X[:97], Y[:140]
    found = folded_problem(x, z, n_networks=n_networks, start="identity")
    samples = found.samples
    assert len(samples) == len(found.task.members()) == n_networks
    for side, size in ((0, 97), (1, 140)):
        rows = found.rows[side].rows
        assert len(rows) == size - size // 10
        held_out = [each.held_out[side] for each in samples]
        assert torch.equal(ordered(torch.cat(held_out)), ordered(rows))
        assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
        for own, left_out in zip(samples, held_out, strict=True):
            draw = (own.source, own.target)[side]
            seen = {
                tuple(row)
                for seed in range(20)
                for row in draw(10_000, torch.Generator().manual_seed(seed)).tolist()
            }
            rest = {tuple(row) for row in rows.tolist()}
            assert seen == rest - {tuple(row) for row in left_out.tolist()}


def test_rows_that_certify_take_part_in_no_fold() -> None:
    found = folded_problem(start="identity")
    for side, given in ((0, X), (1, Y)):
        coordinates = found.coordinates
        encode = (coordinates.encode_source, coordinates.encode_target)[side]
        certify = encode(found.split.certify[side].rows).float()
        whole = torch.cat([found.rows[side].rows, certify])
        everything = encode(torch.from_numpy(given)).float()
        assert torch.equal(ordered(whole), ordered(everything))
        assert len(certify) == 20


def test_each_fold_has_the_affine_map_of_its_own_rows() -> None:
    found = folded_problem()
    for own in found.samples:
        u, generator = own.starts, torch.Generator().manual_seed(0)
        w = torch.cat([own.target(120, generator) for _ in range(100)])
        assert u is not None
        assert u.mean(0).abs().max() < 1e-5
        assert 0.01 < own.held_out[0].mean(0).abs().max() < 0.9
        assert w.mean(0).abs().max() < 0.05
        moments = [torch.cov(side.mT) for side in (u, w)]
        torch.testing.assert_close(*moments, rtol=0, atol=0.2)


def test_the_value_of_training_is_that_of_all_rows() -> None:
    ot = few().fit(X, Y)
    found = ot.diagnostics_["cross_fitted"]["network"]
    best = min(row["value"] for row in ot.history_)
    assert found == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((15, 200), {}),  # nothing is held out
        ((200, 15), {}),
        ((60, 60), {"settings": {"rows_per_dimension": 17.0}}),
        ((200, 60), {"settings": {"most_folded_rows": 150}}),
        ((40, 40), {"n_networks": 33}),  # more folds than rows
        ((40, 40), {"n_networks": 33, "settings": {"rows_per_dimension": 0.0}}),
    ],
)
def test_too_few_or_too_many_rows_are_split_once(
    rows: tuple[int, int], told: dict[str, Any]
) -> None:
    x, z = pair(0, *rows)
    assert not isinstance(problem(x, z, **told), FoldedProblem)


def test_more_features_than_rows_are_split_once() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(60, 30)), rng.normal(size=(60, 30))
    ot = few().fit(x, z)
    assert "cross_fitted" not in ot.diagnostics_
    assert np.isfinite(ot.transform(x)).all()


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        ({}, NAMES),
        ({"max_time": 0.5}, NAMES),
        ({"n_networks": 2}, ("network",)),
        ({"keep_rows": False}, ("network",)),
        ({"potential": "free"}, ("network",)),
        ({"n_networks": 1}, None),
        ({"max_steps": 5}, None),
        ({"potential": "convex"}, None),
        ({"potential": "residual"}, None),
        ({"potential": lambda d, g: DenseICNN(d, (8,), generator=g)}, None),
        ({"settings": {**FEW, "folded_rows": 100}}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:max_time. .* training steps fitted")
@NOT_INJECTIVE
def test_what_is_compared_follows_from_the_parameters(
    told: dict[str, Any], kinds: tuple[str, ...] | None
) -> None:
    ot = few(**told).fit(X, Y)
    found = ot.diagnostics_.get("cross_fitted")
    assert (None if found is None else tuple(found)) == kinds


def test_labels_and_covariates_have_no_folds() -> None:
    labels = [0, 1] * 100
    ot = few().fit(X, Y, source_labels=labels, target_labels=labels)
    assert "cross_fitted" not in ot.diagnostics_
    values = np.linspace(0, 1, 200)
    ot = few().fit(X, Y, source_covariates=values, target_covariates=values)
    assert "cross_fitted" not in ot.diagnostics_


# ---- what is chosen


def test_the_affine_map_is_kept_where_it_is_the_true_one() -> None:
    chosen = [few().fit(*gaussians(seed)).diagnostics_["selected"] for seed in range(6)]
    assert chosen.count("affine") >= 5


@NOT_INJECTIVE
def test_a_curved_map_is_not_given_up() -> None:
    for seed in (0, 1, 2):
        x, z = pair(seed)
        ot = few().fit(x, z)
        assert ot.diagnostics_["selected"] in NAMES
        found = ot.diagnostics_["cross_fitted"]
        assert min(found, key=found.get) == ot.diagnostics_["selected"]
        affine = few(settings={"choice_errors": 1e9}).fit(x, z)
        assert affine.diagnostics_["selected"] == "affine"
        rng = np.random.default_rng(seed)
        planes = 2 * rng.normal(size=(5, 2))
        new = np.random.default_rng(9).normal(size=(2000, 2))
        truth = torch.from_numpy(soft(new, planes))
        errors = [
            l2_uvp(torch.from_numpy(each.transform(new)), truth)
            for each in (ot, affine)
        ]
        assert errors[0] < errors[1]


@pytest.mark.parametrize("start", ["affine", "identity"])
def test_where_nothing_is_better_the_start_is_taken(start: str) -> None:
    ot = few(start=start, settings={"choice_errors": 1e9}).fit(X, Y)
    assert ot.diagnostics_["selected"] == start
    assert isinstance(ot.map_.network, Quadratic)
    assert tuple(ot.diagnostics_["cross_fitted"]) == NAMES


@NOT_INJECTIVE
@pytest.mark.parametrize("name", NAMES)
def test_the_map_is_that_of_its_name_and_of_all_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing(name, monkeypatch)
    ot = few().fit(X, Y)
    assert ot.diagnostics_["selected"] == name
    members = ot.map_.network.members()
    plans = [each for each in members if isinstance(each, EntropicPotential)]
    networks = [each for each in members if isinstance(each, DenseICNN)]
    assert len(networks) == (0 if name == "plan" else 3)
    assert len(plans) == (0 if name == "network" else 1)
    for plan in plans:  # those that certify as well, once it is certified
        assert len(plan.source_points) == len(plan.target_points) == 200
        encoded = ot.map_.coordinates.encode_source(torch.from_numpy(X))
        rows = ordered(plan.source_points.double())
        torch.testing.assert_close(rows, ordered(encoded), rtol=0, atol=1e-5)
    if name == "network and plan":
        expected = (*[0.5 / 3] * 3, 0.5)
        assert ot.map_.network.weights == pytest.approx(expected)
        torch.testing.assert_close(
            ot.map_.network.gradient(plans[0].source_points),
            0.5 * plans[0].gradient(plans[0].source_points)
            + 0.5 * MeanPotential(networks).gradient(plans[0].source_points),
        )
    assert not any(part.requires_grad for part in ot.map_.network.parameters())
    assert not ot.map_.network.training
    distance = ot.distance()
    assert distance.held_out
    assert distance.rows == (20, 20)


@NOT_INJECTIVE
def test_a_plan_of_more_rows_than_it_may_have_is_not_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choosing("plan", monkeypatch)
    asked, original = list[int](), folded.annealed_potential

    def annealed(rows: Any, *told: Any) -> Potential:
        asked.append(len(rows[0]))
        return original(rows, *told)

    monkeypatch.setattr(folded, "annealed_potential", annealed)
    few().fit(X, Y)
    assert asked == [180, 200]
    asked.clear()
    ot = few(settings={"entropic_rows": 150}).fit(X, Y)
    assert asked == [180]
    assert len(ot.map_.network.source_points) == 150


def test_a_map_that_is_wrong_gives_way_to_that_of_the_exact_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where a plan was chosen; its temperature is judged by rows that are not in it."""
    choosing("plan", monkeypatch)
    faults, seen = iter(["all is wrong", None]), list[Any]()
    monkeypatch.setattr(FoldedProblem, "fault", lambda *_: next(faults))
    original = folded.plan_potential

    def plan_potential(rows: Any, held_out: Any, options: Options) -> Any:
        seen.extend([rows, held_out])
        return original(rows, held_out, options)

    monkeypatch.setattr(folded, "plan_potential", plan_potential)
    with pytest.warns(ConvergenceWarning, match="all is wrong"):
        ot = few().fit(X, Y)
    assert ot.diagnostics_["selected"] == "plan"
    assert type(ot.map_.network).__name__ == "MaxAffine"
    for rows, held_out in zip(*seen, strict=True):
        assert torch.cdist(rows.double(), held_out.double()).min() > 1e-6
        assert len(held_out) == 20


@NOT_INJECTIVE
def test_without_rows_there_is_none_in_the_model(tmp_path: Path) -> None:
    ot = few(keep_rows=False).fit(X, Y)
    assert ot.diagnostics_["selected"] in ("network", "affine")
    ot.save(tmp_path)
    content = next(tmp_path.glob("*.safetensors")).read_bytes()
    assert b"points" not in content
    assert b"start_rows" not in content


# ---- odd samples

RNG = np.random.default_rng(5)
ONES = np.ones((200, 1))
ODD: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "a constant feature": (np.hstack([X, ONES]), np.hstack([Y, 3 * ONES])),
    "a feature that follows": (np.hstack([X, X[:, :1]]), np.hstack([Y, Y[:, :1]])),
    "a rare feature": (
        np.hstack([X, np.eye(200)[:, 7:8]]),
        np.hstack([Y, np.eye(200)[:, 9:10]]),
    ),
    "rows three times": (np.repeat(X[:60], 3, 0), np.repeat(Y[:60], 3, 0)),
    "more source rows": (RNG.normal(size=(900, 2)), Y[:60]),
    "more target rows": (X[:60], RNG.normal(size=(900, 2))),
    "one feature": (X[:, :1], Y[:, :1]),
    "large and far": (1e6 + 1e3 * X, 1e3 * Y - 1e7),
    "small": (1e-6 * X, 1e-6 * Y),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("ignore::brenier.errors.DataWarning")
@pytest.mark.filterwarnings("ignore::brenier.errors.ConvergenceWarning")
def test_odd_samples_are_moved_to_finite_points(name: str) -> None:
    x, z = ODD[name]
    ot = few().fit(x, z)
    moved = ot.transform(x)
    assert tuple(ot.diagnostics_["cross_fitted"]) == NAMES
    assert np.isfinite(list(ot.diagnostics_["cross_fitted"].values())).all()
    assert np.isfinite(moved).all()
    spread = z.std(0) + 1e-12
    assert (np.abs(moved.mean(0) - z.mean(0)) < 0.6 * spread).all()
    if name == "a constant feature":
        assert (moved[:, 2] == 3).all()


@pytest.mark.filterwarnings("ignore::brenier.errors.DataWarning")
@pytest.mark.filterwarnings("ignore::brenier.errors.ConvergenceWarning")
def test_sides_of_one_point_are_moved_as_they_must_be() -> None:
    point = np.full((200, 2), 2.0)
    assert (few().fit(X, point).transform(X) == 2).all()
    moved = few().fit(point, Y).transform(point)
    np.testing.assert_allclose(moved, np.tile(Y.mean(0), (200, 1)), atol=1e-6)
    ot = few().fit(point, 3 * point)
    assert (ot.transform(point) == 6).all()
    assert tuple(ot.diagnostics_["cross_fitted"]) == ("network",)  # no plan


@NOT_INJECTIVE
@pytest.mark.parametrize(
    "told",
    [
        {"dtype": "float64"},
        {"start": "identity"},
        {"scale": [1.0, 3.0]},
        {"scale": "feature"},
    ],
    ids=str,
)
def test_precision_start_and_scale_are_those_asked_for(told: dict[str, Any]) -> None:
    x, z = (side[:200] for side in PAIR)
    ot = few(**told).fit(x, z)
    assert ot.diagnostics_["selected"] in NAMES
    dtype = told.get("dtype", "float32")
    assert next(ot.map_.network.parameters()).dtype == getattr(torch, dtype)
    moved = ot.transform(x)
    assert np.abs(moved.mean(0) - z.mean(0)).max() < 0.5
    if told.get("scale") == [1.0, 3.0]:
        unit = ot.map_.coordinates.unit
        assert float(unit[1] / unit[0]) == pytest.approx(3.0)
    assert np.median(np.abs(ot.inverse_transform(moved) - x)) < 1e-3


# ---- runs


@NOT_INJECTIVE
def test_a_seed_gives_one_fit() -> None:
    first, second = (few().fit(X, Y) for _ in range(2))
    assert same(weights(first), weights(second))
    assert first.diagnostics_["cross_fitted"] == second.diagnostics_["cross_fitted"]
    other = few(random_state=2).fit(X, Y)
    assert not np.array_equal(other.transform(X), first.transform(X))


@NOT_INJECTIVE
@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing(name, monkeypatch)
    ot = few().fit(X, Y)
    ot.save(tmp_path)
    again = load(tmp_path)
    assert np.array_equal(again.transform(X), ot.transform(X))
    assert np.array_equal(again.inverse_transform(Y), ot.inverse_transform(Y))
    assert again.diagnostics_["cross_fitted"] == ot.diagnostics_["cross_fitted"]
    assert again.distance() == ot.distance()


@NOT_INJECTIVE
@pytest.mark.parametrize("name", NAMES)
def test_a_warm_start_goes_on_from_the_networks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing(name, monkeypatch)
    ot = few(warm_start=True).fit(X, Y)
    coordinates = {**ot.map_.coordinates.tensors()}
    ot.set_params(max_steps=2).fit(X + 0.1, Y)
    assert ot.diagnostics_["selected"] == "network"
    members = ot.map_.network.members()
    assert all(isinstance(member, DenseICNN) for member in members)
    assert len(members) == (1 if name == "plan" else 3)  # of a plan none is known
    if len(members) > 1:
        assert ot.map_.network.weights is None
    assert same(coordinates, dict(ot.map_.coordinates.tensors()))


def test_a_warm_start_from_the_affine_map_is_a_new_network() -> None:
    ot = few(warm_start=True, settings={"choice_errors": 1e9}).fit(X, Y)
    assert ot.diagnostics_["selected"] == "affine"
    ot.fit(X, Y)
    assert ot.diagnostics_["selected"] == "network"
    assert "cross_fitted" not in ot.diagnostics_


class StoppedError(Exception):
    pass


STEPS = {"min_steps": 24, "default_steps": 24}


@pytest.fixture(scope="module")
def whole() -> OptimalTransport:
    """A fit that was not interrupted."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        choosing("network and plan", monkeypatch)
        ot = few(STEPS).fit(X, Y)
    assert ot.diagnostics_["steps"] == 24
    return ot


@NOT_INJECTIVE
@pytest.mark.parametrize("at", [2, 23])
def test_an_interrupted_fit_goes_on_to_the_bit(
    at: int, whole: OptimalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations are every twenty steps, of all three networks in one step of the optimiser."""
    choosing("network and plan", monkeypatch)
    taken, original = [0], SOAP.step

    def step(optimiser: SOAP, closure: Any = None) -> Any:
        taken[0] += 1
        if taken[0] == at:
            raise StoppedError
        return original(optimiser, closure)

    monkeypatch.setattr(SOAP, "step", step)
    ot = few(STEPS, checkpoint=str(tmp_path))
    with pytest.raises(StoppedError):
        ot.fit(X, Y)
    assert (tmp_path / checkpoint.FILE).exists()
    ot.fit(X, Y)
    assert taken[0] < 2 * 24
    assert same(weights(ot), weights(whole))
    assert ot.diagnostics_["cross_fitted"] == whole.diagnostics_["cross_fitted"]
    values = [[row["value"] for row in each.history_] for each in (ot, whole)]
    assert values[0] == values[1]


@NOT_INJECTIVE
@pytest.mark.filterwarnings("ignore:max_time. .* training steps fitted")
def test_a_fit_limited_by_time_is_told_its_seconds() -> None:
    ot = few(max_time=0.5).fit(X, Y)
    assert tuple(ot.diagnostics_["cross_fitted"]) == NAMES
    assert np.isfinite(ot.transform(X)).all()
