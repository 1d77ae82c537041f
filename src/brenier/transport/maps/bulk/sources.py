"""Which files are moved, and where to: every file keeps its name, and its place below the folder or pattern given."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from brenier.datasets import is_pattern, kind_of
from brenier.errors import DataError

SourceLike: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
BULK_KINDS = (".parquet", ".arrow", ".feather", ".csv", ".npy")


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file to be moved.

    Attributes:
        path: the file.
        name: its path below the folder of all, which its output has below the folder written.
        size: bytes.
        changed: when it was changed last, in nanoseconds.
    """

    path: Path
    name: str
    size: int
    changed: int


def source_files(source: SourceLike, out: Path | None) -> list[SourceFile]:
    """Return the files to be moved, by their names.

    Args:
        source: a file, a folder, a pattern such as "in/*.parquet", or a list of files.
        out: the folder that is written; None where one file goes to another.

    Raises:
        DataError: where there are none, two would have one name, one is of an unknown kind, or is written by this run.
    """
    found = _found(source)
    if not found:
        kinds = ", ".join(BULK_KINDS)
        raise DataError(
            f"source: {_named_source(source)} holds no file; give files, a folder or a pattern of {kinds} files"
        )
    names: dict[str, Path] = {}
    for path, name in found:
        if name in names:
            raise DataError(
                f"source: {names[name]} and {path} would both be written to {name}; give their common folder, or move "
                "them in two runs into two folders"
            )
        names[name] = path
    if out is not None:
        _check_apart(source, found, out)
    return [_described_file(path, name) for path, name in sorted(found, key=_by_name)]


def checked_kind(path: Path) -> str:
    """Return the suffix that says how to read a file.

    Raises:
        DataError: for a kind of file that cannot be read in blocks.
    """
    kind = kind_of(path)
    if kind not in BULK_KINDS:
        kinds = ", ".join(BULK_KINDS)
        raise DataError(f"{path}: cannot be moved in bulk; give a {kinds} file")
    return kind


def _by_name(found: tuple[Path, str]) -> str:
    return found[1]


def _named_source(source: SourceLike) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "the list"


def _found(source: SourceLike) -> list[tuple[Path, str]]:
    """Return files with their names below the folder of all."""
    if not isinstance(source, str | os.PathLike):
        return [(Path(path), Path(path).name) for path in source]
    path = Path(source)
    if path.is_dir():
        return _below(path, path.rglob("*"))
    if is_pattern(source):
        matches = map(Path, glob.glob(os.fspath(source), recursive=True))
        files = [match for match in matches if match.is_file()]
        root = _root_of(path)
        return [(each, each.relative_to(root).as_posix()) for each in files]
    return [(path, path.name)]


def _below(folder: Path, paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """Return files of known kinds in a folder; those with a part of their path that begins with . or _ are hidden."""
    found = []
    for path in paths:
        name = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in name.parts)
        if not hidden and kind_of(path) in BULK_KINDS and path.is_file():
            found.append((path, name.as_posix()))
    return found


def _root_of(pattern: Path) -> Path:
    """Return the folder in front of the first part of a pattern that is none."""
    parts = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _check_apart(
    source: SourceLike, found: Sequence[tuple[Path, str]], out: Path
) -> None:
    """Raise where files are read that this run, or an earlier one into the same folder, writes."""
    folder = out.resolve()
    remedy = "give another folder"
    for path, name in found:
        if (out / name).resolve() == path.resolve():
            raise DataError(f"out: {out} is where {path} is read from; {remedy}")
        if path.resolve().is_relative_to(folder):
            raise DataError(f"out: {out} holds {path}, which is read; {remedy}")
    if not isinstance(source, str | os.PathLike):
        return
    if Path(source).is_dir() and folder.is_relative_to(Path(source).resolve()):
        raise DataError(f"out: {out} lies in {source}, all of which is read; {remedy}")
    if not is_pattern(source):
        return
    pattern = Path(source).absolute()
    inside = "**" in pattern.parts and folder.is_relative_to(
        _root_of(pattern).resolve()
    )
    matched = any((out / name).absolute().match(str(pattern)) for _, name in found)
    if inside or matched:
        raise DataError(
            f"out: {out} lies where the pattern {source} looks for files; {remedy}"
        )


def _described_file(path: Path, name: str) -> SourceFile:
    """Return a file with its size and age."""
    if not path.is_file():
        raise DataError(f"{path}: does not exist; give a file, a folder or a pattern")
    checked_kind(path)
    found = path.stat()
    if not found.st_size:
        raise DataError(f"{path}: is empty; give a file with a schema, or leave it out")
    return SourceFile(path, name, found.st_size, found.st_mtime_ns)
