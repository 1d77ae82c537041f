"""`brenier export`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from apps.cli.samples import X
from console import run

from brenier import load


def test_a_saved_map_becomes_one_file(model: Path, capsys: Any) -> None:
    code, out, _ = run(capsys, "export", "model", "map.pt2", "--dtype", "float32")
    assert code == 0
    assert out.startswith("map.pt2: x -> moved, ")
    assert "of the spread of the data" in out
    extra = {"metadata.json": ""}
    program = torch.export.load("map.pt2", extra_files=extra).module()
    assert json.loads(extra["metadata.json"])["features"] == ["height", "weight"]
    (moved,) = program(torch.from_numpy(X).float())
    expected = load("model").map_(X)
    assert np.abs(moved.numpy() - expected).max() < 1e-5


def test_it_is_told_as_json(model: Path, capsys: Any) -> None:
    code, out, _ = run(
        capsys, "export", "model", "map.pt2", "--what", "potential", "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert told["inputs"] == ["u", "z"]
    assert told["bytes"] == Path("map.pt2").stat().st_size
    assert told["error"] <= 1e-6


def test_what_cannot_be_written_is_refused(model: Path, capsys: Any) -> None:
    for output in ("map.txt", "model"):
        code, _, err = run(capsys, "export", "model", output)
        assert code == 2
        assert "path: " in err
    code, _, err = run(capsys, "export", "model", "nowhere/map.pt2")
    assert code == 2
    assert "nowhere" in err
