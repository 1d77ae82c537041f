"""Laws that every method and every potential obeys, as functions of the thing; the lists of laws run over them all."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import Answered, Tally, corrupted, counting, normal, start
from sklearn.base import clone
from torch import Tensor

from brenier import DataError, NoInverseError, Potential, Run, Status
from brenier.baselines import LearnedBaseline, SavedModelBaseline, load_any
from brenier.solve import (
    Iterate,
    MeasuresErrors,
    Method,
    Problem,
    Solution,
    minimise,
)

# ---- every method


def finds_the_answer(method: Method, problem: Answered) -> None:
    solution = minimise(
        problem, method, start(problem), tol=1e-7, max_steps=5000
    ).check()
    error = (solution.point - problem.answer).norm(dim=-1)
    assert (error <= 1e-7 / problem.convexity + 1e-12).all()


def reports_the_residual_of_its_point(method: Method, problem: Answered) -> None:
    for max_steps in (0, 3, 200):
        solution = minimise(
            problem, method, start(problem), tol=1e-4, max_steps=max_steps
        )
        at = Iterate(solution.point, *problem.evaluate(solution.point))
        error = (
            problem.errors(at)
            if isinstance(problem, MeasuresErrors)
            else at.residual.norm(dim=-1)
        )
        torch.testing.assert_close(solution.residual, error, rtol=1e-9, atol=1e-12)
        assert torch.equal(solution.converged, solution.residual <= 1e-4)


def keeps_its_best_iterate(method: Method, problem: Answered) -> None:
    """Longer runs visit the iterates of shorter ones and more, so what they keep is no worse."""
    tried = [
        minimise(problem, method, start(problem), tol=0.0, max_steps=steps).residual
        for steps in range(8)
    ]
    residuals = torch.stack(tried)
    assert (residuals[1:] <= residuals[:-1] * (1 + 1e-9)).all()
    assert (residuals[-1] < residuals[0]).all()


def evaluates_once_per_step(method: Method, problem: Answered) -> None:
    tally = Tally()
    solution = minimise(
        counting(problem, tally), method, start(problem), tol=1e-6, max_steps=300
    )
    assert tally.evaluations == int((solution.steps + 1).sum())
    assert solution.evaluations == tally.evaluations + 2 * tally.products


def builds_no_graph(method: Method, problem: Answered) -> None:
    tally = Tally()
    first = start(problem).requires_grad_()
    solution = minimise(counting(problem, tally), method, first, tol=1e-6, max_steps=50)
    assert not tally.graph
    assert not solution.point.requires_grad
    assert not solution.residual.requires_grad


def obeys_a_tol_per_row(method: Method, problem: Answered) -> None:
    tol = torch.logspace(-1, -6, len(problem.answer), dtype=torch.float64)
    solution = minimise(
        problem, method, start(problem), tol=tol, max_steps=5000
    ).check()
    assert (solution.residual <= tol).all()
    strict = minimise(problem, method, start(problem), tol=1e-6, max_steps=5000)
    assert (solution.steps <= strict.steps).all()


METHOD_LAWS = (
    finds_the_answer,
    reports_the_residual_of_its_point,
    keeps_its_best_iterate,
    evaluates_once_per_step,
    builds_no_graph,
    obeys_a_tol_per_row,
)


# ---- every row-wise method


def rows_do_not_interact(
    method: Method, problem: Answered, check_every: int = 1
) -> None:
    """Alone, in a batch, or in a batch with broken rows, a row has the same answer, steps and status."""
    first, broken = start(problem), torch.arange(len(problem.answer)) % 3 == 1

    def solved(rows: Problem, at: Tensor) -> Solution:
        return minimise(
            rows, method, at, tol=1e-6, max_steps=60, check_every=check_every
        )

    batch, with_broken = (
        solved(problem, first),
        solved(corrupted(problem, broken), first),
    )
    assert (with_broken.status[broken] == Status.NON_FINITE).all()
    for i in range(len(first)):
        row = torch.tensor([i])
        alone = solved(problem.rows(row), first[row])
        for other in (batch, with_broken) if not broken[i] else (batch,):
            torch.testing.assert_close(
                other.point[row], alone.point, rtol=0, atol=1e-12
            )
            assert (other.steps[i], other.status[i]) == (
                alone.steps[0],
                alone.status[0],
            )


def order_does_not_matter(method: Method, problem: Answered) -> None:
    reverse = torch.arange(len(problem.answer)).flip(0)
    one = minimise(problem, method, start(problem), tol=1e-6, max_steps=60)
    other = minimise(
        problem.rows(reverse), method, start(problem)[reverse], tol=1e-6, max_steps=60
    )
    torch.testing.assert_close(other.point, one.point[reverse], rtol=0, atol=1e-12)
    assert torch.equal(other.steps, one.steps[reverse])


def seldom_checking_only_costs_steps(method: Method, problem: Answered) -> None:
    often, seldom = (
        minimise(
            problem, method, start(problem), tol=1e-6, max_steps=5000, check_every=every
        )
        for every in (1, 4)
    )
    assert torch.equal(seldom.steps, (often.steps + 3) // 4 * 4)
    assert (seldom.residual <= often.residual).all()
    assert torch.equal(seldom.status, often.status)


ROW_LAWS = (
    rows_do_not_interact,
    order_does_not_matter,
    seldom_checking_only_costs_steps,
)


# ---- every potential


def psi(potential: Potential, y: Tensor) -> Tensor:
    """The Brenier potential |y|^2/2 + g(y): (n,)."""
    return 0.5 * torch.linalg.vecdot(y, y) + potential(y)


def hessian(potential: Potential, x: Tensor) -> Tensor:
    """Hess g(x), column by column from Hessian products: (n, d, d)."""
    columns = torch.eye(potential.dim, dtype=x.dtype)
    return torch.stack(
        [potential.hessian_product(x, column.expand_as(x)) for column in columns], -1
    )


def gradient_is_that_of_autograd(potential: Potential, x: Tensor) -> None:
    traced = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(potential(traced).sum(), traced)
    with torch.no_grad():
        value, gradient = potential.value_and_gradient(x)
        torch.testing.assert_close(value, potential(x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            potential.gradient(x), expected, rtol=1e-10, atol=1e-12
        )
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(potential.gradient(x), expected, rtol=1e-10, atol=1e-12)


def gradient_is_that_of_finite_differences(potential: Potential, x: Tensor) -> None:
    v, h = normal(*x.shape, seed=11), 1e-5
    along = (potential(x + h * v) - potential(x - h * v)) / (2 * h)
    expected = torch.linalg.vecdot(potential.gradient(x), v)
    torch.testing.assert_close(along, expected, rtol=1e-6, atol=1e-7)


def gradient_can_be_trained(potential: Potential, x: Tensor) -> None:
    """The gradient can be differentiated in x and in the parameters, and agrees with finite differences."""
    traced, v, h = x.clone().requires_grad_(), normal(*x.shape, seed=11), 1e-5
    parameters = list(potential.parameters())
    directions = [
        normal(*parameter.shape, seed=20 + i) for i, parameter in enumerate(parameters)
    ]
    output = (potential.gradient(traced) * v).sum()
    in_x, *found = torch.autograd.grad(output, [traced, *parameters], allow_unused=True)
    torch.testing.assert_close(
        in_x, potential.hessian_product(x, v), rtol=1e-9, atol=1e-11
    )
    values = []
    for step in (h, -2 * h, h):  # ahead, behind, and back again
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.data.add_(direction, alpha=step)
        values.append((potential.gradient(x) * v).sum().detach())
    along = sum(
        (g * direction).sum()
        for g, direction in zip(found, directions, strict=True)
        if g is not None
    )
    differences = (values[0] - values[1]) / (2 * h)
    torch.testing.assert_close(along, differences, rtol=1e-6, atol=1e-6)


def value_can_be_trained(potential: Potential, x: Tensor) -> None:
    """At points that need no gradient the value can be differentiated in the parameters, more than once."""
    weights = normal(len(x), seed=12)
    parameters = list(potential.parameters())
    expected = torch.autograd.grad(
        potential(x.clone().requires_grad_()) @ weights, parameters, allow_unused=True
    )
    value = potential(x) @ weights
    for _ in range(2):
        found = torch.autograd.grad(
            value, parameters, allow_unused=True, retain_graph=True
        )
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def hessian_product_is_that_of_autograd(potential: Potential, x: Tensor) -> None:
    v = normal(*x.shape, seed=11)
    product = potential.hessian_product(x, v)
    assert not product.requires_grad
    torch.testing.assert_close(
        product, Potential.hessian_product(potential, x, v), rtol=1e-9, atol=1e-11
    )


def hessian_product_is_that_of_finite_differences(
    potential: Potential, x: Tensor
) -> None:
    v, h = normal(*x.shape, seed=11), 1e-5
    with torch.no_grad():
        difference = potential.gradient(x + h * v) - potential.gradient(x - h * v)
    product = potential.hessian_product(x, v)
    torch.testing.assert_close(product, difference / (2 * h), rtol=1e-6, atol=1e-7)


def hessian_is_symmetric(potential: Potential, x: Tensor) -> None:
    matrices = hessian(potential, x)
    torch.testing.assert_close(matrices, matrices.mT, rtol=1e-9, atol=1e-11)


def strong_convexity_is_a_lower_bound(potential: Potential, x: Tensor) -> None:
    bound = potential.strong_convexity()
    eye = torch.eye(potential.dim, dtype=x.dtype)
    values = torch.linalg.eigvalsh(eye + hessian(potential, x))
    rounding = 1e-12 * max(1.0, float(values.max()))
    assert bound >= 0
    assert bound == 0 or float(values.min()) >= bound - rounding


def config_rebuilds_it(potential: Potential, x: Tensor) -> None:
    config = json.loads(json.dumps(potential.config()))
    copy = type(potential)(**config).to(x.dtype)
    copy.load_state_dict(potential.state_dict())
    assert torch.equal(copy(x), potential(x))
    assert copy.config() == potential.config()


def groups_hold_every_parameter_once(potential: Potential, x: Tensor) -> None:
    grouped = [
        parameter
        for group in potential.parameter_groups()
        for parameter in group["params"]
    ]
    assert sorted(map(id, grouped)) == sorted(map(id, potential.parameters()))
    assert all(group["lr_multiplier"] >= 1 for group in potential.parameter_groups())


def rows_are_independent(potential: Potential, x: Tensor) -> None:
    value, gradient = potential.value_and_gradient(x)
    for i in range(len(x)):
        one, slope = potential.value_and_gradient(x[i : i + 1])
        torch.testing.assert_close(one, value[i : i + 1], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(slope, gradient[i : i + 1], rtol=1e-12, atol=1e-12)


def precision_follows_the_input(potential: Potential, x: Tensor) -> None:
    single = type(potential)(**potential.config())
    single.load_state_dict(potential.state_dict())
    results = (
        *single.value_and_gradient(x.float()),
        single.hessian_product(x.float(), x.float()),
    )
    exact = (*potential.value_and_gradient(x), potential.hessian_product(x, x))
    for result, expected in zip(results, exact, strict=True):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.double(), expected, rtol=1e-3, atol=1e-3)


POTENTIAL_LAWS: tuple[Callable[[Potential, Tensor], None], ...] = (
    gradient_is_that_of_autograd,
    gradient_is_that_of_finite_differences,
    gradient_can_be_trained,
    value_can_be_trained,
    hessian_product_is_that_of_autograd,
    hessian_product_is_that_of_finite_differences,
    hessian_is_symmetric,
    strong_convexity_is_a_lower_bound,
    config_rebuilds_it,
    groups_hold_every_parameter_once,
    rows_are_independent,
    precision_follows_the_input,
)


def is_coercive(
    potential: Potential, z: Tensor, directions: Tensor, lengths: Iterable[float]
) -> None:
    """psi(t v) - <z, t v> grows without bound along every direction v (n, d), over lengths t far out.

    Far out, where the quadratic part has outgrown the linear one, ten times the length gives a hundred times the value.
    """
    v = torch.nn.functional.normalize(directions, dim=-1)
    with torch.no_grad():
        values = torch.stack([psi(potential, t * v) - t * (v @ z) for t in lengths])
    assert torch.isfinite(values).all()
    assert (values[1:] > values[:-1]).all()
    assert (values[-1] > 0).all()


def is_midpoint_convex(potential: Potential, x: Tensor, y: Tensor) -> None:
    """At a midpoint psi is below its mean at the ends, by what its strong convexity says, up to rounding."""
    with torch.no_grad():
        ends = (psi(potential, x) + psi(potential, y)) / 2
        middle = psi(potential, (x + y) / 2)
        g = potential.value_and_gradient(x)[0]
    margin = potential.strong_convexity() * (x - y).square().sum(-1) / 8
    rounding = 1e-13 * (ends.abs() + middle.abs() + g.abs() + 1)
    assert (middle <= ends - margin + rounding).all()


# ---- every baseline

Kind = type[SavedModelBaseline]
_RNG = np.random.default_rng(0)
SOURCE = _RNG.normal(size=(300, 2))
TARGET = _RNG.normal(size=(240, 2)) * [1.5, 0.7] + [3, 0]
LABELS = {"source_labels": np.arange(300) % 2, "target_labels": np.arange(240) % 2}


def made(kind: Kind, **parameters: Any) -> SavedModelBaseline:
    """An estimator that takes few steps, if any, and always the same ones."""
    known = inspect.signature(kind).parameters
    quick = {"max_steps": 12, "random_state": 0, **parameters}
    estimator = kind(**{name: value for name, value in quick.items() if name in known})
    if isinstance(estimator, LearnedBaseline) and "settings" not in parameters:
        settings = dataclasses.replace(
            estimator.chosen_settings(), batch_size=32, evaluate_every=5
        )
        estimator.set_params(settings=settings)
    return estimator


def taught(
    estimator: SavedModelBaseline, X: Any = SOURCE, Y: Any = TARGET
) -> SavedModelBaseline:
    """The estimator fitted, to labels if it takes them."""
    takes = "source_labels" in inspect.signature(estimator.fit).parameters
    fitted: SavedModelBaseline = estimator.fit(X, Y, **(LABELS if takes else {}))
    return fitted


def sent(estimator: SavedModelBaseline, X: Any, back: bool = False) -> Any:
    """Rows moved, or moved back, by their labels if the map needs them."""
    method: Callable[..., Any] = (
        estimator.inverse_transform if back else estimator.transform
    )
    if "labels" in inspect.signature(method).parameters:
        return method(X, labels=np.arange(len(X)) % 2)
    return method(X)


def moves_rows_of_any_kind(kind: Kind, tmp_path: Path) -> None:
    estimator = taught(made(kind))
    moved = sent(estimator, SOURCE)
    assert isinstance(moved, np.ndarray)
    assert moved.shape == SOURCE.shape
    assert np.isfinite(moved).all()
    tensor = sent(estimator, torch.from_numpy(SOURCE).float())
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor, moved, atol=1e-4)
    names = ["a", "b"]
    frame = pd.DataFrame(SOURCE, columns=names)
    of_frame = taught(made(kind), frame, pd.DataFrame(TARGET, columns=names))
    assert list(sent(of_frame, frame).columns) == names
    with pytest.raises(DataError, match="Give the columns used in fit"):
        sent(of_frame, frame[["b", "a"]])


def goes_back_or_says_that_it_cannot(kind: Kind, tmp_path: Path) -> None:
    estimator = taught(made(kind))
    if kind.has_inverse:
        assert sent(estimator, TARGET, back=True).shape == TARGET.shape
        return
    with pytest.raises(NoInverseError, match=kind.__name__):
        sent(estimator, TARGET, back=True)


def gives_the_same_bits_for_the_same_seed(kind: Kind, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = sent(taught(made(kind)), SOURCE)
    torch.manual_seed(2)  # which no fit may look at
    np.testing.assert_array_equal(sent(taught(made(kind)), SOURCE), first)


def is_the_same_after_it_was_saved(kind: Kind, tmp_path: Path) -> None:
    estimator = taught(made(kind))
    estimator.save(tmp_path)
    for again in (kind.load(tmp_path), load_any(tmp_path)):
        assert type(again) is kind
        np.testing.assert_array_equal(sent(again, SOURCE), sent(estimator, SOURCE))
        assert again.diagnostics_ == estimator.diagnostics_
        assert len(again.history_) == len(estimator.history_)
        assert again.get_params() == estimator.get_params()
        taught(again)  # what was loaded can be fitted again


def refuses_what_cannot_be_used(kind: Kind, tmp_path: Path) -> None:
    broken = SOURCE.copy()
    broken[17, 1] = math.nan
    for X, Y, message in (
        (broken, TARGET, "X"),
        (SOURCE, TARGET[:, :1], "Y: has 1 features, X has 2"),
        (SOURCE, None, "Y"),
        (np.full((300, 2), 1e300), TARGET, "X"),
    ):
        with pytest.raises(DataError, match=message):
            taught(made(kind), X, Y)
    with pytest.raises(DataError):
        sent(taught(made(kind)), np.full((3, 2), math.inf))
    with pytest.raises(ValueError, match="not fitted"):
        sent(made(kind), SOURCE)


def is_cloned_unfitted(kind: Kind, tmp_path: Path) -> None:
    estimator = taught(made(kind))
    again = clone(estimator)
    assert again.get_params() == estimator.get_params()
    assert not hasattr(again, "map_")


def fits_a_stream(kind: Kind, tmp_path: Path) -> None:
    if "source_labels" in inspect.signature(kind.fit).parameters:
        return  # rows of a stream have no labels

    def normal_rows(n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator)

    estimator = made(kind).fit(normal_rows, normal_rows)
    assert estimator.transform(SOURCE).shape == SOURCE.shape


BASELINE_LAWS = (
    moves_rows_of_any_kind,
    goes_back_or_says_that_it_cannot,
    gives_the_same_bits_for_the_same_seed,
    is_the_same_after_it_was_saved,
    refuses_what_cannot_be_used,
    is_cloned_unfitted,
    fits_a_stream,
)


# ---- every baseline that is trained by steps


def goes_on_to_the_bit(kind: Kind, tmp_path: Path) -> None:
    whole = taught(made(kind))
    with pytest.MonkeyPatch.context() as patch:
        advance = Run.advance

        def interrupted(run: Run[Any]) -> None:
            if run.step == 8:
                raise KeyboardInterrupt
            advance(run)

        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            taught(made(kind, checkpoint=str(tmp_path / "run")))
    assert list((tmp_path / "run").iterdir())
    resumed = taught(made(kind, checkpoint=str(tmp_path / "run")))
    np.testing.assert_array_equal(sent(resumed, SOURCE), sent(whole, SOURCE))
    assert [row["value"] for row in resumed.history_] == [
        row["value"] for row in whole.history_
    ]
    resumed.save(tmp_path / "model")
    assert not list((tmp_path / "run").iterdir())


def keeps_its_seconds(kind: Kind, tmp_path: Path) -> None:
    taught(made(kind))  # what is imported late is here now
    began = time.perf_counter()
    estimator = taught(made(kind, max_steps=None, max_time=2.0))
    assert time.perf_counter() - began < 6.0
    assert estimator.diagnostics_["stopped"] == "budget"


def tells_how_training_went(kind: Kind, tmp_path: Path) -> None:
    estimator = taught(made(kind))
    assert json.loads(json.dumps(estimator.diagnostics_)) == estimator.diagnostics_
    assert estimator.diagnostics_["steps"] == 12
    assert [row["step"] for row in estimator.history_] == [0, 5, 10, 12]
    for row in estimator.history_:
        assert row["seconds"] >= 0
        assert math.isfinite(row["value"])


def has_two_presets(kind: Kind, tmp_path: Path) -> None:
    assert issubclass(kind, LearnedBaseline)
    assert set(kind.presets) == {"published", "fair"}
    for name, settings in kind.presets.items():
        settings.check()
        assert kind(name).chosen_settings() is settings
        field = dataclasses.fields(settings)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field, 1)
    for wrong in ("best", 3, dataclasses.replace(settings, batch_size=0)):
        with pytest.raises(DataError, match="settings"):
            kind(wrong).fit(SOURCE, TARGET)


LEARNED_LAWS = (
    goes_on_to_the_bit,
    tells_how_training_went,
    has_two_presets,
)
