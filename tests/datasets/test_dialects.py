"""`.csv` files as programs of all kinds write them: read, or refused with the reason."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brenier import DataError
from brenier.datasets import GivenDialect, read_samples, write_samples
from brenier.datasets.dialects import find_layout

ROWS = np.random.default_rng(0).normal(size=(12, 2)).round(6)


def lines(delimiter: str = ",", decimal: str = ".", form: str = "{:.6f}") -> list[str]:
    """The rows as lines of a file."""
    cells = [[form.format(v).replace(".", decimal) for v in row] for row in ROWS]
    return [delimiter.join(row) for row in cells]


READ: dict[str, tuple[list[str], str]] = {
    "commas": (["a,b", *lines()], ""),
    "semicolons": (["a;b", *lines(";")], "semicolons"),
    "tabs": (["a\tb", *lines("\t")], "tabs"),
    "bars": (["a|b", *lines("|")], "vertical bars"),
    "blanks": (["a  b", *lines("   ")], "blanks"),
    "blanks after commas": (["a, b", *lines(", ")], ""),
    "decimal commas": (["a;b", *lines(";", ",")], "decimal commas"),
    "decimal commas by tabs": (["a\tb", *lines("\t", ",")], "decimal commas"),
    "quotes": (['"a","b"', *lines(",", form='"{:.6f}"')], ""),
    "comments": (["# of 2024", "# by me", "", "a,b", *lines()], "2 comment lines"),
    "names in a comment": (["# a,b", *lines()], "names of columns in a comment"),
    "what spreadsheets say first": (["sep=;", "a;b", *lines(";")], "semicolons"),
    "blank lines": (["", "a,b", "", *lines(), ""], ""),
    "ends of Windows": (["a,b\r", *[line + "\r" for line in lines()]], ""),
    "ends of old": (["\r".join(["a,b", *lines()])], ""),
    "an empty last column": (["a,b,", *[line + "," for line in lines()]], ""),
}


@pytest.mark.parametrize("name", READ)
def test_dialects_are_read(name: str, tmp_path: Path) -> None:
    text, remark = READ[name]
    path = tmp_path / "x.csv"
    path.write_bytes(("\n".join(text) + "\n").encode())
    found = read_samples(path)
    np.testing.assert_allclose(found.values, ROWS, rtol=1e-15)
    assert found.columns == ("a", "b")
    assert found.layout is not None
    assert remark in ", ".join(found.layout.remarks())
    assert bool(remark) == bool(found.layout.remarks())


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]
)
def test_encodings_are_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("\n".join(["Größe;b", *lines(";", ",")]).encode(encoding))
    found = read_samples(path)
    assert found.columns == ("Größe", "b")
    np.testing.assert_allclose(found.values, ROWS, rtol=1e-15)


def zstd(path: Path, mode: str) -> Any:
    return pyarrow.output_stream(str(path), compression="zstd")


@pytest.mark.parametrize(
    ("suffix", "opened"),
    [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open), (".zst", zstd)],
)
def test_compressed_files_are_read_and_written(
    suffix: str, opened: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / f"x.csv{suffix}"
    with opened(path, "wb") as stream:
        stream.write("\n".join(["a,b", *lines()]).encode())
    np.testing.assert_allclose(read_samples(path).values, ROWS, rtol=1e-15)
    write_samples(tmp_path / f"y.CSV{suffix}", ROWS, ["a", "b"])
    again = read_samples(tmp_path / f"y.CSV{suffix}")
    np.testing.assert_allclose(again.values, ROWS, rtol=1e-15)
    assert not (tmp_path / f"y.CSV{suffix}").read_bytes().startswith(b"a,b")
    path.rename(tmp_path / "plain.csv")
    with pytest.raises(DataError, match=rf"it is compressed by .*name it .csv{suffix}"):
        read_samples(tmp_path / "plain.csv")


REFUSED: dict[str, tuple[list[str], str]] = {
    "decimal commas between commas": (
        ["a,b", *lines(",", ",")],
        "line 2: 4 between commas, for 2 columns; where commas are decimal signs",
    ),
    "one column of decimal commas": (
        ["a", *[line.split(";")[0] for line in lines(";", ",")]],
        "where commas are decimal signs",
    ),
    "quoted decimal commas": (
        ['"a","b"', *[f'"{u}","{v}"'.replace(".", ",") for u, v in ROWS]],
        "column 'a' holds .* in line 2 .*decimal comma.*--decimal ,",
    ),
    "thousands": (
        ["a;b", *[f"{2000 + v:,.1f};{v}" for v in range(9)]],
        "'2,000.0' in line 2 .*separators between thousands",
    ),
    "thousands in Europe": (
        ["a;b", *[f"2.00{v},5;{v}" for v in range(9)]],
        "'2.000,5' in line 2 .*separators between thousands",
    ),
    "fractions or thousands": (
        ["a;b", *[f"2,00{v};{v}" for v in range(9)]],
        "the comma in '2,000' may stand before a fraction or between thousands",
    ),
    "a title": (["Export", "", "a,b", *lines()], "lines before the names must begin"),
    "a comment below": (["a,b", *lines(), "# end"], "'# end' in line 14.* a comment"),
    "units below the names": (["a,b", "mg,kg", *lines()], "'mg' in line 2"),
    "a longer row": (["a,b", *lines(), "1,2,3"], "more fields than the header"),
    "a longer row far below": (
        ["a,b", *lines() * 100, "1,2,3"],
        "cannot be read as .csv",
    ),
    "another delimiter": (["a^b", *lines("^")], "--delimiter"),
    "a name twice": (["a,a", *lines()], "2 columns called 'a'"),
    "no name": (["a,b,,c", *[f"{line},1,2" for line in lines()]], "has no name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_refused_with_the_reason(
    name: str, tmp_path: Path
) -> None:
    text, reason = REFUSED[name]
    (tmp_path / "x.csv").write_text("\n".join(text) + "\n")
    with pytest.raises(DataError, match=rf"x\.csv.*{reason}"):
        read_samples(tmp_path / "x.csv")


def test_what_a_user_says_goes_before_what_is_guessed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a;b\n2,000;1\n3,000;2\n")
    told = GivenDialect(decimal=",")
    assert read_samples(path, dialect=told).values.tolist() == [[2, 1], [3, 2]]
    path.write_text('a,b\n"1,5",1\n')
    assert read_samples(path, dialect=told).values.tolist() == [[1.5, 1]]
    path.write_text("a^b\n1^2\n")
    told = GivenDialect(delimiter="^")
    assert read_samples(path, dialect=told).values.tolist() == [[1, 2]]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('# c\n"a\nb",c\n\n"u\nv",1\n"w",x\n"x",3\n"y",4\n')
    layout = find_layout(path, GivenDialect())
    assert layout.names == ("a\nb", "c")
    assert [layout.line_of(path, row) for row in range(4)] == [5, 7, 8, 9]
    with pytest.raises(DataError, match="'x' in line 7"):
        read_samples(path)


NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=3, max_size=9),
    delimiter=st.sampled_from(";\t|"),
    decimal=st.sampled_from(".,"),
    quote=st.booleans(),
    comments=st.integers(0, 2),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_every_dialect_of_a_table_holds_the_same_numbers(
    rows: list[list[float]],
    delimiter: str,
    decimal: str,
    quote: bool,
    comments: int,
    encoding: str,
    tmp_path: Path,
) -> None:
    mark = '"' if quote else ""
    text = ["# a comment"] * comments + [delimiter.join(["u", "v w", "ä"])]
    for row in rows:
        cells = [f"{value:.4f}".replace(".", decimal) for value in row]
        text.append(delimiter.join(f"{mark}{cell}{mark}" for cell in cells))
    path = tmp_path / "x.csv"
    path.write_bytes(("\n".join(text) + "\n").encode(encoding))
    found = read_samples(path)
    assert found.columns == ("u", "v w", "ä")
    np.testing.assert_allclose(found.values, rows, rtol=1e-12, atol=1e-12)
