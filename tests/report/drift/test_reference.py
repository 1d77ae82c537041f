"""A reference is fitted once and kept in files that are read with distrust."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.drift.tables import machine

from brenier import DataError, ModelFileError
from brenier.model_files import signed
from brenier.report import DriftReference, drift, holds_reference


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    """A reference of mixed columns with gaps."""
    frame = machine(300, 0)
    frame.loc[:20, "a"] = np.nan
    frame["k"] = 1
    frame["id"] = [f"unit {row}" for row in range(300)]
    return DriftReference.fit(frame, missing="fill", map_=False)


def week() -> Any:
    """A table of the same columns, changed."""
    frame = machine(200, 1, shift=0.5)
    frame["k"] = 1
    frame["id"] = "one"
    return frame


def test_a_saved_reference_comes_back_to_the_bit(
    reference: DriftReference, tmp_path: Path
) -> None:
    assert not holds_reference(tmp_path)
    reference.save(tmp_path / "model")
    assert holds_reference(tmp_path / "model")
    loaded = DriftReference.load(tmp_path / "model")
    assert loaded.rules == reference.rules
    assert loaded.layout == reference.layout
    assert np.array_equal(loaded.sample, reference.sample)
    told = drift(reference, week(), map_=False).to_json()
    assert drift(loaded, week(), map_=False).to_json() == told
    loaded.save(tmp_path / "again")
    folders = [tmp_path / folder for folder in ("model", "again")]
    files = [sorted(path.name for path in each.glob("drift*")) for each in folders]
    assert files[0] == files[1]
    for name in files[0]:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("model", "again"))  # fmt: skip
        assert first == second


def test_files_that_are_missing_or_altered_are_refused(
    reference: DriftReference, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="not found"):
        DriftReference.load(tmp_path)
    with pytest.raises(DataError, match="folder"):
        DriftReference.load(3)  # type: ignore[arg-type]
    reference.save(tmp_path)
    described = tmp_path / "drift.json"
    (weights,) = tmp_path.glob("*.safetensors")
    content, rows = described.read_bytes(), weights.read_bytes()
    described.write_bytes(content.replace(b'"unit', b'"Unit').replace(b"300", b"301"))
    with pytest.raises(ModelFileError, match="altered"):
        DriftReference.load(tmp_path)
    described.write_bytes(content)
    weights.write_bytes(rows[:-8])
    with pytest.raises(ModelFileError, match="truncated or were altered"):
        DriftReference.load(tmp_path)
    weights.write_bytes(rows[:-1] + b"\x01")
    with pytest.raises(ModelFileError, match="checksum"):
        DriftReference.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"missing": "guess"},
        {"kept_rows": 299},
        {"kept_rows": "many"},
        {"rules": []},
        {"layout": {}},
        {"margins": {"half": 3, "moved": [1.0]}},
        {"left_out": 3},
        {"mapped": {"half": 3}},
    ],
    ids=str,
)
def test_a_description_that_cannot_be_true_is_refused(
    change: dict[str, Any], reference: DriftReference, tmp_path: Path
) -> None:
    reference.save(tmp_path)
    described = tmp_path / "drift.json"
    told = json.loads(described.read_bytes())
    told.pop("sha256")
    described.write_bytes(signed({**told, **change}))
    with pytest.raises(ModelFileError):
        DriftReference.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"spread": 0},
        {"kind": "odd"},
        {"kept": 99},
        {"column": "z"},
        {"levels": []},
        {"extra": 1},
    ],
    ids=str,
)
def test_rules_that_cannot_be_true_are_refused(
    change: dict[str, Any], reference: DriftReference, tmp_path: Path
) -> None:
    reference.save(tmp_path)
    described = tmp_path / "drift.json"
    told = json.loads(described.read_bytes())
    told.pop("sha256")
    (colour,) = [rule for rule in told["rules"] if rule["name"] == "colour"]
    colour.update(change)
    described.write_bytes(signed(told))
    with pytest.raises(ModelFileError):
        DriftReference.load(tmp_path)


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.full((4, 2), np.nan)])
def test_a_reference_without_anything_to_compare_is_refused(table: Any) -> None:
    with pytest.raises(DataError, match="reference: "):
        DriftReference.fit(table, missing="drop")
