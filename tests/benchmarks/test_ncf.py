"""Characteristic flows: every method is measured, and the targets are the published ones."""

from functools import partial
from pathlib import Path

import pytest

from benchmarks import ncf
from benchmarks.harness import Ledger


@pytest.fixture(scope="module")
def flags():
    return ncf.ARGUMENTS.parse(None, ["--quick"])


def test_maps_that_need_no_training(flags) -> None:
    still = ncf.measure(ncf.Gaussians(2), "identity", 0, flags)
    known = ncf.measure(ncf.Gaussians(2), "plug-in", 0, flags)
    for side in ("forward", "backward"):
        assert known[f"{side}_uvp"] < 0.02 < 1 < still[f"{side}_uvp"]


def test_a_flow_is_measured_on_both_kinds_of_problems(flags) -> None:
    found = ncf.measure(ncf.Gaussians(2), "flow", 0, flags)
    assert {"forward_uvp", "backward_uvp", "residual", "parameters"} <= found.keys()
    toy = ncf.measure(ncf.Toy("crossed ring", 50), "head", 0, flags)
    assert 0 <= toy["accuracy"] <= 1


def test_every_method_has_a_line_of_its_own(flags) -> None:
    for problem in (ncf.Gaussians(2), ncf.Toy("crossed ring", 50)):
        names = [choice.name for choice in ncf.methods(flags, problem)]
        assert len(set(names)) == len(names) >= 5


def test_the_targets_are_the_published_errors(tmp_path: Path) -> None:
    ledger = Ledger("trial", tmp_path, ())
    met = ncf.GAUSSIANS.columns[-1].value
    assert callable(met)
    for method, forward, backward, good in (
        ("flow, 600 s", 0.01, 0.02, True),
        ("flow, 600 s", 0.011, 0.01, False),
        ("flow, 600 s", 0.01, 0.021, False),
        ("head, 600 s", 0.01, 0.01, None),
    ):
        values: partial[dict[str, float]] = partial(
            dict, forward_uvp=forward, backward_uvp=backward, paper=ncf.PAPER[2]
        )
        row = ledger.record("gaussians d=2", method, 0, values, dim=2)
        assert met(row) is good
