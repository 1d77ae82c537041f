"""Cells of tables that are text: which are numbers, which would be but for what stands around them, and what to do.

A column of text is one that a number should have been in where most of its cells are numbers ("<0.5" among 199
numbers), where most look like numbers ("3 kg", "12 %"), or where all others are one of a few words ("n.d.").
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
COMMA = re.compile(r"[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?")
GROUPED = re.compile(r"[-+]?\d{1,3}([,.' \u00a0\u2009\u202f]\d{3})+([.,]\d+)?")
THOUSAND = re.compile(r"[-+]?[1-9]\d{0,2}[,.]\d{3}")
BOUND = re.compile(r"[<>\u2264\u2265~\u2248].*\d.*")
# A number between a sign or a currency before it and a unit after it.
AROUND = re.compile(
    r"(?P<before>[<>\u2264\u2265~\u2248=\u00b1$\u20ac\u00a3]*)\s*[-+\u2212]?(\d+([.,' \u00a0]\d+)?|[.,]\d+)"
    r"([eE][-+]?\d*)?\s*(?P<after>[%\u2030\u00b0*?]|[\u00b0\u00b5A-Za-z/\u00b2\u00b3]{0,6})"
)
MISSING = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "<na>", "#n/a", "-nan", "#na")
)


@dataclasses.dataclass(frozen=True)
class CellSettings:
    """When a column of text should have been one of numbers.

    Attributes:
        min_share: of its cells that are or look like numbers.
        max_words: different words beside which all other cells are numbers, at most; of different numbers there are
            more than twice as many. Also the different signs and units around numbers, where there are plain ones too.
        max_shown: characters of a cell that a message shows.
    """

    min_share: float = 0.5
    max_words: int = 3
    max_shown: int = 40


CELLS = CellSettings()


@dataclasses.dataclass(frozen=True)
class StrayCell:
    """The first cell that is no number in a column that should be numbers.

    Attributes:
        row: of the table, from 0.
        text: of the cell.
        cells: how many such cells there are.
    """

    row: int
    text: str
    cells: int


def is_number(cell: str, decimal: str = ".") -> bool:
    """Say whether a cell is a number, or a name that pandas reads as a missing one."""
    word = cell.strip()
    if word.lower() in MISSING or word.lower().lstrip("+-") in ("inf", "infinity"):
        return True
    pattern = COMMA if decimal == "," and "," in word else POINT
    return pattern.fullmatch(word) is not None


def stray_cell(texts: Sequence[str | None], decimal: str = ".") -> StrayCell | None:
    """Return the first cell that is no number where a column of text should have been numbers, else None.

    Args:
        texts: the cells; None where one is missing.
        decimal: the decimal sign.
    """
    present = [(row, cell) for row, cell in enumerate(texts) if not _is_missing(cell)]
    words = [(row, str(cell)) for row, cell in present]
    others = [(row, cell) for row, cell in words if not is_number(cell, decimal)]
    if not others:
        return None
    numbers = [cell for _, cell in words if is_number(cell, decimal)]
    strays = [cell.strip() for _, cell in others]
    few = len(set(strays)) <= CELLS.max_words
    many = len(set(numbers)) > 2 * CELLS.max_words
    mostly = len(numbers) >= CELLS.min_share * len(words)
    if mostly or (few and many) or _look_like_numbers(strays, len(numbers)):
        return StrayCell(*others[0], len(others))
    return None


def remedy_for(cell: str, decimal: str = ".") -> str:
    """Return what to do about a cell that is no number, with the reason where it can be told."""
    word = cell.strip()
    if THOUSAND.fullmatch(word):
        return (
            "it may be a thousand or a decimal fraction; write numbers without separators between thousands, or say "
            "which sign is the decimal one with --decimal"
        )
    if COMMA.fullmatch(word):
        return (
            "it has a decimal comma; write a point, or read the file with --decimal ,"
        )
    if decimal == "," and POINT.fullmatch(word):
        return "it has a decimal point where others have commas; write all alike"
    if GROUPED.fullmatch(word):
        return "it has separators between thousands; write numbers without them"
    if BOUND.fullmatch(word):
        return "it is a bound and no number; write a number (half of the bound, say), or drop the row"
    around = AROUND.fullmatch(word)
    if around is not None and (around["before"] or around["after"]):
        signs = " and ".join(filter(None, (around["before"], around["after"])))
        return f"it has {signs!r} beside the number; write the number alone"
    if word.startswith("#"):
        return "it looks like a comment; comments may only come before the header"
    return "mend the cell, or drop the row"


def shown(value: object) -> str:
    """Return a value as messages show it."""
    text = repr(value)
    return text if len(text) <= CELLS.max_shown else f"{text[: CELLS.max_shown]}..."


def _is_missing(text: str | None) -> bool:
    return text is None or text.strip().lower() in MISSING


def _look_like_numbers(cells: Sequence[str], numbers: int) -> bool:
    """Say whether most cells are numbers with something around them, the same around most, or as many are plain."""
    found = [AROUND.fullmatch(cell) for cell in cells]
    frames = {(match["before"], match["after"]) for match in found if match}
    grouped = sum(GROUPED.fullmatch(cell) is not None for cell in cells)
    alike = sum(match is not None for match in found)
    most = CELLS.min_share * (len(cells) + numbers)
    if max(alike, grouped) + numbers <= most:
        return False
    return grouped > most or len(frames) <= (CELLS.max_words if numbers else 1)
