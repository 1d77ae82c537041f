"""Tables of a report: in Markdown for pages, in aligned columns for terminals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from brenier.transport.maps import ConditionalMap

TableRows: TypeAlias = Sequence[Sequence[object]]
# Makes a table of `(header, rows)`: `markdown_table` or `text_table`.
MakeTable: TypeAlias = Callable[[Sequence[str], TableRows], str]


def markdown_table(header: Sequence[str], rows: TableRows) -> str:
    """Return a Markdown table.

    >>> print(markdown_table(["a", "b"], [[1, 0.123456]]))
    | a | b |
    | --- | --- |
    | 1 | 0.1235 |
    """
    lines = [list(header), ["---"] * len(header), *_format_rows(rows)]
    return "\n".join(_markdown_line(cells) for cells in lines)


def text_table(header: Sequence[str], rows: TableRows) -> str:
    """Return a table for a terminal: the first column aligned to the left, all others to the right.

    >>> print(text_table(["map", "W2"], [["affine", 0.5]]))
    map      W2
    affine  0.5
    """
    lines = [list(header), *_format_rows(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = []
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        aligned.append("  ".join(cells).rstrip())
    return "\n".join(aligned)


def format_cell(value: object) -> str:
    """Return a value as tables show it: four significant digits of a float, a dash for None and NaN.

    >>> format_cell(0.123456), format_cell(None), format_cell(7)
    ('0.1235', '–', '7')
    """
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.4g}"


def class_table(transport: ConditionalMap, make: MakeTable = markdown_table) -> str:
    """Return the distances measured on held-out rows of every class, one row per class, as a table made by `make`."""
    header = [
        "class",
        "W2",
        "95 % from",
        "to",
        "lower bound",
        "held-out rows",
        "unconverged",
    ]
    rows: list[list[object]] = []
    for key, label in enumerate(transport.labels):
        found = transport.held_out_distance.get(key)
        if found is None:
            figures: list[object] = [None] * (len(header) - 1)
        else:
            figures = [
                found.w2,
                *found.interval,
                found.lower,
                found.rows[0],
                found.unconverged,
            ]
        rows.append([str(label), *figures])
    return make(header, rows)


def _format_rows(rows: TableRows) -> list[list[str]]:
    return [[format_cell(cell) for cell in row] for row in rows]


def _markdown_line(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table; bars inside a cell are escaped."""
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
