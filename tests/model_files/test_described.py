"""A described set of tensors in a folder: what is written is read again, and nothing else is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DataError
from brenier.errors import ModelFileError
from brenier.model_files import (
    DESCRIBED_FILES,
    Shapes,
    Told,
    described,
    read_described,
    shapes_by_name,
    signed,
    write_described,
)

TENSORS = {"a": normal(3, 2), "b": torch.ones(4), "c": torch.zeros(2, 0)}
TOLD: dict[str, Any] = {"kind": "example", "sizes": [3, 2]}


def expected(told: Told) -> Shapes:
    assert told["kind"] == "example"
    return shapes_by_name(TENSORS)


def read(folder: Path) -> dict[str, Tensor]:
    return read_described(folder, "example", expected).tensors


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_described(tmp_path / "new", "example", TENSORS, TOLD)
    told, tensors = read_described(tmp_path / "new", "example", expected)
    assert TOLD.items() <= told.items()
    assert tensors.keys() == TENSORS.keys()
    for name, part in TENSORS.items():
        assert torch.equal(tensors[name], part)
        assert tensors[name].dtype == part.dtype


def test_the_bytes_are_those_of_earlier_versions(tmp_path: Path) -> None:
    write_described(tmp_path, "flow", {"a": torch.arange(3.0)}, {"k": [1, "é"]})
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in tmp_path.iterdir()
    }
    assert found == {
        "flow-a40a5d0cf3227bbc.safetensors": "a40a5d0cf3227bbc",
        "flow.json": "cc43e589428281b5",
    }


def test_a_later_save_replaces_its_own_files_only(tmp_path: Path) -> None:
    write_described(tmp_path, "other", TENSORS, TOLD)
    write_described(tmp_path, "example", TENSORS, TOLD)
    write_described(tmp_path, "example", {**TENSORS, "b": torch.zeros(4)}, TOLD)
    assert len(list(tmp_path.glob("example-*.safetensors"))) == 1
    assert len(list(tmp_path.glob("other-*.safetensors"))) == 1
    assert not read(tmp_path)["b"].any()


def test_a_save_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_described(tmp_path, "example", TENSORS, TOLD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(path: Path, content: bytes) -> None:
        if path.suffix == ".json":
            raise OSError("no space")
        path.write_bytes(content)

    monkeypatch.setattr(described, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        write_described(tmp_path, "example", {"b": torch.zeros(9)}, TOLD)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_shape_or_description_is_refused(tmp_path: Path) -> None:
    write_described(tmp_path, "example", {"a": torch.zeros(1)}, TOLD)
    with pytest.raises(ModelFileError, match="not of the shapes described"):
        read(tmp_path)
    write_described(tmp_path, "example", TENSORS, {"kind": "odd"})
    with pytest.raises(ModelFileError, match="do not fit together"):
        read(tmp_path)


@pytest.mark.parametrize("weights", ["../secret", "model.safetensors", None, 3])
def test_only_files_of_ours_are_opened(tmp_path: Path, weights: object) -> None:
    write_described(tmp_path, "example", TENSORS, TOLD)
    path = tmp_path / "example.json"
    told = {**json.loads(path.read_text()), "weights": weights}
    del told["sha256"]
    path.write_bytes(signed(told))
    with pytest.raises(ModelFileError, match="weights: is no file of ours"):
        read(tmp_path)


def test_damage_is_found(tmp_path: Path) -> None:
    write_described(tmp_path, "example", TENSORS, TOLD)
    path = next(tmp_path.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="checksum differs"):
        read(tmp_path)
    path.unlink()
    with pytest.raises(ModelFileError, match="weights are missing"):
        read(tmp_path)
    with pytest.raises(ModelFileError, match="not found"):
        read(tmp_path / "nowhere")


def test_a_newer_format_asks_for_a_newer_version(tmp_path: Path) -> None:
    newer = signed({"format": DESCRIBED_FILES.format + 1})
    (tmp_path / "example.json").write_bytes(newer)
    with pytest.raises(ModelFileError, match="upgrade brenier"):
        read(tmp_path)


def test_what_is_no_folder_is_refused() -> None:
    for call in (
        lambda folder: write_described(folder, "example", TENSORS, TOLD),
        lambda folder: read(folder),
    ):
        with pytest.raises(DataError, match=r"^folder: must be the path of a folder"):
            call(3)
