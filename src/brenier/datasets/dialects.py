"""How a `.csv` file is written: its encoding, delimiter, decimal sign, and the lines before its first row.

What a program wrote is told from the first rows: the delimiter is the one under which every row has as many fields as
the first, and most fields are numbers; `csv.Sniffer` decides between equals. Names stand in the first line that is no
comment, unless all fields of it are numbers: then it is a row, and the file has no header. The names 0, 1, 2, ... are
those of a pandas frame without names.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from brenier.datasets.cells import COMMA, POINT, THOUSAND, is_number, shown
from brenier.datasets.text_files import encoding_of, open_text
from brenier.errors import DataError

DELIMITER_NAMES = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    " ": "blanks",
}


@dataclasses.dataclass(frozen=True)
class DialectSettings:
    """How much of a file is looked at.

    Attributes:
        sample_lines: lines from which the dialect is told.
    """

    sample_lines: int = 400


DIALECT = DialectSettings()


@dataclasses.dataclass(frozen=True)
class GivenDialect:
    """What a user says of a `.csv` file; None where it is to be told from the file.

    Attributes:
        delimiter: between fields; a blank stands for one or more.
        decimal: the sign before a fraction, "." or ",".
    """

    delimiter: str | None = None
    decimal: str | None = None


UNTOLD = GivenDialect()


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How fields and numbers are written.

    Attributes:
        delimiter: between fields; a blank stands for one or more.
        decimal: the sign before a fraction.
        encoding: of the text.
        spaced: whether blanks follow delimiters, and belong to them.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    spaced: bool = False

    def records(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield every record but blank lines: the number, from 0, of the line where it begins, and its fields."""
        blanks = self.delimiter == " "
        reader = csv.reader(
            lines, delimiter=self.delimiter, skipinitialspace=self.spaced or blanks
        )
        last = 0
        for record in reader:
            if blanks and len(record) > 1 and not record[-1]:
                record = record[:-1]  # blanks at the end of a line
            if len(record) > 1 or "".join(record).strip():
                yield last, record
            last = reader.line_num


@dataclasses.dataclass(frozen=True)
class CsvLayout:
    """Where in a `.csv` file what is.

    Attributes:
        dialect: how it is written.
        names: of the columns, as written, or None where the file has no header.
        first_line: lines before the first row.
        width: how many columns there are.
        comments: how many lines before the header are comments.
        named_in_comment: whether the names stand in a comment.
    """

    dialect: Dialect
    names: tuple[str, ...] | None
    first_line: int
    width: int
    comments: int = 0
    named_in_comment: bool = False

    def remarks(self) -> list[str]:
        """Return what was guessed of the file, in words; nothing of plain commas, points and names."""
        found = []
        written = self.dialect
        if written.delimiter != ",":
            name = DELIMITER_NAMES.get(written.delimiter, repr(written.delimiter))
            found.append(f"{name} between fields")
        if written.decimal != ".":
            found.append("decimal commas")
        if written.encoding not in ("utf-8", "utf-8-sig"):
            found.append(f"encoding {written.encoding}")
        if self.comments:
            found.append(f"{self.comments} comment lines left out")
        if self.named_in_comment:
            found.append("names of columns in a comment")
        if self.names is None:
            found.append("no header: line 1 holds numbers and counts as a row")
        return found

    def line_of(self, path: Path, row: int) -> int:
        """Return the number of the line, from 1, at which a row (from 0) of the file begins."""
        with open_text(path, self.dialect.encoding) as stream:
            for _ in range(self.first_line):
                stream.readline()
            begins = (line for line, _ in self.dialect.records(stream))
            line = next(itertools.islice(begins, row, None), row)
        return self.first_line + line + 1


def find_layout(path: Path, given: GivenDialect) -> CsvLayout:
    """Return how a `.csv` file is laid out.

    Raises:
        DataError: where the delimiter or the decimal sign cannot be told, or a row has more fields than the header.
        ValueError, OSError, csv.Error: for a file that is no text, or damaged.
    """
    encoding = encoding_of(path)
    with open_text(path, encoding) as stream:
        lines = list(itertools.islice(stream, DIALECT.sample_lines))
    _check_text(lines)
    given, told = _told_first(lines, given)
    start = told + _leading_comments(lines[told:])
    comments = sum(line.lstrip().startswith("#") for line in lines[told:start])
    delimiter = given.delimiter or _delimiter(lines[start:])
    decimal = given.decimal or _decimal(path, lines[start:], delimiter)
    spaced = _is_spaced(lines[start:], Dialect(delimiter))
    dialect = Dialect(delimiter, decimal, encoding, spaced)
    names, used = _header(lines[start:], dialect)
    if names is None and comments:
        names = _names_in_comment(lines[start - 1], lines[start:], dialect)
    in_comment = names is not None and used == 0
    first_line = start + used
    width = _check_width(path, lines[first_line:], first_line, dialect, names)
    return CsvLayout(
        dialect, names, first_line, width, comments - in_comment, in_comment
    )


def _check_text(lines: Sequence[str]) -> None:
    """Raise ValueError where lines hold signs that no text has."""
    for number, line in enumerate(lines, 1):
        odd = [sign for sign in line if sign < " " and sign not in "\t\r\n\f\v\x1c\x1d"]
        if odd or "\ufffd" in line:
            raise ValueError(f"line {number} holds signs that no text has")


