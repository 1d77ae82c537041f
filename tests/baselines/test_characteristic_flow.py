"""The estimator: its contract, its files, its runs, and how well it learns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import Tensor

from brenier import (
    ConvergenceWarning,
    DataError,
    Elastic,
    LogCosh,
    Mahalanobis,
    ModelFileError,
    OptimalTransport,
    Power,
    Run,
)
from brenier.baselines import CharacteristicFlow
from brenier.datasets import (
    Pair,
    gaussian_pair,
    labelled,
    ring_classes,
    translation_pair,
)
from brenier.metrics import l2_uvp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(400, 2)), RNG.normal(size=(300, 2)) * [1.5, 0.7] + [3, 0]


def quick(cost: Any = None, **parameters: Any) -> CharacteristicFlow:
    """An estimator that takes 20 small steps and always the same ones."""
    given = {"max_steps": 20, "batch_size": 64, "random_state": 0, "width": 16}
    chosen = {**given, **parameters}
    return CharacteristicFlow(**chosen) if cost is None else clone_with(cost, chosen)


def clone_with(cost: Any, parameters: dict[str, Any]) -> CharacteristicFlow:
    return CharacteristicFlow(cost, **parameters)


@pytest.fixture(scope="module")
def fitted() -> CharacteristicFlow:
    return quick().fit(X, Y)


def errors(flow: CharacteristicFlow, pair: Pair, n: int = 20_000) -> tuple[float, ...]:
    """Forward and backward L2-UVP in percent on new points."""
    x = pair.source(n, torch.Generator().manual_seed(1)).double()
    z = pair.forward(x)
    forward = l2_uvp(flow.transform(x), z, pair.variance_target)
    return forward, l2_uvp(flow.inverse_transform(z), x, pair.variance_source)


# ---- the contract


def test_samples_come_back_as_their_kind(fitted: CharacteristicFlow) -> None:
    moved = fitted.transform(X)
    assert isinstance(moved, np.ndarray)
    assert moved.shape == X.shape
    as_tensor = fitted.transform(torch.from_numpy(X).float())
    assert as_tensor.dtype == torch.float32
    np.testing.assert_allclose(as_tensor, moved, atol=1e-5)
    frame = pd.DataFrame(X, columns=["a", "b"])
    of_frame = quick().fit(frame, Y)
    back = of_frame.inverse_transform(frame)
    assert list(back.columns) == ["a", "b"]
    assert list(of_frame.feature_names_in_) == ["a", "b"]
    with pytest.raises(DataError, match="Give the columns used in fit"):
        of_frame.transform(frame[["b", "a"]])
    assert isinstance(fitted.set_output(transform="pandas"), CharacteristicFlow)
    assert isinstance(fitted.transform(X), pd.DataFrame)
    fitted.set_output(transform="default")


def test_a_stream_is_fitted() -> None:
    pair = gaussian_pair(3)
    flow = quick().fit(pair.source, pair.target)
    assert flow.transform(np.zeros((2, 3))).shape == (2, 3)


def test_maps_have_a_graph_to_the_points(fitted: CharacteristicFlow) -> None:
    x = torch.from_numpy(X[:5]).requires_grad_()
    fitted.map_.forward(x).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_between_both_ends_rows_move_along_straight_lines(
    fitted: CharacteristicFlow,
) -> None:
    moved = fitted.transform(X)
    np.testing.assert_allclose(fitted.interpolate(X, 0.0), X)
    np.testing.assert_allclose(fitted.interpolate(X, 1.0), moved)
    half = fitted.interpolate(X, 0.5)
    np.testing.assert_allclose(half, (X + moved) / 2, atol=1e-6)
    with pytest.raises(DataError, match="t: must be a number from 0 to 1"):
        fitted.interpolate(X, 2.0)


@pytest.mark.parametrize(
    "cost", [None, Mahalanobis([[2.0, 0.5], [0.5, 1.0]]), Power(1.5), Elastic(0.1)]
)
def test_the_map_is_the_gradient_of_the_potential(cost: Any) -> None:
    flow = quick(cost, dtype="float64").fit(7 * X, 7 * Y)
    x = torch.from_numpy(7 * X[:20]).requires_grad_()
    for t, ends in ((0.0, flow.map_.forward), (1.0, flow.map_.backward)):
        (slope,) = torch.autograd.grad(flow.map_.potential(x, t).sum(), x)
        moved = ends(x.detach()) - x.detach()
        expected = flow.cost.conjugate_gradient(slope)
        sign = 1 if t == 0 else -1
        torch.testing.assert_close(sign * moved, expected, rtol=1e-6, atol=1e-8)
    value = flow.potential(7 * X[:20], 0.0)
    np.testing.assert_allclose(value, flow.map_.potential(x, 0.0).detach())


def test_a_clone_is_not_fitted(fitted: CharacteristicFlow) -> None:
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(ValueError, match="not fitted"):
        again.transform(X)
    assert fitted.__sklearn_tags__().target_tags.required
    assert quick().fit_transform(X, Y).shape == X.shape


def test_units_do_not_matter() -> None:
    flow = quick(Power(1.5)).fit(X, Y)
    other = quick(Power(1.5)).fit(1e3 * X + 50, 1e3 * Y + 50)
    moved = (other.transform(1e3 * X + 50) - 50) / 1e3
    np.testing.assert_allclose(moved, flow.transform(X), atol=0.02)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"width": 0}, "width: must be a positive whole number"),
        ({"max_time": -1.0}, "max_time: must be a positive number"),
        ({"residual": "other"}, "residual: must be one of"),
        ({"dtype": "int8"}, "dtype: must be one of"),
        ({"quadratic_head": 3}, "quadratic_head: must be True or False"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"random_state": "a"}, "random_state:"),
    ],
)
def test_parameters_that_cannot_be_used(
    parameters: dict[str, Any], message: str
) -> None:
    flow = quick(**parameters)
    with pytest.raises(DataError, match=message):
        flow.fit(X, Y)
    assert not hasattr(flow, "map_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Y": Y[:, :1]}, "Y: has 1 features, X has 2"),
        ({"X": np.where(X > 3, np.nan, X) * np.nan}, "X: "),
        ({"source_labels": [0] * 400}, "target_labels: is missing"),
        ({"source_labels": [0] * 4, "target_labels": [0] * 300}, "source_labels: has"),
        (
            {"source_labels": [1] + [0] * 399, "target_labels": [0] * 299 + [1]},
            "source_labels: class 1 has one row",
        ),
        ({"labels": [0] * 400}, "is called source_labels and target_labels here"),
    ],
)
def test_samples_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick().fit(**{"X": X, "Y": Y, **arguments})


class Own:
    """The squared distance, as a user may write it."""

    def value(self, v: Tensor) -> Tensor:
        return v.square().sum(-1) / 2

    def gradient(self, v: Tensor) -> Tensor:
        return v

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return s


class Numpy(Own):
    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return torch.from_numpy(s.detach().numpy().copy())


class Half(Own):
    def conjugate_gradient(self, s: Tensor) -> Tensor:
        return s / 2 + s.detach() / 2


class Constant(Own):
    def value(self, v: Tensor) -> Tensor:
        return v.detach().square().sum(-1) / 2


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (Numpy(), "cannot differentiate conjugate_gradient"),
        (Half(), "derivative of conjugate_gradient is not that of its values"),
        (Constant(), "cannot differentiate value"),
        ("quadratic", "cost: must have methods"),
        (Mahalanobis(np.eye(3)), "its matrix is for 3 features"),
    ],
)
def test_costs_that_cannot_be_trained_through(cost: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick(cost).fit(X, Y)


def test_a_cost_of_ones_own_is_fitted_and_not_saved(tmp_path: Path) -> None:
    flow = quick(Own()).fit(X, Y)
    assert np.isfinite(flow.transform(X)).all()
    with pytest.raises(DataError, match="a cost of your own"):
        flow.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


# ---- files


def test_a_saved_flow_is_the_same(tmp_path: Path) -> None:
    for cost in (None, LogCosh(2.0)):
        frame = pd.DataFrame(X, columns=["a", "b"])
        flow = quick(cost, quadratic_head=True).fit(frame, Y)
        flow.save(tmp_path)
        again = CharacteristicFlow.load(tmp_path)
        np.testing.assert_array_equal(again.transform(frame), flow.transform(frame))
        np.testing.assert_array_equal(
            again.potential(frame, 0.3), flow.potential(frame, 0.3)
        )
        assert again.get_params() == flow.get_params()
        values = [row["value"] for row in flow.history_]
        assert [row["value"] for row in again.history_] == values
        assert again.diagnostics_ == flow.diagnostics_
    assert len(list(tmp_path.iterdir())) == 2


def test_a_flow_and_a_transport_map_share_a_folder(
    fitted: CharacteristicFlow, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    ot = OptimalTransport(max_steps=2, random_state=0).fit(X, Y)
    ot.save(tmp_path)
    fitted.save(tmp_path)
    ot.save(tmp_path)
    moved = CharacteristicFlow.load(tmp_path).transform(X)
    np.testing.assert_array_equal(moved, fitted.transform(X))
    assert len(list(tmp_path.iterdir())) == 4


def test_damaged_files_are_refused(fitted: CharacteristicFlow, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not found"):
        CharacteristicFlow.load(tmp_path)
    with pytest.raises(DataError, match="folder: must be the path"):
        CharacteristicFlow.load(3)  # type: ignore[arg-type]
    fitted.save(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    content = weights.read_bytes()
    for damaged in (content[:-4], content[:-4] + b"abcd", b""):
        weights.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            CharacteristicFlow.load(tmp_path)
    weights.write_bytes(content)
    path = tmp_path / "flow.json"
    path.write_text(path.read_text().replace('"width": 16', '"width": 17'))
    with pytest.raises(ModelFileError, match="altered"):
        CharacteristicFlow.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", {"dim": 2, "width": 10**12, "layers": 3, "quadratic_head": False}),
        ("network", {"dim": 2, "width": 16, "layers": 10**12, "quadratic_head": False}),
        ("cost", {"name": "power", "p": 0.5}),
        ("labels", "ab"),
        ("features", ["a"]),
        ("parameters", {"width": -1}),
        ("history", [{"step": "one"}]),
        ("dtype", "int8"),
        ("weights", "../other.safetensors"),
    ],
)
def test_made_up_descriptions_are_refused(
    field: str, value: object, fitted: CharacteristicFlow, tmp_path: Path
) -> None:
    from brenier.model_files import digest_of

    fitted.save(tmp_path)
    path = tmp_path / "flow.json"
    told = {**json.loads(path.read_text()), field: value}
    told.pop("sha256")
    path.write_text(json.dumps({**told, "sha256": digest_of(told)}))
    with pytest.raises(ModelFileError):
        CharacteristicFlow.load(tmp_path)


# ---- runs


def test_the_same_seed_gives_the_same_flow() -> None:
    first, second = quick().fit(X, Y), quick().fit(X, Y)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert not np.array_equal(
        first.transform(X), quick(random_state=1).fit(X, Y).transform(X)
    )


def test_a_run_that_was_killed_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quick(max_steps=150).fit(X, Y)
    advance = Run.advance

    def die(run: Run[Any]) -> None:
        if run.step == 120:
            raise KeyboardInterrupt
        advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            quick(max_steps=150, checkpoint=str(tmp_path / "run")).fit(X, Y)
    resumed = quick(max_steps=150, checkpoint=str(tmp_path / "run")).fit(X, Y)
    np.testing.assert_array_equal(resumed.transform(X), whole.transform(X))
    values = [row["value"] for row in whole.history_]
    assert [row["value"] for row in resumed.history_] == values
    resumed.save(tmp_path / "model")
    assert not list((tmp_path / "run").iterdir())


def test_a_run_of_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(run: Run[Any]) -> None:
        if run.history:
            raise KeyboardInterrupt
        run._evaluate()

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            quick(checkpoint=str(tmp_path)).fit(X, Y)
    with pytest.raises(ModelFileError, match="other samples or settings"):
        quick(Power(1.5), checkpoint=str(tmp_path)).fit(X, Y)


def test_seconds_are_kept() -> None:
    import time

    began = time.perf_counter()
    flow = quick(max_steps=None, max_time=2.0).fit(X, Y)
    assert time.perf_counter() - began < 3.0
    assert flow.diagnostics_["stopped"] == "budget"


def test_diagnostics_tell_of_crossing_characteristics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from brenier.baselines import flow_diagnostics

    monkeypatch.setattr(
        flow_diagnostics, "least_eigenvalues", lambda *_: torch.tensor([-1.0, 1.0])
    )
    with pytest.warns(ConvergenceWarning, match="cross before time 1 near 1 of 2"):
        quick().fit(X, Y)


# ---- what it learns


def learn(pair: Pair, steps: int, **parameters: Any) -> CharacteristicFlow:
    given: dict[str, Any] = {
        "max_steps": steps,
        "random_state": 0,
        "batch_size": 256,
        "width": 32,
    }
    given |= {} if steps > 1000 else {"learning_rate": 1e-2}
    return CharacteristicFlow(**{**given, **parameters}).fit(pair.source, pair.target)


def test_a_shift_is_learnt() -> None:
    pair = translation_pair(2)
    assert max(errors(learn(pair, 100), pair)) < 0.1


@pytest.mark.slow
def test_a_shift_is_learnt_exactly() -> None:
    pair = translation_pair(2)
    flow = learn(pair, 1500, batch_size=1024, learning_rate=1e-3)
    assert max(errors(flow, pair)) < 1e-3


def monotone() -> Pair:
    def source(n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 1, generator=generator)

    return Pair(
        "monotone", 1, source, lambda x: 2 + x / 2, lambda z: 2 * z - 4, 1, 0.25
    )


OTHERS = [pytest.param(p, marks=pytest.mark.slow) for p in (2.0, 3.0)]


@pytest.mark.parametrize("p", [1.5, *OTHERS])
@pytest.mark.parametrize(
    ("steps", "rows", "bound"),
    [(150, 256, 5.0), pytest.param(2000, 1024, 0.3, marks=pytest.mark.slow)],
)
def test_of_one_feature_the_map_is_monotone_for_every_power(
    p: float, steps: int, rows: int, bound: float
) -> None:
    flow = learn(monotone(), steps, cost=Power(p), batch_size=rows)
    assert max(errors(flow, monotone())) < bound


@pytest.mark.slow
def test_powers_below_two_are_learnt_where_the_means_agree() -> None:
    """There grad h* is flat where training starts."""

    def source(n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 1, generator=generator)

    pair = Pair("wider", 1, source, lambda x: 2 * x, lambda z: z / 2, 1, 4)
    flow = learn(pair, 200, cost=Power(1.5))
    identity = 25.0
    assert max(errors(flow, pair)) < identity / 3


@pytest.mark.parametrize(
    ("dim", "steps", "bound"),
    [
        (2, 150, 3.0),
        pytest.param(2, 3000, 0.1, marks=pytest.mark.slow),
        pytest.param(8, 3000, 0.2, marks=pytest.mark.slow),
    ],
)
def test_gaussians_are_learnt(dim: int, steps: int, bound: float) -> None:
    pair = gaussian_pair(dim)
    flow = learn(pair, steps, width=64)
    forward, backward = errors(flow, pair)
    x = pair.source(20_000, torch.Generator().manual_seed(2))
    identity = l2_uvp(x, pair.forward(x), pair.variance_target)
    assert max(forward, backward) < min(bound, identity / 5)
    found = flow.diagnostics_
    assert found["least_eigenvalue"] > 0.3
    assert found["round_trip"] < 0.1
    assert found["residual"] < 0.1
    assert abs(found["energy"]) < 5 * found["energy_by_chance"]


@pytest.mark.slow
def test_the_equation_in_place_of_the_formula_is_worse_on_the_way_back() -> None:
    pair = gaussian_pair(2)
    flows = [
        learn(pair, 200, residual=residual, batch_size=128)
        for residual in ("characteristics", "equation", "none")
    ]
    back = [errors(flow, pair)[1] for flow in flows]
    assert back[0] < back[1] < back[2]


@pytest.mark.slow
def test_the_published_ablation() -> None:
    """With equal budgets the equation in place of the formula is worse, on average over five seeds."""
    sums = {"characteristics": 0.0, "equation": 0.0}
    for seed in range(5):
        pair = gaussian_pair(4, seed)
        for residual in sums:
            flow = learn(pair, 1500, residual=residual, random_state=seed)
            sums[residual] += sum(errors(flow, pair))
    assert sums["characteristics"] < sums["equation"]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [50, 500])
def test_the_map_gets_closer_as_the_loss_falls(steps: int) -> None:
    """The stability bound: the error of the map does not stop to fall while the loss falls."""
    pair = gaussian_pair(2)
    losses, found = [], []
    for times in (1, 4):
        flow = learn(pair, steps * times, batch_size=128)
        losses.append(flow.history_[-1]["value"])
        found.append(sum(errors(flow, pair)))
    assert losses[1] < losses[0]
    assert found[1] < 0.7 * found[0]


def accuracy(steps: int, name: str) -> float:
    """The share of new rows that are moved to the mode of their own class."""
    pairs = ring_classes(name)
    generator = torch.Generator().manual_seed(0)
    x, z, labels = labelled(pairs, 1000, generator)
    flow = CharacteristicFlow(max_steps=steps, random_state=0)
    flow.fit(x, z, source_labels=labels, target_labels=labels)
    assert flow.labels_ == tuple(pairs)
    fresh, _, own = labelled(pairs, 500, generator)
    moved = flow.transform(fresh)
    centres = torch.stack(
        [pair.target(4000, generator).mean(0) for pair in pairs.values()]
    )
    nearest = torch.cdist(moved.double(), centres.double()).argmin(1)
    truth = torch.tensor([list(pairs).index(label) for label in own])  # type: ignore[arg-type]
    return float((nearest == truth).double().mean())


@pytest.mark.parametrize(
    ("steps", "bound"), [(200, 0.9), pytest.param(3000, 0.99, marks=pytest.mark.slow)]
)
def test_classes_are_moved_to_their_own_targets(steps: int, bound: float) -> None:
    assert accuracy(steps, "four-mode ring") > bound
