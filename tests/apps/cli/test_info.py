"""`brenier info`: what a saved model is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from console import run


def test_info_is_told_to_people_and_to_programs(model: Path, capsys: Any) -> None:
    code, out, _ = run(capsys, "info", "model")
    assert code == 0
    assert "height, weight" in out
    assert "W2 = " in out
    _, out, _ = run(capsys, "info", "model", "--json")
    told = json.loads(
        out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert told["features"] == ["height", "weight"]
    assert told["training"]["steps"] == 20
    assert told["certificate"]["certified"] is True


@pytest.mark.parametrize("kind", ["affine", "convex", "mean_of_two"])
def test_models_of_version_0_1_are_described(kind: str, capsys: Any) -> None:
    folder = Path(__file__).parents[2] / "models_of_0_1" / kind
    code, out, _ = run(capsys, "info", str(folder))
    assert code == 0
    assert "setbacks" not in out
    assert re.search(r"source rows +none", out)
    assert "missed" not in out  # which 0.1 did not measure
    _, out, _ = run(capsys, "info", str(folder), "--json")
    told = json.loads(out)
    assert told["training"]["rollbacks"] == told["diagnostics"]["rollbacks"] == 0
