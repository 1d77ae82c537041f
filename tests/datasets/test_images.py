"""Images on disk: every kind of file gives the same, every fault is named."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from brenier import DataError
from brenier.datasets import image_set
from brenier.datasets.images import IDX

RNG = np.random.default_rng(0)
IMAGES = {
    "x_train": RNG.integers(256, size=(6, 28, 28), dtype=np.uint8),
    "y_train": np.arange(6, dtype=np.uint8),
    "x_test": RNG.integers(256, size=(3, 28, 28), dtype=np.uint8),
    "y_test": np.arange(3, dtype=np.uint8),
}


def idx(array: np.ndarray) -> bytes:
    return (
        b"\0\0\x08"
        + bytes([array.ndim])
        + np.array(array.shape, ">u4").tobytes()
        + array.tobytes()
    )


@pytest.mark.parametrize("kind", ["npz", "idx", "gz"])
def test_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "mnist"
    place.mkdir()
    if kind == "npz":
        np.savez(place / "mnist.npz", **IMAGES)  # type: ignore[arg-type]
    for part, stem in IDX.items() if kind != "npz" else ():
        content = idx(IMAGES[part])
        (place / (stem + (".gz" if kind == "gz" else ""))).write_bytes(
            gzip.compress(content) if kind == "gz" else content
        )
    found = image_set("mnist", tmp_path)
    assert all(np.array_equal(found[part], IMAGES[part]) for part in IDX)


def test_faults_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="name: is 'cats'"):
        image_set("cats", tmp_path)
    monkeypatch.delenv("BRENIER_DATA", raising=False)
    with pytest.raises(
        DataError, match="BRENIER_DATA is not set; set it to the folder"
    ):
        image_set("mnist")
    with pytest.raises(DataError, match="and no train-images-idx3-ubyte"):
        image_set("mnist", tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "mnist.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        image_set("mnist", tmp_path)


def test_the_real_ones(data_folder: Path) -> None:
    found = image_set("mnist", data_folder)
    assert found["x_train"].shape == (60_000, 28, 28)
    assert found["x_test"].shape == (10_000, 28, 28)
    assert abs(found["x_train"].mean() / 255 - 0.1307) < 1e-3
