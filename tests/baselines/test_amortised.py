"""W2OT: both losses and what each of them trains, the inverse as a solve, the start on a box, and a map it learns."""

import dataclasses
from typing import Any

import pytest
import torch
from baselines.given import error, given_sides, number, quick, rows, stretched

from brenier.baselines import W2OT, AmortisedSettings
from brenier.baselines.amortised import AmortisedTask
from brenier.baselines.amortised_model import (
    POTENTIAL_KINDS,
    START_KINDS,
    AmortisedPair,
)
from brenier.errors import ConvergenceWarning, DataError

SMALL = (16, 16, 8)


def pair_of(
    generator: torch.Generator, potential: str = "elu", start: str = "map"
) -> AmortisedPair:
    model = AmortisedPair(
        2,
        potential=potential,
        start=start,
        widths=SMALL,
        residual=1e-9,
        steps=300,
        generator=generator,
    ).double()
    model.constrain()
    return model


def task_of(
    generator: torch.Generator, model: AmortisedPair | None = None, **changes: Any
) -> AmortisedTask:
    settings = dataclasses.replace(AmortisedSettings(residual=1e-9), **changes)
    sides = given_sides(rows(40, 2), rows(40, 2, seed=1) + 0.5)
    return AmortisedTask(model or pair_of(generator), sides, generator, settings)


@pytest.mark.whole_start
@pytest.mark.parametrize("potential", POTENTIAL_KINDS)
@pytest.mark.parametrize("start", START_KINDS)
def test_the_inverse_undoes_the_map(
    potential: str, start: str, generator: torch.Generator
) -> None:
    model = pair_of(generator, potential, start)
    model.start_on_box(
        given_sides(rows(100, 2), rows(9, 2)), generator, most=60, least=0, enough=1e-3
    )
    z = rows(50, 2, seed=3)
    found = model.returned(z)
    torch.testing.assert_close(model.moved(found), z, rtol=0, atol=1e-7)
    assert not found.requires_grad


def test_the_gradient_of_the_inverse_is_that_of_finite_differences(
    generator: torch.Generator,
) -> None:
    model = pair_of(generator)
    model.start_on_box(
        given_sides(rows(100, 2), rows(9, 2)), generator, most=60, least=0, enough=1e-3
    )
    z = rows(5, 2, seed=3).requires_grad_()
    found = model.returned(z)
    found.square().sum().backward()
    for k in range(2):
        step = torch.zeros_like(z)
        step[:, k] = 1e-5
        with torch.no_grad():
            ahead, behind = (
                model.returned(z + s * step).square().sum(1) for s in (1, -1)
            )
        assert z.grad is not None
        torch.testing.assert_close(
            z.grad[:, k], (ahead - behind) / 2e-5, rtol=1e-3, atol=1e-4
        )


def test_rows_that_do_not_converge_are_counted(generator: torch.Generator) -> None:
    model = pair_of(generator)
    model.steps = 1
    with pytest.warns(ConvergenceWarning, match="inverse map: .* of 50 rows"):
        model.returned(5 * rows(50, 2))


@pytest.mark.parametrize("amortisation", ["objective", "regression"])
def test_the_losses_are_those_of_the_formulas(
    amortisation: str, generator: torch.Generator
) -> None:
    task = task_of(generator, amortisation=amortisation)
    model, x, y = task.model, task.draw_source(40), task.draw_target(40)
    solved, start = model.returned(y), model.started(y)
    dual = (
        model.potential(x).mean()
        + ((solved * y).sum(1) - model.potential(solved)).mean()
    )
    if amortisation == "objective":
        extra = (model.potential(start) - (start * y).sum(1)).mean()
    else:
        extra = ((start - solved) ** 2).sum() / 80
    loss = task.loss(40)
    assert number(loss) == pytest.approx(number(dual + extra), rel=1e-6)
    loss.backward()
    # The potential learns by the dual alone, with the solution as a number (the envelope theorem).
    weight, of_start = model.potential.weights[1], next(model.start.parameters())
    (wanted,) = torch.autograd.grad(dual, weight)
    torch.testing.assert_close(weight.grad, wanted, rtol=1e-5, atol=1e-7)
    (wanted,) = torch.autograd.grad(extra, of_start)
    torch.testing.assert_close(of_start.grad, wanted, rtol=1e-5, atol=1e-7)