def _told_first(lines: Sequence[str], given: GivenDialect) -> tuple[GivenDialect, int]:
    """Return the delimiter that a first line "sep=;" tells, as spreadsheets write it, and how many lines that takes."""
    first = lines[0].strip("\r\n") if lines else ""
    if not first.lower().startswith("sep=") or len(first) != len("sep=;"):
        return given, 0
    return GivenDialect(given.delimiter or first[-1], given.decimal), 1


def _leading_comments(lines: Sequence[str]) -> int:
    """Return how many lines before the header are comments, or blank."""
    for number, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return number
    return len(lines)


def _records(lines: Sequence[str], dialect: Dialect) -> list[list[str]]:
    """Return the records of the lines looked at; the last may be cut, and is left out."""
    records = [record for _, record in dialect.records(lines)]
    whole = len(records) < 2 or len(lines) < DIALECT.sample_lines // 2
    return records if whole else records[:-1]


def _is_spaced(lines: Sequence[str], dialect: Dialect) -> bool:
    """Say whether blanks follow all delimiters of the first record, or of all others."""
    first, *others = [record[1:] for record in _records(lines, dialect)] or [[]]
    after = [field for record in others for field in record]
    return any(
        fields and all(field.startswith(" ") for field in fields)
        for fields in (first, after)
    )


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter under which all rows have as many fields, and most fields are numbers."""
    scores: dict[str, tuple[float, float]] = {}
    for sign in (",", ";", "\t", "|", " "):
        records = _records(lines, Dialect(sign))
        width = len(records[0]) if records else 1
        if width == 1 or (sign == " " and scores):
            continue
        as_wide = sum(len(record) == width for record in records) / len(records)
        fields = [field for record in records[1:] or records for field in record]
        numbers = [is_number(f, ".") or is_number(f, ",") for f in fields]
        share = sum(numbers) / len(numbers)
        if sign != " " or (as_wide == 1 and share > 0):
            scores[sign] = (as_wide, share)
    best = [sign for sign in scores if scores[sign] == max(scores.values())]
    if len(best) < 2:
        return best[0] if best else ","
    try:
        return csv.Sniffer().sniff("".join(lines), delimiters="".join(best)).delimiter
    except csv.Error:
        return best[0]


def _decimal(path: Path, lines: Sequence[str], delimiter: str) -> str:
    """Return the sign before fractions.

    Raises:
        DataError: where commas in numbers may as well separate thousands.
    """
    if delimiter == ",":
        return "."
    records = _records(lines, Dialect(delimiter))
    fields = [field.strip() for record in records for field in record]
    signs = Counter(
        "," if COMMA.fullmatch(field) else "."
        for field in fields
        if COMMA.fullmatch(field) or (POINT.fullmatch(field) and "." in field)
    )
    if signs[","] <= signs["."]:
        return "."
    commas = [field for field in fields if COMMA.fullmatch(field)]
    if all(map(THOUSAND.fullmatch, commas)):
        raise DataError(
            f"{path}: the comma in {shown(commas[0])} may stand before a fraction or between thousands; say --decimal ,"
            " for a fraction (GivenDialect(decimal=',') in Python), or write numbers without separators"
        )
    return ","


def _header(
    lines: Sequence[str], dialect: Dialect
) -> tuple[tuple[str, ...] | None, int]:
    """Return the names of the columns and how many lines they take, or None and 0 where the first line has none."""
    records = dialect.records(lines)
    _, first = next(records, (0, []))
    after = next(records, (len(lines), []))[0]
    labels = [field.strip() for field in first if field.strip()]
    counted = labels == [str(place) for place in range(len(labels))]
    numbers = all(is_number(field, dialect.decimal) for field in first)
    whole = all(field.strip() for field in first[1:])
    if first and (not numbers or (counted and whole)):
        return tuple(first), after
    return None, 0


def _names_in_comment(
    comment: str, lines: Sequence[str], dialect: Dialect
) -> tuple[str, ...] | None:
    """Return the names in the comment before the first row, as numpy writes them, or None where it holds none."""
    first = next(dialect.records(lines), (0, []))[1]
    text = comment.strip().lstrip("# ")
    names = next(dialect.records([text]), (0, []))[1]
    if len(names) != len(first) or all(is_number(name) for name in names):
        return None
    return tuple(names)


def _check_width(
    path: Path,
    lines: Sequence[str],
    first_line: int,
    dialect: Dialect,
    names: Sequence[str] | None,
) -> int:
    """Return how many columns there are; raise where a row has more fields than the header, or than the first row."""
    records = list(dialect.records(lines))
    if len(records) > 1 and len(lines) >= DIALECT.sample_lines // 2:
        records = records[:-1]  # which may be cut
    width = len(names or (records[0][1] if records else ()))
    for line, record in records:
        if len(record) > width:
            numbers = all(is_number(field) for field in record)
            remedy = "quote fields that hold the delimiter, or name the delimiter with --delimiter"
            if numbers and dialect.delimiter == ",":
                remedy = (
                    "where commas are decimal signs, write semicolons or tabs between fields, or points; else "
                    + remedy
                )
            if width == 1 and names:
                remedy += "; lines before the names must begin with #"
            between = DELIMITER_NAMES.get(dialect.delimiter, repr(dialect.delimiter))
            raise DataError(
                f"{path}: cannot be read as .csv: rows have more fields than the header, the first in line "
                f"{first_line + line + 1}: {len(record)} between {between}, for {width} columns; {remedy}"
            )
    return width
