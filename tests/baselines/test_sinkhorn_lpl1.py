"""Entropic plans by class, against POT called directly, and the rows that follow them."""

import builtins
from typing import Any

import numpy as np
import pytest
import torch

from brenier import ConvergenceWarning, DataError, DataWarning
from brenier.baselines import SinkhornLpL1
from brenier.baselines.closed_form import DrawnRows
from brenier.baselines.sinkhorn_lpl1 import group_plan, target_masses

ot = pytest.importorskip("ot")
RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
X = RNG.normal(size=(60, 2)) + 3 * LABELS[:, None]
Y = 0.5 * RNG.normal(size=(60, 2)) - 2 * LABELS[:, None]
BOTH = {"source_labels": LABELS, "target_labels": LABELS}


def transported(**told: Any) -> Any:
    """What POT's own transport gives; it centres nothing, and costs are divided by the largest."""
    transport = ot.da.SinkhornLpl1Transport(
        reg_e=0.05, reg_cl=0.1, norm="max", limit_max=1e3, tol=1e-9
    )
    # The estimator looks at centred sides, on which costs are other ones.
    unit = np.sqrt(np.square(np.concatenate([X - X.mean(0), Y - Y.mean(0)])).mean())
    source, target = (X - X.mean(0)) / unit, (Y - Y.mean(0)) / unit
    transport.fit(Xs=source, ys=LABELS, Xt=target, **told)
    return transport.transform(Xs=source) * unit + Y.mean(0)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("semi_supervised", [True, False])
def test_fitted_rows_go_where_pot_sends_them(semi_supervised: bool) -> None:
    method = SinkhornLpL1(reg=0.05, semi_supervised=semi_supervised)
    labels = BOTH if semi_supervised else {"source_labels": LABELS}
    moved = method.fit(X, Y, **labels).transform(X)
    told = {"yt": LABELS} if semi_supervised else {}
    order = np.argsort(LABELS, kind="stable")
    truth = transported(**told)
    np.testing.assert_allclose(moved[order], truth[order], atol=1e-5)


def test_new_rows_are_displaced_like_the_nearest_fitted_row() -> None:
    method = SinkhornLpL1().fit(X, Y, **BOTH)
    step = np.array([0.01, -0.005])
    np.testing.assert_allclose(
        method.transform(X + step) - step, method.transform(X), atol=1e-9
    )


def test_with_target_labels_no_mass_changes_class() -> None:
    # Classes sit where the other one's target is: by cost alone all would go wrong.
    labels = np.arange(40) % 2
    rows = RNG.normal(size=(40, 1)) + 10 * labels[:, None]
    aims = RNG.normal(size=(40, 1)) + 10 * (1 - labels[:, None])
    both = {"source_labels": labels, "target_labels": labels}
    moved = SinkhornLpL1().fit(rows, aims, **both).transform(rows)
    assert (np.abs(moved[:, 0] - 10 * (1 - labels)) < 4).all()
    with pytest.warns(DataWarning, match="target_labels: are not looked at"):
        free = SinkhornLpL1(semi_supervised=False).fit(rows, aims, **both)
    moved = free.transform(rows)
    assert (np.abs(moved[:, 0] - 10 * labels) < 4).all()


def test_a_class_has_the_same_mass_on_both_sides() -> None:
    rows = DrawnRows(
        torch.zeros(10, 1),
        torch.zeros(4, 1),
        torch.tensor([0] * 7 + [1] * 3),
        torch.tensor([0, 1, 1, 1]),
        ("a", "b"),
    )
    masses = target_masses(rows)
    assert masses.tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1])
    sizes = torch.arange(10.0).double()[:, None], torch.arange(4.0).double()[:, None]
    unequal = DrawnRows(*sizes, rows.source_codes, rows.target_codes, rows.labels)
    plan = group_plan(unequal, 0.1, 0.1)
    assert float(plan[:7, 1:].sum() + plan[7:, 0].sum()) < 1e-12
    torch.testing.assert_close(plan.sum(0), masses, atol=1e-6, rtol=0)


def test_what_cannot_be_used_is_named() -> None:
    for labels, message in (
        ({}, "source_labels"),
        ({"source_labels": LABELS}, "target_labels"),
        ({"source_labels": LABELS, "target_labels": LABELS[:5]}, "target_labels"),
    ):
        with pytest.raises(DataError, match=message):
            SinkhornLpL1().fit(X, Y, **labels)
    wrong: list[dict[str, Any]] = [
        {"reg": 0.0},
        {"class_reg": -1.0},
        {"semi_supervised": "yes"},
    ]
    for told in wrong:
        with pytest.raises(DataError, match=next(iter(told))):
            SinkhornLpL1(**told).fit(X, Y, **BOTH)
    with pytest.raises(DataError, match="reg: is 1e-05, so small"):
        SinkhornLpL1(reg=1e-5).fit(X, Y, **BOTH)


def test_a_plan_that_has_not_converged_says_so() -> None:
    with pytest.warns(ConvergenceWarning, match="reg: the marginal"):
        SinkhornLpL1(reg=5e-4, class_reg=0.0, semi_supervised=False).fit(
            X, Y, source_labels=LABELS
        )


def test_without_pot_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def hidden(name: str, *others: Any) -> Any:
        if name.split(".")[0] == "ot":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", hidden)
    with pytest.raises(DataError, match=r"POT: SinkhornLpL1 needs it.*metrics"):
        SinkhornLpL1().fit(X, Y, **BOTH)
