"""Labelled images on disk: MNIST and Fashion-MNIST, as one .npz file or as the four official idx files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brenier.datasets.folder import data_folder
from brenier.datasets.reading import open_npz, read_intact
from brenier.errors import DataError

ORIGINS: Mapping[str, str] = {
    "mnist": "MNIST (LeCun, Cortes and Burges)",
    "fashion_mnist": "Fashion-MNIST (Zalando; GitHub repository zalandoresearch/fashion-mnist, folder data/fashion)",
}
# The official names, each with or without ".gz".
IDX = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

Images = dict[str, NDArray[np.uint8]]


def image_set(name: str, folder: str | Path | None = None) -> Images:
    """Return labelled images: x_train (n, 28, 28) and y_train (n,), x_test and y_test, in 0 ... 255.

    Args:
        name: "mnist" or "fashion_mnist".
        folder: what holds a folder of that name, with `<name>.npz` or the four idx files in it; None for the folder
            named by the environment variable BRENIER_DATA.

    Raises:
        DataError: for an unknown name, or where no such files are there or one is damaged.
    """
    if name not in ORIGINS:
        raise DataError(f"name: is {name!r}; give one of {', '.join(ORIGINS)}")
    files = f"{name}/{name}.npz, or the official files {', '.join(IDX.values())} (.gz or not) in {name}/"
    place = data_folder(folder, files, ORIGINS[name]) / name
    archive = place / f"{name}.npz"
    if archive.is_file():
        found = read_intact(archive, _read_arrays)
    else:
        paths = {part: _idx_path(place, stem) for part, stem in IDX.items()}
        missing = [IDX[part] for part, path in paths.items() if path is None]
        if missing:
            raise DataError(
                f"folder: {place} has no {name}.npz and no {missing[0]}; put there {files}: {ORIGINS[name]}"
            )
        found = {
            part: read_intact(path, read_idx)
            for part, path in paths.items()
            if path is not None
        }
    for part in ("train", "test"):
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        if x.ndim != 3 or y.shape != x.shape[:1]:
            raise DataError(
                f"{place}: holds images {x.shape} and labels {y.shape}; give (n, 28, 28) and (n,)"
            )
    return found


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes in an idx file, packed by gzip or not.

    Raises:
        ValueError: where it is none.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError("it is no idx file of bytes")
    # Four bytes of header, of which the last says how many numbers of four bytes the shape has; then the data.
    dims = content[3]
    shape = np.frombuffer(content, ">u4", dims, 4)
    data = np.frombuffer(content, np.uint8, int(shape.prod()), 4 + 4 * dims)
    return data.reshape(shape)


def _read_arrays(path: Path) -> Images:
    """Return the four arrays of a `.npz` file."""
    with open_npz(path) as archive:
        return {part: archive[part] for part in IDX}


def _idx_path(folder: Path, stem: str) -> Path | None:
    """Return the idx file of this name, packed or not, or None where there is none."""
    for path in (folder / stem, folder / f"{stem}.gz"):
        if path.is_file():
            return path
    return None
