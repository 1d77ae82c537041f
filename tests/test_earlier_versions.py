"""Models saved by earlier versions load, and move points as they did."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brenier import DataError, load

MODELS = Path(__file__).parent / "models_of_0_1"
CONDITIONS: dict[str, dict[str, Any]] = {
    "labels": {"labels": ("a", 1)},
    "covariates": {"covariates": [0.4]},
}


@pytest.mark.parametrize("kind", sorted(folder.name for folder in MODELS.iterdir()))
def test_models_of_0_1_move_points_as_before(kind: str) -> None:
    ot, condition = load(MODELS / kind), CONDITIONS.get(kind, {})
    expected = np.load(MODELS / kind / "expected.npz")
    np.testing.assert_allclose(
        ot.transform(expected["x"], **condition),
        expected["moved"],
        rtol=1e-4,
        atol=1e-4,
    )
    np.testing.assert_allclose(
        ot.inverse_transform(expected["z"], **condition),
        expected["back"],
        rtol=1e-3,
        atol=1e-3,
    )
    assert ot.diagnostics_["selected"] == str(expected["kind"])
    if kind != "covariates":
        found = ot.distance(*condition.values())
        assert 0 < found.w2 < 10


def test_what_0_1_did_not_measure_is_said_with_what_to_do() -> None:
    """The distance over all covariates: it can be measured at one value, or the fit repeated."""
    ot = load(MODELS / "covariates")
    assert ot.map_.pooled_distance is None
    for ask in (ot.distance, ot.map_.distance):
        with pytest.raises(
            DataError, match=r"^covariates: .*models of 0\.1 have none.*fit again, or"
        ):
            ask()
    expected = np.load(MODELS / "covariates" / "expected.npz")
    found = ot.map_.distance([0.4], expected["x"], expected["z"])
    assert math.isfinite(found.w2)


@pytest.mark.parametrize("kind", sorted(folder.name for folder in MODELS.iterdir()))
def test_models_of_0_1_are_saved_again_without_loss(kind: str, tmp_path: Path) -> None:
    ot, condition = load(MODELS / kind), CONDITIONS.get(kind, {})
    ot.save(tmp_path)
    again, x = load(tmp_path), np.load(MODELS / kind / "expected.npz")["x"]
    moved = again.transform(x, **condition)
    np.testing.assert_array_equal(moved, ot.transform(x, **condition))
    assert again.get_params() == {**ot.get_params(), "method": again.method}
    assert again.settings is None
    assert again.diagnostics_ == ot.diagnostics_
