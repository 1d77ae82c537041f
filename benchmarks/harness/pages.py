"""Pages with tables: a table is drawn again between its markers, and everything else stays.

    <!-- table:NAME -->
    <!-- /table -->

Short tables are in the README; the others, with all rows, are in `results/<benchmark>.md`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.rows import RESULTS, read
from benchmarks.harness.tables import Table
from brenier.atomic import write_bytes

BENCHMARKS = RESULTS.parent


def fill(text: str, drawn: Mapping[str, str]) -> str:
    """Return text with drawn tables between their markers.

    Raises:
        ValueError: where a table does not have its markers once.
    """
    for name, table in drawn.items():
        marker = re.escape(name)
        pattern = rf"(<!-- table:{marker} -->\n).*?(<!-- /table -->)"
        parts = re.split(pattern, text, flags=re.DOTALL)
        if len(parts) != 4:
            count = len(parts) // 3
            raise ValueError(
                f"table:{name}: its markers occur {count} times, once is needed"
            )
        before, opening, closing, after = parts
        text = f"{before}{opening}\n{table}\n\n{closing}{after}"
    return text


def update(
    tables: Sequence[Table], folder: Path = RESULTS, root: Path = BENCHMARKS
) -> None:
    """Draw tables from the rows in a folder, on their pages below the root."""
    pages: dict[str, dict[str, str]] = {}
    for table in tables:
        rows = read(folder / f"{table.benchmark}.jsonl")
        pages.setdefault(table.page, {})[table.name] = table.draw(rows)
    for page, drawn in pages.items():
        path = root / page
        text = path.read_text(encoding="utf-8")
        write_bytes(path, fill(text, drawn).encode())


def show(tables: Sequence[Table], folder: Path) -> None:
    """Print the tables of a run that have rows, and draw them on their pages if the rows are kept in `results/`."""
    for table in tables:
        rows = read(folder / f"{table.benchmark}.jsonl")
        chosen = [row for row in rows if table.where(row)]
        if chosen and not table.in_readme:
            print(f"\n{table.draw(chosen)}")
    if os.path.abspath(folder) == str(RESULTS):
        update(tables)
