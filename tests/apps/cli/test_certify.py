"""`brenier certify`, and `brenier fit --certify`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.cli.samples import SMALL, X, Y
from console import run

from brenier import load


def test_a_saved_map_is_certified_on_new_rows(model: Path, capsys: Any) -> None:
    np.save("x2.npy", X[::-1])
    np.save("y2.npy", Y[::-1])
    code, out, _ = run(
        capsys, "certify", "model", "x2.npy", "y2.npy", "--no-map-error", "--quiet"
    )
    assert code == 0
    assert "W2 is at least" in out
    assert load("model").certificate_ is not None
    code, out, _ = run(capsys, "info", "model")
    assert "W2 is at least" in out
    code, out, _ = run(capsys, "info", "model", "--json")
    assert json.loads(out)["certified"]["rows"] == [300, 250]


def test_the_error_of_the_map_takes_a_second_fit(model: Path, capsys: Any) -> None:
    code, out, _ = run(
        capsys, "certify", "model", "x.npy", "y.npy", "--json", "--quiet"
    )
    assert code == 0
    assert json.loads(out)["map_error"]["forward"] > 0
    assert not Path("model/certifying").exists()


def test_a_fit_is_certified_once_it_is_saved(here: Path, capsys: Any) -> None:
    code, out, _ = run(
        capsys, "fit", "x.npy", "y.npy", "--out", "m", "--certify", "bounds", *SMALL
    )
    assert code == 0
    assert "W2 is at least" in out
    assert "## Certificate" in Path("m/report.md").read_text()
    assert load("m").certificate_ is not None


def test_other_features_are_refused(model: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "certify", "model", "three.npy", "y.npy", "--quiet")
    assert code == 2
    assert "three.npy" in err


@pytest.mark.parametrize("confidence", ["1.5", "nought"])
def test_a_confidence_that_is_none_is_refused(
    model: Path, capsys: Any, confidence: str
) -> None:
    code, _, err = run(
        capsys, "certify", "model", "x.npy", "y.npy", "--confidence", confidence
    )
    assert code == 2
    assert "confidence" in err
