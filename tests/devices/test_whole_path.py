"""Everything the library does, on a device that tells it nothing of the CPU: the same numbers, and nothing is mixed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from pretended import DEVICE, OnDevice, pretended_device

from brenier import (
    DataError,
    DataWarning,
    Elastic,
    LogCosh,
    Mahalanobis,
    OptimalTransport,
    Power,
    Run,
    UnbalancedMass,
    load,
)
from brenier.baselines import CharacteristicFlow, EntropicMap, Linear, MMv1
from brenier.control import FeedbackPolicy, OptimalControl

Place = str | torch.device | None
Case = Callable[[Place, Path], list[Any]]
CASES: dict[str, Case] = {}
CPU, THERE = "cpu", "cuda:0"


def case(function: Case) -> Case:
    """Register what a device, and an empty folder, are taken through."""
    CASES[function.__name__] = function
    return function


def sides(rows: int = 300, dim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A sample, and another one moved by a map that is far from affine."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(rows, dim)), rng.normal(size=(rows + 20, dim))
    return x, z + 2 * np.tanh(3 * z) + 1


def estimator(place: Place, potential: Any = "free", **told: Any) -> OptimalTransport:
    """An estimator that takes a few small steps, and keeps its network however it compares with the start."""
    usual: dict[str, Any] = {
        "max_steps": 3,
        "batch_size": 64,
        "n_networks": 1,
        "random_state": 0,
        "device": place,
    }
    return OptimalTransport(potential, **{**usual, **told})


def found(ot: OptimalTransport, x: Any, z: Any, **condition: Any) -> list[Any]:
    """What a fit gives: weights, coordinates, the record, moved rows there and back."""
    skipped = ("seconds", "rollbacks", "setbacks")
    record = [
        [value for name, value in row.items() if name not in skipped]
        for row in ot.history_
    ]
    return [
        *ot.map_.network.state_dict().values(),
        *ot.map_.coordinates.tensors().values(),
        record,
        ot.diagnostics_["selected"],
        ot.diagnostics_["round_trip"],
        ot.transform(x[:40], **condition),
        ot.inverse_transform(z[:40], **condition),
    ]


@case
def a_network(place: Place, folder: Path) -> list[Any]:
    """A plain fit, and all that may be asked of its map."""
    x, z = sides()
    ot = estimator(place, max_steps=12, keep_rows=True).fit(x, z)
    density = ot.log_density(z[:10])
    middle = ot.map_.interpolate(x[:10], 0.3)
    cross = ot.map_.distance(x[:50], z[:50])
    assert ot.diagnostics_["selected"] != "affine", "the network is not to be left out"
    return [
        *found(ot, x, z),
        density,
        middle,
        cross,
        ot.distance(),
        ot.score(x[:50], z[:50]),
        ot.map_.support(x[:10]),
    ]


@case
def the_affine_map(place: Place, folder: Path) -> list[Any]:
    """Two Gaussians, of which a network learns nothing: the affine map is refitted."""
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(400, 3)), 2 * rng.normal(size=(400, 3)) - 1
    ot = estimator(place).fit(x, z)
    assert ot.diagnostics_["selected"] == "affine"
    return [*found(ot, x, z), ot.distance()]


FOLDED: dict[str, Any] = {  # where no steps are asked for, few rows fall into folds
    "max_steps": None,
    "n_networks": None,
    "batch_size": None,
    "settings": {"min_steps": 5, "default_steps": 5, "entropic_temperatures": 3},
}


@case
def an_ensemble_of_folds(place: Place, folder: Path) -> list[Any]:
    """Few rows, of which each network leaves out others."""
    x, z = sides(60)
    ot = estimator(place, **FOLDED).fit(x, z)
    assert "cross_fitted" in ot.diagnostics_, "the rows are not folded"
    return [*found(ot, x, z), ot.distance()]


@case
def an_entropic_plan(place: Place, folder: Path) -> list[Any]:
    """Clusters, between which the plan of the rows is better than a network of few steps."""
    x, z = sides(80)
    z[:, 0] = 5 * np.sign(z[:, 0]) + 0.1 * z[:, 0]
    ot = estimator(place, "auto", **FOLDED).fit(x, z)
    assert "plan" in ot.diagnostics_["selected"], ot.diagnostics_
    return [*found(ot, x, z), ot.distance()]


@case
def labels(place: Place, folder: Path) -> list[Any]:
    """A map per class."""
    x, z = sides()
    of_x, of_z = np.arange(len(x)) % 3, np.arange(len(z)) % 3
    ot = estimator(place).fit(
        x, z + of_z[:, None], source_labels=of_x, target_labels=of_z
    )
    moved = found(ot, x, z, labels=of_x[:40])
    score = ot.score(x, z, source_labels=of_x, target_labels=of_z)
    return [
        *moved,
        ot.distance(1),
        score,
        ot.map_.at(0)(x[:10]),
        ot.log_density(z[:5], labels=2),
    ]


@case
def covariates(place: Place, folder: Path) -> list[Any]:
    """A map at every value of one covariate."""
    x, z = sides()
    rng = np.random.default_rng(2)
    of_x, of_z = rng.uniform(size=len(x)), rng.uniform(size=len(z))
    z = z * (1 + of_z[:, None])
    ot = estimator(place).fit(x, z, source_covariates=of_x, target_covariates=of_z)
    at = of_x[:40]
    return [
        *found(ot, x, z, covariates=at),
        ot.distance(),
        ot.log_density(z[:5], covariates=[0.3]),
    ]


@case
def weights(place: Place, folder: Path) -> list[Any]:
    """Rows that count more than others, with classes and without."""
    x, z = sides()
    rng = np.random.default_rng(3)
    of_x, of_z = rng.exponential(size=len(x)), rng.exponential(size=len(z))
    ot = estimator(place).fit(x, z, source_weight=of_x, target_weight=of_z)
    plain = [*found(ot, x, z), ot.distance()]
    names = np.arange(len(x)) % 2
    again = estimator(place).fit(x, z, source_labels=names, source_weight=of_x)
    return [*plain, *found(again, x, z, labels=1)]


def of_cost(cost: Any, place: Place, **told: Any) -> list[Any]:
    """What a fit under another cost gives."""
    x, z = sides()
    ot = estimator(place, cost=cost, **told).fit(x, z)
    return [*found(ot, x, z), ot.distance()]


@case
def a_power(place: Place, folder: Path) -> list[Any]:
    """A cost that is a function of the distance."""
    return of_cost(Power(3), place)


@case
def a_kinked_cost(place: Place, folder: Path) -> list[Any]:
    """A cost with kinks, which another solver is for."""
    return of_cost(Elastic(0.3), place)


@case
def a_smooth_cost(place: Place, folder: Path) -> list[Any]:
    """A cost that is a sum over coordinates."""
    return of_cost(LogCosh(), place)


@case
def a_metric(place: Place, folder: Path) -> list[Any]:
    """The squared distance in a metric."""
    return of_cost(Mahalanobis([[2.0, 0.3], [0.3, 1.0]]), place)


@case
def unbalanced_mass(place: Place, folder: Path) -> list[Any]:
    """Mass that need not be kept."""
    x, z = sides()
    ot = estimator(place, mass=UnbalancedMass(4.0, 4.0)).fit(x, z)
    return [*found(ot, x, z), ot.distance()]


@case
def a_warm_start(place: Place, folder: Path) -> list[Any]:
    """A second fit, which goes on from the map of the first."""
    x, z = sides()
    ot = estimator(place, warm_start=True).fit(x, z)
    return found(ot.fit(x, z + 0.1), x, z)


@case
def a_certificate(place: Place, folder: Path) -> list[Any]:
    """What may be claimed of a map, its error estimated by a second fit."""
    x, z = sides()
    ot = estimator(place).fit(x, z)
    return [ot.certify(), ot.certify(x, z, map_error=False)]


@case
def certificates_of_classes(place: Place, folder: Path) -> list[Any]:
    """What may be claimed of the map of every class, and over all covariates."""
    x, z = sides()
    of_x, of_z = np.arange(len(x)) % 2, np.arange(len(z)) % 2
    first = estimator(place).fit(x, z, source_labels=of_x, target_labels=of_z)
    second = estimator(place).fit(x, z, target_covariates=of_z * 1.0)
    return [first.certify(map_error=False), second.certify(map_error=False)]


class KilledError(Exception):
    """What ends a run on its way."""


@case
def a_run_taken_up(place: Place, folder: Path) -> list[Any]:
    """A run that was killed on its way, and another that goes on with it."""
    x, z = sides()
    told: dict[str, Any] = {
        "checkpoint": str(folder / "run"),
        "settings": {"evaluate_every": 2},
    }
    advance = Run.advance

    def killed(run: Run[Any]) -> None:
        if run.step == 6:
            raise KilledError
        advance(run)

    with mock.patch.object(Run, "advance", killed), pytest.raises(KilledError):
        estimator(place, max_steps=8, **told).fit(x, z)
    assert (folder / "run" / "run.pt").exists(), "nothing was kept"
    return found(estimator(place, max_steps=8, **told).fit(x, z), x, z)


@case
def a_flow(place: Place, folder: Path) -> list[Any]:
    """A flow along characteristics, saved and loaded."""
    x, z = sides()
    flow = CharacteristicFlow(
        max_steps=3, batch_size=64, random_state=0, device=place
    ).fit(x, z)
    flow.save(folder / "flow")
    again = CharacteristicFlow.load(folder / "flow", device=place or CPU)
    return [flow.transform(x), flow.inverse_transform(z), again.transform(x)]


@case
def rivals(place: Place, folder: Path) -> list[Any]:
    """A baseline in closed form, one of plans, and a learnt one."""
    x, z = sides(100)
    learnt = MMv1(max_steps=2, random_state=0, device=place)
    methods = [Linear(device=place), EntropicMap(device=place), learnt]
    return [method.fit(x, z).transform(x[:20]) for method in methods]


@case
def control(place: Place, folder: Path) -> list[Any]:
    """A policy learnt, saved, loaded and followed."""
    own = OptimalControl(
        "quadratic-integrator", steps=4, max_steps=3, device=place, batch_size=16
    ).fit()
    own.save(folder / "policy")
    again = FeedbackPolicy.load(folder / "policy", device=place or CPU)
    z = np.ones((3, 1))
    return [own.policy_.rollout(z).cost, again.rollout(z).cost, own.history_]


def flat(part: Any) -> Iterator[np.ndarray | str]:
    """The numbers in what a case gives."""
    if isinstance(part, torch.Tensor):
        yield part.detach().cpu().numpy()
    elif isinstance(part, np.ndarray):
        yield part
    elif isinstance(part, dict):
        named = (value for name, value in part.items() if "seconds" not in name)
        for value in named:
            yield from flat(value)
    elif isinstance(part, list | tuple):
        for each in part:
            yield from flat(each)
    elif isinstance(part, float | int):
        yield np.asarray(part)
    else:
        yield str(part)


# What shows as much as others and takes longer.
LONG = (
    "a_warm_start",
    "a_certificate",
    "an_entropic_plan",
    "a_smooth_cost",
    "certificates_of_classes",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in CASES
    ],
)
@pytest.mark.filterwarnings("ignore::brenier.DataWarning")
@pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")
def test_a_device_gives_what_the_cpu_gives(name: str, tmp_path: Path) -> None:
    """On the device each kind of fit gives the numbers that it gives on the CPU, to the bit."""
    here = CASES[name](CPU, tmp_path / "here")
    with pretended_device() as traffic:
        there = list(flat(CASES[name](THERE, tmp_path / "there")))
    assert traffic.operators > 100, "nothing ran on the device"
    for own, other in zip(flat(here), there, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::brenier.DataWarning")
@pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")
def test_a_gpu_goes_the_whole_path(name: str, tmp_path: Path) -> None:
    """On a real GPU each kind of fit runs, and gives as many numbers; they may differ by rounding."""
    here = list(flat(CASES[name](CPU, tmp_path / "here")))
    there = list(flat(CASES[name](THERE, tmp_path / "there")))
    shapes = [[getattr(part, "shape", None) for part in side] for side in (here, there)]
    assert shapes[0] == shapes[1]


def test_a_stream_comes_close(tmp_path: Path) -> None:
    """Rows of a stream are copied to the device, so that sums are taken in another order: equal but for rounding."""

    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    x, z = sides()
    moved = []
    for place in (CPU, THERE):
        with pretended_device():
            ot = estimator(place, settings={"coordinate_rows": 2000}).fit(source, z)
            moved.append(ot.map_(x[:50]))
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")
def test_models_move_between_devices(tmp_path: Path) -> None:
    """What is saved on one device is loaded on another, and moves rows alike; results lie where the rows do."""
    x, z = sides()
    with pretended_device():
        there = estimator(THERE).fit(x, z)
        there.save(tmp_path / "there")
        estimator(CPU).fit(x, z).save(tmp_path / "here")
        folders = tmp_path / "there", tmp_path / "here"
        loaded = [load(each, place) for each in folders for place in (CPU, THERE)]
        for ot in loaded:
            np.testing.assert_array_equal(ot.transform(x), there.transform(x))
            rows = torch.as_tensor(x, device=THERE)
            moved = ot.transform(rows)
            assert isinstance(moved, OnDevice)
            back = ot.inverse_transform(moved)
            assert back.device == DEVICE
            np.testing.assert_allclose(back.cpu().numpy(), x, atol=1e-2)
        assert there.map_.to(CPU)(x).shape == x.shape
        assert next(there.map_.network.parameters()).device.type == "cpu"


@pytest.mark.filterwarnings("ignore::brenier.ConvergenceWarning")
def test_a_fit_is_where_its_rows_are() -> None:
    """Of tensors of the device the map is learnt there; labels and weights may lie on either side."""
    x, z = sides()
    names = np.arange(len(x)) % 2
    with pretended_device():
        rows = torch.as_tensor(x, device=THERE), torch.as_tensor(z, device=THERE)
        told: dict[str, Any] = {
            "source_labels": torch.as_tensor(names, device=THERE),
            "source_weight": torch.ones(len(x), device=THERE),
        }
        ot = estimator(None).fit(*rows, **told)
        assert next(ot.map_.network.parameters()).device == DEVICE
        moved = ot.transform(rows[0], labels=names)
        assert isinstance(moved, OnDevice)
        right = estimator(CPU).fit(
            x, z, source_labels=names, source_weight=np.ones(300)
        )
        np.testing.assert_array_equal(moved.cpu(), right.transform(x, labels=names))


def test_a_device_without_float64_is_refused() -> None:
    """Moments are computed in float64: where there is none, an error names the argument and the remedy."""
    x, z = sides()
    with pretended_device(double=False):
        with pytest.raises(DataError, match="device: 'cuda:0' cannot be used"):
            estimator(THERE).fit(x, z)
        rows = torch.as_tensor(x, dtype=torch.float32).to(DEVICE)
        with pytest.raises(DataError, match=r"X: lies on cuda:0.*give X.cpu\(\)"):
            estimator(None).fit(rows, z)
        with pytest.raises(DataError, match="device"):
            OptimalControl("quadratic-integrator", device=THERE).fit()


def test_coarse_products_are_warned_of() -> None:
    """Where the user allows TF32 and asks for residuals below it, a warning says so; else none does."""
    x, z = sides(40)
    tf32 = mock.patch("brenier.estimators.precision._allows_tf32", return_value=True)
    with pretended_device(), tf32, pytest.warns(DataWarning, match="TF32"):
        estimator(THERE).fit(x, z)
    with pretended_device(), tf32:  # warnings are errors
        estimator(THERE, dtype="float64").fit(x, z)
