"""The recipe for Ray Data on the page, where ray is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bulk_files import FEATURES, frame
from fits import quick

PAGE = Path(__file__).parents[4] / "docs" / "scale-bulk.md"


@pytest.mark.slow
def test_the_recipe_moves_rows_as_the_estimator_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray.data", reason="Ray is no dependency")
    monkeypatch.chdir(tmp_path)
    table = frame(50)[["id", *FEATURES]].reset_index(drop=True)
    ot = quick().fit(table[FEATURES], 2 * table[FEATURES] + 1)
    ot.save("model")
    Path("in").mkdir()
    table.to_parquet("in/x.parquet")
    _, _, recipe = PAGE.read_text(encoding="utf-8").partition("## Ray")
    code = recipe.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace('"model"', f'"{tmp_path / "model"}"').replace("=4", "=1"), names)
    assert ray is not None
    moved = pd.read_parquet("out").sort_values("id")
    expected = ot.transform(table[FEATURES])
    np.testing.assert_allclose(moved[FEATURES], expected, rtol=1e-6)
