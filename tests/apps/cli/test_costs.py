"""Costs and masses on the command line."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.cli.samples import SMALL
from console import run

import brenier
from brenier import (
    DataError,
    LogCosh,
    Mahalanobis,
    OptimalTransport,
    Power,
    UnbalancedMass,
)
from brenier.apps.cli.costs import with_cost


def test_words_become_costs_and_masses(here: Path) -> None:
    np.save("matrix.npy", np.diag([1.0, 4.0]))
    for told, expected in (
        ({"cost": "power", "p": 1.5}, {"cost": Power(1.5)}),
        ({"cost": "log_cosh", "cost_scale": 2.0}, {"cost": LogCosh(2.0)}),
        (
            {"cost": "mahalanobis", "matrix": Path("matrix.npy")},
            {"cost": Mahalanobis([[1.0, 0.0], [0.0, 4.0]])},
        ),
        ({"rho": 2.0}, {"mass": UnbalancedMass(2.0, 2.0)}),
        ({"target_rho": 2.0, "tol": 0.1}, {"mass": UnbalancedMass(math.inf, 2.0)}),
        ({}, {}),
    ):
        found = with_cost(told)
        assert {**found, "tol": 0} == {**expected, "tol": 0}


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"p": 1.5}, "--p: is of a cost"),
        ({"cost": "power"}, "--p: cost 'power' needs it"),
        ({"cost": "power", "p": 0.5}, "--p: must be a finite number above 1"),
        ({"cost": "elastic", "sparsity": -1.0}, "--sparsity: must be"),
        ({"cost": "elastic", "sparsity": 1.0, "p": 2.0}, "--p: cost 'elastic' takes"),
        ({"rho": 1.0, "target_rho": 1.0}, "--rho: is that of both sides"),
        ({"rho": -1.0}, "mass: its source must be a number above 0"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    told: dict[str, object], named: str
) -> None:
    with pytest.raises(DataError, match=f"^{named}"):
        with_cost(told)


def test_a_fit_under_another_cost_is_told_saved_and_evaluated(
    here: Path, capsys: Any
) -> None:
    words = ("fit", "x.npy", "y.npy", "--out", "model", *SMALL)
    code, out, _ = run(
        capsys, *words, "--cost", "power", "--p", "3", "--target-rho", "5"
    )
    assert code == 0
    assert "OT_c = " in out
    assert "of the target explained" in out
    ot: OptimalTransport = brenier.load("model")
    assert (ot.cost, ot.mass) == (Power(3.0), UnbalancedMass(math.inf, 5.0))
    _, out, _ = run(capsys, "info", "model")
    assert "power, p 3" in out
    assert "unbalanced, source exact, target 5" in out
    _, out, _ = run(capsys, "info", "model", "--json")
    assert json.loads(out)["ground"]["cost"] == {"name": "power", "p": 3.0}
    code, out, _ = run(capsys, "evaluate", "model", "x.npy", "y.npy", "--json")
    assert code == 0
    assert json.loads(out)["distance"]["balanced"] is False
    assert "OT_c" in Path("model/report.md").read_text(encoding="utf-8")


def test_a_bad_cost_writes_nothing(here: Path, capsys: Any) -> None:
    words = ("fit", "x.npy", "y.npy", "--out", "model")
    code, _, err = run(capsys, *words, "--cost", "power", "--p", "1")
    assert code == 2
    assert "--p: must be a finite number above 1" in err
    assert not Path("model").exists()