def test_without_solves_the_start_is_taken_for_the_solution(
    generator: torch.Generator,
) -> None:
    task = task_of(generator, solves=False)
    model, x, y = task.model, task.draw_source(40), task.draw_target(40)
    start = model.started(y)
    inner = (model.potential(start) - (start * y).sum(1)).mean()
    # Dual and amortisation cancel but for the value at x.
    assert number(task.loss(40)) == pytest.approx(
        number(model.potential(x).mean() - inner + inner)
    )
    assert task.unsolved == 0.0


def test_a_loss_beyond_its_bound_is_a_fault(generator: torch.Generator) -> None:
    (found,) = task_of(generator, largest_loss=1e-9).losses(40, 1.0)
    assert "beyond" in found.fault
    (found,) = task_of(generator, solve_steps=1, residual=1e-12).losses(40, 1.0)
    assert found.fault == ""
    assert found.records[0]["unsolved"] > 0.5


def test_both_maps_start_at_the_identity_on_the_box(generator: torch.Generator) -> None:
    model = pair_of(generator)
    box = torch.tensor([[-2.0, 1.0], [1.0, 4.0]], dtype=torch.float64)
    taken = model.start_on_box(
        given_sides(box[:1], box[1:]), generator, most=2000, least=5, enough=1e-3
    )
    assert 5 < taken < 2000
    x = torch.lerp(box[0], box[1], torch.rand(500, 2, generator=generator).double())
    for found in (model.moved(x), model.started(x)):
        assert number((found - x).square().mean()) < 2e-3
    again = pair_of(generator)
    assert (
        again.start_on_box(
            given_sides(box[:1], box[1:]), generator, most=0, least=0, enough=1e-3
        )
        == 0
    )


@pytest.mark.whole_start
def test_convex_potentials_stay_convex(generator: torch.Generator) -> None:
    settings = dataclasses.replace(
        W2OT.presets["fair"], potential="convex", widths=SMALL
    )
    ot = W2OT(settings, max_steps=5, random_state=0).fit(rows(200, 2), rows(200, 2, 1))
    potential = ot.map_.model.potential  # type: ignore[union-attr]
    for part in (*potential.weights, potential.readout):  # type: ignore[misc, union-attr]
        assert bool((part >= 0).all())


def test_widths_follow_the_features() -> None:
    assert AmortisedSettings().shape(2).widths == (64, 64, 32)
    assert AmortisedSettings().shape(50).widths == (100, 100, 50)


def test_it_learns_a_map_whose_inverse_is_exact() -> None:
    x, y = rows(4000, 2), stretched(rows(4000, 2, seed=1))
    ot = W2OT(quick(W2OT.presets["fair"]), max_steps=150, random_state=0).fit(x, y)
    moved = ot.transform(x)
    assert error(moved, stretched(x)) < 0.1
    assert error(ot.inverse_transform(stretched(x)), x) < 0.15
    # Where the potential is not convex, a row comes back elsewhere.
    missed = (ot.inverse_transform(moved) - x).norm(dim=1)
    assert number(missed.median()) < 1e-3
    assert ot.history_[-1]["unsolved"] < 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("potential", "concave"),
        ("start", "origin"),
        ("amortisation", "cycle"),
        ("widths", (0,)),
        ("solve_steps", 0),
        ("pretraining_steps", -1),
        ("skip_fraction", 2.0),
        ("residual", 0.0),
        ("residual", "small"),
        ("skip_fraction", "few"),
    ],
)
def test_settings_that_no_fit_takes_are_named(name: str, value: Any) -> None:
    settings = dataclasses.replace(AmortisedSettings(), **{name: value})
    with pytest.raises(DataError, match=f"settings: {name}"):
        settings.check()
