"""Tables for pages and terminals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from brenier.transport.maps import ConditionalMap


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table.

    >>> print(markdown_table(["a", "b"], [[1, 0.123456]]))
    | a | b |
    | --- | --- |
    | 1 | 0.1235 |
    """
    lines = [
        header,
        ["---"] * len(header),
        *([shown(cell) for cell in row] for row in rows),
    ]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table for a terminal: the first column to the left, figures to the right.

    >>> print(text_table(["map", "W2"], [["affine", 0.5]]))
    map      W2
    affine  0.5
    """
    cells = [list(header), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells
    ]
    return "\n".join("  ".join(row).rstrip() for row in aligned)


def shown(value: Any) -> str:
    """Return a value as people read it: four digits of a float, a dash for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}"


def class_table(
    transport: ConditionalMap,
    make: Callable[[Sequence[str], Sequence[Sequence[Any]]], str] = markdown_table,
) -> str:
    """Return what was measured on held-out rows of every class, as a table made by `make(header, rows)`."""
    header = [
        "class",
        "W2",
        "± one s.e.",
        "lower bound",
        "held-out rows",
        "unconverged",
    ]
    rows = []
    for key, label in enumerate(transport.labels):
        found = transport.held_out_distance.get(key)
        figures = (
            [found.w2, found.w2_error, found.lower, found.rows[0], found.unconverged]
            if found
            else [None] * 5
        )
        rows.append([str(label), *figures])
    return make(header, rows)
