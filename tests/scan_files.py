"""Files that scans are made of: row i is (i, i + 1/2), so that every row can be told from all others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from brenier.datasets import ScanSettings

ROWS, GROUP = 1000, 64
# Small blocks and pools, and no scan is read into memory.
STREAMED = ScanSettings(
    buffer_rows=200,
    least_piece_rows=16,
    loaded_rows=0,
    pooled_rows=300,
    least_pooled_rows=300,
    pooled_pieces=12,
)


def table(rows: int = ROWS) -> np.ndarray:
    """Rows (n, 2)."""
    first = np.arange(rows, dtype=np.float64)
    return np.stack([first, first + 0.5], axis=1)


def frame(rows: int = ROWS) -> pandas.DataFrame:
    """The same with names, a label, a weight and a covariate."""
    found = pandas.DataFrame(table(rows), columns=["u", "v"])
    found["kind"] = np.where(found.u % 3 == 0, "a", "b")
    found["w"] = 1.0 + found.u % 4
    found["dose"] = found.u / rows
    return found


def numbers(rows: torch.Tensor | np.ndarray) -> list[int]:
    """Which rows these are, checked to be rows of the table."""
    values = np.asarray(rows)
    np.testing.assert_array_equal(values[:, 1], values[:, 0] + 0.5)
    found: list[int] = values[:, 0].astype(int).tolist()
    return found


class Numbered(Dataset[torch.Tensor]):
    """A map-style dataset of the rows."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.tensor([number, number + 0.5], dtype=torch.float64)


class InOrder(IterableDataset[torch.Tensor]):
    """The rows in their order."""

    def __init__(self, rows: int = ROWS) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from torch.from_numpy(table(self.rows))


def in_parquet(folder: Path) -> Any:
    parts = np.array_split(table(), 3)
    for place, part in enumerate(parts):
        made = pandas.DataFrame(part, columns=["u", "v"])
        made.to_parquet(folder / f"{place}.parquet", row_group_size=GROUP)
    return folder


def in_arrow(folder: Path) -> Any:
    import pyarrow

    made = pyarrow.table(dict(zip("uv", table().T, strict=True)))
    with (
        pyarrow.OSFile(str(folder / "x.arrow"), "wb") as file,
        pyarrow.ipc.new_file(file, made.schema) as writer,
    ):
        writer.write_table(made, max_chunksize=GROUP)
    return folder / "x.arrow"


def in_feather(folder: Path) -> Any:
    made = pandas.DataFrame(table(), columns=["u", "v"])
    made.to_feather(folder / "x.feather")  # compressed
    return str(folder / "x.feather")


def in_npy(folder: Path) -> Any:
    for place, part in enumerate(np.array_split(table(), 2)):
        np.save(folder / f"{place}.npy", part)
    return str(folder / "*.npy")


def in_zarr(folder: Path) -> Any:
    import zarr

    array = zarr.create_array(
        folder / "x.zarr", shape=(ROWS, 2), chunks=(GROUP, 2), dtype="float64"
    )
    array[:] = table()
    return folder / "x.zarr"


def in_hdf5(folder: Path) -> Any:
    import h5py

    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("rows", data=table(), chunks=(GROUP, 2))
        file.create_dataset("others", data=np.arange(3))
    return folder / "x.h5"


def in_dataset(folder: Path) -> Any:
    return Numbered()


def in_tensors(folder: Path) -> Any:
    return TensorDataset(torch.from_numpy(table()), torch.zeros(ROWS))


def in_loader(folder: Path) -> Any:
    return DataLoader(Numbered(), batch_size=50, shuffle=True)


def in_order(folder: Path) -> Any:
    return InOrder()


BY_PLACE: tuple[Callable[[Path], Any], ...] = (
    *(in_parquet, in_arrow, in_feather, in_npy, in_zarr, in_hdf5),
    *(in_dataset, in_tensors, in_loader),
)
SOURCES = (*BY_PLACE, in_order)
