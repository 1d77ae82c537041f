"""MM-v1: the envelope theorem, an inverse as exact as the solver, and rows that it did not solve."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from baselines.duals import convex, normal_sides

from brenier.baselines import MMv1, MMv1Settings, convex_dual
from brenier.baselines.convex_dual import (
    ConvexDualTask,
    ConvexPotential,
    SolvedInverseSettings,
)
from brenier.errors import ConvergenceWarning, DataError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(800, 2)), 2 * RNG.normal(size=(700, 2)) + [1.0, -3.0]


def solved_task(generator: torch.Generator, **settings: Any) -> ConvexDualTask:
    """A task of a convex potential with random weights."""
    sides = normal_sides(2, generator)
    model = ConvexPotential(2, generator=generator).double()
    model.potential = convex(2, generator)
    model.start_from(*sides.known)
    told = MMv1Settings(**settings)
    return ConvexDualTask(model, sides, generator, told)


@pytest.mark.parametrize("inner", ["bfgs", "adam"])
def test_the_slope_of_the_loss_is_that_of_the_dual(
    inner: str, generator: torch.Generator
) -> None:
    # Adam's last steps are long: where the supremum is looked for, not what comes out of it, is the same.
    tol = 1e-9 if inner == "bfgs" else 1e-6
    task = solved_task(
        generator, inner=inner, inner_tol=tol, inner_rate=0.02, inner_steps=3000
    )
    state = generator.get_state()
    parts = list(task.model.potential.parameters())
    slopes = torch.autograd.grad(task.loss(64), parts)
    moves = [torch.randn(p.shape, generator=generator).to(p) for p in parts]
    expected = sum(float((s * m).sum()) for s, m in zip(slopes, moves, strict=True))
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            for part, move in zip(parts, moves, strict=True):
                part.add_(move, alpha=step)
            generator.set_state(state)
            x, y = task.draw_source(64), task.draw_target(64)
            z = task.solved(y).point
            potential = task.model.potential
            height = torch.linalg.vecdot(z, y) - potential(z)
            values.append(float(potential(x).mean() + height.mean()))
            for part, move in zip(parts, moves, strict=True):
                part.sub_(move, alpha=step)
    found = (values[0] - values[1]) / 2e-5
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("coordinates", ["data", "common"])
def test_a_scaling_with_a_shift_is_learnt_and_inverted(coordinates: str) -> None:
    settings = MMv1Settings(coordinates=coordinates, learning_rate=5e-3)
    model = MMv1(settings, max_steps=80, random_state=0).fit(X, Y)
    error = model.transform(X) - (2 * X + [1.0, -3.0])
    assert np.square(error).mean() < 0.01 * Y.var()
    np.testing.assert_allclose(
        model.transform(model.inverse_transform(Y)), Y, atol=1e-4
    )
    assert sum(row["unsolved"] for row in model.history_) == 0


def test_the_inverse_is_as_exact_as_its_precision() -> None:
    model = MMv1(max_steps=10, random_state=0, dtype="float64").fit(X, Y)
    there = model.transform(model.inverse_transform(Y))
    assert np.abs(there - Y).max() < 2 * SolvedInverseSettings().tol * Y.std()
    # One row has the answer that it has among others.
    alone = model.inverse_transform(Y[5:6])
    np.testing.assert_allclose(alone, model.inverse_transform(Y)[5:6], atol=1e-9)


def test_the_inverse_is_differentiated_by_the_implicit_function_theorem() -> None:
    model = MMv1(max_steps=10, random_state=0, dtype="float64").fit(X, Y)
    z = torch.as_tensor(Y[:4]).requires_grad_()
    back = model.inverse_transform(z)
    x = back.detach().requires_grad_()
    ahead = model.transform(x)
    for j in range(2):
        (inner,) = torch.autograd.grad(back[:, j].sum(), z, retain_graph=True)
        (outer,) = torch.autograd.grad(ahead, x, inner, retain_graph=True)
        expected = torch.eye(2, dtype=torch.float64)[j].expand(4, 2)
        torch.testing.assert_close(outer, expected, atol=1e-4, rtol=0)


def test_rows_that_are_not_solved_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MMv1(max_steps=10, random_state=0).fit(X, Y)
    monkeypatch.setattr(convex_dual, "INVERSE", SolvedInverseSettings(max_steps=1))
    with pytest.warns(ConvergenceWarning, match=r"inverse: 30 of 30 rows ended"):
        found = model.inverse_transform(Y[:30])
    assert np.isfinite(found).all()


def test_the_solver_starts_at_the_affine_inverse(generator: torch.Generator) -> None:
    model = ConvexPotential(3, generator=generator).double()
    x = torch.randn(5000, 3, generator=generator, dtype=torch.float64)
    model.start_from(x, 3 * x - 2)
    torch.testing.assert_close(model.started(3 * x - 2), x, atol=0.01, rtol=0)
    assert float(model.spread) == pytest.approx(3, rel=0.02)


def test_the_published_solver_says_how_many_rows_it_left() -> None:
    model = MMv1("published", max_steps=2, random_state=0).fit(X, Y)
    last = model.history_[-1]
    assert 1 < last["inner_steps"] <= 1000
    assert 0 < last["unsolved"] < 2 * 1024


def test_the_potential_is_convex() -> None:
    model = MMv1(max_steps=5, random_state=0, dtype="float64").fit(X, Y)
    fitted = model.map_.model
    assert isinstance(fitted, ConvexPotential)
    for part in fitted.potential.weights:
        assert bool((part >= 0).all())
    x = torch.as_tensor(X[:50]).requires_grad_()
    (row,) = torch.autograd.grad(model.transform(x)[:, 0].sum(), x)
    assert bool((row[:, 0] > 0).all())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inner", "newton"),
        ("inner_tol", 0.0),
        ("inner_steps", 0),
        ("inner_steps", 9.5),
        ("inner_rate", "fast"),
    ],
)
def test_settings_that_cannot_be_used_are_named(field: str, value: Any) -> None:
    settings = dataclasses.replace(MMv1Settings(), **{field: value})
    with pytest.raises(DataError, match=f"settings: {field} must be"):
        MMv1(settings).fit(X, Y)
