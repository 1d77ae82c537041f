"""Text on disk as it comes: compressed or not, in one of the encodings that programs write.

An encoding is told by the mark at the start of a file; without one it is UTF-8, or where that cannot be, Windows-1252,
which spreadsheets write in Western Europe.
"""

from __future__ import annotations

import bz2
import codecs
import dataclasses
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TextIO, cast

from brenier.errors import DataError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How files begin that are no text, and what they are.
BINARY = (
    (b"\x1f\x8b", "compressed by gzip; name it .csv.gz"),
    (b"BZh", "compressed by bzip2; name it .csv.bz2"),
    (b"\xfd7zXZ", "compressed by xz; name it .csv.xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; name it .csv.zst"),
    (b"PK\x03\x04", "a .zip archive or a spreadsheet; save it as .csv"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet; save it as .csv"),
    (b"PAR1", "a .parquet file; name it so"),
)


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How text is looked at.

    Attributes:
        chunk: bytes decoded at once where the encoding is tried.
    """

    chunk: int = 2**20


TEXT = TextSettings()


def kind_of(path: Path) -> str:
    """Return the suffix that says how to read a file, without that of its compression: ".csv" of "x.csv.gz"."""
    kind = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if kind in COMPRESSIONS and inner == ".csv" else kind


def open_binary(path: Path, mode: str = "rb", named: Path | None = None) -> IO[bytes]:
    """Open a file to read or to write, (de)compressed as its suffix says.

    Args:
        path: the file.
        mode: "rb" or "wb".
        named: what it will be called, whose last suffix names the compression, where that is not the path.

    Raises:
        DataError: for .zst where pyarrow is missing.
    """
    kind = (named or path).suffix.lower()
    if kind == ".zst":
        return _open_zst(path, mode)
    openers: dict[str, Callable[..., Any]] = {
        ".gz": gzip.open,
        ".bz2": bz2.open,
        ".xz": lzma.open,
    }
    return cast(IO[bytes], openers.get(kind, open)(path, mode))


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a file to read as text, its line ends as they are."""
    return io.TextIOWrapper(open_binary(path), encoding=encoding, newline="")


def encoding_of(path: Path) -> str:
    """Return the encoding of a file.

    Raises:
        ValueError: for what is no text.
    """
    with open_binary(path) as stream:
        start = stream.read(TEXT.chunk)
        for first, what in BINARY:
            if start.startswith(first):
                raise ValueError(f"it is {what}")
        for mark, encoding in MARKS:
            if start.startswith(mark):
                return encoding
        if b"\0" in start:
            raise ValueError("it holds zero bytes, so it is no text")
        decoder, part = codecs.getincrementaldecoder("utf-8")(), start
        try:
            while part:
                decoder.decode(part)
                part = stream.read(TEXT.chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _open_zst(path: Path, mode: str) -> IO[bytes]:
    """Open a file compressed by zstd, which pyarrow reads and writes."""
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(
            f'{path}: .zst files need pyarrow, which is missing; install it with pip install "brenier[files]"'
        ) from error
    if mode == "wb":
        return cast(IO[bytes], pyarrow.output_stream(str(path), compression="zstd"))
    stream = pyarrow.input_stream(str(path), compression="zstd")
    return io.BufferedReader(stream)  # type: ignore[arg-type]
