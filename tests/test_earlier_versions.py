"""Models saved by earlier versions load, and move points as they did."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brenier import load

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
