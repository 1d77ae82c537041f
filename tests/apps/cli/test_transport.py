"""`brenier transport`: there and back, in bounded memory."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.cli.samples import X
from console import run

from brenier import OptimalTransport, load
from brenier.apps.cli import main


def test_transport_there_and_back(
    model: Path, ot: OptimalTransport, capsys: Any
) -> None:
    code, out, err = run(capsys, "transport", "model", "x.npy", "moved.npy")
    assert (code, err) == (0, "")
    assert out == "300 rows moved, 0 unconverged; written to moved.npy\n"
    np.testing.assert_array_equal(np.load("moved.npy"), ot.map_(X))
    assert main(["transport", "model", "moved.npy", "back.npz", "--inverse"]) == 0
    np.testing.assert_allclose(np.load("back.npz")["values"], X, atol=1e-3)
    assert (
        main(["transport", "model", "x.npy", "half.npy", "--interpolate", "0.5"]) == 0
    )
    np.testing.assert_allclose(np.load("half.npy"), (X + ot.map_(X)) / 2)


@pytest.mark.parametrize(
    ("given", "written"), [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), (">f4", "f4")]
)
def test_arrays_keep_their_precision(given: str, written: str, model: Path) -> None:
    np.save("x.npy", (10 * X).astype(given))
    assert main(["transport", "model", "x.npy", "o.npy"]) == 0
    assert np.load("o.npy").dtype == np.dtype(written)


def test_large_arrays_are_moved_a_few_rows_at_a_time(
    model: Path, ot: OptimalTransport, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = import_module("brenier.apps.cli.inputs")
    on_disk = dataclasses.replace(inputs.INPUT, max_in_memory=0)
    monkeypatch.setattr(inputs, "INPUT", on_disk)
    command = import_module("brenier.apps.cli.transport")
    few = dataclasses.replace(command.TRANSPORT, rows_at_once=64)
    monkeypatch.setattr(command, "TRANSPORT", few)
    assert main(["transport", "model", "x.npy", "o.npy", "--quiet"]) == 0
    np.testing.assert_allclose(np.load("o.npy"), ot.map_(X))
    before = Path("o.npy").read_bytes()
    hole = X.copy()
    hole[200, 1] = np.inf
    np.save("hole.npy", hole)
    capsys.readouterr()
    code, _, err = run(capsys, "transport", "model", "hole.npy", "o.npy", "--quiet")
    assert code == 2
    assert "the first is row 200 in column 1" in err
    assert Path("o.npy").read_bytes() == before
    assert not list(Path().glob(".*"))


def test_unconverged_rows_are_counted_and_all_of_them_is_a_failure(
    model: Path, capsys: Any
) -> None:
    weak = load("model")
    weak.map_.max_steps, weak.map_.tol = 0, 1e-30
    weak.save("weak")
    code, out, err = run(capsys, "transport", "weak", "y.npy", "o.npy", "--inverse")
    assert code == 3
    assert "250 rows moved, 250 unconverged" in out
    assert err.startswith("warning: 250 of 250 rows did not converge")
    assert np.isfinite(np.load("o.npy")).all()
    assert main(["evaluate", "weak", "x.npy", "y.npy"]) == 3


def test_rows_outside_of_the_source_are_counted(model: Path, capsys: Any) -> None:
    np.save("far.npy", np.concatenate([X[:50], X[:20] + 40]))
    code, _, err = run(capsys, "transport", "model", "far.npy", "moved.npy")
    assert code == 0
    assert " of 70 rows lie farther out" in err
