"""Parts of a scan that are arrays on disk: memory-mapped `.npy` files, zarr arrays and HDF5 datasets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from brenier.datasets.reading import read_intact
from brenier.datasets.scans.parts import (
    Field,
    array_fields,
    check_table_shape,
    places_of,
)
from brenier.datasets.scans.settings import ScanSettings
from brenier.errors import DataError


class OnDisk(Protocol):
    """An array of which slices are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of its numbers."""
        ...

    def __getitem__(self, rows: slice) -> object: ...


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """What all arrays on disk share.

    Attributes:
        path: the file or folder.
        fields: a column each, called by their numbers.
        runs: rows that are read at once.
        key: which array of several, or None.
    """

    path: Path
    fields: tuple[Field, ...]
    runs: tuple[int, ...]
    key: str | None = None
    named = False
    seekable = False

    @property
    def where(self) -> str:
        """The path."""
        return str(self.path)

    def open(self) -> contextlib.AbstractContextManager[OnDisk]:
        """Return the array, as a context after which its file is closed."""
        raise NotImplementedError

    def numbers(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> NDArray[np.generic]:
        """Return some columns of rows first to last of a run: (last - first, k)."""
        begin = sum(self.runs[:run])
        places = places_of(columns, self.fields)

        def read(_: Path) -> NDArray[np.generic]:
            with self.open() as array:
                rows = np.asarray(array[begin + first : begin + last])
            every = places == list(range(rows.shape[1]))
            return np.array(rows if every else rows[:, places])

        return read_intact(self.path, read)

    def cells(self, run: int, first: int, last: int, column: str) -> list[Hashable]:
        """Return what is in a column of these rows."""
        found: list[Hashable] = self.numbers(run, first, last, [column])[:, 0].tolist()
        return found


class NpyPart(ArrayFile):
    """A `.npy` file, which is memory-mapped."""

    seekable = True

    @contextlib.contextmanager
    def open(self) -> Iterator[OnDisk]:
        """Return the array."""
        yield np.load(self.path, mmap_mode="r")


class ZarrPart(ArrayFile):
    """A zarr array, read by runs of its chunks."""

    @contextlib.contextmanager
    def open(self) -> Iterator[OnDisk]:
        """Return the array."""
        import zarr

        yield zarr.open_array(self.path, mode="r")


class Hdf5Part(ArrayFile):
    """A dataset of an HDF5 file, read by runs of its chunks."""

    @contextlib.contextmanager
    def open(self) -> Iterator[OnDisk]:
        """Return the dataset of an open file."""
        import h5py

        with h5py.File(self.path, mode="r") as file:
            yield file[self.key]


def npy_part(path: Path) -> NpyPart:
    """Return the part of a scan that a `.npy` file is.

    Raises:
        DataError: for a file that is damaged or no table of numbers.
    """

    def read(path: Path) -> NpyPart:
        array = np.load(path, mmap_mode="r")
        rows, dim = check_table_shape(array.shape, array.dtype, str(path))
        return NpyPart(path, array_fields(array.dtype, dim), (rows,) if rows else ())

    return read_intact(path, read, kind="an intact .npy file of plain numbers")


def zarr_part(path: Path) -> ZarrPart:
    """Return the part of a scan that a zarr array is.

    Raises:
        DataError: for a folder that is damaged or no table of numbers, and where zarr is missing.
    """
    try:
        import zarr
    except ImportError as error:
        raise _missing_extra("zarr arrays", error) from error

    def read(path: Path) -> ZarrPart:
        array = zarr.open(path, mode="r")
        if not isinstance(array, zarr.Array):
            names = ", ".join(sorted(array.array_keys())) or "nothing"
            raise DataError(
                f"{path}: is a zarr group that holds {names}; give the path of one array in it"
            )
        rows, dim = check_table_shape(array.shape, array.dtype, str(path))
        runs = _chunk_runs(rows, array.chunks[0])
        return ZarrPart(path, array_fields(array.dtype, dim), runs)

    return read_intact(path, read, kind="a zarr array")


def hdf5_part(path: Path, key: str | None) -> Hdf5Part:
    """Return the part of a scan that a dataset of an HDF5 file is, by default its only table.

    Raises:
        DataError: for a file that is damaged or holds no table of numbers, and where h5py is missing.
    """
    try:
        import h5py
    except ImportError as error:
        raise _missing_extra("HDF5 files", error) from error

    def read(path: Path) -> Hdf5Part:
        with h5py.File(path, mode="r") as file:
            found: list[str] = []
            file.visititems(
                lambda name, item: (
                    found.append(name) if isinstance(item, h5py.Dataset) else None
                )
            )
            tables = [name for name in found if file[name].ndim == 2]
            chosen = key or (tables[0] if len(tables) == 1 else None)
            if chosen not in found:
                listed = ", ".join(sorted(found)) or "no dataset"
                raise DataError(
                    f"key: {path} holds {listed}; name the dataset of the rows, key='name'",
                    argument="key",
                )
            array = file[chosen]
            rows, dim = check_table_shape(array.shape, array.dtype, f"{path}/{chosen}")
            runs = _chunk_runs(rows, array.chunks[0] if array.chunks else None)
            return Hdf5Part(path, array_fields(array.dtype, dim), runs, chosen)

    return read_intact(path, read, kind="an HDF5 file")


def is_zarr(path: Path) -> bool:
    """Say whether a folder is a zarr array or group."""
    return any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def _chunk_runs(rows: int, chunk: int | None) -> tuple[int, ...]:
    """Return runs of whole chunks; small ones are read together, as long as there remain many runs."""
    settings = ScanSettings()
    least = min(settings.least_piece_rows, max(1, rows // settings.seekable_pieces))
    size = least if chunk is None else chunk * max(1, -(-least // chunk))
    whole, rest = divmod(rows, size)
    return (size,) * whole + ((rest,) if rest else ())


def _missing_extra(what: str, error: ImportError) -> DataError:
    return DataError(
        f'{what} need {error.name}, which is missing; install it with pip install "brenier[scans]"'
    )
