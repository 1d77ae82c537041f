"""`brenier info`: what a saved model is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from console import run
from fits import PAIR, quick

from brenier import DenseICNN, MeanPotential
from brenier.potentials import EntropicPotential


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


def test_a_mean_of_networks_and_a_plan_says_so(tmp_path: Path, capsys: Any) -> None:
    x, z = (torch.from_numpy(side) for side in PAIR)
    rows = x[:30].float(), torch.zeros(30)
    plan = EntropicPotential.of_potentials(rows, (z[:20].float(), torch.zeros(20)), 0.5)
    ot = quick(max_steps=1, n_networks=2, settings={"z_threshold": 0.0}).fit(*PAIR)
    networks = [DenseICNN(2, (8, 4)) for _ in range(2)]
    ot.map_.network = MeanPotential([*networks, plan], [0.25, 0.25, 0.5])
    ot.save(tmp_path)
    code, out, _ = run(capsys, "info", str(tmp_path))
    assert code == 0
    assert re.search(r"potential +mean of 2 DenseICNN and 1 EntropicPotential, ", out)
    assert re.search(r"hidden +.*8.*4", out)
    assert re.search(r"source_count +30", out)
    assert re.search(r"target_count +20", out)
    assert re.search(r"temperature +0\.5", out)
    _, out, _ = run(capsys, "info", str(tmp_path), "--json")
    assert json.loads(out)["potential"]["weights"] == [0.25, 0.25, 0.5]


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
