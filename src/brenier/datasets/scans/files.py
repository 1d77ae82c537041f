"""Which files a scan is made of: paths, folders and patterns, and what of each kind they are."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path

from brenier.datasets.scans.arrays import hdf5_part, is_zarr, npy_part, zarr_part
from brenier.datasets.scans.arrow import ipc_part, parquet_part
from brenier.datasets.scans.parts import ScanPart
from brenier.errors import DataError

PARQUET, ARROW, NPY = (".parquet", ".pq"), (".arrow", ".ipc", ".feather"), (".npy",)
HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
SCANNED = (*PARQUET, *ARROW, *NPY, *HDF5, ".zarr")
OPENERS: dict[tuple[str, ...], Callable[[Path], ScanPart]] = {
    PARQUET: parquet_part,
    ARROW: ipc_part,
    NPY: npy_part,
}


def scan_parts(source: object, key: str | None) -> tuple[ScanPart, ...]:
    """Return the parts that paths, folders and patterns stand for, in the order of their names.

    Args:
        source: one of them, or several.
        key: which dataset of HDF5 files.

    Raises:
        DataError: where there is nothing, or a file that is empty, damaged or of no known kind.
    """
    if isinstance(source, str | Path):
        sources: Sequence[object] = [source]
    elif isinstance(source, list | tuple) and source:
        sources = source
    else:
        raise DataError(
            f"source: is {type(source).__name__}; give a path, a folder, a pattern, a list of paths, or a dataset of "
            "torch.utils.data",
            argument="source",
        )
    files: list[Path] = []
    for each in sources:
        if not isinstance(each, str | Path):
            raise DataError(
                f"source: holds {each!r}, which is no path; give strings or paths",
                argument="source",
            )
        files += files_of(each)
    parts = tuple(_part(path, key) for path in files)
    for part in parts:
        if not sum(part.runs):
            raise DataError(
                f"{part.where}: has no rows; leave it out, or write it anew"
            )
    return parts


def is_pattern(path: object) -> bool:
    """Say whether something is a path that is no file's or folder's, and has signs that stand for others."""
    if not isinstance(path, str | Path):
        return False
    return glob.has_magic(str(path)) and not Path(path).exists()


def files_of(source: str | Path) -> list[Path]:
    """Return the files that a path, a folder or a pattern stands for, in the order of their names.

    Raises:
        DataError: where there is none.
    """
    path = Path(source)
    if is_pattern(source):
        found = [Path(each) for each in sorted(glob.glob(str(source), recursive=True))]
        if not found:
            raise DataError(f"{source}: no file has such a name; mend the pattern")
        return [file for each in found for file in files_of(each)]
    if path.is_dir() and not is_zarr(path):
        return _files_in(path)
    if not path.exists():
        raise DataError(f"{path}: does not exist; give the path of a file or folder")
    return [path]


def _files_in(folder: Path) -> list[Path]:
    """Return the files of a folder and of the folders in it.

    Raises:
        DataError: where there is none of a known kind, or where they are of several kinds.
    """
    found = _known_below(folder)
    if not found:
        raise DataError(
            f"{folder}: holds no file that ends in {', '.join(SCANNED)}; give a folder of such files"
        )
    kinds = sorted({path.suffix.lower() for path in found})
    if len(kinds) > 1:
        raise DataError(
            f"{folder}: holds files of several kinds ({', '.join(kinds)}); give those of one, such as "
            f"'{folder}/*{kinds[0]}'"
        )
    return found


def _known_below(folder: Path) -> list[Path]:
    """Return the files of a known kind below a folder, but for hidden ones and such as `_SUCCESS`."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and not is_zarr(path):
            found += _known_below(path)
        elif path.suffix.lower() in SCANNED or is_zarr(path):
            found.append(path)
    return found


def _part(path: Path, key: str | None) -> ScanPart:
    """Return the part that a file is."""
    if is_zarr(path):
        return zarr_part(path)
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; leave it out, or write it anew")
    suffix = path.suffix.lower()
    if suffix in HDF5:
        return hdf5_part(path, key)
    for suffixes, opened in OPENERS.items():
        if suffix in suffixes:
            return opened(path)
    raise DataError(
        f"{path}: is of no known kind; give files that end in {', '.join(SCANNED)}"
    )
